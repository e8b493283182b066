"""Stochastic parameter-shift: derivatives by coefficients of a sum that does not commute, where no shift rule is finite."""

import numpy as np
from qiskit.circuit import Parameter

from circuits.errors import LabError
from circuits.evolution import Evolution
from circuits.program import Program, Rotation
from qml.backends.base import Compiled, Slots, random_generators
from qml.evaluation import Evaluation
from qml.gradients.base import Kept, wanted_slots
from qml.gradients.parameter_shift import ParameterShift
from qml.seeds import child
from qml.shifts import rule

MOST_KEPT = 512  # compiled circuits; with more slots they are compiled again for each gradient


class StochasticParameterShift(ParameterShift):
    """A shift rule for a rotation put inside the evolution at a random place; the finite rule for every other angle.

    The derivative by t_j of U = exp(-i sum_k t_k P_k / 2) is the integral over s from 0 to 1 of that by the angle of a
    rotation by P_j between U^(1 - s) and U^s. It is taken at an s drawn anew for each sample and evolution, which is
    unbiased. All coefficients share that s, so the derivative by the time of a whole sum does not depend on it.

    Args:
        n_points: values of s for each evolution and sample, averaged.
        quadrature: take the points of Gauss and Legendre in place of drawn ones. The error falls faster than any power of
            1 / n_points: 24 are exact to rounding where the |t_k| add up to no more than ten.
    Cost: per sample 2 n_points circuits for each coefficient (four where the evolution is controlled), and those of
        parameter-shift for the rest.
    Source: Banchi and Crooks, Quantum 5, 386 (2021).
    """

    name = "stochastic-parameter-shift"
    is_random = True
    takes_evolutions = True

    def __init__(self, n_points: int = 1, quadrature: bool = False):
        if isinstance(n_points, bool) or not isinstance(n_points, int | np.integer) or n_points < 1:
            raise LabError(f"n_points must be a whole number of at least 1, got {n_points!r}")
        self.n_points, self.quadrature = int(n_points), bool(quadrature)
        self.is_random = not self.quadrature
        self._split: Kept[Compiled, dict] = Kept()

    def draws(self, program):
        return self.is_random and program.is_evolving

    def circuits(self, evaluation, batch, needs):
        evolving = self._wanted(evaluation, needs)
        terms = sum(len(_terms(gate)) for gate, _, _ in evolving)
        return super().circuits(evaluation, batch, needs) + batch * evaluation.n_bases * self.n_points * terms

    def programs(self, evaluation, needs):
        return len(self._wanted(evaluation, needs))

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        d_inputs, d_weights = super().vjp(evaluation, inputs, weights, cotangents, child(seed, 0), kept, needs)
        compiled, shared = evaluation.compiled, weights.ndim == 1
        slots, angles = compiled.slots, compiled.slots.join(inputs, weights)
        places = {gate: place for place, gate in enumerate(compiled.program.gates)}
        for gate, term, slot in self._wanted(evaluation, needs):
            points, shares = self._points(child(seed, 1, places[gate]), len(inputs))
            slope = self._slope(evaluation, gate, term, slot, angles, points, shares, cotangents, child(seed, 2, slot))
            if slot in slots.inputs:
                d_inputs[:, slots.inputs.index(slot)] += slope
            else:
                d_weights[..., slots.weights.index(slot)] += slope.sum() if shared else slope
        return d_inputs, d_weights

    def _wanted(self, evaluation: Evaluation, needs: tuple[bool, bool]) -> list[tuple[Evolution, int, int]]:
        """Evolutions, places of terms in them, and slots that derivatives are wanted by."""
        evolving = evaluation.compiled.program.evolution_of_slot()
        return [(*evolving[slot], slot) for slot in wanted_slots(evaluation, needs) if slot in evolving]

    def _points(self, seed: np.random.SeedSequence, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """(n_points, batch) values of s, and the (n_points,) weight of each."""
        if self.quadrature:
            points, shares = np.polynomial.legendre.leggauss(self.n_points)
            return np.repeat((points[:, None] + 1) / 2, batch, axis=1), shares / 2
        drawn = [generator.random(self.n_points) for generator in random_generators(seed, batch)]
        return np.stack(drawn, axis=1), np.full(self.n_points, 1 / self.n_points)

    def _slope(self, evaluation, gate, term, slot, angles, points, shares, cotangents, seed) -> np.ndarray:
        """(B,) derivatives by one coefficient."""
        split, values = self._of_slot(evaluation, gate, term, slot), gate.values(angles)
        values = np.broadcast_to(values, (len(values), angles.shape[1]))
        total = np.zeros(angles.shape[1])
        for index, (point, share) in enumerate(zip(points, shares)):
            for part, (coefficient, shift) in enumerate(_terms(gate)):
                own = [(1 - point) * values, np.full((1, len(point)), shift), point * values]
                rows = np.concatenate([angles, *own]).T.astype(angles.dtype)
                found = split.values(rows, rows[:0, :0].reshape(len(rows), 0), child(seed, index, part))
                total += share * coefficient * np.einsum("bk,bk->b", found, cotangents)
        return total

    def _of_slot(self, evaluation: Evaluation, gate: Evolution, term: int, slot: int) -> Evaluation:
        """The program with the evolution in two, and a rotation by its string in between."""
        kept = self._split.setdefault(evaluation.compiled, {})
        if slot in kept:
            return kept[slot]
        compiled = evaluation.compiled
        program = _split(compiled.program, gate, term)
        ready = compiled.backend.compile(program, compiled.observables, Slots(tuple(range(len(program.slots))), ()))
        found = Evaluation(ready, self, evaluation.shots)
        if len(compiled.program.slots) <= MOST_KEPT:
            kept[slot] = found
        return found


def _terms(gate: Evolution) -> tuple[tuple[float, float], ...]:
    """The rule of the rotation that is put in."""
    return rule((0.5, 1.0) if gate.controls else (1.0,))


def _split(program: Program, gate: Evolution, term: int) -> Program:
    """The evolution's coefficients before, the angle, and the coefficients after, in slots behind the program's own."""
    first, count = len(program.slots), len(gate.paulis)
    before, after = (tuple(range(start, start + count)) for start in (first, first + count + 1))
    letters = [(letter, qubit) for letter, qubit in zip(gate.paulis[term], gate.qubits) if letter != "I"]
    pauli, qubits = ("".join(letter for letter, _ in letters), tuple(qubit for _, qubit in letters))
    controls = gate.controls, gate.control_state
    pieces = (
        Evolution(gate.paulis, gate.qubits, before, gate.angles, *controls),
        Rotation(pauli, qubits, *controls, slot=first + count),
        Evolution(gate.paulis, gate.qubits, after, gate.angles, *controls),
    )
    gates = [piece for other in program.gates for piece in (pieces if other is gate else (other,))]
    slots = (*program.slots, *[Parameter(f"s{j}") for j in range(2 * count + 1)])
    return Program(program.n_qubits, tuple(gates), slots, program.amplitudes, program.parameters)


METHOD = StochasticParameterShift
