"""Expectation values from shots: terms that commute are measured together, in one basis a group.

Terms are grouped qubit by qubit, so that a basis is a turn of each qubit alone. Where groups of terms that commute, though
not qubit by qubit, are fewer, those are taken, and Clifford gates between qubits turn their terms into products of Z.
"""

from collections.abc import Sequence

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from circuits.errors import Unsupported
from circuits.program import Unitary
from qml.backends.base import MOST_QUBITS, Compiled
from qml.diagonalization import Diagonal, commuting_groups, diagonalised
from qml.seeds import child

_H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
Term = tuple[str, float, int]  # label, coefficient, and the observable it belongs to
NONE = ord("I")
TO_Z = {"X": _H, "Y": _H @ np.diag([1, -1j])}  # from the eigenbasis of a letter to that of Z


class Measured:
    """The groups of a compiled circuit's observables, each with its own change of basis and its own shots."""

    def __init__(self, compiled: Compiled):
        if (n_qubits := compiled.program.n_qubits) > MOST_QUBITS:  # an outcome is a 64-bit integer, and so is a term's mask
            raise Unsupported(f"values from shots hold {MOST_QUBITS} qubits, got {n_qubits}: ask for exact ones")
        self._compiled = compiled
        self._n_observables = len(compiled.observables)
        self._constants = np.zeros(self._n_observables)
        self._groups = [self._group(terms) for terms in grouped(self._terms(compiled.observables))]

    def _terms(self, observables: Sequence[SparsePauliOp]) -> list[Term]:
        terms = []
        for owner, operator in enumerate(observables):
            for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs.real):
                if set(label) == {"I"}:
                    self._constants[owner] += coefficient
                else:
                    terms.append((label, float(coefficient), owner))
        return terms

    def _group(self, terms: list[Term]) -> tuple[Compiled, Diagonal, list[Term]]:
        basis = _basis([label for label, _, _ in terms])
        program = self._compiled.program.followed_by(basis.gates)
        return self._compiled.backend.compile(program, [], self._compiled.slots), basis, terms

    @property
    def n_groups(self) -> int:
        """How many measurement bases, and so circuits per sample, the observables need."""
        return len(self._groups)

    def circuits(self) -> list[tuple[str, Compiled]]:
        """What each group measures, a letter for each qubit or else its strings, and the circuit that does."""
        return [(_named([label for label, _, _ in terms]), compiled) for compiled, _, terms in self._groups]

    def estimate(
        self, inputs: np.ndarray, weights: np.ndarray, shots: int, seed: np.random.SeedSequence
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) means over shots and (B, K) standard errors; unbiased, `shots` shots per group and sample."""
        batch = len(inputs)
        means = np.broadcast_to(self._constants, (batch, self._n_observables)).copy()
        variances = np.zeros_like(means)
        for index, (compiled, basis, terms) in enumerate(self._groups):
            own = child(seed, index)
            outcomes = compiled.sample(inputs, weights, shots, own)
            read = list(zip(basis.masks, basis.signs, terms))
            for owner in sorted({owner for _, _, owner in terms}):
                values = np.zeros(outcomes.shape)  # of one observable at a time: a number for each shot is large enough
                for mask, sign, (_, coefficient, of) in read:
                    if of == owner:
                        values += sign * coefficient * (1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1))
                means[:, owner] += values.mean(axis=1)
                variances[:, owner] += values.var(axis=1, ddof=1) / shots if shots > 1 else np.nan
        norms = self._squared_norms(inputs, weights)
        return (norms * means).astype(weights.dtype), (norms * np.sqrt(variances)).astype(weights.dtype)

    def _squared_norms(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
        """(B, 1) squared norms of the initial states: what is sampled is the normalised state."""
        amplitudes = self._compiled.program.amplitudes
        if not amplitudes:
            return 1.0
        return (self._compiled.slots.join(inputs, weights)[list(amplitudes)] ** 2).sum(axis=0)[:, None]


def grouped(terms: list[Term]) -> list[list[Term]]:
    """Groups of terms that are measured together: those that commute qubit by qubit, or at all where that gives fewer."""
    places: dict[str, int] = {}
    for label, _, _ in terms:
        places.setdefault(label, len(places))
    by_qubit = _qubitwise(list(places))
    groups = by_qubit
    if len(by_qubit) > 1:
        general = commuting_groups(PauliList(list(places)))
        groups = general if len(general) < len(by_qubit) else by_qubit
    owner = {place: index for index, group in enumerate(groups) for place in group}
    out: list[list[Term]] = [[] for _ in groups]
    for term in terms:
        out[owner[places[term[0]]]].append(term)
    return out


def _qubitwise(labels: list[str]) -> list[list[int]]:
    """Greedy groups in which no qubit is asked for two different letters."""
    letters = np.frombuffer("".join(labels).encode(), np.uint8).reshape(len(labels), -1 if labels else 0)
    bases = np.full_like(letters, NONE)  # what each group measures; there are no more groups than labels
    groups: list[list[int]] = []
    for place, own in enumerate(letters):
        known = bases[: len(groups)]
        is_open = ~((known != own) & (known != NONE) & (own != NONE)).any(axis=1)
        first = int(np.argmax(is_open)) if is_open.any() else len(groups)
        groups += [[]] if first == len(groups) else []
        groups[first].append(place)
        bases[first] = np.where(own == NONE, bases[first], own)
    return groups


def _named(labels: list[str]) -> str:
    """One string for a basis of each qubit's own, else all of them."""
    letters = [set(column) - {"I"} for column in zip(*labels)]
    if any(len(of_qubit) > 1 for of_qubit in letters):
        return ", ".join(dict.fromkeys(labels))
    return "".join(of_qubit.pop() if of_qubit else "I" for of_qubit in letters)


def _basis(labels: list[str]) -> Diagonal:
    """The turn to the eigenbasis of commuting strings: of each qubit alone where that does."""
    letters = [set(column) - {"I"} for column in zip(*labels)][::-1]  # of each qubit
    if any(len(of_qubit) > 1 for of_qubit in letters):
        return diagonalised(PauliList(labels))
    gates = [
        Unitary(f"measure_{letter}", TO_Z[letter], (qubit,))
        for qubit, of_qubit in enumerate(letters)
        for letter in of_qubit
        if letter in TO_Z
    ]
    masks = [sum(1 << q for q, letter in enumerate(reversed(label)) if letter != "I") for label in labels]
    return Diagonal(gates, np.array(masks, np.int64), np.ones(len(labels)))
