"""How far a run is and how long it still takes: a bar on a terminal, else lines, on stderr."""

import sys
import time

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts cases as they finish; the time left weighs each by its cost.

    Args:
        title: what is running.
        costs: the relative cost of every pending case, by id.
        stored: how many cases were there before.
    """

    def __init__(self, title: str, costs: dict[str, float], stored: int):
        self._costs, self._total = costs, sum(costs.values()) or 1.0
        self._title, self._stored = title, stored
        self._done, self._spent = 0, 0.0
        self._bar = self._task = None
        self._started = self._written = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._stored:
            self._say(f"{self._stored} of {self._stored + len(self._costs)} cases are in the store already")
        if self._costs and sys.stderr.isatty():
            self._open_bar()
        elif self._costs:
            self._say(f"{len(self._costs)} cases to compute")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._done:
            self._line()

    def finished(self, key: str) -> None:
        """One more case is stored."""
        self._done += 1
        self._spent += self._costs[key]
        if self._bar is not None:
            self._bar.update(self._task, completed=self._spent, cases=self._done)
        elif time.monotonic() - self._written >= SECONDS_BETWEEN_LINES:
            self._line()

    def _open_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        counter = progress.TextColumn("{task.fields[cases]}/{task.fields[all]} cases")
        left = progress.TimeRemainingColumn(elapsed_when_finished=True)
        words = progress.TextColumn("{task.description}")
        self._bar = progress.Progress(
            words,
            progress.BarColumn(),
            counter,
            left,
            console=Console(stderr=True),
            speed_estimate_period=120,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._total, cases=0, all=len(self._costs))

    def _line(self) -> None:
        self._written = time.monotonic()
        elapsed = self._written - self._started
        left = elapsed * (self._total / self._spent - 1) if self._spent else 0.0
        self._say(f"{self._done}/{len(self._costs)} cases, {elapsed:.0f} s, about {left:.0f} s left")

    def _say(self, words: str) -> None:
        print(f"{self._title}: {words}", file=sys.stderr, flush=True)
