"""What the machine itself can do: multiply-adds a second on one core, and bytes a second from memory."""

import time

import numpy as np

from qml.native.compilation import jit
from qml.native.simd import add, address, aligned, equal_lanes, fma, lanes_of, store

REPEATS = 5
TRIAD_BYTES = 1 << 28


@jit
def _chains(count, out):
    """Twelve independent chains of multiply-adds, more than any core has in flight."""
    at = address(out)
    factor, term = equal_lanes(at, 1.0000001), equal_lanes(at, 0.5)
    a = b = c = d = e = f = g = h = i = j = k = m = term
    for _ in range(count):
        a, b, c, d = fma(a, factor, term), fma(b, factor, term), fma(c, factor, term), fma(d, factor, term)
        e, f, g, h = fma(e, factor, term), fma(f, factor, term), fma(g, factor, term), fma(h, factor, term)
        i, j, k, m = fma(i, factor, term), fma(j, factor, term), fma(k, factor, term), fma(m, factor, term)
    first, second = add(add(a, b), add(c, d)), add(add(e, f), add(g, h))
    store(at, 0, add(add(first, second), add(add(i, j), add(k, m))))


def multiply_adds(dtype: str) -> float:
    """Multiply-adds of numbers a second, on one core."""
    (out,) = aligned(np.dtype(dtype), lanes_of(dtype))
    _chains(10, out)
    count = 2_000_000
    return 12 * count * lanes_of(dtype) / min(_seconds(lambda: _chains(count, out)) for _ in range(REPEATS))


def triad() -> float:
    """Bytes a second of a = b + s c, counting three arrays, on one core."""
    b, c = np.ones((2, TRIAD_BYTES // 8))
    a = np.empty_like(b)
    _triad(a, b, c)
    return 3 * TRIAD_BYTES / min(_seconds(lambda: _triad(a, b, c)) for _ in range(REPEATS))


@jit
def _triad(a, b, c):
    for k in range(a.shape[0]):
        a[k] = b[k] + 3.0 * c[k]


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
