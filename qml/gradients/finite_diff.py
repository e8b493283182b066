"""Finite differences: central differences of every angle, with an error of the order of the step squared."""

import numpy as np

from circuits.errors import LabError
from qml.evaluation import CHUNK_ROWS
from qml.gradients.base import GradientMethod, as_rows, from_rows, wanted_slots
from qml.seeds import child

EXACT_STEP = {np.dtype(np.float64): 1e-4, np.dtype(np.float32): 1e-2}
SAMPLED_STEP = 0.1


class FiniteDiff(GradientMethod):
    """(f(t + h) - f(t - h)) / 2h for each slot; biased by h^2 f''' / 6.

    Args:
        step: h in radians; by default 1e-4 in float64, 1e-2 in float32 and 0.1 with shots, where noise grows as 1/h.
    Cost: two circuits per slot and sample.
    """

    name = "finite-diff"
    exact = False

    def __init__(self, step: float | None = None):
        if step is not None and not step > 0:
            raise LabError(f"the step of finite differences must be positive, got {step!r}")
        self.step = step

    def circuits(self, evaluation, batch, needs):
        return 2 * batch * evaluation.n_bases * len(wanted_slots(evaluation, needs))

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        batch, n_inputs = inputs.shape
        step = self.step or (EXACT_STEP[weights.dtype] if evaluation.shots is None else SAMPLED_STEP)
        rows = as_rows(inputs, weights)
        wanted = [j for j in range(rows.shape[1]) if needs[0 if j < n_inputs else 1]]
        gradient = np.zeros_like(rows)
        count = max(1, CHUNK_ROWS // (2 * batch))
        for start in range(0, len(wanted), count):
            part = wanted[start : start + count]
            own = child(seed, start)
            moved = np.repeat(rows[None, None], len(part), axis=0).repeat(2, axis=1)
            for r, column in enumerate(part):
                moved[r, 0, :, column] += step
                moved[r, 1, :, column] -= step
            moved = moved.reshape(-1, rows.shape[1])
            values = evaluation.values(moved[:, :n_inputs], moved[:, n_inputs:], own)
            values = values.reshape(len(part), 2, batch, -1)
            slopes = (values[:, 0] - values[:, 1]) / (2 * step)
            gradient[:, part] = np.einsum("rbk,bk->br", slopes, cotangents)
        return from_rows(gradient, inputs, weights)


METHOD = FiniteDiff
