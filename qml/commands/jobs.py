"""`qml jobs`: what was submitted, and its results again; jobs cancelled, run again, and removed."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from circuits.errors import LabError
from qml.wording import counted, some

STORE = typer.Option(help="The file that keeps jobs.")
JSON = typer.Option("--json", help="Print one JSON object a job, a line each.")
IDS = typer.Argument(metavar="ID...", help="Ids of jobs, or enough of their beginnings.")
STATES = ("queued", "running", "done", "failed", "cancelled", "lost")


def register(app: typer.Typer) -> None:
    """Add the commands of `jobs` to the application."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list")(list_jobs)
    for command in (show, result, cancel, rerun, gc):
        group.command()(command)
    app.add_typer(group, name="jobs", help="List submitted jobs, show their results again, cancel, rerun and remove them.")


def list_jobs(
    state: Annotated[str | None, typer.Option(help=f"Only those that are {', '.join(STATES)}.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those of this tag.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")] = None,
    store: Annotated[str | None, STORE] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """List all jobs, the newest first."""
    from qml.submission import report

    records = _chosen(store, None if state is None else [state], tag)[:limit]
    if json:
        for record in records:
            print(report.as_json(record))
    else:
        report.print_list(records)


def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="A job's id, or enough of its beginning.")],
    store: Annotated[str | None, STORE] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Print what is known of a job: its result, as `qml submit` did, or why there is none."""
    from qml.jobs import retrieve_job
    from qml.submission import report

    record = retrieve_job(job_id, store).record()
    print(report.as_json(record)) if json else report.print_job(record)


def result(
    job_ids: Annotated[list[str], IDS],
    wait: Annotated[bool, typer.Option(help="Wait for jobs that have not ended.")] = True,
    store: Annotated[str | None, STORE] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Wait for jobs and print their results; an error where one has none."""
    from qml.commands.submit import follow
    from qml.jobs import retrieve_job

    jobs = [retrieve_job(job_id, store) for job_id in job_ids]
    for job in [] if wait else jobs:
        if (state := job.status()) in ("queued", "running"):
            raise LabError(f"job {job.id} is {state}: leave out --no-wait to wait for it")
    try:
        follow(jobs, json, "their workers", cancels=False)
    except KeyboardInterrupt:
        raise typer.Abort from None


def cancel(job_ids: Annotated[list[str], IDS], store: Annotated[str | None, STORE] = None) -> None:
    """Cancel jobs that are queued or running, whichever process runs them."""
    from qml.jobs import retrieve_job

    found = (retrieve_job(job_id, store) for job_id in job_ids)
    jobs = {job.id: job for job in found}.values()  # one may be named twice
    ended = [job for job in jobs if not job.cancel()]
    for job in jobs:
        if job not in ended:
            print(f"{job.id} cancelled")
    for job in ended:
        raise LabError(f"job {job.id} had ended, it is {job.status()}: nothing to cancel")


def rerun(
    job_ids: Annotated[list[str] | None, IDS] = None,
    lost: Annotated[bool, typer.Option("--lost", help="All jobs whose process ended before they did.")] = False,
    parallel: Annotated[int | None, typer.Option(help="How many circuits may run at once.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that each may run, in place of its own.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave; a process of its own runs them.")] = False,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler whose workers run them.")] = None,
    store: Annotated[str | None, STORE] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Run jobs again that were lost, cancelled or failed, under their ids, with their settings and seeds."""
    from qml.commands.submit import follow
    from qml.jobs import rerun as again

    records = _chosen(store, ["lost"], None)[::-1] if lost else []
    ids = [*(job_ids or []), *(record["id"] for record in records if record["named"])]
    if not ids and not lost:
        raise LabError("no job was given: write `qml jobs rerun ID`, or `qml jobs rerun --lost`")
    if objects := [record["id"] for record in records if not record["named"]]:
        print(f"left out: {some(objects)} ran on a backend object, which no store holds: submit again", file=sys.stderr)
    jobs = again(ids, store, parallel, cluster, detach, timeout)
    if detach or not jobs:
        print("\n".join(job.id for job in jobs) or f"no {'other ' if objects else ''}job was lost")
        return
    follow(jobs, json, "this machine" if cluster is None else cluster)


def gc(
    days: Annotated[float, typer.Option(help="Those that were submitted more than so many days ago.")] = 30.0,
    done: Annotated[bool, typer.Option("--done", help="Also those that are done, with their results.")] = False,
    tag: Annotated[str | None, typer.Option(help="Only those of this tag.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many, and remove none.")] = False,
    store: Annotated[str | None, STORE] = None,
) -> None:
    """Remove jobs that failed, were cancelled or were lost, and with --done all that ended; none in flight."""
    from qml.jobs import judged
    from qml.store import Store

    if not days >= 0:
        raise LabError(f"--days must be a number of at least 0, got {days:g}")
    before = (datetime.now(UTC) - timedelta(days=min(days, 36500))).isoformat(timespec="milliseconds")
    states = ["failed", "cancelled", "lost", *(["done"] if done else [])]
    what = f"({', '.join(states)}) older than {days:g} days"
    with Store(store) as opened:
        old = [row for row in opened.jobs(**_tagged(tag)) if row["created"] <= before and judged(row)["state"] in states]
        if dry_run:
            print(f"would remove {counted(len(old), 'job')} {what}")
            return
        removed = opened.remove(old)
        opened.compact()
    print(f"removed {counted(removed, 'job')} {what}")


def _chosen(store: str | None, states: list[str] | None, tag: str | None) -> list[dict]:
    """Rows of the jobs in these states, newest first."""
    from circuits.errors import UnknownName
    from qml.jobs import job_records

    for state in states or ():
        if state not in STATES:
            raise UnknownName("state of a job", state, STATES)
    records = job_records(store, **_tagged(tag))
    return [record for record in records if states is None or record["state"] in states]


def _tagged(tag: str | None) -> dict[str, str]:
    return {} if tag is None else {"tag": tag}
