"""Kernels of Pauli sums: expectation values of a state, and lambda = sum of cotangents times observables.

Terms that flip the same bits read one product of the state with its flipped self; what each of them makes of its sign is
left to the tables of reads (`reads.py`), so thousands of diagonal terms cost as much as one.
"""

from qml.native.compilation import inner
from qml.native.diagonals import gather_from_lanes, spread_over_lanes, sum_transform
from qml.native.plan import (
    FLIP,
    GROUP_COLUMNS,
    HIGH,
    IS_ODD,
    LOW,
    LOW_BITS,
    OFFSET,
    OWNER,
    RANK,
    TABLE,
    TABLE_COLUMNS,
    TABLE_END,
    TERM_COLUMNS,
    TERM_ROW,
)
from qml.native.simd import add, equal_lanes, exchange, fma, load, mul, negate, shift, store


@inner
def _add_moments(state, first, last, lanes, flip, delta, is_odd, places, low0, high0, row0, two, low1, high1, row1, moments):
    """Rows first to last of one product, added to the rows of one table or of two."""
    mask = (1 << LOW_BITS) - 1
    for p in range(first, last):
        at, to = p * 2 * lanes, (p ^ flip) * 2 * lanes
        a, b, c, d = load(state, to), load(state, to + lanes), load(state, at), load(state, at + lanes)
        if delta:
            a, b = exchange(a, delta), exchange(b, delta)
        if is_odd:
            w = fma(a, d, negate(mul(b, c)))
        else:
            w = fma(a, c, mul(b, d))
        row = (row0 + (places[low0 + (p & mask)] ^ places[high0 + (p >> LOW_BITS)])) * lanes
        store(moments, row, add(load(moments, row), w))
        if two:
            row = (row1 + (places[low1 + (p & mask)] ^ places[high1 + (p >> LOW_BITS)])) * lanes
            store(moments, row, add(load(moments, row), w))


@inner
def add_moments(state, first, last, lanes, lane_bits, groups, n_groups, tables, places, moments):
    """Rows first to last: conj(flipped state) times state, real or imaginary part, added to the tables' rows."""
    for k in range(n_groups):
        group = shift(groups, k * GROUP_COLUMNS)
        flip, delta = group[FLIP] >> lane_bits, group[FLIP] & ((1 << lane_bits) - 1)
        for t in range(group[TABLE], group[TABLE_END], 2):
            u = min(t + 1, group[TABLE_END] - 1)
            one, two = shift(tables, t * TABLE_COLUMNS), shift(tables, u * TABLE_COLUMNS)
            _add_moments(
                state, first, last, lanes, flip, delta, group[IS_ODD], places,
                one[LOW], one[HIGH], one[OFFSET], u > t, two[LOW], two[HIGH], two[OFFSET], moments,
            )  # fmt: skip


@inner
def add_cross_moments(state, derivative, first, last, lanes, lane_bits, groups, n_groups, tables, places, moments):
    """As `add_moments`, the derivative of the product where the state has one."""
    mask = (1 << LOW_BITS) - 1
    for k in range(n_groups):
        group = shift(groups, k * GROUP_COLUMNS)
        flip, delta = group[FLIP] >> lane_bits, group[FLIP] & ((1 << lane_bits) - 1)
        for p in range(first, last):
            at, to = p * 2 * lanes, (p ^ flip) * 2 * lanes
            a, b, c, d = load(state, to), load(state, to + lanes), load(derivative, at), load(derivative, at + lanes)
            e, f, g, h = load(derivative, to), load(derivative, to + lanes), load(state, at), load(state, at + lanes)
            if delta:
                a, b, e, f = exchange(a, delta), exchange(b, delta), exchange(e, delta), exchange(f, delta)
            if group[IS_ODD]:
                w = add(fma(a, d, negate(mul(b, c))), fma(e, h, negate(mul(f, g))))
            else:
                w = add(fma(a, c, mul(b, d)), fma(e, g, mul(f, h)))
            for t in range(group[TABLE], group[TABLE_END]):
                table = shift(tables, t * TABLE_COLUMNS)
                place = places[table[LOW] + (p & mask)] ^ places[table[HIGH] + (p >> LOW_BITS)]
                row = (table[OFFSET] + place) * lanes
                store(moments, row, add(load(moments, row), w))


@inner
def expectations(
    moments, lanes, lane_bits, tables, n_tables, lane_places, terms, n_terms, coefficients, out, n_observables, scratch
):  # fmt: skip
    """out[k] = the sum of coefficient * <P> of observable k, in every lane, from the moments of all rows."""
    for t in range(n_tables):
        table = shift(tables, t * TABLE_COLUMNS)
        if lane_bits:
            gather_from_lanes(moments, table[OFFSET], table[RANK], lanes, shift(lane_places, t * lanes), scratch)
        sum_transform(moments, table[OFFSET], table[RANK], lanes)
    for k in range(n_observables):
        store(out, k * lanes, equal_lanes(out, 0.0))
    for t in range(n_terms):
        term = shift(terms, t * TERM_COLUMNS)
        at = term[OWNER] * lanes
        value = load(moments, term[TERM_ROW] * lanes)
        store(out, at, fma(equal_lanes(out, coefficients[t]), value, load(out, at)))


@inner
def fill_weights(
    weights, n_rows, cotangents, lanes, lane_bits, tables, n_tables, lane_places, terms, n_terms, coefficients, scratch
):  # fmt: skip
    """Tables of what each row is multiplied by in the sum of cotangents times observables."""
    for k in range(n_rows):
        store(weights, k * lanes, equal_lanes(weights, 0.0))
    for t in range(n_terms):
        term = shift(terms, t * TERM_COLUMNS)
        at = term[TERM_ROW] * lanes
        cotangent = load(cotangents, term[OWNER] * lanes)
        store(weights, at, fma(equal_lanes(weights, coefficients[t]), cotangent, load(weights, at)))
    for t in range(n_tables):
        table = shift(tables, t * TABLE_COLUMNS)
        sum_transform(weights, table[OFFSET], table[RANK], lanes)
        if lane_bits:
            spread_over_lanes(weights, table[OFFSET], table[RANK], lanes, shift(lane_places, t * lanes), scratch)


@inner
def _add_weighted(
    state, bra, first, last, lanes, flip, delta, is_odd, is_new, places, low0, high0, row0, two, low1, high1, row1, weights
):  # fmt: skip
    """Rows first to last of the weighted, flipped state, written to lambda or added to it."""
    mask = (1 << LOW_BITS) - 1
    for p in range(first, last):
        q = p ^ flip
        weight = load(weights, (row0 + (places[low0 + (q & mask)] ^ places[high0 + (q >> LOW_BITS)])) * lanes)
        if two:
            row = row1 + (places[low1 + (q & mask)] ^ places[high1 + (q >> LOW_BITS)])
            weight = add(weight, load(weights, row * lanes))
        a, b = mul(weight, load(state, q * 2 * lanes)), mul(weight, load(state, q * 2 * lanes + lanes))
        if is_odd:  # times -i, as the terms' signs have it
            a, b = b, negate(a)
        if delta:
            a, b = exchange(a, delta), exchange(b, delta)
        if not is_new:
            a, b = add(a, load(bra, p * 2 * lanes)), add(b, load(bra, p * 2 * lanes + lanes))
        store(bra, p * 2 * lanes, a)
        store(bra, p * 2 * lanes + lanes, b)


@inner
def apply_observables(state, bra, first, last, lanes, lane_bits, groups, n_groups, tables, places, weights):
    """Rows first to last of the sum of cotangents times observables on the state, from the tables of weights."""
    if n_groups == 0:
        for k in range(2 * first, 2 * last):
            store(bra, k * lanes, equal_lanes(bra, 0.0))
    for k in range(n_groups):
        group = shift(groups, k * GROUP_COLUMNS)
        flip, delta = group[FLIP] >> lane_bits, group[FLIP] & ((1 << lane_bits) - 1)
        for t in range(group[TABLE], group[TABLE_END], 2):
            u = min(t + 1, group[TABLE_END] - 1)
            one, two = shift(tables, t * TABLE_COLUMNS), shift(tables, u * TABLE_COLUMNS)
            is_new = k == 0 and t == group[TABLE]
            _add_weighted(
                state, bra, first, last, lanes, flip, delta, group[IS_ODD], is_new, places,
                one[LOW], one[HIGH], one[OFFSET], u > t, two[LOW], two[HIGH], two[OFFSET], weights,
            )  # fmt: skip
