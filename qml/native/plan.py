"""A normal form as tables of tiles and stages: planned once per circuit, read by the fast kernels at run time.

An index of the state is a row and, where one large state has its low index bits in the lanes of a vector, a lane. A tile
takes 2^k rows at a time, a coset of the span of k flips, does as many stages on them as it can, and goes to the next coset;
a state that fits the cache is one tile of all its rows. A stage is up to three turns, or one diagonal, on all rows of a
tile. Turns of a stage come with the rows in which all their bits are 0, sorted by sign, so no kernel asks a row for a sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native.normal_form import Angle, NormalForm, Phase, Turn, layout, normal_form
from qml.native.reads import ReadTable, grouped
from qml.native.tiling import Tile, seen_steps, tiles_of

# Columns of `stages`. FLIPS, SHIFTS and TURNS have one entry for each of up to three turns.
KIND, FIRST, COUNT, SIGNS, FLIPS, SHIFTS, TURNS, STAGE_COLUMNS = 0, 1, 2, 3, 4, 7, 10, 13
LANE_TURN, DIAGONAL, DENSE = 4, 5, 6  # kinds beside 1, 2 and 3, the number of turns
# Columns of `tiles`.
STAGE, STAGE_END, ENTRIES, N_ENTRIES, COSET, N_COSETS, GATHERS, TILE_COLUMNS = range(8)
# Columns of `tables`, and of `groups`: the observables' terms by flip and by whether i^(number of Y) is imaginary.
OFFSET, RANK, BASIS, IS_OWN, PHASE, PHASE_END, LOW, HIGH, TABLE_COLUMNS = range(9)
FLIP, IS_ODD, TABLE, TABLE_END, GROUP_COLUMNS = range(5)
ROW, ANGLE, SIGN, PHASE_COLUMNS = range(4)  # of `phases`
TERM_ROW, OWNER, TERM_COLUMNS = range(3)  # of `terms`

LOW_BITS = 10  # rows of a block of the observables' pass


class Tables(NamedTuple):
    """What kernels read. Arrays of int64, flat unless said otherwise, but for the last.

    Attributes:
        tiles, stages: (n, TILE_COLUMNS), (n, STAGE_COLUMNS).
        entries: index of each entry of a tile, from a base of 0: its row, and how its lanes are exchanged.
        cosets: base rows of tiles. bases: entries in which all bits of a stage's turns are 0.
        reads: of each turn. lane_signs: (n_turns, lanes): -1 where the turn's bit of the lane index alone is 1.
        places: the table rows of a diagonal stage's entries. tables: (n, TABLE_COLUMNS) of diagonals. basis: of all tables.
            A DIAGONAL stage multiplies by the rows of its tables; a DENSE one, whose phases all lanes share, by numbers
            that are multiplied out once a run, and its FLIPS + 1 is which.
        lane_places: (n_tables, lanes): table rows of the lane index alone.
        phases: (n, 3): table row, angle row, and -1 where inverted.
        groups, terms, term_coefficients, read_tables, read_places, read_lane_places: the same of the observables; a term
            is (table row, observable).
    """

    tiles: np.ndarray
    stages: np.ndarray
    entries: np.ndarray
    cosets: np.ndarray
    bases: np.ndarray
    reads: np.ndarray
    lane_signs: np.ndarray
    places: np.ndarray
    tables: np.ndarray
    basis: np.ndarray
    lane_places: np.ndarray
    phases: np.ndarray
    groups: np.ndarray
    read_tables: np.ndarray
    read_places: np.ndarray
    read_lane_places: np.ndarray
    terms: np.ndarray
    term_coefficients: np.ndarray


class Packed(NamedTuple):
    """`Tables` in three arrays: a kernel's call costs by the number of arrays that it is given.

    Attributes:
        integers: every table of integers, end to end. shapes: (n, 3): where each starts, its rows and its columns.
        coefficients: of the observables' terms.
    """

    integers: np.ndarray
    shapes: np.ndarray
    coefficients: np.ndarray


def pack(tables: Tables) -> Packed:
    """The tables end to end, in order; the last one is that of floats."""
    *arrays, coefficients = tables
    starts = np.cumsum([0, *(array.size for array in arrays)])
    shapes = [(start, len(array), array.shape[1] if array.ndim == 2 else 1) for start, array in zip(starts, arrays)]
    return Packed(np.concatenate([array.ravel() for array in arrays]), np.array(shapes, np.int64), coefficients)


@dataclass(frozen=True)
class Plan:
    """Everything about a program that does not change from run to run.

    Attributes:
        n_rows: of the state. n_table_rows, n_read_rows: rows of all tables of diagonals, and of observables.
        n_dense: diagonals that are multiplied out.
        slot, coefficient: of each angle row, turns first; slot -1 is a constant.
        start: (2^n,): the index of each basis state before the first gate, or None where it is its own.
    """

    n_qubits: int
    lane_bits: int
    form: NormalForm
    tables: Tables
    packed: Packed
    n_rows: int
    n_turns: int
    n_table_rows: int
    n_read_rows: int
    n_dense: int
    slot: np.ndarray
    coefficient: np.ndarray
    start: np.ndarray | None


class _Pool:
    """Arrays laid end to end, equal ones once."""

    def __init__(self):
        self._parts: list[np.ndarray] = []
        self._size = 0
        self._known: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> int:
        """Where the array starts."""
        array = np.ascontiguousarray(array, np.int64)
        key = array.tobytes()
        if key not in self._known:
            self._known[key] = self._size
            self._parts.append(array)
            self._size += len(array)
        return self._known[key]

    def flat(self) -> np.ndarray:
        return np.concatenate([*self._parts, np.zeros(1, np.int64)])


def plan(program: Program, sums: PauliSums, differs: Sequence[bool], lane_bits: int, lanes: int) -> Plan:
    """The tables of a program and its observables.

    Args:
        differs: for each slot, and at last for constants, whether its value differs between samples.
        lane_bits: low index bits that are lanes; 0 where lanes are samples.
    """
    form = normal_form(program, lane_bits)
    start = layout(program.n_qubits, lane_bits).logical_rows() if lane_bits and program.amplitudes else None
    writer = _Writer(program.n_qubits, lane_bits, lanes, differs)
    for tile in tiles_of(form, lane_bits, seen_steps(form, program, sums)):
        writer.tile(tile)
    return writer.plan(form, sums, start)


class _Writer:
    """Collects the tables while the tiles are walked."""

    def __init__(self, n_qubits: int, lane_bits: int, lanes: int, differs: Sequence[bool]):
        self._n_qubits, self._lane_bits, self._lanes, self._differs = n_qubits, lane_bits, lanes, differs
        self._tiles: list[list[int]] = []
        self._stages: list[list[int]] = []
        self._entries, self._cosets, self._bases, self._places = (_Pool() for _ in range(4))
        self._reads: list[int] = []
        self._turn_angles: list[Angle] = []
        self._phase_angles: list[Angle] = []
        self._phases: list[tuple[int, int, int]] = []
        self._tables = _TableWriter(lane_bits, lanes)
        self._n_dense = 0

    def tile(self, tile: Tile) -> None:
        row = [0] * TILE_COLUMNS
        indices = tile.entries()
        row[STAGE], row[N_ENTRIES] = len(self._stages), len(indices)
        for kind, content in tile.content:
            if kind == "turns":
                self._turns(tile, content, indices)
            else:
                own = [phase for phase in content if self._is_own(phase.angle)]
                shared = [phase for phase in content if not self._is_own(phase.angle)]
                for kind, phases in ((DIAGONAL, own), (DENSE, shared)):
                    if phases:
                        self._diagonal(kind, phases, indices)
        row[STAGE_END] = len(self._stages)
        row[GATHERS] = not tile.whole
        row[N_COSETS] = 1
        if not tile.whole:
            row[ENTRIES] = self._entries.add(indices)
            cosets = self._coset_rows(tile)
            row[COSET], row[N_COSETS] = self._cosets.add(cosets), len(cosets)
        self._tiles.append(row)

    def _coset_rows(self, tile: Tile) -> np.ndarray:
        """One row of each coset: that without any of the span's leading bits."""
        rows = np.zeros(1, np.int64)
        for bit in set(range(self._n_qubits)) - set(tile.span.pivots):
            if bit >= self._lane_bits:
                rows = np.concatenate([rows, rows | 1 << bit - self._lane_bits])
        return np.sort(rows)

    def _turns(self, tile: Tile, group: list[Turn], indices: np.ndarray) -> None:
        moves = [tile.local(turn.flip) for turn in group]
        bits = [np.bitwise_count(indices & turn.read).astype(np.int64) & 1 for turn in group]
        signs = sum(bit << j for j, bit in enumerate(bits))
        entries = np.arange(len(indices))
        turns = [self._turn(turn) for turn in group]
        is_lane_turn = moves[0][0] == 0
        if is_lane_turn:
            firsts = entries
        else:
            firsts = entries[signs == 0]
            if len(firsts) << len(group) != len(entries) or not self._are_cosets(firsts, moves):
                span = ReadTable()
                for flip, _ in moves:
                    span.extend(flip)
                firsts = entries[entries & sum(1 << pivot for pivot in span.pivots) == 0]
        for sign in np.unique(signs[firsts]):
            chosen = firsts[signs[firsts] == sign]
            row = [0] * STAGE_COLUMNS
            row[KIND] = LANE_TURN if is_lane_turn else len(group)
            row[FIRST], row[COUNT] = self._bases.add(chosen), len(chosen)
            row[SIGNS] = int(sign) ^ sum(turn.inverted << j for j, turn in enumerate(group))
            for j, (flip, shift) in enumerate(moves):
                row[FLIPS + j], row[SHIFTS + j], row[TURNS + j] = flip, shift, turns[j]
            self._stages.append(row)

    @staticmethod
    def _are_cosets(firsts: np.ndarray, moves: list[tuple[int, int]]) -> bool:
        """Whether no two of the entries are in one coset of the flips."""
        covered = firsts
        for flip, _ in moves:
            covered = np.concatenate([covered, covered ^ flip])
        return len(np.unique(covered)) == len(covered)

    def _turn(self, turn: Turn) -> int:
        self._reads.append(turn.read)
        self._turn_angles.append(turn.angle)
        return len(self._reads) - 1

    def _diagonal(self, kind: int, phases: list[Phase], indices: np.ndarray) -> None:
        tables = grouped([phase.read for phase in phases])
        row = [0] * STAGE_COLUMNS
        row[KIND], row[FIRST], row[COUNT] = kind, len(self._tables.rows), len(tables)
        row[FLIPS] = self._places.add(np.concatenate([table.of_indices(indices) for table in tables]))
        if kind == DENSE:
            row[FLIPS + 1] = self._n_dense
            self._n_dense += 1
        for table in tables:
            ends = len(self._phases), len(self._phases) + len(table.coordinates)
            offset = self._tables.add(table, kind == DIAGONAL, phases=ends)
            for place, coordinates in table.coordinates.items():
                sign = -1 if phases[place].inverted else 1
                self._phases.append((offset + coordinates, len(self._phase_angles), sign))
                self._phase_angles.append(phases[place].angle)
        self._stages.append(row)

    def _is_own(self, angle: Angle) -> bool:
        return bool(self._differs[-1 if angle.slot is None else angle.slot])

    def plan(self, form: NormalForm, sums: PauliSums, start: np.ndarray | None) -> Plan:
        angles = [*self._turn_angles, *self._phase_angles]
        phases = _table(self._phases, PHASE_COLUMNS)
        phases[:, ANGLE] += len(self._turn_angles)
        groups, terms, coefficients, reads, read_places = _observables(form, sums, self._lane_bits, self._lanes)
        tables = Tables(
            _table(self._tiles, TILE_COLUMNS), _table(self._stages, STAGE_COLUMNS),
            *(pool.flat() for pool in (self._entries, self._cosets, self._bases)),
            np.array(self._reads, np.int64), self._lane_signs(), self._places.flat(),
            *self._tables.arrays(), phases, groups, reads.arrays()[0], read_places.flat(), reads.arrays()[2],
            terms, coefficients,
        )  # fmt: skip
        return Plan(
            self._n_qubits, self._lane_bits, form, tables, pack(tables),
            1 << self._n_qubits - self._lane_bits, len(self._reads), self._tables.size, reads.size, self._n_dense,
            np.array([-1 if a.slot is None else a.slot for a in angles], np.int64),
            np.array([a.coefficient for a in angles], float), start,
        )  # fmt: skip

    def _lane_signs(self) -> np.ndarray:
        lanes = np.arange(self._lanes) if self._lane_bits else np.zeros(self._lanes, np.int64)
        reads = np.array(self._reads, np.int64).reshape(-1, 1)
        return 1 - 2 * (np.bitwise_count(reads & lanes).astype(np.int64) & 1)


class _TableWriter:
    """Tables laid end to end."""

    def __init__(self, lane_bits: int, lanes: int):
        self._lane_indices = np.arange(lanes) if lane_bits else np.zeros(lanes, np.int64)
        self.rows: list[list[int]] = []
        self.size = 0
        self._basis: list[int] = []
        self._lane_places: list[np.ndarray] = []

    def add(self, table: ReadTable, own: bool = False, phases: tuple[int, int] = (0, 0), low: int = 0, high: int = 0) -> int:
        """Where the table's rows start."""
        row = [0] * TABLE_COLUMNS
        row[OFFSET], row[RANK], row[BASIS], row[IS_OWN] = self.size, len(table.basis), len(self._basis), own
        (row[PHASE], row[PHASE_END]), row[LOW], row[HIGH] = phases, low, high
        self.rows.append(row)
        self.size += 1 << len(table.basis)
        self._basis.extend(table.basis)
        self._lane_places.append(table.of_indices(self._lane_indices))
        return row[OFFSET]

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lanes = len(self._lane_indices)
        return _table(self.rows, TABLE_COLUMNS), np.array([*self._basis, 0], np.int64), _table(self._lane_places, lanes)


def _table(rows: list, columns: int) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, columns)


def _observables(form: NormalForm, sums: PauliSums, lane_bits: int, lanes: int):
    """Terms by flip and parity of their number of Y, in tables of reads."""
    n_rows = 1 << form.n_qubits - lane_bits
    low_rows = np.arange(min(n_rows, 1 << LOW_BITS)) << lane_bits
    high_rows = np.arange(0, n_rows, 1 << LOW_BITS) << lane_bits
    by_kind: dict[tuple[int, int], list[tuple[int, float, int]]] = {}
    for x, z, n_y, owner, coefficient in zip(sums.x, sums.z, sums.n_y, sums.owner, sums.coefficients):
        flip, read, inverted = form.string(int(x), int(z))
        # Re(i z) = -Im z, so odd powers of i take Im with the sign - + for 1 and 3, even ones Re with + - for 0 and 2.
        sign = (1, -1, -1, 1)[int(n_y) % 4] * (-1 if inverted else 1)
        by_kind.setdefault((flip, int(n_y) % 2), []).append((read, sign * float(coefficient), int(owner)))
    writer, places = _TableWriter(lane_bits, lanes), _Pool()
    groups, terms, coefficients = [], [], []
    for (flip, odd), members in by_kind.items():
        tables = grouped([read for read, _, _ in members])
        groups.append([flip, odd, len(writer.rows), len(writer.rows) + len(tables)])
        for table in tables:
            low, high = (places.add(table.of_indices(part)) for part in (low_rows, high_rows))
            offset = writer.add(table, low=low, high=high)
            for place, coordinates in table.coordinates.items():
                terms.append((offset + coordinates, members[place][2]))
                coefficients.append(members[place][1])
    return _table(groups, GROUP_COLUMNS), _table(terms, TERM_COLUMNS), np.array(coefficients, float), writer, places
