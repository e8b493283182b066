"""At a fixed depth the size does not matter; the median counts what no walk has seen; bad settings are refused."""

import numpy as np
import pytest

from circuits.errors import LabError, UnknownName
from studies import trainability_at_scale as study


def rows_of(**fields) -> list[dict]:
    settings = study.Settings(walks=1 << 20, **fields)
    return [{**case, **row} for case in study.cases(settings) for row in study.run(case)]


def test_at_a_fixed_depth_a_thousand_qubits_have_the_variances_of_fifty():
    small, large = rows_of(qubits=(50, 1000), arms=("fixed",))
    assert small["median_error"] == large["median_error"] == 0  # exact
    assert small["median"] == pytest.approx(large["median"], rel=1e-12)
    assert small["largest"] == pytest.approx(large["largest"], rel=1e-12)
    assert small["seen"] == large["seen"] > 0 == small["unseen"]
    assert "at every size" in study.verdict([small, large])


def test_deeper_circuits_and_global_observables_have_smaller_variances():
    rows = rows_of(qubits=(64, 128, 256), control_qubits=(4, 6, 8), arms=("log", "global"))
    log, control = study._of(rows, "log"), study._of(rows, "global")
    assert log[0]["median"] > log[-1]["median"] and control[0]["median"] > 2 * control[1]["median"]
    words = study.verdict(rows)
    assert "never below the light cone's bound" in words
    assert "goes like n to the power -" in words and "exp(b n) with b = -0.7" in words and "as the control must" in words
    flat = [{**row, "median": 0.1} for row in control]
    assert "which the control must not: do not trust" in study.verdict(flat)
    assert "0.0" in study.verdict(log[:2]) and "power" not in study.verdict(log[:2])
    drawing = study.figure(rows)
    assert drawing.axes[0].get_yscale() == "log" and len(study.table(rows)) == 6


@pytest.mark.parametrize("depth", [1, 4, 7])
def test_the_bound_is_the_light_cone_s(depth):
    from circuits.ansatze import cz_line
    from circuits.observables import middle_pair
    from studies.light_cone import cone_bound

    found = cone_bound(cz_line(12, depth), middle_pair(12))
    assert found.gradient.max() == study.bound({"arm": "log", "n_layers": depth})


def test_a_variance_below_the_bound_is_not_trusted():
    row = {"arm": "fixed", "n_qubits": 50, "n_layers": 5, "largest": 1e-4}
    assert "do not trust" in study._bounds([row]) and "never below" in study._bounds([{**row, "largest": 1e-2}])


def test_the_median_counts_what_was_not_seen_as_the_smallest():
    value = np.array([0.5, 0.1, 0.3, 0.0, 0.0, 0.0])
    seen = value > 0
    assert study._middle(value, seen, np.array([False] * 6)) == 2
    assert study._middle(value, seen, np.array([0, 0, 0, 1, 1, 0], bool)) == 1
    assert study._middle(value, seen, ~seen) == 1
    assert study._middle(value[3:], seen[3:], ~seen[3:]) is None
    assert study._middle(value[:0], seen[:0], seen[:0]) is None


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"arms": ("cubic",)}, UnknownName),
        ({"arms": ()}, LabError),
        ({"qubits": (2,)}, LabError),
        ({"control_qubits": ()}, LabError),
        ({"walks": 0}, LabError),
        ({"relative_error": 1.5}, LabError),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, error):
    with pytest.raises(error):
        study.Settings(**wrong)
