"""Exact variances that measured ones are held against: McClean's circuit at infinite and at finite depth."""

from functools import lru_cache, reduce

import numpy as np
from threadpoolctl import threadpool_limits

CONTROL_VARIANCE = 2 / 27  # deep, without entangling gates: 2/9 from qubit 0 times 1/3 from qubit 1
QUBITS_AT_ONCE = 3
LARGEST_EXACT = 13  # qubits: the variance at finite depth needs 3^n numbers


def two_design_variance(n_qubits: int) -> float:
    """Of the first angle's derivative of <Z0 Z1> in McClean's circuit at infinite depth.

    All that follows the first gate is then a 2-design; before it is the product state of RY(pi/4) on every
    qubit.
    """
    return 2**n_qubits / (3 * (4**n_qubits - 1))


def random_pauli_variance(n_qubits: int, n_layers: int, entangled: bool = True) -> float:
    """The same variance over axes and angles at this very depth, without sampling."""
    return float(random_pauli_variances(n_qubits, n_layers, entangled)[-1])


@lru_cache
@threadpool_limits.wrap(limits=1)  # the matrices are small: on a busy machine threads take ten times as long
def random_pauli_variances(n_qubits: int, most_layers: int, entangled: bool = True) -> np.ndarray:
    """(most_layers,): that of 1, 2, ... layers.

    The observable's Pauli string is followed back through the circuit. Averaged over a random axis and
    angle, a rotation turns the probabilities of its letters into one another: Z stays Z with 2/3, X or Y
    ("T" below, as nothing here tells them apart) stays one of them with 5/6. CZ puts a Z, or takes it, next
    to every X or Y.

    Cost: most_layers n_qubits 3^n_qubits multiplications.
    Source: the second moment of Pauli strings under random rotations, arXiv:2302.04649 and arXiv:2505.21606.
    """
    shape = (3,) * n_qubits  # one axis a qubit, its letters in the order I, Z, T
    rotation = np.array([[1, 0, 0], [0, 2 / 3, 1 / 6], [0, 1 / 3, 5 / 6]])
    blocks = [reduce(np.kron, [rotation] * size) for size in _block_sizes(n_qubits)]
    ladder = _ladder(shape) if entangled else np.arange(3**n_qubits)
    strings, values = np.zeros(shape), []
    strings[(1, 1) + (0,) * (n_qubits - 2)] = 1
    while True:
        strings = strings.ravel()[ladder].reshape(shape)
        values.append(_ends_with_first_layer(strings, rotation))
        if len(values) == most_layers:
            return np.array(values)
        for block in blocks:  # each works on the first qubits and puts them last
            strings = strings.reshape(len(block), -1).T @ block.T
        strings = strings.reshape(shape)


def _block_sizes(n_qubits: int) -> list[int]:
    """Qubits whose rotations are one matrix."""
    return [min(QUBITS_AT_ONCE, n_qubits - first) for first in range(0, n_qubits, QUBITS_AT_ONCE)]


def _ends_with_first_layer(strings: np.ndarray, rotation: np.ndarray) -> float:
    """The variance where only the first layer is left to come, the first qubit's rotation being differentiated."""
    # Squared Bloch components of RY(pi/4)|0>: 1/2 for Z and X, none for Y; then the first layer's rotations.
    bloch = np.array([1, 1 / 2, 1 / 4]) @ rotation
    for _ in range(strings.ndim - 1):
        strings = strings @ bloch
    # The differentiated rotation leaves (r1^2 + r2^2) / 2 of the two letters it mixes, nothing if it
    # commutes.
    return float(strings @ np.array([0, 1 / 4, 5 / 24]))


def _ladder(shape: tuple[int, ...]) -> np.ndarray:
    """Where the CZ ladder sends each string; it is its own inverse."""
    letters = np.indices(shape, dtype=np.int8).reshape(len(shape), -1)
    swapped = np.array([1, 0, 2])  # what a Z next to it makes of I, Z, T
    for q in range(len(shape) - 1):
        left, right = letters[q].copy(), letters[q + 1].copy()
        letters[q + 1] = np.where(left == 2, swapped[right], right)
        letters[q] = np.where(right == 2, swapped[left], left)
    return np.ravel_multi_index(tuple(letters), shape)


def middle_variance(n_qubits: int) -> float:
    """Of a derivative of a Pauli string's expectation value, with 2-designs before and behind the rotation."""
    return 4**n_qubits / (2 * (4**n_qubits - 1) * (2**n_qubits + 1))
