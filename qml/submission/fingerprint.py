"""What a job's result depends on, as one hash: the same circuit with the same settings has the same.

Names of circuits and of gates made from circuits do not count; Qiskit's QPY is no measure, since it gives such gates a new
name each time it writes them.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

LIBRARIES = ("qiskit", "qiskit-aer", "qiskit-aer-gpu", "pennylane", "pennylane-lightning", "qiskit-ibm-runtime")


def of_circuit(circuit: QuantumCircuit) -> str:
    """Hash of the circuit's gates, parameters, qubits, classical bits and registers, in their order."""
    digest = hashlib.sha256()
    for word in _words(circuit):
        digest.update(word.encode() + b"\n")
    return digest.hexdigest()


def of_request(circuit: str, backend: str, options: dict, shots: int | None, observables: list[str] | None) -> str:
    """Two hashes joined by a dash: of all that was asked for, its seed apart, and of the versions that will answer.

    Args:
        circuit: the hash of `of_circuit`.
    """
    return f"{_short([circuit, backend, options, shots, observables])}-{_short(versions())}"


def is_same_request(one: str | None, other: str) -> bool:
    """Whether two fingerprints ask for the same, whatever versions answer."""
    return one is not None and one.partition("-")[0] == other.partition("-")[0]


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()[:24]


@cache
def versions() -> dict[str, str]:
    """Versions of this program and of the libraries that simulate."""
    found = {}
    for name in ("hybrid-qml-lab", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _words(circuit: QuantumCircuit) -> Iterator[str]:
    yield f"{circuit.num_qubits} {[register.size for register in circuit.cregs]} {circuit.num_clbits}"
    yield f"phase {_number(circuit.global_phase)}"
    registers = [sorted(circuit.find_bit(bit).index for bit in register) for register in circuit.cregs]
    yield f"registers {registers}"
    places = {bit: index for bits in (circuit.qubits, circuit.clbits) for index, bit in enumerate(bits)}
    for item in circuit.data:
        yield f"{[places[bit] for bit in item.qubits]} {[places[bit] for bit in item.clbits]}"
        yield from _of_operation(item.operation, places)


def _of_operation(operation: Any, places: dict) -> Iterator[str]:
    control = getattr(operation, "ctrl_state", None), getattr(operation, "num_ctrl_qubits", None)
    yield f"own {control}" if _is_own(operation) else f"{type(operation).__name__} {operation.name} {control}"
    condition = getattr(operation, "condition", None) or getattr(operation, "target", None)
    if condition is not None:
        yield f"condition {_condition(condition, places)}"
    for value in getattr(operation, "params", ()):
        if isinstance(value, QuantumCircuit):
            yield from _words(value)
        else:
            yield _number(value)
    if hasattr(operation, "tableau"):  # a Clifford
        yield _number(operation.tableau)
    modifiers = getattr(operation, "modifiers", None)
    if modifiers is not None:
        yield repr(modifiers)
        yield from _of_operation(operation.base_op, places)
    elif _is_own(operation):
        yield from _words(operation.definition)


def _is_own(operation: Any) -> bool:
    """A gate that only its definition tells: made from a circuit, or from an operator, and not by its parameters."""
    plain = type(operation).__name__ in ("Gate", "Instruction", "ControlledGate") or hasattr(operation, "operator")
    return plain and getattr(operation, "definition", None) is not None


def _condition(condition: Any, places: dict) -> str:
    """Classical bits by their place in the circuit; an expression as Qiskit writes it."""
    if isinstance(condition, tuple):
        bits, value = condition
        return f"{[places.get(bit) for bit in (bits if hasattr(bits, '__iter__') else [bits])]} {int(value)}"
    return repr(condition)


def _number(value: Any) -> str:
    """Exact to the last bit."""
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype} {np.ascontiguousarray(value).tobytes().hex()}"
    if isinstance(value, int | float | complex | np.number):
        return repr(complex(value)) if isinstance(value, complex | np.complexfloating) else repr(float(value))
    return repr(value)
