"""A program as the tables that GPU kernels interpret: one row an operation, grouped in passes over the state.

The operations are those of the CPU engine's normal form: turns, which mix rows p and p ^ flip of the state like an RY,
and phases, which multiply a row by its side of a parity. A state of few qubits stays on chip for its whole circuit, which
is then one pass over one tile of all its rows. A larger one is in memory: a pass takes 2^k rows at a time, a coset of the
span of k flips, does all that it can there, and goes to the next coset; so memory is read and written as often as there
are passes. What a pass leaves out for want of room commutes with what it takes in after it. Observables are read in the
same way: all terms that flip rows inside a tile, at one reading of the state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native.normal_form import NormalForm, Phase, Turn, normal_form
from qml.native.tiling import seen_steps

MOST_QUBITS_ON_CHIP = 12
TILE_BITS = 12  # rows of a tile: with lambda's, 64 kB of registers in float32
LANE_BITS = 4  # low index bits that every tile spans, so that memory is read in whole sectors
MOST_POSTPONED = 128  # operations that a pass may leave out before it is closed

# Columns of `operations`: AT + sample * STRIDE is the angle's place, GRADIENT its row among derivatives or -1.
KIND, FLIP, READ, OFF, AT, STRIDE, GRADIENT, COLUMNS = range(8)
TURN, PHASE = 0, 1
# Columns of `stages`: a turn, or neighbouring phases, which are one diagonal.
STAGE_KIND, STAGE_FIRST, STAGE_END, STAGE_COLUMNS = range(4)
# Columns of `terms` of observables: FLIP and READ of a tile's entries, ROW_READ of whole row indices.
TERM_FLIP, TERM_READ, TERM_OFF, TERM_ODD, TERM_OWNER, TERM_ROW_READ, TERM_COLUMNS = range(7)


class Term(NamedTuple):
    """A Pauli string on rows: the parity of p & read, and off, are the sign of conj(state[p ^ flip]) state[p].

    Attributes:
        odd: whether it has an odd number of Y, so that the imaginary part counts. owner: the observable it is of.
    """

    flip: int
    read: int
    off: int
    odd: int
    owner: int
    coefficient: float


@dataclass(frozen=True)
class Pass:
    """Operations that are done on a tile's rows together, or terms that are read there.

    Attributes:
        operations: in the order in which they act; terms in that of their owners.
        basis: the tile's span, reduced: bit `pivots[j]` of a row index is in basis[j] alone.
        pivots: ascending. outside: the other index bits, which say which coset a tile is.
    """

    operations: tuple[Turn | Phase | Term, ...]
    basis: tuple[int, ...]
    pivots: tuple[int, ...]
    outside: tuple[int, ...]

    def stages(self, start: int) -> list[tuple[int, int, int]]:
        """Rows of `stages`, where the first operation is number `start` of all."""
        found: list[tuple[int, int, int]] = []
        for k, operation in enumerate(self.operations, start):
            kind = TURN if isinstance(operation, Turn) else PHASE
            if kind == PHASE and found and found[-1][0] == PHASE:
                found[-1] = PHASE, found[-1][1], k + 1
            else:
                found.append((kind, k, k + 1))
        return found

    def local(self, operation: Turn | Phase | Term) -> tuple[int, int]:
        """(flip, read) in terms of a tile's entries: bit j of an entry is whether basis[j] is in its index."""
        flip = getattr(operation, "flip", 0)
        flips = sum((flip >> pivot & 1) << j for j, pivot in enumerate(self.pivots))
        reads = sum(((operation.read & vector).bit_count() & 1) << j for j, vector in enumerate(self.basis))
        return flips, reads


class Span:
    """A space of flips in reduced form, of limited dimension."""

    def __init__(self, vectors: Sequence[int], most: int):
        self._most = most
        self.vectors: dict[int, int] = {}  # pivot -> vector
        for vector in vectors:
            self.takes(vector)

    def closed(self, taken: Sequence[Turn | Phase | Term], n_qubits: int) -> Pass:
        """The pass of what was taken; a tile of few flips is filled with bits of low index."""
        for bit in range(n_qubits):
            self.takes(1 << bit)
        pivots = tuple(sorted(self.vectors))
        outside = tuple(bit for bit in range(n_qubits) if bit not in self.vectors)
        return Pass(tuple(taken), tuple(self.vectors[p] for p in pivots), pivots, outside)

    def takes(self, flip: int) -> bool:
        """Whether the flip lies in the span, which grows for it while there is room."""
        for pivot, vector in self.vectors.items():
            if flip >> pivot & 1:
                flip ^= vector
        if flip == 0:
            return True
        if len(self.vectors) == self._most:
            return False
        new = (flip & -flip).bit_length() - 1
        self.vectors = {p: v ^ flip if v >> new & 1 else v for p, v in self.vectors.items()}
        self.vectors[new] = flip
        return True


def commute(a: Turn | Phase, b: Turn | Phase) -> bool:
    """Whether two operations may change places."""
    flips = getattr(a, "flip", 0), getattr(b, "flip", 0)
    return ((flips[0] & b.read).bit_count() + (flips[1] & a.read).bit_count()) % 2 == 0


def passes_of(operations: Sequence[Turn | Phase], n_qubits: int, tile_bits: int, lane_bits: int) -> list[Pass]:
    """The operations in passes; each takes what it can, in an order that commutes."""
    remaining, found = list(operations), []
    while remaining or not found:
        span = Span([1 << bit for bit in range(min(lane_bits, tile_bits))], tile_bits)
        taken, left = [], []
        for place, operation in enumerate(remaining):
            if len(left) >= MOST_POSTPONED:
                left.extend(remaining[place:])
                break
            free = all(commute(operation, other) for other in left)
            (taken if free and span.takes(getattr(operation, "flip", 0)) else left).append(operation)
        found.append(span.closed(taken, n_qubits))
        remaining = left
    return found


def readings_of(terms: Sequence[Term], n_qubits: int, tile_bits: int, lane_bits: int) -> list[Pass]:
    """The terms, each in the first reading of the state that has room for its flip; those that flip nothing in the first."""
    remaining, found = list(terms), []
    while remaining or not found:
        span = Span([1 << bit for bit in range(min(lane_bits, tile_bits))], tile_bits)
        taken, left = [], []
        for term in remaining:
            (taken if span.takes(term.flip) else left).append(term)
        found.append(span.closed(taken, n_qubits))
        remaining = left
    return found


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything about a program with its observables that does not change from run to run.

    Attributes:
        passes: over the state, in order; one where it fits on chip.
        readings: of the observables' terms; one where the state is one tile.
        tile_bits: rows of a tile are 2^tile_bits.
    """

    form: NormalForm
    passes: tuple[Pass, ...]
    readings: tuple[Pass, ...]
    tile_bits: int

    @property
    def n_qubits(self) -> int:
        """Of the state."""
        return self.form.n_qubits

    @property
    def is_on_chip(self) -> bool:
        """Whether a state is one tile."""
        return self.tile_bits == self.n_qubits

    @cached_property
    def operations(self) -> list[Turn | Phase]:
        """Of all passes, in order."""
        return [operation for one in self.passes for operation in one.operations]

    @cached_property
    def terms(self) -> np.ndarray:
        """(n, TERM_COLUMNS), all readings end to end."""
        rows = [(*one.local(t), t.off, t.odd, t.owner, t.read) for one in self.readings for t in one.operations]
        return _rows(rows, TERM_COLUMNS, np.int64)

    @cached_property
    def coefficients(self) -> np.ndarray:
        """(n,): of the terms."""
        return np.array([term.coefficient for one in self.readings for term in one.operations], float)


def plan_of(program: Program, sums: PauliSums, is_dual: bool = False) -> Plan:
    """The plan of a program and its observables, given as one table of Pauli strings.

    Args:
        is_dual: for states with their derivatives: a tile has half as many rows.
    """
    form = normal_form(program)
    steps = seen_steps(form, program, sums)
    operations = [operation for step in steps for operation in (*step.turns, *step.phases)]
    terms = [_term(form, sums, t) for t in np.argsort(sums.owner, kind="stable")]
    n_qubits = form.n_qubits
    if n_qubits <= MOST_QUBITS_ON_CHIP - is_dual:
        bits = tuple(range(n_qubits))
        shape = tuple(1 << bit for bit in bits), bits, ()
        return Plan(form, (Pass(tuple(operations), *shape),), (Pass(tuple(terms), *shape),), n_qubits)
    tile_bits = min(max(1, TILE_BITS - is_dual), n_qubits)
    cut = n_qubits, tile_bits, LANE_BITS
    return Plan(form, tuple(passes_of(operations, *cut)), tuple(readings_of(terms, *cut)), tile_bits)


def _term(form: NormalForm, sums: PauliSums, t: int) -> Term:
    flip, read, inverted = form.string(int(sums.x[t]), int(sums.z[t]))
    n_y = int(sums.n_y[t]) % 4
    return Term(flip, read, int(inverted ^ (n_y >= 2)), n_y & 1, int(sums.owner[t]), float(sums.coefficients[t]))


def _rows(rows: list, columns: int, dtype) -> np.ndarray:
    return np.array(rows, dtype).reshape(-1, columns)


@dataclass(frozen=True, eq=False)
class Tables:
    """A plan's operations for one division of its slots into those that samples share and those that they do not.

    Angles are laid out as the shared ones, constants first, then a row of own ones for each sample.

    Attributes:
        operations: (n, COLUMNS), all passes end to end. reads: (n,): reads of whole row indices.
        stages: (n, STAGE_COLUMNS). ends: of each pass, how many stages there are up to its end.
        constants: half angles. shared, own: (columns of weights or of samples' values, half coefficients).
        gradient_columns: (G,): of each derivative row, its column among samples' values, or -1 - that of weights.
        gradient_factors: (G,): what the derivative by the angle is multiplied with.
    """

    operations: np.ndarray
    reads: np.ndarray
    stages: np.ndarray
    ends: tuple[int, ...]
    constants: np.ndarray
    shared: tuple[np.ndarray, np.ndarray]
    own: tuple[np.ndarray, np.ndarray]
    gradient_columns: np.ndarray
    gradient_factors: np.ndarray


def tables_of(plan: Plan, columns: np.ndarray, needs: tuple[bool, bool]) -> Tables:
    """The tables of a plan.

    Args:
        columns: of each slot: its column among samples' values, or -1 - its column among shared weights.
        needs: whether derivatives by samples' values, and by shared weights, are wanted.
    """
    angles = {o.angle: None for o in plan.operations}
    constants = [a for a in angles if a.slot is None]
    shared = [a for a in angles if a.slot is not None and columns[a.slot] < 0]
    own = [a for a in angles if a.slot is not None and columns[a.slot] >= 0]
    at = {angle: (k, 0) for k, angle in enumerate([*constants, *shared])}
    at |= {angle: (len(at) + k, len(own)) for k, angle in enumerate(own)}
    rows, gradients, stages, ends = [], [], [], []
    for one in plan.passes:
        stages += one.stages(len(rows))
        ends.append(len(stages))
        for operation in one.operations:
            slot = operation.angle.slot
            wanted = slot is not None and needs[0 if columns[slot] >= 0 else 1]
            kind = TURN if isinstance(operation, Turn) else PHASE
            gradient = len(gradients) if wanted else -1
            rows.append((kind, *one.local(operation), operation.inverted, *at[operation.angle], gradient))
            if wanted:
                gradients.append((columns[slot], operation.angle.coefficient))
    return Tables(
        _rows(rows, COLUMNS, np.int32),
        np.array([o.read for o in plan.operations], np.int64),
        _rows(stages, STAGE_COLUMNS, np.int32),
        tuple(ends),
        np.array([a.coefficient / 2 for a in constants]),
        _sources([-1 - columns[a.slot] for a in shared], shared),
        _sources([columns[a.slot] for a in own], own),
        np.array([column for column, _ in gradients], np.int64),
        np.array([factor for _, factor in gradients], float),
    )


def _sources(columns: list[int], angles: list) -> tuple[np.ndarray, np.ndarray]:
    return np.array(columns, np.int64), np.array([a.coefficient / 2 for a in angles], float)


def by_column(columns: np.ndarray, factors: np.ndarray, n_columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(starts, rows, factors): entries starts[j] to starts[j + 1] are the rows that add up to column j."""
    rows = np.flatnonzero(columns >= 0)
    rows = rows[np.argsort(columns[rows], kind="stable")]
    starts = np.searchsorted(columns[rows], np.arange(n_columns + 1))
    return starts.astype(np.int64), rows.astype(np.int64), factors[rows]
