"""The study lie_algebra measures what it says, and its verdict and figure say what rows say."""

import math

import pytest

from circuits.errors import LabError
from studies import lie_algebra as study
from studies.lie.comparison import compared
from studies.lie.depth import variance_at_depth
from studies.lie.prediction import matchgate_variance
from studies.lie.strings import Strings
from studies.statistics import mean_square, variance

SIGMA = 5


def test_a_wrong_formula_is_seen():
    row = {"part": "chain", "family": "a14", "qubits": [4], "chain": "open", "centres": [0]}
    right, number, split = (
        compared([{**row, "dimensions": [d], "ideals": [i]}])[0].agrees for d, i in ((28, [28]), (27, [27]), (28, [14, 14]))
    )
    assert (right, number, split) == (True, False, False)


def case(arm, n_qubits, samples, first_sample=0, n_layers=None) -> dict:
    fields = {"arm": arm, "n_qubits": n_qubits, "n_layers": n_layers or 20 * n_qubits}
    return {"part": "measured", **fields, "first_sample": first_sample, "samples": samples, "seed": 11}


@pytest.mark.parametrize(("arm", "n", "n_layers"), [("matchgate", 3, 60), ("matchgate", 5, 100), ("universal", 3, 60),
                                                    ("matchgate", 4, 3), ("universal", 4, 2)])  # fmt: skip
def test_sampled_circuits_have_the_exact_variance_at_their_depth(arm, n, n_layers):
    samples = 3000
    print("seed 11")
    layer = Strings.of(study._generators(arm, n))
    for row in study.run(case(arm, n, samples, n_layers=n_layers)):
        exact = variance_at_depth(layer, Strings.of([row["observable"].rjust(n, "I")]), n_layers)
        error = math.sqrt((row["fourths"] / samples - (row["squares"] / samples) ** 2) / samples)
        assert abs(row["squares"] / samples - exact) < SIGMA * error


def test_a_sample_does_not_depend_on_the_batch_it_is_computed_in():
    whole = study.run(case("matchgate", 3, 40))
    parts = [study.run(case("matchgate", 3, count, first)) for first, count in ((0, 7), (7, 33))]
    for k, row in enumerate(whole):
        assert row["squares"] == pytest.approx(sum(part[k]["squares"] for part in parts), rel=1e-12)


def test_a_mean_square_has_the_interval_of_a_variance(rng):
    drawn = rng.standard_normal(4000)
    known, unknown = mean_square((drawn**2).sum(), (drawn**4).sum(), 4000), variance(drawn)
    assert known.value == pytest.approx(unknown.value, rel=2e-3)
    assert known.log_error == pytest.approx(unknown.log_error, rel=0.02)
    with pytest.raises(LabError, match="16 samples"):
        mean_square(1.0, 1.0, 3)


def made_up(factor=1.0, wrong=False) -> list[dict]:
    """Rows of small algebras and of measured variances that are `factor` times the law's."""
    rows = []
    for one in study.cases(study.Settings(chain_qubits=(3, 4), largest_sum=4, qubits=(3, 5), samples=4096)):
        if one["part"] == "measured":
            law = {"Z": 1 / (2 ** one["n_qubits"] + 1) if one["arm"] == "universal" else 1 / (2 * one["n_qubits"] - 1)}
            law["ZZ"] = matchgate_variance(one["n_qubits"], 2)
            values = {word: factor * law[word] for word in study.OBSERVABLES[one["arm"]]}
            count = one["samples"]
            found = [{"observable": w, "squares": v * count, "fourths": 3 * v**2 * count} for w, v in values.items()]
        else:
            found = study.run(one)
        rows += [{**one, **row, "provenance": {}} for row in found]
    if wrong:
        next(row for row in rows if row.get("family") == "a7")["dimensions"][0] += 1
    return rows


@pytest.fixture(scope="module")
def true_rows() -> list[dict]:
    return made_up()


def test_the_verdict_says_yes_when_the_law_and_the_formulas_hold(true_rows):
    words = study.verdict(true_rows)
    assert words.startswith("Yes: the measured variance over the predicted one is 1.000 [0.9")
    assert "The depth is enough" in words and "are found as published" in words and "NOT" not in words
    assert {line["agrees"] for line in study.table(true_rows)} == {"0.0 sigma", "yes", "no formula"}


def test_the_verdict_says_when_they_do_not(true_rows):
    words = study.verdict(made_up(1.3, wrong=True))
    assert words.startswith("Not shown") and "NOT found as published: the algebras a7, open" in words


def test_the_figure_s_title_is_the_finding(true_rows):
    drawing = study.figure(true_rows)
    assert "sets the variance" in drawing.get_suptitle()
    assert all(axes.get_yscale() == "log" and "qubits" in axes.get_xlabel() for axes in drawing.axes)
    assert "not the one" in study.figure(made_up(1.3)).get_suptitle()
