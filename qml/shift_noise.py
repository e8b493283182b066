"""What shots add to a gradient: the variance that the parameter-shift rule has, from exact values and without sampling.

A derivative by an angle is a sum of c_i <O> at shifted angles, each estimated from shots of its own, so its variance at N
shots is sum_i c_i^2 Var_i[O] / N; for the two-term rule (Var+ + Var-) / (4N), and for a Pauli string Var = 1 - <O>^2.
"""

import numpy as np
import torch
from qiskit.quantum_info import Pauli, PauliList, SparsePauliOp

from qml.autograd import expectation, register
from qml.backends import base as backends
from qml.evaluation import CHUNK_ROWS, Evaluation
from qml.gradients import base as gradients
from qml.layer import QuantumLayer
from qml.measurement import grouped
from qml.shifts import rules, shifted

MOST_NUMBERS = 1 << 22  # of one chunk's covariances


class ShiftNoise:
    """The noise of a layer's gradients, and the gradients without it.

    All methods take inputs (B, n_inputs), weights (n_weights,) and cotangents (B, n_outputs), the derivatives of the loss by
    the outputs. Values are those of the layer's backend where it is exact, else of backend "native" without noise.

    Cost: `variances` runs all shifted circuits once, each measured for half as many strings as a group has pairs of terms;
        the rest are a gradient or less.
    """

    def __init__(self, layer: QuantumLayer):
        compiled = layer._evaluation.compiled
        backend = layer.backend if layer.shots is None else backends.resolve("native")
        self._layer, self._program, self._slots = layer, compiled.program, compiled.slots
        again = backend.compile(self._program, compiled.observables, self._slots)
        self._exact = Evaluation(again, gradients.resolve("best", again, None))
        self._covariance = _Covariance(compiled.observables)
        self._strings = backend.compile(self._program, self._covariance.strings, self._slots)

    def values(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(B, n_outputs) exact values, with gradients."""
        measured = self._measured(inputs, weights)
        return measured if self._layer._readout is None else self._layer._readout(measured, inputs, weights)

    def variances(self, inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor) -> np.ndarray:
        """(n_weights,) variance, at one shot a circuit, of the loss's derivatives at these weights."""
        of_strings = self._of_measured(inputs, weights, cotangents)
        angles = [array.detach().to(torch.float64).numpy(force=True) for array in self._layer._binding(inputs, weights)]
        of_inputs, of_weights = self._squared_slopes(inputs, weights)
        chunk = min(CHUNK_ROWS, MOST_NUMBERS // self._covariance.size)
        total = np.zeros(len(weights))
        for part in shifted(self._program, self._slots, *angles, chunk, (bool(of_inputs.any()), True)):
            values = self._strings.expectations(part.inputs, part.weights)
            found = self._covariance.variances(values, np.tile(of_strings, (len(part.place), 1)))
            rows = part.coefficients[:, None] ** 2 * found.reshape(len(part.place), -1)
            for is_input, place, row in zip(part.is_input, part.place, rows):
                total += row @ of_inputs[:, place] if is_input else row.sum() * of_weights[place]
        return total

    def typical_variances(self, inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor) -> np.ndarray:
        """(n_weights,) the same where no string has an expectation value, as in a random state of many qubits."""
        found = self._mixed_variances(inputs, weights, cotangents)
        squares = np.array([sum(c * c for c, _ in terms) for terms in rules(self._program)])
        of_inputs, of_weights = self._squared_slopes(inputs, weights)
        own = np.einsum("b,s,bsp->p", found, squares[list(self._slots.inputs)], of_inputs)
        return own + found.sum() * (squares[list(self._slots.weights)] @ of_weights)

    def typical_value_variance(self, inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor) -> float:
        """Variance, at one shot, of the sum of cotangents times outputs in such a state."""
        return float(self._mixed_variances(inputs, weights, cotangents).sum())

    def _mixed_variances(self, inputs, weights, cotangents) -> np.ndarray:
        of_strings = self._of_measured(inputs, weights, cotangents)
        values = np.zeros((len(of_strings), len(self._covariance.strings)))
        values[:, 0] = 1  # the identity
        return self._covariance.variances(values, of_strings)

    def _measured(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        seed = torch.zeros(2, dtype=torch.int64)
        return expectation(self._exact, register(self._exact), seed, *self._layer._binding(inputs, weights))

    def _of_measured(self, inputs, weights, cotangents: torch.Tensor) -> np.ndarray:
        """(B, n_measured) derivatives by what is measured, which differs where coefficients are parameters."""
        if self._layer._readout is not None:
            measured = self._measured(inputs, weights).detach().requires_grad_()
            outputs = self._layer._readout(measured, inputs, weights)
            (cotangents,) = torch.autograd.grad(outputs, measured, cotangents.to(outputs))
        return cotangents.detach().to(torch.float64).numpy(force=True)

    def _squared_slopes(self, inputs: torch.Tensor, weights: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(B, n_input_slots, n_weights) and (n_weight_slots, n_weights): squared derivatives of angles by weights."""
        weights = weights.detach().clone().requires_grad_()
        of_inputs, of_weights = (_squared_jacobian(angles, weights) for angles in self._layer._binding(inputs, weights))
        return of_inputs, of_weights


def _squared_jacobian(angles: torch.Tensor, weights: torch.Tensor) -> np.ndarray:
    """(*angles.shape, n_weights) squared derivatives of angles by weights."""
    found = np.zeros((angles.numel(), len(weights)))
    if angles.requires_grad:
        for row, angle in zip(found, angles.reshape(-1)):
            (slope,) = torch.autograd.grad(angle, weights, retain_graph=True)
            row[:] = slope.to(torch.float64).square().numpy(force=True)
    return found.reshape(*angles.shape, len(weights))


class _Covariance:
    """Variance of weighted sums of observables, whose commuting terms are measured together and so are correlated.

    Attributes:
        strings: what exact values are needed of, the identity first. size: numbers that a row of values is spread to.
    """

    def __init__(self, observables):
        terms = [
            (label, float(coefficient.real), owner)
            for owner, operator in enumerate(observables)
            for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs)
            if set(label) != {"I"}
        ]
        self._places: dict[str, int] = {"I" * observables[0].num_qubits: 0}
        self._groups = [self._group(group) for group in grouped(terms)]
        self.strings = [SparsePauliOp(label) for label in self._places]
        self.size = max([1, *(len(places) ** 2 for places, *_ in self._groups)])

    def _group(self, terms: list[tuple[str, float, int]]):
        labels, coefficients, owners = zip(*terms)
        places = np.array([self._place(label) for label in labels])
        rows = [_products(PauliList(labels), label) for label in labels]
        products = np.array([[self._place(label) for label in row] for row, _ in rows])
        signs = np.array([sign for _, sign in rows])
        return places, products, signs, np.array(coefficients), list(owners)

    def _place(self, label: str) -> int:
        return self._places.setdefault(label, len(self._places))

    def variances(self, values: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """(R,) at one shot, from (R, n_strings) values and (R, n_observables) factors."""
        total = np.zeros(len(values))
        for places, products, signs, coefficients, owners in self._groups:
            factors = coefficients * cotangents[:, owners]
            # A shifted amplitude leaves a state whose norm, the identity's value, is not one.
            seconds = values[:, 0] * np.einsum("rs,rst,rt->r", factors, signs * values[:, products], factors, optimize=True)
            total += seconds - np.einsum("rs,rs->r", factors, values[:, places]) ** 2
        return total.clip(0)


def _products(strings: PauliList, label: str) -> tuple[list[str], np.ndarray]:
    """The strings that these multiply to with another, which commutes with all of them, and the signs."""
    found = strings.compose(Pauli(label))
    return PauliList.from_symplectic(found.z, found.x).to_labels(), 1.0 - found.phase
