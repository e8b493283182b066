"""A finished run of a study: its rows, and the table, verdict and figure drawn from them alone.

A run is recorded in the store under the study's name with "/runs" behind it, once all its cases are there:
its settings, the version of its code, the ids of its cases. So it can be shown later, whatever the code has
become.
"""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from circuits.errors import LabError
from qml.store import Store
from studies import provenance
from studies.base import Study, case_id
from studies.drawing import STYLE
from studies.sources import code_version

RUNS = "/runs"


@dataclass(frozen=True)
class Outcome:
    """A study's finished run; nothing in it is computed anew except from its stored rows.

    Attributes:
        settings: as they were given to the run.
        code: the version of the code that computed the rows.
        rows: each with its case's settings and its "provenance".
    """

    study: Study
    settings: dict
    code: str
    rows: list[dict]

    def _made(self, part: str):
        """What the study's function of that name makes of the rows.

        Raises:
            LabError: the rows are an older version's, and today's code cannot read them.
        """
        try:
            return getattr(self.study.module, part)(self.rows)
        except (LookupError, TypeError, ValueError) as error:
            if self.code == code_version(self.study.name):
                raise
            raise LabError(
                f"the stored rows of {self.study.name} are of version {self.code} of its code, which today's cannot read: "
                f"write `studies run {self.study.name}`"
            ) from error

    @cached_property
    def table(self) -> list[dict]:
        """The lines that answer the question."""
        lines = self._made("table")
        columns = dict.fromkeys(name for line in lines for name in line)  # lines of different kinds may lack some
        return [{name: line.get(name) for name in columns} for line in lines]

    @cached_property
    def verdict(self) -> str:
        """The answer in words; it says so where the study's code has changed since."""
        words = self._made("verdict")
        if self.code == code_version(self.study.name):
            return words
        return f"{words} (These rows were computed by version {self.code} of the code, not by today's.)"

    @cached_property
    def provenance(self) -> dict:
        """Every provenance field, with its distinct values; seconds are added up."""
        origins = [row["provenance"] for row in self.rows]
        distinct = {key: sorted({str(origin[key]) for origin in origins}) for key in origins[0]}
        seconds = sum({origin["case"]: origin["seconds"] for origin in origins}.values())
        finished = distinct.pop("finished")
        cases = len(distinct.pop("case"))
        return {
            **distinct,
            "cases": [str(cases)],
            "seconds": [f"{seconds:.1f}"],
            "finished": [finished[0], finished[-1]],
        }

    def picture(self) -> bytes:
        """The figure as PNG."""
        import matplotlib

        with matplotlib.rc_context(STYLE):
            buffer = io.BytesIO()
            # Without the library's version in it, the same rows give the same file.
            self._made("figure").savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    @cached_property
    def name(self) -> str:
        """The study's, and behind it what tells its runs apart, where it says so."""
        label = self._made("label") if hasattr(self.study.module, "label") else ""
        return f"{self.study.name}-{label}" if label else self.study.name

    def save(self, folder: Path) -> tuple[Path, Path]:
        """The figure and the rows are in `folder` as NAME.png and NAME.csv; returns both paths."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise LabError(f"--out must name a folder, {folder} is a file") from None
        picture, rows = folder / f"{self.name}.png", folder / f"{self.name}.csv"
        replace(rows, _as_csv(self.rows).encode())
        replace(picture, self.picture())
        return picture, rows


def record(store: Store, study: Study, settings, ids: Iterable[str]) -> Outcome:
    """The run whose cases are all stored is recorded as finished, once; returns it."""
    code, plain, ids = code_version(study.name), _plain(settings), list(ids)
    run, origin = {"settings": plain, "code": code}, provenance.of_driver(study.name)
    # The cases count too: a file that a setting names may hold something else than the last time.
    key = case_id(study.name + RUNS, {"settings": plain, "cases": ids}, code)
    store.add_rows(study.name + RUNS, key, run, [{"case_ids": ids}], origin)
    return Outcome(study, plain, code, store.rows(study.name, ids))


def latest(
    store: Store, study: Study, wanted: dict | None = None, is_meant: Callable[[list[dict]], bool] = bool
) -> Outcome | None:
    """The finished run to show: of today's code, else older; with default settings, else the largest, else the newest.

    Args:
        wanted: settings that it must have, by name. is_meant: what its rows must be.
    """
    return next((found for found in _ranked(store, study, wanted or {}) if is_meant(found.rows)), None)


def one_of_each(store: Store, study: Study) -> list[Outcome]:
    """The finished run to show under each name that the study's runs have."""
    if not hasattr(study.module, "label"):
        first = latest(store, study)
        return [first] if first else []
    found: dict[str, Outcome] = {}
    for outcome in _ranked(store, study, {}):
        try:
            found.setdefault(outcome.name, outcome)
        except LabError:  # rows that today's code cannot read have no name either
            found.setdefault(study.name, outcome)
    return list(found.values())


def _ranked(store: Store, study: Study, wanted: dict) -> Iterator[Outcome]:
    """The finished runs, the one to show first."""
    runs = store.rows(study.name + RUNS)
    today, default = code_version(study.name), _plain(study.settings()) if runs else {}

    def rank(item: tuple[int, dict]) -> tuple:
        number, run = item
        return run["code"] == today, run["settings"] == default, len(run["case_ids"]), number

    for _, run in sorted(enumerate(runs), key=rank, reverse=True):
        if all(run["settings"].get(key) == value for key, value in wanted.items()):
            yield Outcome(study, run["settings"], run["code"], store.rows(study.name, run["case_ids"]))


def _plain(settings) -> dict:
    """As they come back from the store: tuples are lists."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def _as_csv(rows: list[dict]) -> str:
    """One line for each row, provenance in columns of its own; lists are JSON."""
    flat = [{**row, **row["provenance"]} for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row if name != "provenance"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in flat)
    return text.getvalue()


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value


def replace(path: Path, content: bytes) -> None:
    """Written whole or not at all, whenever the program is killed."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
