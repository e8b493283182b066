"""As `tiles`, on a state with its derivative along a direction of all angles, and back with lambda and its derivative.

A turn is R = cos h + sin h K, where K fetches the other row of a pair with a sign. If h grows at a rate, the derivative
of R phi is R phi' + rate (cos h K - sin h) phi. Phases multiply a row by e^(i theta), so its derivative gets i theta' times
the row. Back, derivatives of the sums are those by the product rule: lambda' with the state, and lambda with its derivative.
"""

import triton
import triton.language as tl

from qml.native_gpu.tiles import half_angles, parity, phase_sums, place_of, put_sum, sign_of, signed


@triton.jit
def _rotated(re, im, d_re, d_im, c, s, slope):
    """e^(i theta) (re, im), and its derivative: cos and sin of theta, which grows at the rate `slope`."""
    d_re, d_im = d_re - slope * im, d_im + slope * re
    return c * re - s * im, c * im + s * re, c * d_re - s * d_im, c * d_im + s * d_re


@triton.jit
def _unrotated(re, im, d_re, d_im, c, s, slope):
    """The same undone."""
    d_re, d_im = d_re + slope * im, d_im - slope * re
    return c * re + s * im, c * im - s * re, c * d_re + s * d_im, c * d_im - s * d_re


@triton.jit
def dual_forward(
    re, im, d_re, d_im, entry, base, sample, operations, reads, stages, first, last, half, cos, sin, rates,
    WIDE: tl.constexpr,
):  # fmt: skip
    """The tile and its derivative after stages first to last.

    Args:
        rates: of half angles, laid out as these.
    """
    for stage in range(first, last):
        k, end = tl.load(stages + 3 * stage + 1), tl.load(stages + 3 * stage + 2)
        if tl.load(stages + 3 * stage) == 0:
            read, odd = sign_of(operations, reads, k, base)
            place, bit = place_of(operations, k, sample), parity(entry, read) ^ odd
            c, s, rate = tl.load(cos + place), tl.load(sin + place), tl.load(rates + place)
            of_far, of_own, s = signed(bit, rate * c), rate * s, signed(bit, s)
            other = entry ^ tl.load(operations + 7 * k + 1)
            far_re, far_im = tl.gather(re, other, 0), tl.gather(im, other, 0)
            d_re = c * d_re + s * tl.gather(d_re, other, 0) + of_far * far_re - of_own * re
            d_im = c * d_im + s * tl.gather(d_im, other, 0) + of_far * far_im - of_own * im
            re = c * re + s * far_re
            im = c * im + s * far_im
        elif WIDE > 0:
            # With two sides' signs, -1 where a bit is 0, all sums are the negative of the angles and their rates.
            angles = half_angles(operations, reads, k, end, base, sample, half, WIDE)
            slopes = half_angles(operations, reads, k, end, base, sample, rates, WIDE)
            re, im, d_re, d_im = _unrotated(re, im, d_re, d_im, tl.cos(angles), tl.sin(angles), slopes)
        else:
            for phase in range(k, end):
                read, odd = sign_of(operations, reads, phase, base)
                place, bit = place_of(operations, phase, sample), parity(entry, read) ^ odd
                c, s, slope = tl.load(cos + place), tl.load(sin + place), tl.load(rates + place)
                re, im, d_re, d_im = _rotated(re, im, d_re, d_im, c, signed(bit, s), signed(bit, slope))
    return re, im, d_re, d_im


@triton.jit
def _unturned(re, im, d_re, d_im, far_re, far_im, d_far_re, d_far_im, c, s, of_far, of_own):
    """A turn undone, of which the other rows of the pairs are `far`."""
    d_re = c * d_re - s * d_far_re - of_far * far_re - of_own * re
    d_im = c * d_im - s * d_far_im - of_far * far_im - of_own * im
    return c * re - s * far_re, c * im - s * far_im, d_re, d_im


@triton.jit
def dual_backward(
    re, im, d_re, d_im, bra_re, bra_im, d_bra_re, d_bra_im, entry, base, sample,
    operations, reads, stages, first, last, half, cos, sin, rates,
    gradients, n_rows, first_sample, samples: tl.constexpr, batch, WIDE: tl.constexpr,
):  # fmt: skip
    """All four before stages first to last, in reverse; derivatives of the sums of `tiles.backward` go where these go."""
    for done in range(0, last - first):
        stage = last - 1 - done
        k, end = tl.load(stages + 3 * stage + 1), tl.load(stages + 3 * stage + 2)
        if tl.load(stages + 3 * stage) == 0:
            read, odd = sign_of(operations, reads, k, base)
            place, bit = place_of(operations, k, sample), parity(entry, read) ^ odd
            row = tl.load(operations + 7 * k + 6)
            c, s, rate = tl.load(cos + place), tl.load(sin + place), tl.load(rates + place)
            of_far, of_own, s = signed(bit, rate * c), rate * s, signed(bit, s)
            other = entry ^ tl.load(operations + 7 * k + 1)
            far_re, far_im = tl.gather(re, other, 0), tl.gather(im, other, 0)
            d_far_re, d_far_im = tl.gather(d_re, other, 0), tl.gather(d_im, other, 0)
            if row >= 0:
                moment = d_bra_re * far_re + d_bra_im * far_im + bra_re * d_far_re + bra_im * d_far_im
                put_sum(signed(bit, moment), gradients + row.to(tl.int64) * n_rows, first_sample, samples, batch)
            re, im, d_re, d_im = _unturned(
                re, im, d_re, d_im, far_re, far_im, d_far_re, d_far_im, c, s, of_far, of_own
            )  # fmt: skip
            far_re, far_im = tl.gather(bra_re, other, 0), tl.gather(bra_im, other, 0)
            d_far_re, d_far_im = tl.gather(d_bra_re, other, 0), tl.gather(d_bra_im, other, 0)
            bra_re, bra_im, d_bra_re, d_bra_im = _unturned(
                bra_re, bra_im, d_bra_re, d_bra_im, far_re, far_im, d_far_re, d_far_im, c, s, of_far, of_own
            )  # fmt: skip
        elif WIDE > 0:
            moments = d_bra_re * im - d_bra_im * re + bra_re * d_im - bra_im * d_re
            phase_sums(moments, operations, reads, k, end, base, gradients, n_rows, first_sample, WIDE)
            angles = half_angles(operations, reads, k, end, base, sample, half, WIDE)
            slopes = half_angles(operations, reads, k, end, base, sample, rates, WIDE)
            cosines, sines = tl.cos(angles), tl.sin(angles)
            re, im, d_re, d_im = _rotated(re, im, d_re, d_im, cosines, sines, slopes)
            bra_re, bra_im, d_bra_re, d_bra_im = _rotated(
                bra_re, bra_im, d_bra_re, d_bra_im, cosines, sines, slopes
            )  # fmt: skip
        else:
            for phase in range(k, end):
                read, odd = sign_of(operations, reads, phase, base)
                place, bit = place_of(operations, phase, sample), parity(entry, read) ^ odd
                row = tl.load(operations + 7 * phase + 6)
                c, s, slope = tl.load(cos + place), tl.load(sin + place), tl.load(rates + place)
                s, slope = signed(bit, s), signed(bit, slope)
                if row >= 0:
                    moment = d_bra_im * re - d_bra_re * im + bra_im * d_re - bra_re * d_im
                    put_sum(signed(bit, moment), gradients + row.to(tl.int64) * n_rows, first_sample, samples, batch)
                re, im, d_re, d_im = _unrotated(re, im, d_re, d_im, c, s, slope)
                bra_re, bra_im, d_bra_re, d_bra_im = _unrotated(bra_re, bra_im, d_bra_re, d_bra_im, c, s, slope)
    return re, im, d_re, d_im, bra_re, bra_im, d_bra_re, d_bra_im
