"""What squared error a gradient from shots has, by every method that works with shots: exact, and without sampling.

For a circuit of Pauli rotations with a weight each, and one Pauli string O, whose values at one shot are +-1: with f = <O>,
a value from N shots has the variance (1 - f^2) / N, so every estimate is a sum of terms whose variances are known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError

Values = Callable[[np.ndarray], np.ndarray]  # (B, P) angles to (B,) values of f
SHIFT = np.pi / 2
DIRECTIONS = 4  # of diff_method "random-directions", as it is by default
STEP = 0.1  # of "finite-diff" and "spsa" with shots, as they are by default
MOST_ANGLES = 18  # whose signs are all gone through


@dataclass(frozen=True)
class Law:
    """E|mean of K estimates - g|^2 = bias^2 + (spread + noise / N) / K, with N shots a circuit.

    Attributes:
        bias: |E[estimate] - g|, which neither shots nor estimates reduce.
        spread: E|estimate - its mean|^2 with exact values: what drawing directions adds.
        noise: what one shot a circuit adds.
    """

    bias: float
    spread: float
    noise: float

    @property
    def draws(self) -> bool:
        """Whether estimates differ even with exact values."""
        return self.spread > 0

    def squared_error(self, shots: float, estimates: float = 1) -> float:
        """Of the mean of so many estimates, from so many shots a circuit each."""
        return self.bias**2 + (self.spread + self.noise / shots) / estimates

    def circuit_runs(self, error: float, shots: float | None = None) -> float | None:
        """Shots of each circuit of the method, all estimates together, that bring the root of the squared error to `error`.

        Args:
            shots: a circuit and estimate, where estimates differ by more than shots; None is one estimate.

        Returns:
            None where the bias alone is larger.
        """
        room = error**2 - self.bias**2
        if room <= 0:
            return None
        return self.noise / room if shots is None else (shots * self.spread + self.noise) / room


def _shift(f: Values, weights: np.ndarray, gradient: np.ndarray) -> Law:
    ahead, behind = _moved(f, weights, SHIFT)
    return Law(0.0, 0.0, float((_variance(ahead) + _variance(behind)).sum() / 4))


def _hadamard(f: Values, weights: np.ndarray, gradient: np.ndarray) -> Law:
    """A derivative is the value of a string, Y on the ancilla and O."""
    return Law(0.0, 0.0, float(_variance(gradient).sum()))


def _finite_diff(f: Values, weights: np.ndarray, gradient: np.ndarray) -> Law:
    """f is a sine of every angle, so the bias is exactly sin(h) / h - 1 of the derivative."""
    ahead, behind = _moved(f, weights, STEP)
    bias = (np.sin(STEP) / STEP - 1) * np.linalg.norm(gradient)
    return Law(abs(float(bias)), 0.0, float((_variance(ahead) + _variance(behind)).sum() / (4 * STEP**2)))


def _random_directions(f: Values, weights: np.ndarray, gradient: np.ndarray) -> Law:
    """Each derivative comes with probability m / P, times P / m."""
    factor = len(weights) / min(DIRECTIONS, len(weights))
    return Law(0.0, (factor - 1) * float(gradient @ gradient), factor * _shift(f, weights, gradient).noise)


def _spsa(f: Values, weights: np.ndarray, gradient: np.ndarray) -> Law:
    """The mean over all 2^P directions."""
    count = len(weights)
    if count > MOST_ANGLES:
        raise LabError(f"the law of spsa goes through all signs of at most {MOST_ANGLES} angles, got {count}")
    bits = np.arange(1 << count)[:, None] >> np.arange(count) & 1
    directions = 2.0 * bits - 1.0
    ahead = f(weights + STEP * directions)
    behind = ahead[::-1]  # all signs reversed
    slopes = (ahead - behind) / (2 * STEP)
    mean = slopes @ directions / len(directions)
    spread = count * float((slopes**2).mean() - mean @ mean / count)
    noise = count * float((_variance(ahead) + _variance(behind)).mean()) / (4 * STEP**2)
    return Law(float(np.linalg.norm(mean - gradient)), max(spread, 0.0) if count > 1 else 0.0, noise)


LAWS: dict[str, Callable[[Values, np.ndarray, np.ndarray], Law]] = {
    "parameter-shift": _shift,
    "hadamard": _hadamard,
    "commuting-blocks": _hadamard,
    "random-directions": _random_directions,
    "spsa": _spsa,
    "finite-diff": _finite_diff,
}


def law(method: str, f: Values, weights: np.ndarray, gradient: np.ndarray, is_read: np.ndarray | None = None) -> Law:
    """The law of a method at these (P,) weights, where f has this (P,) gradient.

    Args:
        is_read: (P,) which derivatives are measured at all, for "commuting-blocks", which knows some to be zero.

    Cost: 2 P values; 2^P for "spsa".
    """
    known = LAWS[method](f, weights, gradient)
    if is_read is None or method != "commuting-blocks":
        return known
    return Law(0.0, 0.0, float(_variance(gradient)[is_read].sum()))


def _variance(values: np.ndarray) -> np.ndarray:
    """Of a Pauli string at one shot."""
    return 1.0 - values**2


def _moved(f: Values, weights: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """(P,) values with each angle moved ahead, and (P,) with each moved back."""
    rows = weights + step * np.vstack([np.eye(len(weights)), -np.eye(len(weights))])
    ahead, behind = np.split(f(rows), 2)
    return ahead, behind
