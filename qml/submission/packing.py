"""Circuits as QPY that brings back the same circuit.

Qiskit's reader makes some gates of its library anew from their parameters, which do not tell all of them (`AndGate`,
`IntegerComparatorGate`, an inverse `StatePreparation`). What is written is read again at once, and where it is another
circuit, or none, such gates are written as what they consist of.
"""

import io
import warnings

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ControlFlowOp
from qiskit.circuit.library import Initialize, StatePreparation

from circuits.errors import LabError
from qml.submission.fingerprint import are_alike, is_told

DEEPEST = 8  # definitions in definitions


def packed(circuit: QuantumCircuit) -> bytes:
    """QPY of the circuit, or of one that does the same.

    Raises:
        LabError: something in it that QPY cannot hold.

    Cost: circuits of standard gates are written once; others are read again too.
    """
    reason = ""
    for _ in range(DEEPEST):
        data = io.BytesIO()
        try:
            qpy.dump(circuit, data)
            if not _is_doubtful(circuit) or _brings_back(data.getvalue(), circuit):
                return data.getvalue()
            reason = "it comes back as another circuit"
        except Exception as error:  # whatever Qiskit's reader and writer raise at a gate they do not know
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        circuit = _opened(circuit)
    raise LabError(
        f"circuit {circuit.name!r} cannot be kept as QPY ({reason}): build it from standard gates, or decompose it before"
    )


def _is_doubtful(circuit: QuantumCircuit) -> bool:
    for operation in (item.operation for item in circuit.data):
        is_flow = isinstance(operation, ControlFlowOp)
        if any(map(_is_doubtful, operation.blocks)) if is_flow else _is_odd(operation):
            return True
    return False


def _is_odd(operation: object) -> bool:
    return not is_told(operation) or isinstance(operation, StatePreparation | Initialize)


def _brings_back(data: bytes, circuit: QuantumCircuit) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (again,) = qpy.load(io.BytesIO(data))
        _ = [item.operation for item in again.data]  # only now are the gates made
    return are_alike(again, circuit)


def _opened(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with its doubtful gates replaced by their definitions, one level deep."""
    opened = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            inside = operation.replace_blocks([_opened(block) for block in operation.blocks])
            opened.append(inside, item.qubits, item.clbits)
        elif _is_odd(operation) and getattr(operation, "definition", None) is not None:
            opened.compose(operation.definition, item.qubits, item.clbits, inplace=True)
        else:
            opened.append(item)
    return opened
