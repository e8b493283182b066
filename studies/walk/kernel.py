"""Walks, 64 in each machine word and eight words at a time."""

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from studies.walk.program import ADD, ANY_AXIS, DIGITS, SHRINK

WORDS = 8
WALKS = 64 * WORDS  # of a block
HALF = 1 << (DIGITS - 1)
THIRD = round(2**DIGITS / 3)


@intrinsic
def _ones(typing_context, word):
    """How many bits of a word are set."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@numba.njit(cache=True, nogil=True, inline="always")
def _rotated(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@numba.njit(cache=True, nogil=True, inline="always")
def _draw(seeds, out, at):
    """Fills row `at` of `out` with random words: xoshiro256++, one stream for each word."""
    for w in range(WORDS):
        s0, s1, s2, s3 = seeds[0, w], seeds[1, w], seeds[2, w], seeds[3, w]
        out[at, w] = _rotated(s0 + s3, 23) + s0
        t = s1 << np.uint64(17)
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        seeds[0, w], seeds[1, w], seeds[2, w], seeds[3, w] = s0, s1, s2, _rotated(s3, 45)


@numba.njit(cache=True, nogil=True)
def _choose(chance, seeds, spare, out, at):
    """Row `at` of bits that are set with the probability `chance` 2^-DIGITS: digit by digit from the last one set."""
    fill = ~np.uint64(0) if chance >> DIGITS else np.uint64(0)
    for w in range(WORDS):
        out[at, w] = fill
    if chance == 0 or chance >> DIGITS:
        return
    digit = 0
    while not chance >> digit & 1:
        digit += 1
    while digit < DIGITS:
        _draw(seeds, spare, 3)
        if chance >> digit & 1:
            for w in range(WORDS):
                out[at, w] |= spare[3, w]
        else:
            for w in range(WORDS):
                out[at, w] &= spare[3, w]
        digit += 1


@numba.njit(cache=True, nogil=True)
def _turn_any(bits, row, chance, seeds, spare, anti, turned, number):
    """A turn about an axis of its own for each walk."""
    _choose(THIRD, seeds, spare, spare, 0)
    _draw(seeds, spare, 1)
    _choose(chance, seeds, spare, spare, 2)
    for w in range(WORDS):
        is_x, is_y, is_z = spare[0, w], ~spare[0, w] & spare[1, w], ~spare[0, w] & ~spare[1, w]
        x, z = bits[row, w], bits[row + 1, w]
        met = (is_x & z) | (is_y & (x ^ z)) | (is_z & x)
        took = spare[2, w] & met
        anti[number, w], turned[number, w] = met, took
        bits[row, w] = x ^ (took & (is_x | is_y))
        bits[row + 1, w] = z ^ (took & (is_z | is_y))


@numba.njit(cache=True, nogil=True, inline="always")
def _code(x, z, k):
    """The letter of walk k of a word."""
    return (x >> np.uint64(k) & np.uint64(1)) + (z >> np.uint64(k) & np.uint64(1)) * np.uint64(2)


@numba.njit(cache=True, nogil=True)
def _shrink(bits, row, factors, weight):
    for w in range(WORDS):
        x, z = bits[row, w], bits[row + 1, w]
        if x | z or factors[0] != 1:  # the partner of a pair may carry a letter where this string has none
            for k in range(64):
                weight[w, k] *= factors[
                    (x >> np.uint64(k) & np.uint64(1)) + (z >> np.uint64(k) & np.uint64(1)) * np.uint64(2)
                ]


@numba.njit(cache=True, nogil=True)
def _tilt(anti, turned, staying, turning, weight):
    """Walks that met a turn which is made more often than it happens are worth what makes up for that."""
    for w in range(WORDS):
        for k in range(64):
            if anti[w] >> np.uint64(k) & np.uint64(1):
                weight[w, k] *= turning if turned[w] >> np.uint64(k) & np.uint64(1) else staying


@numba.njit(cache=True, nogil=True, inline="always")
def _turn(rows, a, b, d, chance, bits, seeds, spare, anti, turned, number):
    """A turn about one string: rows a to b tell who anticommutes, rows b to d are flipped where it turns."""
    first = rows[a]
    if chance == HALF:
        _draw(seeds, turned, number)
    else:
        _choose(chance, seeds, spare, turned, number)
    for w in range(WORDS):
        anti[number, w] = bits[first, w]
    for r in range(a + 1, b):
        row = rows[r]
        for w in range(WORDS):
            anti[number, w] ^= bits[row, w]
    for w in range(WORDS):
        turned[number, w] &= anti[number, w]
    for r in range(b, d):
        row = rows[r]
        for w in range(WORDS):
            bits[row, w] ^= turned[number, w]


@numba.njit(cache=True, nogil=True)
def _walk(steps, rows, chances, tilts, shrink, bits, seeds, spare, anti, turned, weight):
    """One block from the observable to the start; which turns it met anticommuting, and which of these it took."""
    for k in range(steps.shape[0]):
        kind, a, b, number = steps[k, 0], steps[k, 1], steps[k, 2], steps[k, 4]
        if kind == ADD:
            for w in range(WORDS):
                bits[a, w] ^= bits[b, w]
        elif kind == SHRINK:
            _shrink(bits, a, shrink[number], weight)
        elif kind == ANY_AXIS:
            _turn_any(bits, rows[a], chances[number], seeds, spare, anti, turned, number)
        else:
            _turn(rows, a, b, steps[k, 3], chances[number], bits, seeds, spare, anti, turned, number)
            if tilts.shape[0] and tilts[number, 1] != 1.0:
                _tilt(anti[number], turned[number], tilts[number, 0], tilts[number, 1], weight)


@numba.njit(cache=True, nogil=True)
def _alive(bits, ends, out):
    """The walks whose end counts, where every end counts fully or not at all."""
    out[:] = ~np.uint64(0)
    for q in range(ends.shape[0]):
        for w in range(WORDS):
            x, z = bits[2 * q, w], bits[2 * q + 1, w]
            lost = np.uint64(0)
            if ends[q, 0] == 0:
                lost |= ~x & ~z
            if ends[q, 1] == 0:
                lost |= x & ~z
            if ends[q, 2] == 0:
                lost |= ~x & z
            if ends[q, 3] == 0:
                lost |= x & z
            out[w] &= ~lost


@numba.njit(cache=True, nogil=True)
def count(steps, rows, chances, n_rows, ends, start, seeds, n_blocks, ended, met, took):
    """Adds, over blocks of walks: those whose end counts, of them those that met each turn, and that took it."""
    n_turns = chances.shape[0]
    bits = np.empty((n_rows, WORDS), np.uint64)
    anti, turned = np.empty((n_turns, WORDS), np.uint64), np.empty((n_turns, WORDS), np.uint64)
    spare, alive = np.empty((4, WORDS), np.uint64), np.empty(WORDS, np.uint64)
    no_tilts, no_noise, weight = np.empty((0, 2)), np.empty((0, 4)), np.empty((0, 64))
    for _ in range(n_blocks):
        for r in range(n_rows):
            for w in range(WORDS):
                bits[r, w] = ~np.uint64(0) if start[r] else np.uint64(0)
        _walk(steps, rows, chances, no_tilts, no_noise, bits, seeds, spare, anti, turned, weight)
        _alive(bits, ends, alive)
        n_alive = np.uint64(0)
        for w in range(WORDS):
            n_alive += _ones(alive[w])
        if n_alive == 0:
            continue
        ended[0] += n_alive
        for j in range(n_turns):
            n_met, n_took = np.uint64(0), np.uint64(0)
            for w in range(WORDS):
                n_met += _ones(anti[j, w] & alive[w])
                n_took += _ones(turned[j, w] & alive[w])
            met[j] += n_met
            took[j] += n_took


@numba.njit(cache=True, nogil=True)
def weigh(
    steps, rows, chances, tilts, weights, shrink, n_rows, ends, exponents, phase, start, seeds, n_blocks, sums, squares,
    turns,
):  # fmt: skip
    """Adds, over blocks of walks, weights at the end and of each turn's derivative, and their squares.

    Args:
        ends, exponents: (n, 4) by qubit and letter code: a factor, and one more as an exponent of i.
        phase: another exponent; all together are even.
        sums, squares: (1 + n_turns,): of the value, then of the derivatives.
        turns: (n_turns,): the walks that took each, of those that count.
    """
    n_turns = chances.shape[0]
    bits = np.empty((n_rows, WORDS), np.uint64)
    anti, turned = np.empty((n_turns, WORDS), np.uint64), np.empty((n_turns, WORDS), np.uint64)
    spare, weight, powers = np.empty((4, WORDS), np.uint64), np.empty((WORDS, 64)), np.empty((WORDS, 64), np.int64)
    for _ in range(n_blocks):
        weight[:] = 1.0
        for r in range(n_rows):
            for w in range(WORDS):
                bits[r, w] = ~np.uint64(0) if start[r] else np.uint64(0)
        _walk(steps, rows, chances, tilts, shrink, bits, seeds, spare, anti, turned, weight)
        _end(bits, ends, exponents, phase, powers, weight)
        sums[0] += weight.sum()
        squares[0] += (weight * weight).sum()
        for j in range(n_turns):
            turns[j] += _add(anti[j], turned[j], weights[j, 0], weights[j, 1], weight, sums, squares, j + 1)


@numba.njit(cache=True, nogil=True)
def _end(bits, ends, exponents, phase, powers, weight):
    """Every walk's weight times what its last string ends with."""
    powers[:] = phase
    for q in range(ends.shape[0]):
        for w in range(WORDS):
            x, z = bits[2 * q, w], bits[2 * q + 1, w]
            for k in range(64):
                code = _code(x, z, k)
                weight[w, k] *= ends[q, code]
                powers[w, k] += exponents[q, code]
    for w in range(WORDS):
        for k in range(64):
            if powers[w, k] & 3 == 2:
                weight[w, k] = -weight[w, k]


@numba.njit(cache=True, nogil=True)
def _add(anti, turned, staying, turning, weight, sums, squares, place):
    """One turn's share of `weigh`; how many walks that count took it."""
    total, total_squares, n_took = 0.0, 0.0, 0.0
    for w in range(WORDS):
        for k in range(64):
            took = float(turned[w] >> np.uint64(k) & np.uint64(1))
            met = float(anti[w] >> np.uint64(k) & np.uint64(1))
            value = weight[w, k] * (staying * (met - took) + turning * took)
            total += value
            total_squares += value * value
            if value != 0:
                n_took += took
    sums[place] += total
    squares[place] += total_squares
    return n_took
