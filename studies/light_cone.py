"""Lower bounds on variances from the light cone of one Pauli string: no sampling, no state, any number of qubits."""

from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError


@dataclass(frozen=True)
class ConeBound:
    """What the variances of an expectation value are at least, over angles that are independent and symmetric about 0.

    Attributes:
        loss: of the value itself. gradient: (n_parameters,) of its derivatives, 0 where nothing is said.
        parameters: names, in the order of `gradient`.
        turns: how many rotations with angles the string meets that it does not commute with.
    """

    loss: float
    gradient: np.ndarray
    parameters: tuple[str, ...]
    turns: int


def cone_bound(circuit, observable, distribution: str = "uniform", width: float | None = None) -> ConeBound:
    """The part of each variance that one path through the light cone makes, that of the string which never turns.

    Carried back through a rotation that it anticommutes with, a string P becomes cos(angle) P + sin(angle) i G P, so the
    value is a sum over paths, each ending with a string's expectation value in the first state. For independent angles,
    symmetric about 0, products of different paths average to zero: the mean square of the value is a sum of the paths'
    own, none of which is negative. The path that stays P at all its m rotations makes prod_i E[cos^2 a_i] <P>^2 of it, and
    of the mean square of the derivative by the j-th angle E[sin^2 a_j] prod_(i != j) E[cos^2 a_i] <P>^2, times the square of
    the factor before the parameter. The squared means, which a variance subtracts, are of paths of their own
    (derivatives), or prod_i E[cos a_i]^2 <P>^2 of this one (the value). With angles uniform on the circle all are 2^-m: a
    power of n where the string meets log n rotations. It is the argument that makes causal cones bound variances in
    Uvarov and Biamonte, J. Phys. A 54, 245301 (2021), taken path by path rather than for 2-designs.

    Args:
        circuit: Pauli rotations, each by a parameter of its own, and Clifford gates, as for `gradient_variance` by walks.
        observable: one Pauli string, with a factor or without.
        distribution, width: of the angles, as for `gradient_variance`.

    Raises:
        LabError: an observable of several strings, whose cross terms may take from the sum.
        Unsupported: a circuit that the walks do not take.

    Cost: a few operations for each gate.
    """
    from circuits.lowering import lower
    from studies.landscape import angles_of, operator_of
    from studies.walk.table import table_of

    operator = operator_of(observable, circuit).simplify(atol=0, rtol=0)
    if len(operator) != 1:
        raise LabError(f"a light-cone bound takes one Pauli string, got a sum of {len(operator)}: call it for each")
    table = table_of(lower(circuit))
    angles = angles_of(distribution, width, circuit, operator)
    met, end = _stayed(table, operator)
    square = float(operator.coeffs.real[0] * end) ** 2
    gradient = np.zeros(table.n_parameters)
    moved = _moments(met, angles)
    for number, (step, own) in enumerate(zip(met, moved)):
        rest = np.prod([other.cos2 for k, other in enumerate(moved) if k != number])
        gradient[step.parameter] = square * step.factor**2 * own.sin2 * rest
    loss = square * (np.prod([own.cos2 for own in moved]) - np.prod([own.cos for own in moved]) ** 2)
    names = tuple(parameter.name for parameter in circuit.parameters)
    return ConeBound(float(loss), gradient, names, len(met))


def _stayed(table, operator) -> tuple[list, float]:
    """The rotations that the string does not commute with on its way back, turning at none, and what it ends with."""
    from studies.walk.strings import Strings
    from studies.walk.table import Clifford

    strings, met = Strings((operator.paulis.x + 2 * operator.paulis.z).T), []
    for step in table.steps:
        if isinstance(step, Clifford):
            strings.carry(step)
        elif strings.anticommute(step)[0]:
            met.append(step)
    return met, float(strings.expectations(table.bloch)[0])


def _moments(met: list, angles) -> list:
    from studies.walk.program import moments

    return [moments(step, angles) for step in met]
