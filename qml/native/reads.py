"""Functions of parities of a row index, as small tables.

A phase, or a Pauli term, sees a row p by the parity of p & read. Reads whose span has rank r see only r parities of p, the
p's coordinates; so a function of many reads is a table of 2^r entries, and reads of higher rank are several tables. The
entry of a table for a read is its coordinates in the table's basis, and a Walsh-Hadamard transform of the table goes from
entries by read to entries by row, or back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MOST_RANK = 6  # 64 rows of a table and of its moments: 12 kB, of which three or four fit the first-level cache


@dataclass
class ReadTable:
    """Reads in one span of low rank.

    Attributes:
        basis: read masks; coordinate k of an index is the parity of index & basis[k].
        coordinates: of each read in the table, by its place in the list that was grouped.
    """

    basis: list[int] = field(default_factory=list)
    coordinates: dict[int, int] = field(default_factory=dict)
    _echelon: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def pivots(self) -> list[int]:
        """The bits by which the basis was reduced, one for each of its members."""
        return [pivot for pivot, _, _ in self._echelon]

    def express(self, read: int) -> tuple[int, int]:
        """(coordinates, what is left of the read outside the span)."""
        chosen = 0
        for pivot, vector, combination in self._echelon:
            if read >> pivot & 1:
                read ^= vector
                chosen ^= combination
        return chosen, read

    def extend(self, read: int) -> int:
        """Coordinates of a read, for which the basis grows where it must."""
        chosen, rest = self.express(read)
        if rest:
            self._echelon.append((rest.bit_length() - 1, rest, chosen | 1 << len(self.basis)))
            chosen = 1 << len(self.basis)
            self.basis.append(read)
        return chosen

    def of_indices(self, indices: np.ndarray) -> np.ndarray:
        """Coordinates of row indices."""
        out = np.zeros(len(indices), np.int64)
        for k, mask in enumerate(self.basis):
            out |= (np.bitwise_count(indices & mask).astype(np.int64) & 1) << k
        return out


def grouped(reads: Sequence[int]) -> list[ReadTable]:
    """The reads in as few tables of rank at most MOST_RANK as a greedy choice finds, of about equal rank."""
    whole = ReadTable()
    for read in reads:
        whole.extend(read)
    rank = len(whole.basis)
    n_tables = max(1, -(-rank // MOST_RANK))
    most = max(1, -(-rank // n_tables))
    tables: list[ReadTable] = []
    for place, read in enumerate(reads):
        holding = [table for table in tables if not table.express(read)[1]]
        if not holding and len(tables) < n_tables:
            tables.append(ReadTable())
        # To the emptiest: reads of neighbouring bits in different tables keep consecutive rows off one table row.
        table = holding[0] if holding else min(tables, key=lambda table: len(table.basis))
        if not holding and len(table.basis) >= most:
            table = ReadTable()
            tables.append(table)
        table.coordinates[place] = table.extend(read)
    return tables
