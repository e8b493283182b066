"""A plateau is called a plateau, a minimum a minimum, training training; the numbers are those of direct computation."""

import copy
import pickle

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from circuits import ansatze, encodings, observables
from circuits.errors import LabError
from qml import HybridClassifier, PlateauWatch, QuantumLayer
from qml.plateau import Reading
from qml.shift_noise import ShiftNoise

SIGMAS = 5


def taught(model, inputs, targets, watch, steps, rate=0.1):
    """The model after some steps of Adam on the mean square error."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        watch.step(loss)
        optimizer.step()
    return watch


def test_a_deep_circuit_with_a_global_observable_is_a_plateau():
    torch.manual_seed(0)
    n = 10
    layer = QuantumLayer(encodings.angle(n).compose(ansatze.strongly_entangling(n, 12)), "Z" * n, seed=3)
    watch = taught(layer, torch.rand(8, n), torch.ones(8, 1), PlateauWatch(layer, shots=100), 3, rate=0.001)
    found = watch.read()
    assert found.says == "plateau" and "A barren plateau" in str(found), str(found)
    assert found.groups[-1].shots_needed > 100


def test_an_energy_that_is_reached_is_a_minimum_and_before_that_it_trains():
    layer = QuantumLayer(ansatze.hva_tfim(4, 4), observables.tfim(4), [], init="small_angle", seed=2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    watch = PlateauWatch(layer, window=3, shots=1000)
    said = []
    for step in range(400):
        optimizer.zero_grad()
        loss = layer().sum()
        loss.backward()
        watch.step(loss)
        optimizer.step()
        if step in (5, 399):
            said.append(watch.read())
    assert said[0].says == "training" and "can be seen" in str(said[0])
    assert said[1].says == "minimum" and "A minimum, not a plateau" in str(said[1]), str(said[1])


def test_groups_are_what_the_gradients_say():
    torch.manual_seed(1)
    layer = QuantumLayer(encodings.angle(3).compose(ansatze.hardware_efficient(3, 2)), seed=5, dtype=torch.float64)
    watch = PlateauWatch(layer, shots=500, groups=2, window=1)
    inputs = torch.rand(4, 3, dtype=torch.float64)
    loss = layer(inputs).square().sum()
    loss.backward()
    watch.step(loss)
    first, second, everything = watch.read().groups
    squares = layer.w.grad.square()
    assert first.variance == pytest.approx(float(squares[:6].mean())) and second.name == "part 2"
    noise = noise_by_hand(layer, inputs, 2 * layer(inputs).detach().numpy()).mean()
    assert everything.shots_needed == pytest.approx(noise / float(squares.mean()))
    assert everything.snr == pytest.approx((500 / everything.shots_needed) ** 0.5)


def noise_by_hand(layer, inputs, cotangents) -> np.ndarray:
    """(Var+ + Var-) / 4 for each weight, summed over samples, of outputs Z that are read from the same shots."""
    qubits, total = layer.circuit.num_qubits, []
    pairs = [(a, b) for a in range(qubits) for b in range(a)]
    products = [SparsePauliOp.from_sparse_list([("ZZ", pair, 1)], qubits) for pair in pairs]
    more = QuantumLayer(layer.circuit, [*layer.observables, *products], dtype=torch.float64)
    for index in range(len(layer.weight_parameters)):
        total.append(0)
        for shift in (-np.pi / 2, np.pi / 2):
            weights = layer.w.detach().clone()
            weights[index] += shift
            values = more.evaluate(inputs, weights).detach().numpy().T
            variance = (cotangents.T**2 * (1 - values[:qubits] ** 2)).sum()
            for (a, b), product in zip(pairs, values[qubits:]):
                variance += 2 * (cotangents[:, a] * cotangents[:, b] * (product - values[a] * values[b])).sum()
            total[-1] += variance / 4
    return np.array(total)


def scaled() -> QuantumCircuit:
    """Angles that are shared, scaled, mixed with inputs, and of controlled rotations, whose rule has four terms."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 4)
    circuit = QuantumCircuit(2)
    circuit.rx(x[0], 0)
    circuit.ry(2 * w[0] + 0.3, 0)
    circuit.rx(w[1] - w[0], 1)
    circuit.crx(w[2] / 2, 0, 1)
    circuit.ry(w[3] * x[1], 1)
    return circuit


@pytest.mark.parametrize(
    ("circuit", "measured"),
    [
        (encodings.angle(2).compose(ansatze.strongly_entangling(2, 1)), None),
        (scaled(), SparsePauliOp(["ZZ", "ZI", "XI", "II"], [0.5, -1.5, 0.7, 2])),
        (scaled(), ["XX", "ZI"]),
    ],
)
def test_the_noise_is_that_of_sampled_gradients(circuit, measured):
    seed, shots, repeats = 11, 100, 600
    layer = QuantumLayer(circuit, measured, seed=seed, shots=shots, diff_method="parameter-shift", dtype=torch.float64)
    inputs = torch.tensor([[0.3, 1.2], [2.1, -0.8]], dtype=torch.float64)
    cotangents = torch.tensor([[1.0, -0.6], [0.4, 1.3]], dtype=torch.float64)[:, : layer.n_outputs]
    gradients = []
    for _ in range(repeats):
        layer.zero_grad()
        layer(inputs).backward(cotangents)
        gradients.append(layer.w.grad.numpy().copy())
    exact = layer.w.detach().clone().requires_grad_()
    ShiftNoise(layer).values(inputs, exact).backward(cotangents)
    expected = ShiftNoise(layer).variances(inputs, layer.w.detach(), cotangents) / shots
    squares = np.square(np.array(gradients) - exact.grad.numpy())
    spread = squares.std(axis=0) / repeats**0.5
    assert (np.abs(squares.mean(axis=0) - expected) <= SIGMAS * spread + 1e-12).all(), f"seed {seed}"
    assert expected.max() > 0


def test_a_state_without_expectation_values_has_the_typical_noise():
    w, circuit = ParameterVector("w", 2), QuantumCircuit(4)
    circuit.h([2, 3])
    circuit.cx([2, 3], [0, 1])  # half of two Bell pairs, which no rotation moves
    circuit.rx(w[0], 0)
    circuit.ry(3 * w[1], 1)
    layer = QuantumLayer(circuit, SparsePauliOp(["IIZZ", "IIIZ", "IIXI"], [0.5, 1, -2]), [], seed=0, dtype=torch.float64)
    noise, one = ShiftNoise(layer), torch.ones(1, 1, dtype=torch.float64)
    arguments = one[:, :0], layer.w.detach(), one
    expected = [5.25 / 2, 9 * 5.25 / 2]
    assert noise.variances(*arguments) == pytest.approx(expected)
    assert noise.typical_variances(*arguments) == pytest.approx(expected)
    assert noise.typical_value_variance(*arguments) == pytest.approx(5.25)


@pytest.mark.parametrize("shots", [None, 100])
def test_a_plateau_is_one_whether_or_not_its_gradient_is_sampled(shots):
    layer = QuantumLayer(ansatze.strongly_entangling(10, 5), "Z" * 10, [], seed=3, shots=shots)
    watch = PlateauWatch(layer, shots=100)
    for _ in range(4):
        layer.zero_grad()
        loss = layer().sum()
        loss.backward()
        watch.step(loss)
    stream, weights = layer._stream.clone(), layer.w.detach().clone()
    found = watch.read()
    assert found.says == "plateau", str(found)
    assert torch.equal(layer._stream, stream) and torch.equal(layer.w, weights)  # to read changes no training


def test_where_twice_the_shots_would_do_it_is_no_plateau():
    layer = QuantumLayer(ansatze.strongly_entangling(8, 4), "Z" * 8, [], seed=3, dtype=torch.float64)
    watch = PlateauWatch(layer)
    loss = layer().sum()
    loss.backward()
    watch.step(loss)
    needed = watch.read().groups[-1].shots_needed
    at = {}
    for shots in (int(2 * needed), int(needed / 2), int(needed / 100)):
        watch.shots = shots
        at[shots] = watch.read().says
    assert list(at.values()) == ["training", "cannot tell", "plateau"]


def test_coefficients_are_not_watched():
    observable = SparsePauliOp(["ZZ", "XI"], np.array([Parameter("a"), 0.5]))
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1), observable, [], seed=0, dtype=torch.float64)
    watch = PlateauWatch(layer)
    loss = layer().sum()
    loss.backward()
    watch.step(loss)
    found = watch.read()
    assert [group.name for group in found.groups] == ["w", "all weights"]
    assert found.groups[-1].variance == pytest.approx(float(layer.w.grad.square().mean()))


@pytest.fixture
def blobs():
    X = np.random.default_rng(0).normal(size=(40, 2))
    return X, (X[:, 0] > 0).astype(int)


def test_it_sees_every_step_of_a_classifier_and_changes_none(blobs):
    settings = {"n_qubits": 2, "n_layers": 1, "max_epochs": 4, "batch_size": 10, "random_state": 0}
    watch = PlateauWatch(window=100)
    model, plain = HybridClassifier(**settings).fit(*blobs, watch=watch), HybridClassifier(**settings).fit(*blobs)
    assert model.loss_curve_ == plain.loss_curve_
    assert len(watch._history) == 16
    found = watch.read()
    assert found.says in ("training", "minimum", "cannot tell") and found.losses[0] > found.losses[1]
    assert not model.network_.core._forward_hooks  # a saved model holds no watch


def test_copies_of_a_watch_follow_copies_of_the_layer(blobs):
    inputs = torch.tensor(blobs[0][:5])
    layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), seed=0, dtype=torch.float64)
    watch = taught(layer, inputs, torch.zeros(5, 2), PlateauWatch(layer), 3)
    found = watch.read()
    for other in (copy.deepcopy(watch), pickle.loads(pickle.dumps(watch))):
        assert isinstance(other.read(), Reading) and other.read() == found
        taught(other.layer, inputs, torch.ones(5, 2), other, 1)
        assert other.read() != found and watch.read() == found
    torch.testing.assert_close(copy.deepcopy(layer)(inputs), layer(inputs))


def test_what_cannot_be_watched_is_refused():
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1), "ZZ", [], seed=0)
    with pytest.raises(LabError, match="no step yet"):
        PlateauWatch(layer).read()
    with pytest.raises(LabError, match="after loss"):
        PlateauWatch(layer).step(0.1)
    with pytest.raises(LabError, match="has 0"):
        PlateauWatch(torch.nn.Linear(2, 2))
    with pytest.raises(LabError, match="no weights that are angles"):
        PlateauWatch(QuantumLayer(encodings.angle(2), "ZZ"))
    with pytest.raises(LabError, match="parameter-shift"):
        PlateauWatch(QuantumLayer(ansatze.hardware_efficient(2, 1), "ZZ", [], diff_method="spsa"))
    with pytest.raises(LabError, match="after loss"):
        PlateauWatch().step(0.1)
    for wrong in ({"window": 0}, {"groups": 100}, {"shots": 0}, {"shots": -5}, {"n_redrawn": 1.5}):
        with pytest.raises(LabError):
            PlateauWatch(layer, **wrong)
