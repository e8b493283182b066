"""Whole runs of blocks of samples, and what comes before and after the sweeps of each."""

import numpy as np

from qml.native.compilation import inner, jit
from qml.native.context import angles_at, plan_at, room_at
from qml.native.diagonals import fill_table, fold_moments, gather_from_lanes, multiply_out, spread_over_lanes, sum_transform
from qml.native.pauli_kernels import add_moments, apply_observables, expectations, fill_weights
from qml.native.plan import (
    ANGLE,
    COUNT,
    DENSE,
    FLIPS,
    IS_OWN,
    KIND,
    OFFSET,
    PHASE,
    PHASE_COLUMNS,
    PHASE_END,
    RANK,
    ROW,
    SIGN,
    STAGE_COLUMNS,
    TABLE_COLUMNS,
)
from qml.native.simd import address, equal_lanes, load, mul, shift, store, total
from qml.native.sweeps import backward_tile, find_tables, forward_tile, n_cosets, signed


@inner
def clear(values, n_rows, lanes):
    """Rows of zeros."""
    for k in range(n_rows):
        store(values, k * lanes, equal_lanes(values, 0.0))


@inner
def _write_angle(plan, room, row, first, second, lanes, lane_bits):
    """What kernels multiply by for one angle row, to where they look for it."""
    if row >= plan.n_turns:
        store(room.cos, (row - plan.n_turns) * lanes, first)
        store(room.sin, (row - plan.n_turns) * lanes, second)
        return
    store(room.tangents, row * lanes, first)
    store(room.sines, row * lanes, second)
    if lane_bits:
        for k in range(row * lanes, row * lanes + lanes):
            room.tangents[k] = room.tangents[k] * plan.lane_signs[k]
            room.sines[k] = room.sines[k] * plan.lane_signs[k]


@inner
def fill_equal(plan, room, rows, n_rows, first, second, step, lanes, lane_bits):
    """Angle rows that are one number for all lanes; that of row k is at k `step`."""
    for k in range(n_rows):
        x, y = equal_lanes(room.cos, first[k * step]), equal_lanes(room.cos, second[k * step])
        _write_angle(plan, room, rows[k], x, y, lanes, lane_bits)


@inner
def fill_lanes(plan, room, rows, n_rows, first, second, step, lanes):
    """Angle rows that are a number for each lane."""
    for k in range(n_rows):
        _write_angle(plan, room, rows[k], load(first, k * step), load(second, k * step), lanes, 0)


@inner
def fill_diagonals(plan, room, own, lanes, lane_bits):
    """The tables of diagonals whose phases differ between samples, or of the others."""
    for t in range(plan.n_tables):
        table = shift(plan.tables, t * TABLE_COLUMNS)
        if table[IS_OWN] != own:
            continue
        fill_table(table, plan.phases, plan.n_turns, room.cos, room.sin, room.real, room.imaginary, lanes)
        if lane_bits:
            lane_places = shift(plan.lane_places, t * lanes)
            spread_over_lanes(room.real, table[OFFSET], table[RANK], lanes, lane_places, room.scratch)
            spread_over_lanes(room.imaginary, table[OFFSET], table[RANK], lanes, lane_places, room.scratch)


@inner
def fill_dense(plan, room, lanes, n_rows):
    """The diagonals that all samples share, multiplied out."""
    fill_diagonals(plan, room, 0, lanes, 0)
    for k in range(plan.n_stages):
        stage = shift(plan.stages, k * STAGE_COLUMNS)
        if stage[KIND] == DENSE:
            find_tables(plan, room, stage, 0, n_rows)
            at = stage[FLIPS + 1] * n_rows
            multiply_out(
                n_rows, lanes, stage[COUNT], plan.places, room.offsets, room.real, room.imaginary,
                shift(room.dense_real, at), shift(room.dense_imaginary, at),
            )  # fmt: skip


@inner(kept=True)
def fill_shared(plan, room, angles, multiply, n_rows, lanes, lane_bits):
    """Everything of a run that all its samples share; the diagonals only where they are still to be multiplied out."""
    at = angles.n_own * angles.width
    first, second = shift(angles.first, at), shift(angles.second, at)
    fill_equal(plan, room, angles.shared_rows, angles.n_shared, first, second, 1, lanes, lane_bits)
    if multiply:
        fill_dense(plan, room, lanes, n_rows)


@inner(kept=True)
def fill_own(plan, room, angles, at, lanes, lane_bits):
    """Everything that is a sample's own, of the block of samples at `at`, or of that one sample."""
    first, second = shift(angles.first, at), shift(angles.second, at)
    if lane_bits:
        fill_equal(plan, room, angles.own_rows, angles.n_own, first, second, angles.width, lanes, lane_bits)
    else:
        fill_lanes(plan, room, angles.own_rows, angles.n_own, first, second, angles.width, lanes)
    fill_diagonals(plan, room, 1, lanes, lane_bits)


@inner(kept=True)
def start(state, n_rows, angles, at, lanes, lane_bits):
    """|0...0>, or the given amplitudes."""
    clear(state, 2 * n_rows, lanes)
    if angles.n_amplitudes == 0:
        for lane in range(1 if lane_bits else lanes):
            state[lane] = 1
    for k in range(angles.n_amplitudes):
        if lane_bits:
            index = angles.start[k]
            state[(index >> lane_bits) * 2 * lanes + (index & (lanes - 1))] = angles.amplitudes[k * angles.width + at]
        else:
            store(state, k * 2 * lanes, load(angles.amplitudes, k * angles.width + at))


@inner(kept=True)
def of_amplitudes(bra, angles, at, lanes, lane_bits, out):
    """Derivatives by the initial amplitudes, twice the real part of lambda there."""
    for k in range(angles.n_amplitudes):
        if lane_bits:
            index = angles.start[k]
            out[k * angles.width + at] = 2 * bra[(index >> lane_bits) * 2 * lanes + (index & (lanes - 1))]
        else:
            store(out, k * angles.width + at, mul(equal_lanes(bra, 2.0), load(bra, k * 2 * lanes)))


@inner(kept=True)
def moments_of_observables(state, plan, room, first, last, lanes, lane_bits):
    """Rows first to last added to the moments of the observables' terms."""
    add_moments(
        state, first, last, lanes, lane_bits, plan.groups, plan.n_groups, plan.read_tables, plan.read_places, room.weights
    )  # fmt: skip


@inner(kept=True)
def write_values(plan, room, at, lanes, lane_bits, values):
    """Rows of `values`, (B, K), from the moments of all rows of the state."""
    expectations(
        room.weights, lanes, lane_bits, plan.read_tables, plan.n_read_tables, plan.read_lane_places,
        plan.terms, plan.n_terms, plan.term_coefficients, room.out, room.n_observables, room.scratch,
    )  # fmt: skip
    samples = 1 if lane_bits else min(lanes, values.shape[0] - at)
    for k in range(values.shape[1]):
        for lane in range(samples):
            values[at + lane, k] = room.out[k * lanes + lane]


@inner(kept=True)
def read_cotangents(plan, room, at, lanes, lane_bits, cotangents):
    """The observables' weights by table row, from rows of `cotangents`, (B, K)."""
    for k in range(cotangents.shape[1]):
        for lane in range(lanes):
            sample = at if lane_bits else at + lane
            room.out[k * lanes + lane] = cotangents[sample, k] if sample < cotangents.shape[0] else 0.0
    fill_weights(
        room.weights, room.n_read_rows, room.out, lanes, lane_bits, plan.read_tables, plan.n_read_tables,
        plan.read_lane_places, plan.terms, plan.n_terms, plan.term_coefficients, room.scratch,
    )  # fmt: skip


@inner(kept=True)
def lambda_of_observables(state, bra, plan, room, first, last, lanes, lane_bits):
    """Rows first to last of lambda."""
    apply_observables(
        state, bra, first, last, lanes, lane_bits, plan.groups, plan.n_groups, plan.read_tables, plan.read_places,
        room.weights,
    )  # fmt: skip


@inner
def _transform_moments(plan, room, own, lanes, lane_bits):
    """Derivatives of the phases of some tables, from the moments of the tables' rows."""
    for t in range(plan.n_tables):
        table = shift(plan.tables, t * TABLE_COLUMNS)
        if table[IS_OWN] != own:
            continue
        if lane_bits:
            lane_places = shift(plan.lane_places, t * lanes)
            gather_from_lanes(room.moments, table[OFFSET], table[RANK], lanes, lane_places, room.scratch)
        sum_transform(room.moments, table[OFFSET], table[RANK], lanes)
        for k in range(table[PHASE], table[PHASE_END]):
            phase = shift(plan.phases, k * PHASE_COLUMNS)
            store(room.of_angles, phase[ANGLE] * lanes, signed(load(room.moments, phase[ROW] * lanes), phase[SIGN] < 0))


@inner(kept=True)
def write_derivatives(plan, room, angles, at, lanes, lane_bits, of_own, of_shared):
    """Derivatives by sample of angle rows that are samples' own, and added up those of turns that samples share."""
    _transform_moments(plan, room, 1, lanes, lane_bits)
    if lane_bits:  # a turn's derivative is spread over lanes, with their signs
        for row in range(plan.n_turns):
            derivative = 0.0
            for k in range(row * lanes, row * lanes + lanes):
                derivative += plan.lane_signs[k] * room.of_angles[k]
            room.of_angles[row * lanes] = derivative
    for k in range(angles.n_own):
        row = angles.own_rows[k]
        if lane_bits:
            of_own[k * angles.width + at] = room.of_angles[row * lanes]
        else:
            store(of_own, k * angles.width + at, load(room.of_angles, row * lanes))
    for k in range(angles.n_shared):
        if angles.shared_rows[k] < plan.n_turns:
            of_shared[k] = of_shared[k] + total(load(room.of_angles, angles.shared_rows[k] * lanes))


@inner
def add_dense_derivatives(plan, room, angles, lanes, n_rows, of_shared):
    """Derivatives of phases that all samples share, from the moments of every row."""
    clear(room.moments, room.n_table_rows, lanes)
    for k in range(plan.n_stages):
        stage = shift(plan.stages, k * STAGE_COLUMNS)
        if stage[KIND] == DENSE:
            find_tables(plan, room, stage, 0, n_rows)
            moments = shift(room.dense_moments, stage[FLIPS + 1] * n_rows)
            fold_moments(n_rows, lanes, stage[COUNT], plan.places, room.offsets, moments, room.moments)
    clear(room.of_angles, room.n_angles, lanes)
    _transform_moments(plan, room, 0, lanes, 0)
    for k in range(angles.n_shared):
        if angles.shared_rows[k] >= plan.n_turns:
            of_shared[k] = room.of_angles[angles.shared_rows[k] * lanes]


@inner
def forward(state, n_rows, plan, room, angles, at, lanes, lane_bits):
    """One state, or one block of states, from the start through every tile."""
    fill_own(plan, room, angles, at, lanes, lane_bits)
    start(state, n_rows, angles, at, lanes, lane_bits)
    none = np.int64(0)  # of the type that coset numbers have: a literal 0 would be compiled for again
    for number in range(plan.n_tiles):
        forward_tile(state, plan, room, number, none, n_cosets(plan, number), lanes, lane_bits)


@jit
def values_of_blocks(
    first, last, multiply, states, stride, n_rows, integers, shapes, coefficients, floats, starts, rows, dense_moments,
    offsets, dense, own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, values,
):  # fmt: skip
    """Expectation values of blocks first to last of samples, whose final states stay in `states`.

    Args:
        multiply: whether the diagonals that samples share are still to be multiplied out.
        stride: how far the next block's state is in `states`; 0 where only the last one stays.
        integers to coefficients: of `plan_at`; floats to dense: of `room_at`; own_rows to width: of `angles_at`.
    """
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    fill_shared(plan, room, angles, multiply, n_rows, lanes, lane_bits)
    for block in range(first, last):
        at = block if lane_bits else block * lanes
        state = shift(address(states), block * stride)
        forward(state, n_rows, plan, room, angles, at, lanes, lane_bits)
        clear(room.weights, room.n_read_rows, lanes)
        moments_of_observables(state, plan, room, 0, n_rows, lanes, lane_bits)
        write_values(plan, room, at, lanes, lane_bits, values)


@jit
def derivatives_of_blocks(
    first, last, multiply, finish, states, stride, bra, n_rows, integers, shapes, coefficients, floats, starts, rows,
    dense_moments, offsets, dense, own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width,
    lanes, lane_bits, cotangents, of_own, of_shared, of_start,
):  # fmt: skip
    """Derivatives of blocks first to last of samples.

    Args:
        finish: whether these are all blocks, so that moments of shared diagonals are complete.
        states, stride: final states, which are used up; where the stride is 0 they are computed again.
        of_own: by own angle row and sample. of_shared: by shared angle row. of_start: by amplitude and sample.
        The others are as above.
    """
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    fill_shared(plan, room, angles, multiply, n_rows, lanes, lane_bits)
    dense_moments[:] = 0
    of_shared[:] = 0
    for block in range(first, last):
        at = block if lane_bits else block * lanes
        state, dual = shift(address(states), block * stride), address(bra)
        if stride == 0:
            forward(state, n_rows, plan, room, angles, at, lanes, lane_bits)
        else:
            fill_own(plan, room, angles, at, lanes, lane_bits)
        read_cotangents(plan, room, at, lanes, lane_bits, cotangents)
        lambda_of_observables(state, dual, plan, room, 0, n_rows, lanes, lane_bits)
        clear(room.moments, room.n_table_rows, lanes)
        clear(room.of_angles, room.n_angles, lanes)
        for k in range(plan.n_tiles):
            number = plan.n_tiles - 1 - k
            backward_tile(state, dual, plan, room, number, np.int64(0), n_cosets(plan, number), lanes, lane_bits)
        write_derivatives(plan, room, angles, at, lanes, lane_bits, address(of_own), of_shared)
        of_amplitudes(dual, angles, at, lanes, lane_bits, address(of_start))
    if finish:
        add_dense_derivatives(plan, room, angles, lanes, n_rows, of_shared)


@jit
def finish_derivatives(
    n_rows, integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits, of_shared,
):  # fmt: skip
    """Derivatives of shared phases once all threads' moments are added up."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    add_dense_derivatives(plan, room, angles, lanes, n_rows, of_shared)


@jit
def multiply_diagonals(
    n_rows, integers, shapes, coefficients, floats, starts, rows, dense_moments, offsets, dense,
    own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width, lanes, lane_bits,
):  # fmt: skip
    """Shared diagonals, multiplied out once for all threads."""
    plan, room = plan_at(integers, shapes, coefficients), room_at(floats, starts, rows, dense_moments, offsets, dense)
    angles = angles_at(own_rows, shared_rows, first_shears, second_shears, amplitudes, start, width)
    fill_shared(plan, room, angles, True, n_rows, lanes, lane_bits)
