"""Intervals cover as often as they say on laws like those of gradients, and refuse what they cannot judge."""

import math

import numpy as np
import pytest

from circuits.errors import LabError
from studies.statistics import log_slope, normal_quantile, variance

REPEATS = 4000
SIGMA = 5


def _arcs(rng, shape):
    """A product of two sines of uniform angles: the derivative of a product circuit."""
    return np.prod(np.sin(rng.uniform(0, 2 * math.pi, (2, *shape))), axis=0)


def _mixture(rng, shape):
    """Normal with one of two widths: the derivative in a deep circuit whose first axis is random."""
    return rng.standard_normal(shape) * np.sqrt(rng.choice([0.5, 1.0, 0.5], shape))


LAWS = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 1.0),
    "mixture": (_mixture, 2 / 3),
    "arcs": (_arcs, 1 / 4),
    "uniform": (lambda rng, shape: rng.uniform(-1, 1, shape), 1 / 3),
}


@pytest.mark.parametrize("law", LAWS)
def test_95_percent_intervals_of_a_variance_hold_it_95_times_in_100(law, rng):
    draw, true = LAWS[law]
    found = variance(draw(rng, (REPEATS, 512)))
    covered = ((found.low <= true) & (true <= found.high)).mean()
    # One per cent is what the asymptotic formula may still miss by at 512 samples.
    assert abs(covered - 0.95) < 0.01 + SIGMA * math.sqrt(0.95 * 0.05 / REPEATS)


def test_the_interval_of_a_variance_covers_as_often_as_a_bca_bootstrap(rng):
    from scipy.stats import bootstrap

    samples = _mixture(rng, (200, 128))
    own = variance(samples)
    theirs = [
        bootstrap(
            (row,), lambda a, axis: a.var(axis=axis, ddof=1), n_resamples=999, rng=np.random.default_rng(k)
        ).confidence_interval
        for k, row in enumerate(samples)
    ]
    low, high = (np.array([getattr(interval, end) for interval in theirs]) for end in ("low", "high"))
    covered = ((own.low <= 2 / 3) & (own.high >= 2 / 3)).mean()
    bootstrapped = ((low <= 2 / 3) & (high >= 2 / 3)).mean()
    assert covered > bootstrapped - SIGMA * math.sqrt(2 * 0.95 * 0.05 / 200)
    assert np.median((own.high - own.low) / (high - low)) == pytest.approx(1, abs=0.1)


def test_a_variance_is_numpys_unbiased_one_and_lies_in_its_interval(rng):
    samples = rng.standard_normal((5, 64))
    found = variance(samples)
    np.testing.assert_allclose(found.value, samples.var(axis=-1, ddof=1), rtol=1e-13)
    assert (found.low < found.value).all() and (found.value < found.high).all()
    assert found.samples == 64


def test_a_higher_level_gives_a_wider_interval_that_holds_the_narrower(rng):
    samples = rng.standard_normal(100)
    narrow, wide = variance(samples, 0.8), variance(samples, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("unit", [1e-90, 1e-9, 1e60])
def test_a_variance_scales_with_the_square_of_the_unit_even_where_fourth_powers_underflow(unit, rng):
    samples = rng.standard_normal(64)
    plain, scaled = variance(samples), variance(samples * unit)
    assert scaled.log_error == pytest.approx(float(plain.log_error), rel=1e-9)
    assert scaled.high == pytest.approx(float(plain.high) * unit**2, rel=1e-9)


def test_equal_samples_have_no_variance_and_no_interval():
    found = variance(np.full(20, 0.3))
    assert found.low == found.value == found.high == 0


@pytest.mark.parametrize("samples", [np.zeros(15), np.zeros((2, 3, 64)), np.array([math.nan] * 20), 3.0])
def test_samples_that_cannot_be_judged_are_refused(samples):
    with pytest.raises(LabError):
        variance(samples)


def test_the_slope_of_an_exact_exponential_is_found_exactly():
    x = np.array([2, 4, 6, 10])
    fit = log_slope(x, 3 * np.exp(-0.7 * x), np.full(4, 0.1))
    assert fit.value == pytest.approx(-0.7, rel=1e-12)
    assert fit.intercept == pytest.approx(math.log(3), rel=1e-12)
    assert fit.chi2 == pytest.approx(0, abs=1e-20) and fit.dof == 2


def test_a_point_with_a_larger_error_weighs_less():
    x, values = [2, 4, 6], [1.0, 1.0, 5.0]
    trusted = log_slope(x, values, [0.1, 0.1, 0.1])
    doubted = log_slope(x, values, [0.1, 0.1, 10.0])
    assert 0 < doubted.value < trusted.value / 100


def test_95_percent_intervals_of_a_slope_hold_it_95_times_in_100(rng):
    x, errors = np.array([2, 4, 6, 8, 10]), np.array([0.02, 0.03, 0.05, 0.05, 0.08])
    logs = 0.4 - 0.69 * x + errors * rng.standard_normal((REPEATS, 5))
    fits = [log_slope(x, np.exp(row), errors) for row in logs]
    covered = np.mean([fit.low <= -0.69 <= fit.high for fit in fits])
    assert abs(covered - 0.95) < SIGMA * math.sqrt(0.95 * 0.05 / REPEATS)
    misfit = np.array([fit.chi2 for fit in fits])
    assert abs(misfit.mean() - 3) < SIGMA * math.sqrt(2 * 3 / REPEATS)


@pytest.mark.parametrize(
    ("x", "values", "errors"),
    [
        ([2, 2], [1.0, 1.0], [0.1, 0.1]),
        ([2, 4], [0.0, 1.0], [0.1, 0.1]),
        ([2, 4], [1.0, math.nan], [0.1, 0.1]),
        ([2, 4], [1.0, 1.0], [0.0, 0.1]),
    ],
)
def test_a_slope_that_means_nothing_is_refused(x, values, errors):
    with pytest.raises(LabError):
        log_slope(x, values, errors)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_probability(level):
    with pytest.raises(LabError, match=r"0\.95"):
        normal_quantile(level)


def test_the_normal_quantile_is_the_familiar_one():
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
