"""What Triton kernels do with a tile and observables: parts of expectation values, and lambda."""

import triton
import triton.language as tl

from qml.native_gpu.tiles import parity, signed, wide_parity


@triton.jit
def owner_of(terms, t):
    """The observable that term t is of."""
    return tl.load(terms + 6 * t + 4)


@triton.jit
def _flip_and_sign(terms, t, base):
    """(flip of entries, read of entries, bit of the tile at base, odd) of term t."""
    at = terms + 6 * t
    bit = tl.load(at + 2).to(tl.int32) ^ wide_parity(base, tl.load(at + 5))
    return tl.load(at).to(tl.int32), tl.load(at + 1).to(tl.int32), bit, tl.load(at + 3)


@triton.jit
def part_of(terms, t, entry, base, left_re, left_im, re, im):
    """Of term t in each row, the part of Re <left| P |state>."""
    flip, read, bit, odd = _flip_and_sign(terms, t, base)
    if flip == 0:
        far_re, far_im = left_re, left_im
    else:
        far_re, far_im = tl.gather(left_re, entry ^ flip, 0), tl.gather(left_im, entry ^ flip, 0)
    if odd == 1:
        part = far_re * im - far_im * re
    else:
        part = -far_re * re - far_im * im
    return signed(parity(entry, read) ^ bit, part)


@triton.jit
def add_lambda(
    bra_re, bra_im, re, im, entry, base, sample, terms, coefficients, first, last, cotangents, n_observables
):  # fmt: skip
    """lambda += sum_k cotangents[sample, k] O_k |state>, of terms first to last."""
    for t in range(first, last):
        flip, read, bit, odd = _flip_and_sign(terms, t, base)
        weight = tl.load(coefficients + t) * tl.load(cotangents + sample * n_observables + owner_of(terms, t))
        weight = signed(parity(entry ^ flip, read) ^ bit, -weight)
        if flip == 0:
            far_re, far_im = re, im
        else:
            far_re, far_im = tl.gather(re, entry ^ flip, 0), tl.gather(im, entry ^ flip, 0)
        if odd == 1:
            bra_re -= weight * far_im
            bra_im += weight * far_re
        else:
            bra_re += weight * far_re
            bra_im += weight * far_im
    return bra_re, bra_im
