"""From slots to half angles of a plan's angle rows, and from derivatives by angle row back to slots."""

from qml.native.compilation import jit


@jit
def _value(inputs, weights, place, b):
    """Slot by column: of inputs, or -1 - column of weights, which samples may share."""
    if place >= 0:
        return float(inputs[b, place])
    return float(weights[b if weights.shape[0] > 1 else 0, -1 - place])


@jit
def half_angles(inputs, weights, column, own_rows, shared_rows, slot, half, width, out):
    """Half the angle of every own row for every sample, rows of `width`, then of every shared row.

    Args:
        inputs, weights: (B, n), and (B, n) or (1, n).
        column: of each slot: its column in inputs, or -1 - its column in weights.
        slot, half: of each angle row: slot -1 is the constant 1.
        out: (n_own * width + n_shared,), 0 for padding.
    """
    batch = inputs.shape[0]
    for k in range(own_rows.shape[0]):
        row = own_rows[k]
        for b in range(width):
            if b >= batch:
                value = 0.0
            elif slot[row] < 0:
                value = 1.0
            else:
                value = _value(inputs, weights, column[slot[row]], b)
            out[k * width + b] = half[row] * value
    for k in range(shared_rows.shape[0]):
        row = shared_rows[k]
        value = 1.0 if slot[row] < 0 or batch == 0 else _value(inputs, weights, column[slot[row]], 0)
        out[own_rows.shape[0] * width + k] = half[row] * value


@jit
def _shears(row, n_turns, first_entry, last_entry, cos, sin, first, second):
    if row >= n_turns:
        for j in range(first_entry, last_entry):
            first[j] = cos[j]
            second[j] = sin[j]
        return
    for j in range(first_entry, last_entry):
        s = sin[j] if cos[j] >= 0 else -sin[j]
        first[j] = -s / (1 + abs(cos[j]))
        second[j] = s


@jit
def shears(own_rows, shared_rows, n_turns, width, cos, sin, first, second):
    """From half angles' cosines and sines to what kernels multiply by: tangent and sine of a turn, the two of a phase.

    A half angle beyond the right one is one within it and a sign of the whole state: so the tangent, of half of it, is at
    most 1.
    """
    for k in range(own_rows.shape[0]):
        _shears(own_rows[k], n_turns, k * width, (k + 1) * width, cos, sin, first, second)
    at = own_rows.shape[0] * width
    for k in range(shared_rows.shape[0]):
        _shears(shared_rows[k], n_turns, at + k, at + k + 1, cos, sin, first, second)


@jit
def read_amplitudes(inputs, weights, column, slots, width, out):
    """out[k * width + b] = the amplitude that slot slots[k] holds for sample b, 0 for padding."""
    for k in range(slots.shape[0]):
        for b in range(width):
            out[k * width + b] = _value(inputs, weights, column[slots[k]], b) if b < inputs.shape[0] else 0.0


@jit
def _add(value, place, b, of_inputs, of_weights):
    if place >= 0:
        of_inputs[b, place] += value
    else:
        of_weights[b if of_weights.shape[0] > 1 else 0, -1 - place] += value


@jit
def by_slot(
    of_own, of_shared, of_start, own_rows, shared_rows, slots, slot, half, column, width, of_inputs, of_weights
):  # fmt: skip
    """Derivatives by angle row and by amplitude, added to those by inputs, (B, n), and weights, (B, n) or (1, n)."""
    for k in range(own_rows.shape[0]):
        row = own_rows[k]
        if slot[row] >= 0:
            for b in range(of_inputs.shape[0]):
                _add(2 * half[row] * of_own[k * width + b], column[slot[row]], b, of_inputs, of_weights)
    for k in range(of_shared.shape[0]):
        row = shared_rows[k]
        if slot[row] >= 0:
            _add(2 * half[row] * of_shared[k], column[slot[row]], 0, of_inputs, of_weights)
    for k in range(slots.shape[0]):
        for b in range(of_inputs.shape[0]):
            _add(of_start[k * width + b], column[slots[k]], b, of_inputs, of_weights)
