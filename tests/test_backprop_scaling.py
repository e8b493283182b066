"""The study of backpropagation scaling: what theory says of each method comes out of what was measured."""

import math

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from circuits.errors import LabError
from qml.gradients.base import names
from studies import backprop_scaling as study
from studies import step_costs

N = 6
SETTINGS = study.Settings(qubits=(N,), weights=(8, 12, 20, 32, 64, 96), seconds=1e9)


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_costs, "BURST", 0.0)  # nothing here looks at seconds
        cases = [c for c in study.cases(SETTINGS) if c["n_qubits"]]
        cases += [c for c in study.cases(study.Settings()) if not c["n_qubits"]]  # networks, to 2,000 weights
        return [{**case, **row} for case in cases for row in study.run(case)]


def answer(rows, method: str, growth: str, n: int = N) -> tuple[str, str]:
    return study.answer(study._points(rows, method, growth, n))


def test_every_method_of_the_family_is_asked_on_both_circuits():
    for growth in study.GROWTHS:
        assert [c["method"] for c in study.cases(SETTINGS) if c["growth"] == growth and c["n_qubits"]] == names()


@pytest.mark.parametrize("network", study.NETWORKS)
def test_classical_networks_have_it(rows, network):
    assert answer(rows, network, "layers", 0) == (study.HAS, "")


@pytest.mark.parametrize("growth", study.GROWTHS)
@pytest.mark.parametrize(
    ("method", "found", "why"),
    [
        ("parameter-shift", study.HAS_NOT, "gates go as P^1.0"),
        ("finite-diff", study.HAS_NOT, "gates go as P^1.0"),
        ("hadamard", study.HAS_NOT, "gates go as"),
        ("adjoint", study.SIMULATED, "reads the state"),
        ("backprop", study.HAS_NOT, "memory goes as P^0."),
        ("spsa", study.HAS_NOT, "its error needs"),
        ("random-directions", study.HAS_NOT, "its error needs"),
    ],
)
def test_methods_answer_as_theory_does(rows, method, growth, found, why):
    said, because = answer(rows, method, growth)
    assert said == found and why in because


def test_commuting_blocks_have_it_for_one_block_and_not_for_layers(rows):
    assert answer(rows, "commuting-blocks", "block") == (study.HAS, "")
    assert {row["gradient_circuits"] for row in study._points(rows, "commuting-blocks", "block", N)} == {1}
    assert answer(rows, "commuting-blocks", "layers")[0] == study.HAS_NOT


@pytest.mark.parametrize(("method", "m"), [("spsa", 1), ("random-directions", 4)])
def test_the_error_of_random_methods_is_that_of_m_directions_of_p(rows, method, m):
    for growth in study.GROWTHS:
        for row in study._points(rows, method, growth, N):
            wanted = row["weights"] / m - 1
            assert abs(row["square_error"] - wanted) < 5 * row["square_error"] * row["square_error_spread"] + 1e-9
            assert study._repeats(row) == pytest.approx(max(1, row["square_error"] / 0.25))


def test_exact_methods_need_one_gradient(rows):
    for method in ("parameter-shift", "hadamard", "commuting-blocks", "backprop", "finite-diff"):
        for growth in study.GROWTHS:
            assert all(study._repeats(row) == 1 for row in study._points(rows, method, growth, N))


def test_an_ancilla_is_a_qubit(rows):
    for method, qubits in (("hadamard", N + 1), ("parameter-shift", N)):
        assert {row["gradient_qubits"] for row in study._points(rows, method, "layers", N)} == {qubits}


@pytest.mark.parametrize(
    ("law", "passes", "shown"),
    [
        (lambda p: 2.0, True, "constant"),
        (lambda p: 3 * math.log(p), True, "(ln P)^1.000"),
        (lambda p: 2 - 1 / p, True, ""),
        (lambda p: math.log(p) ** 2, False, "(ln P)^2.000"),
        (lambda p: p**0.5, False, "P^0.500"),
        (lambda p: 5 * p, False, "P^1.000"),
        (lambda p: {10: 1, 32: 9, 100: 2, 320: 5, 1000: 7, 2000: 30}[p], None, ""),
    ],
)
def test_growth_is_told_from_a_logarithm(law, passes, shown):
    sizes = 10, 32, 100, 320, 1000, 2000
    points = [{"weights": p, "method": "x", "forward_gates": 1, "gradient_gates": law(p)} for p in sizes]
    found = study.grows(points, "gates")
    assert found.is_let_pass is passes and str(found).startswith(shown)


def test_the_verdict_names_every_method_and_the_table_every_line(rows):
    said = study.verdict(rows)
    assert all(method in said for method in (*names(), *study.NETWORKS.values()))
    assert len(study.table(rows)) == 2 * len(names()) + len(study.NETWORKS)
    assert len(study.figure(rows).get_axes()) == 4


def test_a_control_that_fails_is_told(rows, monkeypatch):
    assert "Neither control fails." in study.verdict(rows)
    monkeypatch.setattr(study, "answer", lambda points: (study.HAS, ""))
    assert "The control FAILS for parameter-shift" in study.verdict(rows)
    monkeypatch.setattr(study, "answer", lambda points: (study.HAS_NOT, ""))
    assert "The control FAILS for wider network, deeper network" in study.verdict(rows)


def test_a_method_that_refuses_the_circuit_is_left_out_with_the_reason(monkeypatch):
    def controlled(case, weights):
        circuit = QuantumCircuit(2)
        for angle in ParameterVector("w", weights):
            circuit.crx(angle, 0, 1)
        return circuit

    monkeypatch.setattr(study, "_circuit", controlled)
    (case,) = (c for c in study.cases(SETTINGS) if (c["method"], c["growth"]) == ("commuting-blocks", "layers"))
    case |= {"n_qubits": 2}
    rows = [{**case, **row} for row in study.run(case)]
    assert all("Clifford" in row["left_out"] for row in rows)
    assert study.answer(study._points(rows, "commuting-blocks", "layers", 2))[0] == study.NOT_TOLD
    assert "Clifford" in study.table(rows)[0]["left out"] and study.figure(rows)


def test_what_takes_too_long_is_followed_no_further():
    (case,) = (c for c in study.cases(SETTINGS) if (c["method"], c["growth"]) == ("hadamard", "layers"))
    rows = study.run({**case, "seconds": 1e-9})
    assert "left_out" not in rows[0] and all("the size before took" in row["left_out"] for row in rows[1:])


@pytest.mark.parametrize(
    "change",
    [{"qubits": ()}, {"qubits": (1,)}, {"weights": (10, 20, 30)}, {"weights": (1, 2, 3, 4)}, {"error": 0}, {"error": 1}],
)
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(LabError, match="setting"):
        study.Settings(**change)
