"""`qml submit FILE`: run a circuit file on a simulator, wait, and print counts or expectation values."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from circuits.errors import LabError, Unsupported
from qml.cli import INTERRUPTED


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(submit)


def submit(
    file: Annotated[str | None, typer.Argument(help="OpenQASM 2 or 3, or QPY; - is standard input.", metavar="FILE")] = None,
    backend: Annotated[str, typer.Option(help="See `qml backends`.")] = "native",
    device: Annotated[str | None, typer.Option(help="GPU or CPU for aer; a device's name for pennylane or qiskit.")] = None,
    shots: Annotated[int, typer.Option(help="Runs of the circuit (of each measurement basis).")] = 1024,
    exact: Annotated[bool, typer.Option("--exact", help="With --observable: exact values, no shots.")] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same result.")] = None,
    noise: Annotated[float | None, typer.Option(help="Depolarizing probability after each gate (aer only).")] = None,
    observable: Annotated[
        list[str] | None, typer.Option(help="Such as ZZI or '0.5*ZZI + XII', qubit 0 rightmost; repeatable.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="The file that keeps jobs.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a device would get, send nothing.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print that document's JSON Schema and stop.")] = False,
) -> None:
    """Run a circuit on a simulator and print its counts, or expectation values with --observable."""
    from qml import job_report

    if schema:
        print(job_report.schema(), end="")
        return
    if file is None:
        raise LabError("no circuit was given: write `qml submit FILE`, or `qml submit -` for standard input")
    if noise is not None and backend != "aer":
        raise Unsupported(f"--noise works on backend aer, got --backend {backend}: write --backend aer")
    if exact and not observable:
        raise LabError("--exact gives expectation values, and no --observable was given: write --observable ZZ")
    if dry_run:
        from qml.dry_run import print_dry_run

        print_dry_run(file, backend, device, None if exact else shots, observable or None, json)
        return
    records = _run(
        file, store, backend=backend, device=device, shots=None if exact else shots, seed=seed, noise=noise,
        observables=observable or None,
    )  # fmt: skip
    _report(records, json)


def _run(file: str, store: str | None, **request: object) -> list[dict]:
    """The records of the file's jobs, all ended."""
    from qml import jobs
    from qml.circuit_files import load

    circuits = load(file)
    submitted = jobs.submit(circuits[0] if len(circuits) == 1 else circuits, store=store, **request)
    submitted = submitted if isinstance(submitted, list) else [submitted]
    try:
        with _spinner(f"running {len(submitted)} circuit{'s' * (len(submitted) > 1)} on {request['backend']} ..."):
            return [_ended(job) for job in submitted]
    except KeyboardInterrupt:
        _leave(submitted)


def _leave(submitted: list) -> NoReturn:
    """Cancel the jobs and end at once: an ordinary end would wait for a simulation that nothing can stop."""
    for job in submitted:
        job.cancel()
    ids = ", ".join(job.id for job in submitted)
    print(f"error: interrupted: job {ids} is cancelled, write the same command to run it again", file=sys.stderr)
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _ended(job) -> dict:
    try:
        job.result()
    except LabError:
        record = job.record()
        if record["state"] in ("queued", "running"):  # the store is at fault: the row cannot say so
            raise
        return record
    return job.record()


def _spinner(message: str):
    """A moving line on a terminal, nothing where standard error goes elsewhere."""
    from contextlib import nullcontext

    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(message)


def _report(records: list[dict], json: bool) -> None:
    from qml import job_report

    if json:
        print(job_report.as_json(records))
    for record in records:
        if record["state"] == "done" and not json:
            job_report.print_job(record)
    for record in records:
        if record["state"] != "done":
            raise LabError(f"job {record['id']} {record['state']}: {record['error']}")
