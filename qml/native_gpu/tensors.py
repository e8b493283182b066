"""What autograd asks of a compiled circuit where its tensors are on a GPU; and the ledger's entry of it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from qml import costs
from qml.native_gpu import availability
from qml.native_gpu.engine import GpuEngine, Kept
from qml.native_gpu.second_order import SecondOrder


class OnTensors:
    """Values and adjoint gradients of a compiled circuit of backend native, by its `GpuEngine`."""

    def __init__(self, compiled):
        self._compiled = compiled

    @cached_property
    def engine(self) -> GpuEngine:
        """Made at the first run on a GPU."""
        compiled = self._compiled
        return GpuEngine(compiled.program, compiled.observables, compiled.slots.inputs, compiled.slots.weights)

    def forward(self, inputs: torch.Tensor, weights: torch.Tensor, keep: bool) -> tuple[torch.Tensor, Kept]:
        """(B, K) expectation values, and what a gradient at these angles can use."""
        inputs, weights = inputs.detach(), weights.detach()
        return self._entered(weights, len(inputs), 1, 1, lambda: self.engine.forward(inputs, weights, keep))

    def vjp(self, inputs, weights, cotangents, kept: Kept | None, needs) -> tuple[torch.Tensor, torch.Tensor]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights."""
        tensors = inputs.detach(), weights.detach(), cotangents.detach()
        again = int(kept is None or kept.states is None)
        if not costs.is_open():
            return self.engine.vjp(*tensors, kept, needs)
        with costs.for_gradients():
            return self._entered(weights, len(inputs), again, 2 + again, lambda: self.engine.vjp(*tensors, kept, needs))

    @cached_property
    def _second_order(self) -> SecondOrder:
        return SecondOrder(self.engine)

    def second(self, inputs, weights, cotangents, v_inputs, v_weights) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Derivatives of sum v . vjp(inputs, weights, cotangents) by inputs, weights and cotangents."""
        tensors = [tensor.detach() for tensor in (inputs, weights, cotangents, v_inputs, v_weights)]
        with costs.for_gradients():
            return self._entered(weights, len(inputs), 1, 6, lambda: self._second_order.second(*tensors), is_dual=True)

    def tangents(self, inputs, weights, v_inputs, v_weights) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 2^n) complex final states, and their derivatives along v, but for phases (`qml.metric.tangents`)."""
        tensors = [tensor.detach() for tensor in (inputs, weights, v_inputs, v_weights)]
        return self._entered(weights, len(inputs), 1, 2, lambda: self._second_order.tangents(*tensors), is_dual=True)

    def _entered(
        self, weights: torch.Tensor, batch: int, prepared: int, sweeps: int, work: Callable[[], Any], is_dual: bool = False
    ):  # fmt: skip
        """`work()`, in the ledger where one is open; seconds are the GPU's then, which is waited for."""
        if not costs.is_open():
            return work()
        _wait(weights.device)
        plan = self.engine.dual_plan if is_dual else self.engine.plan
        n_bytes = self.engine.n_bytes(batch, weights, sweeps > 1 + is_dual, is_dual)
        with costs.run(
            circuits=prepared * batch,
            shots=0,
            gates=sweeps * batch * len(self._compiled.program.gates),
            passes=sweeps * batch * len(plan.passes),
            peak_bytes=n_bytes,
        ):
            result = work()
            _wait(weights.device)
        return result


def _wait(device: torch.device) -> None:
    """Until the GPU has done what it was given; not at all where that goes into a CUDA graph."""
    if device.type == "cuda" and not availability.is_capturing(device):
        torch.cuda.synchronize(device)
