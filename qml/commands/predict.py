"""`qml predict MODEL FILE`: what a trained classifier says about the rows of a CSV file."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from circuits.errors import LabError

if TYPE_CHECKING:
    from qml.data import Cells
    from qml.models import HybridClassifier


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(predict)


def predict(
    model: Annotated[str, typer.Argument(help="A .pt file that `qml train` wrote.", metavar="MODEL")],
    file: Annotated[str, typer.Argument(help="A CSV file, with the label column or without it.", metavar="FILE")],
    label: Annotated[
        str | None,
        typer.Option(help="Label column: a name, an index from 0, or last.", metavar="NAME|INDEX|last"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print a prediction and its probability for each row of FILE, and the accuracy where FILE has labels.

    A file with as many columns as the model has features is read as one without labels. With one column more, the label
    is the column that held it in training, unless --label names another.
    """
    from qml.data import read_cells

    cells = read_cells(file)  # a file that cannot be read is said before torch is imported, which takes seconds
    from qml import models

    classifier, about = models.load(model)
    data = _read(cells, file, label, classifier, about)
    probabilities = classifier.predict_proba(data.features)
    document = _document(model, file, classifier.classes_.tolist(), probabilities, data.labels)
    _print(document, json)


def _read(cells: "Cells", file: str, label: str | None, classifier: "HybridClassifier", about: dict):
    """The rows of the file, with labels if it has them."""
    from qml.data import load_csv

    n_features, classes = classifier.n_features_in_, classifier.classes_
    names = about["feature_names"] or []
    if names and cells.rows[0][: len(names)] == names:
        cells = replace(cells, has_header=True)  # names that are numbers would pass for a sample
    if label is None:
        n_columns = cells.n_columns
        if n_columns == n_features + 1:
            label = "last" if about["label"] is None else str(about["label"])
        elif n_columns != n_features:
            raise LabError(
                f"{file} has {n_columns} columns: the model was trained on {n_features} features, "
                f"so {n_features} columns are needed, or {n_features + 1} with the label"
            )
    data = load_csv(cells, label, labels_are_text=classes.dtype.kind == "U" or None)
    found = data.features.shape[1]
    if found != n_features:
        raise LabError(f"{file} has {found} features beside its label: the model was trained on {n_features}")
    for here, there in zip(about["feature_names"] or [], data.feature_names or []):
        if here != there:
            raise LabError(f"{file} has a column {there!r} where the training data had {here!r}: order them alike")
    return data


def _document(model: str, file: str, classes: list, probabilities, labels) -> dict:
    best = probabilities.argmax(axis=1)
    rows = [
        {"row": index + 1, "prediction": classes[choice], "probability": float(probabilities[index, choice])}
        for index, choice in enumerate(best)
    ]
    document = {"model": model, "file": file, "classes": classes, "predictions": rows, "accuracy": None}
    if labels is None:
        return document
    for row, truth in zip(rows, labels.tolist()):
        row["label"] = truth
    hits = sum(str(row["prediction"]) == str(row["label"]) for row in rows)
    from qml.training_run import wilson

    return document | {
        "accuracy": hits / len(rows),
        "correct": hits,
        "interval_95": list(wilson(hits, len(rows))),
    }


def _print(document: dict, as_json: bool) -> None:
    from json import dumps

    if as_json:
        print(dumps(document))
        return
    width = max(10, *(len(str(name)) for name in document["classes"]))
    labelled = document["accuracy"] is not None
    print(f"{'row':>6}  {'prediction':{width}}  probability" + ("  label" if labelled else ""))
    for row in document["predictions"]:
        end = f"  {row['label']}" if labelled else ""
        print(f"{row['row']:6}  {row['prediction']!s:{width}}  {row['probability']:11.4f}{end}")
    if labelled:
        low, high = document["interval_95"]
        total = len(document["predictions"])
        print(f"accuracy {document['accuracy']:.4f} ({document['correct']} of {total}; 95 %: {low:.3f} to {high:.3f})")
