"""Where each job runs: in a thread of this process, in a simulator's process beside it, on a cluster; or why it cannot."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from circuits.errors import LabError
from qml.store import Store, now
from qml.submission.owners import this_process
from qml.submission.process import as_request
from qml.submission.task import Here, InProcess, Task

LARGE = 15  # qubits from which a native job is worth a process of its own: stopping it stops the work
A_CORES_WORTH = 200  # small circuits that take longer than a simulator's process takes to start


def check_parallel(parallel: Any) -> None:
    """Raise `LabError` unless it is None or a whole number of at least one."""
    if parallel is not None and (isinstance(parallel, bool) or not isinstance(parallel, int) or parallel < 1):
        raise LabError(f"parallel must be a whole number of at least 1, or None, got {parallel!r}")


def tasks(
    records: list[dict], path: Path, parallel: int | None, cluster: str | None, here: dict[str, Callable[[], dict]]
) -> list[Task]:
    """A task for each row.

    Args:
        parallel: how many may run at once, None for a guess.
        cluster: a Dask scheduler's address, None for this machine.
        here: what runs jobs in this process without their way through the store, by id.
    """
    if not records:
        return []
    if cluster is not None:
        from qml.cluster import Cluster

        workers = Cluster(cluster)
        limit = workers.at_once() if parallel is None else parallel
    else:
        workers, limit = None, _guess(records) if parallel is None else parallel
    made = []
    for record in records:
        if record["id"] in here and (_is_quick(record) or not record["named"]):
            runner = partial(_here, here[record["id"]])
        else:
            request = as_request(record) | {"quick": _is_quick(record)}
            runner = partial(_on_cluster, workers, request) if workers else partial(_on_this_machine, request)
        made.append(Task(record["id"], path, runner, limit, record["time_limit"]))
    if workers is not None:
        workers.close_after([task.future for task in made])
    return made


@contextmanager
def failing(records: list[dict], path: Path) -> Iterator[None]:
    """What is raised inside is why the jobs of these rows failed, those that are this process's.

    They are in the store by then, and would else be queued for as long as this process lives.
    """
    try:
        yield
    except BaseException as error:
        reason = str(error) if isinstance(error, LabError) else f"it was never begun ({type(error).__name__})"
        fields = {"state": "failed", "finished": now(), "error": reason}
        with suppress(LabError), Store(path) as store:  # what is wrong with the store is said already
            store.finish([(record["id"], fields) for record in records], this_process())
        raise


def _here(run: Callable[[], dict], _: Any) -> Here:
    return Here(run)


def _on_this_machine(request: dict, simulator: Any) -> Here | InProcess:
    from qml.submission.process import answer

    return Here(partial(answer, request)) if request["quick"] else InProcess(simulator, request)


def _on_cluster(workers: Any, request: dict, _: Any) -> Any:
    return workers.runner(request)


def _is_quick(record: dict) -> bool:
    """Small circuits on our own engine run in a thread, unless they must be stoppable."""
    return record["backend"] == "native" and record["n_qubits"] < LARGE and record["time_limit"] is None


def _guess(records: list[dict]) -> int:
    """One where each circuit uses every core, or where starting more processes takes longer than the work."""
    if any(record["n_qubits"] >= LARGE for record in records) or records[0]["backend"] == "native":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, len(records) // A_CORES_WORTH))
