"""Kernels of diagonals: phases as a product of small tables, and the moments from which all their derivatives come.

A diagonal's phases are spread over tables of reads (`reads.py`). The entry of a table for a row is the product of its
phases there, by a multiplicative Walsh-Hadamard transform; a row is multiplied by one entry of each table. Going back, the
moment Im(conj(lambda) phi) of every row is added to the same entries, and one transform of a table gives the derivatives of
all its phases.
"""

from qml.native.plan import BASIS, IS_OWN, OFFSET, PHASE, PHASE_END, RANK
from qml.native.simd import add, broadcast, fma, jit, load, mul, negate, store, sub, total


@jit
def parity(k):
    """The number of one bits of k modulo 2."""
    k ^= k >> 32
    k ^= k >> 16
    k ^= k >> 8
    k ^= k >> 4
    k ^= k >> 2
    k ^= k >> 1
    return k & 1


@jit
def _product(a, b, c, d):
    """(a + i b)(c + i d)."""
    return fma(a, c, negate(mul(b, d))), fma(a, d, mul(b, c))


@jit
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


@jit
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


@jit
def spread_over_lanes(values, first, rank, lanes, lane_places, scratch):
    """Row y, the same in all lanes, becomes what lane l of a state's row at y sees: row y ^ (place of l)."""
    for y in range(1 << rank):
        scratch[y] = values[(first + y) * lanes]
    for y in range(1 << rank):
        for lane in range(lanes):
            values[(first + y) * lanes + lane] = scratch[y ^ lane_places[lane]]


@jit
def gather_from_lanes(values, first, rank, lanes, lane_places, scratch):
    """The transpose: row y becomes, in all lanes, the sum of what lanes have added to their row y."""
    for y in range(1 << rank):
        scratch[y] = 0
        for lane in range(lanes):
            scratch[y] += values[(first + (y ^ lane_places[lane])) * lanes + lane]
    for y in range(1 << rank):
        store(values, (first + y) * lanes, broadcast(scratch[y]))


@jit
def fill_tables(tables, phases, n_turns, cos, sin, own, real, imaginary, lanes):
    """The tables of diagonals, those whose phases differ between lanes or the others, from their phases' half angles."""
    zero, one = broadcast(real.dtype.type(0)), broadcast(real.dtype.type(1))
    for t in range(tables.shape[0]):
        if tables[t, IS_OWN] != own:
            continue
        first, rank = tables[t, OFFSET], tables[t, RANK]
        for y in range(first, first + (1 << rank)):
            store(real, y * lanes, one)
            store(imaginary, y * lanes, zero)
        for k in range(tables[t, PHASE], tables[t, PHASE_END]):
            at, angle = phases[k, 0] * lanes, (phases[k, 1] - n_turns) * lanes
            c, s = load(cos, angle), load(sin, angle)
            if phases[k, 2] > 0:
                s = negate(s)
            a, b = _product(load(real, at), load(imaginary, at), c, s)
            store(real, at, a)
            store(imaginary, at, b)
        product_transform(real, imaginary, first, rank, lanes)


@jit
def find_starts(tables, first, count, basis, base, starts):
    """For each table the coordinates of an index."""
    for g in range(count):
        row = first + g
        starts[g] = 0
        for k in range(tables[row, RANK]):
            starts[g] |= parity(base & basis[tables[row, BASIS] + k]) << k


@jit
def diagonal(state, n_entries, lanes, tables, first, count, places, at, starts, real, imaginary):
    """Every row times its entry, the product of its tables' rows."""
    for e in range(n_entries):
        row = (tables[first, OFFSET] + (places[at + e] ^ starts[0])) * lanes
        c, s = load(real, row), load(imaginary, row)
        for g in range(1, count):
            row = (tables[first + g, OFFSET] + (places[at + g * n_entries + e] ^ starts[g])) * lanes
            x, y = load(real, row), load(imaginary, row)
            c, s = fma(c, x, negate(mul(s, y))), fma(c, y, mul(s, x))
        p = e * 2 * lanes
        a, b = load(state, p), load(state, p + lanes)
        store(state, p, fma(a, c, negate(mul(b, s))))
        store(state, p + lanes, fma(a, s, mul(b, c)))


@jit
def undo_diagonal(state, bra, n_entries, lanes, tables, first, count, places, at, starts, real, imaginary, moments):
    """Every row of state and lambda times the conjugate of its entry; their moments added to the tables' rows."""
    for e in range(n_entries):
        p = e * 2 * lanes
        a, b, u, v = load(state, p), load(state, p + lanes), load(bra, p), load(bra, p + lanes)
        w = fma(u, b, negate(mul(v, a)))
        row = (tables[first, OFFSET] + (places[at + e] ^ starts[0])) * lanes
        store(moments, row, add(load(moments, row), w))
        c, s = load(real, row), load(imaginary, row)
        for g in range(1, count):
            row = (tables[first + g, OFFSET] + (places[at + g * n_entries + e] ^ starts[g])) * lanes
            store(moments, row, add(load(moments, row), w))
            x, y = load(real, row), load(imaginary, row)
            c, s = fma(c, x, negate(mul(s, y))), fma(c, y, mul(s, x))
        store(state, p, fma(a, c, mul(b, s)))
        store(state, p + lanes, fma(b, c, negate(mul(a, s))))
        store(bra, p, fma(u, c, mul(v, s)))
        store(bra, p + lanes, fma(v, c, negate(mul(u, s))))


@jit
def multiply_out(tables, first, count, places, at, n_entries, lanes, real, imaginary, dense_real, dense_imaginary, to):
    """A diagonal that all lanes share, as one number for each row."""
    for e in range(n_entries):
        row = (tables[first, OFFSET] + places[at + e]) * lanes
        c, s = real[row], imaginary[row]
        for g in range(1, count):
            row = (tables[first + g, OFFSET] + places[at + g * n_entries + e]) * lanes
            x, y = real[row], imaginary[row]
            c, s = c * x - s * y, c * y + s * x
        dense_real[to + e], dense_imaginary[to + e] = c, s


@jit
def fold_moments(tables, first, count, places, at, n_entries, lanes, dense_moments, to, moments):
    """The moments of a diagonal's rows added to the rows of its tables, in the first lane."""
    for e in range(n_entries):
        for g in range(count):
            moments[(tables[first + g, OFFSET] + places[at + g * n_entries + e]) * lanes] += dense_moments[to + e]


@jit
def dense(state, n_entries, lanes, real, imaginary, at):
    """Every row times its number."""
    for e in range(n_entries):
        p = e * 2 * lanes
        c, s = broadcast(real[at + e]), broadcast(imaginary[at + e])
        a, b = load(state, p), load(state, p + lanes)
        store(state, p, fma(a, c, negate(mul(b, s))))
        store(state, p + lanes, fma(a, s, mul(b, c)))


@jit
def undo_dense(state, bra, n_entries, lanes, real, imaginary, at, moments):
    """Every row of state and lambda times the conjugate of its number; their moments, summed over lanes, added up."""
    for e in range(n_entries):
        p = e * 2 * lanes
        c, s = broadcast(real[at + e]), broadcast(imaginary[at + e])
        a, b, u, v = load(state, p), load(state, p + lanes), load(bra, p), load(bra, p + lanes)
        moments[at + e] += total(fma(u, b, negate(mul(v, a))))
        store(state, p, fma(a, c, mul(b, s)))
        store(state, p + lanes, fma(b, c, negate(mul(a, s))))
        store(bra, p, fma(u, c, mul(v, s)))
        store(bra, p + lanes, fma(v, c, negate(mul(u, s))))
