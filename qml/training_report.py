"""What a training run shows at its end: a table, the confusion matrix, and two pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qml.training_run import Score

TITLES = {"hybrid": "hybrid", "twin": "classical twin"}
WIDEST = 20  # classes that still fit a terminal


def print_scores(scores: Sequence[Score], classes: Sequence) -> None:
    """Print accuracies and the hybrid model's confusion matrix as tables."""
    from rich.console import Console

    console = Console()
    console.print(_score_table(scores))
    if len(classes) > WIDEST:
        console.print(f"{len(classes)} classes: the confusion matrix is in the picture and in results.json")
        return
    console.print(f"confusion of the {TITLES[scores[0].name]} model: rows are true, columns predicted")
    console.print(_confusion_table(scores[0], classes))


def _score_table(scores: Sequence[Score]):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, caption="parameters: in all (in the core that differs)", caption_justify="left")
    for title in ("model", "test accuracy", "95 % interval", "parameters", "seconds"):
        table.add_column(title, no_wrap=True, justify="left" if title == "model" else "right")
    for score in scores:
        interval = f"{score.low:.3f} to {score.high:.3f}"
        parameters = f"{score.parameters[0]} ({score.parameters[1]})"
        share = f"{score.accuracy:.4f}", interval
        table.add_row(TITLES[score.name], *share, parameters, f"{score.seconds:.1f}")
    return table


def _confusion_table(score: Score, classes: Sequence):
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("")
    for name in classes:
        table.add_column(Text(str(name)), justify="right")
    for name, counts in zip(classes, score.confusion):
        table.add_row(Text(str(name)), *(str(count) if count else "." for count in counts))
    return table


def draw_loss(path: Path, scores: Sequence[Score]) -> None:
    """Save the training loss of every model by epoch as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for score in scores:
        epochs = [epoch.number for epoch in score.history]
        axes.plot(epochs, [epoch.loss for epoch in score.history], "o-", ms=3, label=TITLES[score.name])
    axes.set(xlabel="epoch", ylabel="training loss (cross-entropy, nats)", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(path)


def draw_confusion(path: Path, scores: Sequence[Score], classes: Sequence) -> None:
    """Save the confusion matrix of every model, side by side, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(scores), 4.6), layout="constrained")
    for axes, score in zip(np.atleast_1d(figure.subplots(1, len(scores))), scores):
        _draw_matrix(axes, score, classes)
    FigureCanvasAgg(figure).print_png(path)


def _draw_matrix(axes, score: Score, classes: Sequence) -> None:
    axes.imshow(score.confusion / score.confusion.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true", title=f"{TITLES[score.name]}: {score.accuracy:.4f}")
    if len(classes) > WIDEST:
        return
    ticks = range(len(classes))
    axes.set_xticks(ticks, [str(name) for name in classes], rotation="vertical" if len(str(classes[0])) > 2 else 0)
    axes.set_yticks(ticks, [str(name) for name in classes])
    for (row, column), count in np.ndenumerate(score.confusion):
        if count:
            dark = count > score.confusion[row].sum() / 2
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
