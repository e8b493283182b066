"""The fast engine: a plan, and blocks of samples swept by explicit SIMD kernels on the CPU's threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native import sweeps
from qml.native.diagonals import product_transform, sum_transform
from qml.native.plain import n_threads, threads
from qml.native.plan import Plan, plan
from qml.native.simd import aligned, lanes_of

MOST_CHUNKS = 8  # units of work; fixed, so that sums do not depend on the number of threads
WORTH_THREADS = 2e5  # rows times passes below which waking a thread costs more than it does


@dataclass
class _Prepared:
    """One run's angles as the kernels want them."""

    plan: Plan
    width: int
    batch: int
    shared_cos: np.ndarray
    shared_sin: np.ndarray
    own_rows: np.ndarray
    own_cos: np.ndarray
    own_sin: np.ndarray
    real: np.ndarray
    imaginary: np.ndarray
    amplitudes: np.ndarray


class FastEngine:
    """One program with its observables; slots that are inputs differ between samples, weights need not.

    Args:
        inputs, weights: the slots of each, in the order of the columns of the arrays given to a run.
    """

    def __init__(
        self,
        program: Program,
        observables: Sequence[SparsePauliOp],
        inputs: Sequence[int],
        weights: Sequence[int],
    ):
        self.program, self.n_observables = program, len(observables)
        self._sums = PauliSums.of(observables, program.n_qubits)
        self._inputs, self._weights = np.array(inputs, np.int64), np.array(weights, np.int64)

    def _plan(self, per_sample: bool) -> Plan:
        return self._plan_per_sample if per_sample else self._plan_shared

    @cached_property
    def _plan_shared(self) -> Plan:
        differs = np.isin(np.arange(len(self.program.slots)), self._inputs)
        return plan(self.program, self._sums, list(differs))

    @cached_property
    def _plan_per_sample(self) -> Plan:
        return plan(self.program, self._sums, [True] * len(self.program.slots))

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K) expectation values; weights (n,) or (B, n)."""
        return self._sweep(self._prepare(inputs, weights), np.zeros(0, weights.dtype))[0]

    def vjp(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(B, K) values, and derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights."""
        run = self._prepare(inputs, weights)
        padded = aligned(self.n_observables * run.width, weights.dtype)
        padded[:] = 0
        padded.reshape(self.n_observables, run.width)[:, : run.batch] = cotangents.T
        values, own, shared, moments, of_amplitudes = self._sweep(run, padded)
        n_slots = len(self.program.slots)
        of_slots = np.zeros((n_slots, run.batch), weights.dtype)
        found = own.reshape(-1, run.width)[:, : run.batch]
        np.add.at(of_slots, run.plan.slot[run.own_rows], found * run.plan.coefficient[run.own_rows, None])
        if len(self.program.amplitudes):
            start = of_amplitudes.reshape(-1, run.width)[:, : run.batch]
            of_slots[list(self.program.amplitudes)] = start
        d_inputs = of_slots[self._inputs].T
        if weights.ndim == 2:
            return values, d_inputs, of_slots[self._weights].T
        self._add_diagonals(run.plan, moments, shared)
        summed = np.zeros(n_slots + 1)
        np.add.at(summed, run.plan.slot, shared * run.plan.coefficient)
        return values, d_inputs, summed[self._weights].astype(weights.dtype)

    def _add_diagonals(self, plan: Plan, moments: np.ndarray, shared: np.ndarray) -> None:
        """The derivatives of shared phases, all those of one diagonal from one transform of its moments."""
        for number in range(plan.n_diagonals):
            sum_transform(moments[number])
        which, read, row = plan.diagonals.T
        shared[row] = moments[which, read] * plan.diagonal_signs

    def _prepare(self, inputs: np.ndarray, weights: np.ndarray) -> _Prepared:
        dtype, batch = weights.dtype, len(inputs)
        plan = self._plan(weights.ndim == 2)
        lanes = lanes_of(dtype)
        width = -(-batch // lanes) * lanes
        by_slot = np.zeros((len(self.program.slots) + 1, batch))
        by_slot[-1] = 1
        by_slot[self._inputs] = inputs.T
        by_slot[self._weights] = weights.T if weights.ndim == 2 else weights[:, None]
        own_rows = np.flatnonzero(self._differs(plan, weights.ndim == 2))
        half = 0.5 * plan.coefficient
        shared = half * (by_slot[plan.slot, 0] if batch else 0.0)
        own = np.zeros((len(own_rows), width))
        own[:, :batch] = half[own_rows, None] * by_slot[plan.slot[own_rows]]
        amplitudes = aligned(width * len(self.program.amplitudes), dtype)
        if len(amplitudes):
            amplitudes[:] = 0
            amplitudes.reshape(-1, width)[:, :batch] = by_slot[list(self.program.amplitudes)]
        return _Prepared(
            plan, width, batch,
            np.cos(shared).astype(dtype), np.sin(shared).astype(dtype),
            own_rows, _flat(np.cos(own), dtype), _flat(np.sin(own), dtype),
            *self._diagonals(plan, shared, dtype), amplitudes,
        )  # fmt: skip

    def _differs(self, plan: Plan, per_sample: bool) -> np.ndarray:
        return (plan.slot >= 0) if per_sample else np.isin(plan.slot, self._inputs)

    def _diagonals(self, plan: Plan, half: np.ndarray, dtype) -> tuple[np.ndarray, np.ndarray]:
        real = np.ones((plan.n_diagonals, 1 << plan.n_qubits))
        imaginary = np.zeros_like(real)
        for (number, read, row), sign in zip(plan.diagonals, plan.diagonal_signs):
            c, s = np.cos(half[row]), -sign * np.sin(half[row])
            a, b = real[number, read], imaginary[number, read]
            real[number, read], imaginary[number, read] = a * c - b * s, a * s + b * c
        for number in range(plan.n_diagonals):
            product_transform(real[number], imaginary[number])
        return real.astype(dtype), imaginary.astype(dtype)

    def _sweep(self, run: _Prepared, cotangents: np.ndarray) -> list[np.ndarray]:
        plan, dtype = run.plan, run.shared_cos.dtype
        lanes, n_rows = lanes_of(dtype), 1 << plan.n_qubits
        values = aligned(self.n_observables * run.width, dtype)
        backward = len(cotangents) > 0
        own = aligned(len(run.own_rows) * run.width * backward, dtype)
        of_amplitudes = aligned(len(run.amplitudes) * backward, dtype)
        n_blocks = run.width // lanes
        size = max(1, -(-n_blocks // MOST_CHUNKS))
        chunks = [(first, min(first + size, n_blocks)) for first in range(0, n_blocks, size)]
        sums = [(np.zeros(len(plan.slot) * backward), np.zeros((plan.n_diagonals * backward, n_rows))) for _ in chunks]
        coefficients = plan.term_coefficients.astype(dtype)

        def work(chunk, total):
            room = [aligned(count, dtype) for count in (
                2 * n_rows * lanes, 2 * n_rows * lanes * backward, len(plan.slot) * lanes, len(plan.slot) * lanes,
                len(plan.slot) * lanes * backward, self.n_observables * lanes)]  # fmt: skip
            sweeps.sweep(
                *chunk, n_rows, lanes, run.width, plan.passes, plan.bases, plan.phases, plan.terms, coefficients,
                run.shared_cos, run.shared_sin, run.own_rows, run.own_cos, run.own_sin, run.real, run.imaginary,
                run.amplitudes, cotangents, *room, values, own, *total, of_amplitudes,
            )  # fmt: skip

        if n_threads() > 1 and len(chunks) > 1 and n_blocks * n_rows * len(plan.passes) > WORTH_THREADS:
            list(threads().map(work, chunks, sums))
        else:
            for chunk, total in zip(chunks, sums):
                work(chunk, total)
        shared, moments = (np.sum([s[k] for s in sums], axis=0) for k in (0, 1)) if sums else (None, None)
        values = values.reshape(self.n_observables, run.width)[:, : run.batch].T
        return [np.ascontiguousarray(values), own, shared, moments, of_amplitudes]


def _flat(table: np.ndarray, dtype) -> np.ndarray:
    out = aligned(table.size, dtype)
    out[:] = table.ravel()
    return out
