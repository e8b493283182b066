"""Kernels of Pauli sums: expectation values of a state, and lambda = sum of cotangents times observables.

Terms that flip the same bits read one product of the state with its flipped self; what each of them makes of its sign is
left to the tables of reads (`reads.py`), so thousands of diagonal terms cost as much as one.
"""

from qml.native.diagonals import gather_from_lanes, spread_over_lanes, sum_transform
from qml.native.plan import FLIP, HIGH, IS_ODD, LOW, LOW_BITS, OFFSET, RANK, TABLE, TABLE_END
from qml.native.simd import add, broadcast, exchange, fma, jit, load, mul, negate, store


@jit(inline="always")  # a call would cost more than the row
def _place(tables, places, t, p):
    """The table row of a state's row."""
    low, high = p & ((1 << LOW_BITS) - 1), p >> LOW_BITS
    return tables[t, OFFSET] + (places[tables[t, LOW] + low] ^ places[tables[t, HIGH] + high])


@jit
def add_moments(state, first, last, lanes, lane_bits, groups, tables, places, moments):
    """Rows first to last: conj(flipped state) times state, real or imaginary part, added to the tables' rows."""
    for k in range(groups.shape[0]):
        flip, shift = groups[k, FLIP] >> lane_bits, groups[k, FLIP] & ((1 << lane_bits) - 1)
        for p in range(first, last):
            at, to = p * 2 * lanes, (p ^ flip) * 2 * lanes
            a, b, c, d = load(state, to), load(state, to + lanes), load(state, at), load(state, at + lanes)
            if shift:
                a, b = exchange(a, shift), exchange(b, shift)
            if groups[k, IS_ODD]:
                w = fma(a, d, negate(mul(b, c)))
            else:
                w = fma(a, c, mul(b, d))
            for t in range(groups[k, TABLE], groups[k, TABLE_END]):
                row = _place(tables, places, t, p) * lanes
                store(moments, row, add(load(moments, row), w))


@jit
def expectations(moments, lanes, lane_bits, tables, lane_places, terms, coefficients, out, scratch):
    """out[k] = the sum of coefficient * <P> of observable k, in every lane, from the moments of all rows."""
    for t in range(tables.shape[0]):
        if lane_bits:
            gather_from_lanes(moments, tables[t, OFFSET], tables[t, RANK], lanes, lane_places[t], scratch)
        sum_transform(moments, tables[t, OFFSET], tables[t, RANK], lanes)
    for k in range(out.shape[0] // lanes):
        store(out, k * lanes, broadcast(out.dtype.type(0)))
    for t in range(terms.shape[0]):
        at = terms[t, 1] * lanes
        coefficient = broadcast(out.dtype.type(coefficients[t]))
        store(out, at, fma(coefficient, load(moments, terms[t, 0] * lanes), load(out, at)))


@jit
def fill_weights(weights, cotangents, lanes, lane_bits, tables, lane_places, terms, coefficients, scratch):
    """Tables of what each row is multiplied by in the sum of cotangents times observables."""
    for k in range(weights.shape[0] // lanes):
        store(weights, k * lanes, broadcast(weights.dtype.type(0)))
    for t in range(terms.shape[0]):
        at = terms[t, 0] * lanes
        coefficient = broadcast(weights.dtype.type(coefficients[t]))
        store(weights, at, fma(coefficient, load(cotangents, terms[t, 1] * lanes), load(weights, at)))
    for t in range(tables.shape[0]):
        sum_transform(weights, tables[t, OFFSET], tables[t, RANK], lanes)
        if lane_bits:
            spread_over_lanes(weights, tables[t, OFFSET], tables[t, RANK], lanes, lane_places[t], scratch)


@jit
def apply_observables(state, bra, first, last, lanes, lane_bits, groups, tables, places, weights):
    """Rows first to last of the sum of cotangents times observables on the state, from the tables of weights."""
    zero = broadcast(state.dtype.type(0))
    for p in range(first, last):
        x, y = zero, zero
        for k in range(groups.shape[0]):
            q = p ^ (groups[k, FLIP] >> lane_bits)
            shift = groups[k, FLIP] & ((1 << lane_bits) - 1)
            weight = zero
            for t in range(groups[k, TABLE], groups[k, TABLE_END]):
                weight = add(weight, load(weights, _place(tables, places, t, q) * lanes))
            a, b = mul(weight, load(state, q * 2 * lanes)), mul(weight, load(state, q * 2 * lanes + lanes))
            if groups[k, IS_ODD]:  # times -i, as the terms' signs have it
                a, b = b, negate(a)
            if shift:
                a, b = exchange(a, shift), exchange(b, shift)
            x, y = add(x, a), add(y, b)
        store(bra, p * 2 * lanes, x)
        store(bra, p * 2 * lanes + lanes, y)
