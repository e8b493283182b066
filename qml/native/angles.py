"""From slots to what kernels multiply by, angle row by angle row, and from derivatives by angle row back to slots."""

import numpy as np

from qml.native.compilation import inner, jit

WITHIN_REACH = 2.0**18  # half angles up to which their quarter turns times a third of pi/2's digits are exact numbers
TWO_OVER_PI = 2 / np.pi
# pi/2 in three parts of 33 bits, so that their products with small whole numbers are exact (fdlibm, e_rem_pio2.c).
HIGH, MIDDLE, LOW = 1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624879595063154e-21
ROUND = 1.5 * 2.0**52  # added and taken away again it rounds to a whole number, in vectors too


@jit
def half_angles(inputs, weights, column, own_rows, shared_rows, slot, half, width, out):
    """Half the angle of every own row for every sample, rows of `width`, then of every shared row.

    Args:
        inputs, weights: (B, n), and (B, n) or (1, n).
        column: of each slot: its column in inputs, or -1 - its column in weights.
        slot, half: of each angle row: slot -1 is the constant 1.
        out: (n_own * width + n_shared,), 0 for padding.
    """
    batch, weight_rows = inputs.shape[0], 1 if weights.shape[0] > 1 else 0
    for k in range(own_rows.shape[0]):
        row = own_rows[k]
        at, factor = k * width, half[row]
        place = column[slot[row]]
        if slot[row] < 0:
            for b in range(batch):
                out[at + b] = factor
        elif place >= 0:
            for b in range(batch):
                out[at + b] = factor * inputs[b, place]
        else:
            for b in range(batch):
                out[at + b] = factor * weights[b * weight_rows, -1 - place]
        for b in range(batch, width):
            out[at + b] = 0.0
    at = own_rows.shape[0] * width
    for k in range(shared_rows.shape[0]):
        row = shared_rows[k]
        place = column[slot[row]]
        if slot[row] < 0 or batch == 0:
            out[at + k] = half[row]
        elif place >= 0:
            out[at + k] = half[row] * inputs[0, place]
        else:
            out[at + k] = half[row] * weights[0, -1 - place]


@inner
def _cosine_and_sine(angle):
    """Both to an ulp, for angles within reach: a quarter turn and fdlibm's polynomials for what is left of it.

    Without branches, so that the compiler makes vectors of it: a tenth of the time of NumPy's.
    """
    quarters = (angle * TWO_OVER_PI + ROUND) - ROUND
    x = ((angle - quarters * HIGH) - quarters * MIDDLE) - quarters * LOW
    z = x * x
    sine = 1.58969099521155010221e-10
    sine = 2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * sine)
    sine = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * sine)
    sine = x + x * z * (-1.66666666666666324348e-01 + z * sine)
    cosine = 2.08757232129817482790e-09 - z * 1.13596475577881948265e-11
    cosine = 2.48015872894767294178e-05 + z * (-2.75573143513906633035e-07 + z * cosine)
    cosine = 4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * cosine)
    cosine = 1.0 - (0.5 * z - z * z * cosine)
    turned = quarters - 4.0 * ((quarters * 0.25 + ROUND) - ROUND)  # -2 to 2 quarters
    even, odd = 1.0 - abs(turned), turned * (2.0 - abs(turned))  # one of them is 0, the other 1 or -1
    return even * cosine - odd * sine, even * sine + odd * cosine


@inner
def _shears(half, is_turn, begin, end, first, second):
    if is_turn:
        for j in range(begin, end):
            cosine, sine = _cosine_and_sine(half[j])
            sine = sine if cosine >= 0 else -sine
            first[j] = -sine / (1.0 + abs(cosine))
            second[j] = sine
    else:
        for j in range(begin, end):
            first[j], second[j] = _cosine_and_sine(half[j])


@jit
def shears(half, own_rows, shared_rows, n_turns, width, first, second):
    """From half angles to what kernels multiply by: tangent and sine of a turn, cosine and sine of a phase.

    A half angle beyond the right one is one within it and a sign of the whole state: so the tangent, of half of it, is at
    most 1.

    Returns:
        How many angles are out of reach: what it made of these is not to be used.
    """
    for k in range(own_rows.shape[0]):
        _shears(half, own_rows[k] < n_turns, k * width, (k + 1) * width, first, second)
    at = own_rows.shape[0] * width
    for k in range(shared_rows.shape[0]):
        _shears(half, shared_rows[k] < n_turns, at + k, at + k + 1, first, second)
    beyond = 0
    for j in range(half.shape[0]):
        beyond += not abs(half[j]) <= WITHIN_REACH
    return beyond


@inner
def _out_of_reach(inputs, weights, column, slots):
    """How many values of the slots are, or are no numbers."""
    found = 0
    for k in range(slots.shape[0]):
        place = column[slots[k]]
        if place >= 0:
            for b in range(inputs.shape[0]):
                found += not abs(inputs[b, place]) <= WITHIN_REACH
        else:
            for b in range(weights.shape[0]):
                found += not abs(weights[b, -1 - place]) <= WITHIN_REACH
    return found


@jit
def angles_and_shears(
    inputs, weights, column, own_rows, shared_rows, slot, half, width, n_turns, unseen, halves, first, second
):  # fmt: skip
    """`half_angles`, into `halves`, and their `shears` in one call: calls cost more than a small circuit's angles.

    Args:
        unseen: slots of no angle row, which are looked at all the same.
    """
    half_angles(inputs, weights, column, own_rows, shared_rows, slot, half, width, halves)
    beyond = shears(halves, own_rows, shared_rows, n_turns, width, first, second)
    return beyond + _out_of_reach(inputs, weights, column, unseen)


@jit
def read_amplitudes(inputs, weights, column, slots, width, out):
    """out[k * width + b] = the amplitude that slot slots[k] holds for sample b, 0 for padding."""
    weight_rows = 1 if weights.shape[0] > 1 else 0
    for k in range(slots.shape[0]):
        place = column[slots[k]]
        for b in range(width):
            if b >= inputs.shape[0]:
                out[k * width + b] = 0.0
            elif place >= 0:
                out[k * width + b] = inputs[b, place]
            else:
                out[k * width + b] = weights[b * weight_rows, -1 - place]


@inner
def _add(values, at, factor, place, of_inputs, of_weights):
    """A row of derivatives, one for each sample, added to the column they belong to."""
    weight_rows = 1 if of_weights.shape[0] > 1 else 0
    if place >= 0:
        for b in range(of_inputs.shape[0]):
            of_inputs[b, place] += factor * values[at + b]
    else:
        for b in range(of_inputs.shape[0]):
            of_weights[b * weight_rows, -1 - place] += factor * values[at + b]


@jit
def by_slot(
    of_own, of_shared, of_start, own_rows, shared_rows, slots, slot, half, column, width, of_inputs, of_weights
):  # fmt: skip
    """Derivatives by angle row and by amplitude, added to those by inputs, (B, n), and weights, (B, n) or (1, n)."""
    for k in range(own_rows.shape[0]):
        row = own_rows[k]
        if slot[row] >= 0:
            _add(of_own, k * width, 2 * half[row], column[slot[row]], of_inputs, of_weights)
    for k in range(of_shared.shape[0]):
        row = shared_rows[k]
        place = column[slot[row]]
        if slot[row] >= 0 and place < 0:
            of_weights[0, -1 - place] += 2 * half[row] * of_shared[k]
        elif slot[row] >= 0:
            of_inputs[0, place] += 2 * half[row] * of_shared[k]
    for k in range(slots.shape[0]):
        _add(of_start, k * width, 1.0, column[slots[k]], of_inputs, of_weights)
