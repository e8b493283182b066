"""Computes the cases of a study that are not stored yet, on any `concurrent.futures.Executor`.

Only the driver writes, each case as soon as it is finished. A kill at any moment loses the cases in hand, no
more; the same command goes on from there.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from circuits.errors import LabError
from qml.cluster import on_cluster
from qml.store import Store, now
from studies import provenance
from studies.base import Study, case_id, load
from studies.progress import Progress
from studies.sources import code_version

PATIENCE = 5.0  # seconds for a worker to end when it is told to


def execute(
    study: Study, cases: list[dict], store: Store, workers: int | None = None, cluster: str | None = None
) -> tuple[list[str], int]:
    """Every case is in the store; those already there were not computed again.

    Args:
        cases: what `cases(settings)` of the study returned.
        workers: processes on this machine, None for one per usable core; with 1, this process does the work.
        cluster: address of a Dask scheduler that gives the workers instead.

    Returns:
        The ids of all different cases, in their order, and how many of them were computed now.

    Raises:
        LabError: a worker died, runs other code, or Dask is missing.
    """
    if cluster is not None and study.most_workers < sys.maxsize:
        raise LabError(f"{study.name} times what it runs, a case at a time on one machine: leave --cluster out")
    driver = provenance.of_driver(study.name)
    wanted = {case_id(study.name, case, driver["code"]): case for case in cases}
    ids, done = list(wanted), store.case_ids(study.name)
    pending = [(key, case) for key, case in wanted.items() if key not in done]
    # The longest first: the short ones then fill the gaps at the end.
    pending.sort(key=lambda item: -study.cost(item[1]))
    costs = {key: study.cost(case) for key, case in pending}
    workers = min(usable_cores() if workers is None else workers, max(1, len(pending)), study.most_workers)
    results = _results(study.name, pending, driver["code"], workers, cluster)
    # Closed at once when the loop is left by an error, so that no worker goes on.
    with Progress(study.name, costs, len(ids) - len(pending)) as progress, contextlib.closing(results):
        for key, case, rows, origin in results:
            store.add_rows(study.name, key, case, rows, {"case": key, **driver, **origin})
            progress.finished(key)
    return ids, len(pending)


def compute(study: str, case: dict, code: str) -> tuple[list[dict], dict]:
    """The rows of one case and where they come from.

    Raises:
        LabError: this process would compute it with other code than the driver's.
    """
    own = code_version(study)
    if own != code:
        raise LabError(
            f"a worker has version {own} of the code of {study}, the driver has {code}: "
            "install the same one on both, and leave its files alone during a run"
        )
    started = time.perf_counter()
    try:
        rows = load(study).module.run(case)
    except LabError as error:
        raise LabError(f"{study}, case {_named(case)}: {error}") from None
    except Exception as error:
        error.add_note(f"in case {_named(case)} of the study {study}")
        raise
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LabError(f"run(case) of {study} must return a list of dicts, got {type(rows).__name__}")
    return rows, provenance.of_case(case, time.perf_counter() - started, now())


def _named(case: dict) -> str:
    return ", ".join(f"{key}={value}" for key, value in case.items())


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _results(study: str, pending: list, code: str, workers: int, cluster: str | None) -> Iterator[tuple]:
    """(id, case, rows, provenance) of every pending case, as they finish."""
    if not pending:
        return
    if workers == 1 and cluster is None:
        for key, case in pending:
            yield key, case, *compute(study, case, code)
        return
    with on_cluster(cluster) if cluster else _on_this_machine(workers) as executor:
        futures = {executor.submit(compute, study, case, code): (key, case) for key, case in pending}
        for future in as_completed(futures):
            yield *futures.pop(future), *future.result()


@contextlib.contextmanager
def _on_this_machine(workers: int) -> Iterator[Executor]:
    """A pool of processes, none of which is left running when the block ends in an error."""
    others = set(multiprocessing.active_children())
    # Spawned, since forking a process that holds OpenMP, Numba or torch threads can hang it.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        children = set(multiprocessing.active_children()) - others
        for child in children:
            child.terminate()
        for child in children:
            child.join(PATIENCE)
        if isinstance(error, BrokenProcessPool):
            raise LabError(
                "a worker died, perhaps for want of memory; what was finished is kept: "
                "run the same command again, with fewer --workers"
            ) from error
        raise
    executor.shutdown()


def _start_worker() -> None:
    """One thread a worker; Ctrl-C is the driver's to answer, and without the driver a worker ends."""
    for name in provenance.THREAD_COUNTS:
        os.environ[name] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # The pool's queue never closes on this side, so a worker would outlive a killed driver for ever.
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
