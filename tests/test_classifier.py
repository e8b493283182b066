"""Laws of the classifier: a scikit-learn estimator, repeatable to the bit, beside a twin of as many parameters."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.utils.estimator_checks import parametrize_with_checks

from circuits.errors import LabError
from qml import HybridClassifier
from qml.checkpoints import Checkpoint
from qml.models import ClassicalTwin, load
from qml.networks import CLIP, classical_twin, n_parameters, twin_shape

SMALL = {"n_qubits": 2, "n_layers": 1, "max_epochs": 20, "batch_size": 16}


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(60, n_features=3, centers=3, random_state=0)


@pytest.fixture
def small():
    """A classifier small enough for three epochs to take a moment."""

    def make(**settings):
        return HybridClassifier(
            **{"n_qubits": 3, "n_layers": 2, "max_epochs": 3, "batch_size": 16, "random_state": 0, **settings}
        )

    return make


def states_equal(one, other) -> bool:
    """Whether two networks hold the same bits."""
    pairs = zip(one.network_.state_dict().items(), other.network_.state_dict().items())
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@parametrize_with_checks([HybridClassifier(**SMALL), ClassicalTwin(**SMALL)])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


def test_a_seed_fixes_every_bit_and_another_gives_another(small, blobs):
    one, same, other = (small(random_state=seed).fit(*blobs) for seed in (1, 1, 2))
    assert states_equal(one, same)
    assert not states_equal(one, other)


TRAIN_AND_HASH = """
import hashlib
from sklearn.datasets import make_blobs
from qml import HybridClassifier

settings = {"n_qubits": 10, "n_layers": 4, "max_epochs": 2, "batch_size": 128, "random_state": 0}
network = HybridClassifier(**settings).fit(*make_blobs(256, centers=3, random_state=0)).network_
print(hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())).hexdigest())
"""


def test_one_thread_and_two_give_the_same_bits():
    hashes = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        command = [sys.executable, "-c", TRAIN_AND_HASH]
        hashes.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(hashes) == 1
    assert len(hashes.pop().strip()) == 64


def test_global_generators_are_neither_used_nor_disturbed(small, blobs):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one = small().fit(*blobs)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    torch.manual_seed(6)
    assert states_equal(one, small().fit(*blobs))


def test_quantum_weights_are_trained_too(small, blobs):
    classifier = small()
    seen = [classifier.network_.core.w.detach().clone() for _ in classifier.fit_epochs(*blobs)]
    moved = (seen[-1] - seen[0]).abs()
    # A rotation about Z right before CNOTs and Z measurements changes nothing, so not every weight moves.
    assert (moved > 1e-3).sum() >= len(moved) / 2


@pytest.mark.parametrize("encoding", ["angle", "iqp", "amplitude", "reuploading"])
def test_every_encoding_learns_separated_blobs(small, blobs, encoding):
    classifier = small(encoding=encoding, max_epochs=25).fit(*blobs)
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0]
    assert classifier.score(*blobs) > 0.8


def test_a_pickle_and_a_model_file_predict_the_same(small, blobs, tmp_path):
    features, labels = blobs[0], np.array(["red", "green", "blue"])[blobs[1]]
    classifier = small().fit(features, labels)
    classifier.save(tmp_path / "model.pt", label=3)
    loaded, about = load(tmp_path / "model.pt")
    assert about == {"label": 3}
    expected = classifier.predict_proba(features)
    np.testing.assert_array_equal(loaded.predict_proba(features), expected)
    np.testing.assert_array_equal(loaded.predict(features), classifier.predict(features))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(features), expected)


@pytest.mark.parametrize("encoding", ["angle", "reuploading"])
def test_a_circuit_of_random_gates_is_the_same_after_loading(blobs, tmp_path, encoding):
    X, y = blobs
    settings = {"n_qubits": 3, "n_layers": 2, "ansatz": "random_pauli", "encoding": encoding, "max_epochs": 2}
    one, two = (HybridClassifier(random_state=0, **settings).fit(X, y) for _ in range(2))
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    one.save(str(tmp_path / "model.pt"))
    assert np.array_equal(load(str(tmp_path / "model.pt"))[0].predict_proba(X), one.predict_proba(X))


def test_an_outlier_counts_as_one_that_is_three_deviations_away(small, blobs):
    classifier = small().fit(*blobs)
    mean, scale = classifier.network_.mean.numpy(), classifier.network_.scale.numpy()
    far = classifier.predict_proba([mean + 1e6 * scale])
    np.testing.assert_allclose(far, classifier.predict_proba([mean + CLIP * scale]), rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_qubits": 0}, "n_qubits must be a whole number of at least 1, got 0"),
        ({"n_qubits": 2.0}, "n_qubits must be a whole number of at least 1, got 2.0"),
        ({"n_layers": True}, "n_layers must be"),
        ({"max_epochs": 0}, "max_epochs must be"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0"),
        ({"input_noise": -0.1}, "input_noise must be None or a number from 0"),
        ({"encoding": "angel"}, "did you mean 'angle'"),
        ({"ansatz": "hardware"}, "did you mean 'hardware_efficient'"),
        ({"backend": "nativ"}, "did you mean 'native'"),
        ({"diff_method": "adjont"}, "did you mean 'adjoint'"),
        ({"shots": 0}, "shots"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(small, blobs, settings, message):
    for call in (lambda: small(**settings).fit(*blobs), lambda: small(**settings).check_settings()):
        with pytest.raises(LabError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_wrong_data_are_refused(small, blobs):
    features, labels = blobs
    holed = features.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        small().fit(holed, labels)
    with pytest.raises(LabError, match="1 class only"):
        small().fit(features, np.zeros(60, dtype=int))
    with pytest.raises(LabError, match="feature 0 spans more than float64"):
        small().fit(features * [1e300, 1, 1], labels)
    with pytest.raises(ValueError, match="expecting 3 features"):
        small().fit(features, labels).predict(features[:, :2])


# Issue: within 5 %, the core and the whole network alike.
SHAPES = [
    (64, 10, 6, 3),
    (64, 10, 8, 6),
    (64, 10, 8, 4),
    (64, 10, 4, 3),
    (10, 2, 6, 3),
    (10, 2, 8, 6),
    (4, 3, 6, 3),
]


@pytest.mark.parametrize(("n_features", "n_classes", "n_qubits", "n_layers"), SHAPES)
def test_twin_has_as_many_parameters_within_5_percent(n_features, n_classes, n_qubits, n_layers):
    classifier = HybridClassifier(n_qubits=n_qubits, n_layers=n_layers)
    hybrid = classifier._network(np.zeros(n_features), np.ones(n_features), n_classes, 0)
    twin = classical_twin(hybrid, 0)
    assert n_parameters(hybrid.core) == 2 * n_qubits * n_layers
    assert abs(n_parameters(twin.core) / n_parameters(hybrid.core) - 1) <= 0.05
    assert abs(n_parameters(twin) / n_parameters(hybrid) - 1) <= 0.05


@pytest.mark.parametrize("n_qubits", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("n_layers", [1, 2, 7])
def test_every_circuit_has_a_dense_layer_within_5_percent(n_qubits, n_layers):
    for weights in (2 * n_qubits * n_layers, 3 * n_qubits * n_layers, 2 * n_qubits * n_layers + 1):
        k, m, bias = twin_shape(weights, n_qubits, n_qubits, 13, 3)
        assert abs((k + bias) * m / weights - 1) <= 0.05


@pytest.mark.parametrize("n_qubits", [2, 3, 5, 8, 12])
@pytest.mark.parametrize("n_layers", [1, 2, 7])
def test_no_twin_is_squeezed_through_a_single_unit(n_qubits, n_layers):
    k, m, _ = twin_shape(2 * n_qubits * n_layers, n_qubits, n_qubits, 13, 3)
    assert min(k, m) > 1


def test_twin_keeps_no_quantum_layer_and_learns(blobs):
    twin = ClassicalTwin(**SMALL, random_state=0).fit(*blobs)
    assert [type(module).__name__ for module in twin.network_.core] == ["Linear", "Tanh"]
    assert twin.score(*blobs) > 0.8


def test_epochs_come_one_by_one_and_the_classifier_predicts_in_between(small, blobs):
    classifier = small(max_epochs=4)
    scores = []
    for epoch in classifier.fit_epochs(*blobs):
        assert epoch.number == classifier.n_iter_ == len(classifier.loss_curve_)
        scores.append(classifier.score(*blobs))
    assert len(scores) == 4


EXACT = {}
SHOTS = {"shots": 20, "n_qubits": 2, "n_layers": 1, "batch_size": 30}
SPSA = {"diff_method": "spsa", "n_qubits": 2, "n_layers": 1}


@pytest.mark.parametrize("settings", [EXACT, SHOTS, SPSA], ids=["exact", "shots", "spsa"])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_stopped_run_goes_on_to_the_same_bits(small, blobs, tmp_path, settings, stop):
    whole = small(**settings).fit(*blobs)
    epochs = small(**settings).fit_epochs(*blobs, checkpoint=tmp_path / "run")
    for _ in range(stop):
        next(epochs)
    epochs.close()
    resumed = small(**settings)
    numbers = [epoch.number for epoch in resumed.fit_epochs(*blobs, checkpoint=tmp_path / "run")]
    assert numbers == [1, 2, 3]
    assert states_equal(whole, resumed)
    assert resumed.loss_curve_ == whole.loss_curve_


@pytest.mark.parametrize("settings", [SHOTS, SPSA], ids=["shots", "spsa"])
def test_predicting_between_epochs_changes_nothing(small, blobs, settings):
    whole, watched = small(**settings).fit(*blobs), small(**settings)
    for _ in watched.fit_epochs(*blobs):
        assert np.array_equal(watched.predict_proba(blobs[0]), watched.predict_proba(blobs[0]))
    assert states_equal(whole, watched)


def test_a_fit_that_fails_leaves_the_classifier_as_it_was(small, blobs, tmp_path):
    features, labels = blobs
    for _ in small(learning_rate=0.05).fit_epochs(*blobs, checkpoint=tmp_path / "run"):
        pass
    classifier = small().fit(features, np.array(["a", "b", "c"])[labels])
    before = classifier.predict_proba(features)
    wider = np.hstack([features, features])
    for wrong in ({"checkpoint": tmp_path / "run"}, {"y": np.zeros(60)}, {"X": wider, "y": np.zeros(60)}):
        with pytest.raises(LabError):
            list(classifier.fit_epochs(**{"X": features, "y": labels} | wrong))
        assert np.array_equal(classifier.predict_proba(features), before)
        assert classifier.n_features_in_ == 3 and classifier.classes_.tolist() == ["a", "b", "c"]


def test_a_saved_classifier_is_the_one_that_was_fitted_whatever_was_set_since(small, blobs, tmp_path):
    classifier = small().fit(*blobs)
    classifier.set_params(encoding="iqp", n_layers=5).save(tmp_path / "model.pt")
    loaded, _ = load(tmp_path / "model.pt")
    assert (loaded.encoding, loaded.n_layers) == ("angle", 2)
    assert np.array_equal(loaded.predict_proba(blobs[0]), classifier.predict_proba(blobs[0]))
    loaded.save(tmp_path / "again.pt")
    assert load(tmp_path / "again.pt")[0].get_params() == loaded.get_params()


def test_sample_weights_are_no_watch(small, blobs):
    with pytest.raises(TypeError, match="positional"):
        small().fit(*blobs, np.ones(60))


def test_a_checkpoint_of_other_settings_or_data_is_refused(small, blobs, tmp_path):
    features, labels = blobs
    for _ in small(max_epochs=1, learning_rate=0.05).fit_epochs(features, labels, checkpoint=tmp_path / "run"):
        pass
    with pytest.raises(LabError, match=r"learning_rate 0\.05, this run has 0\.01: --restart begins again"):
        list(small(max_epochs=1, learning_rate=0.01).fit_epochs(*blobs, checkpoint=tmp_path / "run"))
    with pytest.raises(LabError, match="other training data: --restart begins again"):
        list(small(max_epochs=1, learning_rate=0.05).fit_epochs(features + 1, labels, checkpoint=tmp_path / "run"))
    with pytest.raises(LabError, match="random_state must be a whole number, got None"):
        list(small(random_state=None).fit_epochs(*blobs, checkpoint=tmp_path / "run"))


def test_a_damaged_checkpoint_or_model_is_refused(small, blobs, tmp_path):
    path = tmp_path / "run"
    for _ in small(max_epochs=1).fit_epochs(*blobs, checkpoint=path):
        pass
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], b"text", pickle.dumps({"a": 1})):
        path.write_bytes(content)
        with pytest.raises(LabError, match="is damaged or is not a"):
            list(small(max_epochs=1).fit_epochs(*blobs, checkpoint=path))
        with pytest.raises(LabError, match="is damaged or is not a"):
            load(path)
    path.write_bytes(whole)
    with pytest.raises(LabError, match="is not a model"):
        load(path)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    torch.save({"kind": "model", "format": 1, "evil": Evil()}, tmp_path / "model.pt")
    with pytest.raises(LabError, match="is damaged or is not a model"):
        load(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


def test_an_interrupted_write_leaves_the_old_checkpoint(small, blobs, tmp_path, monkeypatch):
    path = tmp_path / "run"
    epochs = small().fit_epochs(*blobs, checkpoint=path)
    next(epochs)
    before = path.read_bytes()

    def half(content, stream):
        stream.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            next(epochs)
    assert path.read_bytes() == before
    resumed = small()
    assert len(list(resumed.fit_epochs(*blobs, checkpoint=path))) == 3
    assert states_equal(resumed, small().fit(*blobs))


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path):
    torch.save({"kind": "checkpoint", "format": 99}, tmp_path / "run")
    with pytest.raises(LabError, match="format 99, this version reads 1"):
        Checkpoint(tmp_path / "run", {}, "").restore(torch.nn.Linear(1, 1), None)
