"""How near an ensemble of pure states is to Haar-random states, and how entangled its states are."""

import numpy as np

from studies.statistics import Interval


def haar_masses(n_qubits: int, bins: int) -> np.ndarray:
    """The probability of each of `bins` equal bins of [0, 1] for the fidelity of two Haar-random states.

    Source: its density is (N - 1) (1 - F)^(N - 2) with N = 2^n, Zyczkowski and Sommers, Phys. Rev. A 71, 032313 (2005).
    """
    edges = np.linspace(0, 1, bins + 1)
    return -np.diff((1 - edges) ** (2**n_qubits - 1))


def divergence(counts: np.ndarray, masses: np.ndarray, level: float = 0.95) -> Interval:
    """The Kullback-Leibler divergence of a histogram from a law, as plain relative frequencies give it.

    The estimate is too large by about (bins in use - 1) / (2 N), which `expected_floor` gives exactly where the law is
    the true one. The interval is that of the estimate with this excess in it: the excess is not taken off, since
    published values have it.

    Source: Paninski, Neural Computation 15, 1191 (2003), for the excess. The variance of the estimate is that of
    ln(p / q) over N (the delta method) and, of second order, that of chi-squared / (2 N), which the first term, taken
    from the same sample, already holds twice.
    """
    total = counts.sum()
    used = counts > 0
    frequencies = counts[used] / total
    logs = np.log(frequencies / masses[used])
    value = frequencies @ logs
    second_order = (used.sum() - 1) / (2 * total**2)
    variance = max(frequencies @ (logs - value) ** 2 / total - second_order, second_order)
    return Interval.normal(value, np.sqrt(variance), level)


def expected_floor(masses: np.ndarray, total: int) -> float:
    """What `divergence` gives on average for `total` draws from the very law it is held against; not zero."""
    from scipy.stats import binom

    counts, masses = np.arange(1, total + 1), masses[masses > 1e-300]  # those of many qubits underflow
    excess = counts / total * np.log(counts / (total * masses[:, None]))
    return float((binom.pmf(counts, total, masses[:, None]) * excess).sum())


def meyer_wallach(states: np.ndarray) -> np.ndarray:
    """(B,) Meyer-Wallach measures Q = 2 (1 - mean purity of one qubit) of (B, 2^n) normalised states.

    Source: Meyer and Wallach, J. Math. Phys. 43, 4273 (2002), in the form of Brennen, QIC 3, 619 (2003).
    """
    n_qubits = states.shape[1].bit_length() - 1
    total = np.zeros(len(states))
    for qubit in range(n_qubits):
        zero, one = np.moveaxis(states.reshape(len(states), -1, 2, 1 << qubit), 2, 0).reshape(2, len(states), -1)
        # The determinant of the reduced density matrix, a quarter of 2 (1 - purity).
        weights = (abs(zero) ** 2).sum(axis=1) * (abs(one) ** 2).sum(axis=1)
        total += weights - abs((zero.conj() * one).sum(axis=1)) ** 2
    return 4 / n_qubits * total


def haar_meyer_wallach(n_qubits: int) -> float:
    """The mean Q of Haar-random states.

    Source: Lubkin, J. Math. Phys. 19, 1028 (1978), for the mean purity (2 + 2^(n-1)) / (2^n + 1).
    """
    return (2**n_qubits - 2) / (2**n_qubits + 1)
