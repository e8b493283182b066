"""Kernels of Pauli sums: expectation values of a block, and lambda = sum of cotangents times observables."""

from qml.native.diagonals import parity
from qml.native.simd import add, broadcast, fma, jit, load, mul, negate, store, sub


@jit
def expectations(state, n_rows, lanes, terms, coefficients, out):
    """out[k] += coefficient * <state| P |state> for every term, a vector of lanes for each observable."""
    for t in range(terms.shape[0]):
        flip, read, power, owner = terms[t]
        value = broadcast(state.dtype.type(0))
        for p in range(n_rows):
            at, to = p * 2 * lanes, (p ^ flip) * 2 * lanes
            a, b, c, d = load(state, to), load(state, to + lanes), load(state, at), load(state, at + lanes)
            if power & 1:  # Re(i conj(u) v) = -Im(conj(u) v)
                w = sub(mul(b, c), mul(a, d))
            else:
                w = fma(a, c, mul(b, d))
            if (parity(p & read) == 1) != (power >= 2):
                value = sub(value, w)
            else:
                value = add(value, w)
        at = owner * lanes
        store(out, at, fma(broadcast(coefficients[t]), value, load(out, at)))


@jit
def apply_observables(state, bra, n_rows, lanes, terms, coefficients, cotangents):
    """bra = sum over terms of cotangent * coefficient * P |state>, lane by lane; cotangents as `out` above."""
    zero = broadcast(state.dtype.type(0))
    for k in range(n_rows * 2):
        store(bra, k * lanes, zero)
    t = 0
    while t < terms.shape[0]:  # runs of terms with the same flip and power of i share one pass
        last = t
        while last < terms.shape[0] and terms[last, 0] == terms[t, 0] and terms[last, 2] == terms[t, 2]:
            last += 1
        flip, power = terms[t, 0], terms[t, 2]
        for p in range(n_rows):
            weight = zero
            for j in range(t, last):
                w = mul(broadcast(coefficients[j]), load(cotangents, terms[j, 3] * lanes))
                if (parity(p & terms[j, 1]) == 1) != (power >= 2):
                    weight = sub(weight, w)
                else:
                    weight = add(weight, w)
            at, to = p * 2 * lanes, (p ^ flip) * 2 * lanes
            a, b = mul(weight, load(state, at)), mul(weight, load(state, at + lanes))
            if power & 1:
                a, b = negate(b), a
            store(bra, to, add(load(bra, to), a))
            store(bra, to + lanes, add(load(bra, to + lanes), b))
        t = last
