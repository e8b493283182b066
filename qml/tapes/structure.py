"""What a tape is apart from its numbers: two tapes of one structure are one program, at different angles."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pennylane as qp

from circuits.errors import LabError
from circuits.interop import is_angled
from qml.tapes.readings import matrix_of


@dataclass
class Numbers:
    """What a tape's operations are given.

    Attributes:
        angles: in the order of the operations' data; each a number, or (B,) of them.
        state: amplitudes of the initial state as `qp.StatePrep` has them, (2^k,) or (B, 2^k), or None.
        batch: B, or None where nothing is batched.
    """

    angles: list
    state: np.ndarray | None
    batch: int | None

    @property
    def rows(self) -> int:
        """Samples of the tape."""
        return 1 if self.batch is None else self.batch

    @property
    def is_complex(self) -> bool:
        """Whether the initial state has phases that are no signs."""
        return self.state is not None and np.iscomplexobj(self.state) and bool(np.any(self.state.imag))


def begins_with_a_state(tape: qp.tape.QuantumScript) -> bool:
    """Whether the first operation prepares amplitudes that are numbers of the tape, not of its structure."""
    first = tape.operations[:1]
    return bool(first) and isinstance(first[0], qp.StatePrep) and not first[0].is_sparse


def numbers(tape: qp.tape.QuantumScript) -> Numbers:
    """The numbers in which tapes of one structure differ."""
    has_state = begins_with_a_state(tape)
    state = np.asarray(tape.operations[0].data[0]) if has_state else None
    angles = [value for op in tape.operations[has_state:] if op.data and is_angled(op) for value in op.data]
    batched = [angle for angle in angles if np.ndim(angle)]  # asking the tape itself looks at every number twice
    if has_state and state.ndim > 1:
        batched.append(state)
    sizes = {len(one) for one in batched}
    if len(sizes) > 1:
        raise LabError(f"the batch sizes {sorted(sizes)} of one circuit's operations differ: give them the same batch")
    return Numbers(angles, state, sizes.pop() if sizes else None)


def structure(tape: qp.tape.QuantumScript, given: Numbers) -> Hashable:
    """Equal for tapes that differ only in numbers, and in those alike: batched or not, complex or not."""
    has_state = given.state is not None
    operations = tuple(_operation_key(op) for op in tape.operations[has_state:])
    start = (tape.operations[0].wires.labels, given.is_complex, given.state.ndim) if has_state else None
    batched = tuple(np.ndim(angle) > 0 for angle in given.angles)
    return start, operations, batched, tuple(_measurement_key(m) for m in tape.measurements)


def _operation_key(op: qp.operation.Operator) -> Hashable:
    name, wires = op.name, op.wires.labels
    if isinstance(op, qp.ops.op_math.Adjoint | qp.ops.op_math.Controlled):
        return name, wires, tuple(getattr(op, "control_values", ())), _operation_key(op.base)
    if not is_angled(op):
        return name, wires, _constant(op)
    if name == "PauliRot":
        return name, wires, op.hyperparameters["pauli_word"]
    return name, wires


def _constant(op: qp.operation.Operator) -> Hashable:
    """Everything there is to an operation or observable that is taken as it is."""
    if op.has_matrix or op.has_sparse_matrix:
        return matrix_of(op).tobytes()
    parts = [repr(sorted(op.hyperparameters.items(), key=str))]
    return *parts, *(np.asarray(value).tobytes() for value in op.data)


def _measurement_key(measurement: qp.measurements.MeasurementProcess) -> Hashable:
    kind, operator = type(measurement).__name__, measurement.obs
    if operator is None:
        return kind, measurement.wires.labels, measurement._eigvals is None
    if operator.pauli_rep is not None:
        return kind, frozenset(operator.pauli_rep.items()), operator.wires.labels
    return kind, _constant(operator), operator.wires.labels


def wire_order(tape: qp.tape.QuantumScript, device_wires: Sequence | None) -> list:
    """The wires that the tape uses, in the device's order where it has one."""
    if not device_wires:
        return list(tape.wires)
    used = set(tape.wires)
    return [wire for wire in device_wires if wire in used]
