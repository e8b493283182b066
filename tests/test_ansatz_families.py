"""Every family is drawn, the control does not fall, deep hardware-efficient circuits do."""

import pytest

from circuits.errors import LabError, UnknownName
from studies import ansatz_families as study


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Every family at two small sizes."""
    settings = study.Settings(qubits=(3, 5), samples=256)
    return [{**case, **row} for case in study.cases(settings) for row in study.run(case)]


def test_deep_hardware_efficient_circuits_fall_and_the_control_does_not(rows):
    slopes = study.slopes(rows)
    assert set(slopes) == set(study.ARMS)
    assert slopes["hardware_efficient_full"].high < -0.3
    assert slopes["separable"].low - 0.1 < 0 < slopes["separable"].high + 0.1
    words = study.verdict(rows)
    assert "The separable control does not fall" in words


def test_a_weight_that_turns_more_gates_needs_more_shots(rows):
    lines = {(line["arm"], line["n"]): line for line in study.table(rows)}
    by_case = {(row["arm"], row["n_qubits"]): row for row in rows}
    shared = by_case["permutation_equivariant", 5]
    assert shared["gates"] == 10  # that of all pairs, which has the largest variance
    signal = lines["permutation_equivariant", 5]["snr_at_1000"]
    assert signal == pytest.approx((2000 * shared["largest"] / 10) ** 0.5, abs=0.06)
    assert by_case["separable", 3]["gates"] == 1


def test_the_figure_has_a_line_for_every_family(rows):
    axes = study.figure(rows).axes[0]
    assert len(axes.containers) == len(study.ARMS) and axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"arms": ("hea",)}, UnknownName), ({"arms": ()}, LabError), ({"qubits": (4,)}, LabError), ({"samples": 3}, LabError)],
)
def test_settings_that_cannot_work_are_refused(wrong, error):
    with pytest.raises(error):
        study.Settings(**wrong)
