"""The study of what a gradient costs: counts that theory gives, and slopes within a tenth."""

import pytest

from studies import gradient_cost as study


@pytest.fixture(scope="module")
def rows():
    settings = study.Settings(qubits=(4,), weights=(48, 160, 480), seconds=1e9, rounds=1)
    return [{**case, **row} for case in study.cases(settings) for row in study.run(case)]


def one(rows, method, weights):
    (row,) = (r for r in rows if r["method"] == method and r["weights"] == weights)
    return row


def test_methods_run_the_circuits_that_theory_gives(rows):
    expected = {"parameter-shift": 960, "finite-diff": 960, "hadamard": 480, "spsa": 2, "adjoint": 0, "random-directions": 8}
    assert {method: one(rows, method, 480)["gradient_circuits"] for method in expected} == expected
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
    few, many = (one(rows, "backprop", weights)["gradient_bytes"] for weights in (48, 480))
    assert many > 5 * few
    few, many = (one(rows, "adjoint", weights)["gradient_bytes"] for weights in (48, 480))
    assert many == few


def test_the_verdict_says_both_ratios_and_both_slopes(rows):
    said = study.verdict(rows)
    assert "960 circuits for one" in said and said.count(", as theory has it") == 2
    assert len(study.table(rows)) == len({row["method"] for row in rows})
    assert study.figure(rows).get_axes()


def test_what_would_take_too_long_is_left_out_with_the_reason():
    (case,) = (c for c in study.cases(study.Settings(qubits=(10,), weights=(200,))) if c["method"] == "parameter-shift")
    (row,) = study.run({**case, "seconds": 1e-6})
    assert "would take" in row["left_out"]
