"""Progress of a training run on standard error: a bar on a terminal, else a line every so often."""

import sys
import time
from collections.abc import Callable, Iterator

from qml.training import Epoch

SILENT_SECONDS = 10.0


def watch(title: str, total: int, done: int = 0) -> Callable[[Iterator[Epoch]], None]:
    """A function that runs through the epochs and shows each of them.

    Args:
        title: of the model.
        total: epochs in all.
        done: how many of them an earlier run finished; they come first and are not shown.
    """
    show = _bar if sys.stderr.isatty() else _lines
    return lambda epochs: show(_announced(epochs, title, total, done), title, total)


def _announced(epochs: Iterator[Epoch], title: str, total: int, done: int) -> Iterator[Epoch]:
    for epoch in epochs:
        if epoch.number == done:
            what = "was finished before" if done == total else f"goes on after epoch {done} of {total}"
            print(f"{title}: {what} (--restart begins again)", file=sys.stderr, flush=True)
        elif epoch.number > done:
            yield epoch


def _bar(epochs: Iterator[Epoch], title: str, total: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, state="")
        for epoch in epochs:
            progress.update(task, completed=epoch.number, state=_state(epoch, total))


def _lines(epochs: Iterator[Epoch], title: str, total: int) -> None:
    said, every = time.monotonic(), max(1, total // 6)
    for epoch in epochs:
        if epoch.number % every == 0 or epoch.number == total or time.monotonic() - said > SILENT_SECONDS:
            said = time.monotonic()
            print(
                f"{title}: epoch {epoch.number} of {total}, {_state(epoch, total)}",
                file=sys.stderr,
                flush=True,
            )


def _state(epoch: Epoch, total: int) -> str:
    left = epoch.seconds * (total - epoch.number)
    return f"loss {epoch.loss:.4f}, train accuracy {epoch.accuracy:.3f}, {left:.0f} s left"
