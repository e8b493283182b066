"""The Triton kernels of dual states: how states, values and gradients grow along a direction of all angles."""

import triton.language as tl

from qml.native_gpu.dual_tiles import dual_backward, dual_forward
from qml.native_gpu.kernels import initial, kernel, load_rows, store_rows, tile_of, whole_states, write_values
from qml.native_gpu.observing import add_lambda, part_of


@kernel
def second(
    operations, reads, stages, n_stages, half, cos, sin, rates, start, start_rates, cotangents, growth, gradients, of_start,
    terms, coefficients, n_terms, n_observables, batch,
    QUBITS: tl.constexpr, SAMPLES: tl.constexpr, HAS_START: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """All of a Hessian-vector product on states that stay on chip.

    Fills growth, (B, K), of expectation values; gradients, (G, B), derivatives of theirs; of_start, (B, 2^n), by amplitudes.
    """
    entry, base, sample, first_sample, place, inside = whole_states(batch, QUBITS, SAMPLES)
    re = initial(start, place, inside, entry, cos, QUBITS, HAS_START)
    im = re * 0
    d_re, d_im = im, im
    if HAS_START:
        d_re = tl.load(start_rates + place, mask=inside, other=0.0)
    re, im, d_re, d_im = dual_forward(
        re, im, d_re, d_im, entry, base, sample, operations, reads, stages, 0, n_stages, half, cos, sin, rates, WIDE
    )  # fmt: skip
    write_values(
        growth, re, im, d_re, d_im, entry, base, first_sample, terms, coefficients, n_terms, n_observables, batch,
        2, QUBITS, SAMPLES,
    )  # fmt: skip
    bra_re, bra_im = add_lambda(
        re * 0, re * 0, re, im, entry, base, sample, terms, coefficients, 0, n_terms, cotangents, n_observables
    )  # fmt: skip
    d_bra_re, d_bra_im = add_lambda(
        re * 0, re * 0, d_re, d_im, entry, base, sample, terms, coefficients, 0, n_terms, cotangents, n_observables
    )  # fmt: skip
    re, im, d_re, d_im, bra_re, bra_im, d_bra_re, d_bra_im = dual_backward(
        re, im, d_re, d_im, bra_re, bra_im, d_bra_re, d_bra_im, entry, base, sample,
        operations, reads, stages, 0, n_stages, half, cos, sin, rates,
        gradients, batch, first_sample, SAMPLES, batch, WIDE,
    )  # fmt: skip
    if HAS_START:
        tl.store(of_start + place, 2 * d_bra_re, mask=inside)


@kernel
def dual_pass(
    operations, reads, stages, first, last, half, cos, sin, rates, states, derivatives, batch, basis, outside, n_outside,
    QUBITS: tl.constexpr, TILE: tl.constexpr, IS_FIRST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """As `kernels.one_pass`, on states and their derivatives, each (2, B, 2^n)."""
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    if IS_FIRST:
        re = tl.where(row == 0, 1.0, 0.0).to(cos.dtype.element_ty)
        im, d_re, d_im = re * 0, re * 0, re * 0
    else:
        re, im = load_rows(states, place, other)
        d_re, d_im = load_rows(derivatives, place, other)
    re, im, d_re, d_im = dual_forward(
        re, im, d_re, d_im, entry, base, sample, operations, reads, stages, first, last, half, cos, sin, rates, WIDE
    )  # fmt: skip
    store_rows(states, place, other, re, im)
    store_rows(derivatives, place, other, d_re, d_im)


@kernel
def dual_pass_back(
    operations, reads, stages, first, last, half, cos, sin, rates, states, derivatives, bras, bra_derivatives,
    gradients, batch, tiles, basis, outside, n_outside,
    QUBITS: tl.constexpr, TILE: tl.constexpr, STORE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """As `kernels.one_pass_back`, on states and lambdas and the derivatives of both.

    Args:
        STORE: of the results: 2 for all, 1 for the real parts of lambdas' derivatives, 0 for none.
    """
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    re, im = load_rows(states, place, other)
    d_re, d_im = load_rows(derivatives, place, other)
    bra_re, bra_im = load_rows(bras, place, other)
    d_bra_re, d_bra_im = load_rows(bra_derivatives, place, other)
    re, im, d_re, d_im, bra_re, bra_im, d_bra_re, d_bra_im = dual_backward(
        re, im, d_re, d_im, bra_re, bra_im, d_bra_re, d_bra_im, entry, base, sample,
        operations, reads, stages, first, last, half, cos, sin, rates,
        gradients, batch.to(tl.int64) * tiles, tl.program_id(0).to(tl.int64), 1, batch, WIDE,
    )  # fmt: skip
    if STORE > 0:
        # Found once more, as in `one_pass_back`.
        sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
        place = (sample << QUBITS) + row
        tl.store(bra_derivatives + place, d_bra_re)
        if STORE == 2:
            tl.store(bra_derivatives + other + place, d_bra_im)
            store_rows(bras, place, other, bra_re, bra_im)
            store_rows(derivatives, place, other, d_re, d_im)
            store_rows(states, place, other, re, im)


@kernel
def measure_growth(
    states, derivatives, partial, terms, first, last, batch, tiles, basis, outside, n_outside,
    QUBITS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """(terms, B * tiles): parts of how <state| P |state> grows, as `kernels.measure` has those of itself."""
    sample, base, entry, row = tile_of(basis, outside, n_outside, QUBITS, TILE)
    place, other = (sample << QUBITS) + row, batch.to(tl.int64) << QUBITS
    re, im = load_rows(states, place, other)
    d_re, d_im = load_rows(derivatives, place, other)
    for t in range(first, last):
        part = part_of(terms, t, entry, base, re, im, d_re, d_im)
        tl.store(partial + t * (batch.to(tl.int64) * tiles) + tl.program_id(0), 2 * tl.sum(part, 0))
