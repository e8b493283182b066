"""One layer of McClean's circuit and the projector on |0...0>: gradients that two tutorials sample, and their variance.

RY(pi/4) on every qubit, a rotation about a random axis by a random angle, a CZ ladder. CZ does nothing to the amplitude
of |0...0>, so the projector's expectation value is a product over qubits.
"""

import math

import numpy as np

PRODUCT = (17 / 4 + math.sqrt(2)) / 12  # E[p^2] of one qubit, 0.4720178


def closed_form(n_qubits: int) -> float:
    """The variance of a derivative for angles uniform on the circle: (1/16) ((17/4 + sqrt 2) / 12)^(n - 1)."""
    return PRODUCT ** (n_qubits - 1) / 16


def exact_variance(n_qubits: int, reach: float) -> float:
    """The variance for angles uniform between 0 and `reach`, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    angles = np.tile(reach * (nodes + 1) / 2, 3)
    axes, weights = np.repeat(np.arange(3), len(nodes)), np.tile(weights, 3) / 6
    chance, slope = probabilities(axes, angles), slopes(axes, angles)
    mean = (weights @ slope) * (weights @ chance) ** (n_qubits - 1)
    return float((weights @ slope**2) * (weights @ chance**2) ** (n_qubits - 1) - mean**2)


def _bloch(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    z = math.cos(math.pi / 4)
    return np.choose(axes, (z * np.cos(angles), np.cos(angles + math.pi / 4), np.full_like(angles, z)))


def probabilities(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Of |0> on a qubit that turned about axis 0, 1, 2 for X, Y, Z."""
    return (1 + _bloch(axes, angles)) / 2


def slopes(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The derivatives of these, by the two-term shift rule."""
    return (probabilities(axes, angles + math.pi / 2) - probabilities(axes, angles - math.pi / 2)) / 2


def gradients(axes: np.ndarray, angles: np.ndarray, qubit: int) -> np.ndarray:
    """(S,) derivatives by the angle of one qubit; axes and angles of shape (S, n)."""
    factors = probabilities(axes, angles)
    factors[:, qubit] = slopes(axes[:, qubit], angles[:, qubit])
    return factors.prod(axis=1)


def sample(n_qubits: int, reach: float, samples: int, seed: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """(S, n) axes and angles between 0 and `reach`."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 3, (samples, n_qubits)), generator.uniform(0, reach, (samples, n_qubits))
