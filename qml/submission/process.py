"""Running one circuit, here or in a process of its own.

Aer holds Python's interpreter lock for the whole of a simulation, so in a thread it would freeze the program:
no Ctrl-C, no time limit, no progress. In a process of its own it can also be stopped, and may crash or be
killed for its memory without taking the program along. The two speak JSON, a line each way, over pipes.
"""

import base64
import contextlib
import ctypes
import io
import json
import os
import signal
import subprocess
import sys
from functools import lru_cache
from typing import Any

from circuits.errors import LabError
from qml.child_process import ChildProcess, launched

PR_SET_PDEATHSIG = 1


def perform(backend: Any, circuit: Any, operators: list | None, shots: int | None, seed: int, job_id: str) -> dict:
    """What a backend finds, as JSON holds it: counts without operators, else values and standard errors.

    A standard error that is not known (one shot) is None.
    """
    backend = backend.tagged(f"qml-job:{job_id}")
    if operators is None:
        return {"counts": backend.counts(circuit, shots, seed)}
    values, errors = backend.estimate(circuit, operators, shots, seed)
    known = [None if error != error else float(error) for error in errors]
    return {"values": [float(value) for value in values], "standard_errors": known}


class SimulatorProcess(ChildProcess):
    """A process that performs one request after the other, started when it is needed."""

    def prepare(self, request: dict) -> None:
        """The process runs, and has the backend that a request of `as_request` names.

        Raises:
            LabError: as `perform` would.
        """
        self.perform({name: request[name] for name in ("backend", "options")})

    def perform(self, request: dict) -> dict:
        """The reply to a request of `as_request`.

        Raises:
            LabError: what the backend raised, or that the process ended on the way.
        """
        process = self._running()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, ValueError):  # ended before, or just now
            line = ""
        if not line:
            raise LabError(f"the simulator's process {_ending(process.wait())}: use fewer qubits or fewer shots")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(reply["error"])
        return reply

    def _started(self) -> subprocess.Popen:
        return launched("qml.submission.process", text=True, encoding="utf-8")


def as_request(record: dict) -> dict:
    """The request that a job's row of the store describes."""
    names = ("id", "backend", "options", "observables", "shots", "seed")
    return {name: record[name] for name in names} | {"circuit": base64.b64encode(record["circuit"]).decode()}


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (" (too little memory, as a rule)" if name == "SIGKILL" else "")


def _serve() -> None:
    """Answer requests until the pipe closes."""
    die_with_parent()
    # Whatever a library prints goes to standard error: standard output carries the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except LabError as error:
            reply = {"error": str(error)}
        except Exception as error:
            reply = {"error": one_line(error)}
        try:
            replies.write(json.dumps(reply) + "\n")
            replies.flush()
        except BrokenPipeError:  # whoever asked was killed
            os._exit(1)


def answer(request: dict) -> dict:
    """What the backend that a request of `as_request` names finds; without a circuit nothing, but it is prepared."""
    from qiskit import qpy

    from circuits.observables import parse

    backend = _backend(request["backend"], json.dumps(request["options"], sort_keys=True))
    if "circuit" not in request:
        backend.prepare()
        return {}
    circuit = qpy.load(io.BytesIO(base64.b64decode(request["circuit"])))[0]
    texts = request["observables"]
    operators = None if texts is None else [parse(text) for text in texts]
    return perform(backend, circuit, operators, request["shots"], request["seed"], request["id"])


@lru_cache(maxsize=8)
def _backend(name: str, options: str) -> Any:
    """Made once for thousands of circuits: what it found out about its simulator is kept."""
    from qml.backends.base import resolve
    from qml.noise import as_model

    given = json.loads(options)
    return resolve(name, **given | {"noise": as_model(given.get("noise"))})


def one_line(error: BaseException) -> str:
    """An error that was not foreseen, as one line."""
    if isinstance(error, MemoryError):
        return "the simulator ran out of memory: use fewer qubits or fewer shots"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def die_with_parent() -> None:
    """This process ends when the thread that started it does, or its process, where the system can see to that."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
