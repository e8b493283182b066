"""The averages themselves, which a variance subtracts: one path for the value, one for each derivative."""

import numpy as np

from studies.walk.distributions import Angles
from studies.walk.program import moments
from studies.walk.strings import Strings
from studies.walk.table import Clifford, Noise, Table


def means(table: Table, strings: Strings, coefficients: np.ndarray, angles: Angles) -> tuple[float, np.ndarray]:
    """E[<O>], and E of its derivative by each parameter: every anticommuting turn leaves E[cos] of a string.

    A derivative's path turns at its own gate. Uniform angles leave nothing of either, unless no turn is met.

    Cost: gates times strings, with one more string for each turn that leaves anything.
    """
    owner = np.full(len(strings), -1)
    weights = np.array(coefficients, float)
    values = np.zeros(table.n_parameters)
    for step in table.steps:
        if isinstance(step, Clifford):
            strings.carry(step)
        elif isinstance(step, Noise):
            qx, qy, qz = step.shrink
            weights = weights * np.array([1.0, qx, qz, qy])[strings.codes[step.qubit]]
        elif step.any_axis:
            weights = np.where(strings.codes[step.qubits[0]], weights / 3, weights)
        else:
            cos, met = moments(step, angles).cos, strings.anticommute(step)
            chosen = np.flatnonzero(met & (owner < 0)) if cos else np.zeros(0, int)
            turned, turned_weights = strings.of(chosen).turned(step), weights[chosen] * cos * step.factor
            weights = np.where(met, weights * cos, weights)
            strings = strings.joined(turned)
            weights = np.concatenate([weights, turned_weights])
            owner = np.concatenate([owner, np.full(len(chosen), step.parameter)])
        if not weights.all():
            kept = weights != 0
            strings, weights, owner = strings.of(kept), weights[kept], owner[kept]
    found = weights * strings.expectations(table.bloch)
    np.add.at(values, owner[owner >= 0], found[owner >= 0])
    return float(found[owner < 0].sum()), values
