"""The sweeps: every pass of a plan over one block after another, forward and back."""

from qml.native.diagonals import diagonal, phases_of_lanes, undo_diagonal, undo_phases_of_lanes
from qml.native.pauli_kernels import apply_observables, expectations
from qml.native.plan import ANGLES, COUNT, DIAGONAL, FIRST, FLIPS, KIND, PHASES, TURNS_1, TURNS_2, TURNS_3
from qml.native.simd import broadcast, jit, load, mul, store, total
from qml.native.turns import backward_1, backward_2, backward_3, forward_1, forward_2, forward_3


@jit
def forward(state, n_rows, lanes, passes, bases, phases, cos, sin, real, imaginary):
    """Every pass on one block, in order."""
    for k in range(passes.shape[0]):
        row = passes[k]
        first, count = row[FIRST], row[COUNT]
        a0, a1, a2 = row[ANGLES] * lanes, row[ANGLES + 1] * lanes, row[ANGLES + 2] * lanes
        f0, f1, f2 = row[FLIPS], row[FLIPS + 1], row[FLIPS + 2]
        own = bases[first : first + count]
        if row[KIND] == TURNS_3:
            forward_3(
                state, lanes, own, f0, f1, f2,
                load(cos, a0), load(sin, a0), load(cos, a1), load(sin, a1), load(cos, a2), load(sin, a2),
            )  # fmt: skip
        elif row[KIND] == TURNS_2:
            forward_2(state, lanes, own, f0, f1, load(cos, a0), load(sin, a0), load(cos, a1), load(sin, a1))
        elif row[KIND] == TURNS_1:
            forward_1(state, lanes, own, f0, load(cos, a0), load(sin, a0))
        elif row[KIND] == DIAGONAL:
            diagonal(state, lanes, real[first], imaginary[first])
        elif row[KIND] == PHASES:
            phases_of_lanes(state, n_rows, lanes, phases[first : first + count], cos, sin)


@jit
def backward(state, bra, n_rows, lanes, passes, bases, phases, cos, sin, real, imaginary, gradients, moments):
    """Every pass undone on state and lambda; derivatives by angle row, those of diagonals as moments of rows."""
    for k in range(passes.shape[0] - 1, -1, -1):
        row = passes[k]
        first, count = row[FIRST], row[COUNT]
        a0, a1, a2 = row[ANGLES] * lanes, row[ANGLES + 1] * lanes, row[ANGLES + 2] * lanes
        f0, f1, f2 = row[FLIPS], row[FLIPS + 1], row[FLIPS + 2]
        own = bases[first : first + count]
        if row[KIND] == TURNS_3:
            g0, g1, g2 = backward_3(
                state, bra, lanes, own, f0, f1, f2,
                load(cos, a0), load(sin, a0), load(cos, a1), load(sin, a1), load(cos, a2), load(sin, a2),
            )  # fmt: skip
            store(gradients, a0, g0)
            store(gradients, a1, g1)
            store(gradients, a2, g2)
        elif row[KIND] == TURNS_2:
            h0, h1 = backward_2(
                state, bra, lanes, own, f0, f1, load(cos, a0), load(sin, a0), load(cos, a1), load(sin, a1)
            )  # fmt: skip
            store(gradients, a0, h0)
            store(gradients, a1, h1)
        elif row[KIND] == TURNS_1:
            store(gradients, a0, backward_1(state, bra, lanes, own, f0, load(cos, a0), load(sin, a0)))
        elif row[KIND] == DIAGONAL:
            undo_diagonal(state, bra, lanes, real[first], imaginary[first], moments[first])
        elif row[KIND] == PHASES:
            undo_phases_of_lanes(state, bra, n_rows, lanes, phases[first : first + count], cos, sin, gradients)


@jit
def _start(state, n_rows, lanes, amplitudes, at, width):
    """|0...0> in every lane, or the given amplitudes."""
    zero, one = broadcast(state.dtype.type(0)), broadcast(state.dtype.type(1))
    for p in range(n_rows):
        given = load(amplitudes, p * width + at) if amplitudes.shape[0] else zero
        store(state, p * 2 * lanes, given)
        store(state, (p * 2 + 1) * lanes, zero)
    if amplitudes.shape[0] == 0:
        store(state, 0, one)


@jit
def _trigonometry(cos, sin, lanes, shared_cos, shared_sin, own_rows, own_cos, own_sin, at, width):
    """Cosines and sines of one block: broadcast where all lanes share the angle."""
    for r in range(shared_cos.shape[0]):
        store(cos, r * lanes, broadcast(shared_cos[r]))
        store(sin, r * lanes, broadcast(shared_sin[r]))
    for k in range(own_rows.shape[0]):
        store(cos, own_rows[k] * lanes, load(own_cos, k * width + at))
        store(sin, own_rows[k] * lanes, load(own_sin, k * width + at))


@jit
def sweep(
    first, last, n_rows, lanes, width, passes, bases, phases, terms, coefficients,
    shared_cos, shared_sin, own_rows, own_cos, own_sin, real, imaginary, amplitudes, cotangents,
    state, bra, cos, sin, gradients, out, values, own_gradients, shared_gradients, moments, of_amplitudes,
):  # fmt: skip
    """Blocks first to last: expectation values, and derivatives where there are cotangents.

    Args:
        width: samples, padded to whole vectors; flat tables of samples have rows of this length.
        own_rows: angle rows that differ between lanes; their cosines and sines are rows of `own_cos`, `own_sin`.
        real, imaginary: (n_diagonals, n_rows).
        state, bra, cos, sin, gradients, out: room to work in.
        values, own_gradients, of_amplitudes: results by sample; shared_gradients, moments: sums over these blocks.
    """
    n_observables = out.shape[0] // lanes
    zero = broadcast(state.dtype.type(0))
    for block in range(first, last):
        at = block * lanes
        _start(state, n_rows, lanes, amplitudes, at, width)
        _trigonometry(cos, sin, lanes, shared_cos, shared_sin, own_rows, own_cos, own_sin, at, width)
        forward(state, n_rows, lanes, passes, bases, phases, cos, sin, real, imaginary)
        for k in range(n_observables):
            store(out, k * lanes, zero)
        expectations(state, n_rows, lanes, terms, coefficients, out)
        for k in range(n_observables):
            store(values, k * width + at, load(out, k * lanes))
        if cotangents.shape[0] == 0:
            continue
        for k in range(n_observables):
            store(out, k * lanes, load(cotangents, k * width + at))
        apply_observables(state, bra, n_rows, lanes, terms, coefficients, out)
        for k in range(gradients.shape[0] // lanes):
            store(gradients, k * lanes, zero)
        backward(state, bra, n_rows, lanes, passes, bases, phases, cos, sin, real, imaginary, gradients, moments)
        for k in range(shared_gradients.shape[0]):
            shared_gradients[k] += total(load(gradients, k * lanes))
        for k in range(own_rows.shape[0]):
            store(own_gradients, k * width + at, load(gradients, own_rows[k] * lanes))
        if amplitudes.shape[0]:
            two = broadcast(state.dtype.type(2))
            for p in range(n_rows):
                store(of_amplitudes, p * width + at, mul(two, load(bra, p * 2 * lanes)))
