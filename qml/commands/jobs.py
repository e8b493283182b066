"""`qml jobs`: what was submitted, and its results again."""

from typing import Annotated

import typer

STORE = typer.Option(help="The file that keeps jobs.")
JSON = typer.Option("--json", help="Print one JSON document.")


def register(app: typer.Typer) -> None:
    """Add the commands `jobs list` and `jobs show` to the application."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list")(list_jobs)
    group.command("show")(show)
    app.add_typer(group, name="jobs", help="List submitted jobs, and show their results again.")


def list_jobs(
    store: Annotated[str | None, STORE] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """List all jobs, the newest first."""
    from qml import job_report
    from qml.jobs import job_records

    records = job_records(store)
    if json:
        print(job_report.as_json(records))
    else:
        job_report.print_list(records)


def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="A job's id, or enough of its beginning.")],
    store: Annotated[str | None, STORE] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Print a job's result, as `qml submit` did."""
    from qml import job_report
    from qml.jobs import retrieve_job

    record = retrieve_job(job_id, store).record()
    if json:
        print(job_report.as_json([record]))
    else:
        job_report.print_job(record)
