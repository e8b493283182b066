"""Expectation values from shots: terms that commute qubit by qubit are measured together, in one basis a group."""

from collections.abc import Sequence

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.program import Gate, Unitary
from qml.backends.base import Compiled
from qml.seeds import child

_H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
TO_Z = {"X": _H, "Y": _H @ np.diag([1, -1j])}  # from the eigenbasis of a letter to that of Z


class Measured:
    """The groups of a compiled circuit's observables, each with its own change of basis and its own shots."""

    def __init__(self, compiled: Compiled):
        self._compiled = compiled
        self._n_observables = len(compiled.observables)
        self._constants = np.zeros(self._n_observables)
        self._groups = [self._group(terms) for terms in grouped(self._terms(compiled.observables))]

    def _terms(self, observables: Sequence[SparsePauliOp]) -> list[tuple[str, float, int]]:
        terms = []
        for owner, operator in enumerate(observables):
            for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs.real):
                if set(label) == {"I"}:
                    self._constants[owner] += coefficient
                else:
                    terms.append((label, float(coefficient), owner))
        return terms

    def _group(self, terms: list[tuple[str, float, int]]):
        n_qubits = self._compiled.program.n_qubits
        basis = _merged([label for label, _, _ in terms])
        gates: list[Gate] = [
            Unitary(f"measure_{letter}", TO_Z[letter], (qubit,))
            for qubit, letter in enumerate(reversed(basis))
            if letter in TO_Z
        ]
        program = self._compiled.program.followed_by(gates)
        support = [sum(1 << q for q in range(n_qubits) if label[-1 - q] != "I") for label, _, _ in terms]
        compiled = self._compiled.backend.compile(program, [], self._compiled.slots)
        return compiled, np.array(support, np.int64), terms

    @property
    def n_groups(self) -> int:
        """How many measurement bases, and so circuits per sample, the observables need."""
        return len(self._groups)

    def circuits(self) -> list[tuple[str, Compiled]]:
        """Each measurement basis, a letter for each qubit, with the circuit that measures in it."""
        return [(_merged([label for label, _, _ in terms]), compiled) for compiled, _, terms in self._groups]

    def estimate(
        self, inputs: np.ndarray, weights: np.ndarray, shots: int, seed: np.random.SeedSequence
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) means over shots and (B, K) standard errors; unbiased, `shots` shots per group and sample."""
        batch = len(inputs)
        means = np.broadcast_to(self._constants, (batch, self._n_observables)).copy()
        variances = np.zeros_like(means)
        for index, (compiled, support, terms) in enumerate(self._groups):
            own = child(seed, index)
            outcomes = compiled.sample(inputs, weights, shots, own)
            values = np.zeros((self._n_observables, *outcomes.shape))
            for mask, (_, coefficient, owner) in zip(support, terms):
                values[owner] += coefficient * (1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1))
            means += values.mean(axis=2).T
            variances += (values.var(axis=2, ddof=1) if shots > 1 else np.full(values.shape[:2], np.nan)).T / shots
        norms = self._squared_norms(inputs, weights)
        return (norms * means).astype(weights.dtype), (norms * np.sqrt(variances)).astype(weights.dtype)

    def _squared_norms(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
        """(B, 1) squared norms of the initial states: what is sampled is the normalised state."""
        amplitudes = self._compiled.program.amplitudes
        if not amplitudes:
            return 1.0
        return (self._compiled.slots.join(inputs, weights)[list(amplitudes)] ** 2).sum(axis=0)[:, None]


def grouped(terms: list[tuple[str, float, int]]) -> list[list[tuple[str, float, int]]]:
    """Greedy groups in which no qubit is asked for two different letters."""
    groups: list[tuple[list[str], list]] = []
    for term in terms:
        for basis, group in groups:
            if all("I" in (a, b) or a == b for a, b in zip(term[0], basis)):
                group.append(term)
                basis[:] = [a if a != "I" else b for a, b in zip(term[0], basis)]
                break
        else:
            groups.append((list(term[0]), [term]))
    return [group for _, group in groups]


def _merged(labels: list[str]) -> str:
    """The letter each qubit is measured in, I where no term asks."""
    return "".join(next((c for c in column if c != "I"), "I") for column in zip(*labels))
