"""A sweep on the screen: one table, a row for each line of values, with what was found at them."""

from collections import Counter

from qml.submission.report import LONGEST_TABLE, MOST_PARAMETERS, circuit_name, described, empty_table, shortened, texts

MOST_OUTCOMES = 8  # columns; the rest is one
LONGEST_HEADING = 24


def print_sweep(records: list[dict]) -> None:
    """The table of a sweep's jobs, in the order given; what a job without result has is its state."""
    from rich.console import Console
    from rich.text import Text

    names = list(records[0]["parameters"])
    names[MOST_PARAMETERS:] = ["..."] * (len(names) > MOST_PARAMETERS)
    headings, cells = _of_values(records) if records[0]["observables"] is not None else _of_counts(records)
    table = empty_table("job", *[">"] * len([*names, *headings]))
    for column, heading in zip(table.columns, ["job", *names, *headings]):
        column.header = Text(shortened(heading, LONGEST_HEADING))
    for record, found in list(zip(records, cells, strict=True))[:LONGEST_TABLE]:
        values = [f"{value:.6g}" for value in record["parameters"].values()]
        values[MOST_PARAMETERS:] = ["..."] * (len(values) > MOST_PARAMETERS)
        table.add_row(*texts(record["id"], *values, *found))
    console, first = Console(soft_wrap=True), records[0]
    console.print(Text(f"{circuit_name(first)} at {len(records):,} rows of values, {described(first)}", style="bold"))
    console.print(table)
    if len(records) > LONGEST_TABLE:
        print(f"and {len(records) - LONGEST_TABLE:,} rows more: --json prints all of them")


def _of_values(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    labels, cells = records[0]["observables"], []
    for record in records:
        found = record["result"]
        pairs = zip(found["values"], found["standard_errors"]) if found else ()
        cells.append([_value(*pair) for pair in pairs] or [record["state"]] + [""] * (len(labels) - 1))
    return labels, cells


def _value(value: float, error: float | None) -> str:
    return f"{value:+.6f}" + ("" if error == 0 else " ± ?" if error is None else f" ± {error:.2g}")


def _of_counts(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    counts = [record["result"]["counts"] if record["result"] else None for record in records]
    total = Counter()
    for found in counts:
        total.update(found or {})
    shown = sorted(outcome for outcome, _ in total.most_common(MOST_OUTCOMES))
    if not shown:
        return ["state"], [[record["state"]] for record in records]
    has_rest, cells = len(total) > len(shown), []
    for record, found in zip(records, counts):
        if found is None:
            cells.append([record["state"]] + [""] * (len(shown) - 1 + has_rest))
            continue
        listed = [found.get(outcome, 0) for outcome in shown]
        cells.append([f"{count:,}" for count in [*listed, *[sum(found.values()) - sum(listed)] * has_rest]])
    return [*shown, *["others"] * has_rest], cells
