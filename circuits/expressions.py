"""What an angle slot is in terms of parameters: affine ones as one matrix, any other as a formula.

A slot that is affine in every parameter is a row of a matrix and an offset; the rest (the (pi - x0)(pi - x1) of a
ZZ feature map, say) is kept as a SymPy formula that whoever evaluates it compiles for its own arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import sympy
from qiskit.circuit import Parameter, ParameterExpression

from circuits.errors import LabError, Unsupported


@dataclass(frozen=True)
class Expressions:
    """Slots as functions of parameters: slots = matrix @ parameters + offset, then `formulas[k]` put in at `places[k]`.

    Attributes:
        matrix: (n_slots, n_parameters), sparse; offset: (n_slots,).
        symbols: one SymPy symbol per parameter, in order, for the formulas.
    """

    matrix: scipy.sparse.csr_array
    offset: np.ndarray
    places: tuple[int, ...]
    formulas: tuple[sympy.Expr, ...]
    symbols: tuple[sympy.Symbol, ...]


def analyse(slots: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> Expressions:
    """Split the slots into affine rows and formulas.

    Raises:
        LabError: a slot holds a parameter that is not among `parameters`.
    Cost: one symbolic derivative per slot and parameter in it.
    """
    column = {parameter: j for j, parameter in enumerate(parameters)}
    entries: list[tuple[int, int, float]] = []
    offset = np.zeros(len(slots))
    places, formulas = [], []
    for row, slot in enumerate(slots):
        slopes, constant = _affine(slot)
        missing = [parameter.name for parameter in slopes if parameter not in column]
        if missing:
            raise LabError(f"parameter {missing[0]!r} is neither an input nor a weight")
        if constant is None:
            places.append(row)
            formulas.append(_formula(slot, column))
        else:
            entries.extend((row, column[parameter], slope) for parameter, slope in slopes.items() if slope)
            offset[row] = constant
    symbols = tuple(sympy.Symbol(f"p{j}", real=True) for j in range(len(parameters)))
    rows, columns, slopes = zip(*entries) if entries else ((), (), ())
    matrix = scipy.sparse.csr_array((slopes, (rows, columns)), shape=(len(slots), len(parameters)), dtype=float)
    return Expressions(matrix, offset, tuple(places), tuple(formulas), symbols)


def _affine(slot: ParameterExpression) -> tuple[dict[Parameter, float], float | None]:
    """The slope in each parameter and the constant; None for the constant where the slot is not affine."""
    if isinstance(slot, Parameter):
        return {slot: 1.0}, 0.0
    slopes = {}
    try:
        for parameter in slot.parameters:
            slope = slot.gradient(parameter)
            if isinstance(slope, ParameterExpression) and slope.parameters:
                return dict.fromkeys(slot.parameters, 0.0), None
            slopes[parameter] = _real(slope)
        return slopes, _real(slot.bind(dict.fromkeys(slopes, 0.0)))
    except (RuntimeError, ZeroDivisionError):  # no derivative, or no value at zero: whatever it is, it is a formula
        return dict.fromkeys(slot.parameters, 0.0), None


def _real(value) -> float:
    value = complex(value.numeric() if isinstance(value, ParameterExpression) else value)
    if abs(value.imag) > 1e-12 or not np.isfinite(value.real):
        raise LabError(f"an angle has the coefficient {value}: angles must be real and finite")
    return value.real


def _formula(slot: ParameterExpression, column: dict[Parameter, int]) -> sympy.Expr:
    """The slot in symbols p0, p1, ... : a parameter's own name, such as x[0], is not a name Python can read."""
    formula = slot.sympify()
    if not isinstance(formula, sympy.Expr):
        raise Unsupported(
            f"the angle {slot} has no symbolic form: write powers with a parameter as exponent with exp and log"
        )
    names = {parameter.name: j for parameter, j in column.items()}
    formula = formula.xreplace({s: sympy.Symbol(f"p{names[s.name]}", real=True) for s in formula.free_symbols})
    if formula.has(sympy.I) and sympy.im(sympy.expand(formula)) != 0:
        raise LabError(f"the angle {slot} is complex: angles must be real")
    return formula
