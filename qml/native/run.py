"""One run of a batch: its angles, and what a gradient at the same angles can use of it."""

import threading
from functools import cached_property, lru_cache

import numpy as np

from qml.native.division import Division, Room
from qml.native.simd import aligned

MOST_CHUNKS = 8  # units of work; fixed, so that sums do not depend on the number of threads
WORTH_A_CHUNK = 1.5e4  # rows times stages below which waking a thread costs more than it does
POOLED_BYTES = 1 << 20  # of arrays that are kept for the next run


class Arrays:
    """The arrays of one run, which the next one of as many samples takes over: making them costs more than a small circuit.

    Attributes:
        halves: half angles, own rows of `width`, then shared ones. first, second: their `angles.shears`.
        of_own, of_start: derivatives by own angle row and sample, and by amplitude and sample. of_shared: by shared row.
        dense: the diagonals that all samples share, multiplied out.
    """

    def __init__(self, division: Division, width: int, n_amplitudes: int, n_observables: int):
        n_own = len(division.own_rows) * width
        count = n_own + len(division.shared_rows)
        self.division, self.width, self._n_observables = division, width, n_observables
        self.halves, self.of_shared = np.empty(count), np.empty(len(division.shared_rows))
        n_start = n_amplitudes * width
        self.first, self.second, self.of_own, self.amplitudes, self.of_start = aligned(
            division.dtype, count, count, n_own, n_start, n_start
        )
        self.dense = division.dense()
        self.n_blocks = width if division.lane_bits else width // division.lanes
        # What kernels are told of the angles.
        self.arguments = (
            division.own_rows, division.shared_rows, self.first, self.second, self.amplitudes, division.start, width,
            division.lanes, division.lane_bits,
        )  # fmt: skip
        n_bytes = (5 * count + 2 * n_start + self.n_blocks * division.state_size) * division.dtype.itemsize
        self.is_pooled = n_bytes <= POOLED_BYTES

    @cached_property
    def states(self) -> np.ndarray:
        """Room for the final states of all blocks or samples, one after another."""
        return aligned(self.division.dtype, self.n_blocks * self.division.state_size)[0]

    @cached_property
    def chunks(self) -> list[tuple[int, int]]:
        """Ranges of blocks, as many as are worth a thread's waking."""
        plan = self.division.plan
        return _chunks(self.n_blocks, plan.n_rows * len(plan.tables.stages))

    @cached_property
    def is_one_chunk(self) -> bool:
        """Whether no other thread is worth waking: then the run works in a room that is its own."""
        return len(self.chunks) <= 1

    @cached_property
    def room(self) -> Room:
        """Room for the one thread of a run that has one."""
        return self.division.room(self._n_observables)

    @cached_property
    def frame(self) -> tuple:
        """That of the run's own room."""
        return self.frame_of(self.room)

    def frame_of(self, room: Room) -> tuple:
        """What kernels are told besides states and results: the plan, a thread's room and the angles."""
        plan = self.division.plan
        return plan.n_rows, *plan.packed, *room.arguments, self.dense, *self.arguments


@lru_cache(maxsize=1024)
def _chunks(n_blocks: int, work_a_block: int) -> list[tuple[int, int]]:
    n_chunks = max(1, min(MOST_CHUNKS, int(n_blocks * work_a_block / WORTH_A_CHUNK)))
    size = max(1, -(-n_blocks // n_chunks))
    return [(first, min(first + size, n_blocks)) for first in range(0, n_blocks, size)]


class Run:
    """A batch's angles in arrays that are the run's own as long as it lives.

    Attributes:
        batch: samples; `width` is that padded to whole vectors, `n_blocks` counts blocks of lanes or single samples.
        arguments: what kernels are told of the angles.
        states: final ones of the blocks or samples, one after another, or None.
        is_multiplied: whether the diagonals that all samples share stand in `arrays.dense`.
        in_use: held by a gradient that works in the arrays.
    """

    __slots__ = (
        *("arguments", "arrays", "batch", "division", "dtype", "in_use", "is_multiplied", "n_blocks", "states", "width"),
    )

    def __init__(self, arrays: Arrays, batch: int):
        division = arrays.division
        self.arrays, self.batch, self.division, self.dtype = arrays, batch, division, division.dtype
        self.arguments, self.width, self.n_blocks = arrays.arguments, arrays.width, arrays.n_blocks
        self.states: np.ndarray | None = None
        self.is_multiplied, self.in_use = False, threading.Lock()

    def __del__(self):
        if self.arrays.is_pooled:
            self.division.free_arrays.append(self.arrays)
