"""Any program as turns and phases: the two things the fast kernels can do.

A physical row p of the state holds the amplitude of the basis state whose bit q is parity(p & row[q]) ^ inverted[q]; CNOT,
SWAP and X change these masks and move nothing. In physical indices every rotation is one of

    Turn    exp(-i t P / 2) with an odd number of Y in P: real, it mixes rows p and p ^ flip like an RY, whose bit is
            parity(p & read);
    Phase   exp(-i t P / 2) with P of Z alone: row p is multiplied by exp(-+i t / 2) by parity(p & read).

A string with an even number of Y and any X becomes a Turn between two constant phases; a control is half the string minus
half the string times Z, so k controls are 2^k commuting strings, and many are flips under controls, made of small gates.
Neighbouring gates that commute are gathered into steps, turns first and then one diagonal, which is what a pass over the
state does.
"""

import cmath
import math
from dataclasses import dataclass, field

import numpy as np

from circuits.errors import Unsupported
from circuits.paulis import masks
from circuits.program import Program, Rotation, Unitary
from qml.native.synthesis import flips, synthesized

MOST_CONTROLS = 10  # whose strings, one for each subset, are written out
LARGEST_CONTROLLED = 8  # qubits of a controlled matrix, its controls among them


@dataclass(frozen=True)
class Angle:
    """coefficient * slot, or the constant where slot is None."""

    slot: int | None
    coefficient: float


@dataclass(frozen=True)
class Turn:
    """Rows p, with parity(p & read) = inverted, and p ^ flip: (a, b) -> (c a - s b, c b + s a) of the half angle."""

    flip: int
    read: int
    inverted: int
    angle: Angle


@dataclass(frozen=True)
class Phase:
    """Row p times exp(-i angle / 2), or its inverse where parity(p & read) differs from `inverted`."""

    read: int
    inverted: int
    angle: Angle


@dataclass
class Step:
    """Turns in order, then phases, which commute with one another."""

    turns: list[Turn] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)


@dataclass
class NormalForm:
    """A program as steps, and where each logical bit is found in a physical row index after them.

    Attributes:
        columns: columns[q] is what flipping bit q does to the row index.
        rows, inverted: bit q of the basis state in row p is parity(p & rows[q]) ^ inverted[q].
    """

    n_qubits: int
    columns: list[int]
    rows: list[int]
    inverted: list[int]
    steps: list[Step] = field(default_factory=lambda: [Step()])

    def string(self, x: int, z: int) -> tuple[int, int, int]:
        """(flip, read, inverted) of a Pauli string of logical masks."""
        flip = read = inverted = 0
        for q in range(self.n_qubits):
            if x >> q & 1:
                flip ^= self.columns[q]
            if z >> q & 1:
                read ^= self.rows[q]
                inverted ^= self.inverted[q]
        return flip, read, inverted

    def logical_rows(self) -> np.ndarray:
        """(2^n,): the row that holds each basis state."""
        where = np.zeros(1, np.int64)
        for q in range(self.n_qubits):
            where = np.concatenate([where, where ^ self.columns[q]])
        origin = 0
        for q in range(self.n_qubits):
            origin ^= self.columns[q] * self.inverted[q]
        return where ^ origin


def layout(n_qubits: int, lane_bits: int = 0) -> NormalForm:
    """The form of no gates: how a state lies before the first.

    Args:
        lane_bits: how many low bits of the row index are not to be flipped alone: flipping the qubit of one of them
            flips a high bit too, so that a turn on it mixes rows and not only lanes of one row.
    """
    n = n_qubits
    form = NormalForm(n, [1 << q for q in range(n)], [1 << q for q in range(n)], [0] * n)
    for low in range(min(lane_bits, n // 2)):
        high = n - 1 - low
        form.columns[low] |= 1 << high
        form.rows[high] |= 1 << low
    return form


def normal_form(program: Program, lane_bits: int = 0) -> NormalForm:
    """The program as turns and phases on physical rows, gathered into steps; `lane_bits` as in `layout`."""
    form = layout(program.n_qubits, lane_bits)
    for gate in program.gates:
        _add(form, gate)
    return form


def _add(form: NormalForm, gate: Rotation | Unitary) -> None:
    if isinstance(gate, Rotation):
        angle = Angle(gate.slot, 1.0) if gate.slot is not None else Angle(None, gate.angle)
        _rotate(form, gate.pauli, gate.qubits, gate.controls, gate.control_state, angle)
    else:
        _fixed(form, gate)


def _rotate(form: NormalForm, pauli: str, qubits, controls, state: int, angle: Angle) -> None:
    """exp(-i angle P / 2) under controls, as one commuting string for each subset of the controls."""
    if len(controls) > MOST_CONTROLS:
        _rotate_by_halves(form, pauli, qubits, controls, state, angle)
        return
    for subset in range(1 << len(controls)):
        sign = 1.0 if (subset & state).bit_count() % 2 == 0 else -1.0
        chosen = [q for j, q in enumerate(controls) if subset >> j & 1]
        part = Angle(angle.slot, angle.coefficient * sign / (1 << len(controls)))
        _string(form, pauli + "Z" * len(chosen), [*qubits, *chosen], part)


def _rotate_by_halves(form: NormalForm, pauli: str, qubits, controls, state: int, angle: Angle) -> None:
    """Half the angle, and half of it back between two flips under the controls, which turn that round."""
    half, back = (Angle(angle.slot, sign * angle.coefficient / 2) for sign in (1, -1))
    if not pauli:  # the phase of one value of the last control, under the others: half of it is theirs alone
        *others, last = controls
        wanted, rest = divmod(state, 1 << len(others))
        _rotate(form, "Z", (last,), others, rest, back if wanted else half)
        _rotate(form, "", (), others, rest, half)
        return
    for part in (half, back):
        _rotate(form, pauli, qubits, (), 0, part)
        if pauli[0] == "X":
            _hadamard(form, qubits[0])
        _controlled_flip(form, qubits[0], controls, state)
        if pauli[0] == "X":
            _hadamard(form, qubits[0])


def _controlled_flip(form: NormalForm, target: int, controls, state: int) -> None:
    for gate in flips(target, controls, state):
        _add(form, gate)


def _string(form: NormalForm, letters: str, qubits, angle: Angle) -> None:
    x, z, n_y = masks(letters, qubits)
    flip, read, inverted = form.string(x, z)
    if not flip:
        if read:  # the empty string is a global phase
            _add_phase(form.steps, Phase(read, inverted, angle))
        return
    pivot = 0
    if n_y % 2 == 0:  # exp(-i t P / 2) = S+ exp(-i t P' / 2) S, where S on one qubit of P makes the number of Y odd
        # Always on an even qubit where there is one: in a chain of XX or YY each S+ then meets the next gate's S.
        qubit = min((q for letter, q in zip(letters, qubits) if letter in "XY"), key=lambda q: q % 2)
        _, pivot, off = form.string(0, 1 << qubit)
        makes_y = letters[list(qubits).index(qubit)] == "X"
        _add_phase(form.steps, Phase(pivot, off, Angle(None, math.pi / 2)))
        read, inverted = read ^ pivot, inverted ^ off
        # S X S+ = Y, while S Y S+ = -X
        n_y, sign = (n_y + 1, 1) if makes_y else (n_y - 1, -1)
        angle = Angle(angle.slot, angle.coefficient * sign)
    if n_y % 4 == 3:
        angle = Angle(angle.slot, -angle.coefficient)
    _add_turn(form.steps, Turn(flip, read, inverted, angle))
    if pivot:
        _add_phase(form.steps, Phase(pivot, off, Angle(None, -math.pi / 2)))


def _add_phase(steps: list[Step], phase: Phase) -> None:
    """To the earliest step that it can reach past turns it commutes with; equal phases become one."""
    place = len(steps) - 1
    while place > 0 and all((turn.flip & phase.read).bit_count() % 2 == 0 for turn in steps[place].turns):
        place -= 1
    phases = steps[place].phases
    for k, other in enumerate(phases):
        same = other.read == phase.read and other.angle.slot is None and phase.angle.slot is None
        if same:
            sign = 1 if other.inverted == phase.inverted else -1
            total = other.angle.coefficient + sign * phase.angle.coefficient
            phases[k] = Phase(other.read, other.inverted, Angle(None, total))
            if abs(math.remainder(total, 2 * math.pi)) < 1e-15:
                del phases[k]
            return
    phases.append(phase)


def _add_turn(steps: list[Step], turn: Turn) -> None:
    """To the earliest step that it can reach past phases and turns it commutes with."""
    place = len(steps)
    while place > 0:
        before = steps[place - 1]
        if any((turn.flip & phase.read).bit_count() % 2 for phase in before.phases):
            break
        place -= 1
        if any(not _commute(turn, other) for other in before.turns):
            break
    if place == len(steps):
        steps.append(Step())
    steps[place].turns.append(turn)


def _commute(a: Turn, b: Turn) -> bool:
    return ((a.flip & b.read).bit_count() + (b.flip & a.read).bit_count()) % 2 == 0


def _fixed(form: NormalForm, gate: Unitary) -> None:
    if gate.name == "x" and len(gate.controls) <= 1:
        _flip(form, gate)
    elif gate.name == "x" and len(gate.controls) > MOST_CONTROLS:
        _controlled_flip(form, gate.qubits[0], gate.controls, gate.control_state)
    elif gate.name == "x":
        _hadamard(form, gate.qubits[0])
        phase = Angle(None, -2 * math.pi)
        every, state = (*gate.controls, gate.qubits[0]), gate.control_state | 1 << len(gate.controls)
        _rotate(form, "", (), every, state, phase)
        _hadamard(form, gate.qubits[0])
    elif gate.name == "swap" and not gate.controls:
        a, b = gate.qubits
        for mask in (form.columns, form.rows, form.inverted):
            mask[a], mask[b] = mask[b], mask[a]
    elif gate.name == "swap":
        _controlled_swap(form, gate)
    elif len(gate.qubits) == 1 and len(gate.controls) != 1:
        turns = zyz(gate.matrix)
        for letter, angle in turns:
            if angle:
                _rotate(form, letter, gate.qubits, gate.controls, gate.control_state, Angle(None, angle))
        if gate.controls:  # which make a phase of what is a global one else
            _rotate(form, "", (), gate.controls, gate.control_state, Angle(None, _phase_beside(turns, gate.matrix)))
    else:
        if gate.controls and len(gate.qubits) + len(gate.controls) > LARGEST_CONTROLLED:
            raise Unsupported(
                f"gate {gate.name!r} on {len(gate.qubits)} qubits under {len(gate.controls)} controls: backend 'native' "
                f"takes controlled matrices of several qubits on at most {LARGEST_CONTROLLED} in all; decompose it first"
            )
        for piece in synthesized(gate.full_matrix(), [*gate.qubits, *gate.controls]):
            _add(form, piece)


def _phase_beside(turns: list[tuple[str, float]], matrix: np.ndarray) -> float:
    """The angle t for which the matrix is exp(-i t / 2) times the turns of `zyz`."""
    (_, before), _, (_, after) = turns
    # The turns take |0> to cos(b / 2) exp(-i (after + before) / 2) |0> + sin(b / 2) exp(i (after - before) / 2) |1>.
    if abs(matrix[0, 0]) > abs(matrix[1, 0]):
        return -2 * cmath.phase(matrix[0, 0]) - after - before
    return -2 * cmath.phase(matrix[1, 0]) + after - before


def _controlled_swap(form: NormalForm, gate: Unitary) -> None:
    a, b = gate.qubits
    turned = Unitary("x", gate.matrix, (b,), (*gate.controls, a), gate.control_state | 1 << len(gate.controls))
    back = Unitary("x", gate.matrix, (a,), (b,), 1)
    for piece in (back, turned, back):
        _fixed(form, piece)


def _flip(form: NormalForm, gate: Unitary) -> None:
    target = gate.qubits[0]
    if not gate.controls:
        form.inverted[target] ^= 1
        return
    control = gate.controls[0]
    form.columns[control] ^= form.columns[target]
    form.rows[target] ^= form.rows[control]
    form.inverted[target] ^= form.inverted[control] ^ (gate.control_state == 0)


def _hadamard(form: NormalForm, qubit: int) -> None:
    _string(form, "Z", (qubit,), Angle(None, math.pi))
    _string(form, "Y", (qubit,), Angle(None, math.pi / 2))


def zyz(matrix: np.ndarray) -> list[tuple[str, float]]:
    """[("Z", c), ("Y", b), ("Z", a)], in the order they act, of a 2 x 2 unitary up to its global phase."""
    (m00, m01), (m10, m11) = matrix
    half = math.atan2(abs(m10), abs(m00))
    if abs(m10) < 1e-12:
        after, before = cmath.phase(m11) - cmath.phase(m00), 0.0
    elif abs(m00) < 1e-12:
        after, before = cmath.phase(m10) - cmath.phase(-m01), 0.0
    else:
        # Their sum is the diagonal's phase and their difference the others'; what is known better settles the second.
        after = cmath.phase(m10) - cmath.phase(m00)
        before = cmath.phase(m11) - cmath.phase(m10) if half < math.pi / 4 else cmath.phase(-m01) - cmath.phase(m00)
    return [("Z", before), ("Y", 2 * half), ("Z", after)]
