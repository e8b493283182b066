"""Pauli strings up to their sign as bit masks, and what single strings generate.

The commutator of two strings is nothing if they commute and their product, one string, if they do not. So the algebra of
a set of strings is spanned by strings, and each of them is reached from a generator by multiplying with generators that
anticommute: a search through a graph, exact, on whole levels of it at a time.

Source: the closure of strings under commutators as in Aguilar, Cichy, Eisert, Bittel, arXiv:2408.00081.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import PauliList

from circuits.errors import LabError, TooLarge

MOST_QUBITS = 64  # a mask is one machine word
MOST_STRINGS = 1 << 22  # all of them on 11 qubits


@dataclass(frozen=True)
class Strings:
    """Hermitian Pauli strings i^(number of Y) X^x Z^z, all with the sign +.

    Attributes:
        x, z: (J,) unsigned masks of the qubits that carry X or Y, and Z or Y.
    """

    n_qubits: int
    x: np.ndarray
    z: np.ndarray

    @classmethod
    def of(cls, paulis: PauliList | Sequence[str]) -> "Strings":
        """From labels or a `PauliList`; signs are dropped.

        Raises:
            LabError: more than 64 qubits.
        """
        paulis = PauliList(paulis)
        if paulis.num_qubits > MOST_QUBITS:
            raise LabError(f"strings have at most {MOST_QUBITS} qubits here, got {paulis.num_qubits}")
        powers = np.uint64(1) << np.arange(paulis.num_qubits, dtype=np.uint64)
        return cls(paulis.num_qubits, *((bits * powers).sum(axis=1, dtype=np.uint64) for bits in (paulis.x, paulis.z)))

    @classmethod
    def joined(cls, several: Sequence["Strings"]) -> "Strings":
        """All of them, one set after the other; at least one set."""
        x, z = (np.concatenate([getattr(one, mask) for one in several]) for mask in "xz")
        return cls(several[0].n_qubits, x, z)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen) -> "Strings":
        """Those chosen by a slice, a mask or an array of indices."""
        return Strings(self.n_qubits, self.x[chosen], self.z[chosen])

    def labels(self) -> list[str]:
        """As Qiskit writes them, qubit 0 rightmost."""
        bits = np.arange(self.n_qubits, dtype=np.uint64)
        x, z = ((mask[:, None] >> bits & np.uint64(1)).astype(bool) for mask in (self.x, self.z))
        return PauliList.from_symplectic(z, x).to_labels()

    def anticommute(self, other: "Strings") -> np.ndarray:
        """Which anticommute, string by string; a single string is held against all."""
        return ((np.bitwise_count(self.x & other.z) + np.bitwise_count(self.z & other.x)) & 1).astype(bool)

    def times(self, other: "Strings") -> "Strings":
        """The products up to a factor, string by string."""
        return Strings(self.n_qubits, self.x ^ other.x, self.z ^ other.z)

    def phases(self, other: "Strings") -> np.ndarray:
        """Exponents of i in the products, string by string: even where they commute, odd where they do not."""
        y, of_other, of_both = (np.bitwise_count(s.x & s.z).astype(np.int64) for s in (self, other, self.times(other)))
        return (y + of_other - of_both + 2 * np.bitwise_count(self.z & other.x).astype(np.int64)) & 3

    def distinct(self, known: Sequence["Strings"] = ()) -> "Strings":
        """Those that are not among the `known` ones, each once, in the order of their masks."""
        together = Strings.joined([*known, self])
        # The sort is stable, so where a string is known its first occurrence is the known one.
        order = np.lexsort((together.z, together.x))
        x, z = together.x[order], together.z[order]
        first = np.concatenate([[True], (x[1:] != x[:-1]) | (z[1:] != z[:-1])])[: len(order)]
        return together[order[first & (order >= len(together) - len(self))]]

    def find(self, others: "Strings") -> np.ndarray:
        """Where each of the others stands among these, which are distinct; -1 where it does not."""
        together = Strings.joined([self, others])
        order = np.lexsort((together.z, together.x))
        x, z = together.x[order], together.z[order]
        first = np.concatenate([[True], (x[1:] != x[:-1]) | (z[1:] != z[:-1])])[: len(order)]
        leader = order[first][np.cumsum(first) - 1]
        places = np.empty(len(together), np.int64)
        places[order] = np.where(leader < len(self), leader, -1)
        return places[len(self) :]


def closure(generators: Strings | PauliList | Sequence[str]) -> Strings:
    """The strings that span the algebra of the generators, which are placed individually.

    Args:
        generators: labels, a `PauliList` or `Strings` of at most 64 qubits; the identity may be among them.

    Raises:
        LabError: no generator, or more than 64 qubits.
        TooLarge: more than four million strings.

    Cost: a few sorts of the strings found, for each of the generators that anticommutes with them.
    """
    generators = generators if isinstance(generators, Strings) else Strings.of(generators)
    if not len(generators):
        raise LabError("an algebra needs at least one generator, got none")
    return reached(generators, generators)


def reached(start: Strings, generators: Strings) -> Strings:
    """The strings that nested commutators with the generators reach from those of `start`, in the order of their masks.

    Started from one string of an observable, they span all that its expectation value in the circuit depends on.
    """
    levels = [start[:0], start.distinct()]
    while len(levels[-1]):
        if sum(map(len, levels)) > MOST_STRINGS:
            raise TooLarge(
                f"{start.n_qubits} qubits: the generators reach more than {MOST_STRINGS} strings, take fewer qubits"
            )
        # A product with the same generator leads back, so neighbours are at most one level away.
        levels.append(_neighbours(levels[-1], generators).distinct(levels[-2:]))
    return Strings.joined(levels).distinct()


def _neighbours(strings: Strings, generators: Strings) -> Strings:
    found = [strings[:0]]
    for number in range(len(generators)):
        generator = generators[number : number + 1]
        found.append(strings[strings.anticommute(generator)].times(generator))
    return Strings.joined(found)
