"""PennyLane's demo on barren plateaus: variances of one layer's gradients, and their slope against the number of qubits.

Its first cell draws angles from the whole circle, its second, which is to repeat this for more qubits, from [0, pi].
"""

import math

import numpy as np

from studies.audit.base import REPLAYED, Claim, Recomputed, run_spread
from studies.audit.projector import closed_form, exact_variance, gradients, sample
from studies.statistics import log_slope, variance

SEED, SAMPLES, FIRST, SIZES = 42, 200, 4, (2, 3, 4, 5, 6)
PRINTED_MEAN = -0.0010002268976521357  # of the first cell, on the demo's page of 2022-01-15
SOURCE = "PennyLaneAI/qml, demonstrations_v2/tutorial_barren_plateaus/demo.py, commit 2466303"

CLAIMS = (
    Claim("pennylane-variance", "PennyLane", "variance, n = 4, cell 1", SOURCE, REPLAYED, samples=SAMPLES),
    Claim("pennylane-slope", "PennyLane", "slope per qubit, n = 2..6, cell 2", SOURCE, REPLAYED, samples=SAMPLES),
    Claim("pennylane-plotted", "PennyLane", "geometric mean variance, n = 2..6, cell 2", SOURCE, REPLAYED, samples=SAMPLES),
)


def recompute(claim: Claim, samples: int, seed: int) -> Recomputed:
    """The variance that the first cell prints, or slope and geometric mean of those that the second plots."""
    first, plotted = replay()
    if claim.key == "pennylane-variance":
        return _first(float(first.var()), float(first.mean()), samples, seed)
    drawn = [variance(gradients(*sample(n, 2 * math.pi, samples, _key(seed, n)), -1)) for n in SIZES]
    stated, cause = ([exact_variance(n, reach) for n in SIZES] for reach in (2 * math.pi, math.pi))
    errors = np.array([float(found.log_error) for found in drawn])
    reach = errors * math.sqrt(samples / SAMPLES)
    if claim.key == "pennylane-slope":
        ours = log_slope(SIZES, [found.value for found in drawn], errors)
        weights = (np.array(SIZES) - np.mean(SIZES)) / np.square(np.array(SIZES) - np.mean(SIZES)).sum()
        why = "angles from [0, pi] instead of the circle, hidden by 200 samples' noise"
        spread, numbers = float(np.sqrt((weights**2) @ reach**2)), (ours.value, ours.low, ours.high)
        published, exact, cause = (float(np.polyfit(SIZES, np.log(values), 1)[0]) for values in (plotted, stated, cause))
        return Recomputed(exact, *numbers, spread, published, None, cause, spread, why)
    mean, half = np.mean([math.log(found.value) for found in drawn]), 1.96 * np.sqrt((errors**2).sum()) / len(SIZES)
    published, exact, cause = (math.exp(np.mean(np.log(values))) for values in (plotted, stated, cause))
    spread = float(np.sqrt((reach**2).sum()) / len(SIZES))
    numbers = (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
    why = "angles from [0, pi] instead of the circle as in cell 1"
    return Recomputed(exact, *numbers, exact * spread, published, None, cause, cause * spread, why)


def _first(published: float, mean: float, samples: int, seed: int) -> Recomputed:
    found = variance(gradients(*sample(FIRST, 2 * math.pi, samples, _key(seed, FIRST)), -1))
    exact = closed_form(FIRST)
    is_printed = "is" if math.isclose(mean, PRINTED_MEAN, rel_tol=1e-12) else "is NOT"
    why = f"replayed from its seed; the replay's mean {is_printed} the printed one"
    ends = float(found.value), float(found.low), float(found.high)
    return Recomputed(exact, *ends, run_spread(found, exact, SAMPLES), published, published, why=why)


def replay() -> tuple[np.ndarray, list[float]]:
    """The first cell's gradients, and the second cell's variances, from the demo's seed in the demo's order of draws."""
    generator = np.random.RandomState(SEED)
    first = _cell(generator, FIRST, 2 * math.pi)
    return first, [float(_cell(generator, n, math.pi).var()) for n in SIZES]


def _cell(generator: np.random.RandomState, n_qubits: int, reach: float) -> np.ndarray:
    axes, angles = np.empty((SAMPLES, n_qubits), int), np.empty((SAMPLES, n_qubits))
    for row in range(SAMPLES):
        axes[row] = [generator.choice(3) for _ in range(n_qubits)]
        angles[row] = generator.uniform(0, reach, n_qubits)
    return gradients(axes, angles, -1)


def _key(seed: int, n_qubits: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(n_qubits,))
