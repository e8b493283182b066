"""The fast engine: a plan, and states swept by explicit SIMD kernels on the CPU's threads.

Many samples of few qubits are swept in blocks, a sample in each lane. A sample of many qubits is swept alone, its lowest
index bits in the lanes; if it is large the threads share its rows, else each thread takes samples of its own.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native import blocks
from qml.native.angles import angles_and_shears, by_slot, read_amplitudes, shears
from qml.native.division import Division, Room
from qml.native.run import MOST_CHUNKS, Arrays, Run
from qml.native.shared_state import SharedState
from qml.native.simd import lanes_of
from qml.native.threads import n_threads, spread

FEWEST_QUBITS_ALONE = 6  # from where on one state fills vectors
MOST_QUBITS_TOGETHER = 12  # a block of states and its lambda leave the second-level cache above it
FEWEST_QUBITS_SHARED = 18  # from where on threads share a state even where there are samples enough for all
KEPT_BYTES = 1 << 25  # of final states that wait for a gradient


class FastEngine:
    """One program with its observables; slots that are inputs differ between samples, weights need not.

    Args:
        inputs, weights: the slots of each, in the order of the columns of the arrays given to a run.

    Attributes:
        column: of each slot: its column in inputs, or -1 - its column in weights. amplitudes: the slots of these.
    """

    def __init__(
        self, program: Program, observables: Sequence[SparsePauliOp], inputs: Sequence[int], weights: Sequence[int]
    ):
        self.program, self.n_observables = program, len(observables)
        self._sums = PauliSums.of(observables, program.n_qubits)
        self._n_inputs, n_slots = len(inputs), len(program.slots)
        self._is_input = np.isin(np.arange(n_slots), np.array(inputs, np.int64))
        self.column = np.zeros(n_slots + 1, np.int64)
        self.column[list(inputs)] = np.arange(len(inputs))
        self.column[list(weights)] = -1 - np.arange(len(weights))
        self.amplitudes = np.array(program.amplitudes, np.int64)
        self._divisions: dict[tuple, Division] = {}
        self._found: dict[tuple, Division] = {}

    def division(self, batch: int, per_sample: bool, dtype: np.dtype, constants_too: bool = False) -> Division:
        """The plan for a batch.

        Args:
            per_sample: weights differ between samples. constants_too: constants are taken for samples' own as well.
        """
        asked = batch, per_sample, dtype.char, constants_too
        if asked not in self._found:
            self._found[asked] = self._planned(*asked)
        return self._found[asked]

    def _planned(self, batch: int, per_sample: bool, dtype: str, constants_too: bool) -> Division:
        lanes, lane_bits = self._layout(batch, np.dtype(dtype))
        key = lanes, lane_bits, per_sample or lane_bits > 0, constants_too or lane_bits > 0
        if key not in self._divisions:
            differs = np.append(self._is_input | key[2], key[3])  # the last one is that of constants
            self._divisions[key] = Division(self.program, self._sums, differs, lane_bits, np.dtype(dtype))
        return self._divisions[key]

    def _layout(self, batch: int, dtype: np.dtype) -> tuple[int, int]:
        """Lanes of a vector, and how many index bits they are: 0 where they are samples."""
        n, lanes = self.program.n_qubits, lanes_of(dtype)
        bits = lanes.bit_length() - 1
        is_filled = 2 * batch > -(-batch // lanes) * lanes
        alone = n > MOST_QUBITS_TOGETHER or (n >= FEWEST_QUBITS_ALONE and not is_filled)
        return lanes, bits if alone and n > 2 * bits else 0

    def n_bytes(self, batch: int, dtype: np.dtype, gradient: bool = True) -> int:
        """Memory of a run besides its inputs and outputs: states of every thread; with a gradient lambda, and those kept."""
        lanes, lane_bits = self._layout(batch, dtype)
        state = 2 * np.dtype(dtype).itemsize * (1 if lane_bits else lanes) << self.program.n_qubits
        n_states = batch if lane_bits else -(-batch // lanes)
        at_once = 1 if self.program.n_qubits >= FEWEST_QUBITS_SHARED else min(n_threads(), n_states)
        return 2 * state * at_once + min(KEPT_BYTES, n_states * state) if gradient else state * at_once

    def angle_bytes(self, batch: int, per_sample: bool, dtype: np.dtype, constants_too: bool = False) -> int:
        """Memory of a run's half angles, their two shears, and derivatives by them; arguments as those of `division`."""
        division = self.division(batch, per_sample, dtype, constants_too)
        return (8 + 3 * np.dtype(dtype).itemsize) * (len(division.own_rows) * batch + len(division.shared_rows))

    def passes(self, batch: int, dtype: np.dtype) -> int:
        """Sweeps over a state's memory in which it goes through all gates: one for each tile of the plan."""
        return max(1, len(self.division(batch, False, dtype).plan.tables.tiles))

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K) expectation values; weights (n,) or (B, n)."""
        return self._values(self.prepared(inputs, weights), keep=False)

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Run]:
        """Expectation values, and the run with its final states, where these are few enough to keep."""
        run = self.prepared(inputs, weights)
        return self._values(run, keep=True), run

    def prepared(self, inputs: np.ndarray, weights: np.ndarray, all_own: bool = False) -> Run:
        """The angles of one run.

        Args:
            all_own: take every angle for a sample's own, whatever the shape of the weights.
        """
        batch = len(inputs)
        division = self.division(batch, all_own or weights.ndim == 2, weights.dtype, all_own)
        run = Run(self._arrays(division, batch), batch)
        arrays, plan, own_rows, shared_rows = run.arrays, division.plan, division.own_rows, division.shared_rows
        inputs, weights = plain_array(inputs), plain_array(weights if weights.ndim == 2 else weights[None])
        beyond = angles_and_shears(
            inputs, weights, self.column, own_rows, shared_rows, plan.slot, division.half, run.width, plan.n_turns,
            division.unseen, arrays.halves, arrays.first, arrays.second,
        )  # fmt: skip
        if beyond or len(self.amplitudes):
            self.program.check_numbers(inputs, weights)
        if beyond:  # NumPy reduces any angle exactly
            halves = np.arctan2(np.sin(arrays.halves), np.cos(arrays.halves))
            shears(halves, own_rows, shared_rows, plan.n_turns, run.width, arrays.first, arrays.second)
        if len(self.amplitudes):
            read_amplitudes(inputs, weights, self.column, self.amplitudes, run.width, arrays.amplitudes)
        return run

    def _arrays(self, division: Division, batch: int) -> Arrays:
        """Those of a run that is over, or new ones."""
        width = batch if division.lane_bits else -(-batch // division.lanes) * division.lanes
        try:
            arrays = division.free_arrays.pop()
        except IndexError:
            arrays = None
        if arrays is None or arrays.width != width:
            arrays = Arrays(division, width, len(self.amplitudes), self.n_observables)
        return arrays

    def _values(self, run: Run, keep: bool) -> np.ndarray:
        """(B, K) expectation values; the final states stay in the run if they are few and to be kept."""
        arrays, n_bytes = run.arrays, run.n_blocks * run.division.state_size * run.dtype.itemsize
        values = np.empty((run.batch, self.n_observables), run.dtype)
        if self._is_shared(run):
            SharedState(self.n_observables, run).values(values, keep and (run.batch == 1 or n_bytes <= KEPT_BYTES))
            return values
        if keep and n_bytes <= KEPT_BYTES:
            run.states = arrays.states
        if arrays.is_one_chunk:
            self._values_of(run, arrays.room, arrays.frame, 0, run.n_blocks, values)
        else:
            self._in_chunks(run, lambda *chunk: self._values_of(run, *chunk, values))
        run.is_multiplied = True
        return values

    def _values_of(self, run: Run, room: Room, frame: tuple, first: int, last: int, values) -> None:
        states, stride = (room.state, 0) if run.states is None else (run.states, run.division.state_size)
        blocks.values_of_blocks(first, last, not run.is_multiplied, states, stride, *frame, values)

    def vjp(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray, run: Run | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights.

        Args:
            run: these angles as `forward` gave them, where that was done already.
        """
        # Another thread may be at another gradient of the same forward run.
        if run is None or not run.in_use.acquire(blocking=False):
            return self._vjp(self.prepared(inputs, weights), weights, cotangents)
        try:
            return self._vjp(run, weights, cotangents)
        finally:
            run.in_use.release()

    def _vjp(self, run: Run, weights: np.ndarray, cotangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        division, arrays = run.division, run.arrays
        cotangents = plain_array(cotangents)
        if self._is_shared(run):
            SharedState(self.n_observables, run).derivatives(cotangents, arrays.of_own, arrays.of_start)
        else:
            self._derivatives(run, cotangents)
        of_inputs = np.zeros((run.batch, self._n_inputs))
        of_weights = np.zeros((run.batch if weights.ndim == 2 else 1, weights.shape[-1]))
        by_slot(
            arrays.of_own, arrays.of_shared, arrays.of_start, division.own_rows, division.shared_rows, self.amplitudes,
            division.plan.slot, division.half, self.column, run.width, of_inputs, of_weights,
        )  # fmt: skip
        of_weights = of_weights if weights.ndim == 2 else of_weights[0]
        if run.dtype != of_inputs.dtype:
            return of_inputs.astype(run.dtype), of_weights.astype(run.dtype)
        return of_inputs, of_weights

    def _derivatives(self, run: Run, cotangents: np.ndarray) -> None:
        """Fills the run's `of_own`, `of_shared` and `of_start`."""
        arrays, states = run.arrays, run.states
        run.states = None  # used up: a second gradient computes them again
        if arrays.is_one_chunk:
            self._derivatives_of(run, arrays.room, arrays.frame, 0, run.n_blocks, states, cotangents, arrays.of_shared)
        else:
            self._summed_derivatives(run, states, cotangents)
        run.is_multiplied = True

    def _summed_derivatives(self, run: Run, states: np.ndarray | None, cotangents: np.ndarray) -> None:
        """The same in chunks, whose derivatives by shared rows are added up in their order."""
        total, plan = run.arrays.of_shared, run.division.plan
        parts: dict[int, tuple[Room, np.ndarray]] = {}

        def work(room: Room, frame: tuple, first: int, last: int) -> None:
            of_shared = np.empty_like(total)
            parts[first] = room, of_shared
            self._derivatives_of(run, room, frame, first, last, states, cotangents, of_shared)

        def add_up() -> None:
            total[:] = sum(of_shared for _, (_, of_shared) in sorted(parts.items()))
            if plan.n_dense:
                room, *others = [parts[first][0] for first in sorted(parts)]
                for other in others:
                    room.dense_moments += other.dense_moments
                blocks.finish_derivatives(*run.arrays.frame_of(room), total)

        self._in_chunks(run, work, add_up)

    def _derivatives_of(self, run: Run, room: Room, frame: tuple, first: int, last: int, states, cotangents, of_shared):
        arrays, is_all = run.arrays, last - first == run.n_blocks
        states, stride = (room.state, 0) if states is None else (states, run.division.state_size)
        blocks.derivatives_of_blocks(
            first, last, not run.is_multiplied, is_all, states, stride, room.bra, *frame, cotangents, arrays.of_own,
            of_shared, arrays.of_start,
        )  # fmt: skip

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, samples) probabilities, unnormalised where amplitudes are."""
        run = self.prepared(inputs, weights)
        division, lanes = run.division, run.division.lanes
        where = division.plan.form.logical_rows()
        room = division.room(self.n_observables)
        frame = run.arrays.frame_of(room)
        values = np.empty((run.batch, self.n_observables), run.dtype)
        for block in range(run.n_blocks):
            if self._is_shared(run):
                SharedState(self.n_observables, run).forward(block, room.state)
            else:
                self._values_of(run, room, frame, block, block + 1, values)
            rows = room.state.reshape(-1, 2, lanes)
            chances = rows[:, 0] ** 2 + rows[:, 1] ** 2
            if division.lane_bits:
                yield slice(block, block + 1), chances.reshape(-1, 1)[where]
                continue
            samples = slice(block * lanes, min((block + 1) * lanes, run.batch))
            yield samples, chances[where, : samples.stop - samples.start]

    def _is_shared(self, run: Run) -> bool:
        """Whether the threads share the rows of each state."""
        few = run.batch < MOST_CHUNKS // 2
        return bool(run.division.tile_rows) and (few or self.program.n_qubits >= FEWEST_QUBITS_SHARED)

    def _in_chunks(self, run: Run, work: Callable, finish: Callable = lambda: None) -> None:
        """`work(room, frame, first, last)` on ranges of blocks, on all threads; then `finish()`."""
        division, plan, arrays = run.division, run.division.plan, run.arrays
        rooms = [division.room(self.n_observables) for _ in arrays.chunks]
        frames = [arrays.frame_of(room) for room in rooms]
        if plan.n_dense and not run.is_multiplied:
            blocks.multiply_diagonals(*frames[0])
            run.is_multiplied = True
        spread(work, [(room, frame, *chunk) for room, frame, chunk in zip(rooms, frames, arrays.chunks)])
        finish()
        division.give_back(rooms)


def plain_array(array: np.ndarray) -> np.ndarray:
    """The array as kernels are compiled for: contiguous and not read-only."""
    flags = array.flags
    return array if flags.c_contiguous and flags.writeable else np.array(array)
