"""Shift rules: the derivative of an expectation value by one slot, as a sum of its values at shifted slots.

As a function of one angle an expectation value is a trigonometric polynomial whose frequencies the gate fixes, so the rule
is exact: two terms for a Pauli rotation, two (shifted by pi) for a controlled phase, four for a controlled rotation. As a
function of one unnormalised amplitude it is a quadratic, for which a difference at any distance is exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from circuits.errors import Unsupported
from circuits.program import Program
from qml.backends.base import Slots

Terms = tuple[tuple[float, float], ...]  # (coefficient, shift)
# A distance by which no state of norm 1 becomes the zero vector, which has no direction.
AMPLITUDE: Terms = ((np.sqrt(0.125), np.sqrt(2.0)), (-np.sqrt(0.125), -np.sqrt(2.0)))


@lru_cache(maxsize=64)
def rule(frequencies: tuple[float, ...]) -> Terms:
    """The terms that differentiate any trigonometric polynomial of these frequencies.

    Source: Wierichs, Izaac, Wang, Lin, Quantum 6, 677 (2022); computed by PennyLane.
    """
    import pennylane as qp

    return tuple((float(c), float(s)) for c, s in qp.gradients.generate_shift_rule(frequencies))


def rules(program: Program, finite_only: bool = False) -> list[Terms]:
    """The rule of every slot of the program, in order.

    Args:
        finite_only: give no terms for a slot that has no finite rule, in place of an error.

    Raises:
        Unsupported: a slot that is a coefficient of an evolution by a sum that does not commute.
    """
    rotations, evolving = program.rotation_of_slot(), program.evolution_of_slot()
    if evolving and not finite_only:
        raise Unsupported(
            "the coefficients of an evolution by a sum that does not commute have no finite shift rule: use "
            "diff_method='stochastic-parameter-shift', or without shots 'adjoint' on backend 'native' or 'backprop'"
        )
    terms = {slot: rule(rotation.frequencies) for slot, rotation in rotations.items()} | dict.fromkeys(evolving, ())
    return [terms.get(slot, AMPLITUDE) for slot in range(len(program.slots))]


@dataclass(frozen=True)
class Shifted:
    """A chunk of shifted evaluations: R shifts of all B samples, as R * B rows of angles.

    Attributes:
        is_input, place: (R,) which array the shifted slot is in, and its column there.
        coefficients: (R,) of the rule.
        inputs, weights: (R * B, n) rows; row r * B + b is sample b under shift r.
    """

    is_input: np.ndarray
    place: np.ndarray
    coefficients: np.ndarray
    inputs: np.ndarray
    weights: np.ndarray


def shifted(
    program: Program,
    slots: Slots,
    inputs: np.ndarray,
    weights: np.ndarray,
    chunk: int,
    needs: tuple[bool, bool] = (True, True),
    finite_only: bool = False,
) -> Iterator[Shifted]:
    """Every shift of every slot, in chunks of at most `chunk` rows (at least one shift of the batch each).

    Args:
        needs: whether derivatives by inputs, and by weights, are wanted at all. finite_only: as in `rules`.
    """
    terms = rules(program, finite_only)
    plan = [
        (is_input, place, coefficient, shift)
        for is_input, places, wanted in ((True, slots.inputs, needs[0]), (False, slots.weights, needs[1]))
        if wanted
        for place, slot in enumerate(places)
        for coefficient, shift in terms[slot]
    ]
    batch = len(inputs)
    step = max(1, chunk // max(1, batch))
    for start in range(0, len(plan), step):
        yield _rows(plan[start : start + step], inputs, np.broadcast_to(weights, (batch, weights.shape[-1])))


def _rows(part: list[tuple[bool, int, float, float]], inputs: np.ndarray, weights: np.ndarray) -> Shifted:
    count = len(part)
    rows = [np.repeat(array[None], count, axis=0) for array in (inputs, weights)]
    for r, (is_input, place, _, shift) in enumerate(part):
        rows[0 if is_input else 1][r, :, place] += shift
    is_input, place, coefficients, _ = (np.array(column) for column in zip(*part))
    flat = [array.reshape(count * array.shape[1], array.shape[2]) for array in rows]
    return Shifted(is_input, place, coefficients, *flat)
