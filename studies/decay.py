"""Which law a variance follows as circuits grow: none, a power, or an exponential."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuits.errors import LabError
from studies.statistics import Slope, log_slope, normal_quantile

LAWS = ("constant", "power", "exponential")
CLEAR = 4.0  # a difference in AICc below which two laws are not told apart
LEAST_ERROR = 1e-9  # of a logarithm: exact values are right to rounding, and no better
MOST_SCATTER = 1e3  # of a logarithm
ROUNDING = 1e-6  # of ratios and of their powers


@dataclass(frozen=True)
class Decay:
    """The laws ln V = a, a + b ln x and a + b x, fitted to logarithms with known errors and a scatter of their own.

    Attributes:
        aicc: of each law, by name: -2 ln(likelihood) plus a penalty for each number fitted, corrected for few points.
        power, exponential: the slopes b with their intervals. Where points lie off the law by more than their errors, the
            scatter that explains it is added to every error, and the interval is Student's.
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

    Source: AICc, Hurvich and Tsai, Biometrika 76, 297 (1989); the scatter beside known errors, Paule and Mandel, J. Res.
    Natl. Bur. Stand. 87, 377 (1982).
    """
    x, values = np.asarray(x, float), np.asarray(values, float)
    if len(np.unique(x)) < 3 or (x <= 0).any():
        raise LabError(f"a law needs at least three different positive abscissas, got {x.tolist()}")
    errors = np.maximum(np.asarray(log_errors, float), LEAST_ERROR)
    logs = np.log(np.where(values > 0, values, np.nan))
    if len({len(x), len(values), len(errors)}) > 1 or not np.isfinite(logs).all():
        raise LabError("a law needs one positive value and one error for each abscissa")
    # The scatter, which all three laws have, is not counted among the numbers fitted.
    columns = {"constant": None, "power": np.log(x), "exponential": x}
    aicc = {
        law: _aicc(_likelihood(column, logs, errors), 1 + (column is not None), len(x)) for law, column in columns.items()
    }
    return Decay(aicc, *(_slope(columns[law], values, errors, level) for law in LAWS[1:]))


def _chi2(column: np.ndarray | None, logs: np.ndarray, errors: np.ndarray) -> float:
    """The misfit of a straight line in `column`, or of a constant, weighted by the errors."""
    matrix = np.column_stack([np.ones(len(logs)), *([] if column is None else [column])])
    coefficients = np.linalg.lstsq(matrix / errors[:, None], logs / errors, rcond=None)[0]
    return float((((logs - matrix @ coefficients) / errors) ** 2).sum())


def _likelihood(column: np.ndarray | None, logs: np.ndarray, errors: np.ndarray) -> float:
    """-2 ln(likelihood) at the scatter that makes it least; without it exact points would outweigh all sampled ones."""
    from scipy.optimize import minimize_scalar

    def at(log_scatter: float) -> float:
        total = np.hypot(errors, math.exp(log_scatter))
        return _chi2(column, logs, total) + 2 * float(np.log(total).sum())

    grid = np.linspace(math.log(LEAST_ERROR), math.log(MOST_SCATTER), 60)
    best = grid[int(np.argmin([at(point) for point in grid]))]
    step = grid[1] - grid[0]
    return min(at(grid[0]), float(minimize_scalar(at, bounds=(best - step, best + step), method="bounded").fun))


def _slope(column: np.ndarray, values: np.ndarray, errors: np.ndarray, level: float) -> Slope:
    """The slope with the scatter at which chi^2 is its number of degrees of freedom."""
    from scipy.optimize import brentq
    from scipy.stats import t

    logs, dof = np.log(values), len(values) - 2

    def excess(log_scatter: float) -> float:
        return _chi2(column, logs, np.hypot(errors, math.exp(log_scatter))) - dof

    ends = math.log(LEAST_ERROR), math.log(MOST_SCATTER)
    if _chi2(column, logs, errors) <= dof or excess(ends[0]) <= 0:
        return log_slope(column, values, errors, level)
    found = log_slope(column, values, np.hypot(errors, math.exp(brentq(excess, *ends))), level)
    ratio = float(t.ppf((1 + level) / 2, dof)) / normal_quantile(level)
    low, high = (found.value + ratio * (end - found.value) for end in (found.low, found.high))
    return replace(found, low=low, high=high)


def _aicc(misfit: float, fitted: int, points: int) -> float:
    if points <= 3:  # the correction is infinite for two numbers: then it is left out for all laws
        return misfit + 2 * fitted
    return misfit + 2 * fitted + 2 * fitted * (fitted + 1) / (points - fitted - 1)


@dataclass(frozen=True)
class Growth:
    """How a ratio grows with the weights: not at all, as a power of their logarithm, or as a power of them."""

    fit: Decay  # in ln P, where a power is polylogarithmic and an exponential a power of P
    values: tuple[float, ...]

    @property
    def is_let_pass(self) -> bool | None:
        """Whether it grows as ln P at most; None where that is not told."""
        if self.fit.power.high <= 1 + ROUNDING:
            return True
        return False if self.fit.power.low > 1 + ROUNDING else None

    def __str__(self) -> str:
        if max(self.values) - min(self.values) <= ROUNDING * max(self.values):
            return "constant"
        is_polylog = self.fit.law == "power" and (self.fit.is_clear or self.is_let_pass)
        return f"(ln P)^{self.fit.power}" if is_polylog else f"P^{self.fit.exponential}"
