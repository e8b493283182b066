"""The natural gradient's steps are those of the metric tensor, and get further than plain ones."""

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, random_clifford, random_unitary

from circuits import ansatze, encodings
from circuits.errors import LabError
from circuits.lowering import lower
from qml import NaturalGradient, QuantumLayer, metric_tensor
from qml.commuting_layers import layers_of_weights
from qml.natural_gradient import spsa_metric

OPTIONS = {"dtype": torch.float64, "seed": 3}


def rotations(n_qubits: int) -> QuantumCircuit:
    w, circuit = ParameterVector("w", n_qubits), QuantumCircuit(n_qubits)
    for qubit in range(n_qubits):
        circuit.ry(w[qubit], qubit)
    return circuit


def stepped(layer, inputs=None, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient, and how far the weights moved."""
    optimiser = NaturalGradient(layer, **options)
    before = layer.w.detach().clone()
    layer(*([] if inputs is None else [inputs])).sum().backward()
    optimiser.step()
    return layer.w.grad, layer.w.detach() - before


def test_a_product_of_rotations_has_a_quarter_of_the_identity():
    layer = QuantumLayer(rotations(3), **OPTIONS)
    gradient, moved = stepped(layer, lr=0.1, damping=0.0)
    assert torch.allclose(moved, -0.1 * 4 * gradient, atol=1e-10)


@pytest.mark.parametrize("inputs", [None, torch.tensor([[0.3, -1.0, 0.8], [2.0, 0.1, -0.4]], dtype=torch.float64)])
@pytest.mark.parametrize("blocks", [None, [6, 3, 3]])
def test_a_step_solves_the_metric(inputs, blocks):
    circuit = ansatze.hardware_efficient(3, 2)
    circuit = circuit if inputs is None else encodings.angle(3).compose(circuit)
    layer = QuantumLayer(circuit, **OPTIONS)
    metric = metric_tensor(layer, inputs)
    metric = (metric if inputs is None else metric.mean(dim=0)).numpy()
    if blocks:
        owner = np.repeat(range(len(blocks)), blocks)
        metric = np.where(owner[:, None] == owner, metric, 0.0)
    approximation = "block-diagonal" if blocks else "full"
    gradient, moved = stepped(layer, inputs, lr=0.05, damping=0.01, approximation=approximation, blocks=blocks)
    wanted = -0.05 * np.linalg.inv(metric + 0.01 * np.eye(12)) @ gradient.numpy()
    assert np.allclose(moved.numpy(), wanted, atol=1e-10)


@pytest.mark.parametrize("with_inputs", [False, True])
def test_the_estimate_from_four_overlaps_is_unbiased(with_inputs):
    seed, repeats = 5, 3000
    circuit = ansatze.hardware_efficient(2, 1)
    circuit = encodings.angle(2).compose(circuit) if with_inputs else circuit
    layer = QuantumLayer(circuit, **OPTIONS)
    inputs = torch.tensor([[0.4, -1.1], [1.9, 0.2]], dtype=torch.float64) if with_inputs else None
    wanted = metric_tensor(layer, inputs)
    wanted = (wanted.mean(dim=0) if with_inputs else wanted).numpy()
    found = np.array([spsa_metric(layer, inputs, np.random.SeedSequence([seed, k])).numpy() for k in range(repeats)])
    error = found.std(axis=0, ddof=1) / repeats**0.5
    assert (np.abs(found.mean(axis=0) - wanted) <= 5 * error + 1e-4).all(), f"seed {seed}"


@pytest.mark.parametrize(
    ("circuit", "expected"),
    [
        (ansatze.hardware_efficient(3, 2), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]),
        (ansatze.strongly_entangling(2, 1), [0, 1, 2, 0, 1, 2]),
        (ansatze.hva_tfim(3, 2), [0, 1, 2, 3]),  # one weight for all gates of a layer
        (ansatze.commuting_blocks(3, 2), [0, 0, 0, 1, 1, 1]),
    ],
    ids=["hardware_efficient", "strongly_entangling", "hva_tfim", "commuting_blocks"],
)
def test_blocks_are_layers_of_gates_that_commute(circuit, expected):
    layer = QuantumLayer(circuit, **OPTIONS)
    assert layers_of_weights(layer._program, layer.weight_parameters).tolist() == expected
    by_default, by_hand = (
        stepped(QuantumLayer(circuit, **OPTIONS), approximation="block-diagonal", damping=0.01, blocks=blocks)[1]
        for blocks in (None, np.unique(expected, return_counts=True)[1])
    )
    if expected == sorted(expected):
        assert torch.equal(by_default, by_hand)


@pytest.mark.parametrize("seed", range(10))
def test_gates_of_one_layer_can_be_reordered_and_of_neighbouring_ones_cannot(seed):
    """Between Clifford gates: every gate clashes with some gate of the layer before, and with none of its own."""
    rng, n_qubits = np.random.default_rng(seed), 3
    w, circuit = ParameterVector("w", 12), QuantumCircuit(n_qubits)
    for parameter in w:
        places = rng.permutation(n_qubits).tolist()
        circuit.append(PauliEvolutionGate(Pauli("".join(rng.choice(list("XYZ"), 2))), parameter), places[:2])
        circuit.compose(random_clifford(2, seed=rng).to_circuit(), places[1:], inplace=True)
    found = layers_of_weights(lower(circuit), list(w))
    ends = []
    for place, item in enumerate(circuit.data):  # each generator carried to the end by dense matrices
        if isinstance(item.operation, PauliEvolutionGate):
            rest = QuantumCircuit(n_qubits)
            for other in circuit.data[place + 1 :]:
                if not isinstance(other.operation, PauliEvolutionGate):
                    rest.append(other)
            letters = item.operation.operator.paulis[0].to_label()[::-1]
            string = SparsePauliOp.from_sparse_list(
                [(letters, [circuit.find_bit(q).index for q in item.qubits], 1)], n_qubits
            )
            unitary = Operator(rest).data
            ends.append(unitary @ string.to_matrix() @ unitary.conj().T)
    clash = np.array([[not np.allclose(a @ b, b @ a) for a in ends] for b in ends])
    for j, layer in enumerate(found):
        assert not clash[j, found == layer].any(), f"seed {seed}"
        earlier = np.arange(12) < j
        assert layer == 0 or clash[j, earlier & (found == layer - 1)].any(), f"seed {seed}"


def test_other_matrices_part_the_gates_before_from_those_behind():
    w, circuit = ParameterVector("w", 4), QuantumCircuit(2)
    circuit.rz(w[0], 0)
    circuit.t(1)  # a rotation about Z by an eighth turn
    circuit.rz(w[1], 1)
    circuit.append(UnitaryGate(random_unitary(2, seed=1)), [0])
    circuit.rz(w[2], 1)
    assert layers_of_weights(lower(circuit), list(w)).tolist() == [0, 0, 1, 2]  # no gate has the last weight


def test_the_layer_is_left_alone_when_the_optimiser_goes():
    layer = QuantumLayer(encodings.angle(2).compose(rotations(2)), **OPTIONS)
    optimiser = NaturalGradient(layer)
    assert len(layer._forward_hooks) == 1
    del optimiser
    gc.collect()
    assert not layer._forward_hooks


def test_copies_step_on_their_own():
    inputs = torch.tensor([[0.3, 1.0], [0.8, -0.2]], dtype=torch.float64)
    layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), **OPTIONS)
    optimiser = NaturalGradient(layer, damping=0.01)
    alone = copy.deepcopy(layer)
    alone(inputs)
    assert not alone._forward_hooks  # what was copied of the hook took itself off
    pairs = [(layer, optimiser), copy.deepcopy((layer, optimiser)), pickle.loads(pickle.dumps((layer, optimiser)))]
    for module, steps in pairs:
        module(inputs).sum().backward()
        with torch.no_grad():
            module(torch.zeros(1, 2, dtype=torch.float64))  # of a validation, which measures no step
        steps.step()
        assert len(module._forward_hooks) == 1
    assert torch.equal(pairs[1][0].w, layer.w) and torch.equal(pairs[2][0].w, layer.w)
    assert not torch.equal(alone.w, layer.w)


def test_other_parameters_take_plain_steps():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), QuantumLayer(encodings.angle(2).compose(rotations(2)), seed=0))
    optimiser = NaturalGradient(model, lr=0.1)
    before = model[0].weight.detach().clone()
    model(torch.ones(3, 2)).sum().backward()
    optimiser.step()
    assert torch.allclose(model[0].weight, before - 0.1 * model[0].weight.grad)


def three_angles(**options) -> QuantumLayer:
    """RY, RZ, RY on one qubit, each of a vector of its own: their metric has an entry between the RYs."""
    circuit, angles = QuantumCircuit(1), [Parameter(name) for name in "abc"]
    for gate, angle in zip(("ry", "rz", "ry"), angles):
        getattr(circuit, gate)(angle, 0)
    return QuantumLayer(circuit, "Z", init={"a": [0.4], "b": [0.5], "c": [0.6]}, dtype=torch.float64, **options)


@pytest.mark.parametrize("approximation", ["full", "block-diagonal", "spsa"])
def test_a_frozen_weight_stays_and_the_others_step_as_if_it_were_a_number(approximation):
    layer = three_angles()
    layer.a.requires_grad_(False)
    optimizer = NaturalGradient(layer, lr=0.1, approximation=approximation)
    before, metric = layer._flat_weights().detach().clone(), metric_tensor(layer)
    layer().sum().backward()
    optimizer.step()
    moved = layer._flat_weights().detach() - before
    assert moved[0] == 0 and moved[1:].abs().min() > 0
    if approximation == "full":
        gradient = torch.cat([layer.b.grad, layer.c.grad])
        expected = -0.1 * torch.linalg.solve(metric[1:, 1:] + 1e-3 * torch.eye(2).double(), gradient)
        assert abs(metric[0, 2]) > 0.1 and torch.allclose(moved[1:], expected, atol=1e-12)


def test_coefficients_of_an_observable_take_plain_steps():
    circuit, k = QuantumCircuit(1), Parameter("k")
    circuit.ry(Parameter("t"), 0)
    operator = SparsePauliOp(["Z"], np.array([k], dtype=object))
    layer = QuantumLayer(circuit, operator, init={"t": [0.1]}, dtype=torch.float64)
    optimizer = NaturalGradient(layer, lr=0.05, damping=0.0)
    layer().sum().backward()
    optimizer.step()
    assert layer.k.item() == pytest.approx(1 - 0.05 * np.cos(0.1))
    assert layer.t.item() == pytest.approx(0.1 + 0.05 * 4 * np.sin(0.1))


@pytest.mark.parametrize("approximation", ["full", "spsa"])
def test_a_batch_of_nothing_moves_nothing(approximation):
    circuit = encodings.angle(2).compose(ansatze.hardware_efficient(2, 1))
    layer = QuantumLayer(circuit, dtype=torch.float64)
    optimizer, before = NaturalGradient(layer, approximation=approximation), layer.w.detach().clone()
    layer(torch.zeros(0, 2, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert torch.equal(layer.w, before)
    optimizer.zero_grad()
    layer(inputs=torch.ones(3, 2, dtype=torch.float64)).sum().backward()  # by name: the hooks see it too
    optimizer.step()
    assert not torch.equal(layer.w, before) and layer.w.isfinite().all()


@pytest.mark.parametrize("approximation", ["full", "block-diagonal", "spsa"])
def test_it_gets_further_than_plain_gradients_where_the_state_moves_unevenly(approximation):
    def trained(optimiser_of) -> float:
        layer = QuantumLayer(ansatze.hardware_efficient(4, 2), "ZZZZ", init="small_angle", dtype=torch.float64, seed=1)
        optimiser = optimiser_of(layer)
        for _ in range(40):
            optimiser.zero_grad()
            loss = layer().sum()
            loss.backward()
            optimiser.step()
        return loss.item()

    plain = trained(lambda layer: torch.optim.SGD(layer.parameters(), lr=0.05))
    natural = trained(lambda layer: NaturalGradient(layer, lr=0.05, approximation=approximation, damping=0.01))
    assert natural < plain


def test_a_stopped_run_goes_on_to_the_same_weights():
    def run(layer, optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            layer().sum().backward()
            optimiser.step()

    one, other = (QuantumLayer(ansatze.hardware_efficient(2, 2), **OPTIONS) for _ in range(2))
    first = NaturalGradient(one, approximation="spsa")
    run(one, first, 6)
    begun = NaturalGradient(other, approximation="spsa")
    run(other, begun, 3)
    resumed = NaturalGradient(other, approximation="spsa")
    resumed.load_state_dict(begun.state_dict())
    run(other, resumed, 3)
    assert torch.equal(one.w, other.w)


@pytest.mark.parametrize(
    "wrong",
    [{"lr": 0}, {"damping": -1}, {"approximation": "exact"}, {"blocks": [1]}, {"blocks": [0, 4]}, {"step": 0}],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(LabError):
        NaturalGradient(QuantumLayer(ansatze.hardware_efficient(2, 1), seed=0), **wrong)


def test_a_model_without_one_quantum_layer_is_refused():
    with pytest.raises(LabError, match="has 0"):
        NaturalGradient(torch.nn.Linear(2, 2))


def test_parameters_in_place_of_the_model_are_refused():
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1))
    with pytest.raises(LabError, match="pass the model or the layer itself, not its parameters, got generator"):
        NaturalGradient(layer.parameters())
