"""`qml train`: a hybrid classifier and its classical twin on digits or on a CSV file."""

from pathlib import Path
from typing import Annotated

import typer

from circuits.errors import LabError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(train)


def train(
    data: Annotated[str | None, typer.Option(help="A CSV file; without it, scikit-learn's digits.", metavar="FILE")] = None,
    test: Annotated[
        str | None,
        typer.Option(help="A CSV file to test on; without it, a quarter of --data.", metavar="FILE"),
    ] = None,
    label: Annotated[str, typer.Option(help="Label column: a name, an index from 0, or last.")] = "last",
    qubits: Annotated[int, typer.Option(help="Qubits of the circuit.")] = 8,
    layers: Annotated[int, typer.Option(help="Layers of the ansatz.")] = 6,
    encoding: Annotated[str, typer.Option(help="A function of circuits.encodings.")] = "angle",
    ansatz: Annotated[str, typer.Option(help="A function of circuits.ansatze.")] = "hardware_efficient",
    backend: Annotated[str, typer.Option(help="See `qml backends`.")] = "native",
    diff_method: Annotated[str, typer.Option(help="How the circuit is differentiated.")] = "best",
    epochs: Annotated[int, typer.Option(help="Passes over the training data.")] = 60,
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="The first one; it falls to zero.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the split, the first weights and the order.")] = 0,
    out: Annotated[str | None, typer.Option(help="Default: runs/NAME-HASH.", metavar="FOLDER")] = None,
    no_twin: Annotated[bool, typer.Option("--no-twin", help="Leave the classical twin out.")] = False,
    watch_plateau: Annotated[
        bool, typer.Option("--watch-plateau", help="Say at the end whether the gradients could be seen.")
    ] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Say at the end what this run cost, in circuits, gates, bytes and seconds.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the folder's checkpoints.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a classifier with a quantum layer beside a classical twin of as many parameters.

    Stopped at any moment, the same command goes on from the last finished epoch and ends in the same result.
    """
    from qml import models, training_run

    options = {
        "n_qubits": qubits, "n_layers": layers, "encoding": encoding, "ansatz": ansatz, "backend": backend,
        "diff_method": diff_method, "max_epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "random_state": _checked_seed(seed),
    }  # fmt: skip
    models.HybridClassifier(**options).check_settings()
    parts = _parts(data, test, label, seed)
    settings = {"train": _absolute(data), "test": _absolute(test), "label": label, **options}
    folder = Path(out) if out else training_run.folder_for(parts[0].name, settings)
    with training_run.alone_in(folder):
        if restart:
            training_run.forget(folder)
        names = ("hybrid",) if no_twin else ("hybrid", "twin")
        watch = _watch() if watch_plateau else None
        with _counted(ledger) as cost:
            classes, scores = _train_all(names, options, *parts, folder, watch)
        sizes = {"data": parts[0].name, "n_train": len(parts[0].labels), "n_test": len(parts[1].labels)}
        document = sizes | {"settings": settings, "classes": classes}
        if watch is not None:
            document["plateau"] = _plateau(watch)
        if cost is not None:
            document["ledger"] = cost.as_dict()
        _report(folder, document, scores, json, cost)


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise LabError(f"--seed must be a whole number from 0 to {2**32 - 1}, got {seed}")
    return seed


def _parts(data: str | None, test: str | None, label: str, seed: int):
    """Training and test part."""
    from qml import training_run
    from qml.data import digits, load_csv, split

    if data is None:
        if test is not None:
            raise LabError("--test needs a training file beside it: write --data FILE as well")
        return split(digits(), seed)
    everything = load_csv(data, label)
    if test is None:
        return split(everything, seed)
    held_out = load_csv(test, label, labels_are_text=everything.labels.dtype.kind == "U" or None)
    training_run.check_test(everything, held_out)
    return everything, held_out


def _watch():
    from qml import PlateauWatch

    return PlateauWatch()


def _counted(wanted: bool):
    """A ledger, or None."""
    from contextlib import nullcontext

    from qml import ledger

    return ledger() if wanted else nullcontext()


def _plateau(watch) -> str:
    """What the watch says, if it saw a step."""
    return str(watch.read()) if watch.has_seen else "Cannot tell: no step was seen, the run was finished before."


def _train_all(names, options: dict, train, test, folder: Path, plateau_watch):
    """Classes, and a score for each model; the watch, unless it is None, follows the hybrid."""
    from qml import models, training_run
    from qml.training_progress import watch

    kinds = {"hybrid": models.HybridClassifier, "twin": models.ClassicalTwin}
    scores = []
    for name in names:
        model, total = kinds[name](**options), options["max_epochs"]
        show = watch(name, total, training_run.epochs_done(folder / f"{name}.checkpoint"))
        own = plateau_watch if name == "hybrid" else None
        scores.append(training_run.train_and_score(name, model, train, test, folder, show, own))
    return model.classes_.tolist(), scores


def _report(folder: Path, document: dict, scores: list, as_json: bool, cost) -> None:
    """Write pictures and results into the folder and print what was found."""
    from json import dumps

    from qml import training_report

    classes = document["classes"]
    files = {score.name: folder / f"{score.name}.pt" for score in scores}
    files |= {
        "loss": folder / "loss.png",
        "confusion": folder / "confusion.png",
        "results": folder / "results.json",
    }
    training_report.draw_loss(files["loss"], scores)
    training_report.draw_confusion(files["confusion"], scores, classes)
    document |= {"hybrid": None, "twin": None, "files": {what: str(path) for what, path in files.items()}}
    document |= {score.name: score.as_dict() for score in scores}
    files["results"].write_text(dumps(document, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(dumps(document))
        return
    print(f"{document['data']}: {document['n_train']} training samples, {document['n_test']} test samples")
    training_report.print_scores(scores, classes)
    if "plateau" in document:
        print(f"{'gradients':10} {document['plateau']}")
    if cost is not None:
        print(f"what this run cost, both models together where there are two:\n{cost}")
    for what, path in files.items():
        print(f"{what:10} {path}")
