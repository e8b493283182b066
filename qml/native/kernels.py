"""The plain CPU kernels: a table of gates interpreted on a block of samples, compiled once per precision.

A block of states is two arrays `re`, `im` of shape (2^n, lanes): a row is one amplitude of every sample of the block, so
every loop over lanes is a straight vector loop. A gate is one row of an integer table; its columns are named below.
Nothing is compiled per circuit.

The table's columns:
    KIND       ROTATION, DENSE (a matrix), FLIP (a controlled X) or OWN (a matrix of each sample's own)
    X, Z, NY   masks of the rotation's Pauli string and its number of Y modulo 4; for FLIP, X is the target's bit
    CONTROLS, STATE   a gate acts on index k where k & CONTROLS == STATE
    ANGLE      row of the cosine and sine tables
    GRADIENT   row of the gradient table, -1 for an angle that is a constant
    TARGETS, SIZE, MATRIX   for DENSE and OWN: where its target bits start, how many there are, where its entries start
"""

import numpy as np

from qml.native.compilation import jit
from qml.native.diagonals import parity

KIND, X, Z, NY, CONTROLS, STATE, ANGLE, GRADIENT, TARGETS, SIZE, MATRIX, COLUMNS = range(12)
ROTATION, DENSE, FLIP, OWN = 0, 1, 2, 3

compiled = jit(fastmath={"contract"})


@compiled
def _turn_phase(re, im, cos, sin, flipped):
    """One row times exp(-i t / 2), or exp(+i t / 2) where the string's sign is flipped."""
    for lane in range(re.shape[0]):
        c, s = cos[lane], sin[lane]
        if flipped:
            s = -s
        a, b = re[lane], im[lane]
        re[lane] = a * c + b * s
        im[lane] = b * c - a * s


@compiled
def _turn_pair(re0, im0, re1, im1, cos, sin, ny, flipped):
    """Two rows coupled by a string with f(k) = i^ny (-1)^flipped: rotated by exp(-i t P / 2)."""
    if ny & 1:  # -i f is real: +1 for ny = 1, -1 for ny = 3
        negative = flipped != (ny == 3)
        for lane in range(re0.shape[0]):
            c, s = cos[lane], sin[lane]
            if negative:
                s = -s
            a0, b0, a1, b1 = re0[lane], im0[lane], re1[lane], im1[lane]
            re0[lane] = c * a0 - s * a1
            im0[lane] = c * b0 - s * b1
            re1[lane] = c * a1 + s * a0
            im1[lane] = c * b1 + s * b0
    else:  # -i f is imaginary: -i for ny = 0, +i for ny = 2
        negative = flipped != (ny == 2)
        for lane in range(re0.shape[0]):
            c, s = cos[lane], sin[lane]
            if negative:
                s = -s
            a0, b0, a1, b1 = re0[lane], im0[lane], re1[lane], im1[lane]
            re0[lane] = c * a0 + s * b1
            im0[lane] = c * b0 - s * a1
            re1[lane] = c * a1 + s * b0
            im1[lane] = c * b1 - s * a0


@compiled
def rotate(re, im, gate, cos, sin):
    """exp(-i t P / 2) on every lane, controlled."""
    x, z, ny = gate[X], gate[Z], gate[NY]
    controls, state = gate[CONTROLS], gate[STATE]
    if x == 0:
        for k in range(re.shape[0]):
            if k & controls == state:
                _turn_phase(re[k], im[k], cos, sin, parity(k & z) == 1)
        return
    high = _highest_bit(x)
    for k in range(re.shape[0]):
        if k & high == 0 and k & controls == state:
            j = k ^ x
            _turn_pair(re[k], im[k], re[j], im[j], cos, sin, ny, parity(k & z) == 1)


@compiled
def _highest_bit(x):
    high = 1
    while x >> 1:
        x >>= 1
        high <<= 1
    return high


@compiled
def flip(re, im, gate):
    """A controlled X: rows change places."""
    x, controls, state = gate[X], gate[CONTROLS], gate[STATE]
    for k in range(re.shape[0]):
        if k & x == 0 and k & controls == state:
            j = k ^ x
            for lane in range(re.shape[1]):
                re[k, lane], re[j, lane] = re[j, lane], re[k, lane]
                im[k, lane], im[j, lane] = im[j, lane], im[k, lane]


@compiled
def multiply(re, im, gate, bits, entries_re, entries_im, adjoint):
    """A dense matrix, or its adjoint, on the gate's targets, controlled."""
    size, first, start = gate[SIZE], gate[TARGETS], gate[MATRIX]
    controls, state = gate[CONTROLS], gate[STATE]
    dim, lanes = 1 << size, re.shape[1]
    all_targets = 0
    for t in range(size):
        all_targets |= bits[first + t]
    rows = np.empty(dim, np.int64)
    old_re, old_im = np.empty((dim, lanes), re.dtype), np.empty((dim, lanes), re.dtype)
    for k in range(re.shape[0]):
        if k & all_targets != 0 or k & controls != state:
            continue
        for r in range(dim):
            row = k
            for t in range(size):
                if r >> t & 1:
                    row |= bits[first + t]
            rows[r] = row
            for lane in range(lanes):
                old_re[r, lane], old_im[r, lane] = re[row, lane], im[row, lane]
        for r in range(dim):
            row = rows[r]
            for lane in range(lanes):
                re[row, lane] = 0
                im[row, lane] = 0
            for c in range(dim):
                u = entries_re[start + (c * dim + r if adjoint else r * dim + c)]
                v = entries_im[start + (c * dim + r if adjoint else r * dim + c)]
                if adjoint:
                    v = -v
                if u == 0 and v == 0:
                    continue
                for lane in range(lanes):
                    re[row, lane] += u * old_re[c, lane] - v * old_im[c, lane]
                    im[row, lane] += u * old_im[c, lane] + v * old_re[c, lane]


@compiled
def _rows(k, gate, bits):
    """Where the gate's matrix finds its rows in the state, if k has all target bits zero."""
    rows = np.empty(1 << gate[SIZE], np.int64)
    for r in range(rows.shape[0]):
        rows[r] = k
        for t in range(gate[SIZE]):
            if r >> t & 1:
                rows[r] |= bits[gate[TARGETS] + t]
    return rows


@compiled
def _is_first(k, gate, bits):
    """Whether k obeys the controls and has all target bits zero."""
    targets = 0
    for t in range(gate[SIZE]):
        targets |= bits[gate[TARGETS] + t]
    return k & targets == 0 and k & gate[CONTROLS] == gate[STATE]


@compiled
def multiply_own(re, im, gate, bits, own_re, own_im, adjoint):
    """A matrix of each lane's own, (entries, lanes), or its adjoint, on the gate's targets, controlled."""
    dim, lanes, start = 1 << gate[SIZE], re.shape[1], gate[MATRIX]
    old_re, old_im = np.empty((dim, lanes), re.dtype), np.empty((dim, lanes), re.dtype)
    for k in range(re.shape[0]):
        if not _is_first(k, gate, bits):
            continue
        rows = _rows(k, gate, bits)
        for r in range(dim):
            old_re[r], old_im[r] = re[rows[r]], im[rows[r]]
            re[rows[r]] = 0
            im[rows[r]] = 0
        for r in range(dim):
            row = rows[r]
            for c in range(dim):
                entry = start + (c * dim + r if adjoint else r * dim + c)
                for lane in range(lanes):
                    u, v = own_re[entry, lane], own_im[entry, lane]
                    if adjoint:
                        v = -v
                    re[row, lane] += u * old_re[c, lane] - v * old_im[c, lane]
                    im[row, lane] += u * old_im[c, lane] + v * old_re[c, lane]


@compiled
def outer(bra_re, bra_im, ket_re, ket_im, gate, bits, outer_re, outer_im):
    """outer[r, c] += conj(bra[r]) ket[c] over everything but the gate's targets, on the controlled subspace."""
    dim, lanes, start = 1 << gate[SIZE], ket_re.shape[1], gate[MATRIX]
    for k in range(ket_re.shape[0]):
        if not _is_first(k, gate, bits):
            continue
        rows = _rows(k, gate, bits)
        for r in range(dim):
            for c in range(dim):
                entry = start + r * dim + c
                for lane in range(lanes):
                    a, b = bra_re[rows[r], lane], bra_im[rows[r], lane]
                    x, y = ket_re[rows[c], lane], ket_im[rows[c], lane]
                    outer_re[entry, lane] += a * x + b * y
                    outer_im[entry, lane] += a * y - b * x


@compiled
def overlap(bra_re, bra_im, ket_re, ket_im, gate, out):
    """out[lane] = Im <bra| P |ket> on the controlled subspace: the derivative by the angle of exp(-i t P / 2)."""
    x, z, ny = gate[X], gate[Z], gate[NY]
    controls, state = gate[CONTROLS], gate[STATE]
    out[:] = 0
    for k in range(ket_re.shape[0]):
        if k & controls != state:
            continue
        j = k ^ x
        sign = -1.0 if (parity(k & z) == 1) != (ny >= 2) else 1.0
        sign = out.dtype.type(sign)
        for lane in range(out.shape[0]):
            a, b = bra_re[j, lane], bra_im[j, lane]
            c, d = ket_re[k, lane], ket_im[k, lane]
            if ny & 1:  # Im(i conj(bra) ket) = Re(conj(bra) ket)
                out[lane] += sign * (a * c + b * d)
            else:
                out[lane] += sign * (a * d - b * c)


@compiled
def forward(re, im, table, cos, sin, bits, entries_re, entries_im, own_re, own_im):
    """Run the whole table on a block, in place."""
    for g in range(table.shape[0]):
        gate = table[g]
        if gate[KIND] == ROTATION:
            rotate(re, im, gate, cos[gate[ANGLE]], sin[gate[ANGLE]])
        elif gate[KIND] == FLIP:
            flip(re, im, gate)
        elif gate[KIND] == OWN:
            multiply_own(re, im, gate, bits, own_re, own_im, False)
        else:
            multiply(re, im, gate, bits, entries_re, entries_im, False)


@compiled
def backward(
    re, im, bra_re, bra_im, table, cos, sin, bits, entries_re, entries_im, own_re, own_im, gradients, outer_re, outer_im
):
    """Undo the table gate by gate on the state and on lambda, and note what each derivative is made of.

    Args:
        gradients: (n_gradients, lanes), filled with Im <lambda| P |state> at each rotation.
        outer_re, outer_im: (own entries, lanes), conj(lambda) after x state before each matrix of the lanes' own.
    """
    for g in range(table.shape[0] - 1, -1, -1):
        gate = table[g]
        if gate[KIND] == ROTATION:
            if gate[GRADIENT] >= 0:
                overlap(bra_re, bra_im, re, im, gate, gradients[gate[GRADIENT]])
            c, s = cos[gate[ANGLE]], -sin[gate[ANGLE]]
            rotate(re, im, gate, c, s)
            rotate(bra_re, bra_im, gate, c, s)
        elif gate[KIND] == FLIP:
            flip(re, im, gate)
            flip(bra_re, bra_im, gate)
        elif gate[KIND] == OWN:
            multiply_own(re, im, gate, bits, own_re, own_im, True)
            outer(bra_re, bra_im, re, im, gate, bits, outer_re, outer_im)
            multiply_own(bra_re, bra_im, gate, bits, own_re, own_im, True)
        else:
            multiply(re, im, gate, bits, entries_re, entries_im, True)
            multiply(bra_re, bra_im, gate, bits, entries_re, entries_im, True)


@compiled
def expectations(re, im, terms, coefficients, out):
    """out[k, lane] += coefficient * Re <state| P |state> for every term (x, z, ny, k) of the table."""
    lanes = re.shape[1]
    for t in range(terms.shape[0]):
        x, z, ny, owner = terms[t, 0], terms[t, 1], terms[t, 2], terms[t, 3]
        for k in range(re.shape[0]):
            j = k ^ x
            weight = coefficients[t]
            if (parity(k & z) == 1) != (ny >= 2):
                weight = -weight
            for lane in range(lanes):
                a, b, c, d = re[j, lane], im[j, lane], re[k, lane], im[k, lane]
                if ny & 1:  # Re(i conj(u) v) = -Im(conj(u) v)
                    out[owner, lane] -= weight * (a * d - b * c)
                else:
                    out[owner, lane] += weight * (a * c + b * d)


@compiled
def apply_observables(re, im, bra_re, bra_im, terms, coefficients, cotangents):
    """lambda[:, lane] = sum over terms of cotangent[k, lane] * coefficient * P |state>."""
    lanes = re.shape[1]
    bra_re[:] = 0
    bra_im[:] = 0
    for t in range(terms.shape[0]):
        x, z, ny, owner = terms[t, 0], terms[t, 1], terms[t, 2], terms[t, 3]
        for k in range(re.shape[0]):
            j = k ^ x
            weight = coefficients[t]
            if (parity(k & z) == 1) != (ny >= 2):
                weight = -weight
            for lane in range(lanes):
                w = weight * cotangents[owner, lane]
                if ny & 1:
                    bra_re[j, lane] -= w * im[k, lane]
                    bra_im[j, lane] += w * re[k, lane]
                else:
                    bra_re[j, lane] += w * re[k, lane]
                    bra_im[j, lane] += w * im[k, lane]
