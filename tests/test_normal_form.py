"""The normal form is the program: executed row by row in NumPy it gives the states of Qiskit and of the plain engine."""

import cmath
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import (
    CSXGate,
    ECRGate,
    HGate,
    PhaseGate,
    RXGate,
    RXXGate,
    RYGate,
    RZGate,
    SwapGate,
    SXGate,
    UGate,
    UnitaryGate,
    XGate,
    YGate,
    iSwapGate,
)  # fmt: skip
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, Statevector, random_hermitian, random_unitary
from scipy.linalg import expm

from circuits import ansatze
from circuits.errors import Unsupported
from circuits.lowering import lower
from circuits.program import Rotation
from qml.native import normal_form as forms
from qml.native.normal_form import normal_form, zyz
from qml.native.plain import PlainEngine
from qml.native.synthesis import flips, shannon, synthesized


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
        product = Operator(circuit).data @ product
    assert np.isclose(abs(np.trace(product.conj().T @ matrix)), 2, atol=1e-12)


@pytest.mark.parametrize("name", ["hardware_efficient", "strongly_entangling"])
def test_a_layer_is_one_step_of_one_turn_per_qubit(name):
    form = normal_form(lower(ansatze.by_name(name)(6, 4)))
    assert [len(step.turns) for step in form.steps if step.turns] == [6] * 4


@pytest.mark.parametrize("size", [1e-14, 1e-12, 1e-10, 1e-8, 1e-5, 1e-3])
@pytest.mark.parametrize("is_flip", [False, True], ids=["near_diagonal", "near_antidiagonal"])
def test_z_y_z_is_exact_where_one_pair_of_entries_is_next_to_nothing(size, is_flip):
    a, b, c = 0.7, -1.9, 2.5
    cosine, sine = cmath.exp(0.5j * a) * math.cos(size), cmath.exp(1j * b) * math.sin(size)
    matrix = cmath.exp(1j * c) * np.array([[cosine, -sine.conjugate()], [sine, cosine.conjugate()]])
    matrix = matrix[::-1] if is_flip else matrix
    product = np.eye(2)
    for letter, angle in zyz(matrix):
        product = expm(-0.5j * angle * (np.diag([1, -1]) if letter == "Z" else np.array([[0, -1j], [1j, 0]]))) @ product
    overlap = np.vdot(product, matrix)
    assert np.abs(product * overlap / abs(overlap) - matrix).max() < 2e-12


def product_of(gates, n_qubits: int) -> np.ndarray:
    circuit = QuantumCircuit(n_qubits)
    for gate in gates:
        if isinstance(gate, Rotation):
            word = "".join(dict(zip(gate.qubits, gate.pauli)).get(q, "I") for q in reversed(range(n_qubits)))
            whole = Operator.from_label(word).data
            assert not gate.controls and gate.slot is None
            circuit.append(UnitaryGate(expm(-0.5j * gate.angle * whole)), range(n_qubits))
        else:
            circuit.append(UnitaryGate(gate.full_matrix()), [*gate.qubits, *gate.controls])
    return Operator(circuit).data


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of an entry, a global phase apart."""
    overlap = np.vdot(one, other)
    return np.abs(one * overlap / abs(overlap) - other).max()


@pytest.mark.parametrize("n_qubits", [2, 3, 4])
@pytest.mark.parametrize("size", [1e-9, 2e-5, 1e-3, 3.0])
def test_matrices_are_exact_however_near_they_are_to_simpler_ones(n_qubits, size):
    order = list(range(n_qubits))[::-1]
    near = [np.eye(2**n_qubits), Operator(XGate().control(n_qubits - 1)).data]
    for seed, simple in enumerate(near):
        matrix = expm(-1j * size * random_hermitian(2**n_qubits, seed=seed).data) @ simple
        back = QuantumCircuit(n_qubits)
        back.append(UnitaryGate(matrix), order)
        for gates in (synthesized(matrix, order), list(shannon(matrix, order))):
            assert distance(product_of(gates, n_qubits), Operator(back).data) < 1e-12


@pytest.mark.parametrize("gate", [SwapGate(), ECRGate(), CSXGate(), iSwapGate()], ids=lambda gate: gate.name)
def test_known_matrices_are_as_few_cnots_as_they_must_be(gate):
    wanted = {"swap": 3, "ecr": 1, "csx": 2, "iswap": 2}[gate.name]
    assert sum(bool(piece.controls) for piece in synthesized(Operator(gate).data, (0, 1))) == wanted


def test_small_angles_between_two_qubits_are_seen():
    circuit = QuantumCircuit(2)
    circuit.append(UnitaryGate(Operator(RXXGate(4e-5)).data), [0, 1])
    state = executed(normal_form(lower(circuit)), [])
    assert 2 * abs(state[3]) == pytest.approx(4e-5, rel=1e-9)


MANY = 4  # controls, of which two are written out in the tests
UNDER = [XGate(), YGate(), HGate(), SXGate(), UnitaryGate(random_unitary(2, seed=3)), UnitaryGate(random_unitary(2, seed=4))]


def entangled(n_qubits: int, angles) -> QuantumCircuit:
    """A state in which every amplitude counts, so that a phase of one basis state shows."""
    circuit = QuantumCircuit(n_qubits)
    for qubit in range(n_qubits):
        circuit.ry(angles[qubit], qubit)
        circuit.rz(angles[-1 - qubit], qubit)
    return circuit


@pytest.mark.parametrize("gate", [*UNDER, SwapGate()], ids=lambda gate: gate.name)
@pytest.mark.parametrize("state", range(0, 16, 5))
def test_fixed_gates_under_many_controls_have_qiskits_states(gate, state, monkeypatch, rng):
    monkeypatch.setattr(forms, "MOST_CONTROLS", 2)
    n_qubits = MANY + gate.num_qubits
    circuit = entangled(n_qubits, rng.uniform(-3, 3, n_qubits))
    circuit.append(gate.control(MANY, ctrl_state=state, annotated=True), rng.permutation(n_qubits).tolist())
    circuit.append(RXXGate(0.4), [0, n_qubits - 1])
    found = executed(normal_form(lower(circuit)), [])
    assert np.isclose(abs(np.vdot(Statevector(circuit).data, found)), 1, atol=1e-11)


@pytest.mark.parametrize("gate", [RXGate, RYGate, RZGate, RXXGate, PhaseGate, UGate])
@pytest.mark.parametrize("state", range(0, 16, 5))
def test_rotations_under_many_controls_have_the_states_of_the_plain_engine(gate, state, monkeypatch, rng):
    monkeypatch.setattr(forms, "MOST_CONTROLS", 2)
    angles = ParameterVector("t", 3 if gate is UGate else 1)
    base = gate(*angles)
    n_qubits = MANY + base.num_qubits
    circuit = entangled(n_qubits, rng.uniform(-3, 3, n_qubits))
    circuit.append(base.control(MANY, ctrl_state=state, annotated=True), rng.permutation(n_qubits).tolist())
    circuit.append(RXXGate(0.4), [0, n_qubits - 1])
    program = lower(circuit)
    values = rng.uniform(-3, 3, len(program.slots))
    wanted = PlainEngine(program, []).states(values[:, None])[0]
    assert np.isclose(abs(np.vdot(wanted, executed(normal_form(program), values))), 1, atol=1e-11)


def test_a_flip_under_twelve_controls_flips_one_state_and_is_small_gates():
    gates = flips(12, range(12), 0b101100111000)
    assert all(len(gate.controls) <= 1 for gate in gates) and len(gates) < 5000
    circuit = entangled(13, np.linspace(-2, 3, 13))
    circuit.append(XGate().control(12, ctrl_state=0b101100111000), range(13))
    before, after = entangled(13, np.linspace(-2, 3, 13)), executed(normal_form(lower(circuit)), [])
    place = 0b101100111000
    order = np.arange(2**13)
    order[[place, place | 1 << 12]] = order[[place | 1 << 12, place]]
    assert np.isclose(abs(np.vdot(Statevector(before).data[order], after)), 1, atol=1e-11)


@pytest.mark.parametrize("gate", [*UNDER, SwapGate()], ids=lambda gate: gate.name)
def test_ten_controls_take_a_moment(gate, rng):
    n_qubits = 10 + gate.num_qubits
    circuit = entangled(n_qubits, rng.uniform(-3, 3, n_qubits))
    circuit.append(gate.control(10, ctrl_state=0b1100101001, annotated=True), range(n_qubits))
    found = executed(normal_form(lower(circuit)), [])
    assert np.isclose(abs(np.vdot(Statevector(circuit).data, found)), 1, atol=1e-11)


def test_a_controlled_matrix_of_several_qubits_is_taken_up_to_eight_in_all():
    circuit = QuantumCircuit(9)
    circuit.append(UnitaryGate(random_unitary(4, seed=1)).control(7, annotated=True), range(9))
    with pytest.raises(Unsupported, match="on 2 qubits under 7 controls: backend 'native' takes"):
        normal_form(lower(circuit))
