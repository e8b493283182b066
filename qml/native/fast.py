"""The fast engine: a plan, and blocks of samples swept by explicit SIMD kernels on the CPU's threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native import sweeps
from qml.native.diagonals import add_diagonal_gradients, fill_diagonals
from qml.native.plain import n_threads, threads
from qml.native.plan import Plan, plan
from qml.native.simd import WIDTH, aligned, lanes_of

MOST_CHUNKS = 8  # units of work; fixed, so that sums do not depend on the number of threads
WORTH_THREADS = 2e5  # rows times passes below which waking a thread costs more than it does


class _Division:
    """A plan for one division of the slots into those that differ between samples and those that do not."""

    def __init__(self, program: Program, sums: PauliSums, differs: np.ndarray):
        self.plan: Plan = plan(program, sums, list(differs))
        self.half = 0.5 * self.plan.coefficient
        own = np.append(differs, False)[self.plan.slot]
        self.own_rows = np.flatnonzero(own)
        self.own_slots = self.plan.slot[self.own_rows]
        self.own_half = self.half[self.own_rows, None]
        # A slot on one row needs no sum over rows, which is the usual case.
        self.one_row_each = len(np.unique(self.own_slots)) == len(self.own_slots)


@dataclass
class _Prepared:
    """One run's angles as the kernels want them; flat tables of samples have rows of `width`."""

    division: _Division
    batch: int
    width: int
    shared_cos: np.ndarray
    shared_sin: np.ndarray
    own_cos: np.ndarray
    own_sin: np.ndarray
    real: np.ndarray
    imaginary: np.ndarray
    amplitudes: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return self.shared_cos.dtype


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
        self._inputs, self._weights = np.array(inputs, np.int64), np.array(weights, np.int64)
        self._n_slots = len(program.slots)

    @cached_property
    def _shared(self) -> _Division:
        return _Division(self.program, self._sums, np.isin(np.arange(self._n_slots), self._inputs))

    @cached_property
    def _per_sample(self) -> _Division:
        return _Division(self.program, self._sums, np.ones(self._n_slots, bool))

    def n_bytes(self, dtype: np.dtype, per_sample: bool) -> int:
        """Memory of a gradient besides its inputs and outputs: states, diagonals, and moments of every thread."""
        n_rows, plan = 1 << self.program.n_qubits, (self._per_sample if per_sample else self._shared).plan
        states = 4 * n_rows * WIDTH
        diagonals = plan.n_diagonals * n_rows * 8
        return n_threads() * (states + diagonals) + 4 * diagonals

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K) expectation values; weights (n,) or (B, n)."""
        return self.values(self.prepare(inputs, weights))

    def values(self, run: "_Prepared") -> np.ndarray:
        """(B, K) expectation values at prepared angles."""
        return self._sweep(run, np.zeros(0, run.dtype))[0]

    def vjp(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray, run: "_Prepared | None" = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(B, K) values, and derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights.

        Args:
            run: these angles as `prepare` gave them, where that was done already.
        """
        run = run or self.prepare(inputs, weights)
        (padded,) = aligned(run.dtype, self.n_observables * run.width)
        padded[:] = 0
        padded.reshape(self.n_observables, run.width)[:, : run.batch] = cotangents.T
        values, own, shared, of_amplitudes = self._sweep(run, padded)
        of_slots = self._by_slot(run, own, of_amplitudes)
        d_inputs = of_slots[self._inputs].T
        if weights.ndim == 2:
            return values, d_inputs, of_slots[self._weights].T
        plan = run.division.plan
        summed = np.bincount(plan.slot + 1, shared * plan.coefficient, self._n_slots + 1)
        return values, d_inputs, summed[self._weights + 1].astype(run.dtype)

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, lanes) probabilities, unnormalised where amplitudes are."""
        run = self.prepare(inputs, weights)
        plan, lanes = run.division.plan, lanes_of(run.dtype)
        where = plan.form.logical_rows()
        (values,) = aligned(run.dtype, self.n_observables * run.width)
        nothing = np.zeros(0, run.dtype)
        for block in range(run.width // lanes):
            empty = values, nothing, np.zeros(0), np.zeros((0, 1 << plan.n_qubits)), nothing
            state = self._run_chunk(run, (block, block + 1), nothing, empty)
            rows = state.reshape(-1, 2, lanes)
            samples = slice(block * lanes, min((block + 1) * lanes, run.batch))
            yield samples, (rows[:, 0] ** 2 + rows[:, 1] ** 2)[where, : samples.stop - samples.start]

    def _by_slot(self, run: _Prepared, own: np.ndarray, of_amplitudes: np.ndarray) -> np.ndarray:
        """(n_slots, B): derivatives by the slots that differ between samples, zero for the others."""
        division = run.division
        of_slots = np.zeros((self._n_slots, run.batch), run.dtype)
        found = own.reshape(-1, run.width)[:, : run.batch] * (2 * division.own_half).astype(run.dtype)
        if division.one_row_each:
            of_slots[division.own_slots] = found
        else:
            np.add.at(of_slots, division.own_slots, found)
        if self.program.amplitudes:
            of_slots[list(self.program.amplitudes)] = of_amplitudes.reshape(-1, run.width)[:, : run.batch]
        return of_slots

    def prepare(self, inputs: np.ndarray, weights: np.ndarray) -> _Prepared:
        """Cosines, sines and diagonals of one run."""
        dtype, batch = weights.dtype, len(inputs)
        division = self._per_sample if weights.ndim == 2 else self._shared
        plan, lanes = division.plan, lanes_of(dtype)
        width = -(-batch // lanes) * lanes
        by_slot = np.empty((self._n_slots + 1, batch))  # the last row is that of constants
        by_slot[-1] = 1
        by_slot[self._inputs] = inputs.T
        by_slot[self._weights] = weights.T if weights.ndim == 2 else weights[:, None]
        shared = division.half * by_slot[plan.slot, 0] if batch else division.half
        own = division.own_half * by_slot[division.own_slots]
        amplitudes, own_cos, own_sin = aligned(dtype, width * len(self.program.amplitudes), *[own.shape[0] * width] * 2)
        for table, rows in (
            (own_cos, np.cos(own)),
            (own_sin, np.sin(own)),
            (amplitudes, by_slot[list(self.program.amplitudes)]),
        ):
            wide = table.reshape(len(rows), width)
            wide[:, :batch], wide[:, batch:] = rows, 0
        cos, sin = np.cos(shared), np.sin(shared)
        real, imaginary = np.empty((2, plan.n_diagonals, 1 << plan.n_qubits))
        fill_diagonals(real, imaginary, plan.diagonals, plan.diagonal_signs, cos, sin)
        tables = [table.astype(dtype, copy=False) for table in (cos, sin, real, imaginary)]
        return _Prepared(division, batch, width, *tables[:2], own_cos, own_sin, *tables[2:], amplitudes)

    def _sweep(self, run: _Prepared, cotangents: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values by sample, derivatives by own angle row and sample, by shared angle row, by amplitude and sample."""
        plan, backward = run.division.plan, len(cotangents) > 0
        n_blocks = run.width // lanes_of(run.dtype)
        values, own, of_amplitudes = aligned(
            run.dtype, self.n_observables * run.width, len(run.own_cos) * backward, len(run.amplitudes) * backward
        )
        is_small = (n_blocks << plan.n_qubits) * len(plan.passes) < WORTH_THREADS
        size = max(1, n_blocks if is_small else -(-n_blocks // MOST_CHUNKS))
        chunks = [(first, min(first + size, n_blocks)) for first in range(0, n_blocks, size)]
        shared = np.zeros((len(chunks), len(plan.slot) * backward))

        def work(index: int) -> None:
            moments = np.zeros((plan.n_diagonals * backward, 1 << plan.n_qubits))
            results = values, own, shared[index], moments, of_amplitudes
            self._run_chunk(run, chunks[index], cotangents, results)
            if backward:
                add_diagonal_gradients(moments, plan.diagonals, plan.diagonal_signs, shared[index])

        if len(chunks) > 1 and n_threads() > 1:
            list(threads().map(work, range(len(chunks))))
        else:
            for index in range(len(chunks)):
                work(index)
        by_sample = values.reshape(self.n_observables, run.width)[:, : run.batch].T
        return np.ascontiguousarray(by_sample), own, shared.sum(axis=0), of_amplitudes

    def _run_chunk(self, run: _Prepared, chunk: tuple[int, int], cotangents: np.ndarray, results: tuple) -> np.ndarray:
        """Sweep some blocks; the state of the last one, which is final where nothing is swept back."""
        plan, backward = run.division.plan, len(cotangents) > 0
        lanes, n_rows = lanes_of(run.dtype), 1 << plan.n_qubits
        state, table = 2 * n_rows * lanes, len(plan.slot) * lanes
        room = aligned(run.dtype, state, state * backward, table, table, table * backward, self.n_observables * lanes)
        sweeps.sweep(
            *chunk, n_rows, lanes, run.width, plan.passes, plan.bases, plan.phases,
            plan.terms, plan.term_coefficients.astype(run.dtype, copy=False),
            run.shared_cos, run.shared_sin, run.division.own_rows, run.own_cos, run.own_sin,
            run.real, run.imaginary, run.amplitudes, cotangents, *room, *results,
        )  # fmt: skip
        return room[0]
