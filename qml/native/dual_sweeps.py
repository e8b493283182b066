"""The sweeps of dual states: as `sweeps`, on a state with its derivative, and back on both with lambda's."""

from qml.native import dual_turns
from qml.native.compilation import inner
from qml.native.dual_diagonals import diagonal, undo_diagonal
from qml.native.plan import (
    COSET,
    COUNT,
    DIAGONAL,
    ENTRIES,
    FIRST,
    FLIPS,
    GATHERS,
    KIND,
    LANE_TURN,
    N_COSETS,
    N_ENTRIES,
    SHIFTS,
    STAGE,
    STAGE_COLUMNS,
    STAGE_END,
    TILE_COLUMNS,
    TURNS,
)
from qml.native.simd import equal_lanes, load, shift
from qml.native.sweeps import add_derivative, find_tables, gather, scatter, shears, signed, stage_signs


@inner
def _rate(rates, stage, signs, j, lanes):
    return signed(load(rates, stage[TURNS + j] * lanes), signs >> j & 1)


@inner
def _forward_turns(state, derivative, rates, plan, room, stage, lanes, base):
    bases, count = shift(plan.bases, stage[FIRST]), stage[COUNT]
    signs = stage_signs(plan, stage, base)
    f0, f1, f2 = stage[FLIPS], stage[FLIPS + 1], stage[FLIPS + 2]
    d0, d1, d2 = stage[SHIFTS], stage[SHIFTS + 1], stage[SHIFTS + 2]
    (t0, s0), r0 = shears(room, stage, signs, 0, lanes), _rate(rates, stage, signs, 0, lanes)
    (t1, s1), r1 = shears(room, stage, signs, 1, lanes), _rate(rates, stage, signs, 1, lanes)
    (t2, s2), r2 = shears(room, stage, signs, 2, lanes), _rate(rates, stage, signs, 2, lanes)
    if stage[KIND] == LANE_TURN:
        dual_turns.forward_in_lanes(state, derivative, bases, count, d0, t0, s0, r0, lanes)
    elif stage[KIND] == 1:
        dual_turns.forward(state, derivative, bases, count, (f0,), (d0,), (t0,), (s0,), (r0,))
    elif stage[KIND] == 2:
        dual_turns.forward(state, derivative, bases, count, (f0, f1), (d0, d1), (t0, t1), (s0, s1), (r0, r1))
    else:
        flips, shifts = (f0, f1, f2), (d0, d1, d2)
        dual_turns.forward(state, derivative, bases, count, flips, shifts, (t0, t1, t2), (s0, s1, s2), (r0, r1, r2))


@inner
def _backward_turns(states, rates, plan, room, stage, lanes, base):
    bases, count = shift(plan.bases, stage[FIRST]), stage[COUNT]
    signs = stage_signs(plan, stage, base)
    f0, f1, f2 = stage[FLIPS], stage[FLIPS + 1], stage[FLIPS + 2]
    d0, d1, d2 = stage[SHIFTS], stage[SHIFTS + 1], stage[SHIFTS + 2]
    (t0, s0), r0 = shears(room, stage, ~signs, 0, lanes), _rate(rates, stage, ~signs, 0, lanes)
    (t1, s1), r1 = shears(room, stage, ~signs, 1, lanes), _rate(rates, stage, ~signs, 1, lanes)
    (t2, s2), r2 = shears(room, stage, ~signs, 2, lanes), _rate(rates, stage, ~signs, 2, lanes)
    g0 = g1 = g2 = zero = equal_lanes(states[0], 0.0)
    if stage[KIND] == LANE_TURN:
        half = equal_lanes(states[0], 0.5)
        g0 = dual_turns.backward_in_lanes(states, bases, count, d0, t0, s0, r0, lanes, zero, half)
    elif stage[KIND] == 1:
        (g0,) = dual_turns.backward(states, bases, count, (f0,), (d0,), (t0,), (s0,), (r0,), (g0,))
    elif stage[KIND] == 2:
        g0, g1 = dual_turns.backward(states, bases, count, (f0, f1), (d0, d1), (t0, t1), (s0, s1), (r0, r1), (g0, g1))
    else:
        flips, shifts = (f0, f1, f2), (d0, d1, d2)
        g0, g1, g2 = dual_turns.backward(
            states, bases, count, flips, shifts, (t0, t1, t2), (s0, s1, s2), (r0, r1, r2), (g0, g1, g2)
        )  # fmt: skip
    add_derivative(room, stage, signs, 0, lanes, g0)
    if stage[KIND] == 2 or stage[KIND] == 3:
        add_derivative(room, stage, signs, 1, lanes, g1)
    if stage[KIND] == 3:
        add_derivative(room, stage, signs, 2, lanes, g2)


@inner
def _forward_stages(state, derivative, rates, slopes, plan, room, tile, lanes, base):
    n_entries = tile[N_ENTRIES]
    for k in range(tile[STAGE], tile[STAGE_END]):
        stage = shift(plan.stages, k * STAGE_COLUMNS)
        if stage[KIND] == DIAGONAL:
            find_tables(plan, room, stage, base, n_entries)
            diagonal(
                state, derivative, n_entries, lanes, stage[COUNT], plan.places, room.offsets,
                room.real, room.imaginary, slopes,
            )  # fmt: skip
        else:
            _forward_turns(state, derivative, rates, plan, room, stage, lanes, base)


@inner
def _backward_stages(states, rates, slopes, plan, room, tile, lanes, base):
    n_entries = tile[N_ENTRIES]
    for k in range(tile[STAGE_END] - 1, tile[STAGE] - 1, -1):
        stage = shift(plan.stages, k * STAGE_COLUMNS)
        if stage[KIND] == DIAGONAL:
            find_tables(plan, room, stage, base, n_entries)
            undo_diagonal(
                states, n_entries, lanes, stage[COUNT], plan.places, room.offsets,
                room.real, room.imaginary, slopes, room.moments,
            )  # fmt: skip
        else:
            _backward_turns(states, rates, plan, room, stage, lanes, base)


@inner
def forward_tile(state, derivative, tiles, rates, slopes, plan, room, number, lanes, lane_bits):
    """The stages of one tile on all its cosets; `tiles` is room to gather two of them."""
    tile = shift(plan.tiles, number * TILE_COLUMNS)
    entries, n_entries = shift(plan.entries, tile[ENTRIES]), tile[N_ENTRIES]
    if not tile[GATHERS]:
        _forward_stages(state, derivative, rates, slopes, plan, room, tile, lanes, tile[GATHERS])
        return
    one, two = tiles, shift(tiles, n_entries * 2 * lanes)
    for k in range(tile[N_COSETS]):
        base = plan.cosets[tile[COSET] + k]
        gather(state, one, entries, n_entries, base, lanes, lane_bits)
        gather(derivative, two, entries, n_entries, base, lanes, lane_bits)
        _forward_stages(one, two, rates, slopes, plan, room, tile, lanes, base << lane_bits)
        scatter(one, state, entries, n_entries, base, lanes, lane_bits)
        scatter(two, derivative, entries, n_entries, base, lanes, lane_bits)


@inner
def backward_tile(states, tiles, rates, slopes, plan, room, number, lanes, lane_bits):
    """The same undone on (state, its derivative, lambda, its derivative); `tiles` is room to gather four."""
    tile = shift(plan.tiles, number * TILE_COLUMNS)
    entries, n_entries = shift(plan.entries, tile[ENTRIES]), tile[N_ENTRIES]
    if not tile[GATHERS]:
        _backward_stages(states, rates, slopes, plan, room, tile, lanes, tile[GATHERS])
        return
    size = n_entries * 2 * lanes
    gathered = tiles, shift(tiles, size), shift(tiles, 2 * size), shift(tiles, 3 * size)
    for k in range(tile[N_COSETS]):
        base = plan.cosets[tile[COSET] + k]
        for j in range(4):
            gather(states[j], gathered[j], entries, n_entries, base, lanes, lane_bits)
        _backward_stages(gathered, rates, slopes, plan, room, tile, lanes, base << lane_bits)
        for j in range(4):
            scatter(gathered[j], states[j], entries, n_entries, base, lanes, lane_bits)
