"""Laws that are known are found, with intervals that hold them as often as they say."""

import numpy as np
import pytest

from circuits.errors import LabError
from studies.decay import decay

X = np.array([2, 4, 6, 8, 10, 12])
TRUTH = {
    "constant": lambda x: np.full(len(x), 0.1),
    "power": lambda x: 0.3 * x**-2.0,
    "exponential": lambda x: 0.2 * np.exp(-0.7 * x),
}


@pytest.mark.parametrize("law", TRUTH)
def test_the_law_is_found_and_its_slope_covered(law):
    seed, error, trials = 17, 0.05, 300
    generator = np.random.default_rng(seed)
    found = [
        decay(X, TRUTH[law](X) * np.exp(error * generator.standard_normal(len(X))), np.full(len(X), error))
        for _ in range(trials)
    ]
    right = np.mean([one.law == law for one in found])
    assert right > 0.85, f"seed {seed}"
    if law != "constant":
        slope = {"power": -2.0, "exponential": -0.7}[law]
        covered = np.mean([getattr(one, law).low <= slope <= getattr(one, law).high for one in found])
        assert abs(covered - 0.95) < 5 * (0.95 * 0.05 / trials) ** 0.5, f"seed {seed}"
        assert all(one.is_clear for one in found[:20])


def test_exact_values_are_fitted_and_told_in_words():
    found = decay(X, TRUTH["power"](X), np.zeros(len(X)))
    assert found.law == "power" and found.power.value == pytest.approx(-2, abs=1e-9)
    assert str(found).startswith("goes like n to the power -2.000")
    assert "b = -0.700" in str(decay(X, TRUTH["exponential"](X), np.zeros(len(X))))
    assert "does not change" in str(decay(X, TRUTH["constant"](X), np.zeros(len(X))))


def test_exact_values_that_follow_no_law_have_intervals_as_wide_as_their_scatter():
    values = TRUTH["power"](X) * np.exp([0.1, -0.1, 0.1, -0.1, 0.1, -0.1])
    found = decay(X, values, np.zeros(len(X)))
    assert found.power.high - found.power.low > 0.1 and found.power.low < -2 < found.power.high


def test_points_that_are_exact_do_not_silence_those_that_are_sampled():
    x, errors = np.array([2, 4, 6, 8, 12, 25, 50]), np.array([0, 0, 0, 0, 0.1, 0.1, 0.1])
    values = TRUTH["power"](x)
    assert decay(x, values, errors).law == "power"
    away = decay(x, values * np.where(errors > 0, 100, 1), errors)
    assert not away.is_clear and away.power.high - away.power.low > 1


def test_exact_values_that_scatter_have_intervals_that_hold_their_slope():
    seed, trials = 5, 300
    generator = np.random.default_rng(seed)
    found = [decay(X, TRUTH["power"](X) * np.exp(0.05 * generator.standard_normal(len(X))), 0 * X) for _ in range(trials)]
    covered = np.mean([one.power.low <= -2 <= one.power.high for one in found])
    assert abs(covered - 0.95) < 5 * (0.95 * 0.05 / trials) ** 0.5, f"seed {seed}"


def test_two_sizes_or_a_size_of_zero_are_no_law():
    for x in ([2, 4], [2, 2, 4], [0, 2, 4]):
        with pytest.raises(LabError, match="three different positive"):
            decay(x, np.ones(len(x)), np.ones(len(x)))


def test_three_points_that_a_constant_explains_are_no_law():
    assert decay([2, 4, 6], [1, 1.05, 1.1], [0.03] * 3).law == "constant"
    assert decay([2, 4, 6], [1, 0.25, 0.0625], [0.03] * 3).law == "exponential"
