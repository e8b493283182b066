"""The jobs of this process: one thread runs them one after the other, and each writes its row of the store.

One at a time, because each simulation uses every core by itself. A process that ends in the ordinary way
finishes its jobs first; those of a process that was killed are found lost by whoever looks at them next.
"""

import concurrent.futures.thread  # before _register_atexit below: its hooks run in reverse order
import contextlib
import os
import platform
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from circuits.errors import LabError
from qml.job_process import one_line
from qml.store import Store, now


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


@dataclass(eq=False)
class Task:
    """A job waiting or running in this process.

    Its future stays pending while it runs, so that it can be cancelled at any moment: a run that `stop`
    cannot end goes on, but nothing waits for it any more and its outcome is dropped.

    Attributes:
        compute: what finds the result, as `Result.from_plain` reads it.
        stop: ends a running `compute` where that is possible.
    """

    job_id: str
    path: Path
    compute: Callable[[], dict]
    stop: Callable[[], None] = lambda: None
    future: concurrent.futures.Future = field(default_factory=concurrent.futures.Future)
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: bool = False

    def run(self) -> None:
        """Compute and record the result, or why there is none; nothing is raised here."""
        if not self._record(None, state="running"):
            return
        self.running = True
        try:
            plain = self.compute()
            result = Result.from_plain(plain)
        except BaseException as error:
            failure = error if isinstance(error, LabError) else LabError(one_line(error))
            if failure is not error:
                failure.__cause__ = error
            self._record(failure, state="failed", finished=now(), error=str(failure))
        else:
            self._record(result, state="done", finished=now(), result=plain)

    def cancel(self) -> bool:
        """True where it had not ended and will now deliver nothing."""
        with self.lock:
            if self.future.done():
                return False
            with Store(self.path) as store:
                store.update_job(self.job_id, state="cancelled", finished=now())
            _live.pop(self.job_id, None)
            self.future.cancel()
            if self.running:
                self.stop()
            return True

    def _record(self, outcome: Result | LabError | None, **fields: Any) -> bool:
        """Write fields, then hand over the outcome; False where the job was cancelled or not recorded."""
        with self.lock:
            if self.future.done():
                return False
            try:
                with Store(self.path) as store:
                    store.update_job(self.job_id, **fields)
            except LabError as error:
                self.future.set_exception(error)  # the row cannot tell, so the task stays in _live and does
                return False
            if outcome is not None:
                _live.pop(self.job_id, None)
                deliver = self.future.set_exception if isinstance(outcome, LabError) else self.future.set_result
                deliver(outcome)
            return True


_live: dict[str, Task] = {}
_waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
_starting = threading.Lock()
_worker: threading.Thread | None = None


def live(job_id: str) -> Task | None:
    """The task of a job that this process has still to finish."""
    return _live.get(job_id)


def enqueue(tasks: list[Task]) -> None:
    """Run the tasks in the background, in this order, after those already waiting."""
    global _worker
    for task in tasks:
        _live[task.job_id] = task
        _waiting.put(task)
    with _starting:
        if _worker is None or not _worker.is_alive():
            _worker = threading.Thread(target=_work, name="qml-jobs", daemon=True)
            _worker.start()


def _work() -> None:
    while True:
        _waiting.get().run()


def _finish() -> None:
    concurrent.futures.wait([task.future for task in list(_live.values())])


def _forget() -> None:
    global _live, _waiting, _starting
    _live, _waiting, _starting = {}, queue.SimpleQueue(), threading.Lock()


# At an ordinary end the jobs still have to run, and simulators use thread pools: so this must come before
# concurrent.futures closes them, which atexit is too late for.
threading._register_atexit(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def this_process() -> dict:
    """Host, process id and start time: what tells whether a job's process still runs."""
    return {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_alive(owner: dict | None) -> bool:
    """Whether that process still runs; one on another machine cannot be asked and counts as running."""
    if owner is None or owner["host"] != platform.node():
        return owner is not None
    with contextlib.suppress(psutil.Error):
        # Another process may have been given the same number; clocks are corrected by less than two seconds.
        return abs(psutil.Process(owner["pid"]).create_time() - owner["started"]) < 2
    return False
