"""Circuits run in the background, each a row of the store that can be read again after a restart."""

import concurrent.futures
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit

from circuits.errors import LabError
from circuits.observables import Observable
from qml.backends.base import Backend
from qml.job_rows import IN_FLIGHT
from qml.store import Store, default_path, now
from qml.submission import detached, placing, tagging
from qml.submission.owners import is_alive, this_process
from qml.submission.process import perform
from qml.submission.request import Request, checked_limit, drawn_seed, seed_of
from qml.submission.scheduler import current
from qml.submission.sweep import Sweep
from qml.submission.task import Result

SLICE_SECONDS = 0.5  # of a wait, after which signals are looked at again
POLL_SECONDS = 0.05
ASKED = ("name", "number", "parameters")  # of a circuit in its submission


class Job:
    """A submitted circuit: `id`, `status()`, `result()`, `cancel()`; made by `submit` and `retrieve_job`.

    Args:
        asked: the row of the submission that returns this job, whose answer may be a job of another one.
    """

    def __init__(self, job_id: str, path: Path, asked: dict | None = None):
        self.id, self._path = job_id, path
        self._asked = {} if asked is None else {name: asked[name] for name in ASKED}

    def __repr__(self) -> str:
        return f"<Job {self.id}: {self.status()}>"

    def record(self) -> dict:
        """The job's row in the store, its state "lost" where the process that ran it is gone.

        Name, number and parameters are those of the submission that returned this job, also where another was first.
        """
        with Store(self._path) as store:
            return judged(store.job(self.id)) | self._asked

    def runs_here(self) -> bool:
        """Whether it is queued or running in this process."""
        return self.id in current().live

    def status(self) -> str:
        """queued, running, done, failed, cancelled or lost."""
        return self.record()["state"]

    def result(self, timeout: float | None = None) -> Result:
        """What the job found, when it is done. A Ctrl-C ends the wait and not the job.

        Args:
            timeout: seconds to wait at most; None waits as long as it takes.

        Raises:
            LabError: the job failed, was cancelled or was lost, with the reason.
            TimeoutError: it is not done yet.
        """
        task = current().live.get(self.id)
        if task is None:
            return self._stored_result(timeout)
        try:
            return _outcome(task.future, timeout)
        except concurrent.futures.CancelledError:
            return self._stored_result(timeout)  # cancelled, or taken over by another process
        except TimeoutError:
            raise TimeoutError(f"job {self.id} is not done after {timeout} s") from None

    def _stored_result(self, timeout: float | None) -> Result:
        end = None if timeout is None else time.monotonic() + timeout
        while (record := self.record())["state"] in IN_FLIGHT:
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(f"job {self.id} is not done after {timeout} s")
            time.sleep(POLL_SECONDS)
        if record["state"] == "cancelled":
            raise LabError(f"job {self.id} was cancelled: submit its circuit again, or write `qml jobs rerun {self.id}`")
        if record["state"] != "done":
            raise LabError(record["error"])
        return Result.from_plain(record["result"])

    def cancel(self) -> bool:
        """True where the job was still queued or running and will deliver nothing; False where it had ended.

        A job that another process runs is stopped by it within a second or two.
        """
        task = current().live.get(self.id)
        if task is not None:
            return current().cancel(task)
        with Store(self._path) as store:
            return judged(store.job(self.id))["state"] in IN_FLIGHT and store.cancel(self.id, now())


def submit(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str | Backend | Any = "native",
    shots: int | None = 1024,
    seed: int | None = None,
    observables: Observable | Sequence[Observable] | None = None,
    noise: Any = None,
    store: Store | str | os.PathLike | None = None,
    parameter_values: Any = None,
    tag: str | None = None,
    reuse: bool = False,
    parallel: int | None = None,
    timeout: float | None = None,
    cluster: str | None = None,
    detach: bool = False,
    **options: Any,
) -> "Job | list[Job]":
    """Queue circuits to run in the background, all in the store in one transaction, and return at once.

    Args:
        circuits: without free parameters; one that measures nothing is measured on all its qubits.
        backend: a backend's name ("native", "aer", "pennylane", "qiskit") or an object `resolve` knows.
        shots: how often each circuit is run (with observables: in each measurement basis); None is exact.
        seed: the same seed gives the same result, each circuit of a list drawing from its own stream; None draws one.
        observables: Pauli labels, sums such as "0.5*ZZI + XII", SparsePauliOps: estimated, no counts.
        noise: for "aer" the probability of depolarizing after each gate, a NoiseModel, or a device ("GenericBackendV2:5").
        store: a Store or its path; None is the default store.
        parameter_values: a sweep of one circuit with free parameters, a job a row (see `qml.submission.sweep.Sweep`).
        tag: a name for this submission. The same submission under the same tag finds its jobs again, runs those that were
            lost, cancelled or failed, and records none twice. Backend objects are compared as far as can be seen.
        reuse: whether a job that is done, of the same circuit, settings and objects (and seed, if given), is the answer.
        parallel: how many circuits may run at once; None: one, or as many as cores where they are small and hundreds.
        timeout: seconds that each circuit may run, after which it has failed.
        cluster: address of a Dask scheduler whose workers run them (`qml.cluster` says how to start one).
        detach: whether a process of its own runs them, which goes on when this one ends.
        options: what else the backend takes, such as device="GPU" or method="stabilizer".

    Returns:
        A Job for a circuit, a list of them for a list or a table.

    Raises:
        UnknownName: no backend of that name.
        Unsupported: the backend has no such option.
        LabError: what is wrong with the circuits, observables, shots, seed, tag or store.
    """
    request = Request.of(backend, shots, seed, observables, noise, timeout, options)
    _check_place(request, detach or cluster is not None, parallel)
    sweep = None if parameter_values is None else Sweep.of(circuits, parameter_values)
    circuits = circuits if sweep is None else sweep.circuits()
    single = isinstance(circuits, QuantumCircuit)
    prepared = [request.prepared(circuit) for circuit in ([circuits] if single else circuits)]
    records, path = _records(request, prepared, seed, single, tagging.checked(tag), sweep), _store_path(store)
    with Store(path) as opened:
        found = tagging.settle(opened, records, tag, reuse, seed is not None)
        with placing.failing(found.new, path):
            mine = found.new + _claimed(opened, found.again)
    here = {} if cluster else {r["id"]: partial(_run, request, prepared[r["number"]], r["seed"], r["id"]) for r in mine}
    _set_off(mine, path, parallel, cluster, detach, here)
    jobs = [Job(job_id, path, record) for job_id, record in zip(found.ids, records, strict=True)]
    return jobs[0] if single else jobs


def retrieve_job(job_id: str, store: Store | str | os.PathLike | None = None) -> Job:
    """The job with this id, or with the only id that begins so, from whichever process submitted it.

    Raises:
        LabError: the store has no such job, or several.
    """
    path = _store_path(store)
    with Store(path) as opened:
        return Job(opened.job(job_id)["id"], path)


def rerun(
    job_ids: Sequence[str],
    store: Store | str | os.PathLike | None = None,
    parallel: int | None = None,
    cluster: str | None = None,
    detach: bool = False,
    timeout: float | None = None,
) -> list[Job]:
    """Jobs that were lost, cancelled or failed are run again, under their ids, with their circuits, settings and seeds.

    Args:
        timeout: seconds that each may run; None is what each was submitted with.

    Raises:
        LabError: one of them is done or in flight, or ran on a backend object that the store cannot hold.
    """
    path = _store_path(store)
    placing.check_parallel(parallel)
    limit = {} if timeout is None else {"time_limit": checked_limit(timeout)}
    with Store(path) as opened:
        rows = {row["id"]: row | limit for row in map(opened.job, job_ids)}  # one may be named twice
        for record in map(judged, rows.values()):
            if record["state"] == "done" or record["state"] in IN_FLIGHT:
                raise LabError(f"job {record['id']} is {record['state']}: what is run again was lost, failed or cancelled")
            if not record["named"]:
                raise LabError(f"job {record['id']} ran on a backend object, which no store holds: submit its circuit again")
        mine = _claimed(opened, list(rows.values()))
    _set_off(mine, path, parallel, cluster, detach, {})
    return [Job(job_id, path) for job_id in rows]


def as_ended(jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs, each once it has ended, in the order in which they do."""
    left, waiting = {}, []
    for job in jobs:
        task = current().live.get(job.id)
        if task is None:
            waiting.append(job)
        else:
            left[task.future] = job
    while left or waiting:
        done, _ = concurrent.futures.wait(left, 0.0 if not left else SLICE_SECONDS, concurrent.futures.FIRST_COMPLETED)
        yield from [left.pop(future) for future in done]
        ended = [job for job in waiting if job.status() not in IN_FLIGHT]
        waiting = [job for job in waiting if job not in ended]
        yield from ended
        if waiting and not left:
            time.sleep(POLL_SECONDS)


def job_records(store: Store | str | os.PathLike | None = None, **equal: object) -> list[dict]:
    """Rows of all jobs, or of those whose fields equal these, newest first, without circuit and result."""
    with Store(_store_path(store)) as opened:
        return [judged(record) for record in opened.jobs(**equal)]


def judged(record: dict) -> dict:
    """The record, as lost where the process that ran the job ended before the job did."""
    if record["state"] not in IN_FLIGHT or is_alive(record["owner"]):
        return record
    reason = f"job {record['id']} was lost, the process that ran it ended before it was done: submit its circuit again"
    return record | {"state": "lost", "error": f"{reason}, or write `qml jobs rerun {record['id']}`"}


def _check_place(request: Request, is_elsewhere: bool, parallel: Any) -> None:
    if is_elsewhere and not request.is_named:
        raise LabError("another process cannot be given a backend object: name the backend, with plain options")
    placing.check_parallel(parallel)


def _records(
    request: Request, prepared: list, seed: int | None, single: bool, tag: str | None, sweep: Sweep | None
) -> list[dict]:
    """The rows of a submission's circuits, each with its own seed, and of a sweep with its values."""
    points = [None] * len(prepared) if sweep is None else sweep.points()
    drawn, records = drawn_seed() if seed is None else int(seed), []
    for number, (item, point) in enumerate(zip(prepared, points, strict=True)):
        record = request.record(item, drawn if single else seed_of(drawn, number))
        submission = records[0]["submission"] if records else record["id"]
        records.append(record | {"submission": submission, "number": number, "tag": tag, "parameters": point})
    return records


def _claimed(store: Store, records: list[dict]) -> list[dict]:
    """Those of the jobs that no other process took over just now."""
    claimed = set(store.claim(records, this_process()))
    return [record for record in records if record["id"] in claimed]


def _set_off(records: list[dict], path: Path, parallel: int | None, cluster: str | None, detach: bool, here: dict) -> None:
    with placing.failing(records, path):
        if detach:
            detached.start(path, [record["id"] for record in records], parallel, cluster)
        else:
            current().enqueue(placing.tasks(records, path, parallel, cluster, here))


def _run(request: Request, prepared: Any, seed: int, job_id: str) -> dict:
    return perform(request.backend, prepared.circuit, prepared.operators, request.shots, seed, job_id)


def _store_path(store: Store | str | os.PathLike | None) -> Path:
    if isinstance(store, Store):
        return store.path
    return default_path() if store is None else Path(store).expanduser().absolute()


def _outcome(future: concurrent.futures.Future, timeout: float | None) -> Result:
    """The future's result, waited for in slices.

    A Ctrl-C that arrives between Python's last look at signals and the wait itself would otherwise be seen when the wait
    is over, which may be never.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = SLICE_SECONDS if end is None else min(SLICE_SECONDS, max(0.0, end - time.monotonic()))
        concurrent.futures.wait([future], left)
        if future.done():
            return future.result()
        if end is not None and time.monotonic() >= end:
            raise TimeoutError
