"""SPSA: all derivatives from two values, by moving every angle at once in a random direction."""

import numpy as np

from circuits.errors import LabError
from qml.backends.base import random_generators
from qml.gradients.base import GradientMethod, as_rows, from_rows
from qml.seeds import child

EXACT_STEP = {np.dtype(np.float64): 1e-3, np.dtype(np.float32): 1e-2}
SAMPLED_STEP = 0.1


class SPSA(GradientMethod):
    """Mean over directions of (f(t + c d) - f(t - c d)) / 2c times d, with entries of d equal to +-1 for wanted derivatives.

    Unbiased up to the order of c^2; its variance grows with the number of angles.

    Args:
        n_directions: how many directions are averaged for each sample.
        step: c in radians; by default 1e-3 in float64, 1e-2 in float32 and 0.1 with shots.
    Cost: 2 n_directions circuits per sample, whatever the number of angles.
    Source: Spall, IEEE Trans. Autom. Control 37, 332 (1992).
    """

    name = "spsa"
    exact = False
    is_random = True

    def __init__(self, n_directions: int = 1, step: float | None = None):
        if n_directions < 1 or (step is not None and not step > 0):
            raise LabError(f"SPSA needs n_directions >= 1 and step > 0, got {n_directions!r} and {step!r}")
        self.n_directions, self.step = n_directions, step

    def circuits(self, evaluation, batch, needs):
        return 2 * batch * evaluation.n_bases * self.n_directions

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        batch, n_inputs = inputs.shape
        step = self.step or (EXACT_STEP[weights.dtype] if evaluation.shots is None else SAMPLED_STEP)
        rows = as_rows(inputs, weights)
        is_wanted = np.repeat(needs, [n_inputs, rows.shape[1] - n_inputs])
        gradient = np.zeros_like(rows)
        for repeat in range(self.n_directions):
            # Shots and directions are told apart by a key of their own, or the noise of one would follow the other.
            of_shots, of_directions = child(seed, repeat, 0), child(seed, repeat, 1)
            signs = np.stack([g.integers(0, 2, rows.shape[1]) for g in random_generators(of_directions, batch)])
            directions = np.where(is_wanted, 2 * signs - 1, 0).astype(rows.dtype)  # others would only add noise
            moved = np.concatenate([rows + step * directions, rows - step * directions])
            values = evaluation.values(moved[:, :n_inputs], moved[:, n_inputs:], of_shots).reshape(2, batch, -1)
            slopes = np.einsum("bk,bk->b", values[0] - values[1], cotangents) / (2 * step)
            gradient += slopes[:, None] * directions / self.n_directions
        return from_rows(gradient, inputs, weights)


METHOD = SPSA
