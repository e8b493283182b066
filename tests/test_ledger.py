"""The ledger counts what runs, as an independent count does, and a plan tells it beforehand."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

import qml
from circuits import ansatze, encodings
from circuits.errors import LabError
from circuits.evolution import EvolutionGate
from qml.backends.native import NativeCircuit
from qml.gradients import base as gradients
from qml.gradients.commuting_blocks import CommutingBlocks
from qml.gradients.stochastic_parameter_shift import StochasticParameterShift
from qml.wording import counted, duration, size, some

BATCH = 3


def layer(circuit: QuantumCircuit, **options) -> qml.QuantumLayer:
    return qml.QuantumLayer(circuit, "Z" * circuit.num_qubits, seed=0, **options)


def entered(model, batch: int = BATCH, **options) -> qml.costs.Ledger:
    """The ledger of one step without derivatives by inputs."""
    inputs = [torch.full((batch, model.n_inputs), 0.3)] if model.n_inputs else []
    with qml.ledger(**options) as cost:
        model(*inputs).sum().backward()
    return cost


def rotations(*gates: str) -> QuantumCircuit:
    w, circuit = ParameterVector("w", len(gates)), QuantumCircuit(2)
    for index, gate in enumerate(gates):
        getattr(circuit, gate)(w[index], *((0, 1) if gate.startswith("c") else (0,)))
    return circuit


def shared(k: int) -> QuantumCircuit:
    t, circuit = Parameter("t"), QuantumCircuit(2)
    for index in range(k):
        circuit.rx(t, index % 2)
    return circuit


def evolution() -> QuantumCircuit:
    w, circuit = ParameterVector("w", 4), QuantumCircuit(3)
    circuit.ry(w[0], 0)
    circuit.append(EvolutionGate(SparsePauliOp(["XX", "ZI", "IZ"], np.array([w[1], w[2], 0.5]))), [0, 1])
    circuit.append(EvolutionGate(SparsePauliOp(["X", "Z"], np.array([w[3], 0.5]))).control(1), [1, 2])
    return circuit


@pytest.mark.parametrize(
    ("circuit", "method", "expected"),
    [
        (rotations("rx", "ry", "rz"), "parameter-shift", 6),
        (rotations("crx"), "parameter-shift", 4),
        (shared(5), "parameter-shift", 10),
        (rotations("rx", "crx"), "finite-diff", 4),
        (ansatze.hardware_efficient(3, 4), "spsa", 2),
        (ansatze.hardware_efficient(3, 4), "adjoint", 0),
        (ansatze.hardware_efficient(3, 4), "backprop", 0),
        (ansatze.hardware_efficient(3, 4), "hadamard", 24),
        (rotations("rx", "crx", "cp"), "hadamard", 4),
        (ansatze.hardware_efficient(3, 4), "random-directions", 8),
        (ansatze.commuting_blocks(4, 1), "commuting-blocks", 1),
        (ansatze.commuting_blocks(4, 5), "commuting-blocks", 5),
        (ansatze.commuting_blocks(4, 5), CommutingBlocks(joint=False), 9),  # 2 B - 1, as published
        (evolution(), "stochastic-parameter-shift", 2 + 2 * 2 + 4),  # a rotation, two coefficients, a controlled one
        (evolution(), StochasticParameterShift(n_points=3), 2 + 3 * (2 * 2 + 4)),
    ],
    ids=lambda value: value.name if isinstance(value, gradients.GradientMethod) else None,
)
def test_a_gradient_takes_as_many_circuits_as_its_rule_says(circuit, method, expected):
    cost = entered(layer(circuit, diff_method=method))
    assert cost.gradients.circuits == expected and cost.values.circuits == 1


def runs() -> list[dict]:
    exact = [{"diff_method": name} for name in gradients.names()]
    sampled = [{"diff_method": name, "shots": 7} for name in gradients.names()]
    elsewhere = [{"backend": "aer"}, {"backend": "aer", "diff_method": "parameter-shift", "shots": 7}]
    return [*exact, *sampled, *elsewhere]


@pytest.mark.parametrize("options", runs(), ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("observables", [["ZZI"], ["ZZI", "XIX"]], ids=["one basis", "two bases"])
def test_a_plan_tells_circuits_and_shots_exactly(options, observables):
    circuit = encodings.angle(3).compose(ansatze.hardware_efficient(3, 2))
    try:
        model = qml.QuantumLayer(circuit, observables, seed=0, **options)
    except LabError as error:
        pytest.skip(str(error))
    inputs = torch.full((BATCH, 3), 0.3, requires_grad=True)
    with qml.ledger() as cost:
        for _ in range(2):
            model(inputs).sum().backward()
    planned = qml.plan(model, BATCH, n_steps=2)
    assert (planned.circuits, planned.shots) == (cost.total.circuits, cost.total.shots)
    assert planned.shots == planned.circuits * options.get("shots", 0)
    assert qml.plan(model, BATCH, input_gradients=False).circuits <= planned.circuits / 2


@pytest.mark.parametrize("shots", [None, 5])
@pytest.mark.parametrize("method", gradients.names())
def test_the_ledger_equals_a_count_at_the_engine(monkeypatch, method, shots):
    circuit = encodings.angle(2).compose(ansatze.hardware_efficient(2, 2))
    try:
        model = qml.QuantumLayer(circuit, ["ZI", "XX"], seed=0, diff_method=method, shots=shots)
    except LabError as error:
        pytest.skip(str(error))
    seen = {"circuits": 0, "shots": 0, "gates": 0}

    def count(name: str, sweeps: int):
        original = getattr(NativeCircuit, name)

        def wrapped(self, inputs, weights, *rest):
            again = int(name == "_vjp" and (rest[1] is None or rest[1].states is None))
            seen["circuits"] += len(inputs) * (again if name == "_vjp" else 1)
            seen["gates"] += len(inputs) * len(self.program.gates) * (sweeps + again)
            seen["shots"] += len(inputs) * rest[0] if name == "_sample" else 0
            return original(self, inputs, weights, *rest)

        monkeypatch.setattr(NativeCircuit, name, wrapped)

    for name, sweeps in (("_expectations", 1), ("_forward", 1), ("_sample", 1), ("_vjp", 2)):
        count(name, sweeps)
    cost = entered(model).total
    if method == "backprop":  # its way back is torch's own, and no run at the engine
        cost.gates -= 3 * BATCH * len(model._program.gates)
    assert seen == {"circuits": cost.circuits, "shots": cost.shots, "gates": cost.gates}


@pytest.mark.parametrize("shots", [None, 7])
@pytest.mark.parametrize("backend", ["native", "aer", "pennylane"])
def test_a_plan_of_evolutions_is_exact(backend, shots):
    model = layer(evolution(), backend=backend, shots=shots, diff_method="stochastic-parameter-shift")
    cost, planned = entered(model, batch=1), qml.plan(model)
    assert (planned.circuits, planned.shots) == (cost.total.circuits, cost.total.shots) == (11, 11 * (shots or 0))


def test_adjoint_applies_three_gates_for_each_of_the_circuit():
    model = layer(ansatze.hardware_efficient(4, 3))
    cost, gates = entered(model), len(model._program.gates)
    assert (cost.values.gates, cost.gradients.gates) == (gates, 2 * gates)
    assert cost.gradients.passes == 2 * cost.values.passes


def test_values_alone_hold_one_state_and_no_gradient():
    model = layer(ansatze.hardware_efficient(4, 1), dtype=torch.float64)
    with qml.ledger() as cost, torch.no_grad():
        model()
    assert cost.gradients == qml.costs.Counts() and cost.values.circuits == 1
    step = entered(model)
    assert step.gradients.peak_bytes > cost.values.peak_bytes >= 16 << 4


def test_second_derivatives_are_entered_as_gradients():
    model = layer(ansatze.hardware_efficient(2, 1), dtype=torch.float64)
    with qml.ledger() as cost:
        torch.autograd.functional.hessian(lambda w: model.evaluate(None, w).sum(), model.w.detach())
    assert cost.gradients.gates > 6 * len(model._program.gates) and cost.values.circuits == 1


def test_classical_operations_are_counted_by_their_formulas():
    model = torch.nn.Linear(5, 7, bias=False)
    inputs = torch.ones(11, 5, requires_grad=True)
    with qml.ledger() as cost:
        model(inputs).sum().backward()
    assert cost.flops == 3 * 2 * 11 * 5 * 7  # forward, and two products back
    assert cost.bytes >= 4 * (11 * 5 + 5 * 7 + 11 * 7)
    with qml.ledger(classical=False) as cost:
        model(inputs)
    assert cost.flops == cost.bytes == 0


def test_ledgers_nest_and_close_when_something_raises():
    model = layer(ansatze.hardware_efficient(2, 1))
    with qml.ledger() as outer:
        with pytest.raises(RuntimeError), qml.ledger() as inner:
            entered(model)
            raise RuntimeError
        model()
    assert not qml.costs.is_open()
    assert outer.total.circuits == inner.total.circuits + 1 == 2
    assert entered(model).total.circuits == 1


def test_an_empty_batch_costs_nothing():
    model = qml.QuantumLayer(encodings.angle(2), seed=0)
    with qml.ledger() as cost:
        model(torch.zeros(0, 2))
    assert cost.total == qml.costs.Counts()


def test_other_runs_are_counted_too():
    model = layer(ansatze.hardware_efficient(2, 1), dtype=torch.float64)
    with qml.ledger() as cost:
        qml.metric_tensor(model)
    assert cost.values.circuits == len(model.weight_parameters)


GROWTH = """
import torch, qml
from circuits import ansatze
def step(n_qubits):
    model = qml.QuantumLayer(ansatze.hardware_efficient(n_qubits, 1), "Z" * n_qubits, [], seed=0, dtype=torch.float64)
    model().sum().backward()
    return model
def kilobytes(what):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(what))
    return int(line.split()[1])
step(19)
open("/proc/self/clear_refs", "w").write("5")  # the peak begins again
before = kilobytes("VmRSS")
model = step(23)
print(kilobytes("VmHWM") - before, qml.plan(model).peak_bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux gives it")
def test_planned_memory_is_what_a_process_grows_by():
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    growth, planned = map(int, done.stdout.split())
    assert planned / (1024 * growth) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("method", ["parameter-shift", "adjoint", "hadamard", "commuting-blocks"])
def test_a_plan_tells_what_of_its_seconds_is_spent_once(method):
    planned = qml.plan(layer(ansatze.hardware_efficient(4, 2), diff_method=method))
    assert 0 <= planned.once < planned.seconds
    assert (planned.once > 0) == (method in ("hadamard", "commuting-blocks"))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"n_steps": 1.5}, {"batch_size": True}])
def test_a_plan_of_no_steps_is_refused(wrong):
    with pytest.raises(LabError, match="whole number"):
        qml.plan(layer(ansatze.hardware_efficient(2, 1)), **wrong)


def test_the_plan_command_tells_steps_and_run(capsys):
    from qml.cli import application

    def plan(*options: str) -> str:
        application()(["plan", "--qubits", "2", "--layers", "1", *options], standalone_mode=False)
        return capsys.readouterr().out

    options = ("--epochs", "2", "--samples", "10", "--batch-size", "4")
    found = json.loads(plan(*options, "--diff-method", "parameter-shift", "--shots", "10", "--json"))
    assert found["steps"] == 6
    assert found["step"]["circuits"] == 4 * (1 + 2 * (2 + 4))  # a sample: values, and two for each input and weight
    assert found["run"]["circuits"] == 2 * 10 * 13 and found["run"]["shots"] == 10 * found["run"]["circuits"]
    assert "gradients by adjoint" in plan(*options)
    with pytest.raises(LabError, match="--samples"):
        plan("--samples", "0")


def test_a_plan_does_not_take_compiling_for_running(monkeypatch):
    from qml import planning

    spent = iter([20.0, 0.001])
    monkeypatch.setattr(planning, "_seconds_of", lambda run, count: next(spent, 0.001))
    assert planning._tried(lambda count: None, 4) == 0.001


@pytest.mark.parametrize(
    "number, said",
    [(1.1, "1.1 s"), (0.5, "500 ms"), (119, "119 s"), (120, "2 minutes"), (7200, "2 hours"), (172800, "2 days")],
)
def test_a_time_is_said_in_the_unit_a_reader_would_choose(number, said):
    assert duration(number) == said


def test_sizes_and_counts_are_said_as_a_reader_would():
    assert [size(n) for n in (1, 512, 2048, 3 << 20, 5 << 30)] == ["1 byte", "512 bytes", "2.0 KiB", "3.0 MiB", "5.0 GiB"]
    assert [counted(n, "circuit") for n in (0, 1, 1200)] == ["0 circuits", "1 circuit", "1,200 circuits"]
    assert [some(list("abcdef"[:n])) for n in (1, 4, 6)] == ["a", "a, b, c, d", "a, b, c, d and 2 more"]


def test_the_plan_of_a_circuit_without_parameters_says_there_is_nothing_to_differentiate(tmp_path, capsys):
    from qml.cli import application

    (tmp_path / "ghz.qasm").write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[1];\nh q[0];\n')
    application()(["plan", str(tmp_path / "ghz.qasm")], standalone_mode=False)
    first, step, _ = capsys.readouterr().out.splitlines()
    assert first == "1 qubit, 0 weights, nothing to differentiate: values alone" and "1 circuit, 0 shots, " in step


QASM = """OPENQASM 3.0;
include "stdgates.inc";
input float a;
input float b;
qubit[2] q;
bit[2] c;
rx(a) q[0];
crx(b) q[0], q[1];
c = measure q;
"""


def test_the_plan_command_takes_a_circuit_of_ones_own(tmp_path, capsys):
    from qml.cli import application

    def plan(*options: str) -> str:
        application()(["plan", *options], standalone_mode=False)
        return capsys.readouterr().out

    w, circuit = ParameterVector("w", 2), QuantumCircuit(2)
    circuit.compose(encodings.angle(2), inplace=True)
    circuit.rzz(w[0], 0, 1)
    circuit.rx(w[1], 0)
    with open(tmp_path / "mine.qpy", "wb") as file:
        qpy.dump([circuit], file)
    (tmp_path / "mine.qasm").write_text(QASM)
    shift = ("--diff-method", "parameter-shift", "--json")
    found = json.loads(plan(str(tmp_path / "mine.qasm"), "--shots", "9", "--steps", "4", *shift))
    assert (found["step"]["circuits"], found["run"]["circuits"], found["run"]["shots"]) == (7, 28, 9 * 28)
    found = json.loads(plan(str(tmp_path / "mine.qpy"), "--batch-size", "3", "--observable", "ZZ", *shift))
    assert found["run"]["circuits"] == 3 * (1 + 2 * 4) and found["run"]["peak_bytes"] > 0 < found["run"]["seconds"]
    for wrong in (("--samples", "3", str(tmp_path / "mine.qasm")), ("--steps", "3"), ("nowhere.qasm",)):
        with pytest.raises(LabError):
            plan(*wrong)


def test_a_plan_counts_derivatives_that_weights_in_input_slots_need():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w") * Parameter("x"), 0)
    inputs = [parameter for parameter in circuit.parameters if parameter.name == "x"]
    model = qml.QuantumLayer(circuit, "Z", inputs, diff_method="parameter-shift")
    with qml.ledger() as cost:
        model(torch.rand(8, 1)).sum().backward()
    planned = qml.plan(model, 8, input_gradients=False)
    assert planned.circuits == cost.values.circuits + cost.gradients.circuits == 24


def test_shots_of_a_constant_can_be_planned():
    assert qml.plan(qml.QuantumLayer(ansatze.hardware_efficient(2, 1), "II", shots=10)).circuits == 0
