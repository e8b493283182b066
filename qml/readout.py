"""Observables whose coefficients are parameters: expectation values of their strings, put together in torch.

An expectation value is linear in the coefficients, so engines measure the strings and autograd does the rest: gradients by
coefficients, of any order, on every backend and with every method.
"""

from collections.abc import Sequence

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError
from circuits.expressions import analyse
from circuits.observables import as_list
from qml.angles import Angles, product


def parameters_of(observables) -> list[Parameter]:
    """The parameters that coefficients hold, in the order of their names."""
    found = {p for op in _listed(observables) for c in _coefficients(op) for p in c.parameters}
    return sorted(found, key=lambda parameter: (getattr(parameter, "index", -1), parameter.name))


def _listed(observables) -> list:
    if observables is None or isinstance(observables, str):
        return []
    return list(observables) if isinstance(observables, Sequence) else [observables]


def _coefficients(operator) -> list[ParameterExpression]:
    """The coefficients that hold parameters."""
    if not isinstance(operator, SparsePauliOp) or operator.coeffs.dtype != object:
        return []
    return [c for c in operator.coeffs if isinstance(c, ParameterExpression) and c.parameters]


class Strings:
    """What is measured in place of observables with parameters, and how it is put together.

    Attributes:
        observables: as the user gave them, checked where they are numbers.
        measured: for engines: the constant part of each observable that has one, then every string with a parameter.
        constant: (K, n_measured): what each is worth in each observable, parameters apart.
        places: of each coefficient with parameters: (observable, place in `measured`). expressions: themselves.
    """

    def __init__(self, observables, n_qubits: int):
        self.observables: list[SparsePauliOp] = []
        self.measured: list[SparsePauliOp] = []
        self.places: list[tuple[int, int]] = []
        self.expressions: list[ParameterExpression] = []
        ones: list[tuple[int, int]] = []
        of_label: dict[str, int] = {}
        for k, operator in enumerate(_listed(observables)):
            if not _coefficients(operator):
                (checked,) = as_list([operator], n_qubits)
                self.observables.append(checked)
                ones.append((k, self._add(checked)))
                continue
            self.observables.append(operator)
            fixed = []
            for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs):
                if not (isinstance(coefficient, ParameterExpression) and coefficient.parameters):
                    fixed.append((label, complex(coefficient)))
                    continue
                if coefficient.sympify().has(1j) or "I" in map(str, coefficient.sympify().atoms()):
                    raise LabError(f"the coefficient {coefficient} of {label} is not real: an observable is Hermitian")
                if label not in of_label:
                    of_label[label] = self._add(as_list([label], n_qubits)[0])
                self.places.append((k, of_label[label]))
                self.expressions.append(coefficient)
            if fixed:
                (checked,) = as_list([SparsePauliOp.from_list(fixed)], n_qubits)
                ones.append((k, self._add(checked)))
        self.constant = np.zeros((len(self.observables), len(self.measured)))
        for place in ones:
            self.constant[place] = 1

    def _add(self, operator: SparsePauliOp) -> int:
        self.measured.append(operator)
        return len(self.measured) - 1


class Readout(torch.nn.Module):
    """Maps the strings' expectation values, (B, n_measured), to the observables', (B, K), given all parameters."""

    def __init__(self, strings: Strings, parameters: Sequence[Parameter]):
        super().__init__()
        self._coefficients = Angles(analyse(strings.expressions, list(parameters)))
        owners, places = (list(column) for column in zip(*strings.places))
        self.register_buffer("_places", torch.tensor(places), persistent=False)
        sums = np.zeros((len(places), len(strings.observables)))
        sums[np.arange(len(places)), owners] = 1
        for name, matrix in (("_constant", strings.constant.T), ("_sums", sums)):
            value = torch.as_tensor(np.ascontiguousarray(matrix), dtype=torch.get_default_dtype())
            self.register_buffer(name, value, persistent=False)

    def forward(self, values: torch.Tensor, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(B, K) from (B, n_measured), (B, n_inputs), and (n_weights,) or (B, n_weights)."""
        rows = weights.expand(len(values), weights.shape[-1])
        coefficients = self._coefficients(torch.cat([inputs, rows], dim=-1))
        return product(values, self._constant) + product(values[:, self._places] * coefficients, self._sums)
