"""A lowered circuit is the circuit: Qiskit's own simulator, dense matrices and the engine agree on it."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, Gate, Parameter, ParameterVector
from qiskit.circuit.annotated_operation import ControlModifier, InverseModifier
from qiskit.circuit.library import (
    CUGate,
    MCMTGate,
    PauliEvolutionGate,
    SGate,
    UnitaryGate,
    XGate,
    ZGate,
    get_standard_gate_name_mapping,
)
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Pauli, SparsePauliOp, Statevector

from circuits.errors import LabError, Unsupported
from circuits.expressions import analyse
from circuits.lowering import lower
from circuits.observables import as_list
from qml.backends.base import resolve
from qml.native.plain import PlainEngine

STANDARD = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in ("measure", "reset", "delay", "barrier") and not name.startswith("if")
}


def observables(n_qubits, rng):
    return [SparsePauliOp("".join(rng.choice(list("IXYZ"), n_qubits))) for _ in range(4)]


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_every_standard_gate_is_lowered_exactly(name, rng, oracle):
    gate = STANDARD[name]
    n_qubits = max(1, gate.num_qubits)
    parameters = [Parameter(f"p{j}") for j in range(len(gate.params))]
    circuit = QuantumCircuit(n_qubits)
    for qubit in range(n_qubits):
        circuit.u(*rng.uniform(0, 6, 3), qubit)
    circuit.append(gate.base_class(*parameters) if parameters else gate, range(gate.num_qubits))
    for qubit in range(n_qubits):
        circuit.u(*rng.uniform(0, 6, 3), qubit)
    operators = observables(n_qubits, rng)
    program = lower(circuit)
    bound = dict(zip(parameters, rng.uniform(-7, 7, len(parameters))))
    expressions = analyse(program.slots, list(bound))
    angles = expressions.matrix @ np.array(list(bound.values())) + expressions.offset
    values, _ = oracle.values_and_derivatives(program, operators, angles)
    wanted = [oracle.value_of_circuit(circuit.assign_parameters(bound), operator) for operator in operators]
    assert np.allclose(values, wanted, atol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_random_circuits_give_qiskits_expectation_values(seed, oracle):
    rng = np.random.default_rng(seed)
    n_qubits = int(rng.integers(1, 6))
    circuit = random_circuit(n_qubits, 5, max_operands=min(4, n_qubits), seed=seed)
    operators = observables(n_qubits, rng)
    values, errors = resolve("native").estimate(circuit, operators)
    assert np.allclose(values, [oracle.value_of_circuit(circuit, o) for o in operators], atol=1e-11)
    assert (errors == 0).all()


def test_the_catalogue_lowers_to_qiskits_values(case, oracle, rng):
    program = lower(case.circuit)
    parameters = list(case.circuit.parameters)
    if program.amplitudes:
        pytest.skip("amplitudes are normalised by the layer: tests/test_layer.py")
    operators = as_list(case.observables, program.n_qubits)
    for _ in range(3):
        bound = dict(zip(parameters, rng.uniform(-4, 4, len(parameters))))
        angles = np.array([float(slot.bind({p: bound[p] for p in slot.parameters}).numeric()) for slot in program.slots])
        values, _ = oracle.values_and_derivatives(program, operators, angles)
        wanted = [oracle.value_of_circuit(case.circuit.assign_parameters(bound), o) for o in operators]
        assert np.allclose(values, wanted, atol=1e-12)


def test_pauli_evolution_and_circuits_made_controlled_are_lowered(oracle, rng):
    t = Parameter("t")
    inner = QuantumCircuit(2, global_phase=0.3)
    inner.append(PauliEvolutionGate(Pauli("YX"), time=t), [0, 1])
    inner.rzz(0.2, 0, 1)
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    circuit.append(inner.to_gate().control(2, ctrl_state=1, annotated=False), [3, 0, 1, 2])
    circuit.append(inner.to_gate(label="x").control(1, annotated=True), [0, 3, 2])
    operators = observables(4, rng)
    program = lower(circuit)
    expressions = analyse(program.slots, [t])
    values, _ = oracle.values_and_derivatives(program, operators, expressions.matrix @ [0.8] + expressions.offset)
    wanted = [oracle.value_of_circuit(circuit.assign_parameters({t: 0.8}), o) for o in operators]
    assert np.allclose(values, wanted, atol=1e-12)


@pytest.mark.parametrize("string", ["XYZ", "-XIZ", "YZZ", "III"])
def test_the_evolution_of_one_pauli_string_is_one_rotation(oracle, rng, string):
    t = Parameter("t")
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    circuit.rx(0.4, range(4))
    circuit.append(PauliEvolutionGate(Pauli(string), time=1.5 * t), [2, 0, 3])
    scaled = PauliEvolutionGate(SparsePauliOp(string.strip("-"), [0.7]), time=t)
    circuit.append(AnnotatedOperation(scaled, ControlModifier(1)), [1, 2, 0, 3])
    operators, program = observables(4, rng), lower(circuit)
    assert len(program.gates) == 8 + (string != "III") + 1  # alone an identity is a global phase
    expressions = analyse(program.slots, [t])
    values, _ = oracle.values_and_derivatives(program, operators, expressions.matrix @ [0.8] + expressions.offset)
    wanted = [oracle.value_of_circuit(circuit.assign_parameters({t: 0.8}), o) for o in operators]
    assert np.allclose(values, wanted, atol=1e-12)


class Mystery(Gate):
    """A gate nobody can take apart."""

    def __init__(self, angle):
        super().__init__("mystery", 1, [angle])


def _with(build) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    build(circuit)
    return circuit


@pytest.mark.parametrize(
    "circuit, named",
    [
        (_with(lambda c: c.append(Mystery(Parameter("t")), [0])), "mystery"),
        (_with(lambda c: c.append(Mystery(0.3), [0])), "mystery"),
        (_with(lambda c: c.measure(0, 0)), "remove_final_measurements"),
        (_with(lambda c: (c.h(0), c.reset(0))), "reset"),
        (_with(lambda c: c.if_test((c.clbits[0], 1), _with(lambda d: d.x(0)), [0, 1], [0, 1])), "if_else"),
    ],
    ids=["free_unknown_gate", "bound_unknown_gate", "measurement", "reset", "control_flow"],
)
def test_what_cannot_be_lowered_raises_and_is_named(circuit, named):
    with pytest.raises(Unsupported, match=named):
        lower(circuit)


def test_what_is_no_circuit_or_has_no_finite_angle_is_refused():
    with pytest.raises(LabError, match="QuantumCircuit"):
        lower("h q[0];")
    with pytest.raises(LabError, match="no qubits"):
        lower(QuantumCircuit())
    with pytest.raises(LabError, match="finite"):
        lower(_with(lambda c: c.rx(float("nan"), 0)))


def test_expressions_are_affine_where_they_are_and_formulas_elsewhere():
    x, w = ParameterVector("x", 2), Parameter("w")
    slots = [2 * w + 0.5, x[0] - x[1] / 4, x[0] * w, (w + 1).sin(), 0 * w + x[0]]
    found = analyse(slots, [*x, w])
    assert found.places == (2, 3)
    assert found.matrix.toarray()[:2].tolist() == [[0, 0, 2], [1, -0.25, 0]]
    assert found.offset.tolist() == [0.5, 0, 0, 0, 0]
    with pytest.raises(LabError, match="neither an input nor a weight"):
        analyse([w * 2], [*x])


def _named_gate(name, build, n_qubits=1):
    inner = QuantumCircuit(n_qubits, name=name)
    build(inner)
    return inner.to_gate()


@pytest.mark.parametrize(
    "append",
    [
        lambda c: c.append(MCMTGate(XGate(), 1, 2), [0, 1, 2]),
        lambda c: c.append(MCMTGate(ZGate(), 2, 1), [2, 1, 0]),
        lambda c: c.append(AnnotatedOperation(XGate(), [ControlModifier(1, 0), ControlModifier(1, 1)]), [0, 1, 2]),
        lambda c: c.append(AnnotatedOperation(SGate(), [InverseModifier(), ControlModifier(2, 1)]), [0, 1, 2]),
        lambda c: c.append(_named_gate("delay", lambda d: d.x(0)), [1]),
        lambda c: c.append(_named_gate("x", lambda d: d.h(0)), [1]),
        lambda c: c.append(_named_gate("swap", lambda d: d.cx(0, 1), 2), [0, 1]),
        lambda c: c.append(UnitaryGate([[0, 1j], [1j, 0]], label="x"), [2]),
    ],
    ids=["mcmt_x", "mcmt_z", "two_controls", "inverse_controlled", "delay", "x", "swap", "label"],
)
def test_gates_are_told_by_what_they_are_and_not_by_their_names(append, oracle, rng):
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.u(*rng.uniform(0, 6, 3), qubit)
    append(circuit)
    circuit.h(range(3))
    operators = observables(3, rng)
    values, _ = resolve("native").estimate(circuit, operators)
    assert np.allclose(values, [oracle.value_of_circuit(circuit, o) for o in operators], atol=1e-10)


def test_resets_and_initial_states_at_the_start_are_fine(rng, oracle):
    circuit = QuantumCircuit(3)
    circuit.reset(range(3))
    state = rng.normal(size=4) + 1j * rng.normal(size=4)
    circuit.initialize(state / np.linalg.norm(state), [2, 0])
    circuit.h(1)
    operators = observables(3, rng)
    wanted = QuantumCircuit(3)
    wanted.prepare_state(state / np.linalg.norm(state), [2, 0])
    wanted.h(1)
    values, _ = resolve("native").estimate(circuit, operators)
    assert np.allclose(values, [oracle.value_of_circuit(wanted, o) for o in operators], atol=1e-10)


@pytest.mark.parametrize("build", [lambda t: t.sign() * t, lambda t: t * t / t, lambda t: (t * 0.3).exp() ** 2])
def test_expressions_without_a_slope_at_zero_are_formulas(build):
    import torch

    from qml import QuantumLayer

    t = Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.rx(build(t), 0)
    layer = QuantumLayer(circuit, init=[0.7], dtype=torch.float64)
    assert np.isclose(layer().item(), np.cos(float(build(t).bind({t: 0.7}).numeric())))


@pytest.mark.parametrize(
    "change",
    [lambda a, b: {a: a + np.pi / 2, b: b}, lambda a, b: {a: 2 * a, b: b}, lambda a, b: {a: b, b: a}],
    ids=["shifted", "doubled", "swapped"],
)
def test_a_controlled_gate_of_ones_own_whose_parameters_were_rebound_has_the_new_ones(change):
    a, b = Parameter("a"), Parameter("b")

    def made(first, second) -> QuantumCircuit:
        inner = QuantumCircuit(1)
        inner.rx(first, 0)
        inner.rz(second, 0)
        circuit = QuantumCircuit(2)
        circuit.h(0)
        circuit.append(inner.to_gate().control(1), [0, 1])
        circuit.ry(0.3, 1)
        return circuit

    new = change(a, b)
    values = {"a": 0.7, "b": -1.1}
    states = []
    for circuit in (made(a, b).assign_parameters(new), made(new[a], new[b])):
        program = lower(circuit)
        angles = [float(slot.bind({p: values[p.name] for p in slot.parameters})) for slot in program.slots]
        states.append(PlainEngine(program, []).states(np.array(angles)[:, None])[0])
    assert abs(np.vdot(*states)) == pytest.approx(1, abs=1e-12)


def test_a_controlled_cu_keeps_its_phase():
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.append(CUGate(0.1, 0.2, 0.3, 0.4).control(1), [0, 1, 2])
    state = PlainEngine(lower(circuit), []).states(np.zeros((0, 1)))[0]
    assert abs(np.vdot(Statevector(circuit).data, state)) == pytest.approx(1, abs=1e-12)


def test_an_evolution_under_many_controls_is_one_rotation():
    circuit = QuantumCircuit(14)
    circuit.append(PauliEvolutionGate(Pauli("ZZ"), Parameter("t")).control(12), range(14))
    gates = [gate for gate in lower(circuit).gates if getattr(gate, "slot", None) is not None]
    assert len(gates) == 1 and len(gates[0].controls) == 12


def test_a_thousand_terms_are_parted_in_a_moment():
    rng = np.random.default_rng(3)
    labels = sorted({"".join(rng.choice(list("IXYZ"), 8)) for _ in range(1500)} - {"I" * 8})
    circuit = QuantumCircuit(8)
    circuit.append(PauliEvolutionGate(SparsePauliOp(labels, rng.normal(size=len(labels))), Parameter("t")), range(8))
    assert len(lower(circuit).gates) >= len(labels)


def test_a_gate_that_takes_numbers_alone_is_named():
    circuit = QuantumCircuit(1)
    circuit.rv(*ParameterVector("v", 3), 0)
    with pytest.raises(Unsupported, match="'rv' has no definition in standard gates while its parameters are free"):
        lower(circuit)
