"""Whose a job is: the process that runs it, told apart from a later one that was given its number."""

import contextlib
import os
import platform
from functools import lru_cache

import psutil


def this_process() -> dict:
    """Host, process id and start time: what tells whether a job's process still runs."""
    return dict(_process(os.getpid()))


@lru_cache
def _process(pid: int) -> dict:
    return {"host": platform.node(), "pid": pid, "started": psutil.Process(pid).create_time()}


def is_alive(owner: dict | None) -> bool:
    """Whether that process still runs; one on another machine cannot be asked and counts as running."""
    if owner is None or owner["host"] != platform.node():
        return owner is not None
    with contextlib.suppress(psutil.Error):
        # Another process may have been given the same number; clocks are corrected by less than two seconds.
        process = psutil.Process(owner["pid"])
        return abs(process.create_time() - owner["started"]) < 2 and process.status() != psutil.STATUS_ZOMBIE
    return False
