"""Programs as circuits of Qiskit's standard gates, which any simulator takes and any transpiler translates."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.circuit.library import UnitaryGate

from circuits.errors import Unsupported
from circuits.program import Program, Rotation, Unitary

Angle = float | ParameterExpression
LARGEST_UNITARY = 6  # qubits of a matrix that a transpiler still decomposes in seconds
PAIRS = {"XX": "rxx", "YY": "ryy", "ZZ": "rzz", "ZX": "rzx"}
NAMED = ("h", "x", "y", "sx", "sxdg", "swap", "iswap", "ecr", "dcx")


def append_program(circuit: QuantumCircuit, program: Program, angles: Sequence[Angle]) -> None:
    """Every gate of the program; `angles[slot]` is the number or the parameter of an angle slot.

    Raises:
        Unsupported: a fixed matrix on more qubits than a transpiler decomposes.
    """
    for gate in program.gates:
        with zeros_flipped(circuit, gate):
            if isinstance(gate, Rotation):
                append_rotation(circuit, gate, gate.angle if gate.slot is None else angles[gate.slot])
            else:
                append_unitary(circuit, gate)


@contextmanager
def zeros_flipped(circuit: QuantumCircuit, gate: Rotation | Unitary) -> Iterator[None]:
    """X on the controls that want a 0, before and after."""
    zeros = [q for j, q in enumerate(gate.controls) if not gate.control_state >> j & 1]
    for qubit in zeros:
        circuit.x(qubit)
    yield
    for qubit in zeros:
        circuit.x(qubit)


def append_rotation(circuit: QuantumCircuit, gate: Rotation, angle: Angle) -> None:
    """exp(-i angle P / 2) where all controls read 1."""
    controls, letters = list(gate.controls), gate.pauli
    if not letters:
        circuit.mcp(-angle / 2, controls[:-1], controls[-1]) if controls[1:] else circuit.p(-angle / 2, controls[0])
    elif len(letters) == 1:
        _append_single(circuit, letters, angle, controls, gate.qubits[0])
    elif letters in PAIRS and not controls:
        getattr(circuit, PAIRS[letters])(angle, *gate.qubits)
    else:
        with _in_basis_of(circuit, gate):
            _append_single(circuit, "Z", angle, controls, gate.qubits[-1])


def _append_single(circuit: QuantumCircuit, letter: str, angle: Angle, controls: list[int], qubit: int) -> None:
    name = f"r{letter.lower()}"
    if not controls:
        getattr(circuit, name)(angle, qubit)
    elif len(controls) == 1:
        getattr(circuit, f"c{name}")(angle, controls[0], qubit)
    else:
        getattr(circuit, f"mc{name}")(angle, controls, qubit)


@contextmanager
def _in_basis_of(circuit: QuantumCircuit, gate: Rotation) -> Iterator[None]:
    """Inside, Z on the last of the gate's qubits is the gate's string outside."""
    last, pairs = gate.qubits[-1], list(zip(gate.pauli, gate.qubits))
    for letter, qubit in pairs:
        if letter == "Y":
            circuit.sdg(qubit)
        if letter in "XY":
            circuit.h(qubit)
    for qubit in gate.qubits[:-1]:
        circuit.cx(qubit, last)
    yield
    for qubit in reversed(gate.qubits[:-1]):
        circuit.cx(qubit, last)
    for letter, qubit in pairs:
        if letter in "XY":
            circuit.h(qubit)
        if letter == "Y":
            circuit.s(qubit)


def append_unitary(circuit: QuantumCircuit, gate: Unitary) -> None:
    """A fixed gate where all controls read 1."""
    size = len(gate.qubits) + len(gate.controls)
    if gate.name == "x" and gate.controls:
        circuit.mcx(list(gate.controls), gate.qubits[0])
    elif gate.name in NAMED and not gate.controls:
        getattr(circuit, gate.name)(*gate.qubits)
    elif size > LARGEST_UNITARY:
        raise Unsupported(
            f"gate {gate.name!r} acts on {size} qubits, more than the {LARGEST_UNITARY} whose matrix backend 'qiskit' "
            "writes out: decompose it, or use backend 'native'"
        )
    else:
        flipped = Unitary(gate.name, gate.matrix, gate.qubits, gate.controls, (1 << len(gate.controls)) - 1)
        circuit.append(UnitaryGate(flipped.full_matrix(), check_input=False), [*gate.qubits, *gate.controls])
