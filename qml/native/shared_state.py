"""One state at a time, whose cosets and rows the threads share in parts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from qml.native import parts
from qml.native.division import Room
from qml.native.plan import N_COSETS
from qml.native.simd import aligned
from qml.native.threads import spread

if TYPE_CHECKING:
    from qml.native.run import Run

MOST_PARTS = 8  # fixed, so that sums do not depend on the number of threads
ROWS_OF_A_PART = 1 << 13
ROWS_SUMMED = 1 << 16  # after which sums of the state's precision are added up in double


class SharedState:
    """The sweeps of a run's samples, one after another."""

    def __init__(self, n_observables: int, run: "Run"):
        self._run, self._division = run, run.division
        self._tiles = run.division.plan.tables.tiles
        self._n_parts = min(MOST_PARTS, max(1, run.division.plan.n_rows // ROWS_OF_A_PART))
        self._rooms = [run.division.room(n_observables) for _ in range(self._n_parts)]
        self._no_dense = np.empty(0, run.dtype)

    def _call(self, kernel: Callable, room: Room, *arguments) -> None:
        kernel(tuple(self._division.plan.packed), (*room.arguments, self._no_dense), self._run.arguments, *arguments)

    def _parts(
        self, kernel: Callable, count: int, *arguments, start: int = 0, before: tuple = (), room: Room | None = None
    ) -> None:
        """The kernel on every part of `count` things from `start` on, each in a room of its own unless one is given."""
        ends = [start + count * part // self._n_parts for part in range(self._n_parts + 1)]

        def work(own: Room, first: int, last: int) -> None:
            self._call(kernel, room or own, *before, first, last, *arguments)

        spread(work, zip(self._rooms, ends, ends[1:]))

    def _summed(self, name: str) -> None:
        """The first room's array becomes the sum of all rooms'."""
        first = self._rooms[0].part(name)
        for room in self._rooms[1:]:
            first += room.part(name)

    def _begin(self, sample: int) -> None:
        for room in self._rooms:
            self._call(parts.begin, room, sample)

    def forward(self, sample: int, state: np.ndarray) -> None:
        """The sample's final state."""
        self._begin(sample)
        self._call(parts.initial, self._rooms[0], sample, state)
        for number, tile in enumerate(self._tiles):
            self._parts(parts.tile_forward, int(tile[N_COSETS]), state, before=(number,))

    def values(self, values: np.ndarray, keep: bool) -> None:
        """Fills (B, K) expectation values; the run keeps the final states if so told."""
        run, size = self._run, self._division.state_size
        (states,) = aligned(run.dtype, size * (run.batch if keep else 1))
        for sample in range(run.batch):
            state = states[sample * size : (sample + 1) * size] if keep else states
            self.forward(sample, state)
            self._observe(state)
            self._call(parts.values, self._rooms[0], sample, values)
        run.states = states if keep else None

    def _observe(self, state: np.ndarray) -> None:
        """The observables' moments in the first room; at 28 qubits one long sum in float32 is off by 2e-4."""
        plan, moments = self._division.plan, [room.part("weights") for room in self._rooms]
        n_summed = max(ROWS_SUMMED, 16 * plan.n_read_rows)  # else adding up large tables would cost more than filling them
        total = np.zeros(len(moments[0]))
        for start in range(0, plan.n_rows, n_summed):
            self._parts(parts.observe, min(n_summed, plan.n_rows - start), state, start=start)
            for own in moments:
                total += own
                own[:] = 0
        moments[0][:] = total

    def derivatives(self, cotangents: np.ndarray, of_own: np.ndarray, of_start: np.ndarray) -> None:
        """Fills derivatives by angle row and sample, and by amplitude and sample."""
        run, size = self._run, self._division.state_size
        states, run.states = run.states, None  # used up: a second gradient computes them again
        (bra,) = aligned(run.dtype, size)
        own = aligned(run.dtype, size)[0] if states is None else None
        for sample in range(run.batch):
            if states is None:
                state = own
                self.forward(sample, state)
            else:
                state = states[sample * size : (sample + 1) * size]
                self._begin(sample)
            self._backward(sample, state, bra, cotangents)
            self._call(parts.derivatives, self._rooms[0], sample, bra, of_own, np.zeros(0), of_start)

    def _backward(self, sample: int, state: np.ndarray, bra: np.ndarray, cotangents: np.ndarray) -> None:
        first_room = self._rooms[0]
        self._call(parts.cotangents, first_room, sample, cotangents)
        self._parts(parts.lambda_rows, self._division.plan.n_rows, state, bra, room=first_room)
        for number in reversed(range(len(self._tiles))):
            self._parts(parts.tile_backward, int(self._tiles[number][N_COSETS]), state, bra, before=(number,))
        self._summed("moments")
        self._summed("of_angles")
