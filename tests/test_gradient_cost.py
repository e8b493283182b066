"""The study of what a gradient costs: counts that theory gives, and slopes within a tenth."""

import math
from dataclasses import replace

import pytest

from circuits.errors import LabError
from qml.gradients.base import names
from studies import gradient_cost as study
from studies import step_costs

SECONDS = ("forward_seconds", "gradient_seconds")


@pytest.fixture(scope="module")
def rows():
    settings = study.Settings(qubits=(4,), weights=(40, 120, 320), seconds=1e9, rounds=1)
    larger = replace(settings, weights=(160, 480, 1600))  # a network of 40 weights is mostly biases
    cases = [c for s in (settings, larger) for c in study.cases(s) if (s is larger) == (c["method"] in study.NETWORKS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_costs, "BURST", 0.0)  # nothing here looks at seconds
        return [{**case, **row} for case in cases for row in study.run(case)]


def one(rows, method, weights):
    (row,) = (r for r in rows if r["method"] == method and r["weights"] == weights)
    return row


def test_methods_run_the_circuits_that_theory_gives(rows):
    expected = {"parameter-shift": 640, "finite-diff": 640, "hadamard": 320, "spsa": 2, "adjoint": 0, "random-directions": 8}
    assert {method: one(rows, method, 320)["gradient_circuits"] for method in expected} == expected
    blocks = [row for row in rows if row["method"] == "commuting-blocks"]
    assert [row["gradient_circuits"] for row in blocks] == [row["n_layers"] for row in blocks]


@pytest.mark.parametrize(("method", "slope"), [("adjoint", 1), ("parameter-shift", 2), ("spsa", 1), ("same_weights", 1)])
def test_gates_grow_by_the_power_that_theory_gives(rows, method, slope):
    found = study._slope(study._of(rows, method, 4), "gates", "flops")
    assert abs(found.value - slope) <= study.CLOSE


def test_classical_backpropagation_is_flat(rows):
    ratios = [study._ratio(row, "flops") for row in rows if row["method"] == "same_weights"]
    assert all(1.5 < ratio < 2.1 for ratio in ratios)


def test_backpropagation_through_a_state_keeps_more_the_more_gates_there_are(rows):
    few, many = (one(rows, "backprop", weights)["gradient_bytes"] for weights in (40, 320))
    assert many > 5 * few
    few, many = (one(rows, "adjoint", weights)["gradient_bytes"] for weights in (40, 320))
    assert many == few


def test_the_verdict_says_both_ratios_and_both_slopes(rows):
    said = study.verdict(rows)
    assert "640 circuits for one" in said and said.count(", as theory has it") == 2
    assert len(study.table(rows)) == len({row["method"] for row in rows})
    assert study.figure(rows).get_axes()


@pytest.mark.parametrize("method", [name for name in names() if name not in ("adjoint", "backprop")])
def test_what_would_take_too_long_is_counted_as_if_it_had_run(rows, method):
    run = one(rows, method, 40)
    case = {key: run[key] for key in ("method", "n_qubits", "n_layers", "rounds", "seed")}
    (counted,) = study.run({**case, "seconds": 1e-9})
    assert (run["is_run"], counted["is_run"]) == (True, False)
    kinds = [f"{part}_{kind}" for part in ("forward", "gradient") for kind in ("circuits", "gates", "bytes")]
    assert [counted[kind] for kind in kinds] == [run[kind] for kind in kinds]
    assert "gradient_seconds" in counted and "foretold" in study.verdict([*rows, counted])


def test_a_network_too_large_to_be_run_is_counted_alike(monkeypatch):
    (case,) = (c for c in study.cases(study.Settings(qubits=(4,), weights=(48,))) if c["method"] == "same_operations")
    (run,) = study.run(case)
    monkeypatch.setattr(study, "MOST_WEIGHTS", 10)
    (counted,) = study.run(case)
    assert "gradient_seconds" not in counted
    assert all(counted[key] == value for key, value in run.items() if key not in ("is_run", *SECONDS))


def test_every_method_gets_to_the_most_weights():
    most = {c["method"]: 0 for c in study.cases(study.Settings())}
    for case in study.cases(study.Settings(qubits=(4,))):
        a_layer = 4 if case["method"] in study.OWN_CIRCUIT else 8
        most[case["method"]] = max(most[case["method"]], a_layer * case["n_layers"])
    assert set(most.values()) == {2000}


@pytest.mark.parametrize(
    "change", [{"qubits": ()}, {"weights": (0,)}, {"seconds": math.nan}, {"seconds": math.inf}, {"rounds": 0}, {"seed": -1}]
)
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(LabError, match="setting"):
        study.Settings(**change)
