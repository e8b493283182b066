"""Parameter-shift: every derivative from values at shifted angles, exact on simulators and on hardware alike."""

from typing import ClassVar

import numpy as np

from qml.evaluation import CHUNK_ROWS
from qml.gradients.base import GradientMethod, wanted_slots
from qml.seeds import child
from qml.shifts import rules, shifted


class ParameterShift(GradientMethod):
    """Each slot is shifted on its own, by the rule of its gate, so shared parameters are counted as often as they occur.

    Attributes:
        takes_evolutions: whether a subclass sees to the slots that have no finite rule.
    Cost: per sample two circuits for each Pauli rotation or phase, four for each controlled rotation.
    Source: Mitarai et al., Phys. Rev. A 98, 032309 (2018); Schuld et al., Phys. Rev. A 99, 032331 (2019).
    """

    name = "parameter-shift"
    takes_evolutions: ClassVar[bool] = False

    def check(self, evaluation):
        rules(evaluation.compiled.program, self.takes_evolutions)

    def circuits(self, evaluation, batch, needs):
        terms = rules(evaluation.compiled.program, self.takes_evolutions)
        return batch * evaluation.n_bases * sum(len(terms[slot]) for slot in wanted_slots(evaluation, needs))

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        compiled, batch = evaluation.compiled, len(inputs)
        d_inputs = np.zeros_like(inputs)
        d_weights = np.zeros((batch, weights.shape[-1]), weights.dtype)
        parts = shifted(compiled.program, compiled.slots, inputs, weights, CHUNK_ROWS, needs, self.takes_evolutions)
        for index, part in enumerate(parts):
            own = child(seed, index)
            values = evaluation.values(part.inputs, part.weights, own).reshape(len(part.place), batch, -1)
            terms = part.coefficients[:, None] * np.einsum("rbk,bk->rb", values, cotangents)
            for is_input, place, term in zip(part.is_input, part.place, terms):
                (d_inputs if is_input else d_weights)[:, place] += term
        return d_inputs, d_weights.sum(axis=0) if weights.ndim == 1 else d_weights


METHOD = ParameterShift
