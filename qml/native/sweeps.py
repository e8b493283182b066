"""The sweeps: every stage of every tile on one state, or on one block of states in lanes, forward and back."""

from typing import NamedTuple

import numpy as np

from qml.native import turns
from qml.native.diagonals import (
    dense,
    diagonal,
    fill_tables,
    find_starts,
    fold_moments,
    gather_from_lanes,
    multiply_out,
    parity,
    spread_over_lanes,
    sum_transform,
    undo_dense,
    undo_diagonal,
)
from qml.native.pauli_kernels import add_moments, apply_observables, expectations, fill_weights
from qml.native.plan import (
    COSET,
    COUNT,
    DENSE,
    DIAGONAL,
    ENTRIES,
    FIRST,
    FLIPS,
    GATHERS,
    IS_OWN,
    KIND,
    LANE_TURN,
    N_COSETS,
    N_ENTRIES,
    OFFSET,
    PHASE,
    PHASE_END,
    RANK,
    SHIFTS,
    SIGNS,
    STAGE,
    STAGE_END,
    TURNS,
)
from qml.native.simd import add, broadcast, exchange, jit, load, mul, negate, store, total


class Angles(NamedTuple):
    """One run's angles.

    Attributes:
        own_rows: angle rows that differ between samples; own_cos, own_sin: of their half angles, rows of `width`.
        shared_rows, shared_cos, shared_sin: the others.
        amplitudes: initial amplitudes by basis state and sample, or empty. start: the index of each basis state.
        width: samples, padded to whole vectors.
    """

    own_rows: np.ndarray
    own_cos: np.ndarray
    own_sin: np.ndarray
    shared_rows: np.ndarray
    shared_cos: np.ndarray
    shared_sin: np.ndarray
    amplitudes: np.ndarray
    start: np.ndarray
    width: int


class Room(NamedTuple):
    """What one thread works in; rows of lanes unless said otherwise.

    Attributes:
        tangents, sines: of each turn's shears. cos, sin: of each phase's half angle.
        real, imaginary, moments: by table row of the diagonals. weights: by table row of the observables.
        of_angles: derivatives by angle row. out: by observable.
        tile, bra_tile: gathered rows. scratch: floats, one table. starts: int64, coordinates of a tile's base.
        dense_real, dense_imaginary: by diagonal and row, one number each. dense_moments: float64, the same.
    """

    tangents: np.ndarray
    sines: np.ndarray
    cos: np.ndarray
    sin: np.ndarray
    real: np.ndarray
    imaginary: np.ndarray
    moments: np.ndarray
    weights: np.ndarray
    of_angles: np.ndarray
    out: np.ndarray
    tile: np.ndarray
    bra_tile: np.ndarray
    scratch: np.ndarray
    starts: np.ndarray
    dense_real: np.ndarray
    dense_imaginary: np.ndarray
    dense_moments: np.ndarray


@jit
def fill_angles(plan, room, angles, rows, cos, sin, at, step, row_step, lanes):
    """Shears and phases of some angle rows from their half angles' cosines and sines.

    Args:
        at, step, row_step: where the first row's first lane is in `cos`, and how far the next lane and the next row are.
    """
    n_turns = plan.reads.shape[0]
    for k in range(rows.shape[0]):
        row = rows[k]
        for lane in range(lanes):
            c, s = cos[k * row_step + at + lane * step], sin[k * row_step + at + lane * step]
            if row < n_turns:  # a half angle beyond the right one is one within it and a sign of the whole state
                sign = plan.lane_signs[row, lane]
                if c < 0:
                    c, s = -c, -s
                room.tangents[row * lanes + lane] = -sign * s / (1 + c)
                room.sines[row * lanes + lane] = sign * s
            else:
                room.cos[(row - n_turns) * lanes + lane] = c
                room.sin[(row - n_turns) * lanes + lane] = s


@jit
def fill_diagonals(plan, room, own, lanes, lane_bits):
    """The tables of diagonals whose phases differ between samples, or of the others."""
    n_turns = plan.reads.shape[0]
    fill_tables(plan.tables, plan.phases, n_turns, room.cos, room.sin, own, room.real, room.imaginary, lanes)
    if lane_bits:
        for t in range(plan.tables.shape[0]):
            if plan.tables[t, IS_OWN] == own:
                first, rank = plan.tables[t, OFFSET], plan.tables[t, RANK]
                spread_over_lanes(room.real, first, rank, lanes, plan.lane_places[t], room.scratch)
                spread_over_lanes(room.imaginary, first, rank, lanes, plan.lane_places[t], room.scratch)


@jit
def fill_shared(plan, room, angles, lanes, lane_bits):
    """Everything of a run that all its samples share."""
    fill_angles(plan, room, angles, angles.shared_rows, angles.shared_cos, angles.shared_sin, 0, 0, 1, lanes)


@jit
def fill_dense(plan, room, lanes, n_rows):
    """The diagonals that all samples share, multiplied out."""
    fill_diagonals(plan, room, 0, lanes, 0)
    for k in range(plan.stages.shape[0]):
        row = plan.stages[k]
        if row[KIND] == DENSE:
            multiply_out(
                plan.tables, row[FIRST], row[COUNT], plan.places, row[FLIPS], n_rows, lanes, room.real, room.imaginary,
                room.dense_real, room.dense_imaginary, row[FLIPS + 1] * n_rows,
            )  # fmt: skip


@jit
def fill_own(plan, room, angles, at, lanes, lane_bits):
    """Everything that is a sample's own, of the block of samples at `at`, or of that one sample."""
    step = 0 if lane_bits else 1
    fill_angles(plan, room, angles, angles.own_rows, angles.own_cos, angles.own_sin, at, step, angles.width, lanes)
    fill_diagonals(plan, room, 1, lanes, lane_bits)


@jit
def start(state, angles, at, lanes, lane_bits):
    """|0...0>, or the given amplitudes."""
    zero = broadcast(state.dtype.type(0))
    for k in range(state.shape[0] // lanes):
        store(state, k * lanes, zero)
    if angles.amplitudes.shape[0] == 0:
        if lane_bits:
            state[0] = 1
        else:
            store(state, 0, broadcast(state.dtype.type(1)))
        return
    for k in range(angles.amplitudes.shape[0] // angles.width):
        if lane_bits:
            index = angles.start[k]
            state[(index >> lane_bits) * 2 * lanes + (index & (lanes - 1))] = angles.amplitudes[k * angles.width + at]
        else:
            store(state, k * 2 * lanes, load(angles.amplitudes, k * angles.width + at))


@jit
def of_amplitudes(bra, angles, at, lanes, lane_bits, out):
    """Derivatives by the initial amplitudes, twice the real part of lambda there."""
    for k in range(angles.amplitudes.shape[0] // angles.width):
        if lane_bits:
            index = angles.start[k]
            out[k * angles.width + at] = 2 * bra[(index >> lane_bits) * 2 * lanes + (index & (lanes - 1))]
        else:
            store(out, k * angles.width + at, mul(broadcast(bra.dtype.type(2)), load(bra, k * 2 * lanes)))


@jit
def _signed(vector, flag):
    if flag:
        vector = negate(vector)
    return vector


@jit
def _stage_signs(plan, row, base):
    """Bit j is 1 where turn j of the stage goes the other way in the tile at this base."""
    signs = row[SIGNS]
    if base:
        for j in range(1 if row[KIND] == LANE_TURN else row[KIND]):
            signs ^= parity(base & plan.reads[row[TURNS + j]]) << j
    return signs


@jit
def _shears(room, row, signs, j, lanes):
    """Tangent and sine of turn j of a stage."""
    at, flag = row[TURNS + j] * lanes, signs >> j & 1
    return _signed(load(room.tangents, at), flag), _signed(load(room.sines, at), flag)


@jit
def _forward_turns(state, plan, room, row, lanes, base):
    bases = plan.bases[row[FIRST] : row[FIRST] + row[COUNT]]
    signs = _stage_signs(plan, row, base)
    f0, f1, f2 = row[FLIPS], row[FLIPS + 1], row[FLIPS + 2]
    d0, d1, d2 = row[SHIFTS], row[SHIFTS + 1], row[SHIFTS + 2]
    t0, s0 = _shears(room, row, signs, 0, lanes)
    t1, s1 = _shears(room, row, signs, 1, lanes)
    t2, s2 = _shears(room, row, signs, 2, lanes)
    if row[KIND] == LANE_TURN:
        turns.forward_in_lanes(state, bases, d0, t0, s0, lanes)
    elif row[KIND] == 1:
        turns.forward(state, bases, (f0,), (d0,), (t0,), (s0,))
    elif row[KIND] == 2:
        turns.forward(state, bases, (f0, f1), (d0, d1), (t0, t1), (s0, s1))
    elif d0 | d1 | d2:
        turns.forward(state, bases, (f0, f1, f2), (d0, d1, d2), (t0, t1, t2), (s0, s1, s2))
    else:
        turns.forward(state, bases, (f0, f1, f2), (), (t0, t1, t2), (s0, s1, s2))


@jit
def _add_derivative(room, row, signs, j, lanes, moment):
    at = row[TURNS + j] * lanes
    store(room.of_angles, at, add(load(room.of_angles, at), _signed(moment, signs >> j & 1)))


@jit
def _backward_turns(state, bra, plan, room, row, lanes, base):
    bases = plan.bases[row[FIRST] : row[FIRST] + row[COUNT]]
    signs = _stage_signs(plan, row, base)
    f0, f1, f2 = row[FLIPS], row[FLIPS + 1], row[FLIPS + 2]
    d0, d1, d2 = row[SHIFTS], row[SHIFTS + 1], row[SHIFTS + 2]
    t0, s0 = _shears(room, row, ~signs, 0, lanes)
    t1, s1 = _shears(room, row, ~signs, 1, lanes)
    t2, s2 = _shears(room, row, ~signs, 2, lanes)
    g0 = g1 = g2 = broadcast(state.dtype.type(0))
    if row[KIND] == LANE_TURN:
        g0 = turns.backward_in_lanes(state, bra, bases, d0, t0, s0, lanes)
    elif row[KIND] == 1:
        (g0,) = turns.backward(state, bra, bases, (f0,), (d0,), (t0,), (s0,), (g0,))
    elif row[KIND] == 2:
        g0, g1 = turns.backward(state, bra, bases, (f0, f1), (d0, d1), (t0, t1), (s0, s1), (g0, g1))
    elif d0 | d1 | d2:
        g0, g1, g2 = turns.backward(
            state, bra, bases, (f0, f1, f2), (d0, d1, d2), (t0, t1, t2), (s0, s1, s2), (g0, g1, g2)
        )  # fmt: skip
    else:
        g0, g1, g2 = turns.backward(state, bra, bases, (f0, f1, f2), (), (t0, t1, t2), (s0, s1, s2), (g0, g1, g2))
    _add_derivative(room, row, signs, 0, lanes, g0)
    if row[KIND] == 2 or row[KIND] == 3:
        _add_derivative(room, row, signs, 1, lanes, g1)
    if row[KIND] == 3:
        _add_derivative(room, row, signs, 2, lanes, g2)


@jit
def _forward_stages(state, plan, room, tile, lanes, base):
    for k in range(tile[STAGE], tile[STAGE_END]):
        row = plan.stages[k]
        if row[KIND] == DIAGONAL:
            first, count, at = row[FIRST], row[COUNT], row[FLIPS]
            find_starts(plan.tables, first, count, plan.basis, base, room.starts)
            diagonal(
                state, tile[N_ENTRIES], lanes, plan.tables, first, count, plan.places, at,
                room.starts, room.real, room.imaginary,
            )  # fmt: skip
        elif row[KIND] == DENSE:
            n_entries = tile[N_ENTRIES]
            dense(state, n_entries, lanes, room.dense_real, room.dense_imaginary, row[FLIPS + 1] * n_entries)
        else:
            _forward_turns(state, plan, room, row, lanes, base)


@jit
def _backward_stages(state, bra, plan, room, tile, lanes, base):
    for k in range(tile[STAGE_END] - 1, tile[STAGE] - 1, -1):
        row = plan.stages[k]
        if row[KIND] == DIAGONAL:
            first, count, at = row[FIRST], row[COUNT], row[FLIPS]
            find_starts(plan.tables, first, count, plan.basis, base, room.starts)
            undo_diagonal(
                state, bra, tile[N_ENTRIES], lanes, plan.tables, first, count, plan.places, at,
                room.starts, room.real, room.imaginary, room.moments,
            )  # fmt: skip
        elif row[KIND] == DENSE:
            n_entries, at = tile[N_ENTRIES], row[FLIPS + 1] * tile[N_ENTRIES]
            undo_dense(state, bra, n_entries, lanes, room.dense_real, room.dense_imaginary, at, room.dense_moments)
        else:
            _backward_turns(state, bra, plan, room, row, lanes, base)


@jit
def _gather(state, tile, entries, base, lanes, lane_bits):
    """The rows of a coset, each with its lanes exchanged so that entries agree lane by lane."""
    for e in range(entries.shape[0]):
        at, shift = (base ^ (entries[e] >> lane_bits)) * 2 * lanes, entries[e] & (lanes - 1)
        store(tile, e * 2 * lanes, exchange(load(state, at), shift))
        store(tile, e * 2 * lanes + lanes, exchange(load(state, at + lanes), shift))


@jit
def _scatter(tile, state, entries, base, lanes, lane_bits):
    for e in range(entries.shape[0]):
        at, shift = (base ^ (entries[e] >> lane_bits)) * 2 * lanes, entries[e] & (lanes - 1)
        store(state, at, exchange(load(tile, e * 2 * lanes), shift))
        store(state, at + lanes, exchange(load(tile, e * 2 * lanes + lanes), shift))


@jit
def forward_tile(state, plan, room, number, first, last, lanes, lane_bits):
    """The stages of one tile on its cosets first to last."""
    tile = plan.tiles[number]
    if not tile[GATHERS]:
        _forward_stages(state, plan, room, tile, lanes, 0)
        return
    entries = plan.entries[tile[ENTRIES] : tile[ENTRIES] + tile[N_ENTRIES]]
    for k in range(first, last):
        base = plan.cosets[tile[COSET] + k]
        _gather(state, room.tile, entries, base, lanes, lane_bits)
        _forward_stages(room.tile, plan, room, tile, lanes, base << lane_bits)
        _scatter(room.tile, state, entries, base, lanes, lane_bits)


@jit
def backward_tile(state, bra, plan, room, number, first, last, lanes, lane_bits):
    """The same undone on state and lambda; derivatives by angle row, those of diagonals as moments."""
    tile = plan.tiles[number]
    if not tile[GATHERS]:
        _backward_stages(state, bra, plan, room, tile, lanes, 0)
        return
    entries = plan.entries[tile[ENTRIES] : tile[ENTRIES] + tile[N_ENTRIES]]
    for k in range(first, last):
        base = plan.cosets[tile[COSET] + k]
        _gather(state, room.tile, entries, base, lanes, lane_bits)
        _gather(bra, room.bra_tile, entries, base, lanes, lane_bits)
        _backward_stages(room.tile, room.bra_tile, plan, room, tile, lanes, base << lane_bits)
        _scatter(room.tile, state, entries, base, lanes, lane_bits)
        _scatter(room.bra_tile, bra, entries, base, lanes, lane_bits)


@jit
def clear(values, lanes):
    """Rows of zeros."""
    for k in range(values.shape[0] // lanes):
        store(values, k * lanes, broadcast(values.dtype.type(0)))


@jit
def moments_of_observables(state, plan, room, first, last, lanes, lane_bits):
    """Rows first to last added to the moments of the observables' terms."""
    add_moments(
        state, first, last, lanes, lane_bits, plan.groups, plan.read_tables, plan.read_places, room.weights
    )  # fmt: skip


@jit
def write_values(plan, room, at, width, lanes, lane_bits, values):
    """Expectation values from the moments of all rows."""
    expectations(
        room.weights, lanes, lane_bits, plan.read_tables, plan.read_lane_places, plan.terms, plan.term_coefficients,
        room.out, room.scratch,
    )  # fmt: skip
    for k in range(room.out.shape[0] // lanes):
        if lane_bits:
            values[k * width + at] = room.out[k * lanes]
        else:
            store(values, k * width + at, load(room.out, k * lanes))


@jit
def read_cotangents(plan, room, at, width, lanes, lane_bits, cotangents):
    """The observables' weights by table row."""
    for k in range(room.out.shape[0] // lanes):
        if lane_bits:
            store(room.out, k * lanes, broadcast(cotangents[k * width + at]))
        else:
            store(room.out, k * lanes, load(cotangents, k * width + at))
    fill_weights(
        room.weights, room.out, lanes, lane_bits, plan.read_tables, plan.read_lane_places, plan.terms,
        plan.term_coefficients, room.scratch,
    )  # fmt: skip


@jit
def lambda_of_observables(state, bra, plan, room, first, last, lanes, lane_bits):
    """Rows first to last of lambda."""
    apply_observables(
        state, bra, first, last, lanes, lane_bits, plan.groups, plan.read_tables, plan.read_places, room.weights
    )  # fmt: skip


@jit
def _transform_moments(plan, room, own, lanes, lane_bits):
    """Derivatives of the phases of some tables, from the moments of the tables' rows."""
    for t in range(plan.tables.shape[0]):
        if plan.tables[t, IS_OWN] != own:
            continue
        first, rank = plan.tables[t, OFFSET], plan.tables[t, RANK]
        if lane_bits:
            gather_from_lanes(room.moments, first, rank, lanes, plan.lane_places[t], room.scratch)
        sum_transform(room.moments, first, rank, lanes)
        for k in range(plan.tables[t, PHASE], plan.tables[t, PHASE_END]):
            moment = load(room.moments, plan.phases[k, 0] * lanes)
            store(room.of_angles, plan.phases[k, 1] * lanes, _signed(moment, plan.phases[k, 2] < 0))


@jit
def write_derivatives(plan, room, angles, at, lanes, lane_bits, of_own, of_shared):
    """Derivatives by sample of angle rows that are samples' own, and added up those of turns that samples share."""
    n_turns = plan.reads.shape[0]
    _transform_moments(plan, room, 1, lanes, lane_bits)
    if lane_bits:  # a turn's derivative is spread over lanes, with their signs
        for row in range(n_turns):
            derivative = room.of_angles.dtype.type(0)
            for lane in range(lanes):
                derivative += plan.lane_signs[row, lane] * room.of_angles[row * lanes + lane]
            store(room.of_angles, row * lanes, broadcast(derivative))
    for k in range(angles.own_rows.shape[0]):
        row = angles.own_rows[k]
        if lane_bits:
            of_own[k * angles.width + at] = room.of_angles[row * lanes]
        else:
            store(of_own, k * angles.width + at, load(room.of_angles, row * lanes))
    for k in range(angles.shared_rows.shape[0]):
        if angles.shared_rows[k] < n_turns:
            of_shared[k] += total(load(room.of_angles, angles.shared_rows[k] * lanes))


@jit
def write_dense_derivatives(plan, room, angles, lanes, n_rows, of_shared):
    """Derivatives of phases that all samples share, from the moments of every row."""
    clear(room.moments, lanes)
    clear(room.of_angles, lanes)
    for k in range(plan.stages.shape[0]):
        row = plan.stages[k]
        if row[KIND] == DENSE:
            fold_moments(
                plan.tables, row[FIRST], row[COUNT], plan.places, row[FLIPS], n_rows, lanes,
                room.dense_moments, row[FLIPS + 1] * n_rows, room.moments,
            )  # fmt: skip
    _transform_moments(plan, room, 0, lanes, 0)
    for k in range(angles.shared_rows.shape[0]):
        if angles.shared_rows[k] >= plan.reads.shape[0]:
            of_shared[k] = room.of_angles[angles.shared_rows[k] * lanes]


@jit
def forward(state, plan, room, angles, at, lanes, lane_bits):
    """One state, or one block of states, from the start through every tile."""
    fill_own(plan, room, angles, at, lanes, lane_bits)
    start(state, angles, at, lanes, lane_bits)
    for number in range(plan.tiles.shape[0]):
        forward_tile(state, plan, room, number, 0, plan.tiles[number, N_COSETS], lanes, lane_bits)


@jit
def values_of_blocks(first, last, multiply, states, stride, plan, room, angles, lanes, lane_bits, values):
    """Expectation values of blocks first to last of samples, whose final states stay in `states`.

    Args:
        multiply: whether the diagonals that samples share are still to be multiplied out.
        stride: how far the next block's state is in `states`; 0 where only the last one stays.
    """
    size = states.shape[0] if stride == 0 else stride
    fill_shared(plan, room, angles, lanes, lane_bits)
    if multiply:
        fill_dense(plan, room, lanes, size // (2 * lanes))
    for block in range(first, last):
        at = block if lane_bits else block * lanes
        state = states[block * stride : block * stride + size]
        forward(state, plan, room, angles, at, lanes, lane_bits)
        clear(room.weights, lanes)
        moments_of_observables(state, plan, room, 0, size // (2 * lanes), lanes, lane_bits)
        write_values(plan, room, at, angles.width, lanes, lane_bits, values)


@jit
def derivatives_of_blocks(
    first, last, multiply, finish, states, stride, bra, plan, room, angles, lanes, lane_bits,
    cotangents, of_own, of_shared, of_start,
):  # fmt: skip
    """Derivatives of blocks first to last of samples.

    Args:
        multiply: as above. finish: whether these are all blocks, so that moments of shared diagonals are complete.
        states, stride: final states, which are used up; where the stride is 0 they are computed again.
        of_own: by own angle row and sample. of_shared: by shared angle row. of_start: by amplitude and sample.
    """
    size = states.shape[0] if stride == 0 else stride
    fill_shared(plan, room, angles, lanes, lane_bits)
    if multiply:
        fill_dense(plan, room, lanes, size // (2 * lanes))
    for k in range(room.dense_moments.shape[0]):
        room.dense_moments[k] = 0
    for k in range(of_shared.shape[0]):
        of_shared[k] = 0
    for block in range(first, last):
        at = block if lane_bits else block * lanes
        state = states[block * stride : block * stride + size]
        if stride == 0:
            forward(state, plan, room, angles, at, lanes, lane_bits)
        else:
            fill_own(plan, room, angles, at, lanes, lane_bits)
        read_cotangents(plan, room, at, angles.width, lanes, lane_bits, cotangents)
        lambda_of_observables(state, bra, plan, room, 0, size // (2 * lanes), lanes, lane_bits)
        clear(room.moments, lanes)
        clear(room.of_angles, lanes)
        for k in range(plan.tiles.shape[0]):
            number = plan.tiles.shape[0] - 1 - k
            backward_tile(state, bra, plan, room, number, 0, plan.tiles[number, N_COSETS], lanes, lane_bits)
        write_derivatives(plan, room, angles, at, lanes, lane_bits, of_own, of_shared)
        of_amplitudes(bra, angles, at, lanes, lane_bits, of_start)
    if finish:
        write_dense_derivatives(plan, room, angles, lanes, size // (2 * lanes), of_shared)
