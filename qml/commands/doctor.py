"""`qml doctor`: what is installed, what really runs here, and which known faults apply."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(doctor)


def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show versions, devices and backends (each tried by a real run), the store, and known faults."""
    from json import dumps

    from qml import diagnosis

    report = diagnosis.doctor()
    if json:
        print(dumps(report.as_dict(), indent=2))
    else:
        _print(report.lines())


def _print(lines: list[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "no": "red", "!": "yellow"}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for mark, name, says in lines:
        table.add_row(Text(mark, style=styles.get(mark, "")), Text(name), Text(says))
    Console().print(table)
