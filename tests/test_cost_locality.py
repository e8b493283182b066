"""Cerezo's formulas hold, by both roads, and the verdict says what rows say."""

import math

import pytest

from circuits.errors import LabError
from studies import cost_locality as study

SIGMAS = 5


def rows_of(**fields) -> list[dict]:
    settings = study.Settings(**{"small": (2, 3, 4), "large": (4, 8, 16), "samples": 2048, "walks": 1 << 18, **fields})
    return [{**case, **row} for case in study.cases(settings) for row in study.run(case)]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Small sizes of every arm."""
    return rows_of()


def test_the_formulas_hold_exactly_by_walks_and_within_errors_by_state_vectors(rows):
    for row in rows:
        expected = study.exact(row["arm"], row["n_qubits"])
        if row["arm"] == "warm_up_local":
            assert row["variance"] == pytest.approx(expected, rel=1e-10) and row["error"] == 0
        elif row["arm"] == "warm_up_global":
            assert abs(math.log(row["variance"] / expected)) < SIGMAS * row["error"], "seed 2001"


def test_the_verdict_names_the_laws_and_the_control_is_flat(rows):
    found = study.laws(rows)
    assert (found["warm_up_global"].law, found["warm_up_local"].law) == ("exponential", "power")
    assert found["warm_up_local"].power.value == pytest.approx(-2, abs=1e-6)
    words = study.verdict(rows)
    assert words.startswith("Yes: ") and "The control is flat" in words and "do not trust" not in words
    assert len(study.figure(rows).axes) == 2


@pytest.mark.parametrize("arm", study.BOUNDED)
@pytest.mark.parametrize("n", [4, 7, 12])
def test_the_bound_is_the_light_cone_s(arm, n):
    from studies.light_cone import cone_bound

    depth = study._layers(arm, n)
    found = cone_bound(study._circuit(arm, n, depth), study._observable(arm, n))
    assert found.gradient.max() >= study.bound({"arm": arm, "n_layers": depth}) > 0


def test_a_variance_below_the_bound_is_told_whichever_arm_it_is_of():
    rows = [{"arm": arm, "n_qubits": 4, "n_layers": 3, "variance": 0.5} for arm in study.BOUNDED]
    assert "BELOW" not in study._bounds(rows)
    for number in range(2):
        broken = [row | {"variance": 1e-4} if k == number else row for k, row in enumerate(rows)]
        assert "BELOW the light cone's bound at 4 qubits" in study._bounds(broken)


def test_a_wrong_point_is_not_trusted(rows):
    below = [{**row, "variance": 1e-6} if row["arm"] == "bricks_deep_local" else row for row in rows]
    assert "BELOW the light cone's bound" in study.verdict(below)
    wrong = [{**row, "variance": 1.01 * row["variance"]} if row["arm"] == "warm_up_local" else row for row in rows]
    assert "do not trust this run" in study.verdict(wrong)


@pytest.mark.parametrize(
    "wrong", [{"small": (2, 4)}, {"small": (2, 4, 30)}, {"large": ()}, {"samples": 0}, {"walks": 1}, {"seed": -1}]
)
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)
