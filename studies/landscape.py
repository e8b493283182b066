"""How flat the landscape of a circuit is: the variance of its loss and of every gradient component."""

from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError, UnknownName
from studies.statistics import FEWEST_SAMPLES, Variance, variance

DISTRIBUTIONS = ("uniform", "small_angle", "gaussian")
BATCH = 128


@dataclass(frozen=True)
class GradientVariance:
    """Sample variances with intervals, over draws of all parameters.

    Attributes:
        parameters: names, in the order of `gradient`'s arrays.
        gradient: of the derivative by each parameter; arrays of shape (n_parameters,).
        loss: of the expectation value itself; arrays of shape ().
    """

    parameters: tuple[str, ...]
    gradient: Variance
    loss: Variance


def gradient_variance(
    circuit,
    observable,
    n_samples: int = 1000,
    seed: int = 0,
    distribution: str = "uniform",
    backend="native",
    level: float = 0.95,
) -> GradientVariance:
    """The variance of every gradient component and of the loss, by state vectors, with intervals.

    Args:
        circuit: a Qiskit circuit without measurements; all its parameters are drawn, those called `x` too.
        observable: a Pauli label, a sum of them, or a `SparsePauliOp`.
        n_samples: independent draws of all parameters, at least 16.
        seed: of the draws; sample k is the same whatever `n_samples` is.
        distribution: "uniform" on the circle, or "small_angle" or "gaussian" of `circuits.initializers`.
        backend: as for `QuantumLayer`.
        level: of confidence, for each component on its own.

    Raises:
        LabError: no parameters, more than one observable, too few samples.
        UnknownName: no such distribution.
        TooLarge: the state does not fit into memory.

    Cost: one forward and one backward sweep a sample, whatever the number of parameters.
    """
    import torch

    from qml import QuantumLayer

    _check(circuit, n_samples, distribution)
    layer = QuantumLayer(circuit, observable, [], backend=backend, dtype=torch.float64, seed=0)
    if layer.n_outputs != 1:
        raise LabError(f"gradient_variance takes one observable, got {layer.n_outputs}: call it for each")
    losses, gradients = [], []
    for first in range(0, n_samples, BATCH):
        samples = range(first, min(first + BATCH, n_samples))
        draws = [_draw(distribution, len(layer.weight_parameters), seed, sample) for sample in samples]
        weights = torch.from_numpy(np.stack(draws)).requires_grad_()
        values = layer.evaluate(None, weights)
        values.sum().backward()
        losses.append(values.detach().numpy()[:, 0])
        gradients.append(weights.grad.numpy())
    present = set(circuit.parameters)
    used = [j for j, parameter in enumerate(layer.weight_parameters) if parameter in present]
    names = tuple(layer.weight_parameters[j].name for j in used)
    columns = np.concatenate(gradients).T[used]
    return GradientVariance(names, variance(columns, level), variance(np.concatenate(losses), level))


def _draw(distribution: str, size: int, seed: int, sample: int) -> np.ndarray:
    from circuits import initializers

    return getattr(initializers, distribution)(size, np.random.SeedSequence(seed, spawn_key=(sample,)))


def _check(circuit, n_samples: int, distribution: str) -> None:
    if distribution not in DISTRIBUTIONS:
        raise UnknownName("distribution", distribution, DISTRIBUTIONS)
    if not isinstance(n_samples, int) or n_samples < FEWEST_SAMPLES:
        raise LabError(f"n_samples must be a whole number of at least {FEWEST_SAMPLES}, got {n_samples!r}")
    if not getattr(circuit, "parameters", None):
        raise LabError("the circuit has no free parameters: there is no gradient to measure")
