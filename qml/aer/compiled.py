"""A compiled program on Aer: batches as one circuit on more qubits, or rows of angles bound at run time."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from circuits.errors import LabError
from circuits.paulis import PauliSums
from qml.aer.adjoint import TwoRuns
from qml.aer.circuits import append_program
from qml.backends.base import Compiled, check_memory, random_generators

MOST_QUBITS = 22  # of a run with a batch register: larger batches are cut


class AerCircuit(Compiled):
    """A program on an `AerBackend`, which runs its circuits."""

    def __init__(self, backend, program, observables, slots):
        super().__init__(backend, program, observables, slots)
        self._sums = PauliSums.of(observables, program.n_qubits)

    def _scheme(self, dtype: np.dtype):
        def run(circuit: QuantumCircuit, fuse: bool) -> dict:
            saved = self.backend.run(circuit, dtype, shots=1, fusion_enable=fuse).data(0)
            if self.backend.option("blocking_enable") and "states" in saved:
                _check_norm(saved["states"])
            return saved

        return TwoRuns(self.program, self._sums, self.slots, run)

    def n_bytes(self, batch: int, dtype: np.dtype, gradient: bool = True) -> int:
        size = 1 << max(0, MOST_QUBITS - self.program.n_qubits - 1)
        # Both states are in Aer, on the ancilla, and here.
        return (4 if gradient else 2) * 2 * np.dtype(dtype).itemsize * min(size, batch) << self.program.n_qubits

    def _pieces(self, batch: int, dtype: np.dtype) -> list[slice]:
        n_qubits = self.program.n_qubits
        size = 1 << max(0, MOST_QUBITS - n_qubits - 1)
        check_memory(self.n_bytes(batch, dtype), f"simulating {n_qubits} qubits on Aer")
        return [slice(start, start + size) for start in range(0, batch, size)]

    def _forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Any]:
        scheme, kept, values = self._scheme(weights.dtype), [], []
        for piece in self._pieces(len(inputs), weights.dtype):
            value, states = scheme.forward(inputs[piece], weights[piece] if weights.ndim == 2 else weights)
            values.append(value)
            kept.append(states)
        return np.concatenate(values).astype(weights.dtype), kept

    @property
    def adjoint(self) -> bool:
        return not self.program.is_evolving

    def _expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.program.is_evolving:
            labels = [f"e{k}" for k in range(len(self.observables))]
            rows = [[data[label] for label in labels] for data in self._saved_apart(inputs, weights, self._save_values)]
            return (self._squared_norms(inputs, weights) * np.array(rows).reshape(len(inputs), -1)).astype(weights.dtype)
        if weights.ndim == 1 or self.program.amplitudes:
            return self._forward(inputs, weights)[0]
        self._pieces(1, weights.dtype)
        circuit, parameters = self._parametric  # its module gives circuits their save instructions
        circuit = circuit.copy()
        self._save_values(circuit)
        rows = [
            [data[f"e{k}"] for k in range(len(self.observables))]
            for data in self._rows(circuit, parameters, inputs, weights, shots=1)
        ]
        return np.array(rows).reshape(len(inputs), -1).astype(weights.dtype)

    def _save_values(self, circuit: QuantumCircuit) -> None:
        for k, observable in enumerate(self.observables):
            circuit.save_expectation_value(observable, range(self.program.n_qubits), label=f"e{k}")

    def _vjp(self, inputs, weights, cotangents, kept):
        if kept is None:
            _, kept = self._forward(inputs, weights)
        scheme, shared = self._scheme(weights.dtype), weights.ndim == 1
        of_inputs, of_weights = [], []
        for piece, states in zip(self._pieces(len(inputs), weights.dtype), kept):
            own = weights if shared else weights[piece]
            d_inputs, d_weights = scheme.backward(inputs[piece], own, cotangents[piece], states)
            of_inputs.append(d_inputs)
            of_weights.append(d_weights)
        d_weights = np.sum(of_weights, axis=0) if shared else np.concatenate(of_weights)
        return np.concatenate(of_inputs).astype(inputs.dtype), d_weights.astype(weights.dtype)

    def _probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.program.is_evolving:
            found = self._saved_apart(inputs, weights, lambda circuit: circuit.save_probabilities())
            rows = np.array([data["probabilities"] for data in found])
            return (self._squared_norms(inputs, weights) * rows).astype(weights.dtype)
        _, kept = self._forward(inputs, weights)
        states = np.concatenate(kept)
        return (states.real**2 + states.imag**2).astype(weights.dtype)

    def _sample(self, inputs, weights, shots, seed) -> np.ndarray:
        self._pieces(1, weights.dtype)
        counts = self._counts(inputs, weights, shots, int(seed.generate_state(1)[0] >> 1))
        # Aer says how often, not in which order; whoever takes a part of the shots needs one that is drawn too.
        return np.stack([g.permutation(_outcomes(own)) for g, own in zip(random_generators(seed, len(inputs)), counts)])

    def _counts(self, inputs, weights, shots, seed_simulator: int) -> Iterator[dict[str, int]]:
        """Outcomes of each row, in hexadecimal, and how often each was seen."""
        if self.program.amplitudes or self.program.is_evolving:
            yield from self._counts_apart(inputs, weights, shots, seed_simulator)
            return
        circuit, parameters = self._parametric
        circuit = circuit.copy()
        circuit.measure_all()
        for data in self._rows(circuit, parameters, inputs, weights, shots=shots, seed_simulator=seed_simulator):
            yield data["counts"]

    def _counts_apart(self, inputs, weights, shots, seed_simulator: int) -> Iterator[dict[str, int]]:
        """The same of initial states and evolutions, which cannot be bound at run time."""
        for row, circuit in enumerate(self._apart(inputs, weights)):
            circuit.measure_all()
            drawn = (seed_simulator + 7919 * row) % 2**31
            yield self.backend.run(circuit, weights.dtype, shots=shots, seed_simulator=drawn).data(0)["counts"]

    def _saved_apart(self, inputs, weights, save: Callable[[QuantumCircuit], None]) -> Iterator[dict]:
        """What Aer saves of each sample's own circuit."""
        self._pieces(1, weights.dtype)
        for circuit in self._apart(inputs, weights):
            save(circuit)
            yield self.backend.run(circuit, weights.dtype, shots=1).data(0)

    def _apart(self, inputs, weights) -> Iterator[QuantumCircuit]:
        """A circuit of each sample's own, its angles in it as numbers."""
        angles = self.slots.join(inputs, weights).astype(float)
        for row in angles.T:
            circuit = QuantumCircuit(self.program.n_qubits)
            if self.program.amplitudes:
                start = row[list(self.program.amplitudes)]
                circuit.initialize(start / np.linalg.norm(start), range(self.program.n_qubits))
            append_program(circuit, self.program, row.tolist())
            yield circuit

    def _squared_norms(self, inputs, weights) -> np.ndarray | float:
        """(B, 1) of the initial states."""
        amplitudes = list(self.program.amplitudes)
        return (self.slots.join(inputs, weights)[amplitudes] ** 2).sum(axis=0)[:, None] if amplitudes else 1.0

    @cached_property
    def _parametric(self) -> tuple[QuantumCircuit, dict[int, Any]]:
        """The circuit with one free parameter per angle slot."""
        circuit = QuantumCircuit(self.program.n_qubits)
        vector = ParameterVector("t", len(self.program.slots))
        append_program(circuit, self.program, vector)
        return circuit, {slot: vector[slot] for slot in self.program.rotation_of_slot()}

    def _rows(self, circuit: QuantumCircuit, parameters: dict, inputs, weights, **options):
        """What Aer saved for each row of angles; one run per chunk of rows."""
        angles = self.slots.join(inputs, weights).astype(float)
        size = self.backend.rows_at_once(self.program.n_qubits, weights.dtype)
        for start in range(0, len(inputs), size):
            part = angles[:, start : start + size]
            if parameters:
                binds = {parameter: part[slot].tolist() for slot, parameter in parameters.items()}
                options.update(parameter_binds=[binds], runtime_parameter_bind_enable=True, **self.backend.batching())
                result = self.backend.run(circuit, weights.dtype, **options)
            else:
                result = self.backend.run([circuit] * part.shape[1], weights.dtype, **options)
            if len(result.results) != part.shape[1]:
                raise LabError(f"Aer gave {len(result.results)} results for {part.shape[1]} rows of angles")
            yield from (result.data(row) for row in range(part.shape[1]))
            if "seed_simulator" in options:
                options["seed_simulator"] = (options["seed_simulator"] + 104729) % 2**31


def _check_norm(states) -> None:
    """Raise `LabError` unless the state has norm 1: over several GPUs Aer's chunks can lose some of it, and say nothing."""
    norm = float(np.linalg.norm(states))
    if abs(norm - 1) > 1e-3:
        raise LabError(
            f"Aer gave a state of norm {norm:.6g} over chunks (qiskit-aer#2460): use one GPU (CUDA_VISIBLE_DEVICES=0), "
            "or leave out blocking_enable"
        )


def _outcomes(counts: dict[str, int]) -> np.ndarray:
    """Basis states repeated as often as they were seen, in ascending order."""
    states = sorted((int(key, 16), number) for key, number in counts.items())
    return np.repeat([s for s, _ in states], [k for _, k in states]).astype(np.int64)
