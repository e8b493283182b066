"""Circuits run in the background, each a row of the store that can be read again after a restart."""

import concurrent.futures
import io
import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ControlFlowOp
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError
from circuits.observables import Observable, as_list
from qml.backends.base import Backend, check_shots, resolve
from qml.circuit_files import check_circuit
from qml.job_process import SimulatorProcess, as_request, perform
from qml.job_queue import Result, Task, enqueue, is_alive, live, this_process
from qml.store import Store, default_path, now

LARGE = 15  # qubits from which a native job is worth a process of its own: stopping it stops the work
IN_FLIGHT = ("queued", "running")
SLICE_SECONDS = 0.5  # of a wait, after which signals are looked at again
POLL_SECONDS = 0.05
PLAIN = (str, int, float, bool, dict, type(None))
LARGEST_SEED = 2**63 - 1  # what SQLite's integers hold
_simulator = SimulatorProcess()


class Job:
    """A submitted circuit: `id`, `status()`, `result()`, `cancel()`; made by `submit` and `retrieve_job`."""

    def __init__(self, job_id: str, path: Path):
        self.id, self._path = job_id, path

    def __repr__(self) -> str:
        return f"<Job {self.id}: {self.status()}>"

    def record(self) -> dict:
        """The job's row in the store, its state "lost" where the process that ran it is gone."""
        with Store(self._path) as store:
            return _judged(store.job(self.id))

    def status(self) -> str:
        """queued, running, done, failed, cancelled or lost."""
        return self.record()["state"]

    def result(self, timeout: float | None = None) -> Result:
        """What the job found, when it is done.

        Args:
            timeout: seconds to wait at most; None waits as long as it takes.

        Raises:
            LabError: the job failed, was cancelled or was lost, with the reason.
            TimeoutError: it is not done yet.
        """
        task = live(self.id)
        if task is None:
            return self._stored_result(timeout)
        try:
            return _outcome(task.future, timeout)
        except concurrent.futures.CancelledError:
            raise LabError(_cancelled(self.id)) from None
        except TimeoutError:
            raise TimeoutError(f"job {self.id} is not done after {timeout} s") from None

    def _stored_result(self, timeout: float | None) -> Result:
        end = None if timeout is None else time.monotonic() + timeout
        while (record := self.record())["state"] in IN_FLIGHT:
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(f"job {self.id} is not done after {timeout} s")
            time.sleep(POLL_SECONDS)
        if record["state"] == "cancelled":
            raise LabError(_cancelled(self.id))
        if record["state"] != "done":
            raise LabError(record["error"])
        return Result.from_plain(record["result"])

    def cancel(self) -> bool:
        """True where the job was still queued or running and will deliver nothing; False where it had ended.

        Raises:
            LabError: another process runs it.
        """
        task = live(self.id)
        if task is not None:
            return task.cancel()
        record = self.record()
        if record["state"] in IN_FLIGHT:
            owner = record["owner"]
            raise LabError(f"job {self.id} runs in process {owner['pid']} on {owner['host']}: cancel it there")
        return False


def submit(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str | Backend | Any = "native",
    shots: int | None = 1024,
    seed: int | None = None,
    observables: Observable | Sequence[Observable] | None = None,
    noise: Any = None,
    store: Store | str | os.PathLike | None = None,
    **options: Any,
) -> "Job | list[Job]":
    """Queue circuits to run in the background, and return at once: a Job for a circuit, a list for a list.

    Args:
        circuits: without free parameters; one that measures nothing is measured on all its qubits.
        backend: a backend's name ("native", "aer", "pennylane", "qiskit") or an object `resolve` knows.
        shots: how often each circuit is run (with observables: in each measurement basis); None is exact.
        seed: the same seed gives the same result; None draws one and records it. Circuits of a list draw from
            streams of their own, keyed by their place in it.
        observables: Pauli labels, sums such as "0.5*ZZI + XII", SparsePauliOps: estimated, no counts.
        noise: a `qiskit_aer.noise.NoiseModel`, or the probability of depolarizing after each gate; aer only.
        store: a Store or its path; None is the default store.
        options: what else the backend takes, such as device="GPU".

    Raises:
        UnknownName: no backend of that name.
        Unsupported: the backend has no such option.
        LabError: what is wrong with the circuits, observables, shots, seed or store.
    """
    _check_request(shots, seed, observables)
    resolved = resolve(backend, noise=_noise_model(noise), **options)
    single = isinstance(circuits, QuantumCircuit)
    prepared = [_prepared(circuit, observables) for circuit in ([circuits] if single else circuits)]
    seed = _drawn_seed() if seed is None else int(seed)
    path, given = _store_path(store), _described(options, noise)
    named = isinstance(backend, str) and all(isinstance(value, PLAIN) for value in options.values())
    tasks = []
    with Store(path) as opened:
        for number, (circuit, operators) in enumerate(prepared):
            record = _new_record(circuit, operators, shots, seed if single else _seed_of(seed, number))
            record |= {"backend": resolved.name, "options": given}
            opened.add_job(record)
            run = (resolved, circuit, operators, record["shots"], record["seed"])
            tasks.append(_task(record, path, partial(perform, *run), named))
    enqueue(tasks)
    jobs = [Job(task.job_id, path) for task in tasks]
    return jobs[0] if single else jobs


def retrieve_job(job_id: str, store: Store | str | os.PathLike | None = None) -> Job:
    """The job with this id, or with the only id that begins so, from whichever process submitted it.

    Raises:
        LabError: the store has no such job, or several.
    """
    path = _store_path(store)
    with Store(path) as opened:
        return Job(opened.job(job_id)["id"], path)


def job_records(store: Store | str | os.PathLike | None = None) -> list[dict]:
    """Every job's row, newest first, without circuit and result."""
    with Store(_store_path(store)) as opened:
        return [_judged(record) for record in opened.jobs()]


def _judged(record: dict) -> dict:
    """The record, as lost where the process that ran the job ended before the job did."""
    if record["state"] not in IN_FLIGHT or is_alive(record["owner"]):
        return record
    return record | {"state": "lost", "error": _lost(record["id"])}


def _check_request(shots: int | None, seed: int | None, observables: Any) -> None:
    if shots is None and observables is None:
        raise LabError("shots=None means exact expectation values: give observables, or a number of shots for counts")
    if shots is not None:
        check_shots(shots)
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if seed is not None and not (whole and 0 <= seed <= LARGEST_SEED):
        raise LabError(f"seed must be a whole number from 0 to 2^63 - 1, or None to draw one, got {seed!r}")


def _noise_model(noise: Any) -> Any:
    if isinstance(noise, int | float) and not isinstance(noise, bool):
        from qml.noise import depolarizing

        return depolarizing(noise)
    if noise is not None and not hasattr(noise, "to_dict"):
        raise LabError(f"noise is a probability or a qiskit_aer.noise.NoiseModel, got {noise!r}")
    return noise


def _drawn_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0] >> 1)


def _seed_of(seed: int, number: int) -> int:
    """The seed of one circuit of a list: 31 bits, which every simulator takes."""
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0] >> 1)


def _store_path(store: Store | str | os.PathLike | None) -> Path:
    if isinstance(store, Store):
        return store.path
    return default_path() if store is None else Path(store).expanduser().absolute()


def _prepared(circuit: Any, observables: Any) -> tuple[QuantumCircuit, list[SparsePauliOp] | None]:
    """The circuit that runs, and the operators to estimate (None: counts)."""
    if not isinstance(circuit, QuantumCircuit):
        raise LabError(f"a job is a qiskit QuantumCircuit, got {type(circuit).__name__}")
    check_circuit(circuit, f"circuit {circuit.name!r}")
    if observables is not None:
        operators = as_list(observables, circuit.num_qubits)
        return circuit.remove_final_measurements(inplace=False), operators
    return circuit if _measures(circuit) else _measured(circuit), None


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    """A copy with every qubit measured at its end."""
    if any(instruction.clbits for instruction in circuit.data):
        return circuit.measure_all(inplace=False)
    # Classical bits that nothing was measured into would only pad every outcome with zeros.
    bare = QuantumCircuit(circuit.qubits, *circuit.qregs, name=circuit.name, global_phase=circuit.global_phase)
    for instruction in circuit.data:
        bare.append(instruction)
    bare.measure_all()
    return bare


def _task(record: dict, path: Path, here: Callable[[], dict], named: bool) -> Task:
    """The job's task: small circuits on our own engine run in a thread, the rest in a process that can be stopped."""
    is_quick = record["backend"] == "native" and record["n_qubits"] < LARGE
    if is_quick or not named:
        return Task(record["id"], path, here)
    return Task(record["id"], path, partial(_simulator.perform, as_request(record)), _simulator.stop)


def _measures(circuit: QuantumCircuit) -> bool:
    for operation in (instruction.operation for instruction in circuit.data):
        if operation.name == "measure":
            return True
        inside = operation.blocks if isinstance(operation, ControlFlowOp) else [getattr(operation, "definition", None)]
        # A gate is unitary: looking into its definition would find nothing, slowly.
        if operation.num_clbits and any(block is not None and _measures(block) for block in inside):
            return True
    return False


def _new_record(circuit: QuantumCircuit, operators: list[SparsePauliOp] | None, shots: int | None, seed: int) -> dict:
    packed = io.BytesIO()
    qpy.dump(circuit, packed)
    return {
        "id": secrets.token_hex(6),
        "created": now(),
        "state": "queued",
        "name": circuit.name,
        "n_qubits": circuit.num_qubits,
        "shots": None if shots is None else int(shots),
        "seed": seed,
        "observables": None if operators is None else [_text(operator) for operator in operators],
        "circuit": packed.getvalue(),
        "owner": this_process(),
    }


def _text(operator: SparsePauliOp) -> str:
    """The sum as `circuits.observables.parse` reads it, every coefficient exact."""
    words = []
    for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs.real.tolist()):
        size = "" if abs(coefficient) == 1 else f"{abs(coefficient)!r}*"
        words.append(f"{'-' if coefficient < 0 else '+'} {size}{label}")
    return " ".join(words).removeprefix("+ ")


def _described(options: dict, noise: Any) -> dict:
    noise = noise.to_dict(serializable=True) if hasattr(noise, "to_dict") else noise
    given = {key: value for key, value in {**options, "noise": noise}.items() if value is not None}
    return {key: value if isinstance(value, PLAIN) else repr(value) for key, value in given.items()}


def _lost(job_id: str) -> str:
    return f"job {job_id} was lost, the process that ran it ended before it was done: submit its circuit again"


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


def _cancelled(job_id: str) -> str:
    return f"job {job_id} was cancelled: submit its circuit again to have a result"
