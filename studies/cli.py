"""The `studies` command: list the questions, run one, show what was found, write it all up on one page."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from qml.cli import run as run_program

app = typer.Typer(
    name="studies",
    help="Measure barren plateaus and gradients: one question a study, answered with an interval.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Name = Annotated[str, typer.Argument(help="A study's name, from `studies list`.")]
StorePath = Annotated[
    Path | None, typer.Option("--store", help="The results store (default: QML_LAB_STORE, else the user's data folder).")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the figure and the rows as CSV.")]
Circuit = Annotated[str | None, typer.Option("--circuit", metavar="FILE", help="A circuit of your own, OpenQASM or QPY.")]
Observable = Annotated[
    str | None, typer.Option("--observable", metavar="TEXT", help="What to measure on it, such as 'ZZI + 0.5*XII'.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
RESULTS = Path("results")


@app.command("list")
def list_studies(store: StorePath = None, as_json: AsJson = False) -> None:
    """The studies there are, their questions, and how much of each is stored."""
    from qml.store import Store
    from studies.base import load, names

    with Store(store) as results:
        counts = {name: cases for name, cases, _ in results.studies()}
    lines = [
        {
            "study": name,
            "question": load(name).question,
            "minutes": load(name).facts.get("Minutes", ""),
            "stored cases": counts.get(name, 0),
        }
        for name in names()
    ]
    if as_json:
        print(json.dumps(lines, indent=2))
    else:
        _print_table(lines)


@app.command()
def run(
    name: Name,
    quick: Annotated[bool, typer.Option("--quick", help="The small preset: a minute at most.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."),
    ] = None,
    circuit: Circuit = None,
    observable: Observable = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one per usable core).")] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler to work on.")] = None,
    store: StorePath = None,
    out: Out = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Compute what is not stored yet, then print the table, the verdict and where the figure is."""
    from qml.store import Store
    from studies.base import load
    from studies.execution import execute
    from studies.outcome import record

    study, own = on_own_circuit(load(name), circuit, observable)
    settings = study.settings(quick, [*own, *(assignments or ())])
    cases = study.module.cases(settings)
    with Store(store) as results:
        ids, computed = execute(study, cases, results, workers, cluster)
        outcome = record(results, study, settings, ids)
    _present(outcome, out, as_json, {"total": len(ids), "computed": computed})


@app.command()
def show(
    name: Name,
    circuit: Circuit = None,
    observable: Observable = None,
    store: StorePath = None,
    out: Out = RESULTS,
    as_json: AsJson = False,
) -> None:
    """A finished run of a study, with its default settings if there is one; nothing is computed."""
    from circuits.errors import LabError
    from qml.store import Store
    from studies.base import load
    from studies.outcome import latest, one_of_each

    study, own = on_own_circuit(load(name), circuit, observable)
    wanted = dict(text.split("=", 1) for text in own)
    with Store(store) as results:
        is_meant = study.module.is_of_the_file if circuit else bool
        outcome = latest(results, study, wanted, is_meant)
        finished = len(results.case_ids(study.name))
        others = [other.name for other in one_of_each(results, study)] if outcome is None and own else []
    if outcome is None and others:
        raise LabError(f"no finished run is on that circuit and observable; there are {', '.join(others)}")
    if outcome is None:
        state = f"{finished} cases are stored but no run is finished" if finished else "nothing is stored"
        raise LabError(f"{state} of {study.name}: write `studies run {study.name}`, or --quick for a small one")
    _present(outcome, out, as_json, {"total": finished, "computed": 0})


@app.command()
def report(
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = RESULTS / "report.html",
    store: StorePath = None,
) -> None:
    """One self-contained HTML page of every study with a finished run."""
    from circuits.errors import LabError
    from qml.store import Store
    from studies.base import load, names
    from studies.outcome import one_of_each
    from studies.report import readable, write

    with Store(store) as results:
        stored = [outcome for name in names() for outcome in one_of_each(results, load(name))]
    outcomes, reasons = readable(stored)
    for reason in reasons:
        print(f"left out: {reason}", file=sys.stderr)
    if not outcomes:
        raise LabError("no study has a finished run yet: write `studies run NAME --quick`, names by `studies list`")
    out = out / "report.html" if out.is_dir() else out
    write(outcomes, out)
    shown = len({outcome.study.name for outcome in outcomes})
    print(f"Report: {out} ({shown} of {len(names())} studies)")


def on_own_circuit(study, circuit: str | None, observable: str | None):
    """The study that answers for a circuit of one's own, and the settings that name it.

    Raises:
        LabError: the study takes no circuit.
    """
    from circuits.errors import LabError
    from studies.base import load

    own = [f"{key}={value}" for key, value in (("circuit", circuit), ("observable", observable)) if value is not None]
    if own and circuit is None and study.name == "barren_plateaus":
        raise LabError("--observable needs a circuit to be measured on: write --circuit FILE as well")
    if own and study.name == "barren_plateaus":
        study = load("own_circuit")
    if own and study.name != "own_circuit":
        raise LabError(f"{study.name} has circuits of its own: `studies run barren_plateaus --circuit FILE` takes yours")
    return study, own


def _present(outcome, out: Path, as_json: bool, cases: dict) -> None:
    picture, rows = outcome.save(out)
    if as_json:
        found = {
            "study": outcome.study.name,
            "question": outcome.study.question,
            "settings": outcome.settings,
            "cases": cases,
            "table": outcome.table,
            "verdict": outcome.verdict,
            "figure": str(picture),
            "rows": str(rows),
            "provenance": outcome.provenance,
        }
        print(json.dumps(found, indent=2))
        return
    _print(f"\n{outcome.study.question}\n")
    _print_table(outcome.table)
    _print(f"\nVerdict: {outcome.verdict}\n")
    print(f"Figure: {picture}\nRows:   {rows}")


def _console():
    from rich.console import Console

    # Into a pipe or a file nothing is folded to the width of a terminal that is not there.
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _print(text: str) -> None:
    _console().print(text, markup=False, soft_wrap=not sys.stdout.isatty())


def _print_table(lines: list[dict]) -> None:
    from rich.table import Table

    from studies.report import cell

    if not lines:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, value in lines[0].items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for line in lines:
        table.add_row(*(cell(value) for value in line.values()))
    _console().print(table)


def main() -> None:
    """Entry point of the `studies` console script."""
    run_program(app)
