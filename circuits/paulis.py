"""Pauli sums as bit masks, and their action on state vectors: the arithmetic that engines share.

A string P with letters X, Y, Z acts as P|k> = i^(number of Y) (-1)^(popcount(k & z)) |k ^ x>, with `x` and `z` the masks
of the qubits that carry X or Y, and Z or Y.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import SparsePauliOp


def masks(pauli: str, qubits: Sequence[int]) -> tuple[int, int, int]:
    """(x mask, z mask, number of Y) of a string whose first letter acts on `qubits[0]`."""
    x = sum(1 << q for letter, q in zip(pauli, qubits) if letter in "XY")
    z = sum(1 << q for letter, q in zip(pauli, qubits) if letter in "ZY")
    return x, z, pauli.count("Y")


@dataclass(frozen=True)
class PauliSums:
    """K observables as a flat table of terms: term j is coefficients[j] times a string and belongs to owner[j]."""

    n_qubits: int
    n_observables: int
    x: np.ndarray
    z: np.ndarray
    n_y: np.ndarray
    coefficients: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, observables: Sequence[SparsePauliOp], n_qubits: int) -> "PauliSums":
        """The table of Hermitian observables on at most 62 qubits."""
        powers = 1 << np.arange(n_qubits, dtype=np.int64)
        paulis = [operator.paulis for operator in observables]

        def stack(rows, dtype):
            return np.concatenate([*rows, np.zeros(0, dtype)]).astype(dtype)

        return cls(
            n_qubits,
            len(observables),
            stack([p.x @ powers for p in paulis], np.int64),
            stack([p.z @ powers for p in paulis], np.int64),
            stack([(p.x & p.z).sum(axis=1) for p in paulis], np.int64),
            stack([operator.coeffs.real for operator in observables], float),
            stack([np.full(len(p), k) for k, p in enumerate(paulis)], np.int64),
        )

    def _signs(self, term: int) -> np.ndarray:
        """(2^n,): what the string multiplies |k> with before it flips bits."""
        index = np.arange(2**self.n_qubits)
        parity = np.bitwise_count(index & self.z[term]) & 1
        return (1j ** (self.n_y[term] % 4)) * (1.0 - 2.0 * parity)

    def expectations(self, states: np.ndarray) -> np.ndarray:
        """(B, K) real values <state|O_k|state> of the rows of `states`, (B, 2^n), normalised or not."""
        values = np.zeros((len(states), self.n_observables))
        probabilities = states.real**2 + states.imag**2
        index = np.arange(2**self.n_qubits)
        for term, owner in enumerate(self.owner):
            signs = self._signs(term)
            if self.x[term] == 0:
                value = probabilities @ signs.real
            else:
                value = np.einsum("bk,bk->b", states[:, index ^ self.x[term]].conj(), states * signs).real
            values[:, owner] += self.coefficients[term] * value
        return values

    def apply(self, states: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """(B, 2^n): row b is sum_k cotangents[b, k] O_k |state b>."""
        out = np.zeros_like(states)
        index = np.arange(2**self.n_qubits)
        for term, owner in enumerate(self.owner):
            weight = self.coefficients[term] * cotangents[:, owner, None]
            flipped = (states * self._signs(term))[:, index ^ self.x[term]]
            out += weight * flipped
        return out
