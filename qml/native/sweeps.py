"""The sweeps: the stages of every tile on one state, or on one block of states in lanes, forward and back."""

from qml.native import turns
from qml.native.compilation import inner
from qml.native.diagonals import dense, diagonal, find_offsets, parity, undo_dense, undo_diagonal
from qml.native.plan import (
    COSET,
    COUNT,
    DENSE,
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
    SIGNS,
    STAGE,
    STAGE_COLUMNS,
    STAGE_END,
    TABLE_COLUMNS,
    TILE_COLUMNS,
    TURNS,
)
from qml.native.simd import add, equal_lanes, exchange, load, negate, shift, store


@inner
def signed(vector, flag):
    """The vector, or its negative where the flag is set."""
    if flag:
        vector = negate(vector)
    return vector


@inner
def stage_signs(plan, stage, base):
    """Bit j is 1 where turn j of the stage goes the other way in the tile at this base."""
    signs = stage[SIGNS]
    if base:
        for j in range(1 if stage[KIND] == LANE_TURN else stage[KIND]):
            signs ^= parity(base & plan.reads[stage[TURNS + j]]) << j
    return signs


@inner
def shears(room, stage, signs, j, lanes):
    """Tangent and sine of turn j of a stage."""
    at, flag = stage[TURNS + j] * lanes, signs >> j & 1
    return signed(load(room.tangents, at), flag), signed(load(room.sines, at), flag)


@inner
def _forward_turns(state, plan, room, stage, lanes, base):
    bases, count = shift(plan.bases, stage[FIRST]), stage[COUNT]
    signs = stage_signs(plan, stage, base)
    f0, f1, f2 = stage[FLIPS], stage[FLIPS + 1], stage[FLIPS + 2]
    d0, d1, d2 = stage[SHIFTS], stage[SHIFTS + 1], stage[SHIFTS + 2]
    t0, s0 = shears(room, stage, signs, 0, lanes)
    t1, s1 = shears(room, stage, signs, 1, lanes)
    t2, s2 = shears(room, stage, signs, 2, lanes)
    if stage[KIND] == LANE_TURN:
        turns.forward_in_lanes(state, bases, count, d0, t0, s0, lanes)
    elif stage[KIND] == 1:
        turns.forward(state, bases, count, (f0,), (d0,), (t0,), (s0,))
    elif stage[KIND] == 2:
        turns.forward(state, bases, count, (f0, f1), (d0, d1), (t0, t1), (s0, s1))
    elif d0 | d1 | d2:
        turns.forward(state, bases, count, (f0, f1, f2), (d0, d1, d2), (t0, t1, t2), (s0, s1, s2))
    else:
        turns.forward(state, bases, count, (f0, f1, f2), (), (t0, t1, t2), (s0, s1, s2))


@inner
def add_derivative(room, stage, signs, j, lanes, moment):
    at = stage[TURNS + j] * lanes
    store(room.of_angles, at, add(load(room.of_angles, at), signed(moment, signs >> j & 1)))


@inner
def _backward_turns(state, bra, plan, room, stage, lanes, base):
    bases, count = shift(plan.bases, stage[FIRST]), stage[COUNT]
    signs = stage_signs(plan, stage, base)
    f0, f1, f2 = stage[FLIPS], stage[FLIPS + 1], stage[FLIPS + 2]
    d0, d1, d2 = stage[SHIFTS], stage[SHIFTS + 1], stage[SHIFTS + 2]
    t0, s0 = shears(room, stage, ~signs, 0, lanes)
    t1, s1 = shears(room, stage, ~signs, 1, lanes)
    t2, s2 = shears(room, stage, ~signs, 2, lanes)
    g0 = g1 = g2 = equal_lanes(state, 0.0)
    if stage[KIND] == LANE_TURN:
        g0 = turns.backward_in_lanes(state, bra, bases, count, d0, t0, s0, lanes)
    elif stage[KIND] == 1:
        (g0,) = turns.backward(state, bra, bases, count, (f0,), (d0,), (t0,), (s0,), (g0,))
    elif stage[KIND] == 2:
        g0, g1 = turns.backward(state, bra, bases, count, (f0, f1), (d0, d1), (t0, t1), (s0, s1), (g0, g1))
    elif d0 | d1 | d2:
        g0, g1, g2 = turns.backward(
            state, bra, bases, count, (f0, f1, f2), (d0, d1, d2), (t0, t1, t2), (s0, s1, s2), (g0, g1, g2)
        )  # fmt: skip
    else:
        g0, g1, g2 = turns.backward(state, bra, bases, count, (f0, f1, f2), (), (t0, t1, t2), (s0, s1, s2), (g0, g1, g2))
    add_derivative(room, stage, signs, 0, lanes, g0)
    if stage[KIND] == 2 or stage[KIND] == 3:
        add_derivative(room, stage, signs, 1, lanes, g1)
    if stage[KIND] == 3:
        add_derivative(room, stage, signs, 2, lanes, g2)


@inner
def find_tables(plan, room, stage, base, n_entries):
    """Where a diagonal stage's tables and places are, to the room's offsets."""
    tables = shift(plan.tables, stage[FIRST] * TABLE_COLUMNS)
    find_offsets(tables, stage[COUNT], plan.basis, base, n_entries, stage[FLIPS], room.offsets)


@inner
def _forward_stages(state, plan, room, tile, lanes, base):
    n_entries = tile[N_ENTRIES]
    for k in range(tile[STAGE], tile[STAGE_END]):
        stage = shift(plan.stages, k * STAGE_COLUMNS)
        if stage[KIND] == DIAGONAL:
            find_tables(plan, room, stage, base, n_entries)
            diagonal(state, n_entries, lanes, stage[COUNT], plan.places, room.offsets, room.real, room.imaginary)
        elif stage[KIND] == DENSE:
            at = stage[FLIPS + 1] * n_entries
            dense(state, n_entries, lanes, shift(room.dense_real, at), shift(room.dense_imaginary, at))
        else:
            _forward_turns(state, plan, room, stage, lanes, base)


@inner
def _backward_stages(state, bra, plan, room, tile, lanes, base):
    n_entries = tile[N_ENTRIES]
    for k in range(tile[STAGE_END] - 1, tile[STAGE] - 1, -1):
        stage = shift(plan.stages, k * STAGE_COLUMNS)
        if stage[KIND] == DIAGONAL:
            find_tables(plan, room, stage, base, n_entries)
            undo_diagonal(
                state, bra, n_entries, lanes, stage[COUNT], plan.places, room.offsets,
                room.real, room.imaginary, room.moments,
            )  # fmt: skip
        elif stage[KIND] == DENSE:
            at = stage[FLIPS + 1] * n_entries
            real, imaginary = shift(room.dense_real, at), shift(room.dense_imaginary, at)
            undo_dense(state, bra, n_entries, lanes, real, imaginary, shift(room.dense_moments, at))
        else:
            _backward_turns(state, bra, plan, room, stage, lanes, base)


@inner
def gather(state, tile, entries, n_entries, base, lanes, lane_bits):
    """The rows of a coset, each with its lanes exchanged so that entries agree lane by lane."""
    for e in range(n_entries):
        at, delta = (base ^ (entries[e] >> lane_bits)) * 2 * lanes, entries[e] & (lanes - 1)
        store(tile, e * 2 * lanes, exchange(load(state, at), delta))
        store(tile, e * 2 * lanes + lanes, exchange(load(state, at + lanes), delta))


@inner
def scatter(tile, state, entries, n_entries, base, lanes, lane_bits):
    for e in range(n_entries):
        at, delta = (base ^ (entries[e] >> lane_bits)) * 2 * lanes, entries[e] & (lanes - 1)
        store(state, at, exchange(load(tile, e * 2 * lanes), delta))
        store(state, at + lanes, exchange(load(tile, e * 2 * lanes + lanes), delta))


@inner(kept=True)
def forward_tile(state, plan, room, number, first, last, lanes, lane_bits):
    """The stages of one tile on its cosets first to last; from 0 where the tile is the whole state."""
    tile = shift(plan.tiles, number * TILE_COLUMNS)
    if not tile[GATHERS]:
        _forward_stages(state, plan, room, tile, lanes, first)
        return
    entries, n_entries = shift(plan.entries, tile[ENTRIES]), tile[N_ENTRIES]
    for k in range(first, last):
        base = plan.cosets[tile[COSET] + k]
        gather(state, room.tile, entries, n_entries, base, lanes, lane_bits)
        _forward_stages(room.tile, plan, room, tile, lanes, base << lane_bits)
        scatter(room.tile, state, entries, n_entries, base, lanes, lane_bits)


@inner(kept=True)
def backward_tile(state, bra, plan, room, number, first, last, lanes, lane_bits):
    """The same undone on state and lambda; derivatives by angle row, those of diagonals as moments."""
    tile = shift(plan.tiles, number * TILE_COLUMNS)
    if not tile[GATHERS]:
        _backward_stages(state, bra, plan, room, tile, lanes, first)
        return
    entries, n_entries = shift(plan.entries, tile[ENTRIES]), tile[N_ENTRIES]
    for k in range(first, last):
        base = plan.cosets[tile[COSET] + k]
        gather(state, room.tile, entries, n_entries, base, lanes, lane_bits)
        gather(bra, room.bra_tile, entries, n_entries, base, lanes, lane_bits)
        _backward_stages(room.tile, room.bra_tile, plan, room, tile, lanes, base << lane_bits)
        scatter(room.tile, state, entries, n_entries, base, lanes, lane_bits)
        scatter(room.bra_tile, bra, entries, n_entries, base, lanes, lane_bits)


@inner
def n_cosets(plan, number):
    """How many cosets a tile has."""
    return plan.tiles[number * TILE_COLUMNS + N_COSETS]
