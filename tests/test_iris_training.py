"""The authors' trials are met loss by loss, the quantum network ends where theirs does, the verdict says what rows say."""

import math

import numpy as np
import pytest

from circuits.errors import LabError, UnknownName
from studies import iris_training as study
from studies.published import ABBAS_LOSS_SPREADS, ABBAS_LOSSES

# The first losses of the authors' trial 0, from the data in their repository.
FIRST = {
    "quantum": (0.63564013, 0.57186623, 0.51384736),
    "classical": (0.69233268, 0.69024458, 0.68736944),
}


def rows_of(**fields) -> list[dict]:
    return [{**case, **row} for case in study.cases(study.Settings(**fields)) for row in study.run(case)]


@pytest.mark.parametrize("model", FIRST)
def test_the_authors_first_trial_is_met_loss_by_loss(model):
    (first, _) = study.losses(rows_of(models=(model,), trials=2, iterations=3), model)
    np.testing.assert_allclose(first, FIRST[model], atol=2e-6, rtol=0)


def test_the_quantum_network_ends_at_the_published_loss():
    rows = rows_of(models=("quantum",), trials=5)
    assert study.final(rows, "quantum").value == pytest.approx(ABBAS_LOSSES["quantum"][100], abs=0.03)
    assert study.losses(rows, "quantum")[:, -1].std() < 4 * ABBAS_LOSS_SPREADS["quantum"]


@pytest.mark.parametrize("model", study.MODELS)
def test_a_trial_does_not_depend_on_the_others_it_is_trained_with(model):
    whole, alone = (study.run({"model": model, "first_trial": k, "trials": 3 - k, "iterations": 2}) for k in (0, 2))
    assert whole[2]["losses"] == pytest.approx(alone[0]["losses"], rel=1e-7) and whole[2]["trial"] == alone[0]["trial"]


def test_rows_have_norm_one_and_both_classes_count_alike():
    for model, per_class in {"quantum": 49, "easy quantum": 49, "classical": 50}.items():
        inputs, labels = study.data(model)
        assert np.linalg.norm(inputs, axis=1) == pytest.approx(1) and np.bincount(labels).tolist() == [per_class] * 2


def made_up(ends: dict[str, float], trials=6) -> list[dict]:
    falls = np.linspace(1, 0, 100)
    return [
        {"model": model, "trial": trial, "losses": (end + 0.001 * trial + falls).tolist(), "provenance": {}}
        for model, end in ends.items()
        for trial in range(trials)
    ]


def test_the_verdict_says_which_is_lowest_and_whether_the_published_losses_are_met():
    words = study.verdict(made_up({"quantum": 0.23, "easy quantum": 0.43, "classical": 0.38}))
    assert words.startswith("Yes: ") and words.index("quantum 0.2") < words.index("classical 0.3") and "NOT met" in words
    turned = study.verdict(made_up({"quantum": 0.5, "easy quantum": 0.43, "classical": math.log(2)}))
    assert turned.startswith("Not shown") and "Of 6 classical trials 6 end at a guess's loss" in turned
    drawing = study.figure(made_up({"quantum": 0.23, "classical": 0.38}))
    assert "quantum model trains lowest" in drawing.axes[0].get_title(loc="left") + drawing.axes[0].get_title()
    assert len(study.table(made_up({"quantum": 0.23}))) == 5


@pytest.mark.parametrize(
    ("wrong", "error"), [({"models": ("quantm",)}, UnknownName), ({"models": ()}, LabError), ({"trials": 1}, LabError)]
)
def test_settings_that_cannot_work_are_refused(wrong, error):
    with pytest.raises(error):
        study.Settings(**wrong)
