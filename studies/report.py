"""All finished studies on one self-contained HTML page: question, verdict, figure, table, provenance."""

import base64
import re
from pathlib import Path

from circuits.errors import LabError
from studies.outcome import Outcome, replace

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write(outcomes: list[Outcome], path: Path) -> None:
    """The page is at `path`, whole or not at all; it needs no other file and no network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, page(outcomes).encode())


def readable(outcomes: list[Outcome]) -> tuple[list[Outcome], list[str]]:
    """Those that today's code can show, and why the others cannot be shown."""
    shown, reasons = [], []
    for outcome in outcomes:
        try:
            outcome.table, outcome.verdict, outcome.name, outcome.picture()
            shown.append(outcome)
        except LabError as error:
            reasons.append(str(error))
        except Exception as error:  # one study's rows, of whatever code, are not to keep all others from the page
            reasons.append(f"{outcome.study.name}: its rows cannot be shown, {type(error).__name__}: {error}")
    return shown, reasons


def page(outcomes: list[Outcome]) -> str:
    """The HTML text of the page."""
    from jinja2 import Environment, StrictUndefined

    # Every value is escaped: settings may hold anything a user typed.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": cell, "first_sentence": first_sentence}
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    sections = [
        {
            "name": outcome.name,
            "command": f"studies run {outcome.study.name}",
            "question": outcome.study.question,
            "facts": outcome.study.facts,
            "verdict": outcome.verdict,
            "picture": base64.b64encode(outcome.picture()).decode(),
            "table": outcome.table,
            "settings": outcome.settings,
            "provenance": outcome.provenance,
        }
        for outcome in outcomes
    ]
    return template.render(sections=sections)


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, not one within a number."""
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def cell(value: object) -> str:
    """A value as a table shows it: three significant digits, and nothing for None."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
