"""The threads that run this process's jobs, first come first served, and one that watches over them.

A simulation of many qubits uses every core by itself, so one job runs at a time unless its submission says more. A process
that ends in the ordinary way finishes its jobs first; after a Ctrl-C that nobody caught it cancels them. Those of a process
that was killed are found lost by whoever looks at them next.
"""

import concurrent.futures.thread  # before _register_atexit below: its hooks run in reverse order
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from circuits.errors import LabError
from qml.store import Store, now
from qml.submission.process import SimulatorProcess
from qml.submission.task import Task

TICK_SECONDS = 0.1  # between looks at time limits
GLANCE_SECONDS = 1.0  # between looks at the store for jobs that another process cancelled


class Scheduler:
    """Runs tasks in threads; a task starts when fewer than its limit are running."""

    def __init__(self):
        self.live: dict[str, Task] = {}
        self._waiting: deque[Task] = deque()
        self._running: dict[Task, _Worker] = {}
        self._workers: set[_Worker] = set()
        self._changed = threading.Condition(threading.RLock())
        self._watcher: threading.Thread | None = None
        self._since = now()

    def enqueue(self, tasks: list[Task]) -> None:
        """Run the tasks in the background, in this order, after those already waiting."""
        with self._changed:
            for task in tasks:
                self.live[task.job_id] = task
                task.future.add_done_callback(lambda future, task=task: self._ended(task))
                self._waiting.append(task)
            self._staff()
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(target=self._watch, name="qml-watch", daemon=True)
                self._watcher.start()

    def cancel(self, task: Task) -> bool:
        """True where the task had not ended and will now deliver nothing; what it runs is stopped."""
        if not task.cancel():
            return False
        self._abandon(task)
        return True

    def next_for(self, worker: "_Worker") -> Task:
        """The next task that may run, now in this worker's hands."""
        with self._changed:
            while not self._may_start():
                self._changed.wait()
            task = self._waiting.popleft()
            self._running[task] = worker
            return task

    def leave(self, task: Task) -> None:
        """The worker's hands are free again."""
        with self._changed:
            self._running.pop(task, None)
            self._changed.notify_all()

    def simulators(self) -> Iterator[SimulatorProcess]:
        """The processes in which workers simulate, where they have started any."""
        return (worker.simulator for worker in list(self._workers))

    def _may_start(self) -> bool:
        while self._waiting and self._waiting[0].future.done():
            self._waiting.popleft()
        return bool(self._waiting) and len(self._running) < self._waiting[0].limit

    def _staff(self) -> None:
        """Threads for as many tasks as may run at once."""
        limits = [task.limit for task in (*self._waiting, *self._running)]
        wanted = min(max(limits, default=0), len(limits))
        while len(self._workers) < wanted:
            worker = _Worker(self)
            self._workers.add(worker)
            worker.start()
        self._changed.notify_all()

    def _abandon(self, task: Task) -> None:
        """The task ended while it ran: another thread takes its worker's place, which may never come back."""
        with self._changed:
            worker = self._running.pop(task, None)
            if worker is None:
                return
            worker.is_abandoned = True
            self._workers.discard(worker)
            self._staff()
        task.stop()

    def _ended(self, task: Task) -> None:
        # A row that could not be written cannot tell the outcome: then the task goes on telling it.
        failed = not task.future.cancelled() and task.future.exception()
        if not (failed and _is_store_fault(failed)):
            self.live.pop(task.job_id, None)

    def _watch(self) -> None:
        looked = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            if not self.live:
                with self._changed:
                    if not self.live:
                        self._watcher = None
                        return
            moment = time.monotonic()
            with self._changed:
                late = [task for task in self._running if task.deadline is not None and task.deadline <= moment]
            for task in late:
                self._stop_late(task)
            if moment - looked >= GLANCE_SECONDS:
                looked = moment
                self._drop_cancelled()

    def _stop_late(self, task: Task) -> None:
        reason = f"it did not end within {task.time_limit:g} s: give it a longer --timeout, or use fewer qubits or shots"
        if task.fail(LabError(reason)) or task.future.done():
            self._abandon(task)

    def _drop_cancelled(self) -> None:
        tasks = list(self.live.values())
        for path in {task.path for task in tasks}:
            with suppress(LabError), Store(path) as store:  # a fault of the store shows when a result is recorded
                gone = store.cancelled(self._since)
                for task in tasks:
                    if task.path == path and task.job_id in gone:
                        task.drop()
                        self._abandon(task)


class _Worker(threading.Thread):
    """Runs one task after the other, each in its turn, with a simulator's process of its own."""

    def __init__(self, scheduler: Scheduler):
        super().__init__(name="qml-jobs", daemon=True)
        self.simulator, self.is_abandoned, self._scheduler = SimulatorProcess(), False, scheduler

    def run(self) -> None:
        while not self.is_abandoned:
            task = self._scheduler.next_for(self)
            task.run(self.simulator)
            if not self.is_abandoned:
                self._scheduler.leave(task)


def _is_store_fault(error: BaseException) -> bool:
    return isinstance(error, LabError) and type(error).__name__ == "StoreError"


scheduler = Scheduler()


def current() -> Scheduler:
    """This process's scheduler."""
    return scheduler


def _finish() -> None:
    tasks = list(scheduler.live.values())
    if getattr(sys, "last_type", None) is KeyboardInterrupt:  # the program ends because of a Ctrl-C that nobody caught
        for task in tasks:
            with suppress(LabError):
                scheduler.cancel(task)
    concurrent.futures.wait([task.future for task in tasks])


def _forget() -> None:
    global scheduler
    scheduler = Scheduler()


# At an ordinary end the jobs still have to run, and simulators use thread pools: so this must come before
# concurrent.futures closes them, which atexit is too late for.
threading._register_atexit(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
