"""From parameters to angles, in torch: what engines differentiate by angles, autograd carries on to parameters."""

from collections.abc import Callable, Sequence

import numpy as np
import sympy
import torch
from qiskit.circuit import Parameter

from circuits.expressions import Expressions, analyse
from circuits.program import Program
from qml.backends.base import Slots


class Binding(torch.nn.Module):
    """Input angles and weight angles of a program, given its inputs and weights.

    A slot that holds an input goes with the samples, the rest are the same for all samples.

    Attributes:
        slots: which slots are which, for `Backend.compile`.
        is_identity: whether angles are the inputs and the weights as they are.
        mixes_weights: whether what goes with the samples depends on weights too.
        dtype: of the constants in angles.
    """

    def __init__(self, program: Program, inputs: Sequence[Parameter], weights: Sequence[Parameter]):
        super().__init__()
        of_samples = [not set(inputs).isdisjoint(slot.parameters) for slot in program.slots]
        for slot in program.amplitudes:  # an initial state is one thing: all of it goes with the samples
            of_samples[slot] = True
        varying = [s for s, flag in enumerate(of_samples) if flag]
        self.slots = Slots(tuple(varying), tuple(s for s, flag in enumerate(of_samples) if not flag))
        expressions = [program.slots[s] for s in varying]
        held = {parameter for slot in expressions for parameter in slot.parameters}
        self.mixes_weights = not held.isdisjoint(weights)
        columns = [varying.index(s) for s in program.amplitudes]
        self._varying = Angles(analyse(expressions, [*inputs, *weights] if self.mixes_weights else inputs), columns)
        self._fixed = Angles(analyse([program.slots[s] for s in self.slots.weights], weights))
        self.is_identity = not self.mixes_weights and self._varying.is_identity and self._fixed.is_identity
        self.dtype = self._fixed._offset.dtype

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.dtype = self._fixed._offset.dtype  # asked for in every step: a buffer of a module of a module costs more
        return self

    def forward(self, inputs: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, n_input_slots) and (n_weight_slots,) or, for one weight vector per sample, (B, n_weight_slots)."""
        parameters = inputs
        if self.mixes_weights:
            rows = weights.expand(len(inputs), weights.shape[-1])
            parameters = torch.cat([inputs, rows], dim=-1)
        # Without the calls of two more modules, which at four qubits are a tenth of a step.
        return self._varying.forward(parameters), self._fixed.forward(weights)


class Angles(torch.nn.Module):
    """Some slots as a function of parameters (..., n_parameters): (..., n_slots).

    Coefficients are kept in float64 and rounded to the module's precision whenever that changes, so that going to
    float32 and back loses nothing.

    Args:
        amplitudes: columns of the result that are amplitudes; they are divided by their norm.

    Attributes:
        is_identity: whether slot j is parameter j and nothing else.
    """

    def __init__(self, expressions: Expressions, amplitudes: Sequence[int] = ()):
        super().__init__()
        self._expressions, self._amplitudes = expressions, list(amplitudes)
        self._rest = [j for j in range(len(expressions.offset)) if j not in self._amplitudes]
        self._restored = [int(j) for j in np.argsort([*self._amplitudes, *self._rest])]
        matrix, n_slots = expressions.matrix, len(expressions.offset)
        # Most slots hold one parameter or none: a gather then does what a matrix product would.
        self._is_gather = bool(np.diff(matrix.indptr).max(initial=0) <= 1)
        is_full = matrix.shape[0] == matrix.nnz and self._is_gather and (matrix.data == 1).all()
        self._is_choice = bool(is_full and not expressions.offset.any())  # each slot a parameter as it is
        in_order = self._is_choice and matrix.shape[0] == matrix.shape[1] and (matrix.indices == np.arange(n_slots)).all()
        self.is_identity = bool(in_order and not self._amplitudes)
        self._formulas = _compile(expressions)
        self._build(torch.get_default_dtype(), torch.device("cpu"))

    def __getstate__(self):
        return {**self.__dict__, "_formulas": None}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._formulas = _compile(self._expressions)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self._build(self._offset.dtype, self._offset.device)
        return self

    def _build(self, dtype: torch.dtype, device: torch.device) -> None:
        matrix, places = self._expressions.matrix, list(self._expressions.places)
        order = np.arange(matrix.shape[0])
        order[places] = len(order) + np.arange(len(places))
        column, factors = np.zeros(len(order), int), np.zeros(len(order))
        if self._is_gather:
            filled = np.flatnonzero(np.diff(matrix.indptr))
            column[filled], factors[filled] = matrix.indices, matrix.data
        else:
            factors = matrix.toarray().T
        for name, value, kind in (
            ("_offset", self._expressions.offset, dtype),
            ("_factors", np.ascontiguousarray(factors), dtype),
            ("_column", column, torch.int64),
            ("_order", order, torch.int64),
            ("_amplitude_columns", np.array(self._amplitudes, int), torch.int64),
            ("_rest_columns", np.array(self._rest, int), torch.int64),
            ("_restored_columns", np.array(self._restored, int), torch.int64),
        ):
            self.register_buffer(name, torch.as_tensor(value, dtype=kind, device=device), persistent=False)

    def forward(self, parameters: torch.Tensor) -> torch.Tensor:
        """(..., n_slots) angles."""
        if self.is_identity:
            return parameters
        angles = self._evaluate(parameters)
        return self._normalised(angles) if self._amplitudes else angles

    def _normalised(self, angles: torch.Tensor) -> torch.Tensor:
        amplitudes = angles[..., self._amplitude_columns]
        # Scaled first, so that vectors of tiny or huge entries keep their direction.
        amplitudes = amplitudes / amplitudes.detach().abs().amax(dim=-1, keepdim=True)
        amplitudes = amplitudes / amplitudes.norm(dim=-1, keepdim=True)
        if not self._rest:
            return amplitudes
        return torch.cat([amplitudes, angles[..., self._rest_columns]], dim=-1)[..., self._restored_columns]

    def _evaluate(self, parameters: torch.Tensor) -> torch.Tensor:
        if self._is_gather:
            # Not by parameters[..., column], which wakes torch's threads; these spin for a while, on the cores of ours.
            angles = parameters.index_select(-1, self._column)
            angles = angles if self._is_choice else angles * self._factors + self._offset
        else:
            angles = product(parameters, self._factors) + self._offset
        if self._formulas is None:
            return angles
        values = self._formulas(*parameters.unbind(-1))
        # Numbers are filled in on the device: to copy them there would be to wait for it.
        columns = [v.to(angles.dtype) if isinstance(v, torch.Tensor) else angles.new_full((), float(v)) for v in values]
        formulas = torch.stack([column.expand(angles.shape[:-1]) for column in columns], dim=-1)
        return torch.cat([angles, formulas], dim=-1)[..., self._order]


def product(values: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """values @ matrix, rounded once: float32 products have ten bits where torch is set to TF32, eight under autocast."""
    if values.device.type == "mps":  # which has no float64
        return values @ matrix
    return (values.double() @ matrix.double()).to(values.dtype)


def _compile(expressions: Expressions) -> Callable | None:
    if not expressions.formulas:
        return None
    return sympy.lambdify(expressions.symbols, list(expressions.formulas), modules="torch", cse=True)
