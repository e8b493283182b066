"""The fast engine: a plan, and states swept by explicit SIMD kernels on the CPU's threads.

Many samples of few qubits are swept in blocks, a sample in each lane. A sample of many qubits is swept alone, its lowest
index bits in the lanes; if it is large the threads share its rows, else each thread takes samples of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native import sweeps
from qml.native.angles import add_by_slot, half_angles, read_amplitudes
from qml.native.plain import n_threads, threads
from qml.native.plan import GATHERS, N_COSETS, N_ENTRIES, Plan, plan
from qml.native.reads import MOST_RANK
from qml.native.simd import aligned, lanes_of

MOST_CHUNKS = 8  # units of work; fixed, so that sums do not depend on the number of threads
WORTH_THREADS = 2e5  # rows times stages below which waking a thread costs more than it does
FEWEST_QUBITS_ALONE = 6  # from where on one state fills vectors
MOST_QUBITS_TOGETHER = 12  # a block of states and its lambda leave the second-level cache above it
ROWS_SHARED = 1 << 13  # of a state for each part of a thread's work on it
KEPT_BYTES = 1 << 25  # of final states that wait for a gradient


class _Division:
    """A plan for one way to lay out samples and for the slots that differ between lanes."""

    def __init__(self, program: Program, sums: PauliSums, differs: np.ndarray, lane_bits: int, lanes: int):
        self.plan: Plan = plan(program, sums, list(differs), lane_bits, lanes)
        self.lane_bits, self.lanes = lane_bits, lanes
        self.half = 0.5 * self.plan.coefficient
        # one state at a time has nothing that its lanes share but need not
        own = np.ones(len(self.half), bool) if lane_bits else np.append(differs, False)[self.plan.slot]
        self.own_rows, self.shared_rows = np.flatnonzero(own), np.flatnonzero(~own)
        self.start = np.zeros(0, np.int64) if self.plan.start is None else self.plan.start
        tiles = self.plan.tables.tiles
        self.tile_rows = int((tiles[:, N_ENTRIES] * tiles[:, GATHERS]).max(initial=0))
        self.state_size = 2 * self.plan.n_rows * lanes

    def dense(self, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Room for diagonals that are multiplied out, which threads share."""
        return tuple(np.empty((2, self.plan.n_dense * self.plan.n_rows), dtype))

    def room(self, dtype: np.dtype, n_observables: int, dense: tuple[np.ndarray, np.ndarray]) -> sweeps.Room:
        """Room for one thread."""
        plan, lanes = self.plan, self.lanes
        n_phases = len(plan.slot) - plan.n_turns
        rows = [plan.n_turns] * 2 + [n_phases] * 2 + [plan.n_table_rows] * 3 + [plan.n_read_rows]
        rows += [len(plan.slot), n_observables] + [2 * self.tile_rows] * 2
        spare = 3  # kernels load the shears of three turns whatever their number
        arrays = aligned(dtype, *[(count + spare) * lanes for count in rows])
        exact = [array[: count * lanes] if k >= 7 else array for k, (array, count) in enumerate(zip(arrays, rows))]
        n_tables = len(plan.tables.tables)
        moments = np.empty(len(dense[0]))
        scratch = np.empty(1 << MOST_RANK, dtype), np.empty(n_tables + 1, np.int64)
        return sweeps.Room(*exact, *scratch, *dense, moments)


@dataclass
class Run:
    """One run's angles, and its final states where they were kept.

    Attributes:
        states: of the blocks or samples one after another, or None.
        dense: the diagonals that all samples share, multiplied out, once they are.
    """

    division: _Division
    batch: int
    width: int
    dtype: np.dtype
    angles: sweeps.Angles
    states: np.ndarray | None = None
    dense: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def n_blocks(self) -> int:
        """Units of samples: blocks of lanes, or single ones."""
        return self.batch if self.division.lane_bits else self.width // self.division.lanes


class FastEngine:
    """One program with its observables; slots that are inputs differ between samples, weights need not.

    Args:
        inputs, weights: the slots of each, in the order of the columns of the arrays given to a run.
    """

    def __init__(
        self, program: Program, observables: Sequence[SparsePauliOp], inputs: Sequence[int], weights: Sequence[int]
    ):
        self.program, self.n_observables = program, len(observables)
        self._sums = PauliSums.of(observables, program.n_qubits)
        self._n_slots = len(program.slots)
        self._is_input = np.isin(np.arange(self._n_slots), np.array(inputs, np.int64))
        self._column = np.zeros(self._n_slots + 1, np.int64)
        self._column[list(inputs)] = np.arange(len(inputs))
        self._column[list(weights)] = -1 - np.arange(len(weights))
        self._amplitudes = np.array(program.amplitudes, np.int64)
        self._divisions: dict[tuple, _Division] = {}

    def division(self, batch: int, per_sample: bool, dtype: np.dtype) -> _Division:
        """The plan for a batch."""
        n, lanes = self.program.n_qubits, lanes_of(dtype)
        blocks = -(-batch // lanes)
        alone = n > MOST_QUBITS_TOGETHER or (n >= FEWEST_QUBITS_ALONE and 2 * batch <= blocks * lanes)
        alone = alone and n > 2 * lanes.bit_length() - 2
        key = lanes, alone, per_sample or alone
        if key not in self._divisions:
            differs = self._is_input | bool(per_sample or alone)
            lane_bits = lanes.bit_length() - 1 if alone else 0
            self._divisions[key] = _Division(self.program, self._sums, differs, lane_bits, lanes)
        return self._divisions[key]

    def n_bytes(self, batch: int, dtype: np.dtype, per_sample: bool) -> int:
        """Memory of a gradient besides its inputs and outputs: states of every thread, and those kept."""
        division = self.division(batch, per_sample, dtype)
        state = division.state_size * np.dtype(dtype).itemsize
        at_once = 1 if self._is_shared(division, batch) else min(n_threads(), batch)
        return 2 * state * at_once + min(KEPT_BYTES, batch * state)

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K) expectation values; weights (n,) or (B, n)."""
        return self.values(self.prepare(inputs, weights))

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Run]:
        """Expectation values, and the run with its final states, where these are few enough to keep."""
        run = self.prepare(inputs, weights)
        return self.values(run, keep=True), run

    def prepare(self, inputs: np.ndarray, weights: np.ndarray) -> Run:
        """Cosines and sines of one run."""
        dtype, batch = weights.dtype, len(inputs)
        division = self.division(batch, weights.ndim == 2, dtype)
        width = batch if division.lane_bits else -(-batch // division.lanes) * division.lanes
        inputs, weights = _plain_array(inputs), _plain_array(np.atleast_2d(weights))
        n_own, n_shared = len(division.own_rows), len(division.shared_rows)
        half = np.empty(n_own * width + n_shared)
        own, shared = half[: n_own * width], half[n_own * width :]
        column, slot = self._column, division.plan.slot
        half_angles(inputs, weights, column, division.own_rows, slot, division.half, width, own)
        half_angles(inputs, weights, column, division.shared_rows, slot, division.half, 1, shared)
        (amplitudes,) = aligned(dtype, len(self._amplitudes) * width)
        if len(self._amplitudes):
            read_amplitudes(inputs, weights, column, self._amplitudes, width, amplitudes)
        cos, sin = np.cos(half), np.sin(half)
        angles = sweeps.Angles(
            division.own_rows, cos[: len(own)], sin[: len(own)],
            division.shared_rows, cos[len(own) :], sin[len(own) :], amplitudes, division.start, width,
        )  # fmt: skip
        return Run(division, batch, width, dtype, angles)

    def values(self, run: Run, keep: bool = False) -> np.ndarray:
        """(B, K) expectation values at prepared angles.

        Args:
            keep: leave the final states in the run, if they are few.
        """
        (values,) = aligned(run.dtype, self.n_observables * run.width)
        if self._is_shared(run.division, run.batch):
            _Shared(self, run).values(values, keep)
        else:
            n_blocks, size = run.n_blocks, run.division.state_size
            keep = keep and n_blocks * size * run.dtype.itemsize <= KEPT_BYTES
            if keep:
                (run.states,) = aligned(run.dtype, n_blocks * size)

            def work(room: sweeps.Room, multiply: bool, first: int, last: int) -> None:
                states = run.states if keep else aligned(run.dtype, size)[0]
                self._values_of(run, room, multiply, first, last, states, size if keep else 0, values)

            self._in_chunks(run, work)
        return np.ascontiguousarray(values.reshape(self.n_observables, run.width)[:, : run.batch].T)

    def _values_of(self, run: Run, room, multiply: bool, first: int, last: int, states, stride: int, values) -> None:
        division = run.division
        sweeps.values_of_blocks(
            first, last, multiply, states, stride, division.plan.tables, room, run.angles,
            division.lanes, division.lane_bits, values,
        )  # fmt: skip

    def vjp(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray, run: Run | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights.

        Args:
            run: these angles as `forward` gave them, where that was done already.
        """
        run = run or self.prepare(inputs, weights)
        division = run.division
        sizes = [len(self._amplitudes) * run.width, len(division.own_rows) * run.width, self.n_observables * run.width]
        of_start, of_own, padded = aligned(run.dtype, *sizes)
        padded.reshape(self.n_observables, run.width)[:, : run.batch] = cotangents.T
        padded.reshape(self.n_observables, run.width)[:, run.batch :] = 0
        if self._is_shared(division, run.batch):
            _Shared(self, run).derivatives(padded, of_own, of_start)
            of_shared = np.zeros(0)
        else:
            of_shared = self._derivatives(run, padded, of_own, of_start)
        return self._by_slot(run, weights, of_own, of_shared, of_start)

    def _derivatives(self, run: Run, cotangents, of_own, of_start) -> np.ndarray:
        """Fills `of_own` and `of_start`; the derivatives by shared angle row."""
        division, size = run.division, run.division.state_size
        states, run.states = run.states, None  # used up: a second gradient computes them again
        rooms: dict[int, tuple[sweeps.Room, np.ndarray]] = {}

        def work(room: sweeps.Room, multiply: bool, first: int, last: int) -> None:
            (bra,) = aligned(run.dtype, size)
            own_states = aligned(run.dtype, size)[0] if states is None else states
            of_shared = np.empty(len(division.shared_rows))
            rooms[first] = room, of_shared
            sweeps.derivatives_of_blocks(
                first, last, multiply, last - first == run.n_blocks, own_states, 0 if states is None else size, bra,
                division.plan.tables, room, run.angles, division.lanes, division.lane_bits,
                cotangents, of_own, of_shared, of_start,
            )  # fmt: skip

        self._in_chunks(run, work)
        (room, of_shared), *others = [rooms[first] for first in sorted(rooms)]
        for other, part in others:
            of_shared += part
            room.dense_moments[:] += other.dense_moments
        if others and len(division.shared_rows):
            plan = division.plan
            sweeps.write_dense_derivatives(plan.tables, room, run.angles, division.lanes, plan.n_rows, of_shared)
        return of_shared

    def _by_slot(self, run: Run, weights: np.ndarray, of_own, of_shared, of_start) -> tuple[np.ndarray, np.ndarray]:
        division, slot, column = run.division, run.division.plan.slot, self._column
        n_weights = weights.shape[-1]
        of_inputs = np.zeros((run.batch, self._n_slots - n_weights))
        of_weights = np.zeros((run.batch if weights.ndim == 2 else 1, n_weights))
        add_by_slot(of_own, division.own_rows, slot, division.half, column, run.width, of_inputs, of_weights)
        if len(of_shared):
            one = of_inputs[:1]
            add_by_slot(of_shared, division.shared_rows, slot, division.half, column, 1, one, of_weights)
        for k, place in enumerate(column[self._amplitudes]):
            found = of_start[k * run.width : k * run.width + run.batch]
            if place >= 0:
                of_inputs[:, place] = found
            else:
                of_weights[:, -1 - place] = found if weights.ndim == 2 else found.sum()
        of_weights = of_weights if weights.ndim == 2 else of_weights[0]
        return of_inputs.astype(run.dtype, copy=False), of_weights.astype(run.dtype, copy=False)

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, samples) probabilities, unnormalised where amplitudes are."""
        run = self.prepare(inputs, weights)
        division, lanes = run.division, run.division.lanes
        where = division.plan.form.logical_rows()
        (values,) = aligned(run.dtype, self.n_observables * run.width)
        (state,) = aligned(run.dtype, division.state_size)
        for block in range(run.n_blocks):
            if self._is_shared(division, run.batch):
                _Shared(self, run).forward(block, state)
            else:
                room = division.room(run.dtype, self.n_observables, division.dense(run.dtype))
                self._values_of(run, room, True, block, block + 1, state, 0, values)
            rows = state.reshape(-1, 2, lanes)
            chances = rows[:, 0] ** 2 + rows[:, 1] ** 2
            if division.lane_bits:
                yield slice(block, block + 1), chances.reshape(-1, 1)[where]
                continue
            samples = slice(block * lanes, min((block + 1) * lanes, run.batch))
            yield samples, chances[where, : samples.stop - samples.start]

    def _is_shared(self, division: _Division, batch: int) -> bool:
        """Whether the threads share the rows of each state."""
        return bool(division.tile_rows) and (batch < MOST_CHUNKS // 2 or self.program.n_qubits > 18)

    def _in_chunks(self, run: Run, work: Callable[[sweeps.Room, bool, int, int], None]) -> None:
        """`work(room, multiply, first, last)` on ranges of blocks, on threads where that pays.

        `multiply` says that the room's diagonals that samples share are still to be multiplied out.
        """
        division, n_blocks = run.division, run.n_blocks
        plan = division.plan
        is_small = n_blocks * plan.n_rows * len(plan.tables.stages) < WORTH_THREADS
        size = max(1, n_blocks if is_small else -(-n_blocks // MOST_CHUNKS))
        chunks = [(first, min(first + size, n_blocks)) for first in range(0, n_blocks, size)]
        multiply, run.dense = run.dense is None, run.dense or division.dense(run.dtype)
        rooms = [division.room(run.dtype, self.n_observables, run.dense) for _ in chunks]
        if len(chunks) > 1 and multiply and plan.n_dense:
            sweeps.fill_shared(plan.tables, rooms[0], run.angles, division.lanes, division.lane_bits)
            sweeps.fill_dense(plan.tables, rooms[0], division.lanes, plan.n_rows)
            multiply = False
        calls = [(room, multiply, *chunk) for room, chunk in zip(rooms, chunks)]
        if len(chunks) > 1 and n_threads() > 1:
            list(threads().map(lambda call: work(*call), calls))
        else:
            for call in calls:
                work(*call)


def _plain_array(array: np.ndarray) -> np.ndarray:
    """The array as kernels are compiled for: contiguous and not read-only."""
    flags = array.flags
    return array if flags.c_contiguous and flags.writeable else np.array(array)


class _Shared:
    """One state at a time, whose cosets and rows the threads share in parts."""

    def __init__(self, engine: FastEngine, run: Run):
        self._engine, self._run, self._division = engine, run, run.division
        self._tables = run.division.plan.tables
        n_rows = run.division.plan.n_rows
        self._n_parts = min(MOST_CHUNKS, max(1, n_rows // ROWS_SHARED))
        self._rooms = [run.division.room(run.dtype, engine.n_observables, run.division.dense(run.dtype)) for _ in range(self._n_parts)]
        self._layout = run.division.lanes, run.division.lane_bits

    def _parts(self, count: int, work: Callable[[sweeps.Room, int, int], None]) -> None:
        """`work(room, first, last)` on every part of `count` things."""
        ends = [count * part // self._n_parts for part in range(self._n_parts + 1)]
        parts = list(zip(self._rooms, ends, ends[1:]))
        if n_threads() > 1 and self._n_parts > 1:
            list(threads().map(lambda part: work(*part), parts))
        else:
            for part in parts:
                work(*part)

    def _summed(self, name: str) -> None:
        """The first room's array becomes the sum of all rooms'."""
        first = getattr(self._rooms[0], name)
        for room in self._rooms[1:]:
            first += getattr(room, name)

    def _fill(self, sample: int) -> None:
        for room in self._rooms:
            sweeps.fill_own(self._tables, room, self._run.angles, sample, *self._layout)

    def forward(self, sample: int, state: np.ndarray) -> None:
        """The sample's final state."""
        self._fill(sample)
        sweeps.start(state, self._run.angles, sample, *self._layout)
        for number in range(len(self._tables.tiles)):

            def work(room, first, last, number=number):
                sweeps.forward_tile(state, self._tables, room, number, first, last, *self._layout)

            self._parts(int(self._tables.tiles[number, N_COSETS]), work)

    def values(self, values: np.ndarray, keep: bool) -> None:
        """Fills `values` by observable and sample."""
        run, (lanes, lane_bits) = self._run, self._layout
        size = self._division.state_size
        keep = keep and (run.batch == 1 or run.batch * size * run.dtype.itemsize <= KEPT_BYTES)
        (states,) = aligned(run.dtype, size * (run.batch if keep else 1))
        for sample in range(run.batch):
            state = states[sample * size : (sample + 1) * size] if keep else states
            self.forward(sample, state)
            for room in self._rooms:
                sweeps.clear(room.weights, lanes)

            def work(room, first, last, state=state):
                sweeps.moments_of_observables(state, self._tables, room, first, last, lanes, lane_bits)

            self._parts(self._division.plan.n_rows, work)
            self._summed("weights")
            sweeps.write_values(self._tables, self._rooms[0], sample, run.width, lanes, lane_bits, values)
        if keep:
            run.states = states

    def derivatives(self, cotangents: np.ndarray, of_own: np.ndarray, of_start: np.ndarray) -> None:
        """Fills derivatives by angle row and sample, and by amplitude and sample."""
        run, size = self._run, self._division.state_size
        states, run.states = run.states, None
        (bra,) = aligned(run.dtype, size)
        own = aligned(run.dtype, size)[0] if states is None else None
        for sample in range(run.batch):
            if states is None:
                state = own
                self.forward(sample, state)
            else:
                state = states[sample * size : (sample + 1) * size]
                self._fill(sample)
            self._backward(sample, state, bra, cotangents, of_own, of_start)

    def _backward(self, sample: int, state, bra, cotangents, of_own, of_start) -> None:
        run, tables, (lanes, lane_bits) = self._run, self._tables, self._layout
        first_room = self._rooms[0]
        sweeps.read_cotangents(tables, first_room, sample, run.width, lanes, lane_bits, cotangents)

        def observe(room, first, last):
            sweeps.lambda_of_observables(state, bra, tables, first_room, first, last, lanes, lane_bits)

        self._parts(self._division.plan.n_rows, observe)
        for room in self._rooms:
            sweeps.clear(room.moments, lanes)
            sweeps.clear(room.of_angles, lanes)
        for number in reversed(range(len(tables.tiles))):

            def work(room, first, last, number=number):
                sweeps.backward_tile(state, bra, tables, room, number, first, last, lanes, lane_bits)

            self._parts(int(tables.tiles[number, N_COSETS]), work)
        self._summed("moments")
        self._summed("of_angles")
        sweeps.write_derivatives(tables, first_room, run.angles, sample, lanes, lane_bits, of_own, np.zeros(0))
        sweeps.of_amplitudes(bra, run.angles, sample, lanes, lane_bits, of_start)
