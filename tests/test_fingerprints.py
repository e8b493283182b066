"""What tells circuits apart, and what is kept of one: the same hash is the same circuit, and a file brings it back."""

import io

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Gate
from qiskit.circuit.classical import expr
from qiskit.circuit.library import (
    AndGate,
    IntegerComparatorGate,
    LinearPauliRotationsGate,
    MCMTGate,
    PauliEvolutionGate,
    StatePreparation,
    UnitaryGate,
    XGate,
    ZGate,
)
from qiskit.quantum_info import Operator, SparsePauliOp

import qml
from circuits.errors import LabError
from circuits.evolution import EvolutionGate
from qml.submission.fingerprint import of_circuit
from qml.submission.packing import packed


def tilted(angle: float = 0.4, name: str | None = None) -> QuantumCircuit:
    circuit = QuantumCircuit(2, name=name)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    return circuit


def custom(name: str, angle: float) -> QuantumCircuit:
    inner = QuantumCircuit(2, name=name)
    inner.rx(angle, 0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(3, 1)
    circuit.append(inner.to_gate(), [0, 2])
    circuit.append(inner.to_gate().control(1, ctrl_state=0), [1, 0, 2])
    return circuit


def feedback(value: int) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], value)):
        circuit.x(1)
    return circuit


def of_operator(text: str, time: float) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.append(PauliEvolutionGate(SparsePauliOp(text), time), [0, 1])
    return circuit


def of_matrix(sign: int) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.append(UnitaryGate([[1, 0], [0, sign]]), [0])
    return circuit


def test_a_fingerprint_tells_circuits_apart_by_what_they_do():
    def variants():
        yield from (tilted(0.1), tilted(np.nextafter(0.1, 1)), custom("g", 0.1), custom("g", 0.2), feedback(0), feedback(1))
        yield from (of_operator("XX", 1), of_operator("XY", 1), of_operator("XX", 2), of_matrix(1), of_matrix(-1))
        yield from (QuantumCircuit(2), QuantumCircuit(3), QuantumCircuit(2, 1), QuantumCircuit(2, global_phase=1))

    first, second = list(map(of_circuit, variants())), list(map(of_circuit, variants()))
    assert first == second and len(set(first)) == len(first)
    for circuit, expected in zip(variants(), first):  # and the same after a way through a file
        packed = io.BytesIO()
        qpy.dump(circuit, packed)
        packed.seek(0)
        assert of_circuit(qpy.load(packed)[0]) == expected


def gate_alone(gate: Gate) -> QuantumCircuit:
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, range(gate.num_qubits))
    return circuit


def switch(labels: tuple[int, int], target: str = "register") -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.switch(circuit.cregs[0] if target == "register" else circuit.clbits[int(target)]) as case:
        with case(labels[0]):
            circuit.x(1)
        with case(labels[1]):
            circuit.z(1)
    return circuit


def on_expression(bit: int, is_not: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure([0, 1], [0, 1])
    condition = expr.lift(circuit.clbits[bit])
    with circuit.if_test(expr.logic_not(condition) if is_not else condition):
        circuit.x(1)
    return circuit


def evolved(text: str, is_controlled: bool = False) -> QuantumCircuit:
    gate = EvolutionGate(SparsePauliOp.from_list([(text, 0.3), ("ZI", 0.2)]))
    return gate_alone(gate.control(1) if is_controlled else gate)


CONTENT_BESIDE_PARAMETERS = {
    "and": [AndGate(2, [1, 1]), AndGate(2, [1, -1])],
    "comparator": [IntegerComparatorGate(2, 1), IntegerComparatorGate(2, 2), IntegerComparatorGate(2, 1, geq=False)],
    "rotations": [LinearPauliRotationsGate(2, 1, 0.5), LinearPauliRotationsGate(2, 1, 0.7)],
    "many_targets": [MCMTGate(XGate(), 1, 2), MCMTGate(ZGate(), 1, 2)],
    "preparation": [StatePreparation([0.6, 0.8]), StatePreparation([0.6, 0.8]).inverse()],
}


@pytest.mark.parametrize("gates", CONTENT_BESIDE_PARAMETERS.values(), ids=CONTENT_BESIDE_PARAMETERS)
def test_gates_of_different_content_differ_and_are_kept_as_what_they_do(gates):
    circuits = [gate_alone(gate) for gate in gates]
    assert None not in map(of_circuit, circuits) and len(set(map(of_circuit, circuits))) == len(circuits)
    for circuit in circuits:
        (again,) = qpy.load(io.BytesIO(packed(circuit)))
        assert np.abs(Operator(again).data - Operator(circuit).data).max() < 1e-12


def test_what_is_no_parameter_of_a_gate_or_branch_counts_too():
    def variants():
        yield from (evolved("XX"), evolved("YY"), evolved("XX", True), evolved("YY", True))
        yield from (switch((0, 1)), switch((0, 2)), switch((1, 0)), switch((0, 1), "0"), switch((0, 1), "1"))
        yield from (on_expression(0), on_expression(1), on_expression(1, True))

    first, second = list(map(of_circuit, variants())), list(map(of_circuit, variants()))
    assert first == second and None not in first and len(set(first)) == len(first)


def test_a_gate_that_nothing_tells_is_never_answered_by_another(store, counting):
    unknown = [gate_alone(Gate("mystery", 1, [])) for _ in range(2)]
    assert list(map(of_circuit, unknown)) == [None, None]
    backend = counting()
    ran = [qml.submit(circuit, backend, reuse=True, seed=1, store=store) for circuit in unknown]
    assert [bool(job.result()) for job in ran] == [True, True] and backend.calls == 2
    qml.submit(unknown[0], backend, tag="t", store=store).result()
    with pytest.raises(LabError, match="cannot be compared with what was submitted"):
        qml.submit(unknown[1], backend, tag="t", store=store)


def test_reuse_answers_an_evolution_by_its_own_result_and_not_by_anothers(store):
    request = {"observables": "ZZ", "shots": None, "store": store, "reuse": True}
    values = {text: qml.submit(evolved(text), **request).result().values for text in ("XX", "IX")}
    alone = {text: qml.submit(evolved(text), observables="ZZ", shots=None, store=store).result().values for text in values}
    assert values == alone and values["XX"] != values["IX"]


def test_gates_that_qpy_loses_run_on_aer(store):
    circuit = QuantumCircuit(4)
    circuit.x([0, 1])
    circuit.append(AndGate(2, [1, 1]), [0, 1, 2])
    circuit.append(IntegerComparatorGate(1, 1), [2, 3])
    assert qml.submit(circuit, "aer", shots=10, seed=1, store=store).result().counts == {"1111": 10}


def without_mystery(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with what is called "holder" opened, and without what nothing tells."""
    rest = circuit.copy_empty_like()
    for item in circuit.data:
        if item.name == "holder":
            rest.compose(without_mystery(item.operation.definition), item.qubits, inplace=True)
        elif item.name != "mystery":
            rest.append(item)
    return rest


@pytest.mark.parametrize("is_held", [False, True], ids=["alone", "in_a_gate"])
def test_a_gate_that_nothing_tells_does_not_hide_what_a_file_loses(is_held):
    circuit = QuantumCircuit(2, name="holder")
    circuit.append(StatePreparation([0.6, 0.8]).inverse(), [0])
    circuit.append(Gate("mystery", 1, []), [1])
    circuit = gate_alone(circuit.to_gate()) if is_held else circuit
    (again,) = qpy.load(io.BytesIO(packed(circuit)))
    assert of_circuit(circuit) is None
    assert np.abs(Operator(without_mystery(again)).data - Operator(without_mystery(circuit)).data).max() < 1e-12
