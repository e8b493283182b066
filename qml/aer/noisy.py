"""Expectation values under noise: the circuit as it was written, each of its gates with its noise, sampled.

Lowering would turn some gates into several rotations and others into gates that no noise model names, so none takes place.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from circuits.program import Program, Unitary
from qml.backends.base import Backend, Compiled, Slots
from qml.measurement import Measured


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
        circuit = self._circuit.copy()
        for gate in self.program.gates:
            assert isinstance(gate, Unitary)
            # A labelled matrix is no gate of a noise model: what is measured is the noisy state, not a noisy measurement.
            circuit.unitary(gate.matrix, list(gate.qubits), label="change of basis")
        circuit.measure_all()
        counts = self._aer.counts(circuit, shots, int(seed.generate_state(1)[0]))
        return np.repeat([int(key.replace(" ", ""), 2) for key in counts], list(counts.values()))[None]


def estimate(
    aer: Backend, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp], shots: int, seed: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) means and (K,) standard errors from `shots` shots per group of commuting terms.

    Args:
        aer: a backend with a noise model.
        circuit: no free parameters and no classical bits.
    """
    program = Program(circuit.num_qubits, ())
    measured = Measured(_Written(aer, circuit, program, observables))
    means, errors = measured.estimate(np.zeros((1, 0)), np.zeros(0), shots, np.random.SeedSequence(seed))
    return means[0], errors[0]
