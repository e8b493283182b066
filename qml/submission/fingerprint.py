"""What a job's result depends on, as one hash: the same hash is the same circuit with the same settings.

Gates that name and parameters tell whole are hashed so; every other one by its definition, down to such gates. A circuit
with anything else in it, such as a gate without definition, has no fingerprint: reuse never finds it, so that it is run
again rather than answered by another's result. Names of circuits and of gates made from circuits do not count; Qiskit's
QPY is no measure, since it gives such gates a new name each time it writes them.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    BoxOp,
    BreakLoopOp,
    ClassicalRegister,
    Clbit,
    ContinueLoopOp,
    ControlFlowOp,
    ControlledGate,
    Delay,
    ForLoopOp,
    IfElseOp,
    Measure,
    Parameter,
    Reset,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)  # fmt: skip
from qiskit.circuit.classical import expr
from qiskit.circuit.controlflow import CASE_DEFAULT
from qiskit.circuit.library import DiagonalGate, Initialize, PauliGate, PermutationGate, StatePreparation, UnitaryGate
from qiskit.circuit.library.standard_gates import MCXVChain, get_standard_gate_name_mapping
from qiskit.quantum_info import Clifford

LIBRARIES = ("qiskit", "qiskit-aer", "qiskit-aer-gpu", "pennylane", "pennylane-lightning", "qiskit-ibm-runtime")
SCHEME = "2"  # of what is hashed: another one never matches
STANDARD = "qiskit.circuit.library.standard_gates."
# besides the standard gates, those that name, parameters and size tell whole
TOLD = (
    *(UnitaryGate, PauliGate, DiagonalGate, PermutationGate, Initialize, StatePreparation),
    *(Measure, Reset, Barrier, Delay, Store, BreakLoopOp, ContinueLoopOp),
)
FLOW = (IfElseOp, WhileLoopOp, ForLoopOp, SwitchCaseOp, BoxOp)


class _Untold(Exception):
    """Something that nothing here can tell from something else."""


def of_circuit(circuit: QuantumCircuit) -> str | None:
    """Hash of the circuit's gates, parameters, qubits, classical bits and registers, in their order.

    None where something in it cannot be told from something else: a gate without definition that is none of Qiskit's, an
    expression of parameters that have no value, annotations.
    """
    digest = hashlib.sha256(SCHEME.encode())
    try:
        for word in _words(circuit):
            digest.update(word.encode() + b"\n")
    except _Untold:
        return None
    return digest.hexdigest()


def are_alike(one: QuantumCircuit, other: QuantumCircuit) -> bool:
    """Whether both are the same, gate by gate; of one that nothing tells from another, size and parameters are compared."""
    return all(a == b for a, b in zip_longest(_words(one, is_lenient=True), _words(other, is_lenient=True)))


def of_request(
    circuit: str | None, backend: str, options: dict, shots: int | None, observables: list[str] | None,
    told: Sequence = (), tokens: Sequence = (),
) -> str | None:  # fmt: skip
    """Two hashes joined by a dash: of all that was asked for, its seed apart, and of what will answer: versions, objects.

    Args:
        circuit: the hash of `of_circuit`; without one there is none here.
        told, tokens: what can be said of backend, device and noise that were given as objects, and what tells them apart.
    """
    asked = [circuit, backend, options, shots, observables, *told]
    answering = [versions(), *tokens] if tokens else versions()
    return circuit and f"{_short(asked)}-{_short(answering)}"


def is_same_request(one: str | None, other: str | None) -> bool:
    """Whether two fingerprints ask for the same, whatever versions and objects answer; False where one is None."""
    return None not in (one, other) and one.partition("-")[0] == other.partition("-")[0]


def is_told(operation: Any) -> bool:
    """Whether name, parameters and size of an instruction say all of it; an MCXVChain may also have a relative phase."""
    kind = type(operation)
    if getattr(operation, "mutable", True) is False:  # Qiskit's shared objects have a class of their own
        kind = operation.base_class
    return (kind.__module__.startswith(STANDARD) and kind is not MCXVChain) or kind in TOLD


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


def _words(circuit: QuantumCircuit, is_lenient: bool = False) -> Iterator[str]:
    yield f"{circuit.num_qubits} {[register.size for register in circuit.cregs]} {circuit.num_clbits} {len(circuit.data)}"
    yield f"phase {_value(circuit.global_phase)}"
    places = {bit: index for bits in (circuit.qubits, circuit.clbits) for index, bit in enumerate(bits)}
    yield f"registers {[[places[bit] for bit in register] for register in circuit.cregs]}"
    for kind, variables in (("input", circuit.iter_input_vars()), ("declared", circuit.iter_declared_vars())):
        yield f"{kind} {[(variable.name, repr(variable.type)) for variable in variables]}"
    if stretches := [stretch.name for stretch in circuit.iter_stretches()]:
        if not is_lenient:
            raise _Untold
        yield f"stretches {stretches}"
    for item in circuit.data:
        yield f"{[places[bit] for bit in item.qubits]} {[places[bit] for bit in item.clbits]}"
        yield from (_told_or_named if is_lenient else _of_operation)(item.operation, places)


def _told_or_named(operation: Any, places: dict) -> Iterator[str]:
    try:
        yield from list(_of_operation(operation, places, is_lenient=True))
    except _Untold:
        yield f"untold {operation.num_qubits} {operation.num_clbits}"
        is_flow = isinstance(operation, ControlFlowOp)
        for value in () if is_flow else operation.params:
            yield _value(value) if isinstance(value, int | float | complex | np.number | np.ndarray | str) else ""
        for block in operation.blocks if is_flow else ():
            yield from _words(block, is_lenient=True)


def _of_operation(operation: Any, places: dict, is_lenient: bool = False) -> Iterator[str]:
    yield f"label {getattr(operation, 'label', None)!r}"  # a noise model may mean it
    if isinstance(operation, ControlFlowOp):
        yield from _of_flow(operation, places, is_lenient)
    elif is_told(operation):
        kind = operation.base_class.__name__ if hasattr(operation, "base_class") else type(operation).__name__
        controls = (operation.num_ctrl_qubits, operation.ctrl_state) if isinstance(operation, ControlledGate) else None
        yield f"{kind} {operation.name} {operation.num_qubits} {controls} {getattr(operation, 'unit', None)}"
        yield from (_value(value, places) for value in operation.params)
    elif type(operation) is Clifford:
        yield f"Clifford {_value(operation.tableau)}"
    elif type(operation) is AnnotatedOperation:
        yield f"annotated {operation.modifiers!r}"
        yield from _of_operation(operation.base_op, places, is_lenient)
    else:
        yield from _of_definition(operation, is_lenient)


def _of_definition(operation: Any, is_lenient: bool) -> Iterator[str]:
    """Its definition, and the name where a simulator may go by that."""
    definition = getattr(operation, "definition", None)
    if not isinstance(definition, QuantumCircuit):
        raise _Untold
    yield f"defined {operation.name if operation.name in get_standard_gate_name_mapping() else ''}"
    yield from _words(definition, is_lenient)


def _of_flow(operation: ControlFlowOp, places: dict, is_lenient: bool) -> Iterator[str]:
    if type(operation) not in FLOW or getattr(operation, "annotations", None):
        raise _Untold
    yield f"{operation.name} {len(operation.blocks)}"
    if isinstance(operation, IfElseOp | WhileLoopOp):
        yield f"condition {_condition(operation.condition, places)}"
    elif isinstance(operation, ForLoopOp):
        indices, parameter, _ = operation.params
        if not isinstance(indices, range | tuple | list):
            raise _Untold
        yield f"for {[int(index) for index in indices]} {_value(parameter, places)}"
    elif isinstance(operation, SwitchCaseOp):
        listed = [labels for labels, _ in operation.cases_specifier()]
        cases = [["default" if label is CASE_DEFAULT else int(label) for label in labels] for labels in listed]
        yield f"switch {_value(operation.target, places)} {cases}"
    else:
        yield f"box {_value(operation.duration)} {operation.unit}"
    for block in operation.blocks:
        yield from _words(block, is_lenient)


def _condition(condition: Any, places: dict) -> str:
    if isinstance(condition, tuple):
        bits, value = condition
        return f"{_value(bits, places)} {int(value)}"
    return _value(condition, places)


def _value(value: Any, places: dict | None = None) -> str:
    """Exact to the last bit; classical bits by their place in the circuit."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return f"{value.shape} {value.dtype} {np.ascontiguousarray(value).tobytes().hex()}"
    if isinstance(value, int | float | complex | np.number):
        return repr(complex(value)) if isinstance(value, complex | np.complexfloating) else repr(float(value))
    if isinstance(value, str | None):
        return repr(value)
    if isinstance(value, Parameter):
        return f"parameter {value.name}"
    if isinstance(value, Clbit) and places is not None:
        return f"bit {places[value]}"
    if isinstance(value, expr.Expr):
        return _expression(value, places)
    if isinstance(value, ClassicalRegister) and places is not None:
        return f"bits {[places[bit] for bit in value]}"
    raise _Untold


def _expression(node: expr.Expr, places: dict | None) -> str:
    if isinstance(node, expr.Var):
        what = node.name if node.standalone else _value(node.var, places)
        return f"({what} {node.type!r})"
    if isinstance(node, expr.Value) and isinstance(node.value, bool | int | float):
        return f"({node.value!r} {node.type!r})"
    if isinstance(node, expr.Cast):
        return f"(cast {node.type!r} {_expression(node.operand, places)})"
    if isinstance(node, expr.Unary):
        return f"({node.op!r} {node.type!r} {_expression(node.operand, places)})"
    if isinstance(node, expr.Binary):
        return f"({node.op!r} {node.type!r} {_expression(node.left, places)} {_expression(node.right, places)})"
    if isinstance(node, expr.Index):
        return f"(index {_expression(node.target, places)} {_expression(node.index, places)})"
    raise _Untold
