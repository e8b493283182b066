"""The Triton kernels: a table of operations interpreted at run time on tiles that stay on chip.

Nothing here is compiled for a circuit: only for a number of entries, a precision, and whether states are kept.
"""

import triton
import triton.language as tl

from qml.native_gpu.observing import add_lambda, owner_of, part_of
from qml.native_gpu.tiles import backward, forward

# Integers that vary from circuit to circuit: a kernel is not to be compiled again for those that are 1 or divisible by 16.
_COUNTS = ["n_stages", "first", "last", "n_terms", "n_observables", "batch", "n_columns", "tiles", "n_rows", "n_outside"]
_POINTERS = [  # nor for addresses that are not multiples of 16; those of whole states always are
    *("operations", "reads", "stages", "half", "cos", "sin", "start", "values", "terms", "coefficients", "cotangents"),
    *("gradients", "basis", "outside", "partial", "starts", "rows", "factors", "out", "rates", "start_rates", "growth"),
]
kernel = triton.jit(do_not_specialize=_COUNTS, do_not_specialize_on_alignment=_POINTERS)


@triton.jit
def whole_states(batch, QUBITS: tl.constexpr, SAMPLES: tl.constexpr):
    """(entry, base, sample of each entry, first sample, place in memory, whether it is there) of this program's samples."""
    entry = tl.arange(0, SAMPLES << QUBITS)
    first_sample = tl.program_id(0).to(tl.int64) * SAMPLES
    place = (first_sample << QUBITS) + entry
    inside = place < (batch.to(tl.int64) << QUBITS)
    if SAMPLES == 1:
        sample = first_sample
    else:
        sample = tl.minimum(first_sample + (entry >> QUBITS), batch - 1)
    return entry, first_sample * 0, sample, first_sample, place, inside


@triton.jit
def initial(start, place, inside, entry, like, QUBITS: tl.constexpr, HAS_START: tl.constexpr):
    """Real parts of initial amplitudes, given or of |0...0>, as numbers of the kind that `like` points at."""
    if HAS_START:
        re = tl.load(start + place, mask=inside, other=0.0)
    else:
        re = tl.where(entry & ((1 << QUBITS) - 1) == 0, 1.0, 0.0).to(like.dtype.element_ty)
    return re


@triton.jit
def write_values(
    values, left_re, left_im, re, im, entry, base, first_sample, terms, coefficients, n_terms, n_observables, batch,
    FACTOR: tl.constexpr, QUBITS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """values[sample, k] = FACTOR * Re <left| O_k |state>, of terms in the order of their observables."""
    total = tl.zeros([SAMPLES], re.dtype)
    owner_before = -1
    for t in range(n_terms):
        part = part_of(terms, t, entry, base, left_re, left_im, re, im)
        owner = owner_of(terms, t)
        sums = tl.sum(tl.reshape(part, (SAMPLES, 1 << QUBITS)), 1) * (FACTOR * tl.load(coefficients + t))
        total = tl.where(owner == owner_before, total + sums, sums)
        owner_before = owner.to(tl.int32)
        samples = first_sample + tl.arange(0, SAMPLES)
        tl.store(values + samples * n_observables + owner, total, mask=samples < batch)


@kernel
def run(
    operations, reads, stages, n_stages, half, cos, sin, start, values, states,
    terms, coefficients, n_terms, n_observables, batch,
    QUBITS: tl.constexpr, SAMPLES: tl.constexpr, HAS_START: tl.constexpr, KEEP: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """All of a circuit on states that stay on chip: (B, K) expectation values, and (2, B, 2^n) final states to keep."""
    entry, base, sample, first_sample, place, inside = whole_states(batch, QUBITS, SAMPLES)
    re = initial(start, place, inside, entry, cos, QUBITS, HAS_START)
    im = re * 0
    re, im = forward(re, im, entry, base, sample, operations, reads, stages, 0, n_stages, half, cos, sin, WIDE)
    if KEEP:
        tl.store(states + place, re, mask=inside)
        tl.store(states + (batch.to(tl.int64) << QUBITS) + place, im, mask=inside)
    write_values(
        values, re, im, re, im, entry, base, first_sample, terms, coefficients, n_terms, n_observables, batch,
        1, QUBITS, SAMPLES,
    )  # fmt: skip


@kernel
def run_back(
    operations, reads, stages, n_stages, half, cos, sin, states, cotangents, gradients, of_start,
    terms, coefficients, n_terms, n_observables, batch, QUBITS: tl.constexpr, SAMPLES: tl.constexpr, HAS_START: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """The adjoint sweep on chip: lambda = sum_k cotangent_k O_k |state>, then both back through all operations.

    Derivatives are (G, B); `of_start`, (B, 2^n), those by the initial amplitudes.
    """
    entry, base, sample, first_sample, place, inside = whole_states(batch, QUBITS, SAMPLES)
    re = tl.load(states + place, mask=inside, other=0.0)
    im = tl.load(states + (batch.to(tl.int64) << QUBITS) + place, mask=inside, other=0.0)
    bra_re, bra_im = add_lambda(
        re * 0, re * 0, re, im, entry, base, sample, terms, coefficients, 0, n_terms, cotangents, n_observables
    )  # fmt: skip
    re, im, bra_re, bra_im = backward(
        re, im, bra_re, bra_im, entry, base, sample, operations, reads, stages, 0, n_stages, half, cos, sin,
        gradients, batch, first_sample, SAMPLES, batch, WIDE,
    )  # fmt: skip
    if HAS_START:
        tl.store(of_start + place, 2 * bra_re, mask=inside)


@triton.jit
def tile_of(basis, outside, n_outside, QUBITS: tl.constexpr, TILE: tl.constexpr):
    """(sample, base of the coset, row of each entry) of this program."""
    program = tl.program_id(0).to(tl.int64)
    sample = program >> (QUBITS - TILE)
    entry = tl.arange(0, 1 << TILE)
    row = tl.zeros([1 << TILE], tl.int64)
    for j in tl.static_range(TILE):
        row ^= tl.where((entry >> j) & 1 == 1, tl.load(basis + j), 0)
    base = program * 0
    for j in range(n_outside):
        base |= ((program >> j) & 1) << tl.load(outside + j)
    return sample, base, entry, row ^ base


@triton.jit
def load_rows(states, place, other):
    """(re, im) of a tile's rows; imaginary parts are `other` numbers behind the real ones."""
    return tl.load(states + place), tl.load(states + other + place)


@triton.jit
def store_rows(states, place, other, re, im):
    """A tile's rows, put where `load_rows` takes them from."""
    tl.store(states + place, re)
    tl.store(states + other + place, im)


@kernel
def one_pass(
    operations, reads, stages, first, last, half, cos, sin, states, batch, basis, outside, n_outside,
    QUBITS: tl.constexpr, TILE: tl.constexpr, IS_FIRST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Stages first to last on every tile of (2, B, 2^n) states in memory; the first pass starts from |0...0>."""
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    if IS_FIRST:
        re = tl.where(row == 0, 1.0, 0.0).to(cos.dtype.element_ty)
        im = re * 0
    else:
        re, im = load_rows(states, place, other)
    re, im = forward(re, im, entry, base, sample, operations, reads, stages, first, last, half, cos, sin, WIDE)
    store_rows(states, place, other, re, im)


@kernel
def one_pass_back(
    operations, reads, stages, first, last, half, cos, sin, states, bras, gradients, batch, tiles,
    basis, outside, n_outside,
    QUBITS: tl.constexpr, TILE: tl.constexpr, STORE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The adjoint of `one_pass` on states and lambdas at once; derivatives are (G, B * tiles), a part from each tile.

    Args:
        STORE: of the results: 2 for all, 1 for the real parts of lambdas, 0 for none.
    """
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    re, im = load_rows(states, place, other)
    bra_re, bra_im = load_rows(bras, place, other)
    re, im, bra_re, bra_im = backward(
        re, im, bra_re, bra_im, entry, base, sample, operations, reads, stages, first, last, half, cos, sin,
        gradients, batch.to(tl.int64) * tiles, tl.program_id(0).to(tl.int64), 1, batch, WIDE,
    )  # fmt: skip
    if STORE > 0:
        # Found once more: held since the loads, addresses of 64 bits would take as many registers as the amplitudes.
        sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
        place = (sample << QUBITS) + row
        tl.store(bras + place, bra_re)
        if STORE == 2:
            tl.store(bras + other + place, bra_im)
            store_rows(states, place, other, re, im)


@kernel
def measure(
    states, partial, terms, first, last, batch, tiles, basis, outside, n_outside, QUBITS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """(terms, B * tiles): parts of <state| P |state> from every tile, of terms first to last, which flip inside tiles."""
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    re, im = load_rows(states, place, other)
    for t in range(first, last):
        part = part_of(terms, t, entry, base, re, im, re, im)
        tl.store(partial + t * (batch.to(tl.int64) * tiles) + tl.program_id(0), tl.sum(part, 0))


@kernel
def weigh(
    states, bras, cotangents, terms, coefficients, first, last, n_observables, batch, basis, outside, n_outside,
    QUBITS: tl.constexpr, TILE: tl.constexpr, IS_FIRST: tl.constexpr,
):  # fmt: skip
    """lambda += sum_k cotangents[b, k] O_k |state b>, of terms first to last, which flip within tiles; from zero first."""
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    re, im = load_rows(states, place, other)
    if IS_FIRST:
        bra_re, bra_im = re * 0, re * 0
    else:
        bra_re, bra_im = load_rows(bras, place, other)
    bra_re, bra_im = add_lambda(
        bra_re, bra_im, re, im, entry, base, sample, terms, coefficients, first, last, cotangents, n_observables
    )  # fmt: skip
    store_rows(bras, place, other, bra_re, bra_im)


@kernel
def collect(
    partial, starts, rows, factors, out, n_columns, batch, tiles, ROWS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """out[b, j] = the sum, in float64, of factor * partial[row, b * tiles + t] over all t and the rows of column j."""
    column = tl.program_id(0)
    samples = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    parts = tl.arange(0, PARTS)
    total = tl.zeros([ROWS, PARTS], tl.float64)
    length = batch.to(tl.int64) * tiles
    for e in range(tl.load(starts + column), tl.load(starts + column + 1)):
        at = partial + tl.load(rows + e) * length
        factor = tl.load(factors + e)
        for first in range(0, tiles, PARTS):
            part = first + parts
            inside = (samples[:, None] < batch) & (part[None, :] < tiles)
            total += factor * tl.load(at + samples[:, None] * tiles + part[None, :], mask=inside, other=0.0).to(tl.float64)
    sums = tl.sum(total, 1).to(out.dtype.element_ty)
    tl.store(out + samples * n_columns + column, sums, mask=samples < batch)
