"""One circuit, one backend, one gradient method: values, first and second derivatives, on NumPy arrays of angles."""

from typing import Any

import numpy as np

from circuits.errors import Unsupported
from circuits.evolution import NO_SECOND_DERIVATIVES
from qml import costs
from qml.backends.base import Compiled, check_shots
from qml.gradients.base import GradientMethod
from qml.seeds import child
from qml.shifts import shifted

CHUNK_ROWS = 4096  # angle rows per call of a backend: enough to fill it, little enough to hold
# Keys of what gradients draw, below which no two share a stream; those of values are the numbers of their groups.
OF_GRADIENTS, OF_SECOND = 1 << 30, (1 << 30) + 1


class Evaluation:
    """What a layer asks for: expectation values of a compiled circuit and their derivatives by its angles.

    Args:
        compiled: from a backend.
        method: how it is differentiated; refused here if it cannot work with this backend or these shots.
        shots: per group of commuting terms and sample; None is exact.

    Attributes:
        is_random: whether a value or a gradient depends on the seed.
    """

    def __init__(self, compiled: Compiled, method: GradientMethod, shots: int | None = None):
        if shots is not None:
            check_shots(shots)
        self.compiled, self.method, self.shots = compiled, method, shots
        method.check(self)
        self.n_outputs = len(compiled.observables)
        self._measured = None if shots is None else compiled.measured()
        self.is_random = shots is not None or method.draws(compiled.program)

    @property
    def n_bases(self) -> int:
        """Circuits for each row of angles: one for each measurement basis, one where values are exact."""
        return 1 if self._measured is None else self._measured.n_groups

    def on_tensors(self) -> Any:
        """What runs on a GPU's tensors, or None where the CPU does: with shots, and by other methods than adjoint."""
        return self.compiled.on_tensors() if self.shots is None and self.method.uses_vjp else None

    def values(self, inputs: np.ndarray, weights: np.ndarray, seed: np.random.SeedSequence) -> np.ndarray:
        """(B, K) expectation values, exact or estimated."""
        return self.forward(inputs, weights, seed, keep=False)[0]

    def forward(self, inputs, weights, seed, keep: bool = True) -> tuple[np.ndarray, Any]:
        """Values, and what the backend keeps of the run for a gradient at the same angles."""
        if not self.compiled.checks_angles:
            self.compiled.program.check_numbers(inputs, weights)
        if len(inputs) == 0:
            return np.zeros((0, self.n_outputs), weights.dtype), None
        if self._measured is not None:
            return self._measured.estimate(inputs, weights, self.shots, seed)[0], None
        if keep and self.method.uses_vjp:
            return self.compiled.forward(inputs, weights)
        return self.compiled.expectations(inputs, weights), None

    def vjp(self, inputs, weights, cotangents, seed, kept=None, needs=(True, True)) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b, in the shapes of `inputs` and `weights`."""
        if len(inputs) == 0:
            return np.zeros_like(inputs), np.zeros_like(weights)
        if self.is_random:  # or a derivative of the loss would depend on the noise of the values in it
            seed = child(seed, OF_GRADIENTS)
        if not costs.is_open():
            return self.method.vjp(self, inputs, weights, cotangents, seed, kept, needs)
        with costs.for_gradients():
            return self.method.vjp(self, inputs, weights, cotangents, seed, kept, needs)

    def second(self, inputs, weights, cotangents, v_inputs, v_weights, seed):
        """Derivatives of sum v . vjp(inputs, weights, cotangents) by inputs, weights and cotangents.

        Exact. A backend that carries derivatives through its own adjoint sweep does so; else shift rules differentiate the
        gradient, which is itself a trigonometric polynomial in every angle.

        Cost: about 2.5 gradients on backend native; elsewhere two to four gradients per slot.

        Raises:
            Unsupported: the method is no exact derivative that a rule could differentiate again, or draws numbers itself;
                an evolution by a sum that does not commute.
        """
        program = self.compiled.program
        if program.is_evolving:
            raise Unsupported(NO_SECOND_DERIVATIVES)
        if not self.method.exact or self.method.draws(program):
            raise Unsupported(
                f"diff_method {self.method.name!r} has no second derivative: use 'adjoint' or 'parameter-shift'"
            )
        with costs.for_gradients():
            return self._second(inputs, weights, cotangents, v_inputs, v_weights, seed)

    def _second(self, inputs, weights, cotangents, v_inputs, v_weights, seed):
        batch, shared = len(inputs), weights.ndim == 1
        if self.method.uses_vjp and batch:
            found = self.compiled.second(inputs, weights, cotangents, v_inputs, v_weights)
            if found is not None:
                return found
        totals = np.zeros_like(inputs), np.zeros((batch, weights.shape[-1]), weights.dtype)
        of_cotangents = np.zeros_like(cotangents)
        v_weights = np.broadcast_to(v_weights, totals[1].shape)
        if batch == 0:
            return totals[0], np.zeros_like(weights), of_cotangents
        parts = shifted(self.compiled.program, self.compiled.slots, inputs, weights, CHUNK_ROWS // 4)
        for index, part in enumerate(parts):
            own = child(seed, OF_SECOND, index)
            directions = np.where(part.is_input[:, None], *_columns(part.place, v_inputs, v_weights))
            factors = (part.coefficients[:, None] * directions)[:, :, None]  # (R, B, 1)
            repeated = np.tile(cotangents, (len(part.place), 1))
            values = self.values(part.inputs, part.weights, own).reshape(len(part.place), batch, -1)
            gradients = self.vjp(part.inputs, part.weights, repeated, own)
            of_cotangents += (factors * values).sum(axis=0)
            for total, gradient in zip(totals, gradients):
                total += (factors * gradient.reshape(len(part.place), batch, -1)).sum(axis=0)
        return totals[0], totals[1].sum(axis=0) if shared else totals[1], of_cotangents


def _columns(places: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    """(R, B) columns of each array at the places, zero where the array is too narrow to have one."""
    out = []
    for array in arrays:
        padded = np.concatenate([array, np.zeros((len(array), 1), array.dtype)], axis=1)
        out.append(padded[:, np.minimum(places, array.shape[1])].T)
    return out
