"""Where training starts: arrays of angles in radians.

The first three are drawn without knowing the circuit, so `QuantumLayer(init="uniform")` takes them by name; `beta`
needs a shape and `identity_block` belongs to the ansatz `identity_blocks`: both are passed as arrays. `seed` is anything
`numpy.random.default_rng` takes.
"""

import math

import numpy as np

from circuits import ansatze


def uniform(size: int, seed=None, low: float = 0.0, high: float = 2 * math.pi) -> np.ndarray:
    """Angles uniform on [low, high), the whole circle by default: the ensemble of the barren-plateau theorems."""
    return np.random.default_rng(seed).uniform(low, high, size)


def small_angle(size: int, seed=None, width: float = 0.1) -> np.ndarray:
    """Angles uniform on [-width, width): the circuit starts close to its value at zero."""
    return np.random.default_rng(seed).uniform(-width, width, size)


def gaussian(size: int, seed=None, n_layers: int = 1, locality: int = 1) -> np.ndarray:
    """Angles normal about 0 with variance 1 / (4 S (L + 2)), S the observable's locality, L the number of layers.

    Source: Zhang, Liu, Hsieh, Tao, NeurIPS 2022 (arXiv:2203.09376): with it the squared norm of the gradient falls at
    most polynomially with the depth.
    """
    spread = 1 / math.sqrt(4 * locality * (n_layers + 2))
    return np.random.default_rng(seed).normal(0.0, spread, size)


def beta(size: int, seed=None, shape: float = 2.0, width: float = math.pi) -> np.ndarray:
    """Angles of a symmetric beta law with both exponents `shape`, stretched to [-width, width].

    Source: the law of BEINIT, Kulshrestha and Safro (2022), about 0; their fit of its exponents to the data is left out.
    """
    return width * (2 * np.random.default_rng(seed).beta(shape, shape, size) - 1)


def identity_block(
    n_qubits: int, n_layers: int = 1, seed=None, block: str = "hardware_efficient", block_layers: int = 2
) -> np.ndarray:
    """Weights of `ansatze.identity_blocks` at which every block is the identity: a uniform half and its mirror.

    Source: Grant, Wossnig, Ostaszewski, Benedetti, Quantum 3, 214 (2019).
    """
    size = len(ansatze.by_name(block)(n_qubits, block_layers).parameters)
    halves = uniform(n_layers * size, seed).reshape(n_layers, 1, size)
    return np.repeat(halves, 2, axis=1).ravel()
