"""How each Qiskit gate becomes rotations and fixed unitaries: one table for the parametrised gates, one for phases,

and the gate's own definition or matrix for everything else. What none of them covers raises `Unsupported`.
"""

import math

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlFlowOp, ControlledGate, Delay, Instruction, Operation
from qiskit.circuit import library as lib
from qiskit.circuit.annotated_operation import ControlModifier, InverseModifier
from qiskit.circuit.exceptions import CircuitError

from circuits.encodings import AmplitudeEncoding
from circuits.errors import LabError, Unsupported
from circuits.evolution import Evolution, Terms, exact_terms, parts, support
from circuits.program import Builder, Program, as_number

# gate -> pieces (pauli letters, which of its qubits, angle as a function of its parameters), in the order they act.
# A piece with no letters is the phase exp(-i t / 2): it matters under a control and is dropped without one.
ROTATIONS = {
    lib.RXGate: lambda t: [("X", (0,), t)],
    lib.RYGate: lambda t: [("Y", (0,), t)],
    lib.RZGate: lambda t: [("Z", (0,), t)],
    lib.RXXGate: lambda t: [("XX", (0, 1), t)],
    lib.RYYGate: lambda t: [("YY", (0, 1), t)],
    lib.RZZGate: lambda t: [("ZZ", (0, 1), t)],
    lib.RZXGate: lambda t: [("ZX", (0, 1), t)],
    lib.RGate: lambda t, phi: [("Z", (0,), -phi), ("X", (0,), t), ("Z", (0,), phi)],
    lib.UGate: lambda t, phi, lam: _u(t, phi, lam),
    lib.U3Gate: lambda t, phi, lam: _u(t, phi, lam),
    lib.U2Gate: lambda phi, lam: _u(math.pi / 2, phi, lam),
    lib.GlobalPhaseGate: lambda t: [("", (), -2 * t)],
}

# gates diag(1, e^{i t}), whose controlled forms are phases on the subspace where every qubit involved reads 1
PHASES = {
    lib.PhaseGate: lambda t: t,
    lib.U1Gate: lambda t: t,
    lib.ZGate: lambda: math.pi,
    lib.SGate: lambda: math.pi / 2,
    lib.SdgGate: lambda: -math.pi / 2,
    lib.TGate: lambda: math.pi / 4,
    lib.TdgGate: lambda: -math.pi / 4,
}

# fixed gates taken by their matrix, under the names that engines know; larger or composite ones go through their definition
MATRICES = {
    lib.HGate: "h", lib.XGate: "x", lib.YGate: "y", lib.SXGate: "sx", lib.SXdgGate: "sxdg", lib.SwapGate: "swap",
    lib.iSwapGate: "iswap", lib.ECRGate: "ecr", lib.DCXGate: "dcx", lib.RCCXGate: "rccx", lib.RC3XGate: "rcccx",
    lib.UnitaryGate: "unitary",
}  # fmt: skip

IGNORED = (lib.Barrier, lib.IGate, Delay)
LARGEST_MATRIX = 6  # qubits of an undefined gate whose matrix is still taken
LARGEST_EVOLUTION = 8  # qubits of an exact exponential of a sum that does not commute


def _u(t, phi, lam):
    return [("Z", (0,), lam), ("Y", (0,), t), ("Z", (0,), phi), ("", (), -(phi + lam))]


def lower(circuit: QuantumCircuit) -> Program:
    """The program that acts on |0...0> as the circuit does, up to a global phase.

    Args:
        circuit: any Qiskit circuit of gates without measurement; free parameters in any real expression. A gate that
            Qiskit defines by an approximation, such as a `PauliEvolutionGate` of a sum that does not commute, is what its
            definition says, as it is for Qiskit's transpiler; with the synthesis `MatrixExponential` it is exact, as an
            `EvolutionGate` and a `HamiltonianGate` are.

    Raises:
        Unsupported: a gate that has no unitary or no exact decomposition; the message names it.
        LabError: not a circuit, no qubits, or an angle that is not a finite real number.
    Cost: linear in the number of gates of the circuit and its definitions.
    """
    if not isinstance(circuit, QuantumCircuit):
        hint = ": qml.circuit_files.load(path) reads OpenQASM and QPY files" if isinstance(circuit, str) else ""
        raise LabError(f"a circuit must be a qiskit QuantumCircuit, got {type(circuit).__name__}{hint}")
    if circuit.num_qubits == 0:
        raise LabError("the circuit has no qubits")
    builder = Builder(circuit.num_qubits)
    append_circuit(builder, circuit, tuple(range(circuit.num_qubits)))
    return Program(
        circuit.num_qubits,
        tuple(builder.gates),
        tuple(builder.slots),
        builder.amplitudes,
        tuple(circuit.parameters),
        tuple(builder.phases),
    )


def append_circuit(builder: Builder, circuit: QuantumCircuit, qubits, controls=(), state=0) -> None:
    """Append every instruction of the circuit, whose qubit j is the program's `qubits[j]`, under the controls."""
    index = {bit: qubits[j] for j, bit in enumerate(circuit.qubits)}
    builder.rotation("", (), -2 * circuit.global_phase, controls, state)
    for item in circuit.data:
        append(builder, item.operation, tuple(index[bit] for bit in item.qubits), controls, state)


def append(builder: Builder, gate: Operation, qubits, controls=(), state=0) -> None:
    """Append one gate, whatever it is made of, under the controls."""
    kind = getattr(gate, "base_class", type(gate))
    if kind in IGNORED:
        return
    _refuse_what_is_not_unitary(builder, gate, qubits)
    if kind is lib.Reset:  # of a qubit that is still in |0>
        return
    if kind in ROTATIONS:
        for pauli, places, angle in ROTATIONS[kind](*gate.params):
            builder.rotation(pauli, [qubits[j] for j in places], angle, controls, state)
    elif kind in PHASES:
        _append_phase(builder, PHASES[kind](*gate.params), qubits[0], controls, state)
    elif isinstance(gate, AnnotatedOperation):
        _append_annotated(builder, gate, qubits, controls, state)
    elif isinstance(gate, ControlledGate):
        _append_controlled(builder, gate, qubits, controls, state)
    elif isinstance(gate, AmplitudeEncoding) and _is_free(gate):
        _append_amplitudes(builder, gate, qubits, controls)
    elif (terms := exact_terms(gate)) is not None:
        _append_exponential(builder, terms, qubits, controls, state)
    elif kind in MATRICES:
        builder.unitary(MATRICES[kind], gate.to_matrix(), qubits, controls, state)
    else:
        _append_composite(builder, gate, qubits, controls, state)


def _refuse_what_is_not_unitary(builder: Builder, gate: Operation, qubits) -> None:
    if isinstance(gate, lib.Measure):
        raise Unsupported(
            "the circuit measures its qubits: a layer takes expectation values, so pass "
            "circuit.remove_final_measurements(inplace=False); to sample a measured circuit use qml.submit"
        )
    if isinstance(gate, lib.Reset | lib.Initialize) and builder.touched.intersection(qubits):
        raise Unsupported(
            f"{gate.name} in the middle of a circuit is not unitary: backend 'aer' samples it, by qml.submit without "
            "observables"
        )
    if isinstance(gate, ControlFlowOp):
        raise Unsupported(
            f"control flow ({gate.name}) is not unitary and has no expectation values here: backend 'aer' samples it, "
            "by qml.submit without observables"
        )


def _is_free(gate: Instruction) -> bool:
    return any(getattr(value, "parameters", None) for value in gate.params)


def _append_phase(builder: Builder, angle, qubit: int, controls, state) -> None:
    if controls:
        builder.rotation("", (), -2 * angle, (*controls, qubit), state | 1 << len(controls))
    else:
        builder.rotation("Z", (qubit,), angle)  # the same up to a global phase, and a single Pauli as generator
        builder.rotation("", (), -angle)


def _append_controlled(builder: Builder, gate: ControlledGate, qubits, controls, state) -> None:
    count = gate.num_ctrl_qubits
    inner = (*controls, *qubits[:count])
    inner_state = state | gate.ctrl_state << len(controls)
    is_cu = isinstance(gate, lib.CUGate)
    is_of_cu = not is_cu and isinstance(gate.base_gate, lib.UGate) and len(gate.params) == 4  # whose phase U has not
    if gate.base_gate.num_qubits != len(qubits) - count or is_of_cu or _is_left_free(gate):  # several targets: MCMT
        _append_composite(builder, gate, qubits, controls, state)
    elif is_cu:
        *angles, phase = gate.params
        builder.rotation("", (), -2 * phase, inner, inner_state)
        append(builder, lib.UGate(*angles), qubits[count:], inner, inner_state)
    else:
        append(builder, gate.base_gate, qubits[count:], inner, inner_state)


def _is_left_free(gate: ControlledGate) -> bool:
    """Whether Qiskit may have bound parameters of the gate's definition, and not those within the gate that it controls."""
    definition = getattr(gate.base_gate, "_definition", None)
    is_listed = getattr(gate.base_gate, "base_class", type(gate.base_gate)) in {*ROTATIONS, *PHASES, *MATRICES}
    return definition is not None and not is_listed and list(definition.parameters) != list(gate.params)


def _append_annotated(builder: Builder, gate: AnnotatedOperation, qubits, controls, state) -> None:
    base, inverted = gate.base_op, False
    for modifier in reversed(gate.modifiers):  # each further control modifier puts its qubits first
        if isinstance(modifier, ControlModifier):
            count = modifier.num_ctrl_qubits
            state |= modifier.ctrl_state << len(controls)
            controls, qubits = (*controls, *qubits[:count]), qubits[count:]
        elif isinstance(modifier, InverseModifier):
            inverted = not inverted
        else:
            raise Unsupported(f"gate {gate.name!r} is raised to a power: write the power out as gates")
    append(builder, base.inverse() if inverted else base, qubits, controls, state)


def _append_amplitudes(builder: Builder, gate: AmplitudeEncoding, qubits, controls) -> None:
    if controls or builder.touched or tuple(qubits) != tuple(range(builder.n_qubits)):
        raise Unsupported(
            "an amplitude encoding must be the first gate, on all qubits in order and without controls: "
            "start the circuit with encodings.amplitude(n_qubits)"
        )
    if not all(getattr(value, "parameters", None) for value in gate.params):
        raise Unsupported("an amplitude encoding must have all of its inputs free, or all of them numbers")
    builder.prepare(gate.params)


def _append_exponential(builder: Builder, terms: Terms, qubits, controls, state) -> None:
    """Rotations for strings that commute with all others; what does not commute, and is free, stays together."""
    for part in parts(terms):
        labels, coefficients = zip(*part)
        places = support(labels)
        paulis = ["".join(label[-1 - q] for q in places) for label in labels]
        where = [qubits[q] for q in places]
        if len(part) == 1:
            builder.rotation(paulis[0], where, 2 * coefficients[0], controls, state)
        elif len(places) > LARGEST_EVOLUTION:
            raise Unsupported(
                f"the exact evolution by a sum that does not commute is written out on at most {LARGEST_EVOLUTION} qubits, "
                f"got {len(places)}: use a PauliEvolutionGate, whose default is a product formula"
            )
        elif all(as_number(c) is not None for c in coefficients):
            fixed = Evolution(tuple(paulis), tuple(range(len(places))), (None,) * len(part), ())
            values = np.array([[2 * as_number(c)] for c in coefficients])
            builder.unitary("evolution", fixed.matrices(values)[0], where, controls, state)
        else:
            builder.evolution(paulis, where, [2 * c for c in coefficients], controls, state)


def _append_composite(builder: Builder, gate: Operation, qubits, controls, state) -> None:
    try:
        definition = getattr(gate, "definition", None)
    except (CircuitError, TypeError):  # it takes numbers to define itself
        definition = None
    if definition is not None and definition.num_clbits == 0:
        append_circuit(builder, definition, qubits, controls, state)
        return
    matrix = None if _is_free(gate) or len(qubits) > LARGEST_MATRIX else _matrix(gate)
    if matrix is not None and np.allclose(matrix @ matrix.conj().T, np.eye(len(matrix)), atol=1e-10):
        builder.unitary("unitary", matrix, qubits, controls, state)
        return
    raise Unsupported(
        f"gate {gate.name!r} has no definition in standard gates"
        + (" while its parameters are free" if _is_free(gate) else "")
        + ": decompose it first, or write it with Qiskit's standard gates or a UnitaryGate"
    )


def _matrix(gate: Operation) -> np.ndarray | None:
    try:
        return np.asarray(gate.to_matrix())
    except (AttributeError, CircuitError):
        return None
