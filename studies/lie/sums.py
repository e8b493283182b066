"""What sums of Pauli strings generate: the dimension of their algebra by exact arithmetic modulo a prime.

All terms of a generator share an angle there, as in the Hamiltonian variational ansatz. The algebra is spanned by nested
commutators with generators only. Structure constants of Pauli strings are whole numbers, so ranks are taken over the
integers modulo 2^31 - 1: nothing is rounded. Such a rank is never larger than the true one, and smaller only if the
prime divides one of finitely many determinants.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from circuits.errors import LabError
from studies.lie.strings import Strings, closure

PRIME = 2**31 - 1  # a product of two residues fits into 64 bits


@dataclass(frozen=True)
class Span:
    """An algebra as a row space modulo `PRIME`.

    Attributes:
        strings: what its elements are combinations of.
        rows: (dimension, len(strings)) coefficients in reduced echelon form.
    """

    strings: Strings
    rows: np.ndarray

    @property
    def dimension(self) -> int:
        """Of the algebra over the real numbers."""
        return len(self.rows)


def closure_of_sums(generators: Sequence[SparsePauliOp]) -> Span:
    """The algebra of generators that are sums of Pauli strings with whole coefficients.

    Args:
        generators: Hermitian, not zero; a multiple of a generator generates the same.

    Raises:
        LabError: no generator, or a coefficient that is no whole number.
        TooLarge: the single strings span more than four million.

    Cost: dimension^2 times the number of strings that the single terms span.
    """
    terms = [_whole(generator) for generator in generators]
    if not terms:
        raise LabError("an algebra needs at least one generator, got none")
    strings = closure(Strings.joined([each for each, _ in terms]))
    actions = [_action(strings, *term) for term in terms]
    start = np.zeros((len(terms), len(strings)), np.int64)
    for row, (each, coefficients) in zip(start, terms):
        row[strings.find(each)] = coefficients
    rows, pivots, latest = start[:0], [], start % PRIME
    while len(latest):
        rows, pivots, found = _extended(rows, pivots, latest)
        latest = np.concatenate([(action @ found.T).T % PRIME for action in actions])
    return Span(strings, rows)


def _whole(generator: SparsePauliOp) -> tuple[Strings, np.ndarray]:
    """The strings of a generator and their coefficients."""
    generator = generator.simplify()
    whole = np.rint(generator.coeffs.real).astype(np.int64)
    if abs(generator.coeffs - whole).max() > 1e-9 or not whole.any() or abs(whole).max() > 1000:
        raise LabError(
            "a generator needs whole coefficients of at most 1000, not all zero, for exact arithmetic, got "
            f"{generator.coeffs.tolist()}: multiply it with a common denominator"
        )
    return Strings.of(PauliList(generator.paulis)), whole


def _action(strings: Strings, terms: Strings, coefficients: np.ndarray):
    """The commutator with a sum as a sparse matrix, up to a factor that all commutators share.

    For anticommuting Hermitian A and B it is [iA, iB] = -2 AB = -2 i s C with a Hermitian string C; s is what is kept.
    """
    from scipy.sparse import coo_array

    rows, columns, values = [], [], []
    for number, coefficient in enumerate(coefficients):
        term = terms[number : number + 1]
        moved = np.flatnonzero(strings.anticommute(term))
        rows.append(strings.find(strings[moved].times(term)))
        columns.append(moved)
        values.append(coefficient * (2 - term.phases(strings[moved])))
    rows, columns, values = (np.concatenate(parts) for parts in (rows, columns, values))
    return coo_array((values, (rows, columns)), shape=(len(strings),) * 2, dtype=np.int64).tocsr()


def _extended(rows: np.ndarray, pivots: list[int], vectors: np.ndarray) -> tuple[np.ndarray, list[int], np.ndarray]:
    """The row space with the vectors added, its pivots, and the rows that are new in it, as they were found."""
    vectors = (vectors - _product(vectors[:, pivots], rows)) % PRIME
    pivots, new = list(pivots), []
    while len(vectors := vectors[vectors.any(axis=1)]):
        pivot = int(np.argmax(vectors[0] != 0))
        row = vectors[0] * pow(int(vectors[0, pivot]), -1, PRIME) % PRIME
        vectors, rows = (_cleared(each, row, pivot) for each in (vectors[1:], rows))
        rows = np.vstack([rows, row])
        pivots.append(pivot)
        new.append(row)
    return rows, pivots, np.array(new, np.int64).reshape(-1, rows.shape[1])


def _cleared(vectors: np.ndarray, row: np.ndarray, pivot: int) -> np.ndarray:
    """The vectors without the row's pivot."""
    touched = vectors[:, pivot] != 0
    vectors[touched] = (vectors[touched] - vectors[touched, pivot, None] * row) % PRIME
    return vectors


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left @ right modulo the prime, in halves of 16 bits, of which 2^16 products add up without overflow."""
    high, low = left >> 16, left & 0xFFFF
    return ((high @ right % PRIME << 16) + low @ right) % PRIME
