"""Intervals and fits for the quantities the studies measure, each with its source."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from circuits.errors import LabError

FEWEST_SAMPLES = 16


@dataclass(frozen=True)
class Variance:
    """A sample variance with its interval; every field but `samples` is an array over the components.

    Attributes:
        log_error: standard error of the logarithm of `value`, which is also its relative standard error.
        kurtosis: of the samples, 3 for a normal law; the interval needs many times `kurtosis` samples.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    log_error: np.ndarray
    kurtosis: np.ndarray
    samples: int

    def sigmas(self, expected: np.ndarray | float) -> np.ndarray:
        """How many standard errors the logarithm of each value is off that of `expected`."""
        return np.log(self.value / expected) / self.log_error


@dataclass(frozen=True)
class Slope:
    """Of a straight line through logarithms, with its interval and its misfit: chi2 with dof degrees."""

    value: float
    low: float
    high: float
    intercept: float
    chi2: float
    dof: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Interval:
    """An estimate between the ends of its interval; formatting it applies to all three numbers."""

    value: float
    low: float
    high: float

    @classmethod
    def normal(cls, value: float, error: float, level: float = 0.95) -> "Interval":
        """Of an estimate whose errors are normal, from its standard error."""
        half = normal_quantile(level) * float(error)
        return cls(float(value), float(value) - half, float(value) + half)

    def __format__(self, spec: str) -> str:
        value, low, high = (format(number, spec or ".3f") for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def normal_quantile(level: float) -> float:
    """How many standard errors on either side of an estimate hold the true value with probability `level`."""
    if not 0 < level < 1:
        raise LabError(f"a confidence level lies between 0 and 1, got {level!r}: write 0.95 for 95 %")
    return NormalDist().inv_cdf((1 + level) / 2)


def variance(samples: np.ndarray, level: float = 0.95) -> Variance:
    """Sample variances with intervals that hold for laws far from normal, as gradients are.

    The interval is symmetric in the logarithm, uses the sample's own kurtosis (about a trimmed mean, which
    removes most of its bias) and needs no resampling. On the laws of `tests/test_statistics.py` it covers
    as often as a BCa bootstrap; heavier tails (a kurtosis of tens) need thousands of samples, with either.

    Args:
        samples: (N,) or (components, N) independent samples, N of at least 16.
        level: of confidence, for each component on its own.

    Returns:
        Arrays of shape () or (components,). Equal samples have variance 0 and an interval of no width.

    Raises:
        LabError: too few samples, or one that is NaN or infinite.

    Source: Bonett, Computational Statistics & Data Analysis 50, 775 (2006).
    """
    from scipy.stats import trim_mean

    samples = _checked(samples)
    n, z = samples.shape[-1], normal_quantile(level)
    # From the first sample, so that equal samples differ by nothing and not by a rounding error.
    deviations = samples - samples[..., :1]
    deviations -= deviations.mean(axis=-1, keepdims=True)
    # Fourth powers of tiny gradients would underflow: work in units of the largest deviation.
    unit = np.abs(deviations).max(axis=-1, keepdims=True)
    unit = np.where(unit > 0, unit, 1.0)
    deviations = deviations / unit
    squares = (deviations**2).sum(axis=-1)
    about = trim_mean(deviations, 0.5 / np.sqrt(n - 4), axis=-1)[..., None]
    fourths = ((deviations - about) ** 4).sum(axis=-1)
    kurtosis = n * fourths / np.where(squares > 0, squares, 1.0) ** 2
    error = np.sqrt(np.maximum(kurtosis - (n - 3) / n, 0.0) / (n - 1))
    value = unit[..., 0] ** 2 * squares / (n - 1)
    shift = n / (n - z)
    low, high = (value * shift * np.exp(sign * z * shift * error) for sign in (-1, 1))
    return Variance(value, low, high, error, kurtosis, n)


def mean_square(squares: float, fourths: float, samples: int, level: float = 0.95) -> Variance:
    """The variance of samples whose mean is known to be zero, from the sums of their squares and fourth powers.

    The interval is that of `variance`, without a trimmed mean, which known means do not need. So samples need not be kept.

    Raises:
        LabError: too few samples, or sums that are not positive.
    """
    if samples < FEWEST_SAMPLES or not (squares > 0 and fourths > 0):
        raise LabError(
            f"a mean square with an interval needs at least {FEWEST_SAMPLES} samples that are not all zero, "
            f"got {samples} with the sums {squares!r} and {fourths!r}"
        )
    z = normal_quantile(level)
    kurtosis = samples * fourths / squares**2
    error = np.sqrt(max(kurtosis - 1.0, 0.0) / samples)
    value = squares / samples
    low, high = (value * np.exp(sign * z * error) for sign in (-1, 1))
    return Variance(*map(np.asarray, (value, low, high, error, kurtosis)), samples)


def _checked(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, dtype=float)
    if samples.ndim not in (1, 2) or samples.shape[-1] < FEWEST_SAMPLES:
        raise LabError(
            f"a variance with an interval needs at least {FEWEST_SAMPLES} samples along the last axis, "
            f"got an array of shape {samples.shape}"
        )
    if not np.isfinite(samples).all():
        raise LabError("a variance needs finite samples, got NaN or infinity among them")
    return samples


def log_slope(x: Sequence[float], values: Sequence[float], log_errors: Sequence[float], level: float = 0.95) -> Slope:
    """The weighted least-squares slope of ln(values) against x, with an interval from the given errors.

    Args:
        x: at least two different abscissas.
        values: positive, one for each x.
        log_errors: the standard error of each ln(value), positive.
        level: of confidence.

    Raises:
        LabError: fewer than two different x, or a value or an error that is not positive.
    """
    x, values, errors = (np.asarray(a, dtype=float) for a in (x, values, log_errors))
    if len(np.unique(x)) < 2:
        raise LabError(f"a slope needs at least two different abscissas, got {x.tolist()}")
    if not ((values > 0) & np.isfinite(values) & (errors > 0) & np.isfinite(errors)).all():
        raise LabError("the slope of a logarithm needs positive finite values, each with a positive error")
    logs = np.log(values)
    (slope, intercept), covariance = np.polyfit(x, logs, 1, w=1 / errors, cov="unscaled")
    misfit = (((logs - slope * x - intercept) / errors) ** 2).sum()
    half = normal_quantile(level) * np.sqrt(covariance[0, 0])
    return Slope(float(slope), float(slope - half), float(slope + half), float(intercept), float(misfit), len(x) - 2)


def rounding_floor(dtype: str, n_gates: int) -> float:
    """The variance that rounding alone gives a derivative: every gate errs by about one unit in the last place."""
    return float(np.finfo(dtype).eps) ** 2 * max(1, n_gates)


def shot_floor(shots: int, norm: float = 1.0) -> float:
    """The variance that shots alone give a derivative by the two-term shift rule, of an observable of this norm, at most.

    Each of the two values has a variance of at most norm^2 / shots, and their difference is halved.
    """
    return norm**2 / (2 * shots)
