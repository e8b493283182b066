"""Backpropagation: torch's autograd through a plain state vector that keeps every intermediate state."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from qiskit.quantum_info import Pauli, SparsePauliOp

from circuits.evolution import Evolution
from circuits.paulis import masks
from circuits.program import Gate, Program, Rotation, Unitary
from qml import costs
from qml.backends.base import Compiled, check_memory
from qml.gradients.base import GradientMethod, Kept, exact_only, from_rows

SAVED_A_GATE = 3  # states that autograd keeps for one gate, at most


class Backprop(GradientMethod):
    """What classical backpropagation does, on a simulated state: simulators only, exact values only, any backend.

    It uses nothing of a backend, so it is an independent road to the same derivatives.

    Cost: two to three forward runs in time, and about two states for every gate in memory.
    Source: Rumelhart, Hinton, Williams, Nature 323, 533 (1986).
    """

    name = "backprop"

    def __init__(self):
        self._simulators: Kept[Compiled, _StateVector] = Kept()

    def check(self, evaluation):
        exact_only(self, evaluation)

    def circuits(self, evaluation, batch, needs):
        return 0  # intermediate states cannot be kept on a device

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        compiled = evaluation.compiled
        program, batch = compiled.program, len(inputs)
        state = batch * 2 * weights.dtype.itemsize << program.n_qubits
        check_memory(SAVED_A_GATE * state * (len(program.gates) + 1), "backpropagation, which keeps all states,")
        simulator = self._simulators.setdefault(compiled, _StateVector(program, compiled.observables))
        angles = compiled.slots.join(inputs, weights)
        n_gates = batch * len(program.gates)
        # Forward, and back through each gate the derivatives by the state and by what it was made of.
        with costs.run(gates=3 * n_gates, passes=3 * n_gates) as spent:
            of_slots, spent.peak_bytes = _in_plain_torch(simulator.derivatives, angles, cotangents)
        d_inputs, d_weights = (of_slots[list(part)].T for part in (compiled.slots.inputs, compiled.slots.weights))
        return from_rows(np.concatenate([d_inputs, d_weights], axis=1), inputs, weights)


def _in_plain_torch(function: Callable, *arguments):
    """Outside of `torch.func` transforms, which are a thread's own and take no hooks on what autograd keeps."""
    if torch._C._autograd._saved_tensors_hooks_is_enabled():
        return function(*arguments)
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function, *arguments).result()


class _Saved(torch.autograd.graph.saved_tensors_hooks):
    """Adds up the memory that autograd keeps for the way back, each storage once."""

    def __init__(self):
        self._storages: dict[int, int] = {}
        super().__init__(self._keep, lambda tensor: tensor)

    def __enter__(self):
        super().__enter__()
        return self

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def n_bytes(self) -> int:
        return sum(self._storages.values())


class _StateVector:
    """A program on states of shape (B, 2^n), as differentiable torch operations."""

    def __init__(self, program: Program, observables: Sequence[SparsePauliOp]):
        self._program = program
        self._observables = [
            [
                (masks(label[::-1], range(program.n_qubits)), float(c.real))
                for label, c in zip(o.paulis.to_labels(), o.coeffs)
            ]
            for o in observables
        ]
        self._index = torch.arange(1 << program.n_qubits)
        self._action = cache(self._acted)

    def derivatives(self, angles: np.ndarray, cotangents: np.ndarray) -> tuple[np.ndarray, int]:
        """(n_slots, B) derivatives by every slot, and the bytes that were kept for them."""
        rows = torch.tensor(angles, requires_grad=True)
        with _Saved() as saved, torch.enable_grad():
            total = (self.expectations(rows) * torch.tensor(cotangents)).sum()
            (gradient,) = torch.autograd.grad(total, rows)
        return gradient.numpy(), saved.n_bytes

    def expectations(self, slots: torch.Tensor) -> torch.Tensor:
        """(B, K) from the (n_slots, B) values of all slots."""
        state = self._start(slots)
        for gate in self._program.gates:
            if isinstance(gate, Unitary):
                state = self._matrix(state, gate, torch.tensor(gate.matrix))
            elif isinstance(gate, Evolution):
                state = self._matrix(state, gate, self._exponential(gate, slots))
            else:
                angle = slots.new_full(slots.shape[1:], gate.angle) if gate.slot is None else slots[gate.slot]
                state = self._rotation(state, gate, angle[:, None])
        columns = [
            sum(c * (state.conj() * self._pauli(state, *string)).sum(dim=1).real for string, c in terms)
            for terms in self._observables
        ]
        return torch.stack(columns, dim=1)

    def _start(self, slots: torch.Tensor) -> torch.Tensor:
        kind = _complex(slots)
        if self._program.amplitudes:
            return slots[list(self._program.amplitudes)].T.to(kind)
        state = torch.zeros(slots.shape[1], len(self._index), dtype=kind)
        state[:, 0] = 1
        return state

    def _rotation(self, state: torch.Tensor, gate: Rotation, angle: torch.Tensor) -> torch.Tensor:
        turned = self._pauli(state, *masks(gate.pauli, gate.qubits))
        half = angle / 2
        turned = torch.cos(half) * state - 1j * torch.sin(half) * turned
        return torch.where(self._is_active(gate), turned, state) if gate.controls else turned

    def _is_active(self, gate: Gate) -> torch.Tensor:
        bits = sum(((self._index >> qubit) & 1) << place for place, qubit in enumerate(gate.controls))
        return bits == gate.control_state

    def _pauli(self, state: torch.Tensor, *string: int) -> torch.Tensor:
        """P |state> of the string with these masks."""
        source, phase = self._action(*string)
        return phase.to(state.dtype) * state[:, source]

    def _acted(self, x: int, z: int, n_y: int) -> tuple[torch.Tensor, torch.Tensor]:
        source = self._index ^ x
        odd = np.bitwise_count(source.numpy() & z) & 1
        return source, torch.as_tensor(1j ** (n_y % 4) * (1 - 2.0 * odd))

    def _exponential(self, gate: Evolution, slots: torch.Tensor) -> torch.Tensor:
        """(B, d, d) by torch's own exponential, whose derivative is exact."""
        generator = slots.new_zeros(slots.shape[1], 1 << len(gate.qubits), 1 << len(gate.qubits)).to(_complex(slots))
        for pauli, slot, angle in zip(gate.paulis, gate.slots, gate.angles):
            string = torch.as_tensor(Pauli(pauli[::-1]).to_matrix()).to(generator)
            value = slots.new_full(slots.shape[1:], angle) if slot is None else slots[slot]
            generator = generator + value[:, None, None] / 2 * string
        return torch.matrix_exp(-1j * generator)

    def _matrix(self, state: torch.Tensor, gate: Unitary | Evolution, matrix: torch.Tensor) -> torch.Tensor:
        """A matrix, or one for each sample, on the gate's qubits, where its controls read their state."""
        n, batch = self._program.n_qubits, len(state)
        axes = [n - qubit for qubit in reversed(gate.qubits)]  # axis 0 is the batch, axis 1 the highest qubit
        places = list(range(1, len(axes) + 1))
        moved = state.reshape(batch, *[2] * n).movedim(axes, places)
        out = matrix.to(state.dtype) @ moved.reshape(batch, matrix.shape[-1], -1)
        out = out.reshape(moved.shape).movedim(places, axes).reshape(batch, -1)
        return torch.where(self._is_active(gate), out, state) if gate.controls else out


def _complex(slots: torch.Tensor) -> torch.dtype:
    return torch.complex64 if slots.dtype == torch.float32 else torch.complex128


METHOD = Backprop
