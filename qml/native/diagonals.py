"""Kernels of diagonals: phases as a product of small tables, and the moments from which all their derivatives come.

A diagonal's phases are spread over tables of reads (`reads.py`). The entry of a table for a row is the product of its
phases there, by a multiplicative Walsh-Hadamard transform; a row is multiplied by one entry of each table. Going back, the
moment Im(conj(lambda) phi) of every row is added to the same entries, and one transform of a table gives the derivatives of
all its phases.
"""

from qml.native.compilation import inner
from qml.native.plan import ANGLE, BASIS, OFFSET, PHASE, PHASE_COLUMNS, PHASE_END, RANK, ROW, SIGN, TABLE_COLUMNS
from qml.native.simd import add, broadcast, equal_lanes, fma, load, mul, negate, shift, store, sub, total


@inner
def parity(k):
    """The number of one bits of k modulo 2."""
    k ^= k >> 32
    k ^= k >> 16
    k ^= k >> 8
    k ^= k >> 4
    k ^= k >> 2
    k ^= k >> 1
    return k & 1


@inner
def _product(a, b, c, d):
    """(a + i b)(c + i d)."""
    return fma(a, c, negate(mul(b, d))), fma(a, d, mul(b, c))


@inner
def product_transform(real, imaginary, first, rank, lanes):
    """In place: row y becomes the product over m of a_m, or of its conjugate where parity(y & m) is 1."""
    stride, size = 1, 1 << rank
    while stride < size:
        for start in range(0, size, 2 * stride):
            for k in range(start, start + stride):
                p, q = (first + k) * lanes, (first + k + stride) * lanes
                a, b, c, d = load(real, p), load(imaginary, p), load(real, q), load(imaginary, q)
                e, f = _product(a, b, c, d)
                store(real, p, e)
                store(imaginary, p, f)
                e, f = _product(a, b, c, negate(d))
                store(real, q, e)
                store(imaginary, q, f)
        stride *= 2


@inner
def sum_transform(values, first, rank, lanes):
    """In place: row y becomes the sum over m of row m times (-1)^parity(y & m)."""
    stride, size = 1, 1 << rank
    while stride < size:
        for start in range(0, size, 2 * stride):
            for k in range(start, start + stride):
                p, q = (first + k) * lanes, (first + k + stride) * lanes
                a, b = load(values, p), load(values, q)
                store(values, p, add(a, b))
                store(values, q, sub(a, b))
        stride *= 2


@inner
def spread_over_lanes(values, first, rank, lanes, lane_places, scratch):
    """Row y, the same in all lanes, becomes what lane l of a state's row at y sees: row y ^ (place of l)."""
    for y in range(1 << rank):
        scratch[y] = values[(first + y) * lanes]
    for y in range(1 << rank):
        for lane in range(lanes):
            values[(first + y) * lanes + lane] = scratch[y ^ lane_places[lane]]


@inner
def gather_from_lanes(values, first, rank, lanes, lane_places, scratch):
    """The transpose: row y becomes, in all lanes, the sum of what lanes have added to their row y."""
    for y in range(1 << rank):
        scratch[y] = 0
        for lane in range(lanes):
            scratch[y] = scratch[y] + values[(first + (y ^ lane_places[lane])) * lanes + lane]
    for y in range(1 << rank):
        store(values, (first + y) * lanes, equal_lanes(values, scratch[y]))


@inner
def fill_table(table, phases, n_turns, cos, sin, real, imaginary, lanes):
    """One table of a diagonal, from the half angles of its phases."""
    first, rank = table[OFFSET], table[RANK]
    for y in range(first, first + (1 << rank)):
        store(real, y * lanes, equal_lanes(real, 1.0))
        store(imaginary, y * lanes, equal_lanes(real, 0.0))
    for k in range(table[PHASE], table[PHASE_END]):
        phase = shift(phases, k * PHASE_COLUMNS)
        at, angle = phase[ROW] * lanes, (phase[ANGLE] - n_turns) * lanes
        c, s = load(cos, angle), load(sin, angle)
        if phase[SIGN] > 0:
            s = negate(s)
        a, b = _product(load(real, at), load(imaginary, at), c, s)
        store(real, at, a)
        store(imaginary, at, b)
    product_transform(real, imaginary, first, rank, lanes)


@inner
def find_offsets(tables, count, basis, base, n_entries, places, offsets):
    """For each of `count` tables, in turn: its first row, and the coordinates of an index; then where its places are."""
    for g in range(count):
        table = shift(tables, g * TABLE_COLUMNS)
        start = 0
        for k in range(table[RANK]):
            start |= parity(base & basis[table[BASIS] + k]) << k
        offsets[3 * g], offsets[3 * g + 1], offsets[3 * g + 2] = table[OFFSET], start, places + g * n_entries


@inner
def diagonal(state, n_entries, lanes, count, places, offsets, real, imaginary):
    """Every row times its entry, the product of its tables' rows."""
    for e in range(n_entries):
        row = (offsets[0] + (places[offsets[2] + e] ^ offsets[1])) * lanes
        c, s = load(real, row), load(imaginary, row)
        for g in range(3, 3 * count, 3):
            row = (offsets[g] + (places[offsets[g + 2] + e] ^ offsets[g + 1])) * lanes
            x, y = load(real, row), load(imaginary, row)
            c, s = fma(c, x, negate(mul(s, y))), fma(c, y, mul(s, x))
        p = e * 2 * lanes
        a, b = load(state, p), load(state, p + lanes)
        store(state, p, fma(a, c, negate(mul(b, s))))
        store(state, p + lanes, fma(a, s, mul(b, c)))


@inner
def undo_diagonal(state, bra, n_entries, lanes, count, places, offsets, real, imaginary, moments):
    """Every row of state and lambda times the conjugate of its entry; their moments added to the tables' rows."""
    for e in range(n_entries):
        p = e * 2 * lanes
        a, b, u, v = load(state, p), load(state, p + lanes), load(bra, p), load(bra, p + lanes)
        w = fma(u, b, negate(mul(v, a)))
        row = (offsets[0] + (places[offsets[2] + e] ^ offsets[1])) * lanes
        store(moments, row, add(load(moments, row), w))
        c, s = load(real, row), load(imaginary, row)
        for g in range(3, 3 * count, 3):
            row = (offsets[g] + (places[offsets[g + 2] + e] ^ offsets[g + 1])) * lanes
            store(moments, row, add(load(moments, row), w))
            x, y = load(real, row), load(imaginary, row)
            c, s = fma(c, x, negate(mul(s, y))), fma(c, y, mul(s, x))
        store(state, p, fma(a, c, mul(b, s)))
        store(state, p + lanes, fma(b, c, negate(mul(a, s))))
        store(bra, p, fma(u, c, mul(v, s)))
        store(bra, p + lanes, fma(v, c, negate(mul(u, s))))


@inner
def multiply_out(n_entries, lanes, count, places, offsets, real, imaginary, dense_real, dense_imaginary):
    """A diagonal that all lanes share, as one number for each row."""
    for e in range(n_entries):
        row = (offsets[0] + places[offsets[2] + e]) * lanes
        c, s = real[row], imaginary[row]
        for g in range(3, 3 * count, 3):
            row = (offsets[g] + places[offsets[g + 2] + e]) * lanes
            x, y = real[row], imaginary[row]
            c, s = c * x - s * y, c * y + s * x
        dense_real[e] = c
        dense_imaginary[e] = s


@inner
def fold_moments(n_entries, lanes, count, places, offsets, dense_moments, moments):
    """The moments of a diagonal's rows added to the rows of its tables, in the first lane."""
    for e in range(n_entries):
        for g in range(0, 3 * count, 3):
            row = (offsets[g] + places[offsets[g + 2] + e]) * lanes
            moments[row] = moments[row] + dense_moments[e]


@inner
def dense(state, n_entries, lanes, real, imaginary):
    """Every row times its number."""
    for e in range(n_entries):
        p = e * 2 * lanes
        c, s = broadcast(real[e]), broadcast(imaginary[e])
        a, b = load(state, p), load(state, p + lanes)
        store(state, p, fma(a, c, negate(mul(b, s))))
        store(state, p + lanes, fma(a, s, mul(b, c)))


@inner
def undo_dense(state, bra, n_entries, lanes, real, imaginary, moments):
    """Every row of state and lambda times the conjugate of its number; their moments, summed over lanes, added up."""
    for e in range(n_entries):
        p = e * 2 * lanes
        c, s = broadcast(real[e]), broadcast(imaginary[e])
        a, b, u, v = load(state, p), load(state, p + lanes), load(bra, p), load(bra, p + lanes)
        moments[e] = moments[e] + total(fma(u, b, negate(mul(v, a))))
        store(state, p, fma(a, c, mul(b, s)))
        store(state, p + lanes, fma(b, c, negate(mul(a, s))))
        store(bra, p, fma(u, c, mul(v, s)))
        store(bra, p + lanes, fma(v, c, negate(mul(u, s))))
