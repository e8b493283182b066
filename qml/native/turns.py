"""Kernels that mix rows: turns, one to three at a time, forward on a state and back on state and lambda.

A row of a block is 64 bytes of real parts and 64 bytes of imaginary parts of one amplitude, a lane being a sample. Turns are
real, so real and imaginary parts go through them apart, eight rows of each in registers. Going back, a turn's derivative
Im <lambda| P |phi> is the sum over pairs of lambda_1 phi_0 - lambda_0 phi_1.
"""

from qml.native.simd import broadcast, fma, jit, load, mul, negate, store


@jit
def _turned(c, s, a, b):
    """(c a - s b, c b + s a)."""
    return fma(c, a, negate(mul(s, b))), fma(c, b, mul(s, a))


@jit
def _moment(g, u0, u1, v0, v1):
    """g + v1 u0 - v0 u1."""
    return fma(v1, u0, fma(negate(v0), u1, g))


@jit
def _four(base, f0, f1, lanes):
    """Where the four rows start whose bits of two turns are 00, 10, 01 and 11."""
    return base * 2 * lanes, (base ^ f0) * 2 * lanes, (base ^ f1) * 2 * lanes, (base ^ f0 ^ f1) * 2 * lanes


@jit
def forward_1(state, lanes, bases, f0, c0, s0):
    for k in range(bases.shape[0]):
        p0 = bases[k] * 2 * lanes
        p1 = (bases[k] ^ f0) * 2 * lanes
        for part in range(2):
            x0, x1 = load(state, p0 + part * lanes), load(state, p1 + part * lanes)
            x0, x1 = _turned(c0, s0, x0, x1)
            store(state, p0 + part * lanes, x0)
            store(state, p1 + part * lanes, x1)


@jit
def forward_2(state, lanes, bases, f0, f1, c0, s0, c1, s1):
    for k in range(bases.shape[0]):
        p0, p1, p2, p3 = _four(bases[k], f0, f1, lanes)
        for part in range(2):
            at = part * lanes
            x0, x1, x2, x3 = load(state, p0 + at), load(state, p1 + at), load(state, p2 + at), load(state, p3 + at)
            x0, x1 = _turned(c0, s0, x0, x1)
            x2, x3 = _turned(c0, s0, x2, x3)
            x0, x2 = _turned(c1, s1, x0, x2)
            x1, x3 = _turned(c1, s1, x1, x3)
            store(state, p0 + at, x0)
            store(state, p1 + at, x1)
            store(state, p2 + at, x2)
            store(state, p3 + at, x3)


@jit
def forward_3(state, lanes, bases, f0, f1, f2, c0, s0, c1, s1, c2, s2):
    for k in range(bases.shape[0]):
        p0, p1, p2, p3 = _four(bases[k], f0, f1, lanes)
        p4, p5, p6, p7 = _four(bases[k] ^ f2, f0, f1, lanes)
        for part in range(2):
            at = part * lanes
            x0, x1, x2, x3 = load(state, p0 + at), load(state, p1 + at), load(state, p2 + at), load(state, p3 + at)
            x4, x5, x6, x7 = load(state, p4 + at), load(state, p5 + at), load(state, p6 + at), load(state, p7 + at)
            x0, x1 = _turned(c0, s0, x0, x1)
            x2, x3 = _turned(c0, s0, x2, x3)
            x4, x5 = _turned(c0, s0, x4, x5)
            x6, x7 = _turned(c0, s0, x6, x7)
            x0, x2 = _turned(c1, s1, x0, x2)
            x1, x3 = _turned(c1, s1, x1, x3)
            x4, x6 = _turned(c1, s1, x4, x6)
            x5, x7 = _turned(c1, s1, x5, x7)
            x0, x4 = _turned(c2, s2, x0, x4)
            x1, x5 = _turned(c2, s2, x1, x5)
            x2, x6 = _turned(c2, s2, x2, x6)
            x3, x7 = _turned(c2, s2, x3, x7)
            store(state, p0 + at, x0)
            store(state, p1 + at, x1)
            store(state, p2 + at, x2)
            store(state, p3 + at, x3)
            store(state, p4 + at, x4)
            store(state, p5 + at, x5)
            store(state, p6 + at, x6)
            store(state, p7 + at, x7)


@jit
def backward_1(state, bra, lanes, bases, f0, c0, s0):
    g0 = broadcast(state.dtype.type(0))
    s0 = negate(s0)
    for k in range(bases.shape[0]):
        p0, p1 = bases[k] * 2 * lanes, (bases[k] ^ f0) * 2 * lanes
        for part in range(2):
            at = part * lanes
            u0, u1 = load(state, p0 + at), load(state, p1 + at)
            v0, v1 = load(bra, p0 + at), load(bra, p1 + at)
            g0 = _moment(g0, u0, u1, v0, v1)
            u0, u1 = _turned(c0, s0, u0, u1)
            v0, v1 = _turned(c0, s0, v0, v1)
            store(state, p0 + at, u0)
            store(state, p1 + at, u1)
            store(bra, p0 + at, v0)
            store(bra, p1 + at, v1)
    return g0


@jit
def backward_2(state, bra, lanes, bases, f0, f1, c0, s0, c1, s1):
    g0 = g1 = broadcast(state.dtype.type(0))
    s0, s1 = negate(s0), negate(s1)
    for k in range(bases.shape[0]):
        p0, p1, p2, p3 = _four(bases[k], f0, f1, lanes)
        for part in range(2):
            at = part * lanes
            u0, u1, u2, u3 = load(state, p0 + at), load(state, p1 + at), load(state, p2 + at), load(state, p3 + at)
            v0, v1, v2, v3 = load(bra, p0 + at), load(bra, p1 + at), load(bra, p2 + at), load(bra, p3 + at)
            g0 = _moment(_moment(g0, u0, u1, v0, v1), u2, u3, v2, v3)
            g1 = _moment(_moment(g1, u0, u2, v0, v2), u1, u3, v1, v3)
            u0, u1 = _turned(c0, s0, u0, u1)
            u2, u3 = _turned(c0, s0, u2, u3)
            v0, v1 = _turned(c0, s0, v0, v1)
            v2, v3 = _turned(c0, s0, v2, v3)
            u0, u2 = _turned(c1, s1, u0, u2)
            u1, u3 = _turned(c1, s1, u1, u3)
            v0, v2 = _turned(c1, s1, v0, v2)
            v1, v3 = _turned(c1, s1, v1, v3)
            store(state, p0 + at, u0)
            store(state, p1 + at, u1)
            store(state, p2 + at, u2)
            store(state, p3 + at, u3)
            store(bra, p0 + at, v0)
            store(bra, p1 + at, v1)
            store(bra, p2 + at, v2)
            store(bra, p3 + at, v3)
    return g0, g1


@jit
def backward_3(state, bra, lanes, bases, f0, f1, f2, c0, s0, c1, s1, c2, s2):
    g0 = g1 = g2 = broadcast(state.dtype.type(0))
    s0, s1, s2 = negate(s0), negate(s1), negate(s2)
    for k in range(bases.shape[0]):
        p0, p1, p2, p3 = _four(bases[k], f0, f1, lanes)
        p4, p5, p6, p7 = _four(bases[k] ^ f2, f0, f1, lanes)
        for part in range(2):
            at = part * lanes
            u0, u1, u2, u3 = load(state, p0 + at), load(state, p1 + at), load(state, p2 + at), load(state, p3 + at)
            u4, u5, u6, u7 = load(state, p4 + at), load(state, p5 + at), load(state, p6 + at), load(state, p7 + at)
            v0, v1, v2, v3 = load(bra, p0 + at), load(bra, p1 + at), load(bra, p2 + at), load(bra, p3 + at)
            v4, v5, v6, v7 = load(bra, p4 + at), load(bra, p5 + at), load(bra, p6 + at), load(bra, p7 + at)
            g0 = _moment(_moment(g0, u0, u1, v0, v1), u2, u3, v2, v3)
            g0 = _moment(_moment(g0, u4, u5, v4, v5), u6, u7, v6, v7)
            u0, u1 = _turned(c0, s0, u0, u1)
            u2, u3 = _turned(c0, s0, u2, u3)
            u4, u5 = _turned(c0, s0, u4, u5)
            u6, u7 = _turned(c0, s0, u6, u7)
            v0, v1 = _turned(c0, s0, v0, v1)
            v2, v3 = _turned(c0, s0, v2, v3)
            v4, v5 = _turned(c0, s0, v4, v5)
            v6, v7 = _turned(c0, s0, v6, v7)
            g1 = _moment(_moment(g1, u0, u2, v0, v2), u1, u3, v1, v3)
            g1 = _moment(_moment(g1, u4, u6, v4, v6), u5, u7, v5, v7)
            u0, u2 = _turned(c1, s1, u0, u2)
            u1, u3 = _turned(c1, s1, u1, u3)
            u4, u6 = _turned(c1, s1, u4, u6)
            u5, u7 = _turned(c1, s1, u5, u7)
            v0, v2 = _turned(c1, s1, v0, v2)
            v1, v3 = _turned(c1, s1, v1, v3)
            v4, v6 = _turned(c1, s1, v4, v6)
            v5, v7 = _turned(c1, s1, v5, v7)
            g2 = _moment(_moment(g2, u0, u4, v0, v4), u1, u5, v1, v5)
            g2 = _moment(_moment(g2, u2, u6, v2, v6), u3, u7, v3, v7)
            u0, u4 = _turned(c2, s2, u0, u4)
            u1, u5 = _turned(c2, s2, u1, u5)
            u2, u6 = _turned(c2, s2, u2, u6)
            u3, u7 = _turned(c2, s2, u3, u7)
            v0, v4 = _turned(c2, s2, v0, v4)
            v1, v5 = _turned(c2, s2, v1, v5)
            v2, v6 = _turned(c2, s2, v2, v6)
            v3, v7 = _turned(c2, s2, v3, v7)
            store(state, p0 + at, u0)
            store(state, p1 + at, u1)
            store(state, p2 + at, u2)
            store(state, p3 + at, u3)
            store(state, p4 + at, u4)
            store(state, p5 + at, u5)
            store(state, p6 + at, u6)
            store(state, p7 + at, u7)
            store(bra, p0 + at, v0)
            store(bra, p1 + at, v1)
            store(bra, p2 + at, v2)
            store(bra, p3 + at, v3)
            store(bra, p4 + at, v4)
            store(bra, p5 + at, v5)
            store(bra, p6 + at, v6)
            store(bra, p7 + at, v7)
    return g0, g1, g2
