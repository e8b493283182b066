"""A plateau is called a plateau, a minimum a minimum, training training; the numbers are those of direct computation."""

import copy
import math
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


def minimised(layer, watch, steps, rate=0.05):
    """What the watch says after some steps of Adam on the sum of the outputs."""
    optimizer = torch.optim.Adam(layer.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = layer().sum()
        loss.backward()
        watch.step(loss)
        optimizer.step()
    return watch.read()


def one_rotation(gate: str, start: float, **options) -> QuantumLayer:
    circuit = QuantumCircuit(1)
    getattr(circuit, gate)(Parameter("w"), 0)
    return QuantumLayer(circuit, "Z", [], init=np.array([start]), seed=0, **options)


def test_a_deep_circuit_with_a_global_observable_is_a_plateau():
    torch.manual_seed(0)
    n = 10
    layer = QuantumLayer(encodings.angle(n).compose(ansatze.strongly_entangling(n, 12)), "Z" * n, seed=3)
    watch = taught(layer, torch.rand(8, n), torch.ones(8, 1), PlateauWatch(layer, shots=40), 3, rate=0.001)
    found = watch.read()
    assert found.says == "plateau" and "A barren plateau" in str(found), str(found)
    needed = found.groups[-1].shots_needed
    assert needed > 160 and f"{round(needed):,} shots would resolve it" in str(found)
    enough = PlateauWatch(layer, shots=math.ceil(needed * 0.8), window=2)  # not quite, but of the same order
    found = taught(layer, torch.rand(8, n), torch.ones(8, 1), enough, 3, rate=0.001).read()
    assert found.says in ("training", "cannot tell") and 0.5 < found.groups[-1].snr < 2, str(found)


def test_an_energy_that_is_reached_is_a_minimum_and_before_that_it_trains():
    layer = QuantumLayer(ansatze.hva_tfim(4, 4), observables.tfim(4), [], init="small_angle", seed=2)
    watch = PlateauWatch(layer, window=3, shots=1000)
    found = minimised(layer, watch, 6)
    assert found.says == "training" and "can be seen" in str(found)
    found = minimised(layer, watch, 394)
    assert found.says == "minimum" and "A minimum, not a plateau" in str(found), str(found)


@pytest.mark.parametrize("shots", [None, 100])
def test_one_weight_trains_to_its_minimum(shots):
    layer = one_rotation("ry", 1.5, shots=shots)
    watch = PlateauWatch(layer, shots=100, window=100)
    assert minimised(layer, watch, 1).says == "training"
    assert minimised(layer, watch, 300).says == "minimum"


def test_until_the_window_is_full_a_point_without_gradient_is_not_judged():
    layer = one_rotation("ry", 0)  # the maximum
    watch = PlateauWatch(layer, window=4)
    found = minimised(layer, watch, 3)
    assert found.says == "cannot tell" and "only 3 of the window's 4 steps" in str(found)
    found = minimised(layer, watch, 1)
    assert found.says == "cannot tell" and "the loss has not fallen" in str(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_that_do_not_depend_on_the_weights_are_no_plateau(dtype):
    circuit, w = QuantumCircuit(2), ParameterVector("w", 3)
    circuit.h(1)
    circuit.ry(w[0], 0)
    circuit.rx(w[1], 0)
    circuit.ry(w[2], 0)
    outside = QuantumLayer(circuit, "ZI", [], seed=1, dtype=dtype)
    for layer in (outside, one_rotation("rz", 1, dtype=dtype)):
        found = minimised(layer, PlateauWatch(layer), 2)
        assert found.says == "zero gradient" and "no output depends on these weights" in str(found)
        assert found.groups[-1].shots_needed == math.inf


def test_a_narrow_gorge_is_no_plateau_where_it_starts_and_none_at_its_bottom():
    layer = QuantumLayer(ansatze.strongly_entangling(10, 12), "Z" * 10, [], seed=3, init="small_angle")
    watch = PlateauWatch(layer, shots=30)
    found = minimised(layer, watch, 2, rate=0)
    assert found.says == "cannot tell" and "no typical point" in str(found)
    found = minimised(layer, watch, 200)
    assert found.says == "minimum" and "narrow gorge" in str(found) and found.losses[1] < -0.7


def test_gradients_that_their_own_shots_hide_are_not_judged():
    layer = QuantumLayer(ansatze.strongly_entangling(8, 6), "Z" * 8, [], seed=3, shots=10)
    found = minimised(layer, PlateauWatch(layer, shots=100_000), 4, rate=0)
    assert found.says == "cannot tell" and "the layer's own shots hide the gradient" in str(found)
    assert found.groups[-1].is_bound and "more than" in str(found)


def test_parts_of_a_batch_count_as_the_batch():
    layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), seed=0, dtype=torch.float64)
    inputs, read = torch.rand(6, 2, dtype=torch.float64), []
    for parts in (1, 3):
        watch = PlateauWatch(layer)
        layer.zero_grad()
        for part in inputs.chunk(parts):
            layer(part).square().sum().backward()
        watch.step(1.0)
        read.append(watch.read())
    assert read[0].groups[-1].shots_needed == pytest.approx(read[1].groups[-1].shots_needed)
    assert read[0].here == pytest.approx(read[1].here)


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
    layer = QuantumLayer(ansatze.strongly_entangling(8, 4), "Z" * 8, [], seed=3, shots=shots)
    watch = PlateauWatch(layer, shots=20)
    minimised(layer, watch, 12, rate=0)
    stream, weights = layer._stream.clone(), layer.w.detach().clone()
    found = watch.read()
    assert found.says == "plateau", str(found)
    assert torch.equal(layer._stream, stream) and torch.equal(layer.w, weights)  # to read changes no training


@pytest.mark.parametrize("options", [{"diff_method": "adjoint"}, {"diff_method": "parameter-shift", "shots": 20}])
def test_reading_at_every_step_changes_no_training(options):
    inputs, ends = torch.linspace(0, 3, 12).reshape(6, 2), []
    for watched in (False, True):
        layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), seed=0, **options)
        watch = PlateauWatch(layer) if watched else None
        optimizer = torch.optim.Adam(layer.parameters())
        for _ in range(5):
            optimizer.zero_grad()
            loss = layer(inputs).square().mean()
            loss.backward()
            if watched:
                watch.step(loss)
                with torch.no_grad():
                    watch.read()
            optimizer.step()
        ends.append(layer.w.detach())
    assert torch.equal(*ends)


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
    watch = PlateauWatch(layer)
    loss = layer().sum() * math.nan
    loss.backward()
    with pytest.raises(LabError, match="finite"):
        watch.step(loss)
    for wrong in ({"window": 0}, {"groups": 100}, {"shots": 0}, {"shots": -5}, {"n_redrawn": 1.5}):
        with pytest.raises(LabError):
            PlateauWatch(layer, **wrong)


def test_inputs_by_name_and_a_frozen_vector_are_seen():
    circuit = (
        encodings.angle(2)
        .compose(ansatze.hardware_efficient(2, 1, name="a"))
        .compose(ansatze.hardware_efficient(2, 1, name="b"))
    )
    layer = QuantumLayer(circuit, "ZZ", seed=1)
    layer.a.requires_grad_(False)
    watch = PlateauWatch(layer, shots=1000)
    for _ in range(3):
        layer.zero_grad()
        loss = layer(inputs=torch.ones(4, 2)).square().mean()
        loss.backward()
        watch.step(loss)
    reading = watch.read()
    assert "b" in str([group.name for group in reading.groups]) and "a" not in [group.name for group in reading.groups]


def test_a_layer_whose_angles_are_all_frozen_is_refused():
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1)).requires_grad_(False)
    with pytest.raises(LabError, match="no weights that are angles and require a gradient"):
        PlateauWatch(layer)


def test_a_step_whose_samples_all_meet_their_margins_is_not_called_training_without_noise():
    layer = QuantumLayer(encodings.angle(3).compose(ansatze.hardware_efficient(3, 2)), "ZII", seed=4)
    watch, inputs = PlateauWatch(layer, shots=100), torch.rand(40, 3)
    for margin, size in ((3.0, 40), (3.0, 40), (-3.0, 7)):  # at last no sample moves the loss
        layer.zero_grad()
        loss = torch.relu(margin - layer(inputs[:size])).mean()
        loss.backward()
        watch.step(loss)
    ratio = watch.read().groups[-1].snr
    assert 0 < ratio < np.inf


def test_samples_that_move_the_loss_are_kept_first():
    layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), "ZI", seed=4)
    watch, inputs = PlateauWatch(layer, shots=100), torch.rand(60, 2)
    (0 * layer(inputs).sum()).backward()  # the first part of a batch, all of which meets its margins
    (layer(inputs)[50:] ** 2).sum().backward()
    watch.step(0.0)
    kept = watch._history[-1].batch
    assert torch.equal(kept.inputs[:10], inputs[50:]) and kept.cotangents[:10].all() and not kept.cotangents[10:].any()


def test_an_evolution_is_refused_at_once(catalogue):
    layer = QuantumLayer(catalogue["evolution"].circuit, "ZII")
    with pytest.raises(LabError, match="a watch needs shift rules"):
        PlateauWatch(layer)
