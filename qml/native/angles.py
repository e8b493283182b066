"""From slots to half angles of a plan's angle rows, and from derivatives by angle row back to slots."""

from qml.native.simd import jit


@jit
def half_angles(inputs, weights, column, rows, slot, half, width, out):
    """out[k * width + b] = half the angle of row rows[k] for sample b, 0 for padding.

    Args:
        inputs, weights: (B, n), and (B, n) or (1, n).
        column: of each slot: its column in inputs, or -1 - its column in weights.
        slot, half: of each angle row; slot -1 is the constant 1.
    """
    batch = min(inputs.shape[0], width)
    for k in range(rows.shape[0]):
        row = rows[k]
        place = column[slot[row]] if slot[row] >= 0 else 0
        for b in range(batch):
            if slot[row] < 0:
                value = 1.0
            elif place >= 0:
                value = float(inputs[b, place])
            else:
                value = float(weights[b if weights.shape[0] > 1 else 0, -1 - place])
            out[k * width + b] = half[row] * value
        for b in range(batch, width):
            out[k * width + b] = 0.0


@jit
def read_amplitudes(inputs, weights, column, slots, width, out):
    """out[k * width + b] = the amplitude that slot slots[k] holds for sample b, 0 for padding."""
    for k in range(slots.shape[0]):
        place = column[slots[k]]
        for b in range(width):
            if b >= inputs.shape[0]:
                value = 0.0
            elif place >= 0:
                value = inputs[b, place]
            else:
                value = weights[b if weights.shape[0] > 1 else 0, -1 - place]
            out[k * width + b] = value


@jit
def add_by_slot(of_rows, rows, slot, half, column, width, of_inputs, of_weights):
    """Derivatives by angle row and sample added to those of inputs, (B, n), and of weights, (B, n) or (1, n)."""
    for k in range(rows.shape[0]):
        row = rows[k]
        if slot[row] < 0:
            continue
        place, factor = column[slot[row]], 2 * half[row]
        for b in range(of_inputs.shape[0]):
            value = factor * of_rows[k * width + b]
            if place >= 0:
                of_inputs[b, place] += value
            else:
                of_weights[b if of_weights.shape[0] > 1 else 0, -1 - place] += value
