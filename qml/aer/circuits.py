"""Programs as Aer circuits, gate by gate: native Aer instructions only, so nothing is transpiled."""

from collections.abc import Sequence

import numpy as np
import qiskit_aer.library  # noqa: F401  (gives QuantumCircuit its save instructions)
from qiskit import QuantumCircuit
from qiskit.circuit import Gate as QiskitGate
from qiskit.circuit import ParameterExpression
from qiskit.circuit.library import DiagonalGate, UnitaryGate

from circuits.errors import Unsupported
from circuits.evolution import Evolution
from circuits.program import Program, Rotation, Unitary
from qml.standard_gates import zeros_flipped

Angle = float | ParameterExpression
LARGEST_UNITARY = 10  # qubits of a controlled matrix written out in full


def append_program(circuit: QuantumCircuit, program: Program, angles: Sequence[Angle]) -> None:
    """Every gate of the program; `angles[slot]` is the number of an angle slot, or its parameter if no evolution's."""
    for gate in program.gates:
        if isinstance(gate, Rotation):
            append_rotation(circuit, gate, gate.angle if gate.slot is None else angles[gate.slot])
        elif isinstance(gate, Evolution):
            (matrix,) = gate.matrices(gate.values(np.array(angles)[:, None]))
            append_unitary(circuit, Unitary("evolution", matrix, gate.qubits, gate.controls, gate.control_state))
        else:
            append_unitary(circuit, gate)


def append_unitary(circuit: QuantumCircuit, gate: Unitary, inverse: bool = False) -> None:
    """A fixed gate, or its inverse."""
    if gate.name == "x":
        with zeros_flipped(circuit, gate):
            circuit.mcx(list(gate.controls), gate.qubits[0]) if gate.controls else circuit.x(gate.qubits[0])
    elif gate.name in ("h", "y", "swap") and not gate.controls:
        getattr(circuit, gate.name)(*gate.qubits)
    else:
        _refuse_large(gate)
        matrix = gate.full_matrix().conj().T if inverse else gate.full_matrix()
        circuit.append(UnitaryGate(matrix, check_input=False), [*gate.qubits, *gate.controls])


def _refuse_large(gate: Unitary) -> None:
    size = len(gate.qubits) + len(gate.controls)
    if size > LARGEST_UNITARY:
        raise Unsupported(
            f"gate {gate.name!r} acts on {size} qubits, more than the {LARGEST_UNITARY} whose matrix backend 'aer' "
            "writes out: decompose it, or use backend 'native'"
        )


def append_rotation(circuit: QuantumCircuit, gate: Rotation, angle: Angle) -> None:
    """exp(-i angle P / 2) under its controls, the same angle for all samples."""
    letters = gate.pauli
    if len(letters) == 2 and not gate.controls and letters in ("XX", "YY", "ZZ", "ZX", "XZ"):
        qubits = gate.qubits[::-1] if letters == "XZ" else gate.qubits
        getattr(circuit, "r" + "".join(sorted(letters, reverse=True)).lower())(angle, *qubits)
        return
    with zeros_flipped(circuit, gate):
        if not letters:
            _append(circuit, "p", "mcphase", -angle / 2, gate.controls[:-1], gate.controls[-1])
        elif len(letters) == 1:
            name = f"r{letters.lower()}"
            _append(circuit, name, f"mc{name}", angle, gate.controls, gate.qubits[0])
        else:
            to_z(circuit, gate)
            for qubit in gate.qubits[:-1]:
                circuit.cx(qubit, gate.qubits[-1])
            _append(circuit, "rz", "mcrz", angle, gate.controls, gate.qubits[-1])
            for qubit in reversed(gate.qubits[:-1]):
                circuit.cx(qubit, gate.qubits[-1])
            from_z(circuit, gate)


def _append(circuit: QuantumCircuit, name: str, controlled: str, angle: Angle, controls, target: int) -> None:
    """Aer binds parameters at run time in its multi-controlled gates only, not in crx, cry, crz and cp."""
    if controls:
        circuit.append(QiskitGate(controlled, len(controls) + 1, [angle]), [*controls, target])
    else:
        getattr(circuit, name)(angle, target)


def to_z(circuit: QuantumCircuit, gate: Rotation) -> None:
    """From the eigenbasis of the gate's string to that of Z on each of its qubits."""
    for letter, qubit in zip(gate.pauli, gate.qubits):
        if letter == "Y":
            circuit.sdg(qubit)
        if letter in "XY":
            circuit.h(qubit)


def from_z(circuit: QuantumCircuit, gate: Rotation) -> None:
    """Undoes `to_z`."""
    for letter, qubit in zip(gate.pauli, gate.qubits):
        if letter in "XY":
            circuit.h(qubit)
        if letter == "Y":
            circuit.s(qubit)


def append_multiplexed(circuit: QuantumCircuit, gate: Rotation, angles: np.ndarray, batch_qubits: Sequence[int]) -> None:
    """exp(-i angles[b] Z..Z / 2) under its controls where the batch register reads b: between `to_z` and `from_z`."""
    signs = parity_signs(len(gate.qubits))
    phases = np.ones((len(angles), 1 << len(gate.controls), len(signs)), complex)
    phases[:, gate.control_state, :] = np.exp(-0.5j * angles[:, None] * signs)
    qubits = [*gate.qubits, *gate.controls, *batch_qubits]
    circuit.append(DiagonalGate(phases.ravel().tolist()), qubits)


def parity_signs(n_qubits: int) -> np.ndarray:
    """(2^n,): eigenvalues of Z on every one of n qubits."""
    return 1.0 - 2.0 * (np.bitwise_count(np.arange(1 << n_qubits)) & 1)
