"""Hadamard test: every derivative from one value of a circuit with one more qubit, the ancilla, at unshifted angles."""

import numpy as np
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import Unsupported
from circuits.program import Gate, Program, Rotation, Unitary
from qml.backends.base import Compiled, Slots
from qml.evaluation import Evaluation
from qml.gradients.base import GradientMethod, Kept, wanted_slots
from qml.seeds import child

_H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
_LETTERS = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
MOST_KEPT = 512  # compiled circuits; with more slots they are compiled again for each gradient


class HadamardTest(GradientMethod):
    """The derivative of <O> by exp(-i t P / 2) is <Y (x) O> where an ancilla in |+> controls P right after the gate.

    A controlled rotation has the generator Q P with Q the projector on its control state. Q P is half the difference of two
    unitaries, 1 - Q + Q P and 1 - Q - Q P, and takes two circuits; a controlled phase, Q = (1 - (1 - 2 Q)) / 2, takes one.
    The derivative of <x|M|x> by an amplitude x_j of the initial state is 2 Re <j|M|x>, the value of X (x) M where the
    ancilla holds |0>|j> + |1>|x>.

    Cost: per sample one circuit for each Pauli rotation, controlled phase or amplitude, two for each controlled rotation,
        each with one more qubit and, for a rotation, one more gate. Twice the shots of half as many circuits: the noise for
        a number of shots in all is that of parameter-shift where expectation values are small.
    Source: Guerreschi and Smelyanskiy, arXiv:1701.01450; Schuld et al., Phys. Rev. A 99, 032331 (2019), section III.D.
    """

    name = "hadamard"

    def __init__(self):
        self._tests: Kept[Compiled, dict] = Kept()

    def check(self, evaluation):
        if evaluation.compiled.program.is_evolving:
            raise Unsupported(
                "diff_method 'hadamard' has no test for the coefficients of an evolution by a sum that does not commute: "
                "use diff_method='stochastic-parameter-shift'"
            )

    def circuits(self, evaluation, batch, needs):
        turned = evaluation.compiled.program.rotation_of_slot()
        n_tests = sum(len(_signs(turned.get(slot))) for slot in wanted_slots(evaluation, needs))
        return batch * evaluation.n_bases * n_tests

    def programs(self, evaluation, needs):
        turned = evaluation.compiled.program.rotation_of_slot()
        wanted = wanted_slots(evaluation, needs)
        of_rotations = sum(len(_signs(turned[slot])) for slot in wanted if slot in turned)
        return of_rotations + any(slot not in turned for slot in wanted)

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        slots, gradients = evaluation.compiled.slots, []
        amplitudes = {slot: place for place, slot in enumerate(evaluation.compiled.program.amplitudes)}
        for own, (places, width, wanted) in enumerate(
            ((slots.inputs, inputs.shape[1], needs[0]), (slots.weights, weights.shape[-1], needs[1]))
        ):
            gradient = np.zeros((len(inputs), width), weights.dtype)
            for column, slot in enumerate(places if wanted else ()):
                beside = np.zeros((len(inputs), len(amplitudes)), inputs.dtype)
                if slot in amplitudes:
                    beside[:, amplitudes[slot]] = 1
                rows = np.concatenate([inputs, beside], axis=1)
                for part, (factor, test) in enumerate(self._of_slot(evaluation, slot)):
                    values = test.values(rows, weights, child(seed, own, slot, part))
                    gradient[:, column] += factor * np.einsum("bk,bk->b", values, cotangents)
            gradients.append(gradient)
        d_inputs, d_weights = gradients
        return d_inputs, d_weights.sum(axis=0) if weights.ndim == 1 else d_weights

    def _of_slot(self, evaluation: Evaluation, slot: int) -> list[tuple[float, Evaluation]]:
        """The factors and the tests whose values make the derivative by a slot; one test does for all amplitudes."""
        kept = self._tests.setdefault(evaluation.compiled, {})
        compiled = evaluation.compiled
        rotation = compiled.program.rotation_of_slot().get(slot)
        key = None if rotation is None else slot
        if key in kept:
            return kept[key]
        first, count = len(compiled.program.slots), len(compiled.program.amplitudes)
        slots = Slots((*compiled.slots.inputs, *range(first, first + count)), compiled.slots.weights)
        letter = "X" if rotation is None else "Y"
        observables = [_beside_ancilla(letter, operator) for operator in compiled.observables]
        tests = []
        for sign in _signs(rotation):
            program = _of_amplitudes(compiled.program) if rotation is None else _test(compiled.program, rotation, sign)
            ready = compiled.backend.compile(program, observables, slots)
            factor = sign / 2 if rotation is not None and rotation.controls else 1.0
            tests.append((factor, Evaluation(ready, self, evaluation.shots)))
        if len(compiled.program.slots) <= MOST_KEPT:
            kept[key] = tests
        return tests


def _beside_ancilla(letter: str, operator: SparsePauliOp) -> SparsePauliOp:
    """letter (x) operator; of a rotation's test without the identity, which is worth nothing there and would add noise."""
    if letter == "Y":
        is_seen = operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1)
        if not is_seen.any():
            return SparsePauliOp("I" * (operator.num_qubits + 1), 0.0)
        operator = operator[is_seen]
    return SparsePauliOp(letter).tensor(operator)


def _signs(rotation: Rotation | None) -> tuple[int, ...]:
    """Of the unitaries 1 - Q + sign Q P that are tested; with P = 1 the first would be the identity."""
    if rotation is None or not rotation.controls:
        return (1,)
    return (1, -1) if rotation.pauli else (-1,)


def _beside(program: Program) -> tuple[tuple, tuple[int, ...]]:
    """The program's slots and, behind them, one for each amplitude of a second initial state; and these."""
    new = tuple(range(len(program.slots), len(program.slots) + len(program.amplitudes)))
    return (*program.slots, *[Parameter(f"a{j}") for j in range(len(new))]), new


def _of_amplitudes(program: Program) -> Program:
    """The program with an ancilla on top whose |0> goes with the second initial state, and whose |1> with its own."""
    slots, new = _beside(program)
    return Program(program.n_qubits + 1, program.gates, slots, (*new, *program.amplitudes), program.parameters)


def _test(program: Program, rotation: Rotation, sign: int) -> Program:
    """The program with an ancilla on top that controls the unitary after the gate."""
    ancilla = program.n_qubits
    controls, state = (ancilla, *rotation.controls), 2 * rotation.control_state + 1
    matrix, qubits = np.array([[sign]], complex), rotation.qubits
    for letter in rotation.pauli:
        matrix = np.kron(_LETTERS[letter], matrix)
    if not rotation.pauli:  # a phase where the controls read their state: the last control carries it
        *controls, last = controls
        reads, state, qubits = state >> len(controls), state & ((1 << len(controls)) - 1), (last,)
        matrix = np.diag([1, sign] if reads else [sign, 1]).astype(complex)
    inserted = Unitary("generator", matrix, qubits, tuple(controls), state)
    gates: list[Gate] = [Unitary("h", _H.astype(complex), (ancilla,))]
    for gate in program.gates:
        gates += [gate, inserted] if gate is rotation else [gate]
    slots, zeros = _beside(program)
    return Program(program.n_qubits + 1, tuple(gates), slots, (*program.amplitudes, *zeros), program.parameters)


METHOD = HadamardTest
