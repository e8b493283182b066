"""A primitive's job: a call that runs in a thread of its own."""

import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from qiskit.primitives import BasePrimitiveJob
from qiskit.providers import JobStatus

ENDED = (JobStatus.DONE, JobStatus.CANCELLED, JobStatus.ERROR)


class NativeJob(BasePrimitiveJob[Any, JobStatus]):
    """Runs `work()`; `result()` waits for what it returns, or raises what it raised. A pickled job is one that has ended."""

    def __init__(self, work: Callable[[], Any]):
        super().__init__(str(uuid.uuid4()))
        pool = ThreadPoolExecutor(max_workers=1)
        # With the caller's context, which says what a ledger is to enter the work as.
        self._future: Future = pool.submit(copy_context().run, work)
        pool.shutdown(wait=False)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_future": self.result()}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _future=Future())
        self._future.set_result(state["_future"])

    def result(self) -> Any:
        """What the work returned, once it has."""
        return self._future.result()

    def status(self) -> JobStatus:
        """QUEUED, RUNNING, or one of DONE, CANCELLED and ERROR."""
        if self._future.running():
            return JobStatus.RUNNING
        if self._future.cancelled():
            return JobStatus.CANCELLED
        if not self._future.done():
            return JobStatus.QUEUED
        return JobStatus.DONE if self._future.exception() is None else JobStatus.ERROR

    def done(self) -> bool:
        """Whether it has a result."""
        return self.status() == JobStatus.DONE

    def running(self) -> bool:
        """Whether it is at work."""
        return self.status() == JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled before it began."""
        return self.status() == JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status() in ENDED

    def cancel(self) -> bool:
        """True where it had not begun and never will; a run that has begun ends by itself."""
        return self._future.cancel()
