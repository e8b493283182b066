"""`qml submit FILE...`: run circuit files on a simulator, wait, and print counts or expectation values."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from circuits.errors import LabError, Unsupported
from qml.cli import INTERRUPTED

SHOTS = 1024  # unless said otherwise


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(submit)


def submit(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="OpenQASM 2 or 3, or QPY of any number of circuits; folders of them; - is standard input.",
                       metavar="FILE..."),
    ] = None,
    backend: Annotated[str, typer.Option(help="See `qml backends`.")] = "native",
    device: Annotated[str | None, typer.Option(help="GPU or CPU for aer; a device's name for pennylane or qiskit.")] = None,
    method: Annotated[str | None, typer.Option(help="Of aer: statevector, density_matrix, stabilizer ...")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, handed to the backend, such as precision=single; repeatable.")
    ] = None,
    shots: Annotated[int | None, typer.Option(help="Runs of the circuit (of each basis).", show_default=str(SHOTS))] = None,
    exact: Annotated[bool, typer.Option("--exact", help="With --observable: exact values, no shots.")] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same result.")] = None,
    noise: Annotated[
        str | None,
        typer.Option(help="Depolarizing probability after each gate, a noise model's file, or a device's name (aer only)."),
    ] = None,
    observable: Annotated[
        list[str] | None, typer.Option(help="Such as ZZI or '0.5*ZZI + XII', qubit 0 rightmost; repeatable.")
    ] = None,
    values: Annotated[str | None, typer.Option(help="CSV, a circuit a line; the first line may name parameters.")] = None,
    parallel: Annotated[int | None, typer.Option(help="How many circuits may run at once.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that each circuit may run.")] = None,
    tag: Annotated[str | None, typer.Option(help="A name; the same command again goes on from there.")] = None,
    reuse: Annotated[bool, typer.Option("--reuse", help="Answer from the store what was run before.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Print ids and leave; a process of its own runs them.")] = False,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler whose workers run them.")] = None,
    store: Annotated[str | None, typer.Option(help="The file that keeps jobs.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a device would get, send nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a job, a line each, as they end.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print that object's JSON Schema and stop.")] = False,
) -> None:  # fmt: skip
    """Run circuits on a simulator and print their counts, or expectation values with --observable."""
    from qml.submission import report

    if schema:
        print(report.schema(), end="")
        return
    _check(files, backend, noise, exact, observable)
    shots = _shots(exact, shots)
    options = {"device": device, "method": method, **_options(option or [])}
    if dry_run:
        from qml.dry_run import print_dry_run

        print_dry_run(*_circuits(files, values), backend, options, shots, observable or None, json)
        return
    jobs = _submitted(
        files, values, backend=backend, shots=shots, seed=seed, noise=_noise(noise), store=store,
        observables=observable or None, parallel=parallel, timeout=timeout, tag=tag, reuse=reuse, detach=detach,
        cluster=cluster, **options,
    )  # fmt: skip
    if detach:
        print("\n".join(job.id for job in jobs))
        return
    follow(jobs, json, backend if cluster is None else f"{backend} at {cluster}")


def _shots(exact: bool, shots: int | None) -> int | None:
    if exact and shots is not None:
        raise LabError("--exact has no shots: leave --shots away, or --exact")
    return SHOTS if shots is None and not exact else shots


def _check(files: list[str] | None, backend: str, noise: str | None, exact: bool, observables: list[str] | None) -> None:
    if not files:
        raise LabError("no circuit was given: write `qml submit FILE`, or `qml submit -` for standard input")
    if noise is not None and backend != "aer":
        raise Unsupported(f"--noise works on backend aer, got --backend {backend}: write --backend aer")
    if exact and not observables:
        raise LabError("--exact gives expectation values, and no --observable was given: write --observable ZZ")


def follow(jobs: list, json: bool, where: str, cancels: bool = True) -> None:
    """Print every job's result, as they end with `json`, else in their order; what has none is an error at the end.

    Args:
        where: what the bar says of the place they run.
        cancels: whether Ctrl-C cancels them; else it is the caller's.
    """
    from qml.jobs import as_ended
    from qml.submission import report
    from qml.submission.progress import followed

    records = {}
    title = f"running {len(jobs):,} circuit{'s' * (len(jobs) > 1)} on {where}"
    try:
        for job in followed(as_ended(jobs), len(jobs), title):
            records[job.id] = _record(job)
            if json:
                print(report.as_json(records[job.id]), flush=True)
    except KeyboardInterrupt:
        if not cancels:
            raise
        _leave(jobs)
    ordered = [records[job.id] for job in dict.fromkeys(jobs)]
    if not json:
        report.print_jobs(ordered)
    without = [record for record in ordered if record["state"] != "done"]
    for record in without[:1]:
        more = f" (and {len(without) - 1:,} more without a result: `qml jobs list`)" if len(without) > 1 else ""
        raise LabError(f"job {record['id']} {record['state']}: {record['error']}{more}")


def _circuits(files: list[str], values: str | None) -> tuple[list, object]:
    """The circuits of all files, and the values of a sweep of the only one, a line for each row."""
    from qml.circuit_files import load_all, read
    from qml.submission.sweep import read_csv

    circuits = load_all(files, parameters=values is not None)
    if values is None:
        return circuits, None
    if len(circuits) != 1:
        raise LabError(f"--values is a sweep of one circuit, got {len(circuits):,}: submit each with its own")
    return circuits, read_csv(read(values, "give a CSV of numbers"), values, circuits[0])


def _submitted(files: list[str], values: str | None, **request: object) -> list:
    """The jobs of all files; with values, one for each row."""
    from qml.jobs import submit

    circuits, table = _circuits(files, values)
    jobs = submit(circuits[0] if len(circuits) == 1 else circuits, parameter_values=table, **request)
    return jobs if isinstance(jobs, list) else [jobs]


def _noise(text: str | None) -> object:
    from qml.noise import read

    return None if text is None else read(text)


def _options(given: list[str]) -> dict[str, object]:
    """NAME=VALUE, where the value is JSON (true, 3, 0.5) or else text."""
    import json
    from contextlib import suppress

    options = {}
    for text in given:
        name, is_there, value = text.partition("=")
        if not is_there or not name.isidentifier() or name in ("device", "method", "noise", "shots", "seed", "simulator"):
            raise LabError(f"--option takes NAME=VALUE for what has no option of its own here, got {text!r}")
        with suppress(ValueError):
            value = json.loads(value)
        options[name] = value
    return options


def _leave(submitted: list) -> NoReturn:
    """Cancel this process's jobs and end at once: an ordinary end would wait for a simulation that nothing can stop."""
    from qml.wording import counted, some

    cancelled = {job.id: job for job in submitted if job.runs_here() and job.cancel()}
    others = sum(job.status() in ("queued", "running") for job in submitted if job.id not in cancelled)
    said = [f"job {some([*cancelled])} is cancelled"] if cancelled else []
    said += [f"what other processes run goes on ({counted(others, 'job')})"] if others else []
    what = ", ".join(said) or "every job had ended"
    print(f"error: interrupted: {what}, write the same command to run it again", file=sys.stderr)
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _record(job) -> dict:
    """The row of a job that has ended."""
    record = job.record()
    if record["state"] not in ("queued", "running"):
        return record
    try:
        job.result()  # another process took it over, or the store is at fault: the row cannot say so
    except LabError:
        if job.status() in ("queued", "running"):
            raise
    return job.record()
