"""Terms that commute share their shots: fewer circuits, the same values, and the ledger counts what runs."""

import numpy as np
import pytest
import torch
from qiskit.quantum_info import PauliList, SparsePauliOp, Statevector

import qml
from circuits import ansatze
from circuits.lowering import lower
from circuits.observables import as_list, parse, tfim
from qml.backends.base import resolve
from qml.diagonalization import commuting_groups
from qml.measurement import Measured, grouped
from qml.shift_noise import ShiftNoise

SEED = 11
HEISENBERG = ["XXII + YYII + ZZII", "IIXX + IIYY + IIZZ", "0.5*IXXI + 0.5*IYYI + 0.5*IZZI"]


def terms(texts: list[str]) -> list[tuple[str, float, int]]:
    operators = [parse(text) for text in texts]
    return [
        (label, float(c.real), owner)
        for owner, operator in enumerate(operators)
        for label, c in zip(operator.paulis.to_labels(), operator.coeffs)
    ]


def bound(n_qubits: int, n_layers: int = 2):
    circuit = ansatze.strongly_entangling(n_qubits, n_layers)
    return circuit.assign_parameters(np.random.default_rng(SEED).uniform(-3, 3, circuit.num_parameters))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["XX", "YY", "ZZ"], [["XX", "YY", "ZZ"]]),  # three bases qubit by qubit
        (["XXI", "YYI", "ZZI", "XYZ", "YXZ"], [["XXI", "YYI", "ZZI"], ["XYZ", "YXZ"]]),
        (["ZI", "XX", "IZ", "IX"], [["ZI", "IZ"], ["XX", "IX"]]),  # no fewer: qubit by qubit
        (["XX", "YY", "XX"], [["XX", "YY", "XX"]]),  # a string of two observables
        (["ZI", "IX"], [["ZI", "IX"]]),
        (["XXI", "IXX", "YYI", "IYY", "ZZI", "IZZ"], [["XXI", "YYI", "ZZI"], ["IXX", "IYY", "IZZ"]]),
        ([], []),
    ],
)
def test_terms_are_grouped_the_way_that_needs_fewer_bases(texts, expected):
    assert [[label for label, _, _ in group] for group in grouped(terms(texts))] == expected


def test_a_tie_is_measured_qubit_by_qubit():
    measured = Measured(resolve("native").compile(_program(2), as_list(["ZI", "XX", "IZ", "IX"], 2)))
    assert all(len(gate.qubits) == 1 and not gate.controls for _, basis, _ in measured._groups for gate in basis.gates)


def _program(n_qubits: int):
    return lower(bound(n_qubits))


@pytest.mark.parametrize("seed", range(5))
def test_every_group_commutes_and_every_string_is_in_one(seed):
    strings = PauliList(["".join(row) for row in np.random.default_rng(seed).choice(list("IXYZ"), (60, 4))])
    groups = commuting_groups(strings)
    assert sorted(place for group in groups for place in group) == list(range(60))
    assert all(strings[group].commutes(strings[place]).all() for group in groups for place in group)


@pytest.mark.parametrize("backend", ["native", "aer", "pennylane"])
def test_values_from_shared_shots_are_unbiased_with_the_errors_they_state(backend):
    circuit, shots = bound(4), 4000
    operators = as_list(HEISENBERG, 4)
    values, errors = resolve(backend).estimate(circuit, operators, shots, SEED)
    state = Statevector(circuit)
    exact = np.array([state.expectation_value(o).real for o in operators])
    squares = np.array([state.expectation_value((o @ o).simplify()).real for o in operators])
    law = np.sqrt((squares - exact**2) / shots)  # each observable's terms are read from the same shots
    assert (np.abs(values - exact) <= 5 * law).all(), f"seed {SEED}"
    assert np.allclose(errors, law, rtol=0.2)


def test_a_plan_and_the_ledger_count_one_circuit_for_what_commutes():
    for observables, n_bases in ((["XX + YY + ZZ"], 1), (["XX", "YY", "ZZ"], 1), (["XX + YY + ZZ", "XI"], 2)):
        circuit = ansatze.hardware_efficient(2, 1)
        layer = qml.QuantumLayer(circuit, observables, seed=0, diff_method="parameter-shift", shots=9)
        with qml.ledger() as cost:
            layer().sum().backward()
        assert cost.values.circuits == n_bases and cost.gradients.circuits == 2 * 4 * n_bases
        planned = qml.plan(layer)
        assert (planned.circuits, planned.shots) == (cost.total.circuits, cost.total.shots)


def test_the_noise_of_a_gradient_knows_what_is_read_together():
    """An observable measured in its own eigenbasis has Var = <O^2> - <O>^2 at every shifted angle."""
    circuit, operator = ansatze.hardware_efficient(2, 1), SparsePauliOp(["XX", "YY", "ZZ"], [1, 1, 1])
    layer = qml.QuantumLayer(circuit, operator, [], seed=3, dtype=torch.float64)
    weights = layer.w.detach()
    found = ShiftNoise(layer).variances(weights.new_zeros(1, 0), weights, weights.new_ones(1, 1))

    def variance(point) -> float:
        state = Statevector(circuit.assign_parameters(point))
        return state.expectation_value((operator @ operator).simplify()).real - state.expectation_value(operator).real ** 2

    shift = np.pi / 2 * np.eye(len(weights))
    wanted = [(variance(weights.numpy() + e) + variance(weights.numpy() - e)) / 4 for e in shift]
    assert np.allclose(found, wanted, atol=1e-10)


def test_an_ising_energy_keeps_its_two_bases():
    assert len(grouped(terms([str(label) for label in tfim(5).paulis.to_labels()]))) == 2
