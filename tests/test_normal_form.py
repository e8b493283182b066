"""The normal form is the program: executed row by row in NumPy it gives the states of Qiskit and of the plain engine."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Statevector, random_unitary

from circuits import ansatze
from circuits.lowering import lower
from qml.native.normal_form import normal_form, zyz
from qml.native.plain import PlainEngine


def executed(form, angles) -> np.ndarray:
    """The final state, by basis state, of the steps taken one by one."""
    rows = np.arange(2**form.n_qubits)
    state = (rows == 0).astype(complex)

    def value(angle):
        return angle.coefficient * (1.0 if angle.slot is None else angles[angle.slot])

    def parity(mask, inverted):
        return (np.bitwise_count(rows & mask).astype(int) & 1) ^ inverted

    for step in form.steps:
        for turn in step.turns:
            half = value(turn.angle) / 2
            sign = np.where(parity(turn.read, turn.inverted), 1, -1)  # row 1 gets +s of row 0
            state = np.cos(half) * state + np.sin(half) * sign * state[rows ^ turn.flip]
        for phase in step.phases:
            state = state * np.exp(-0.5j * value(phase.angle) * (1 - 2 * parity(phase.read, phase.inverted)))
    return state[form.logical_rows()]


def test_the_catalogue_has_the_states_of_the_plain_engine(case, rng):
    program = lower(case.circuit)
    if program.amplitudes or program.is_evolving:
        pytest.skip("starts from given amplitudes, or has a gate that is no rotation")
    angles = rng.uniform(-7, 7, len(program.slots))
    wanted = PlainEngine(program, []).states(angles[:, None])[0]
    assert np.isclose(abs(np.vdot(wanted, executed(normal_form(program), angles))), 1, atol=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_random_circuits_have_qiskits_states(seed):
    rng = np.random.default_rng(seed)
    n_qubits = int(rng.integers(1, 6))
    circuit = random_circuit(n_qubits, 5, max_operands=min(4, n_qubits), seed=seed)
    state = executed(normal_form(lower(circuit)), [])
    assert np.isclose(abs(np.vdot(Statevector(circuit).data, state)), 1, atol=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_any_one_qubit_unitary_is_z_y_z(seed):
    special = [np.eye(2), np.diag([1, -1]), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]])]
    matrix = (special[seed] if seed < 4 else random_unitary(2, seed=seed).data).astype(complex)
    product = np.eye(2)
    for letter, angle in zyz(matrix):
        circuit = QuantumCircuit(1)
        getattr(circuit, f"r{letter.lower()}")(angle, 0)
        from qiskit.quantum_info import Operator

        product = Operator(circuit).data @ product
    assert np.isclose(abs(np.trace(product.conj().T @ matrix)), 2, atol=1e-12)


@pytest.mark.parametrize("name", ["hardware_efficient", "strongly_entangling"])
def test_a_layer_is_one_step_of_one_turn_per_qubit(name):
    form = normal_form(lower(ansatze.by_name(name)(6, 4)))
    assert [len(step.turns) for step in form.steps if step.turns] == [6] * 4
