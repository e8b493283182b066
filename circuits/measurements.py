"""What surrounds a circuit's gates: its measurements split off, bits that nothing uses, names that mislead."""

from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitInstruction, ControlFlowOp, Delay, Measure, Reset
from qiskit.circuit.library import Initialize

from circuits.errors import LabError, Unsupported

READS_NOTHING = "the circuit measures nothing: add circuit.measure_all()"
SPECIAL = {"barrier": Barrier, "measure": Measure, "reset": Reset, "delay": Delay, "initialize": Initialize}


def split_measurements(circuit: QuantumCircuit) -> tuple[QuantumCircuit, dict[int, int]]:
    """The circuit without its final measurements, and the qubit that each measured classical bit reads.

    Raises:
        Unsupported: something acts on a qubit or bit after its measurement, or on a classical condition.
    """
    unitary = circuit.copy_empty_like()
    read: dict[int, int] = {}
    measured: set = set()
    for item in circuit.data:
        if isinstance(item.operation, Barrier):
            continue
        if isinstance(item.operation, ControlFlowOp):
            raise Unsupported(f"{item.operation.name!r} is classical control: only backend 'aer' samples such a circuit")
        if measured.intersection(item.qubits):
            raise Unsupported(f"{item.operation.name!r} acts after a measurement: only backend 'aer' samples such a circuit")
        if isinstance(item.operation, Measure):
            measured.update(item.qubits)
            read[circuit.find_bit(item.clbits[0]).index] = circuit.find_bit(item.qubits[0]).index
        elif item.clbits:
            raise Unsupported(f"{item.operation.name!r} uses classical bits: only backend 'aer' samples such a circuit")
        else:
            unitary.append(item)
    if not read:
        raise LabError(READS_NOTHING)
    return unitary, read


def without_idle_bits(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without its classical bits where nothing uses any of them; else as it is."""
    is_classical = any(item.clbits for item in circuit.data) or circuit.num_identifiers  # variables need no bits
    if is_classical or not circuit.num_clbits:
        return circuit
    bare = QuantumCircuit(circuit.qubits, *circuit.qregs, name=circuit.name, global_phase=circuit.global_phase)
    for item in circuit.data:
        bare.append(item)
    return bare


def without_lookalikes(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with gates of one's own opened whose names mean something else to Qiskit's passes and to Aer."""
    if not any(map(_is_lookalike, circuit.data)):
        return circuit
    plain = circuit.copy_empty_like()
    for item in circuit.data:
        if _is_lookalike(item) and item.operation.definition is not None:
            plain.compose(item.operation.definition, item.qubits, item.clbits, inplace=True)
        else:
            plain.append(item)
    return plain


def _is_lookalike(item: CircuitInstruction) -> bool:
    return item.name in SPECIAL and not isinstance(item.operation, SPECIAL[item.name])
