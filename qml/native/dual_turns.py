"""Turns of dual states: a state with its derivative along a direction of all angles at once.

If a turn's half angle h grows at the rate r, the derivative of R(h) phi is R(h) phi' + r K R(h) phi, where K takes
(x0, x1) to (-x1, x0). So the derivative is turned as the state is, and two multiply-adds a pair put in the rate. Going
back, the derivative of the moment Im <lambda| P |phi> is the sum over pairs of lambda_1 phi'_0 - lambda_0 phi'_1, and of
the same with lambda' and phi.
"""

from numba.core import types
from numba.extending import intrinsic

from qml.native.compilation import inner
from qml.native.simd import exchange, fma, load, mul, negate, store
from qml.native.turns import rows_of, turned_in_lanes, unpacked


def _add_rate(rows, x: list, derivative: list, j: int, rate) -> None:
    """derivative += rate K x."""
    for a, b in rows.pairs(j):
        derivative[a] = rows.fma(rows.builder.fneg(rate), x[b], derivative[a])
        derivative[b] = rows.fma(rate, x[a], derivative[b])


@intrinsic
def turn_dual_rows(typingctx, state, derivative, base, flips, shifts, tangents, sines, rates):
    """Turns on one group of rows of a state and of its derivative."""
    vector = tangents.dtype

    def codegen(context, builder, signature, args):
        rows = rows_of(context, builder, signature, args, vector, 2, 3, 4)
        tangent, sine, rate = (unpacked(builder, args[p]) for p in (5, 6, 7))
        for part in range(2):
            x, d = rows.load(args[0], part), rows.load(args[1], part)
            for j in range(rows.k):
                rows.turn(x, j, tangent[j], sine[j])
                rows.turn(d, j, tangent[j], sine[j])
                _add_rate(rows, x, d, j, rate[j])
            rows.store(args[0], part, x)
            rows.store(args[1], part, d)
        return context.get_dummy_value()

    return types.void(state, derivative, base, flips, shifts, tangents, sines, rates), codegen


@intrinsic
def unturn_dual_rows(typingctx, states, base, flips, shifts, tangents, sines, rates, moments):
    """Turns undone on one group of rows of (state, its derivative, lambda, its derivative); the moments' derivatives added.

    Args:
        tangents, sines, rates: the negative of those of the turns.
    """
    vector = tangents.dtype

    def codegen(context, builder, signature, args):
        rows = rows_of(context, builder, signature, args, vector, 1, 2, 3)
        pointers = unpacked(builder, args[0])
        tangent, sine, rate, g = (unpacked(builder, args[p]) for p in (4, 5, 6, 7))
        for part in range(2):
            u, d, v, e = (rows.load(pointer, part) for pointer in pointers)
            for j in reversed(range(rows.k)):
                g[j] = rows.moment(rows.moment(g[j], d, v, j), u, e, j)
                _add_rate(rows, u, d, j, rate[j])
                _add_rate(rows, v, e, j, rate[j])
                for x in (u, d, v, e):
                    rows.turn(x, j, tangent[j], sine[j])
            for pointer, x in zip(pointers, (u, d, v, e)):
                rows.store(pointer, part, x)
        return context.make_tuple(builder, signature.return_type, g)

    return moments(states, base, flips, shifts, tangents, sines, rates, moments), codegen


@inner
def forward(state, derivative, bases, count, flips, shifts, tangents, sines, rates):
    """Up to three turns on `count` groups of rows."""
    for k in range(count):
        turn_dual_rows(state, derivative, bases[k], flips, shifts, tangents, sines, rates)


@inner
def backward(states, bases, count, flips, shifts, tangents, sines, rates, moments):
    """The same undone; the sums of the moments' derivatives, a vector for each turn."""
    for k in range(count):
        moments = unturn_dual_rows(states, bases[k], flips, shifts, tangents, sines, rates, moments)
    return moments


@inner
def forward_in_lanes(state, derivative, rows, count, shift, tangent, sine, rate, lanes):
    """A turn that mixes lanes of each row and no rows."""
    for k in range(count):
        for part in range(2):
            at = (2 * rows[k] + part) * lanes
            x = turned_in_lanes(load(state, at), shift, tangent, sine)
            d = turned_in_lanes(load(derivative, at), shift, tangent, sine)
            store(state, at, x)
            store(derivative, at, fma(negate(rate), exchange(x, shift), d))


@inner
def backward_in_lanes(states, rows, count, shift, tangent, sine, rate, lanes, zero, half):
    """The same undone; half the moment's derivative, as both lanes of a pair have it."""
    moment = zero
    for k in range(count):
        for part in range(2):
            at = (2 * rows[k] + part) * lanes
            u, d, v, e = load(states[0], at), load(states[1], at), load(states[2], at), load(states[3], at)
            moment = fma(exchange(v, shift), d, fma(negate(v), exchange(d, shift), moment))
            moment = fma(exchange(e, shift), u, fma(negate(e), exchange(u, shift), moment))
            d = fma(negate(rate), exchange(u, shift), d)
            e = fma(negate(rate), exchange(v, shift), e)
            store(states[0], at, turned_in_lanes(u, shift, tangent, sine))
            store(states[1], at, turned_in_lanes(d, shift, tangent, sine))
            store(states[2], at, turned_in_lanes(v, shift, tangent, sine))
            store(states[3], at, turned_in_lanes(e, shift, tangent, sine))
    return mul(half, moment)
