"""A circuit as what a Pauli string meets on its way back from the observable: turns, Clifford gates, noise.

A string is a pair of bit masks (x, z) with letters X, Z, and Y where both are set.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from circuits.errors import LabError, Unsupported
from circuits.expressions import analyse
from circuits.program import Program, Rotation, Unitary

LETTERS = {"X": (1, 0), "Y": (1, 1), "Z": (0, 1)}
MATRICES = {
    (0, 0): np.eye(2, dtype=complex),
    (1, 0): np.array([[0, 1], [1, 0]], complex),
    (1, 1): np.array([[0, -1j], [1j, 0]]),
    (0, 1): np.diag([1, -1]).astype(complex),
}
NOTHING, EVERYTHING = 1, 15  # sets of letters: that of the identity alone, that of all
CLOSE = 1e-9  # to a Clifford gate, or to a pole of the Bloch sphere
INSTEAD = "use method='state_vector', which takes any circuit"


@dataclass(frozen=True)
class Turn:
    """A rotation by a random angle about the string (x, z).

    Attributes:
        parameter: its number among the circuit's parameters. factor: the angle is this times the parameter.
        is_shifted: a constant is added to the angle.
        any_axis: the axis is X, Y or Z, drawn at random for each walk.
    """

    qubits: tuple[int, ...]
    letters: tuple[tuple[int, int], ...]
    parameter: int
    factor: float = 1.0
    is_shifted: bool = False
    any_axis: bool = False


@dataclass(frozen=True, eq=False)
class Clifford:
    """A fixed gate that turns each string on its qubits into one string.

    Attributes:
        image: (4^k,) of string c on the qubits, bits x0 z0 x1 z1 ... of c, the string that U+ P U is up to its sign.
        sign: (4^k,) and that sign.
    """

    qubits: tuple[int, ...]
    image: np.ndarray
    sign: np.ndarray


@dataclass(frozen=True)
class Noise:
    """A Pauli channel on one qubit: it multiplies the letters X, Y and Z by these."""

    qubit: int
    shrink: tuple[float, float, float]

    @property
    def qubits(self) -> tuple[int, ...]:
        """The one that it acts on."""
        return (self.qubit,)


@dataclass(frozen=True, eq=False)
class Table:
    """The circuit in the order in which strings meet it, the last gate first.

    Attributes:
        bloch: (n, 3) Bloch vectors of the product state that strings meet at the end.
        n_parameters: of the circuit.
    """

    n_qubits: int
    steps: tuple[Turn | Clifford | Noise, ...]
    bloch: np.ndarray
    n_parameters: int

    def light_cone(self, letters: np.ndarray) -> tuple["Table", np.ndarray]:
        """The steps that can do anything to a string, on the qubits it can reach, renumbered; and these qubits.

        A rotation that is left out commutes with every string that reaches it: its derivative is zero at all angles.

        Args:
            letters: (n,) of each qubit the set of letters it may start with, bit c for the letter of code c = x + 2 z.
        """
        letters = [int(mask) for mask in letters]
        reached, kept = {qubit for qubit, mask in enumerate(letters) if mask != NOTHING}, []
        for step in self.steps:
            if reached.isdisjoint(step.qubits) or not _acts(step, letters):
                continue
            kept.append(step)
            reached.update(qubit for qubit in step.qubits if letters[qubit] != NOTHING)
        touched = {qubit for step in kept for qubit in step.qubits} | reached
        qubits = np.array(sorted(touched), int)
        place = {int(qubit): k for k, qubit in enumerate(qubits)}
        steps = tuple(_moved(step, place) for step in kept)
        return Table(len(qubits), steps, self.bloch[qubits], self.n_parameters), qubits


def _acts(step, letters: list[int]) -> bool:
    """Whether a step can do anything to strings with these sets of letters, which become those behind it."""
    if isinstance(step, Noise):
        return True
    if isinstance(step, Clifford):
        return _acts_clifford(step, letters)
    if step.any_axis:
        letters[step.qubits[0]] = EVERYTHING
        return True
    codes = [x + 2 * z for x, z in step.letters]
    odd = any(letters[qubit] & ~(NOTHING | 1 << code) for qubit, code in zip(step.qubits, codes))
    if odd:
        for qubit, code in zip(step.qubits, codes):
            letters[qubit] |= sum(1 << (other ^ code) for other in range(4) if letters[qubit] >> other & 1)
    return odd


def _acts_clifford(step: Clifford, letters: list[int]) -> bool:
    before = [[code for code in range(4) if letters[qubit] >> code & 1] for qubit in step.qubits]
    strings = np.zeros(1, np.int64)
    for k, codes in enumerate(before):
        strings = (strings[:, None] | np.array(codes) << 2 * k).ravel()
    images = step.image[strings]
    if (images == strings).all() and (step.sign[strings] > 0).all():
        return False
    for k, qubit in enumerate(step.qubits):
        letters[qubit] = int(np.bitwise_or.reduce(1 << (images >> 2 * k & 3)))
    return True


def _moved(step, place: dict[int, int]):
    if isinstance(step, Noise):
        return Noise(place[step.qubit], step.shrink)
    qubits = tuple(place[qubit] for qubit in step.qubits)
    if isinstance(step, Clifford):
        return Clifford(qubits, step.image, step.sign)
    return Turn(qubits, step.letters, step.parameter, step.factor, step.is_shifted, step.any_axis)


def table_of(program: Program, random_axes: bool = False, noise: float | tuple[float, float, float] = 1.0) -> Table:
    """The table of a program whose every slot is a parameter of its own.

    Args:
        random_axes: every rotation of one qubit turns about X, Y or Z, drawn anew for each sample.
        noise: q: after every gate, on each qubit that it acts on, a channel multiplies X, Y and Z by q, or by the three
            numbers given; 1 is no noise.

    Raises:
        Unsupported: a parameter that turns two gates, a controlled rotation by one, an angle that is no multiple of a
            parameter, amplitudes as parameters, a fixed gate that is no Clifford gate.
    """
    if program.amplitudes:
        raise Unsupported(f"the Pauli walk starts from a product state, not from an amplitude encoding: {INSTEAD}")
    if program.is_evolving:
        raise Unsupported(f"an evolution by a sum that does not commute turns no string into one or two: {INSTEAD}")
    slots = _slots(program)
    shrink = (float(noise),) * 3 if isinstance(noise, int | float) else tuple(float(q) for q in noise)
    if len(shrink) != 3 or not all(0 <= q <= 1 for q in shrink):
        raise LabError(f"noise takes one number q or three, from 0 to 1, by which X, Y and Z shrink, got {noise!r}")
    if min(1 + 2 * q - sum(shrink) for q in shrink) < -CLOSE:
        raise LabError(f"no channel shrinks X, Y and Z by {shrink}: 1 + qX - qY - qZ, and so on, must not be negative")
    is_noisy = shrink != (1.0, 1.0, 1.0)
    start, rest = _product_state(program, np.array(shrink))
    steps: list[Turn | Clifford | Noise] = []
    for gate in rest:
        steps.append(_step(gate, slots, random_axes))
        if is_noisy:
            steps.extend(Noise(qubit, shrink) for qubit in _qubits(gate))
    return Table(program.n_qubits, tuple(reversed(steps)), start, len(program.parameters))


def _slots(program: Program) -> list[tuple[int, float, bool]]:
    """(parameter, factor, is shifted) of every slot."""
    found = analyse(list(program.slots), list(program.parameters))
    matrix, offsets = found.matrix.tocsr(), found.offset
    names = [parameter.name for parameter in program.parameters]
    out, used = [], set()
    formulas = set(found.places)
    for slot in range(len(program.slots)):
        columns = matrix.indices[matrix.indptr[slot] : matrix.indptr[slot + 1]]
        factors = matrix.data[matrix.indptr[slot] : matrix.indptr[slot + 1]]
        if slot in formulas or len(columns) != 1:
            raise Unsupported(
                f"the angle {program.slots[slot]} is no multiple of one parameter, so angles are not independent: {INSTEAD}"
            )
        column = int(columns[0])
        if column in used:
            raise Unsupported(
                f"parameter {names[column]!r} turns more than one gate, so the gates' angles are not independent: {INSTEAD}"
            )
        used.add(column)
        out.append((column, float(factors[0]), bool(offsets[slot])))
    return out


def _qubits(gate) -> tuple[int, ...]:
    return (*gate.qubits, *gate.controls)


def _product_state(program: Program, shrink: np.ndarray) -> tuple[np.ndarray, list]:
    """(n, 3) Bloch vectors after the fixed gates of one qubit at the start, noise included, and the gates that are left."""
    bloch = np.tile([0.0, 0.0, 1.0], (program.n_qubits, 1))
    paulis = np.array([MATRICES[letter] for letter in LETTERS.values()])
    fresh, rest = set(range(program.n_qubits)), []
    for gate in program.gates:
        qubits = _qubits(gate)
        is_fixed = isinstance(gate, Unitary) or gate.slot is None
        if len(qubits) == 1 and is_fixed and qubits[0] in fresh:
            matrix = _matrix(gate)
            turned = matrix @ np.tensordot(bloch[qubits[0]], paulis, axes=1) @ matrix.conj().T
            bloch[qubits[0]] = shrink * np.einsum("aij,ji->a", paulis, turned).real / 2
        else:
            fresh.difference_update(qubits)
            rest.append(gate)
    exact = np.round(bloch)
    return np.where(np.abs(bloch - exact) < CLOSE, exact, bloch), rest


def _matrix(gate) -> np.ndarray:
    """Of a fixed gate, its controls behind its qubits; the first is the least significant bit."""
    if isinstance(gate, Unitary):
        return gate.full_matrix()
    pauli = np.eye(1, dtype=complex)
    for letter in gate.pauli:
        pauli = np.kron(MATRICES[LETTERS[letter]], pauli)
    half = gate.angle / 2
    matrix = math.cos(half) * np.eye(len(pauli)) - 1j * math.sin(half) * pauli
    return Unitary("rotation", matrix, gate.qubits, gate.controls, gate.control_state).full_matrix()


def _step(gate, slots: list, random_axes: bool) -> Turn | Clifford:
    if isinstance(gate, Rotation) and gate.slot is not None:
        if gate.controls or not gate.pauli:
            raise Unsupported(f"a controlled rotation by a parameter turns no string into one or two: {INSTEAD}")
        letters = tuple(LETTERS[letter] for letter in gate.pauli)
        return Turn(tuple(gate.qubits), letters, *slots[gate.slot], any_axis=random_axes and len(letters) == 1)
    qubits = _qubits(gate)
    if len(qubits) > 4:
        raise Unsupported(f"a fixed gate on {len(qubits)} qubits is not looked at for being Clifford: decompose it")
    matrix = _matrix(gate)
    found = _clifford(matrix.tobytes(), len(qubits))
    if found is None:
        name = gate.name if isinstance(gate, Unitary) else f"rotation by {gate.angle:g}"
        raise Unsupported(
            f"a fixed gate ({name} on qubits {', '.join(map(str, qubits))}) is no Clifford gate and not among the gates of "
            f"one qubit that start the circuit: {INSTEAD}"
        )
    return Clifford(qubits, *found)


@lru_cache(maxsize=256)
def _clifford(content: bytes, n_qubits: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(image, sign) of every string under a matrix, or None if it is no Clifford gate."""
    matrix = np.frombuffer(content, complex).reshape(1 << n_qubits, 1 << n_qubits)
    strings = np.array([_string(code, n_qubits) for code in range(4**n_qubits)])
    turned = matrix.conj().T @ strings @ matrix
    overlaps = np.einsum("aij,bji->ab", strings, turned).real / (1 << n_qubits)
    image = np.abs(overlaps).argmax(axis=0)
    sign = overlaps[image, np.arange(len(image))]
    if np.abs(np.abs(sign) - 1).max() > CLOSE:
        return None
    return image, np.sign(sign)


def _string(code: int, n_qubits: int) -> np.ndarray:
    out = np.eye(1, dtype=complex)
    for qubit in range(n_qubits):
        out = np.kron(MATRICES[code >> 2 * qubit & 1, code >> 2 * qubit + 1 & 1], out)
    return out
