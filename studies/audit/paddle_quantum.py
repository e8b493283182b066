"""Paddle Quantum's tutorial on barren plateaus: the variance of the first gradient at two qubits, printed by five versions.

Up to version 2.1 the observable is the projector on |00>, as the text says. From 2.2 on the code multiplies U+ H U with H
the state vector `zero_state(N).data`, and takes the first element of what comes out, which is no expectation value.
"""

import itertools
import math

import numpy as np

from studies.audit.base import PRINTED, Claim, Recomputed, run_spread
from studies.audit.projector import closed_form, gradients, sample
from studies.statistics import variance

SEED, SAMPLES, N_QUBITS = 42, 300, 2
QUANTITY = "variance, n = 2"
OLD = "PaddlePaddle/Quantum, tutorial/Barren/BarrenPlateaus_EN.ipynb, commit 4088bcb"
PATH = "PaddlePaddle/Quantum, tutorials/qnn_research/BarrenPlateaus_{}.ipynb, commit {}"
NEW_EN, NEW_CN = PATH.format("EN", "9a5ad8a"), PATH.format("CN", "9a5ad8a")
NEWEST_EN, NEWEST_CN = PATH.format("EN", "09959fe"), PATH.format("CN", "09959fe")

CLAIMS = (
    Claim("paddle-1.1", "Paddle Quantum 1.1", QUANTITY, OLD, PRINTED, 0.028249053148446363, SAMPLES),
    Claim("paddle-2.2-en", "Paddle Quantum 2.2", QUANTITY, NEW_EN, PRINTED, 0.09683221, SAMPLES),
    Claim("paddle-2.2-cn", "Paddle Quantum 2.2 (CN)", QUANTITY, NEW_CN, PRINTED, 0.11283756, SAMPLES),
    Claim("paddle-2.4-en", "Paddle Quantum 2.4", QUANTITY, NEWEST_EN, PRINTED, 0.098623686, SAMPLES),
    Claim("paddle-2.4-cn", "Paddle Quantum 2.4 (CN)", QUANTITY, NEWEST_CN, PRINTED, 0.11258849, SAMPLES),
)  # fmt: skip


def recompute(claim: Claim, samples: int, seed: int) -> Recomputed:
    """The variance of the stated quantity, and that of the product with a vector in the observable's place."""
    axes, angles = sample(N_QUBITS, 2 * math.pi, samples, np.random.SeedSequence(seed))
    found, exact = variance(gradients(axes, angles, 0)), closed_form(N_QUBITS)
    numbers = float(found.value), float(found.low), float(found.high), run_spread(found, exact, SAMPLES)
    if claim.key == "paddle-1.1":
        replay = float(np.var(replayed()))
        return Recomputed(exact, *numbers, replay=replay, why="replayed from its seed to the last digits")
    cause, other = vector_variance(), variance(vector_gradients(axes, angles))
    why = "the state vector in the observable's place"
    return Recomputed(exact, *numbers, cause=cause, cause_spread=run_spread(other, cause, SAMPLES), why=why)


def replayed() -> np.ndarray:
    """The gradients behind the print of version 1.1, from its seed; its axes are 0, 1, 2 for Z, Y, X."""
    generator = np.random.RandomState(SEED)
    draws = [(generator.uniform(0, 2 * math.pi, N_QUBITS), generator.choice(3, N_QUBITS)) for _ in range(SAMPLES)]
    angles, axes = (np.array(values) for values in zip(*draws))
    return gradients(2 - axes, angles, 0)


def vector_variance() -> float:
    """The variance of what the newer versions sample: the mean over all axes and eight angles each is exact."""
    grid = np.arange(8) * math.pi / 4
    axes = np.array([list(pair) for pair in itertools.product(range(3), repeat=2) for _ in range(64)])
    angles = np.array(list(itertools.product(grid, repeat=2)) * 9)
    return float(vector_gradients(axes, angles).var())


def vector_gradients(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(S,) half differences, at the first angle shifted by +-pi/2, of the first element of (U+ h) U with h = |00>."""
    ends = []
    for sign in (1, -1):
        unitary = _unitaries(axes, angles + sign * math.pi / 2 * np.array([1, 0]))
        ends.append(np.einsum("sj,sj->s", unitary[:, 0, :].conj(), unitary[:, :, 0]).real)
    return (ends[0] - ends[1]) / 2


def _unitaries(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(S, 4, 4), the first qubit the most significant, as in Paddle Quantum."""
    paulis = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    half = angles[..., None, None] / 2
    turns = np.cos(half) * np.eye(2) - 1j * np.sin(half) * paulis[axes]
    start = math.cos(math.pi / 8) * np.eye(2) - 1j * math.sin(math.pi / 8) * paulis[1]
    both = np.einsum("sab,scd->sacbd", turns[:, 0] @ start, turns[:, 1] @ start).reshape(-1, 4, 4)
    return both * np.array([1, 1, 1, -1])[:, None]
