"""Fisher information of the models of Abbas et al. 2021: two quantum networks and two classical ones, of two classes.

Quantum: Qiskit's ZZ feature map with two repetitions, real amplitudes with nine; easy: the Z feature map, once. A class is
the parity of the bits read, so the probability of the even one is (1 + <Z...Z>) / 2. Classical: layers without biases,
leaky ReLU, tanh before the softmax.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

N_QUBITS = 4
AUTHORS_DRAWS = 100  # of parameters, and as many inputs
UNITS = {"classical": (4, 4, 4, 2), "classical 4-4-2-2": (4, 4, 2, 2)}
MODELS = ("quantum", "easy quantum", *UNITS)


def n_parameters(model: str) -> int:
    """40, but for the smaller classical network."""
    return sum(into * out for into, out in pairwise(UNITS[model])) if model in UNITS else 40


def fisher(model: str, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(d, d) Fisher information of a model of two classes, averaged over (B, 4) inputs and exactly over the classes.

    With p the probability of a class, sum_y p_y grad(ln p_y) grad(ln p_y)^T is grad(p) grad(p)^T / (p (1 - p)).

    Cost: one forward and one backward sweep for all inputs: each has a copy of the parameters to itself.
    """
    import torch

    copies = torch.from_numpy(np.tile(parameters, (len(inputs), 1))).requires_grad_()
    probabilities = _probability(model)(torch.from_numpy(inputs), copies)
    probabilities.sum().backward()
    p = probabilities.detach().numpy()
    slopes = copies.grad.numpy() / np.sqrt(p * (1 - p))[:, None]
    return slopes.T @ slopes / len(inputs)


@lru_cache
def _probability(model: str):
    """The probability of the first class (B,) as a function of inputs (B, 4) and parameters (B, d)."""
    if model in UNITS:
        return lambda inputs, parameters: network(UNITS[model], inputs, parameters).tanh().softmax(dim=1)[:, 0]
    import torch
    from qiskit.circuit.library import real_amplitudes, z_feature_map, zz_feature_map

    from circuits.observables import z_string
    from qml import QuantumLayer

    feature_map = z_feature_map(N_QUBITS, reps=1) if model == "easy quantum" else zz_feature_map(N_QUBITS, reps=2)
    circuit = feature_map.compose(real_amplitudes(N_QUBITS, reps=9, parameter_prefix="w"))
    layer = QuantumLayer(circuit, z_string(N_QUBITS), dtype=torch.float64, seed=0)
    return lambda inputs, parameters: (1 + layer.evaluate(inputs, parameters)[:, 0]) / 2


def network(units: tuple[int, ...], inputs, parameters):
    """(B, last) outputs of layers without biases, leaky ReLU between them; every sample has parameters of its own."""
    import torch

    sizes = [into * out for into, out in pairwise(units)]
    parts = zip(parameters.split(sizes, dim=1), pairwise(units))
    matrices = [part.reshape(-1, out, into) for part, (into, out) in parts]
    values = inputs
    for matrix in matrices[:-1]:
        values = torch.nn.functional.leaky_relu(torch.einsum("boi,bi->bo", matrix, values))
    return torch.einsum("boi,bi->bo", matrices[-1], values)


def authors_draws(model: str) -> tuple[np.ndarray, np.ndarray]:
    """The (100, d) parameters and (100, 4) inputs behind the published Fisher matrices, from their seeds.

    The order of draws is that of the authors' program, repository amyami187/effective_dimension, commit 5d9a9b6: NumPy's
    generator gives parameters uniform from 0 to 1, then the inputs; a classical network takes its weights from torch's,
    seeded anew for each, after the layers' own initialisation. NumPy's seed is 0 in that program, and in the data of the
    quantum models; the data of the classical ones are those of seed 42.
    """
    generator = np.random.RandomState(42 if model in UNITS else 0)
    parameters = generator.uniform(0, 1, (AUTHORS_DRAWS, n_parameters(model)))
    inputs = generator.normal(0, 1, (AUTHORS_DRAWS, N_QUBITS))
    if model in UNITS:
        parameters = np.stack([uniform_weights(UNITS[model], seed) for seed in range(1, AUTHORS_DRAWS + 1)])
    return parameters, inputs


def uniform_weights(units: tuple[int, ...], seed: int) -> np.ndarray:
    """(d,) weights uniform from 0 to 1, as torch draws them for a network of linear layers that was seeded and then made."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(into, out, bias=False) for into, out in pairwise(units)]
        weights = [layer.double().weight.data.uniform_(0, 1).reshape(-1) for layer in layers]
    return torch.cat(weights).numpy()
