"""Expectation values of a circuit as it was written: under noise, or by another method of Aer's than state vectors.

Lowering would turn some gates into several rotations and others into gates that no noise model or method names, so none
takes place.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import Unsupported
from circuits.program import Program, Unitary
from qml.backends.base import Backend, Compiled, Slots
from qml.measurement import Measured

# The gates of `measurement` and `diagonalization` in Qiskit's names.
CLIFFORDS = {"measure_X": ("h",), "measure_Y": ("sdg", "h"), "h": ("h",), "s": ("s",), "cx": ("cx",), "cz": ("cz",)}


class _Written(Compiled):
    """A Qiskit circuit and, as the gates of its program, a change of measurement basis without noise."""

    def __init__(self, aer: Backend, circuit: QuantumCircuit, program: Program, observables):
        super().__init__(self, program, observables, Slots((), ()))
        self._aer, self._circuit = aer, circuit

    def compile(self, program: Program, observables, slots: Slots) -> "_Written":
        return _Written(self._aer, self._circuit, program, observables)

    def _entered(self, inputs, weights, **work):
        return nullcontext()  # Aer's own run enters itself in the ledger

    def _expectations(self, inputs, weights):
        self._aer.refuse_noise("an exact expectation value")

    def _sample(self, inputs, weights, shots: int, seed: np.random.SeedSequence) -> np.ndarray:
        # Rewritten first: the change of basis would become gates of the noise model, and the measurement noisy.
        circuit = self._aer.rewritten(self._circuit)
        places, read = _places(circuit, self._circuit.num_qubits), ClassicalRegister(self._circuit.num_qubits)
        circuit.add_register(read)
        for gate in self.program.gates:
            self._append(circuit, gate, [places[q] for q in (*gate.qubits, *gate.controls)])
        circuit.measure(places, read)
        drawn = int(seed.generate_state(1)[0] >> 1)
        counts = self._aer.run_rewritten(circuit, shots, seed_simulator=drawn).get_counts(0)
        return np.repeat([int(key, 2) for key in counts], list(counts.values()))[None]

    def _append(self, circuit: QuantumCircuit, gate: Unitary, qubits: list[int]) -> None:
        """A gate of the change of basis: a matrix, which no noise model names, or gates that every method has."""
        if self._aer.noise is not None:
            circuit.unitary(gate.full_matrix(), qubits, label="change of basis")
            return
        for name in CLIFFORDS[gate.name]:
            getattr(circuit, name)(*reversed(qubits))


def _places(rewritten: QuantumCircuit, n_qubits: int) -> list[int]:
    """Where each qubit of the circuit is at the end, after it was routed through a device's coupling."""
    return list(range(n_qubits)) if rewritten.layout is None else rewritten.layout.final_index_layout()


def exact(aer: Backend, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> tuple[np.ndarray, np.ndarray]:
    """(K,) expectation values as Aer's method has them, under noise where it holds density matrices, and (K,) zeros.

    Raises:
        Unsupported: the method keeps no expectation values.
    """
    import qiskit_aer  # noqa: F401 (it gives circuits their methods to save values)

    if aer.method == "extended_stabilizer":
        raise Unsupported("Aer's method 'extended_stabilizer' has no exact expectation values: give shots")
    ready = aer.rewritten(circuit)
    for number, observable in enumerate(observables):
        ready.save_expectation_value(observable, _places(ready, circuit.num_qubits), label=f"e{number}")
    data = aer.run_rewritten(ready, shots=1).data(0)
    values = np.array([float(np.real(data[f"e{number}"])) for number in range(len(observables))])
    return values, np.zeros_like(values)


def estimate(
    aer: Backend, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], shots: int, seed: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) means and (K,) standard errors from `shots` shots per group of commuting terms.

    Args:
        aer: a backend with a noise model or a method of its own.
        circuit: no free parameters and no classical bits.
    """
    program = Program(circuit.num_qubits, ())
    measured = Measured(_Written(aer, circuit, program, observables))
    means, errors = measured.estimate(np.zeros((1, 0)), np.zeros(0), shots, np.random.SeedSequence(seed))
    return means[0], errors[0]
