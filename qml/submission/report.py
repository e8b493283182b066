"""Jobs on the screen: tables for people, JSON lines for programs (qml/schemas/submit.json)."""

import json
from importlib import resources
from typing import Any

LONGEST_TABLE = 32  # outcomes; the rest is one line
LONGEST_LABEL = 60
MOST_TABLES = 20  # jobs shown each with its result
MOST_PARAMETERS = 6
_SHOWN = (
    *("id", "state", "created", "finished", "name", "n_qubits", "backend", "options", "shots", "seed"),
    *("observables", "tag", "number", "parameters", "error"),
)


def schema() -> str:
    """The JSON Schema of what `as_json` returns."""
    return resources.files("qml").joinpath("schemas/submit.json").read_text(encoding="utf-8")


def as_json(record: dict) -> str:
    """A job's record as one line of JSON; one that has a result shows it."""
    return json.dumps({key: record[key] for key in _SHOWN} | (record.get("result") or {}))


def print_jobs(records: list[dict]) -> None:
    """A sweep as one table; else every job that is done with its own, and of many jobs a list of them."""
    if len(records) > 1 and _are_a_sweep(records):
        from qml.submission.sweep_report import print_sweep

        print_sweep(records)
        return
    if len(records) > MOST_TABLES:
        print_list(records[:LONGEST_TABLE])
        rest = f" and of {len(records) - LONGEST_TABLE:,} more" if len(records) > LONGEST_TABLE else ""
        print(f"`qml jobs show ID` prints the result of one of these{rest}; --json prints all of them")
        return
    for record in records:
        if record["state"] == "done":
            print_job(record)


def print_job(record: dict) -> None:
    """A job as a title line and a table: its counts, or its expectation values; without result, why."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    console.print(Text(_title(record), style="bold"))
    result = record["result"]
    if result is None:
        console.print(Text(record["error"] or f"{record['state']}, no result yet"))
    elif "counts" in result:
        console.print(_counts_table(result["counts"]))
    else:
        console.print(_values_table(record["observables"], result))


def print_list(records: list[dict]) -> None:
    """A table of jobs, a line each, in the order given."""
    from rich.console import Console

    table = empty_table("id", "created (UTC)", "state", "backend", ">qubits", ">shots", "circuit")
    for column in table.columns[:-1]:
        column.no_wrap = True
    for record in records:
        created = record["created"][:16].replace("T", " ")
        wanted = "counts" if record["observables"] is None else ", ".join(record["observables"])
        shots = "exact" if record["shots"] is None else f"{record['shots']:,}"
        what = f"{shortened(record['name'], 24)}: {shortened(wanted, 24)}"
        table.add_row(*texts(record["id"], created, record["state"], record["backend"], record["n_qubits"], shots, what))
    Console().print(table if records else "no jobs yet: submit one with `qml submit FILE`")


def described(record: dict) -> str:
    """What a job ran on, with how many shots."""
    options = [
        f"{key} {value if isinstance(value, str | float | int) else 'model'}" for key, value in record["options"].items()
    ]
    shots = "exact" if record["shots"] is None else f"{record['shots']:,} shots"
    qubits = f"{record['n_qubits']} qubit{'s' * (record['n_qubits'] > 1)}"
    return ", ".join([" ".join([record["backend"], *options]), qubits, shots])


def _title(record: dict) -> str:
    found = list((record["parameters"] or {}).items())
    at = [f"{name} = {value:.6g}" for name, value in found[:MOST_PARAMETERS]] + ["..."] * (len(found) > MOST_PARAMETERS)
    return ", ".join([f"job {record['id']}", record["name"], *at, described(record), f"seed {record['seed']}"])


def circuit_name(record: dict) -> str:
    """The name of the circuit, without the row of a sweep."""
    return record["name"].rpartition("[")[0] or record["name"]


def _are_a_sweep(records: list[dict]) -> bool:
    """Whether they are one circuit with the same parameters, run and measured alike, whoever submitted which."""
    if not all(record["parameters"] for record in records):
        return False
    alike = ("backend", "options", "n_qubits", "shots", "observables")
    kinds = [(circuit_name(r), list(r["parameters"]), *(r[name] for name in alike)) for r in records]
    return all(kind == kinds[0] for kind in kinds)


def _counts_table(counts: dict[str, int]) -> Any:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    total = sum(counts.values())
    table = empty_table("outcome", ">count", ">fraction")
    for outcome, count in ranked[:LONGEST_TABLE]:
        table.add_row(*texts(outcome, f"{count:,}", f"{count / total:.4f}"))
    if rest := ranked[LONGEST_TABLE:]:
        count = sum(number for _, number in rest)
        table.add_row(*texts(f"{len(rest):,} more outcomes", f"{count:,}", f"{count / total:.4f}"))
    return table


def _values_table(observables: list[str], result: dict) -> Any:
    table = empty_table("observable", ">expectation", ">standard error")
    for label, value, error in zip(observables, result["values"], result["standard_errors"], strict=True):
        shown = "unknown (one shot)" if error is None else "0" if error == 0 else f"{error:.2g}"
        table.add_row(*texts(shortened(label, LONGEST_LABEL), f"{value:+.6f}", shown))
    return table


def empty_table(*headings: str) -> Any:
    """An empty table; a heading that begins with ">" is right-aligned."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading.lstrip(">"), justify="right" if heading[0] == ">" else "left", overflow="fold")
    return table


def texts(*values: object) -> list[Any]:
    """Cells whose square brackets are text, not rich's markup."""
    from rich.text import Text

    return [Text(str(value)) for value in values]


def shortened(text: str, length: int) -> str:
    """The text, or as much of it as `length` characters hold."""
    return text if len(text) <= length else text[: length - 3] + "..."
