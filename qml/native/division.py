"""A plan for one way to lay out samples, and the room in which threads run it."""

from collections import deque
from functools import cached_property

import numpy as np

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native import context
from qml.native.plan import GATHERS, N_ENTRIES, Plan, plan
from qml.native.reads import MOST_RANK
from qml.native.simd import aligned, lanes_of

MOST_POOLED = 8  # arrays of runs that wait for the next ones


class Room:
    """Arrays that one thread works in, those of `context.Room`, and its states.

    Args:
        rows: of each of the arrays of vectors in turn.
    """

    def __init__(self, dtype: np.dtype, lanes: int, rows: list[int], n_tables: int, n_dense: int, state_size: int):
        self._dtype, self._lanes, self._state_size = dtype, lanes, state_size
        spare = 3  # kernels load the shears of three turns whatever their number
        self._starts = np.cumsum([0] + [(count + spare) * lanes for count in rows])
        self._rows = np.array(rows, np.int64)
        (self._floats,) = aligned(dtype, int(self._starts[-1]))
        self.dense_moments = np.empty(n_dense)
        self.arguments = self._floats, self._starts, self._rows, self.dense_moments, np.empty(3 * n_tables + 3, np.int64)

    @cached_property
    def state(self) -> np.ndarray:
        """One block's state."""
        return aligned(self._dtype, self._state_size)[0]

    @cached_property
    def bra(self) -> np.ndarray:
        """Its lambda."""
        return aligned(self._dtype, self._state_size)[0]

    def part(self, name: str) -> np.ndarray:
        """The array of vectors that `context.Room` calls so."""
        place = context.Room._fields.index(name)
        return self._floats[self._starts[place] :][: self._rows[place] * self._lanes]


class Division:
    """A plan for one way to lay out samples and for the slots that differ between lanes.

    Args:
        differs: for each slot, and at last for constants, whether it differs between samples, or is to be taken so. One
            state at a time shares nothing with others.
        lane_bits: 0 where lanes are samples.

    Attributes:
        own_rows, shared_rows: angle rows that differ between samples, and the others. unseen: slots of none.
    """

    def __init__(self, program: Program, sums: PauliSums, differs: np.ndarray, lane_bits: int, dtype: np.dtype):
        self.lane_bits, self.lanes, self.dtype = lane_bits, lanes_of(dtype), dtype
        self.plan: Plan = plan(program, sums, list(differs), lane_bits, self.lanes)
        self.half = 0.5 * self.plan.coefficient
        own = differs[self.plan.slot]
        self.own_rows, self.shared_rows = np.flatnonzero(own), np.flatnonzero(~own)
        seen = [slot for slot in (*self.plan.slot.tolist(), *program.amplitudes) if slot >= 0]
        self.unseen = np.setdiff1d(np.arange(len(program.slots)), seen)
        self.start = np.zeros(0, np.int64) if self.plan.start is None else self.plan.start
        tiles = self.plan.tables.tiles
        self.tile_rows = int((tiles[:, N_ENTRIES] * tiles[:, GATHERS]).max(initial=0))
        self.state_size = 2 * self.plan.n_rows * self.lanes
        self._free: list[Room] = []
        self.free_arrays: deque = deque(maxlen=MOST_POOLED)  # of runs that are over: `run.Arrays`

    def dense(self) -> np.ndarray:
        """Space for the real and then the imaginary parts of diagonals that are multiplied out."""
        return np.empty(2 * self.plan.n_dense * self.plan.n_rows, self.dtype)

    def room(self, n_observables: int) -> Room:
        """Room for one thread, used before if there is any."""
        try:
            return self._free.pop()
        except IndexError:
            pass
        plan = self.plan
        n_phases = len(plan.slot) - plan.n_turns
        rows = [plan.n_turns] * 2 + [n_phases] * 2 + [plan.n_table_rows] * 3 + [plan.n_read_rows, len(plan.slot)]
        rows += [n_observables] + [2 * self.tile_rows] * 2 + [-(-(1 << MOST_RANK) // self.lanes)]
        n_dense = plan.n_dense * plan.n_rows
        return Room(self.dtype, self.lanes, rows, len(plan.tables.tables), n_dense, self.state_size)

    def give_back(self, rooms: list[Room]) -> None:
        """Keep rooms for the next run; those of large states are let go."""
        if self.state_size * self.dtype.itemsize <= 1 << 22:
            self._free.extend(rooms)
