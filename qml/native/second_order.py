"""Exact second derivatives and states' derivatives: dual states carried through the engine's sweeps."""

from itertools import pairwise

import numpy as np

from qml.native import dual_blocks
from qml.native.angles import by_slot, half_angles, read_amplitudes
from qml.native.fast import FastEngine, plain_array
from qml.native.plan import N_ENTRIES
from qml.native.run import Run
from qml.native.simd import aligned
from qml.native.threads import n_threads, spread


class SecondOrder:
    """The engine's circuit, where every angle is taken for a sample's own."""

    def __init__(self, engine: FastEngine):
        self._engine = engine

    def n_bytes(self, batch: int, dtype: np.dtype) -> int:
        """Memory of a Hessian-vector product besides its inputs and outputs."""
        at_once = min(n_threads(), max(1, batch))
        return 2 * at_once * self._engine.n_bytes(1, dtype) + 3 * self._engine.angle_bytes(batch, True, dtype, True)

    def second(self, inputs, weights, cotangents, v_inputs, v_weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of sum v . vjp(inputs, weights, cotangents) by inputs, weights and cotangents.

        Args:
            inputs, v_inputs: (B, n). weights, v_weights: (n,) or (B, n).

        Cost: about 2.5 gradients, four states a thread.
        """
        run, rates, start_rates = self._prepared(inputs, weights, v_inputs, v_weights)
        division, engine = run.division, self._engine
        growth = np.zeros((run.batch, engine.n_observables), run.dtype)
        cotangents = plain_array(cotangents)
        of_start, of_own = aligned(run.dtype, len(engine.amplitudes) * run.width, len(division.own_rows) * run.width)

        def work(first: int, last: int) -> None:
            kernel = dual_blocks.second_of_blocks
            self._call(kernel, run, first, last, 4, rates, start_rates, cotangents, growth, of_own, of_start)

        self._in_chunks(run, work)
        of_inputs = np.zeros(inputs.shape)
        of_weights = np.zeros((run.batch if weights.ndim == 2 else 1, weights.shape[-1]))
        nothing = np.zeros(0)
        by_slot(
            of_own, nothing, of_start, division.own_rows, division.shared_rows, engine.amplitudes, division.plan.slot,
            division.half, engine.column, run.width, of_inputs, of_weights,
        )  # fmt: skip
        of_weights = of_weights.reshape(weights.shape).astype(run.dtype, copy=False)
        return of_inputs.astype(run.dtype, copy=False), of_weights, growth

    def tangents(self, inputs, weights, v_inputs, v_weights) -> tuple[np.ndarray, np.ndarray]:
        """(B, 2^n) complex final states and their derivatives along v, but for phases (`qml.metric.tangents`)."""
        run, rates, start_rates = self._prepared(inputs, weights, v_inputs, v_weights)
        division = run.division
        (out,) = aligned(run.dtype, 2 * run.n_blocks * division.state_size)

        def work(first: int, last: int) -> None:
            self._call(dual_blocks.tangents_of_blocks, run, first, last, 0, rates, start_rates, out)

        self._in_chunks(run, work)
        parts = out.reshape(run.n_blocks, 2, division.plan.n_rows, 2, division.lanes)
        amplitudes = parts[:, :, :, 0] + 1j * parts[:, :, :, 1]  # blocks, state or derivative, rows, lanes
        where = division.plan.form.logical_rows()
        if division.lane_bits:
            both = amplitudes.reshape(run.batch, 2, -1)[:, :, where]
        else:
            both = amplitudes.transpose(0, 3, 1, 2).reshape(run.width, 2, -1)[: run.batch, :, where]
        return both[:, 0], both[:, 1]

    def _prepared(self, inputs, weights, v_inputs, v_weights) -> tuple[Run, np.ndarray, np.ndarray]:
        """A run, and the rates of its own angle rows and of its amplitudes."""
        engine = self._engine
        run = engine.prepared(inputs, weights, all_own=True)
        division, slot = run.division, run.division.plan.slot
        wide = [plain_array(np.atleast_2d(v)) for v in (v_inputs, v_weights)]
        own = division.own_rows
        exact = np.empty(len(own) * run.width + len(division.shared_rows))
        half_angles(
            *wide, engine.column, own, division.shared_rows, slot, np.where(slot < 0, 0.0, division.half), run.width, exact
        )  # fmt: skip
        rates, start_rates = aligned(run.dtype, len(own) * run.width, len(engine.amplitudes) * run.width)
        rates[:] = exact[: len(rates)]
        read_amplitudes(*wide, engine.column, engine.amplitudes, run.width, start_rates)
        return run, rates, start_rates

    def _call(self, kernel, run: Run, first: int, last: int, n_states: int, *arguments) -> None:
        division, plan = run.division, run.division.plan
        room = division.room(self._engine.n_observables)
        lanes = division.lanes
        entries = int(plan.tables.tiles[:, N_ENTRIES].max(initial=0)) if division.tile_rows else 0
        spare = 3  # kernels load the rates of three turns whatever their number
        sizes = [n_states * division.state_size, 4 * entries * 2 * lanes]
        states, tiles, turn_rates, slopes = aligned(
            run.dtype, *sizes, (plan.n_turns + spare) * lanes, plan.n_table_rows * lanes
        )  # fmt: skip
        kernel(
            first, last, states, tiles, turn_rates, slopes, plan.n_rows, *plan.packed, *room.arguments,
            np.empty(0, run.dtype), *run.arguments, *arguments,
        )  # fmt: skip
        division.give_back([room])

    def _in_chunks(self, run: Run, work) -> None:
        """Each thread takes its share of blocks; nothing is summed over samples before `by_slot`."""
        ends = [run.n_blocks * part // n_threads() for part in range(n_threads() + 1)]
        spread(work, [(first, last) for first, last in pairwise(ends) if last > first])
