"""Evolution by sums that do not commute: exact values and derivatives, and unbiased ones where no shift rule is finite."""

import numpy as np
import pytest
import scipy.linalg
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import HamiltonianGate, PauliEvolutionGate
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector, random_hermitian
from qiskit.synthesis import MatrixExponential, SuzukiTrotter

import qml
from circuits.errors import LabError, Unsupported
from circuits.evolution import Evolution, EvolutionGate
from circuits.lowering import lower
from circuits.program import Rotation, Unitary
from qml import QuantumLayer
from qml.gradients.stochastic_parameter_shift import StochasticParameterShift

SEED = 29
T = Parameter("t")
DOUBLE = {"dtype": torch.float64, "seed": 4}


def circuit_of(gate, n_qubits: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(n_qubits)
    circuit.h(0)
    circuit.append(gate, range(gate.num_qubits))
    return circuit


def ising(t, h) -> EvolutionGate:
    return EvolutionGate(SparsePauliOp(["ZZ", "XI", "IX"], np.array([t, h, 0.7])))


@pytest.mark.parametrize("seed", range(5))
def test_its_matrix_is_the_exponential(seed):
    rng = np.random.default_rng(seed)
    operator = SparsePauliOp(["".join(row) for row in rng.choice(list("IXYZ"), (5, 3))], rng.normal(size=5))
    gate = EvolutionGate(operator)
    wanted = scipy.linalg.expm(-1j * operator.to_matrix())
    assert np.allclose(Operator(gate).data, wanted, atol=1e-12)
    assert np.allclose(Operator(gate.definition).data, wanted, atol=1e-12)
    assert np.allclose(Operator(gate.inverse()).data, wanted.conj().T, atol=1e-12)


@pytest.mark.parametrize(
    ("gate", "kinds"),
    [
        (ising(T, 0.2), [Evolution]),
        (EvolutionGate(SparsePauliOp(["ZZ", "XX"], np.array([T, 2 * T]))), [Rotation, Rotation]),  # which commute
        (EvolutionGate(SparsePauliOp(["ZI", "XI", "IY"], np.array([T, 1, T]))), [Evolution, Rotation]),
        (EvolutionGate(SparsePauliOp(["ZI", "XI", "IY"], np.array([0.3, 1, T]))), [Unitary, Rotation]),
        (EvolutionGate(SparsePauliOp(["ZI", "XI", "XI"], np.array([T, 1, -1]))), [Rotation]),
        (PauliEvolutionGate(SparsePauliOp(["ZZ", "XI"]), T), [Rotation, Rotation]),  # a product formula, as Qiskit has it
        (PauliEvolutionGate(SparsePauliOp(["ZZ", "XX"]), T, synthesis=SuzukiTrotter(4)), [Rotation, Rotation]),
        (PauliEvolutionGate(SparsePauliOp(["ZZ", "XI"]), T, synthesis=MatrixExponential()), [Evolution]),
        (PauliEvolutionGate(Pauli("YX"), T), [Rotation]),
    ],
    ids=["sum", "commuting", "parts", "bound", "zero", "lie_trotter", "suzuki", "matrix_exponential", "string"],
)
def test_what_commutes_becomes_rotations_and_the_rest_stays_together(gate, kinds):
    assert [type(other) for other in lower(circuit_of(gate)).gates[1:]] == kinds


def test_a_hamiltonian_gate_with_a_free_time_is_exact():
    matrix = random_hermitian(4, seed=SEED).data
    circuit = circuit_of(HamiltonianGate(matrix, T))
    layer = QuantumLayer(circuit, ["ZX"], init=[0.8], **DOUBLE)
    wanted = Statevector(circuit.assign_parameters([0.8])).expectation_value(Pauli("ZX")).real
    assert layer().item() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("backend", ["native", "aer", "pennylane"])
def test_probabilities_and_samples_are_those_of_the_state(backend):
    circuit = circuit_of(ising(0.4, 1.1)).compose(circuit_of(ising(T, 0.3)))
    state = Statevector(circuit.assign_parameters([0.9]))
    compiled = qml.backends.base.resolve(backend).compile(lower(circuit), [])
    angles = np.zeros((2, 0)), np.array([[1.8], [0.2]])
    assert np.allclose(compiled.probabilities(*angles)[0], state.probabilities(), atol=1e-12)
    shots = 4000
    drawn = np.bincount(compiled.sample(*angles, shots, np.random.SeedSequence(SEED))[0], minlength=4) / shots
    error = np.sqrt(state.probabilities() * (1 - state.probabilities()) / shots)
    assert (np.abs(drawn - state.probabilities()) <= 5 * error + 1e-12).all()


def test_gradients_pass_gradcheck_through_shared_and_nonlinear_parameters():
    x, w = ParameterVector("x", 1), ParameterVector("w", 2)
    circuit = circuit_of(ising(w[0], w[1] * x[0])).compose(circuit_of(ising(w[0] ** 2, 0.1)))
    layer = QuantumLayer(circuit, ["ZI", "XY"], **DOUBLE)
    inputs = torch.tensor([[0.3], [-1.2]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.5, 1.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.evaluate, (inputs, weights))


def stochastic(circuit, observables, repeats: int, shots=None, **options) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the sum of outputs: of repeated draws, and exact."""
    exact = QuantumLayer(circuit, observables, **DOUBLE)
    drawn = QuantumLayer(circuit, observables, diff_method=StochasticParameterShift(**options), shots=shots, **DOUBLE)
    rows = exact._flat_weights().detach().repeat(repeats, 1).requires_grad_()
    (found,) = torch.autograd.grad(drawn.evaluate(None, rows).sum(), rows)
    exact().sum().backward()
    return found.numpy(), torch.cat([getattr(exact, name).grad for name in exact._vectors]).numpy()


@pytest.mark.parametrize(("shots", "n_points"), [(None, 1), (None, 4), (20, 1)])
def test_draws_are_unbiased(shots, n_points):
    repeats, (a, b, c) = 1500, ParameterVector("w", 3)
    circuit = circuit_of(ising(a, b), 3)
    circuit.append(EvolutionGate(SparsePauliOp(["X", "Z"], np.array([c, 0.9]))).control(1, ctrl_state=0), [1, 2])
    circuit.ry(a, 2)
    found, wanted = stochastic(circuit, ["IZZ", "XXI"], repeats, shots, n_points=n_points)
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    assert (np.abs(found.mean(axis=0) - wanted) <= 5 * error).all(), f"seed {DOUBLE['seed']}"
    assert (error > 0).all() and (np.abs(wanted) > 5 * error).all()  # drawn, and often enough to tell from nothing


def test_the_variance_of_draws_falls_with_their_number():
    circuit, repeats = circuit_of(ising(T, 1.3)), 1500
    one, four = (stochastic(circuit, ["ZX"], repeats, n_points=n)[0].var() for n in (1, 4))
    assert one / four == pytest.approx(4, rel=0.35)


def test_a_time_of_a_whole_sum_needs_no_luck():
    """Its derivative inserts the sum itself, which commutes with the evolution: any s gives it exactly."""
    gate = PauliEvolutionGate(SparsePauliOp(["ZZ", "XI", "IX"], [1, 0.4, 0.7]), T, synthesis=MatrixExponential())
    found, wanted = stochastic(circuit_of(gate), ["ZX"], 5)
    assert np.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("n_points", [4, 8, 16, 24])
def test_quadrature_falls_to_rounding(n_points):
    found, wanted = stochastic(circuit_of(ising(T, 1.3)), ["ZX"], 1, n_points=n_points, quadrature=True)
    assert np.abs(found - wanted).max() < {4: 1e-2, 8: 1e-6, 16: 1e-13, 24: 1e-13}[n_points]


@pytest.mark.parametrize("method", ["parameter-shift", "hadamard", "random-directions", "commuting-blocks"])
def test_methods_with_finite_rules_refuse_and_name_what_would_do(method):
    with pytest.raises(Unsupported, match="stochastic-parameter-shift"):
        QuantumLayer(circuit_of(ising(T, 0.3)), diff_method=method)


def test_aer_has_no_adjoint_of_it_and_best_is_what_there_is():
    circuit = circuit_of(ising(T, 0.3))
    with pytest.raises(Unsupported, match="stochastic-parameter-shift"):
        QuantumLayer(circuit, backend="aer", diff_method="adjoint")
    assert QuantumLayer(circuit, backend="aer").method == "stochastic-parameter-shift"
    assert QuantumLayer(circuit, shots=5).method == "stochastic-parameter-shift"
    assert QuantumLayer(circuit).method == "adjoint"


def test_backend_qiskit_which_transpiles_once_refuses_it():
    with pytest.raises(Unsupported, match="product formula"):
        QuantumLayer(circuit_of(ising(T, 0.3)), backend="qiskit")
    assert QuantumLayer(circuit_of(ising(0.2, 0.3)), backend="qiskit")().isfinite().all()


@pytest.mark.parametrize("method", ["adjoint", "stochastic-parameter-shift"])
def test_second_derivatives_raise(method):
    layer = QuantumLayer(circuit_of(ising(T, 0.3)), diff_method=method, **DOUBLE)
    (gradient,) = torch.autograd.grad(layer().sum(), layer.t, create_graph=True)
    with pytest.raises(Unsupported, match="evolution"):
        gradient.sum().backward()
    with pytest.raises(Unsupported, match="product formula"):
        qml.metric_tensor(layer)


@pytest.mark.parametrize("wrong", [0, 1.5, True])
def test_a_number_of_points_that_cannot_be_is_refused(wrong):
    with pytest.raises(LabError, match="n_points"):
        StochasticParameterShift(wrong)


def test_operators_that_cannot_be_are_refused():
    with pytest.raises(LabError, match="real"):
        EvolutionGate(SparsePauliOp("X", 1j))
    with pytest.raises(LabError, match="SparsePauliOp"):
        EvolutionGate("XX")
    with pytest.raises(LabError, match="bind"):
        Operator(ising(T, 0.3))
    chain = [("ZZ", [q, q + 1], T) for q in range(8)] + [("X", [q], 1.0) for q in range(9)]
    wide = SparsePauliOp.from_sparse_list(chain, 9, dtype=object)
    with pytest.raises(Unsupported, match="at most 8 qubits"):
        lower(circuit_of(EvolutionGate(wide), 9))
