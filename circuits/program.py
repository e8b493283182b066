"""A circuit lowered to what every engine can run: rotations by an angle, and fixed unitaries.

Any Qiskit circuit of standard gates becomes a `Program` of two kinds of gate, both with any number of controls:

    Rotation   exp(-i t P / 2) with P a Pauli string on its qubits (the empty string gives a phase), where t is a
               number or an angle slot: an expression of the circuit's parameters;
    Unitary    a fixed matrix on its qubits;

and the exponential of a sum that does not commute, with parameters in it, is a third, an `Evolution`.

Engines differentiate angles; what an angle is in terms of parameters is `circuits/expressions.py`'s business.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression

from circuits.errors import LabError
from circuits.evolution import Evolution


@dataclass(frozen=True)
class Rotation:
    """exp(-i t P / 2) where the control qubits read `control_state`, the identity elsewhere.

    Attributes:
        pauli: letters of P, the first acting on `qubits[0]`; "" is the phase exp(-i t / 2).
        control_state: bit j is the value wanted of `controls[j]`.
        slot: index of the angle slot that gives t, or None where `angle` does.
    """

    pauli: str
    qubits: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_state: int = 0
    slot: int | None = None
    angle: float = 0.0

    @property
    def frequencies(self) -> tuple[float, ...]:
        """The positive frequencies of an expectation value as a function of t: what a shift rule is made of."""
        if not self.pauli:
            return (0.5,)
        return (0.5, 1.0) if self.controls else (1.0,)


@dataclass(frozen=True, eq=False)
class Unitary:
    """A fixed matrix on `qubits` (the first is the least significant bit of its index), controlled like a `Rotation`."""

    name: str
    matrix: np.ndarray
    qubits: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_state: int = 0

    def full_matrix(self) -> np.ndarray:
        """The matrix on `qubits` followed by `controls`, the identity where the controls do not read their state."""
        full = np.eye(len(self.matrix) << len(self.controls), dtype=complex)
        start = self.control_state * len(self.matrix)
        full[start : start + len(self.matrix), start : start + len(self.matrix)] = self.matrix
        return full


Gate = Rotation | Unitary | Evolution


@dataclass(frozen=True, eq=False)
class Program:
    """A lowered circuit: gates in the order in which they act on |0...0>, and the expression behind every slot.

    Attributes:
        amplitudes: slots whose values, unnormalised, are the amplitudes of the initial state; empty for |0...0>.
            An expectation value is then the quadratic form <x|U+ O U|x>; whoever fills the slots normalises.
        parameters: the circuit's parameters, in Qiskit's order.
        phases: the global phase, which no gate has: exp(-i t / 2) for each number or expression t.
    """

    n_qubits: int
    gates: tuple[Gate, ...]
    slots: tuple[ParameterExpression, ...] = ()
    amplitudes: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    phases: tuple[ParameterExpression | float, ...] = ()

    def rotation_of_slot(self) -> dict[int, Rotation]:
        """The one rotation that each angle slot turns; amplitude slots have none."""
        return {g.slot: g for g in self.gates if isinstance(g, Rotation) and g.slot is not None}

    @property
    def is_evolving(self) -> bool:
        """Whether there is an `Evolution`, which not every engine runs and no finite shift rule differentiates."""
        return any(isinstance(gate, Evolution) for gate in self.gates)

    def evolution_of_slot(self) -> dict[int, tuple[Evolution, int]]:
        """The evolution that a slot is a coefficient of, and its place there."""
        evolutions = [g for g in self.gates if isinstance(g, Evolution)]
        return {slot: (g, place) for g in evolutions for place, slot in enumerate(g.slots) if slot is not None}

    def followed_by(self, gates: list[Gate]) -> "Program":
        """The same program with more fixed gates at its end, such as a change of measurement basis."""
        return replace(self, gates=(*self.gates, *gates))

    def check_numbers(self, inputs: np.ndarray, weights: np.ndarray) -> None:
        """Raise `LabError` unless all of the slots' values are finite."""
        for what, values, cure in (
            ("inputs", inputs, "clean them before the layer"),
            ("weights", weights, "look for the step that made them so, such as one of too large a learning rate"),
        ):
            # A sum is half the cost of looking at each, and finite only if all are.
            if not math.isfinite(values.sum()) and not np.isfinite(values).all():
                hint = " (an amplitude encoding cannot normalise zeros)" if self.amplitudes else ""
                raise LabError(f"the {what} give angles that are NaN or infinite: {cure}{hint}")


@dataclass
class Builder:
    """Collects gates and slots while a circuit is walked."""

    n_qubits: int
    gates: list[Gate] = field(default_factory=list)
    slots: list[ParameterExpression] = field(default_factory=list)
    amplitudes: tuple[int, ...] = ()
    touched: set[int] = field(default_factory=set)
    phases: list[ParameterExpression | float] = field(default_factory=list)

    def rotation(self, pauli: str, qubits, angle, controls=(), control_state=0) -> None:
        """Append a rotation by a number or an expression; an uncontrolled phase is the global phase, which is kept apart."""
        if not pauli and not controls:
            self.phases.append(angle)
            return
        self.touched.update(qubits, controls)
        number = as_number(angle)
        if number is None:
            self.slots.append(angle)
            slot, number = len(self.slots) - 1, 0.0
        else:
            slot = None
        self.gates.append(Rotation(pauli, tuple(qubits), tuple(controls), control_state, slot, number))

    def evolution(self, paulis, qubits, angles, controls=(), control_state=0) -> None:
        """Append the exponential of a sum of strings, each with a number or an expression."""
        self.touched.update(qubits, controls)
        numbers = [as_number(angle) for angle in angles]
        slots: list[int | None] = [None] * len(numbers)
        for place, (angle, number) in enumerate(zip(angles, numbers)):
            if number is None:
                slots[place] = len(self.slots)
                self.slots.append(angle)
        known = tuple(number or 0.0 for number in numbers)
        self.gates.append(Evolution(tuple(paulis), tuple(qubits), tuple(slots), known, tuple(controls), control_state))

    def unitary(self, name: str, matrix, qubits, controls=(), control_state=0) -> None:
        """Append a fixed matrix."""
        self.touched.update(qubits, controls)
        matrix = np.ascontiguousarray(matrix, dtype=complex)
        self.gates.append(Unitary(name, matrix, tuple(qubits), tuple(controls), control_state))

    def prepare(self, values) -> None:
        """Take the values, all of them expressions or numbers, as the amplitudes of the whole initial state."""
        start = len(self.slots)
        self.slots.extend(values)
        self.touched.update(range(self.n_qubits))
        self.amplitudes = tuple(range(start, start + len(values)))


def as_number(value) -> float | None:
    """The value as a finite real number, or None if it has free parameters.

    Raises:
        LabError: the value is complex, NaN or infinite.
    """
    if isinstance(value, ParameterExpression):
        if value.parameters:
            return None
        value = value.numeric()
    if isinstance(value, complex | np.complexfloating):
        if abs(value.imag) > 1e-12:
            raise LabError(f"a gate has the complex angle {value}: angles are real, in radians")
        value = value.real
    number = float(value)
    if not np.isfinite(number):
        raise LabError(f"a gate has the angle {number}: angles must be finite")
    return number
