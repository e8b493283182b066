"""Entangling capability of two circuits of Sim et al. 2019, one layer each, as tests of qml-essentials attribute it to them.

The mean Meyer-Wallach measure Q = 1 - mean_k |r_k|^2 over uniform angles, r_k the Bloch vector of qubit k.
"""

import itertools
import math

import numpy as np

from studies.audit.base import STATED, Claim, Recomputed, mean_interval

SOURCE = "qml-essentials, tests of the entangling capability, attributed to arXiv:1905.10876"
N_QUBITS, SAMPLES = 4, 5000
CLAIMS = (
    Claim("sim-2", "qml-essentials", "Meyer-Wallach Q, circuit 2", SOURCE, STATED, 0.8104, SAMPLES, 5e-5),
    Claim("sim-9", "qml-essentials", "Meyer-Wallach Q, circuit 9", SOURCE, STATED, 1.0, SAMPLES, 5e-5),
)
WHY = {"sim-2": "origin of the larger number unknown; exact: 159/256", "sim-9": "a graph state, whatever the angles"}
PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def recompute(claim: Claim, samples: int, seed: int) -> Recomputed:
    """Q over sampled angles, and over all angles that are multiples of a quarter turn, whose mean is exact.

    Each Bloch vector's square is a trigonometric polynomial of degree 2 in each angle, so four equidistant ones suffice.
    """
    circuit, n_angles = {"sim-2": (_circuit_2, 8), "sim-9": (_circuit_9, 4)}[claim.key]
    quarters = np.array(list(itertools.product(range(4), repeat=n_angles))) * math.pi / 2
    drawn = np.random.default_rng(np.random.SeedSequence(seed)).uniform(0, 2 * math.pi, (samples, n_angles))
    exact, found = float(_meyer_wallach(circuit(quarters)).mean()), _meyer_wallach(circuit(drawn))
    spread = float(found.std() / math.sqrt(SAMPLES))
    return Recomputed(exact, *mean_interval(found), spread, why=WHY[claim.key])


def _circuit_2(angles: np.ndarray) -> np.ndarray:
    """RX and RZ on every qubit, then CX 3 to 2, 2 to 1, 1 to 0."""
    states = _zero(len(angles))
    for qubit in range(N_QUBITS):
        states = _rotated(states, 0, angles[:, qubit], qubit)
        states = _rotated(states, 2, angles[:, N_QUBITS + qubit], qubit)
    for control in (3, 2, 1):
        states = _when_one(states, control, control - 1, PAULIS[0])
    return states


def _circuit_9(angles: np.ndarray) -> np.ndarray:
    """H on every qubit, a CZ ladder, RX on every qubit."""
    states = _zero(len(angles))
    states[:] = 1 / math.sqrt(2**N_QUBITS)
    for control in (3, 2, 1):
        states = _when_one(states, control, control - 1, PAULIS[2])
    for qubit in range(N_QUBITS):
        states = _rotated(states, 0, angles[:, qubit], qubit)
    return states


def _zero(samples: int) -> np.ndarray:
    """(S, 2, 2, 2, 2), axis 1 + k for qubit k."""
    states = np.zeros((samples,) + (2,) * N_QUBITS, complex)
    states[(slice(None),) + (0,) * N_QUBITS] = 1
    return states


def _applied(matrix: np.ndarray, states: np.ndarray, qubit: int) -> np.ndarray:
    return np.moveaxis(np.tensordot(matrix, states, (1, 1 + qubit)), 0, 1 + qubit)


def _rotated(states: np.ndarray, axis: int, angles: np.ndarray, qubit: int) -> np.ndarray:
    half = angles.reshape((-1,) + (1,) * N_QUBITS) / 2
    return np.cos(half) * states - 1j * np.sin(half) * _applied(PAULIS[axis], states, qubit)


def _when_one(states: np.ndarray, control: int, target: int, matrix: np.ndarray) -> np.ndarray:
    is_one = np.arange(2).reshape([2 if place == control else 1 for place in range(N_QUBITS)])
    return np.where(is_one, _applied(matrix, states, target), states)


def _meyer_wallach(states: np.ndarray) -> np.ndarray:
    """(S,) of Q."""
    squares = np.zeros(len(states))
    for qubit in range(N_QUBITS):
        for pauli in PAULIS:
            value = (states.conj() * _applied(pauli, states, qubit)).reshape(len(states), -1).sum(axis=1).real
            squares += value**2
    return 1 - squares / N_QUBITS
