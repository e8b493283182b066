"""A plateau is called a plateau, a minimum a minimum, training training; the numbers are those of direct computation."""

import copy
import pickle

import numpy as np
import pytest
import torch

from circuits import ansatze, encodings, observables
from circuits.errors import LabError
from qml import HybridClassifier, PlateauWatch, QuantumLayer
from qml.plateau import watched

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
    cotangents = 2 * layer(inputs).detach()
    noise = float(cotangents.square().sum()) / 2
    assert everything.shots_needed == pytest.approx(noise / float(squares.mean()))
    assert everything.snr == pytest.approx((500 / everything.shots_needed) ** 0.5)


def test_the_noise_is_that_of_sampled_gradients_where_values_are_small():
    seed, shots, repeats = 11, 200, 400
    circuit = ansatze.strongly_entangling(6, 6)
    layer = QuantumLayer(circuit, "Z" * 6, [], seed=seed, shots=shots, diff_method="parameter-shift", dtype=torch.float64)
    exact = QuantumLayer(circuit, "Z" * 6, [], init=layer.w.detach().numpy(), dtype=torch.float64)
    exact().sum().backward()
    errors = []
    for _ in range(repeats):
        layer.zero_grad()
        layer().sum().backward()
        errors.append((layer.w.grad - exact.w.grad).numpy()[:4])
    square = np.square(errors)
    bound = 1 / (2 * shots)  # Var is at most one, and close to it on this plateau
    spread = square.mean(axis=1).std() / repeats**0.5
    assert square.mean() <= bound + SIGMAS * spread, f"seed {seed}"
    assert square.mean() >= 0.85 * bound - SIGMAS * spread, f"seed {seed}"
    assert PlateauWatch(layer).shots == shots


def test_a_weight_that_turns_more_gates_has_more_noise():
    layer = QuantumLayer(ansatze.hva_tfim(4, 1), "ZZII", [], seed=0)
    assert PlateauWatch(layer)._gates.tolist() == [3, 4]


def test_it_follows_a_classifier_and_survives_copies():
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int)
    model = HybridClassifier(n_qubits=2, n_layers=1, max_epochs=4, random_state=0)
    watches = []
    losses = [epoch.loss for epoch in watched(model, model.fit_epochs(X, y), watches)]
    found = watches[0].read()
    assert len(losses) == 4 and found.losses == (losses[1], losses[3])
    assert found.says in ("training", "minimum", "cannot tell")
    network = pickle.loads(pickle.dumps(model.network_))
    twin = copy.deepcopy(model.network_)
    sample = torch.tensor(X[:3])
    torch.testing.assert_close(network(sample), twin(sample))


def test_what_cannot_be_watched_is_refused():
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1), "ZZ", [], seed=0)
    with pytest.raises(LabError, match="no step yet"):
        PlateauWatch(layer).read()
    with pytest.raises(LabError, match="after loss"):
        PlateauWatch(layer).step(0.1)
    with pytest.raises(LabError, match="has 0"):
        PlateauWatch(torch.nn.Linear(2, 2))
    for wrong in ({"window": 0}, {"groups": 100}, {"shots": -5}, {"n_redrawn": 1.5}):
        with pytest.raises(LabError):
            PlateauWatch(layer, **wrong)
