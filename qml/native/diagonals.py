"""Kernels that multiply rows: diagonals that all lanes share, and phases that differ between lanes."""

from qml.native.simd import add, broadcast, fma, jit, load, mul, negate, store, sub, total


@jit
def _times(state, at, lanes, c, s):
    """One row times c + i s."""
    a, b = load(state, at), load(state, at + lanes)
    store(state, at, fma(a, c, negate(mul(b, s))))
    store(state, at + lanes, fma(b, c, mul(a, s)))


@jit
def _moment_of_row(state, bra, at, lanes):
    """Im(conj(bra) state) of one row."""
    return sub(mul(load(bra, at), load(state, at + lanes)), mul(load(bra, at + lanes), load(state, at)))


@jit
def diagonal(state, lanes, real, imaginary):
    for p in range(real.shape[0]):
        _times(state, p * 2 * lanes, lanes, broadcast(real[p]), broadcast(imaginary[p]))


@jit
def undo_diagonal(state, bra, lanes, real, imaginary, moments):
    for p in range(real.shape[0]):
        at = p * 2 * lanes
        moments[p] += total(_moment_of_row(state, bra, at, lanes))
        c, s = broadcast(real[p]), broadcast(-imaginary[p])
        _times(state, at, lanes, c, s)
        _times(bra, at, lanes, c, s)


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
def phases_of_lanes(state, n_rows, lanes, phases, cos, sin):
    for p in range(n_rows):
        at = p * 2 * lanes
        a, b = load(state, at), load(state, at + lanes)
        for k in range(phases.shape[0]):
            row = phases[k, 2] * lanes
            c, s = load(cos, row), load(sin, row)
            if parity(p & phases[k, 0]) == phases[k, 1]:
                s = negate(s)
            a, b = fma(a, c, negate(mul(b, s))), fma(b, c, mul(a, s))
        store(state, at, a)
        store(state, at + lanes, b)


@jit
def undo_phases_of_lanes(state, bra, n_rows, lanes, phases, cos, sin, gradients):
    for p in range(n_rows):
        at = p * 2 * lanes
        w = _moment_of_row(state, bra, at, lanes)
        a, b = load(state, at), load(state, at + lanes)
        u, v = load(bra, at), load(bra, at + lanes)
        for k in range(phases.shape[0]):
            row = phases[k, 2] * lanes
            c, s = load(cos, row), load(sin, row)
            if parity(p & phases[k, 0]) == phases[k, 1]:
                store(gradients, row, add(load(gradients, row), w))
            else:
                store(gradients, row, sub(load(gradients, row), w))
                s = negate(s)
            a, b = fma(a, c, negate(mul(b, s))), fma(b, c, mul(a, s))
            u, v = fma(u, c, negate(mul(v, s))), fma(v, c, mul(u, s))
        store(state, at, a)
        store(state, at + lanes, b)
        store(bra, at, u)
        store(bra, at + lanes, v)


@jit
def product_transform(real, imaginary):
    """In place: entry p becomes the product over m of a_m, or of its conjugate where parity(p & m) is 1."""
    n_rows, stride = real.shape[0], 1
    while stride < n_rows:
        for start in range(0, n_rows, 2 * stride):
            for k in range(start, start + stride):
                a, b, c, d = real[k], imaginary[k], real[k + stride], imaginary[k + stride]
                real[k], imaginary[k] = a * c - b * d, a * d + b * c
                real[k + stride], imaginary[k + stride] = a * c + b * d, b * c - a * d
        stride *= 2


@jit
def sum_transform(values):
    """In place Walsh-Hadamard transform: entry m becomes the sum over p of values[p] (-1)^parity(p & m)."""
    n_rows, stride = values.shape[0], 1
    while stride < n_rows:
        for start in range(0, n_rows, 2 * stride):
            for k in range(start, start + stride):
                a, b = values[k], values[k + stride]
                values[k], values[k + stride] = a + b, a - b
        stride *= 2


@jit
def fill_diagonals(real, imaginary, diagonals, signs, cos, sin):
    """Every shared diagonal as real and imaginary parts by row, from the half angles of its phases.

    Args:
        real, imaginary: (n_diagonals, n_rows), written.
        diagonals: (n, 3): number of the diagonal, read mask, angle row.
    """
    real[:] = 1
    imaginary[:] = 0
    for k in range(diagonals.shape[0]):
        number, read, row = diagonals[k]
        c, s = cos[row], -signs[k] * sin[row]
        a, b = real[number, read], imaginary[number, read]
        real[number, read], imaginary[number, read] = a * c - b * s, a * s + b * c
    for number in range(real.shape[0]):
        product_transform(real[number], imaginary[number])


@jit
def add_diagonal_gradients(moments, diagonals, signs, gradients):
    """The derivative of each shared phase, all those of one diagonal from one transform of its moments, in place."""
    for number in range(moments.shape[0]):
        sum_transform(moments[number])
    for k in range(diagonals.shape[0]):
        number, read, row = diagonals[k]
        gradients[row] = moments[number, read] * signs[k]
