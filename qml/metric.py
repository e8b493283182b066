"""The Fubini-Study metric tensor: how far states move apart when weights change."""

from functools import lru_cache

import torch

from circuits.errors import LabError
from circuits.program import Program
from qml.backends.base import Slots, resolve
from qml.backends.native import NativeCircuit
from qml.layer import QuantumLayer
from qml.native_gpu import availability

CHUNK_BYTES = 1 << 28  # of states and derivatives held at once


def metric_tensor(layer: QuantumLayer, inputs: torch.Tensor | None = None) -> torch.Tensor:
    """The real part of <d_i phi|d_j phi> - <d_i phi|phi><phi|d_j phi> for every pair of weights.

    Args:
        layer: of any backend; its circuit is simulated exactly. Weights are in the order of `layer.weight_parameters`.
        inputs: (B, n_inputs); None for a circuit without inputs.

    Returns:
        (B, n_weights, n_weights), without a gradient; (n_weights, n_weights) where there are no inputs. A quarter of the
        quantum Fisher information.

    Cost: the derivatives of one sample's state by all weights are one batch of dual states.
    Source: Stokes, Izaac, Killoran, Carleo, Quantum 4, 269 (2020), eq. 12.
    """
    weights = layer._flat_weights().detach()
    if layer.n_inputs == 0:
        if inputs is not None:
            raise LabError("the circuit has no inputs: call metric_tensor(layer)")
        return _metric(layer, weights.new_zeros(1, 0), weights)[0]
    if inputs is None:
        raise LabError(f"the circuit has {layer.n_inputs} inputs: pass them, of shape (B, {layer.n_inputs})")
    inputs = layer._checked_inputs(inputs, weights).detach()
    if inputs.dim() != 2:
        raise LabError(f"inputs must have shape (B, {layer.n_inputs}), got {tuple(inputs.shape)}")
    return _metric(layer, inputs, weights)


@lru_cache(maxsize=16)
def _compiled(program: Program, slots: Slots) -> NativeCircuit:
    return resolve("native").compile(program, [], slots)


def tangents(
    layer: QuantumLayer, inputs: torch.Tensor, weights: torch.Tensor, v_inputs: torch.Tensor, v_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 2^n) complex final states and their derivatives along a direction, but for phases that nothing can measure.

    A state may have a factor e^(i a), where a depends on the angles; its derivative has that factor too, and no part of
    i a' times the state.

    Args:
        inputs, weights: angles: (B, slots), those of weights also (slots,). v_inputs, v_weights: the direction, alike.

    On the GPU where the angles are on one, else on the CPU, by a native engine that is planned once.
    """
    compiled, angles = _compiled(layer._program, layer._binding.slots), (inputs, weights, v_inputs, v_weights)
    if availability.takes(weights):
        return compiled.on_tensors().tangents(*angles)
    states, derivatives = compiled.tangents(*(tensor.numpy(force=True) for tensor in angles))
    return torch.from_numpy(states).to(weights.device), torch.from_numpy(derivatives).to(weights.device)


def _metric(layer: QuantumLayer, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    of_inputs, of_weights = layer._angles(inputs, weights)
    n_weights = len(weights)
    bytes_a_direction = (32 << layer.circuit.num_qubits) + 8 * of_inputs.shape[1]
    step = max(1, CHUNK_BYTES // (max(1, n_weights) * bytes_a_direction))
    out = weights.new_zeros(len(inputs), n_weights, n_weights)
    for first in range(0, len(inputs) if n_weights else 0, step):
        rows = slice(first, min(first + step, len(inputs)))
        count = rows.stop - rows.start
        by_weights = torch.func.jacfwd(lambda w, rows=rows: layer._angles(inputs[rows], w))(weights)
        by_sample, shared = by_weights[0].movedim(-1, 1), by_weights[1].T  # (b, P, input slots), (P, weight slots)
        states, derivatives = tangents(
            layer,
            of_inputs[rows].repeat_interleave(n_weights, dim=0),
            of_weights.repeat(count * n_weights, 1),
            by_sample.reshape(count * n_weights, -1),
            shared.repeat(count, 1),
        )
        states = states.reshape(count, n_weights, -1)[:, 0]
        derivatives = derivatives.reshape(count, n_weights, -1)
        overlaps = derivatives.conj() @ states[:, :, None]  # <d_i phi|phi>
        gram = derivatives.conj() @ derivatives.mT
        out[rows] = (gram - overlaps @ overlaps.mH).real
    return out
