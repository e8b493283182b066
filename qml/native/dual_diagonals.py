"""Diagonals of dual states: if the phases' half angles grow at rates, the derivative of D phi is D phi' - i s D phi,
where a row's slope s is the sum of its phases' rates with their signs: a sum over tables, as D is a product of them."""

from qml.native.compilation import inner
from qml.native.diagonals import spread_over_lanes, sum_transform
from qml.native.plan import ANGLE, OFFSET, PHASE, PHASE_COLUMNS, PHASE_END, RANK, ROW, SIGN
from qml.native.simd import add, equal_lanes, fma, load, mul, negate, shift, store, sub


@inner
def fill_slopes(table, phases, n_turns, rates, slopes, lanes, lane_bits, lane_places, scratch):
    """One table of slopes from the rates of its phases."""
    first, rank = table[OFFSET], table[RANK]
    for y in range(first, first + (1 << rank)):
        store(slopes, y * lanes, equal_lanes(slopes, 0.0))
    for k in range(table[PHASE], table[PHASE_END]):
        phase = shift(phases, k * PHASE_COLUMNS)
        at = phase[ROW] * lanes
        rate = load(rates, (phase[ANGLE] - n_turns) * lanes)
        if phase[SIGN] < 0:
            rate = negate(rate)
        store(slopes, at, add(load(slopes, at), rate))
    sum_transform(slopes, first, rank, lanes)
    if lane_bits:
        spread_over_lanes(slopes, first, rank, lanes, lane_places, scratch)


@inner
def diagonal(state, derivative, n_entries, lanes, count, places, offsets, real, imaginary, slopes):
    """Every row of state and derivative times its entry, and the slope put in."""
    for e in range(n_entries):
        row = (offsets[0] + (places[offsets[2] + e] ^ offsets[1])) * lanes
        c, s, slope = load(real, row), load(imaginary, row), load(slopes, row)
        for g in range(3, 3 * count, 3):
            row = (offsets[g] + (places[offsets[g + 2] + e] ^ offsets[g + 1])) * lanes
            x, y = load(real, row), load(imaginary, row)
            c, s = fma(c, x, negate(mul(s, y))), fma(c, y, mul(s, x))
            slope = add(slope, load(slopes, row))
        p, q = e * 2 * lanes, e * 2 * lanes + lanes
        a, b, x, y = load(state, p), load(state, q), load(derivative, p), load(derivative, q)
        a, b = fma(a, c, negate(mul(b, s))), fma(a, s, mul(b, c))
        x, y = fma(x, c, negate(mul(y, s))), fma(x, s, mul(y, c))
        store(state, p, a)
        store(state, q, b)
        store(derivative, p, fma(slope, b, x))
        store(derivative, q, fma(negate(slope), a, y))


@inner
def _undo(state, derivative, p, q, c, s, slope):
    a, b, x, y = load(state, p), load(state, q), load(derivative, p), load(derivative, q)
    x, y = fma(negate(slope), b, x), fma(slope, a, y)
    store(state, p, fma(a, c, mul(b, s)))
    store(state, q, fma(b, c, negate(mul(a, s))))
    store(derivative, p, fma(x, c, mul(y, s)))
    store(derivative, q, fma(y, c, negate(mul(x, s))))


@inner
def _moment(state, bra, p, q):
    """Im(conj(bra) state) of one row."""
    return sub(mul(load(bra, p), load(state, q)), mul(load(bra, q), load(state, p)))


@inner
def undo_diagonal(states, n_entries, lanes, count, places, offsets, real, imaginary, slopes, moments):
    """Undone on (state, its derivative, lambda, its derivative); the derivatives of moments added to the tables' rows."""
    for e in range(n_entries):
        p, q = e * 2 * lanes, e * 2 * lanes + lanes
        w = add(_moment(states[0], states[3], p, q), _moment(states[1], states[2], p, q))
        row = (offsets[0] + (places[offsets[2] + e] ^ offsets[1])) * lanes
        store(moments, row, add(load(moments, row), w))
        c, s, slope = load(real, row), load(imaginary, row), load(slopes, row)
        for g in range(3, 3 * count, 3):
            row = (offsets[g] + (places[offsets[g + 2] + e] ^ offsets[g + 1])) * lanes
            store(moments, row, add(load(moments, row), w))
            x, y = load(real, row), load(imaginary, row)
            c, s = fma(c, x, negate(mul(s, y))), fma(c, y, mul(s, x))
            slope = add(slope, load(slopes, row))
        _undo(states[0], states[1], p, q, c, s, slope)
        _undo(states[2], states[3], p, q, c, s, slope)
