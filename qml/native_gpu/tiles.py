"""What Triton kernels do with a tile: stages of turns and phases, forward, and back with derivatives.

A tile is a vector of 2^k amplitudes, real and imaginary parts apart, in the registers of one program; entry e of a tile
holds the row of the state that `plan.Pass` says. An operation's sign in a row is the parity of the entry's bits that it
reads, and of those of the tile's place. What turns mix is fetched by a gather.

Sums over the entries of a tile are taken pairwise in the state's precision; those over tiles and samples in float64.
"""

import triton
import triton.language as tl


@triton.jit
def parity(index, mask):
    """Of the bits of index that mask has, which are fewer than 16."""
    bits = index & mask
    bits ^= bits >> 8
    bits ^= bits >> 4
    return (0x6996 >> (bits & 15)) & 1


@triton.jit
def wide_parity(index, mask):
    """The same of non-negative 64-bit integers."""
    bits = index & mask
    bits ^= bits >> 32
    bits ^= bits >> 16
    bits ^= bits >> 8
    bits ^= bits >> 4
    return (0x6996 >> (bits & 15).to(tl.int32)) & 1


@triton.jit
def signed(bit, value):
    """-value where bit is 0, value where it is 1: a selection, which costs less than a product with a converted sign."""
    return tl.where(bit == 1, value, -value)


@triton.jit
def sign_of(operations, reads, k, base):
    """(read of entries, bit of the tile at base) of operation k."""
    at = operations + 7 * k
    return tl.load(at + 2), tl.load(at + 3) ^ wide_parity(base, tl.load(reads + k))


@triton.jit
def place_of(operations, k, sample):
    """Where the operation's angle is, for each sample."""
    return tl.load(operations + 7 * k + 4) + sample * tl.load(operations + 7 * k + 5)


@triton.jit
def half_angles(operations, reads, first, last, base, sample, half, BITS: tl.constexpr):
    """Of phases first to last together, for each of 2^BITS entries: outer products, since a parity of two parts is one."""
    LOW: tl.constexpr = BITS // 2
    high, low = tl.arange(0, 1 << (BITS - LOW)), tl.arange(0, 1 << LOW)
    total = tl.zeros([1 << (BITS - LOW), 1 << LOW], half.dtype.element_ty)
    for k in range(first, last):
        read, odd = sign_of(operations, reads, k, base)
        angle = tl.load(half + place_of(operations, k, sample))
        of_high = signed(parity(high, read >> LOW) ^ odd, -angle)
        of_low = tl.where(parity(low, read & ((1 << LOW) - 1)) == 0, 1.0, -1.0).to(total.dtype)
        total += of_high[:, None] * of_low[None, :]
    return tl.reshape(total, [1 << BITS])


@triton.jit
def forward(
    re, im, entry, base, sample, operations, reads, stages, first, last, half, cos, sin, WIDE: tl.constexpr
):  # fmt: skip
    """The tile after stages first to last.

    Args:
        WIDE: log2 of the entries, where they are one sample's and so many that phases are added up before they turn any.
    """
    for stage in range(first, last):
        k, end = tl.load(stages + 3 * stage + 1), tl.load(stages + 3 * stage + 2)
        if tl.load(stages + 3 * stage) == 0:
            read, odd = sign_of(operations, reads, k, base)
            place = place_of(operations, k, sample)
            c, s = tl.load(cos + place), signed(parity(entry, read) ^ odd, tl.load(sin + place))
            other = entry ^ tl.load(operations + 7 * k + 1)
            re = c * re + s * tl.gather(re, other, 0)
            im = c * im + s * tl.gather(im, other, 0)
        elif WIDE > 0:
            angles = half_angles(operations, reads, k, end, base, sample, half, WIDE)
            cosines, sines, before = tl.cos(angles), tl.sin(angles), re
            re = cosines * re + sines * im
            im = cosines * im - sines * before
        else:
            for phase in range(k, end):
                read, odd = sign_of(operations, reads, phase, base)
                place = place_of(operations, phase, sample)
                c, s = tl.load(cos + place), signed(parity(entry, read) ^ odd, tl.load(sin + place))
                old = re
                re = c * re - s * im
                im = c * im + s * old
    return re, im


@triton.jit
def put_sum(values, at, first_sample, samples: tl.constexpr, batch):
    """Sums of the entries of each sample, to at[sample]."""
    if samples == 1:
        tl.store(at + first_sample, tl.sum(values, 0))
    else:
        sums = tl.sum(tl.reshape(values, (samples, values.shape[0] // samples)), 1)
        places = first_sample + tl.arange(0, samples)
        tl.store(at + places, sums, mask=places < batch)


@triton.jit
def phase_sums(moments, operations, reads, first, last, base, gradients, n_rows, first_sample, BITS: tl.constexpr):
    """Derivatives by phases first to last: sums of the moments Im conj(lambda) state with each phase's signs."""
    LOW: tl.constexpr = BITS // 2
    high, low = tl.arange(0, 1 << (BITS - LOW)), tl.arange(0, 1 << LOW)
    table = tl.reshape(moments, [1 << (BITS - LOW), 1 << LOW])
    for k in range(first, last):
        row = tl.load(operations + 7 * k + 6)
        if row >= 0:
            read, odd = sign_of(operations, reads, k, base)
            of_high = tl.sum(signed(parity(low, read & ((1 << LOW) - 1))[None, :], table), 1)
            total = tl.sum(signed(parity(high, read >> LOW) ^ odd, of_high), 0)
            tl.store(gradients + row.to(tl.int64) * n_rows + first_sample, total)


@triton.jit
def backward(
    re, im, bra_re, bra_im, entry, base, sample, operations, reads, stages, first, last, half, cos, sin,
    gradients, n_rows, first_sample, samples: tl.constexpr, batch, WIDE: tl.constexpr,
):  # fmt: skip
    """State and lambda before stages first to last, in reverse; Im <lambda| generator |state> of each that is asked for.

    Derivatives go to gradients[row * n_rows + sample], or that of the tile.
    """
    for done in range(0, last - first):
        stage = last - 1 - done
        k, end = tl.load(stages + 3 * stage + 1), tl.load(stages + 3 * stage + 2)
        if tl.load(stages + 3 * stage) == 0:
            read, odd = sign_of(operations, reads, k, base)
            place, row = place_of(operations, k, sample), tl.load(operations + 7 * k + 6)
            bit = parity(entry, read) ^ odd
            c, s = tl.load(cos + place), signed(bit, tl.load(sin + place))
            other = entry ^ tl.load(operations + 7 * k + 1)
            far_re, far_im = tl.gather(re, other, 0), tl.gather(im, other, 0)
            if row >= 0:
                at = gradients + row.to(tl.int64) * n_rows
                put_sum(signed(bit, bra_re * far_re + bra_im * far_im), at, first_sample, samples, batch)
            re = c * re - s * far_re
            im = c * im - s * far_im
            bra_re = c * bra_re - s * tl.gather(bra_re, other, 0)
            bra_im = c * bra_im - s * tl.gather(bra_im, other, 0)
        elif WIDE > 0:
            moments = bra_re * im - bra_im * re
            # With two sides' signs, -1 where a bit is 0, their product is +1 where the whole parity is 0.
            phase_sums(moments, operations, reads, k, end, base, gradients, n_rows, first_sample, WIDE)
            angles = half_angles(operations, reads, k, end, base, sample, half, WIDE)
            cosines, sines, before, bra_before = tl.cos(angles), tl.sin(angles), re, bra_re
            re = cosines * re - sines * im
            im = cosines * im + sines * before
            bra_re = cosines * bra_re - sines * bra_im
            bra_im = cosines * bra_im + sines * bra_before
        else:
            for phase in range(k, end):
                read, odd = sign_of(operations, reads, phase, base)
                place, row = place_of(operations, phase, sample), tl.load(operations + 7 * phase + 6)
                bit = parity(entry, read) ^ odd
                c, s = tl.load(cos + place), signed(bit, tl.load(sin + place))
                if row >= 0:
                    at = gradients + row.to(tl.int64) * n_rows
                    put_sum(signed(bit, bra_im * re - bra_re * im), at, first_sample, samples, batch)
                old, old_bra = re, bra_re
                re = c * re + s * im
                im = c * im - s * old
                bra_re = c * bra_re + s * bra_im
                bra_im = c * bra_im - s * old_bra
    return re, im, bra_re, bra_im
