"""The fast engine: a plan, and states swept by explicit SIMD kernels on the CPU's threads.

Many samples of few qubits are swept in blocks, a sample in each lane. A sample of many qubits is swept alone, its lowest
index bits in the lanes; if it is large the threads share its rows, else each thread takes samples of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native import blocks
from qml.native.angles import by_slot, half_angles, read_amplitudes, shears
from qml.native.division import Division, Room
from qml.native.shared_state import SharedState
from qml.native.simd import aligned, lanes_of
from qml.native.threads import n_threads, spread

MOST_CHUNKS = 8  # units of work; fixed, so that sums do not depend on the number of threads
WORTH_A_CHUNK = 1.5e4  # rows times stages below which waking a thread costs more than it does
FEWEST_QUBITS_ALONE = 6  # from where on one state fills vectors
MOST_QUBITS_TOGETHER = 12  # a block of states and its lambda leave the second-level cache above it
FEWEST_QUBITS_SHARED = 18  # from where on threads share a state even where there are samples enough for all
KEPT_BYTES = 1 << 25  # of final states that wait for a gradient


@dataclass
class Run:
    """One run's angles, and what a gradient at the same angles can use of it.

    Attributes:
        width: samples, padded to whole vectors.
        first, second: what kernels multiply by (`angles.shears`): own rows of `width`, then shared ones.
        states: final ones of the blocks or samples, one after another, or None.
        dense: the diagonals that all samples share, multiplied out, or None.
    """

    division: Division
    batch: int
    width: int
    dtype: np.dtype
    first: np.ndarray
    second: np.ndarray
    amplitudes: np.ndarray
    states: np.ndarray | None = None
    dense: np.ndarray | None = None

    @property
    def n_blocks(self) -> int:
        """Units of samples: blocks of lanes, or single ones."""
        return self.batch if self.division.lane_bits else self.width // self.division.lanes

    @property
    def arguments(self) -> tuple:
        """What kernels are told of the angles."""
        division = self.division
        return (
            division.own_rows, division.shared_rows, self.first, self.second, self.amplitudes, division.start, self.width,
            division.lanes, division.lane_bits,
        )  # fmt: skip


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
        dtype, batch = weights.dtype, len(inputs)
        division = self.division(batch, all_own or weights.ndim == 2, dtype, all_own)
        width = batch if division.lane_bits else -(-batch // division.lanes) * division.lanes
        inputs, weights = plain_array(inputs), plain_array(weights if weights.ndim == 2 else weights[None])
        own_rows, shared_rows, plan = division.own_rows, division.shared_rows, division.plan
        half = np.empty(len(own_rows) * width + len(shared_rows))
        half_angles(
            inputs, weights, self.column, own_rows, shared_rows, plan.slot, division.half, width, half
        )  # fmt: skip
        amplitudes = division.nothing
        if len(self.amplitudes):
            (amplitudes,) = aligned(dtype, len(self.amplitudes) * width)
            read_amplitudes(inputs, weights, self.column, self.amplitudes, width, amplitudes)
        first, second = aligned(dtype, len(half), len(half))
        shears(own_rows, shared_rows, plan.n_turns, width, np.cos(half), np.sin(half), first, second)
        return Run(division, batch, width, dtype, first, second, amplitudes)

    def _values(self, run: Run, keep: bool) -> np.ndarray:
        """(B, K) expectation values; the final states stay in the run if they are few and to be kept."""
        division, size = run.division, run.division.state_size
        values = np.empty((run.batch, self.n_observables), run.dtype)
        if self._is_shared(division, run.batch):
            keep = keep and (run.batch == 1 or run.batch * size * run.dtype.itemsize <= KEPT_BYTES)
            SharedState(self.n_observables, run).values(values, keep)
            return values
        keep = keep and run.n_blocks * size * run.dtype.itemsize <= KEPT_BYTES
        if keep:
            (run.states,) = aligned(run.dtype, run.n_blocks * size)

        def work(room: Room, multiply: bool, first: int, last: int) -> None:
            states = run.states if keep else room.state
            self._values_of(run, room, multiply, first, last, states, size if keep else 0, values)

        self._in_chunks(run, work)
        return values

    def _values_of(self, run: Run, room: Room, multiply: bool, first: int, last: int, states, stride: int, values) -> None:
        blocks.values_of_blocks(
            first, last, multiply, states, stride, run.division.plan.n_rows, *run.division.plan.packed, *room.arguments,
            run.dense, *run.arguments, values,
        )  # fmt: skip

    def vjp(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray, run: Run | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights.

        Args:
            run: these angles as `forward` gave them, where that was done already.
        """
        run = run or self.prepared(inputs, weights)
        division, plan = run.division, run.division.plan
        cotangents = plain_array(cotangents)
        of_start, of_own = aligned(run.dtype, len(self.amplitudes) * run.width, len(division.own_rows) * run.width)
        if self._is_shared(division, run.batch):
            SharedState(self.n_observables, run).derivatives(cotangents, of_own, of_start)
            of_shared = np.zeros(0)
        else:
            of_shared = self._derivatives(run, cotangents, of_own, of_start)
        of_inputs = np.zeros((run.batch, self._n_inputs))
        of_weights = np.zeros((run.batch if weights.ndim == 2 else 1, weights.shape[-1]))
        by_slot(
            of_own, of_shared, of_start, division.own_rows, division.shared_rows, self.amplitudes, plan.slot,
            division.half, self.column, run.width, of_inputs, of_weights,
        )  # fmt: skip
        of_weights = of_weights.reshape(weights.shape)
        return of_inputs.astype(run.dtype, copy=False), of_weights.astype(run.dtype, copy=False)

    def _derivatives(self, run: Run, cotangents, of_own, of_start) -> np.ndarray:
        """Fills `of_own` and `of_start`; the derivatives by shared angle row."""
        division, size = run.division, run.division.state_size
        states, run.states = run.states, None  # used up: a second gradient computes them again
        parts: dict[int, tuple[Room, np.ndarray]] = {}

        def work(room: Room, multiply: bool, first: int, last: int) -> None:
            of_shared = np.empty(len(division.shared_rows))
            parts[first] = room, of_shared
            is_all = last - first == run.n_blocks
            blocks.derivatives_of_blocks(
                first, last, multiply, is_all, room.state if states is None else states, 0 if states is None else size,
                room.bra, division.plan.n_rows, *division.plan.packed, *room.arguments, run.dense, *run.arguments,
                cotangents, of_own, of_shared, of_start,
            )  # fmt: skip

        def add_up() -> np.ndarray:
            (room, of_shared), *others = [parts[first] for first in sorted(parts)]
            for other, part in others:
                of_shared += part
                room.dense_moments += other.dense_moments
            if others and division.plan.n_dense:
                plan = division.plan
                blocks.finish_derivatives(
                    plan.n_rows, *plan.packed, *room.arguments, run.dense, *run.arguments, of_shared
                )  # fmt: skip
            return of_shared

        return self._in_chunks(run, work, add_up)

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, samples) probabilities, unnormalised where amplitudes are."""
        run = self.prepared(inputs, weights)
        division, lanes = run.division, run.division.lanes
        where = division.plan.form.logical_rows()
        run.dense = division.dense()
        room = division.room(self.n_observables)
        values = np.empty((run.batch, self.n_observables), run.dtype)
        for block in range(run.n_blocks):
            if self._is_shared(division, run.batch):
                SharedState(self.n_observables, run).forward(block, room.state)
            else:
                self._values_of(run, room, True, block, block + 1, room.state, 0, values)
            rows = room.state.reshape(-1, 2, lanes)
            chances = rows[:, 0] ** 2 + rows[:, 1] ** 2
            if division.lane_bits:
                yield slice(block, block + 1), chances.reshape(-1, 1)[where]
                continue
            samples = slice(block * lanes, min((block + 1) * lanes, run.batch))
            yield samples, chances[where, : samples.stop - samples.start]

    def _is_shared(self, division: Division, batch: int) -> bool:
        """Whether the threads share the rows of each state."""
        return bool(division.tile_rows) and (batch < MOST_CHUNKS // 2 or self.program.n_qubits >= FEWEST_QUBITS_SHARED)

    def _in_chunks(self, run: Run, work: Callable[[Room, bool, int, int], None], finish: Callable = lambda: None):
        """`work(room, multiply, first, last)` on ranges of blocks, on threads where that pays; then `finish()`.

        `multiply` says that the diagonals that samples share are still to be multiplied out.
        """
        division, plan = run.division, run.division.plan
        chunks = _chunks(run.n_blocks, plan.n_rows * len(plan.tables.stages))
        multiply = run.dense is None
        if multiply:
            run.dense = division.dense()
        rooms = [division.room(self.n_observables) for _ in chunks]
        if len(chunks) > 1 and multiply and plan.n_dense:
            blocks.multiply_diagonals(plan.n_rows, *plan.packed, *rooms[0].arguments, run.dense, *run.arguments)
            multiply = False
        if len(chunks) == 1:
            work(rooms[0], multiply, *chunks[0])
        else:
            spread(work, [(room, multiply, *chunk) for room, chunk in zip(rooms, chunks)])
        result = finish()
        division.give_back(rooms)
        return result


@lru_cache(maxsize=1024)
def _chunks(n_blocks: int, work_a_block: int) -> list[tuple[int, int]]:
    """Ranges of blocks, as many as are worth a thread's waking."""
    n_chunks = max(1, min(MOST_CHUNKS, int(n_blocks * work_a_block / WORTH_A_CHUNK)))
    size = max(1, -(-n_blocks // n_chunks))
    return [(first, min(first + size, n_blocks)) for first in range(0, n_blocks, size)]


def plain_array(array: np.ndarray) -> np.ndarray:
    """The array as kernels are compiled for: contiguous and not read-only."""
    flags = array.flags
    return array if flags.c_contiguous and flags.writeable else np.array(array)
