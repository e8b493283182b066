"""Which law a variance follows as circuits grow: none, a power, or an exponential."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuits.errors import LabError
from studies.statistics import Slope, log_slope

LAWS = ("constant", "power", "exponential")
CLEAR = 4.0  # a difference in AICc below which two laws are not told apart
LEAST_ERROR = 1e-9  # of a logarithm: exact values are right to rounding, and no better


@dataclass(frozen=True)
class Decay:
    """The laws ln V = a, a + b ln x and a + b x, fitted to logarithms with known errors.

    Attributes:
        aicc: of each law, by name: chi^2 plus a penalty for each number fitted, corrected for few points.
        power, exponential: the slopes b with their intervals, which are wider by the root of chi^2 per degree of freedom
            where points scatter about the law by more than their errors.
    """

    aicc: dict[str, float]
    power: Slope
    exponential: Slope

    @property
    def law(self) -> str:
        """The law with the least AICc; of two within `CLEAR` of each other the simpler one."""
        least = min(self.aicc.values())
        return next(law for law in LAWS if self.aicc[law] <= least + (CLEAR if law == "constant" else 0))

    @property
    def is_clear(self) -> bool:
        """Whether power and exponential are told apart."""
        return abs(self.aicc["power"] - self.aicc["exponential"]) >= CLEAR

    def __str__(self) -> str:
        if self.law == "constant":
            return f"does not change (slope of its logarithm {self.exponential} per qubit)"
        unsure = "" if self.is_clear else ", though the other law fits almost as well"
        if self.law == "power":
            return f"goes like n to the power {self.power}{unsure}"
        return f"goes like exp(b n) with b = {self.exponential}{unsure}"


def decay(x: Sequence[float], values: Sequence[float], log_errors: Sequence[float], level: float = 0.95) -> Decay:
    """The laws fitted to values at x, weighted by the errors of their logarithms.

    Args:
        x: at least three different positive abscissas. values: positive. log_errors: not negative; 0 is exact.
        level: of the slopes' intervals.

    Raises:
        LabError: fewer than three abscissas, or one that is not positive.

    Source: AICc, Hurvich and Tsai, Biometrika 76, 297 (1989).
    """
    x, values = np.asarray(x, float), np.asarray(values, float)
    if len(np.unique(x)) < 3 or (x <= 0).any():
        raise LabError(f"a law needs at least three different positive abscissas, got {x.tolist()}")
    errors = np.maximum(np.asarray(log_errors, float), LEAST_ERROR)
    power = log_slope(np.log(x), values, errors, level)
    exponential = log_slope(x, values, errors, level)
    logs, weights = np.log(values), errors**-2.0
    flat = float((weights * (logs - np.average(logs, weights=weights)) ** 2).sum())
    misfits = {"constant": (flat, 1), "power": (power.chi2, 2), "exponential": (exponential.chi2, 2)}
    return Decay({law: _aicc(*misfit, len(x)) for law, misfit in misfits.items()}, _widened(power), _widened(exponential))


def _widened(slope: Slope) -> Slope:
    """The interval that the scatter of the points about the line gives, where that is the wider one."""
    ratio = max(1.0, math.sqrt(slope.chi2 / slope.dof))
    low, high = (slope.value + ratio * (end - slope.value) for end in (slope.low, slope.high))
    return replace(slope, low=low, high=high)


def _aicc(chi2: float, fitted: int, points: int) -> float:
    left = points - fitted - 1
    return chi2 + 2 * fitted + (2 * fitted * (fitted + 1) / left if left > 0 else math.inf if fitted > points else 0.0)
