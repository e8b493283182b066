"""Adjoint gradients on Aer, which has none: one run forward and one run back for a whole batch and all parameters.

A batch of B samples is log2(B) more qubits on top of the circuit's own. Gates whose angle all samples share act on all of
them at once; a gate whose angle differs is multiplexed over the batch register, as a diagonal in its own eigenbasis.

Forward, the run ends in the states |phi_b>, from which lambda_b = sum_k cotangents[b, k] O_k |phi_b> is formed. Backward,
one more qubit on top, the ancilla, holds both: (|0> phi / |phi| + |1> lambda / |lambda|) / sqrt 2. The gates are undone
one by one; before exp(-i t G / 2) is, -|phi| |lambda| <Y_ancilla (x) G> = sum_b Im <lambda_b| G |phi_b> is its derivative.
For a multiplexed gate the same is read sample by sample from the probabilities of ancilla, batch register and targets.
"""

import itertools
from collections.abc import Callable

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from circuits.paulis import PauliSums
from circuits.program import Program, Rotation
from qml.aer.circuits import (
    append_multiplexed,
    append_rotation,
    append_unitary,
    from_z,
    parity_signs,
    to_z,
)
from qml.backends.base import Slots

Run = Callable[[QuantumCircuit, bool], dict]  # (circuit, allow fusion) -> saved data


class TwoRuns:
    """The scheme for one program, its observables, and one division of its slots.

    Args:
        run: runs one circuit on Aer and returns what it saved.
    """

    def __init__(self, program: Program, sums: PauliSums, slots: Slots, run: Run):
        self._program, self._sums, self._slots, self._run = program, sums, slots, run
        self._inputs = {slot: j for j, slot in enumerate(slots.inputs)}
        self._weights = {slot: j for j, slot in enumerate(slots.weights)}

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) expectation values and the (B, 2^n) states, unnormalised where amplitudes are."""
        system, batch = self._registers(len(inputs))
        circuit = QuantumCircuit(len(system) + len(batch))
        scale = self._start(circuit, inputs, weights, batch)
        for gate in self._program.gates:
            angles = self._angles(gate, inputs, weights)
            if not isinstance(gate, Rotation):
                append_unitary(circuit, gate)
            elif isinstance(angles, float):
                append_rotation(circuit, gate, angles)
            else:
                to_z(circuit, gate)
                append_multiplexed(circuit, gate, _padded(angles, batch), batch)
                from_z(circuit, gate)
        circuit.save_statevector(label="states")
        states = np.asarray(self._run(circuit, True)["states"]).reshape(1 << len(batch), -1)
        states = scale * states[: len(inputs)]
        return self._sums.expectations(states), states

    def backward(self, inputs, weights, cotangents: np.ndarray, states: np.ndarray):
        """Derivatives by inputs, (B, n), and weights, in their shape, of sum_bk cotangents[b, k] <O_k>_b."""
        d_inputs = np.zeros(inputs.shape)
        d_weights = np.zeros(weights.shape)
        bra = self._sums.apply(states, cotangents)
        size, ket_norm = np.linalg.norm(bra), np.linalg.norm(states)
        if size == 0:  # no direction to normalise, and nothing to differentiate
            return d_inputs, d_weights
        system, batch = self._registers(len(inputs))
        both = np.zeros((2, 1 << len(batch), 1 << len(system)), complex)
        both[0, : len(inputs)] = states / (ket_norm * np.sqrt(2))
        both[1, : len(inputs)] = bra / (size * np.sqrt(2))
        circuit = QuantumCircuit(len(system) + len(batch) + 1)
        circuit.set_statevector(both.ravel() / np.linalg.norm(both))
        self._undo(circuit, inputs, weights, batch)
        if self._program.amplitudes:
            circuit.save_statevector(label="states")
        saved = self._run(circuit, False)
        factor = -ket_norm * size
        for gate in self._differentiated():
            value = saved[f"g{gate.slot}"]
            if not isinstance(self._angles(gate, inputs, weights), float):
                value = _per_sample(gate, value, len(batch))[: len(inputs)]
            self._put(d_inputs, d_weights, gate.slot, factor * value)
        if self._program.amplitudes:
            start = np.asarray(saved["states"]).reshape(both.shape)[1, : len(inputs)]
            for row, slot in enumerate(self._program.amplitudes):
                self._put(d_inputs, d_weights, slot, 2 * np.sqrt(2) * size * start[:, row].real)
        return d_inputs, d_weights

    def _registers(self, batch: int) -> tuple[list[int], list[int]]:
        n_qubits = self._program.n_qubits
        return list(range(n_qubits)), list(range(n_qubits, n_qubits + (batch - 1).bit_length()))

    def _start(self, circuit: QuantumCircuit, inputs, weights, batch: list[int]) -> float:
        """Put the batch into its initial states; the factor by which the run's states are too small."""
        if not self._program.amplitudes:
            for qubit in batch:
                circuit.h(qubit)
            return np.sqrt(1 << len(batch))
        rows = self._slots.join(inputs, weights)[list(self._program.amplitudes)].T
        states = np.zeros((1 << len(batch), 1 << self._program.n_qubits), complex)
        states[: len(rows)] = rows
        norm = np.linalg.norm(states)
        circuit.set_statevector(states.ravel() / norm)
        return norm

    def _angles(self, gate, inputs: np.ndarray, weights: np.ndarray) -> float | np.ndarray:
        """The gate's angle: one number, or one per sample."""
        if not isinstance(gate, Rotation) or gate.slot is None:
            return float(getattr(gate, "angle", 0.0))
        if gate.slot in self._inputs:
            return inputs[:, self._inputs[gate.slot]].astype(float)
        column = self._weights[gate.slot]
        return float(weights[column]) if weights.ndim == 1 else weights[:, column].astype(float)

    def _differentiated(self) -> list[Rotation]:
        return [g for g in self._program.gates if isinstance(g, Rotation) and g.slot is not None]

    def _put(self, d_inputs: np.ndarray, d_weights: np.ndarray, slot: int, value) -> None:
        if slot in self._inputs:
            d_inputs[:, self._inputs[slot]] = value
        else:
            d_weights[..., self._weights[slot]] = value

    def _undo(self, circuit: QuantumCircuit, inputs, weights, batch: list[int]) -> None:
        """The inverse gates in reverse order; before each parametrised one, what its derivative is read from."""
        ancilla = circuit.num_qubits - 1
        for gate in reversed(self._program.gates):
            angles = self._angles(gate, inputs, weights)
            if not isinstance(gate, Rotation):
                append_unitary(circuit, gate, inverse=True)
            elif isinstance(angles, float):
                if gate.slot is not None:
                    operator, qubits = _derivative_operator(gate, ancilla)
                    circuit.save_expectation_value(operator, qubits, label=f"g{gate.slot}")
                append_rotation(circuit, gate, -angles)
            else:
                to_z(circuit, gate)
                circuit.sdg(ancilla)
                circuit.h(ancilla)
                qubits = [*gate.qubits, *gate.controls, *batch, ancilla]
                circuit.save_probabilities(qubits, label=f"g{gate.slot}")
                circuit.h(ancilla)
                circuit.s(ancilla)
                append_multiplexed(circuit, gate, -_padded(angles, batch), batch)
                from_z(circuit, gate)


def _padded(angles: np.ndarray, batch: list[int]) -> np.ndarray:
    padded = np.zeros(1 << len(batch))
    padded[: len(angles)] = angles
    return padded


def _derivative_operator(gate: Rotation, ancilla: int) -> tuple[SparsePauliOp, list[int]]:
    """Y on the ancilla times the gate's generator: its string times the projector on its control state."""
    labels, coefficients = [], []
    signs = [-1.0 if gate.control_state >> j & 1 else 1.0 for j in range(len(gate.controls))]
    for pattern in itertools.product((0, 1), repeat=len(gate.controls)):
        factor = np.prod([s for s, bit in zip(signs, pattern) if bit]) / (1 << len(gate.controls))
        letters = gate.pauli + "".join("IZ"[bit] for bit in pattern) + "Y"
        labels.append(letters[::-1])
        coefficients.append(factor)
    return SparsePauliOp(labels, coefficients), [*gate.qubits, *gate.controls, ancilla]


def _per_sample(gate: Rotation, probabilities: np.ndarray, n_batch: int) -> np.ndarray:
    """(2^n_batch,) values of Y (x) G from the probabilities of targets, controls, batch and ancilla."""
    shape = 2, 1 << n_batch, 1 << len(gate.controls), 1 << len(gate.qubits)
    table = np.asarray(probabilities).reshape(shape)[:, :, gate.control_state, :]
    return (table[0] - table[1]) @ parity_signs(len(gate.qubits))
