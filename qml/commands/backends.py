"""`qml backends`: the simulators a circuit can run on, and what to install for those that are missing."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(backends)


def backends(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the backends: what each can do, and whether it is installed (`qml doctor` tries them)."""
    from json import dumps

    found = _found()
    if json:
        print(dumps({"backends": found}, indent=2))
    else:
        _print(found)


def _found() -> list[dict]:
    from circuits.families import member, members
    from qml.backends.base import FAMILY

    return [_described(member(FAMILY, name, "backend").BACKEND) for name in members(FAMILY)]


def _described(cls: type) -> dict:
    from importlib.util import find_spec

    module, install = cls.requires or (None, None)
    installed = module is None or find_spec(module) is not None
    return {
        "name": cls.name,
        "installed": installed,
        "exact": cls.exact,
        "shots": True,  # the contract asks every backend to sample
        "adjoint": cls.adjoint,
        "summary": cls.summary,
        "install": None if installed else install,
    }


def _print(found: list[dict]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = ("name", "installed", "exact", "shots", "adjoint")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in (*columns, "what it is"):
        table.add_column(heading, no_wrap=heading in columns)
    for row in found:
        words = [{True: "yes", False: "no"}.get(row[key], row[key]) for key in columns]
        table.add_row(*map(Text, [*words, row["summary"]]))
    Console().print(table)
    for row in found:
        if not row["installed"]:  # below the table, where no column breaks what is to be copied
            print(f"{row['name']} is not installed: {row['install']}")
