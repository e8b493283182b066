"""Kernels that mix rows: turns, one to three at a time, forward on a state and back on state and lambda.

A row is one vector of real parts and one of imaginary parts. Turns are real, so both go through them apart; the rows of a
group stay in registers while all its turns act. A turn by the half angle h is three shears,

    x0 -= tan(h / 2) x1;   x1 += sin(h) x0;   x0 -= tan(h / 2) x1,

three multiply-adds a pair for any angle, where a rotation written out takes four; |h| is at most pi / 2 (the rest of the
circle is a sign of the whole state, which no expectation value sees), so no shear is larger than one. Undone, the shears
run with the other sign and give back the same numbers. Going back, a turn's derivative Im <lambda| P |phi> is the sum over
pairs of lambda_1 phi_0 - lambda_0 phi_1.

The bodies are written as instructions by Python loops over rows and pairs, once for every number of turns.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from qml.native.compilation import inner
from qml.native.simd import Vector, aligned_at, equal_lanes, exchange, fma, load, mul, negate, permuted, store, sub


class _Rows:
    """Writes loads, stores and arithmetic of the 2^k rows base ^ (any of the flips) of a flat array."""

    def __init__(self, context, builder, vector: Vector, base, flips: list, shifts: list | None):
        self.context, self.builder, self.vector = context, builder, vector
        self.kind = context.get_value_type(vector)
        self.k = len(flips)
        scale = base.type((2 * vector.lanes).bit_length() - 1)
        self.starts = self._spread(builder.shl(base, scale), [builder.shl(flip, scale) for flip in flips])
        self.shifts = None if shifts is None else self._spread(base.type(0), shifts)

    def _spread(self, first, flips: list) -> list:
        """first ^ (the flips chosen by the bits of e), for each e."""
        out = [first]
        for flip in flips:
            out += [self.builder.xor(entry, flip) for entry in out]
        return out

    def _address(self, data, e: int, part: int):
        at = self.builder.add(self.starts[e], self.starts[e].type(part * self.vector.lanes))
        return self.builder.bitcast(self.builder.gep(data, [at]), ir.PointerType(self.kind))

    def _moved(self, value, e: int):
        if self.shifts is None:
            return value
        return permuted(self.builder, value, self.kind, self.vector, self.shifts[e])

    def load(self, data, part: int) -> list:
        values = [aligned_at(self.builder.load(self._address(data, e, part), typ=self.kind)) for e in range(1 << self.k)]
        return [self._moved(value, e) for e, value in enumerate(values)]

    def store(self, data, part: int, values: list) -> None:
        for e, value in enumerate(values):
            aligned_at(self.builder.store(self._moved(value, e), self._address(data, e, part)))

    def fma(self, a, b, c):
        name = f"llvm.fmuladd.v{self.vector.lanes}f{self.vector.element.bitwidth}"
        kind = ir.FunctionType(self.kind, [self.kind] * 3)
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])

    def pairs(self, j: int) -> list[tuple[int, int]]:
        """Which rows turn j mixes, that with its bit 0 first."""
        return [(e, e | 1 << j) for e in range(1 << self.k) if not e >> j & 1]

    def turn(self, x: list, j: int, tangent, sine) -> None:
        """x0 += tangent x1; x1 += sine x0; x0 += tangent x1 on every pair: shear by shear, so that pairs overlap."""
        pairs = self.pairs(j)
        for to, source, factor in ((0, 1, tangent), (1, 0, sine), (0, 1, tangent)):
            for pair in pairs:
                x[pair[to]] = self.fma(factor, x[pair[source]], x[pair[to]])

    def moment(self, g, u: list, v: list, j: int):
        """g + the sum over pairs of v1 u0 - v0 u1."""
        for a, b in self.pairs(j):
            g = self.fma(v[b], u[a], g)
            g = self.fma(self.builder.fneg(v[a]), u[b], g)
        return g


def _integers(context, builder, signature, args, position: int) -> list:
    kind = signature.args[position].dtype
    return [context.cast(builder, value, kind, types.intp) for value in cgutils.unpack_tuple(builder, args[position])]


def unpacked(builder, tuple_value) -> list:
    """The members of a tuple."""
    return list(cgutils.unpack_tuple(builder, tuple_value))


def rows_of(context, builder, signature, args, vector, base: int, flips: int, shifts: int) -> _Rows:
    """The group of rows that the arguments at these places describe."""
    start = context.cast(builder, args[base], signature.args[base], types.intp)
    moved = _integers(context, builder, signature, args, shifts)
    exchanged = moved if len(moved) else None
    return _Rows(context, builder, vector, start, _integers(context, builder, signature, args, flips), exchanged)


@intrinsic
def turn_rows(typingctx, state, base, flips, shifts, tangents, sines):
    """Turns on one group of rows of `state`.

    Args:
        base: the row in which every turn's bit is 0.
        flips: how far each turn's other row is; shifts: how far its other lane is, or () where no lane moves.
        tangents, sines: of the shears, a vector for each turn.
    """
    vector = tangents.dtype

    def codegen(context, builder, signature, args):
        rows = rows_of(context, builder, signature, args, vector, 1, 2, 3)
        tangent, sine = (cgutils.unpack_tuple(builder, args[p]) for p in (4, 5))
        for part in range(2):
            x = rows.load(args[0], part)
            for j in range(rows.k):
                rows.turn(x, j, tangent[j], sine[j])
            rows.store(args[0], part, x)
        return context.get_dummy_value()

    return types.void(state, base, flips, shifts, tangents, sines), codegen


@intrinsic
def unturn_rows(typingctx, state, bra, base, flips, shifts, tangents, sines, moments):
    """Turns undone, last first, on one group of rows of `state` and of `bra`; the moments with the derivatives added.

    Args:
        tangents, sines: of the shears that undo the turns, so the negative of those that did them.
    """
    vector = tangents.dtype

    def codegen(context, builder, signature, args):
        rows = rows_of(context, builder, signature, args, vector, 2, 3, 4)
        tangent, sine, g = (cgutils.unpack_tuple(builder, args[p]) for p in (5, 6, 7))
        for part in range(2):
            u, v = rows.load(args[0], part), rows.load(args[1], part)
            for j in reversed(range(rows.k)):
                g[j] = rows.moment(g[j], u, v, j)
                rows.turn(u, j, tangent[j], sine[j])
                rows.turn(v, j, tangent[j], sine[j])
            rows.store(args[0], part, u)
            rows.store(args[1], part, v)
        return context.make_tuple(builder, signature.return_type, g)

    return moments(state, bra, base, flips, shifts, tangents, sines, moments), codegen


@inner
def forward(state, bases, count, flips, shifts, tangents, sines):
    """Up to three turns on `count` groups of rows; `bases` has the rows in which all their bits are 0."""
    for k in range(count):
        turn_rows(state, bases[k], flips, shifts, tangents, sines)


@inner
def backward(state, bra, bases, count, flips, shifts, tangents, sines, moments):
    """The same undone on state and lambda; the sums of the moments, a vector for each turn."""
    for k in range(count):
        moments = unturn_rows(state, bra, bases[k], flips, shifts, tangents, sines, moments)
    return moments


@inner
def turned_in_lanes(x, shift, tangent, sine):
    """cos x - sine x[lane ^ shift], where the signs of tangent and sine are that of the lane."""
    return sub(fma(mul(tangent, sine), x, x), mul(sine, exchange(x, shift)))


@inner
def forward_in_lanes(state, rows, count, shift, tangent, sine, lanes):
    """A turn that mixes lanes of each row and no rows."""
    for k in range(count):
        for part in range(2):
            at = (2 * rows[k] + part) * lanes
            store(state, at, turned_in_lanes(load(state, at), shift, tangent, sine))


@inner
def backward_in_lanes(state, bra, rows, count, shift, tangent, sine, lanes):
    """The same undone on state and lambda; half the moment, as both lanes of a pair have it."""
    moment = equal_lanes(state, 0.0)
    for k in range(count):
        for part in range(2):
            at = (2 * rows[k] + part) * lanes
            u, v = load(state, at), load(bra, at)
            moment = fma(exchange(v, shift), u, moment)
            moment = fma(negate(v), exchange(u, shift), moment)
            store(state, at, turned_in_lanes(u, shift, tangent, sine))
            store(bra, at, turned_in_lanes(v, shift, tangent, sine))
    return mul(equal_lanes(state, 0.5), moment)
