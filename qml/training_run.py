"""A training run in a folder: checkpoints while it goes, then models, scores and pictures.

Files of a run: `hybrid.checkpoint`, `twin.checkpoint` (to go on from), `hybrid.pt`, `twin.pt` (for `qml predict`),
`loss.png`, `confusion.png` and `results.json`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuits.errors import LabError
from qml.checkpoints import Checkpoint, read
from qml.data import Dataset
from qml.models import HybridClassifier
from qml.networks import n_parameters
from qml.training import Epoch


@dataclass(frozen=True)
class Score:
    """How one trained model did.

    Attributes:
        name: "hybrid" or "twin".
        hits, n_test: samples of the test part that it got right, and all of them.
        low, high: Wilson's 95 % interval of the accuracy.
        parameters: numbers that were trained, in the whole network and in its core.
        seconds: of training alone.
        history: of every epoch.
        confusion: counts, shape (n_classes, n_classes), rows are the true class.
    """

    name: str
    hits: int
    n_test: int
    low: float
    high: float
    parameters: tuple[int, int]
    seconds: float
    history: list[Epoch]
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of the test part that it got right."""
        return self.hits / self.n_test

    def as_dict(self) -> dict:
        """The numbers as JSON holds them."""
        return {
            "accuracy": self.accuracy,
            "interval_95": [self.low, self.high],
            "correct": self.hits,
            "n_test": self.n_test,
            "parameters": self.parameters[0],
            "parameters_of_core": self.parameters[1],
            "seconds": self.seconds,
            "loss_curve": [epoch.loss for epoch in self.history],
            "train_accuracy_curve": [epoch.accuracy for epoch in self.history],
            "confusion": self.confusion.tolist(),
        }


def folder_for(name: str, settings: dict) -> Path:
    """runs/NAME-HASH below the present folder: the same settings give the same folder."""
    text = json.dumps(settings, sort_keys=True)
    return Path("runs") / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder for one run; a second one is refused. A killed process holds nothing.

    Raises:
        LabError: another process is training into this folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        try:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows has no flock: keeping two runs out of one folder is the user's part there
            pass
        except BlockingIOError:
            raise LabError(f"another run is writing to {folder}: wait for it, or give another --out") from None
        try:
            yield
        finally:
            if [path.name for path in folder.iterdir()] == [".lock"]:  # refused before anything was done
                (folder / ".lock").unlink()
                folder.rmdir()


def forget(folder: Path) -> None:
    """Delete the checkpoints, so that the next run begins again."""
    for path in folder.glob("*.checkpoint*"):
        path.unlink()


def epochs_done(checkpoint: Path) -> int:
    """How many epochs a checkpoint holds; 0 where there is none."""
    return len(read(checkpoint, "checkpoint", Checkpoint.REMEDY)["history"]) if checkpoint.exists() else 0


def check_test(train: Dataset, test: Dataset) -> None:
    """Raise `LabError` unless the test part has the training part's features and no class of its own."""
    n_train, n_test = train.features.shape[1], test.features.shape[1]
    if n_train != n_test:
        raise LabError(f"{test.name} has {n_test} features and {train.name} has {n_train}: the columns must be the same")
    pairs = zip(train.feature_names or [], test.feature_names or [])
    for here, there in pairs:
        if here != there:
            raise LabError(f"{test.name} has a column {there!r} where {train.name} has {here!r}: order them alike")
    unknown = sorted(set(test.labels.astype(str)) - set(train.labels.astype(str)))
    if unknown:
        raise LabError(
            f"{test.name} has the class {str(unknown[0])!r}, which {train.name} has not: nothing could predict it"
        )


def train_and_score(
    name: str, model: HybridClassifier, train: Dataset, test: Dataset, folder: Path, show: Callable, watch=None
) -> Score:
    """Train with a checkpoint in the folder, save the model there, and score it on the test part.

    Args:
        name: "hybrid" or "twin"; the files are called after it.
        show: takes the iterator of epochs and runs through it.
        watch: a `PlateauWatch`, or None.
    """
    show(model.fit_epochs(train.features, train.labels, checkpoint=folder / f"{name}.checkpoint", watch=watch))
    model.save(
        folder / f"{name}.pt",
        feature_names=train.feature_names if train.label is not None else None,
        label=train.label,
        label_name=train.label_name,
        data=train.name,
    )
    return score(name, model, test)


def score(name: str, model: HybridClassifier, test: Dataset) -> Score:
    """Accuracy with its interval, and the confusion matrix, on data the model has not seen."""
    place = {str(name): index for index, name in enumerate(model.classes_)}
    truth = [place[str(name)] for name in test.labels]
    found = model.predict_proba(test.features).argmax(axis=1)
    confusion = np.zeros((len(model.classes_),) * 2, dtype=int)
    np.add.at(confusion, (truth, found), 1)
    hits = int(np.trace(confusion))
    low, high = wilson(hits, len(truth))
    parameters = n_parameters(model.network_), n_parameters(model.network_.core)
    seconds = sum(epoch.seconds for epoch in model.history_)
    return Score(name, hits, len(truth), low, high, parameters, seconds, model.history_, confusion)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    interval = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
