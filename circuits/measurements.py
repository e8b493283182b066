"""What surrounds a circuit's gates: its measurements split off, bits that nothing uses, names that mislead."""

from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    CircuitInstruction,
    ControlFlowOp,
    ControlledGate,
    Delay,
    Gate,
    Instruction,
    Measure,
    Reset,
)
from qiskit.circuit.library import Initialize, get_standard_gate_name_mapping

from circuits.errors import LabError, Unsupported

READS_NOTHING = "the circuit measures nothing: add circuit.measure_all()"
SPECIAL = {"barrier": Barrier, "measure": Measure, "reset": Reset, "delay": Delay, "initialize": Initialize}
STANDARD = frozenset(get_standard_gate_name_mapping())
OF_ONES_OWN = (Gate, Instruction, ControlledGate)  # what circuits are made into; Qiskit's own gates have kinds of their own


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
    """The circuit with gates of one's own opened whose names mean something else to Qiskit's passes and to Aer.

    Also where they are inside other gates of one's own, or in the blocks of control flow.
    """
    if not _misleads(circuit, {}):
        return circuit
    plain = circuit.copy_empty_like()
    known: dict[int, bool] = {}
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            blocks = [without_lookalikes(block) for block in operation.blocks]
            plain.append(operation.replace_blocks(blocks), item.qubits, item.clbits)
        elif (_is_lookalike(item) or _hides(operation, known)) and operation.definition is not None:
            plain.compose(without_lookalikes(operation.definition), item.qubits, item.clbits, inplace=True)
        else:
            plain.append(item)
    return plain


def _misleads(circuit: QuantumCircuit, known: dict[int, bool]) -> bool:
    return any(_is_lookalike(item) or _hides(item.operation, known) for item in circuit.data)


def _hides(operation, known: dict[int, bool]) -> bool:
    """Whether something inside the operation looks like what it is not; `known` keeps what was found by definition."""
    if isinstance(operation, ControlFlowOp):
        return any(_misleads(block, known) for block in operation.blocks)
    if type(operation) not in OF_ONES_OWN or operation.definition is None:
        return False
    key = id(operation.definition)
    if key not in known:
        known[key] = _misleads(operation.definition, known)
    return known[key]


def _is_lookalike(item: CircuitInstruction) -> bool:
    if item.name in SPECIAL:
        return not isinstance(item.operation, SPECIAL[item.name])
    # Asked of the operation's own kind alone: a circuit's standard gates are made anew whenever they are looked at.
    return item.name in STANDARD and not item.is_standard_gate() and type(item.operation) in OF_ONES_OWN
