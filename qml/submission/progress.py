"""How many jobs have ended, and how long the rest will take: a bar on a terminal, else nothing."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any


def followed(jobs: Iterable[Any], total: int, title: str) -> Iterator[Any]:
    """The jobs as they come, counted by a bar with the time left."""
    if not sys.stderr.isatty():
        yield from jobs
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.SpinnerColumn(), progress.TextColumn("{task.description}"))
    if total > 1:
        left = progress.TimeRemainingColumn(elapsed_when_finished=True)
        columns = (*columns, progress.BarColumn(), progress.MofNCompleteColumn(), left)
    else:
        columns = (*columns, progress.TimeElapsedColumn())
    shared = sys.stdout.isatty()  # else lines of JSON would go where the bar is, to standard error
    bar = progress.Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=60, redirect_stdout=shared
    )
    with bar:
        task = bar.add_task(title, total=total)
        for job in jobs:
            bar.advance(task)
            yield job
