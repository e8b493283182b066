"""What autograd asks of a compiled circuit where its tensors are on a GPU; and the ledger's entry of it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch

from circuits.errors import Unsupported
from qml import costs
from qml.native_gpu import availability
from qml.native_gpu.engine import GpuEngine, Kept


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

    def refuse_second(self) -> None:
        """Raise: the dual sweep runs on the CPU, and would do so behind the caller's back."""
        raise Unsupported(
            "backend 'native' has no second derivatives on a GPU: move the layer and its inputs to the CPU, where they are "
            "exact, or use diff_method='parameter-shift'"
        )

    def _entered(self, weights: torch.Tensor, batch: int, prepared: int, sweeps: int, work: Callable[[], Any]):
        """`work()`, in the ledger where one is open; seconds are the GPU's then, which is waited for."""
        if not costs.is_open():
            return work()
        _wait(weights.device)
        n_bytes = self.engine.n_bytes(batch, weights, sweeps > 1)
        with costs.run(
            circuits=prepared * batch,
            shots=0,
            gates=sweeps * batch * len(self._compiled.program.gates),
            passes=sweeps * batch * len(self.engine.plan.passes),
            peak_bytes=n_bytes,
        ):
            result = work()
            _wait(weights.device)
        return result


def _wait(device: torch.device) -> None:
    """Until the GPU has done what it was given; not at all where that goes into a CUDA graph."""
    if device.type == "cuda" and not availability.is_capturing(device):
        torch.cuda.synchronize(device)
