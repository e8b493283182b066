"""A job of this process: what runs it, how it ends, and the one moment at which it does.

It may end in three ways: it was computed, someone cancelled it, or its time was up. Whichever comes first writes the
job's row and hands the outcome over; what comes later finds it ended and changes nothing.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from circuits.errors import LabError
from qml.job_rows import encode
from qml.store import BUSY_SECONDS, Store, now
from qml.submission.owners import this_process
from qml.submission.process import SimulatorProcess, one_line

STARTING = 120.0  # seconds for a simulator's process, beside the job's own limit
PATIENCE = 600.0  # seconds for which another process may be writing: what was computed is not to be lost to that


@dataclass(frozen=True)
class Result:
    """What a job found: counts, or expectation values.

    Attributes:
        counts: outcome -> how often, bit strings in Qiskit's order; None where observables were asked for.
        values: (n_observables,) expectation values, else None.
        standard_errors: (n_observables,), zero where exact, NaN where one shot cannot tell; else None.
    """

    counts: dict[str, int] | None = None
    values: np.ndarray | None = None
    standard_errors: np.ndarray | None = None

    @classmethod
    def from_plain(cls, plain: dict) -> "Result":
        """The result that is stored and printed so; a standard error of None is unknown."""
        if "counts" in plain:
            return cls(counts=plain["counts"])
        return cls(values=np.array(plain["values"]), standard_errors=np.array(plain["standard_errors"], float))


class Runner(Protocol):
    """What computes a job: this process, a process of its own, or a cluster."""

    def prepare(self) -> None:
        """What is done once, and takes none of a job's time, is done."""

    def perform(self) -> dict:
        """The result, as `Result.from_plain` reads it."""

    def stop(self) -> None:
        """A `perform` under way ends, where that is possible."""


@dataclass(frozen=True)
class Here:
    """Runs in this process's thread; nothing can stop it, but nothing waits for it either."""

    run: Callable[[], dict]

    def prepare(self) -> None:
        """Nothing: this process is there."""

    def perform(self) -> dict:
        return self.run()

    def stop(self) -> None:
        """Nothing: a thread cannot be ended from outside."""


@dataclass(frozen=True)
class InProcess:
    """Runs in a simulator's process, which stopping kills."""

    simulator: SimulatorProcess
    request: dict

    def prepare(self) -> None:
        """The process is there, with its simulator."""
        self.simulator.prepare(self.request)

    def perform(self) -> dict:
        return self.simulator.perform(self.request)

    def stop(self) -> None:
        self.simulator.stop()


@dataclass(eq=False)
class Task:
    """A job waiting or running in this process.

    Its future stays pending while it runs, so that it can be cancelled at any moment: a run that its runner
    cannot stop goes on, but nothing waits for it any more and its outcome is dropped.

    Attributes:
        runner: makes what computes it, given the simulator's process of the thread it runs in.
        limit: it starts when fewer tasks than this are running.
        time_limit: seconds of running after which it fails, its simulator's start apart; None for as long as it takes.
    """

    job_id: str
    path: Path
    runner: Callable[[SimulatorProcess], Runner]
    limit: int = 1
    time_limit: float | None = None
    future: concurrent.futures.Future = field(default_factory=concurrent.futures.Future)
    deadline: float | None = None
    is_running: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _active: Runner | None = None

    def run(self, simulator: SimulatorProcess) -> None:
        """Compute and record the result, or why there is none; nothing is raised here."""
        if not self._start():
            return
        try:
            self._active = self.runner(simulator)
            if self.time_limit is not None:
                self.deadline = time.monotonic() + STARTING + self.time_limit
                self._active.prepare()
                self.deadline = time.monotonic() + self.time_limit
            plain = self._active.perform()
            self.deadline = None  # nothing is late any more, however long the store is busy
            encode(plain, "the result")  # else its row would stay that of a running job
            result = Result.from_plain(plain)
        except BaseException as error:
            failure = error if isinstance(error, LabError) else LabError(one_line(error))
            if failure is not error:
                failure.__cause__ = error
            self.fail(failure)
        else:
            self._end(result, state="done", finished=now(), result=plain)

    def fail(self, failure: LabError) -> bool:
        """The job failed with this reason; False where it had ended."""
        return self._end(failure, state="failed", finished=now(), error=str(failure))

    def cancel(self) -> bool:
        """True where it had not ended and will now deliver nothing."""
        with self._lock:
            if self.future.done():
                return False
            with Store(self.path) as store:
                store.cancel(self.job_id, now())
            self.drop()
            return True

    def drop(self) -> None:
        """It will deliver nothing, whatever its row says: it was cancelled, here or elsewhere."""
        with self._lock:
            if not self.future.done() and self.future.cancel():  # once: dropped before, it has been told
                self.future.set_running_or_notify_cancel()  # else whoever waits for it is not told

    def stop(self) -> None:
        """What it runs is ended, where that is possible."""
        if self._active is not None:
            self._active.stop()

    def _start(self) -> bool:
        with self._lock:
            if self.future.done():
                return False
            try:
                with Store(self.path) as store:
                    is_mine = store.start(self.job_id, this_process())
            except LabError as error:
                self.future.set_exception(error)
                return False
            self.is_running = is_mine
            if not is_mine:
                self.drop()
            return is_mine

    def _end(self, outcome: Result | LabError, **fields: Any) -> bool:
        """Write fields, then hand over the outcome; False where the job had ended or could not be recorded."""
        with self._lock:
            if self.future.done():
                return False
            try:
                with Store(self.path, busy_seconds=PATIENCE if fields["state"] == "done" else BUSY_SECONDS) as store:
                    (is_mine,) = store.finish([(self.job_id, fields)], this_process())
            except LabError as error:
                self.future.set_exception(error)  # the row cannot tell
                return False
            if not is_mine:
                self.drop()
                return False
            deliver = self.future.set_exception if isinstance(outcome, LabError) else self.future.set_result
            deliver(outcome)
            return True
