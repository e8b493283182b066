"""`HybridClassifier`, a scikit-learn classifier with a quantum layer inside, and its classical twin."""

import math
import numbers
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from circuits.errors import LabError
from qml import networks
from qml.checkpoints import Checkpoint, fingerprint, read, write
from qml.training import Epoch, Schedule, train

FEATURES = ("n_features_in_", "feature_names_in_")
_CHUNK = 4096  # samples per call when predicting, so that memory does not grow with the data


class HybridClassifier(ClassifierMixin, BaseEstimator):
    """Scaling, Linear, a quantum layer, Linear, softmax: trained together by Adam on the cross-entropy, in float64.

    The same `random_state` gives the same classifier. It pickles, and `save` writes a file that holds no code.

    Args:
        n_qubits, n_layers: size of the circuit.
        encoding, ansatz: names of functions in `circuits.encodings` and `circuits.ansatze`.
        backend, diff_method, shots, init: as in `QuantumLayer`.
        max_epochs: passes over the training data.
        batch_size: samples per step.
        learning_rate: the first one; it falls to zero along half a cosine.
        input_noise: standard deviation of the noise added to the training samples at every step, in units of each
            feature's own; None: 0.05 sqrt(n_features), at most 0.4. It keeps many features from being learned by heart.
        random_state: seed of the first weights and of the order of the samples; with None every fit differs.

    Attributes:
        classes_: the labels, sorted.
        n_features_in_: features per sample.
        network_: the trained `nn.Module`, (batch, n_features) -> (batch, n_classes) logits.
        loss_curve_: mean training loss of each epoch.
        history_: the same as `Epoch` rows, with accuracy and seconds.
        n_iter_: epochs done.

    Raises:
        LabError: from `fit`, when a setting cannot work or y holds one class only.

    Cost: max_epochs * n_samples forward and backward passes of the circuit.
    """

    def __init__(
        self,
        n_qubits=6,
        n_layers=3,
        encoding="angle",
        ansatz="hardware_efficient",
        backend="native",
        diff_method="best",
        shots=None,
        init="uniform",
        max_epochs=60,
        batch_size=64,
        learning_rate=0.02,
        input_noise=None,
        random_state=None,
    ):
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.encoding = encoding
        self.ansatz = ansatz
        self.backend = backend
        self.diff_method = diff_method
        self.shots = shots
        self.init = init
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.input_noise = input_noise
        self.random_state = random_state

    def fit(self, X, y, *, watch=None):
        """Train from new weights for `max_epochs` epochs; X has shape (n_samples, n_features); `watch`: see `fit_epochs`."""
        for _ in self.fit_epochs(X, y, watch=watch):
            pass
        return self

    def fit_epochs(self, X, y, *, checkpoint=None, watch=None) -> Iterator[Epoch]:
        """`fit` as a generator that yields each `Epoch` when it is finished; in between, the classifier can predict.

        Until the first one, a classifier that was trained before predicts as it did.

        Args:
            checkpoint: path of a file written after every epoch; if it is there already, training goes on from it
                to the same bits, and the epochs it holds are yielded first, all of them with the weights of the last: it
                holds no others. It needs a whole number as random_state.
            watch: a `PlateauWatch`, which sees every step that is taken.

        Raises:
            LabError: the checkpoint is of other settings or other data.
        """
        self._check_numbers()
        if checkpoint and not isinstance(self.random_state, numbers.Integral):
            raise LabError(
                f"a run with a checkpoint must be repeatable: random_state must be a whole number, got {self.random_state!r}"
            )
        before = self._features()
        try:
            X, labels, classes = self._validated(X, y)
            features = self._features()
        finally:
            self._know(before)
        mean, scale = _scaling(X)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network, history, settings = self._network(mean, scale, len(classes), seed), [], self.get_params(deep=False)
        schedule = Schedule(self.max_epochs, self.batch_size, self.learning_rate, seed)
        kept = checkpoint and Checkpoint(checkpoint, self._settings(settings), fingerprint(X, labels))
        data = torch.tensor(X), torch.tensor(labels), torch.tensor(scale * self._noise(X.shape[1]))
        with nullcontext() if watch is None else watch.following(network) as after_backward:
            for epoch in train(network, *data, schedule, kept, after_backward):
                history.append(epoch)
                self._know(features)
                self.network_, self.classes_, self._fitted = network, classes, settings
                self.history_, self.loss_curve_, self.n_iter_ = history, [e.loss for e in history], epoch.number
                yield epoch

    def _features(self) -> dict:
        return {name: vars(self)[name] for name in FEATURES if name in vars(self)}

    def _know(self, features: dict) -> None:
        """How many features there are and what they are called, as scikit-learn notes it."""
        for name in FEATURES:
            vars(self).pop(name, None)
        vars(self).update(features)

    def _validated(self, X, y) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, labels as indices of classes, and these."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise LabError(f"y holds 1 class only, {classes[0]!s}: a classifier needs two or more")
        return X, labels, classes

    def check_settings(self) -> None:
        """Raise `LabError` if a setting cannot work whatever the data, as `fit` would after reading them."""
        self.untrained(n_features=1, n_classes=2)

    def untrained(self, n_features: int, n_classes: int):
        """The `nn.Module` that `fit` would train on data of that shape, but for the scaling of the features."""
        self._check_numbers()
        return self._network(np.zeros(n_features), np.ones(n_features), n_classes, seed=0)

    def predict_proba(self, X) -> np.ndarray:
        """Probability of each class, shape (n_samples, n_classes), columns as in `classes_`.

        With shots, the same samples give the same estimates until training goes on.
        """
        check_is_fitted(self, "network_")
        X = torch.tensor(validate_data(self, X, dtype=np.float64, reset=False))
        self.network_.eval()
        with torch.no_grad(), _streams_kept(self.network_):
            chunks = [self.network_(chunk).softmax(dim=-1).numpy() for chunk in X.split(_CHUNK)]
        return np.concatenate(chunks)

    def predict(self, X) -> np.ndarray:
        """The most probable class of each sample, shape (n_samples,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def save(self, path, **about) -> None:
        """Write a model file: settings as they were in `fit`, classes, tensors and `about` (numbers, text, lists, dicts).

        It never holds code.

        Raises:
            LabError: a setting is an object that has no name, such as a backend object.
        """
        check_is_fitted(self, "network_")
        fitted = getattr(self, "_fitted", None) or self.get_params(deep=False)  # one that was pickled long ago has none
        content = {"kind": "model", "estimator": type(self).__name__, "settings": self._settings(fitted)}
        content |= {"classes": self.classes_.tolist(), "n_features": self.n_features_in_, "about": about}
        write(Path(path), content | {"network": self.network_.state_dict()})

    def _network(self, mean, scale, n_classes: int, seed: int) -> networks.Dressed:
        names = ("n_qubits", "n_layers", "encoding", "ansatz", "backend", "diff_method", "shots", "init")
        layer = {name: getattr(self, name) for name in names}
        return networks.hybrid(mean, scale, n_classes, seed, layer)

    def _noise(self, n_features: int) -> float:
        return min(0.05 * math.sqrt(n_features), 0.4) if self.input_noise is None else self.input_noise

    def _settings(self, given: dict) -> dict:
        settings = {"model": type(self).__name__}
        for name, value in given.items():
            if not isinstance(value, str | numbers.Real | None):
                raise LabError(f"{name} is {value!r}, which a file cannot hold: pass its name or a number instead")
            settings[name] = value.item() if isinstance(value, np.generic) else value
        return settings

    def _check_numbers(self) -> None:
        for name in ("n_qubits", "n_layers", "max_epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise LabError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate <= 10:
            raise LabError(f"learning_rate must be a number above 0 and at most 10, got {self.learning_rate!r}")
        if self.input_noise is not None and not (_is_number(self.input_noise) and 0 <= self.input_noise <= 10):
            raise LabError(f"input_noise must be None or a number from 0 to 10, got {self.input_noise!r}")


class ClassicalTwin(HybridClassifier):
    """The control of `HybridClassifier`: the same settings, the quantum layer replaced by Linear and tanh.

    The dense layer has as many parameters as the circuit, within 5 %; see `qml.networks.classical_twin`.
    """

    def _network(self, mean, scale, n_classes: int, seed: int) -> networks.Dressed:
        return networks.classical_twin(super()._network(mean, scale, n_classes, seed), seed)


def load(path) -> tuple[HybridClassifier, dict]:
    """A classifier as `save` wrote it, and the `about` that was saved with it.

    Raises:
        LabError: the file is missing, damaged or not a model.
    """
    content = read(Path(path), "model", "write the path of a model that `qml train` wrote")
    settings = {name: value for name, value in content["settings"].items() if name != "model"}
    model = {"HybridClassifier": HybridClassifier, "ClassicalTwin": ClassicalTwin}[content["estimator"]](**settings)
    model.classes_, model.n_features_in_ = np.asarray(content["classes"]), content["n_features"]
    empty = np.zeros(model.n_features_in_), np.ones(model.n_features_in_)
    model.network_ = model._network(*empty, len(model.classes_), seed=0)
    model.network_.load_state_dict(content["network"])
    model._fitted = model.get_params(deep=False)
    return model, content["about"]


@contextmanager
def _streams_kept(network: torch.nn.Module) -> Iterator[None]:
    """What is drawn inside is drawn again after it: looking at a classifier in training does not change what it becomes."""
    before = [(stream, stream.clone()) for name, stream in network.named_buffers() if name.endswith("_stream")]
    try:
        yield
    finally:
        for stream, value in before:
            stream.copy_(value)


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _scaling(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature; a constant one keeps the scale 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(X)
    wide = np.flatnonzero(~np.isfinite(scaler.scale_) | ~np.isfinite(scaler.mean_))
    if len(wide):
        raise LabError(f"feature {wide[0]} spans more than float64 holds: divide it by a constant first")
    return scaler.mean_, scaler.scale_
