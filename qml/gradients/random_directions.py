"""Random directions: parameter-shift along some of the angles, drawn anew each time; between SPSA and parameter-shift."""

import numpy as np

from circuits.errors import LabError, Unsupported
from qml.backends.base import random_generators
from qml.evaluation import CHUNK_ROWS
from qml.gradients.base import GradientMethod, as_rows, from_rows, wanted_slots
from qml.seeds import child
from qml.shifts import rules


class RandomDirections(GradientMethod):
    """The exact derivatives by m of the P angles, drawn without replacement for each sample, times P / m; others are zero.

    Unbiased, without a step that would have to be small; E|estimate - g|^2 = (P / m - 1) |g|^2 without shots, which for
    m = 1 is what SPSA with one direction has. With m = P it is parameter-shift.

    Args:
        n_directions: m.
    Cost: per sample the circuits of m shift rules; where rules have different numbers of terms, on average.
    Source: coordinate descent, Nesterov, SIAM J. Optim. 22, 341 (2012); for circuits, Ding, Ko, Yao, Lin, Li,
        arXiv:2311.00088.
    """

    name = "random-directions"
    is_random = True

    def __init__(self, n_directions: int = 4):
        if isinstance(n_directions, bool) or not isinstance(n_directions, int | np.integer) or n_directions < 1:
            raise LabError(f"n_directions must be a whole number of at least 1, got {n_directions!r}")
        self.n_directions = int(n_directions)

    def check(self, evaluation):
        rules(evaluation.compiled.program)
        if evaluation.compiled.program.amplitudes:
            raise Unsupported(
                "diff_method 'random-directions' takes angles, and this circuit has amplitudes of an initial state: "
                "use diff_method='parameter-shift' or 'adjoint'"
            )

    def circuits(self, evaluation, batch, needs):
        slots, terms = wanted_slots(evaluation, needs), rules(evaluation.compiled.program)
        share = min(1.0, self.n_directions / max(1, len(slots)))
        return round(batch * evaluation.n_bases * share * sum(len(terms[slot]) for slot in slots))

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        slots, terms = evaluation.compiled.slots, rules(evaluation.compiled.program)
        n_inputs, n_columns = inputs.shape[1], inputs.shape[1] + weights.shape[-1]
        columns = np.arange(0 if needs[0] else n_inputs, n_columns if needs[1] else n_inputs)
        slot_of = [*slots.inputs, *slots.weights]
        count = min(self.n_directions, len(columns))
        rows = as_rows(inputs, weights)
        gradient = np.zeros_like(rows)
        plan = [
            (sample, column, coefficient, shift)
            for sample, generator in enumerate(random_generators(child(seed, 0), len(rows)))
            for column in generator.choice(columns, count, replace=False)
            for coefficient, shift in terms[slot_of[column]]
        ]
        for start in range(0, len(plan), CHUNK_ROWS):
            samples, places, coefficients, shifts = (np.array(part) for part in zip(*plan[start : start + CHUNK_ROWS]))
            moved = rows[samples]
            moved[np.arange(len(samples)), places] += shifts
            values = evaluation.values(moved[:, :n_inputs], moved[:, n_inputs:], child(seed, 1, start))
            slopes = coefficients * np.einsum("rk,rk->r", values, cotangents[samples])
            np.add.at(gradient, (samples, places), slopes * (len(columns) / count))
        return from_rows(gradient, inputs, weights)


METHOD = RandomDirections
