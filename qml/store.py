"""One SQLite file holds every finished study case and every submitted job.

Only the process that drives a study or submits a job writes; its workers hand their rows back to it.
Everything is stored as plain numbers, text and JSON (circuits as Qiskit's QPY), never as pickles.
"""

import json
import os
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from circuits.errors import LabError, StoreError
from qml.database import Database
from qml.job_rows import JobRows, encode, read

VERSION = 2
APPLICATION_ID = 0x514D4C53  # "QMLS": `file` and this module tell a store from any other SQLite database
BUSY_SECONDS = 10.0
_SINCE_2 = """
ALTER TABLE jobs ADD COLUMN submission TEXT;
ALTER TABLE jobs ADD COLUMN number INTEGER;
ALTER TABLE jobs ADD COLUMN tag TEXT;
ALTER TABLE jobs ADD COLUMN fingerprint TEXT;
ALTER TABLE jobs ADD COLUMN time_limit REAL;
ALTER TABLE jobs ADD COLUMN named INTEGER;
CREATE UNIQUE INDEX jobs_by_tag ON jobs (tag, number) WHERE tag IS NOT NULL;
CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint);
CREATE INDEX jobs_by_submission ON jobs (submission, number);
CREATE INDEX jobs_by_state ON jobs (state, finished);
"""
_COLUMNS = {"jobs": {"parameters": "TEXT"}}
_SCHEMA = (
    """
CREATE TABLE cases (
  study TEXT NOT NULL, case_id TEXT NOT NULL, settings TEXT NOT NULL, provenance TEXT NOT NULL,
  finished TEXT NOT NULL, PRIMARY KEY (study, case_id)
);
CREATE TABLE case_rows (
  study TEXT NOT NULL, case_id TEXT NOT NULL, number INTEGER NOT NULL, fields TEXT NOT NULL,
  PRIMARY KEY (study, case_id, number)
);
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, finished TEXT, state TEXT NOT NULL, name TEXT,
  n_qubits INTEGER, backend TEXT NOT NULL, options TEXT, shots INTEGER, seed INTEGER, observables TEXT,
  circuit BLOB, result TEXT, error TEXT, owner TEXT
);
"""
    + _SINCE_2
)


class Store(JobRows):
    """The results store at `path`: finished study cases with their rows, and jobs.

    Safe to use from several threads. A `with` block closes it.

    Args:
        path: the file; None means the environment's QML_LAB_STORE, else the user's data folder.
        busy_seconds: how long to wait for another process that is writing.

    Raises:
        StoreError: the file is locked, truncated, no store, read-only, a folder or of a newer version.
    """

    def __init__(self, path: str | os.PathLike | None = None, busy_seconds: float = BUSY_SECONDS):
        self.path = default_path() if path is None else Path(path).expanduser().absolute()
        upgrades = {1: _SINCE_2}
        self._database = Database(self.path, _SCHEMA, APPLICATION_ID, VERSION, busy_seconds, upgrades, _COLUMNS)
        self._fetch, self._transaction = self._database.fetch, self._database.transaction

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closed; whatever was committed stays. A second call does nothing."""
        self._database.close()

    def add_rows(self, study: str, case_id: str, case: dict, rows: list[dict], provenance: dict) -> None:
        """The case and all its rows are stored in one transaction; a case already there stays as it is.

        Args:
            study: the study's name.
            case_id: the hash of everything that affects the case's result.
            case: the case's settings: numbers, texts, lists (NumPy scalars and arrays are converted).
            rows: the results, a dict each; a field may repeat a setting only with the same value.
            provenance: commit, versions, device, dtype, seed, seconds.

        Raises:
            LabError: a value that JSON cannot hold (NaN, infinity, complex), or a field hiding another.
            StoreError: the file cannot be written.
        """
        place = f"study {study}, case {case_id[:12]}"
        settings, origin = encode(case, place), encode(provenance, place)
        lines = [encode(row, f"{place}, row {number}") for number, row in enumerate(rows)]
        for line in lines:
            _refuse_hidden(json.loads(settings), json.loads(line), place)
        with self._transaction() as execute:
            added = execute(
                "INSERT INTO cases VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (study, case_id, settings, origin, now()),
            )
            if added.rowcount:
                for number, line in enumerate(lines):
                    execute("INSERT INTO case_rows VALUES (?, ?, ?, ?)", (study, case_id, number, line))

    def case_ids(self, study: str) -> set[str]:
        """The ids of the finished cases of a study; an unknown study has none."""
        return {row["case_id"] for row in self._fetch("SELECT case_id FROM cases WHERE study = ?", (study,))}

    def rows(self, study: str, case_ids: Iterable[str] | None = None) -> list[dict]:
        """Every row of a study: its own fields, its case's settings, and "provenance".

        Args:
            study: the study's name.
            case_ids: only these cases, in this order (a set: sorted); those not finished are passed over.

        Returns:
            Rows by case, then by their number in the case, whatever order they were added in.
        """
        if case_ids is None or isinstance(case_ids, set | frozenset):
            case_ids = sorted(self.case_ids(study) if case_ids is None else case_ids)
        query = (
            "SELECT settings, provenance, fields FROM case_rows JOIN cases USING (study, case_id) "
            "WHERE study = ? AND case_id = ? ORDER BY number"
        )
        return [_merged(row) for case_id in case_ids for row in self._fetch(query, (study, case_id))]

    def studies(self) -> list[tuple[str, int, str]]:
        """(name, number of finished cases, when the last one finished) of every study, by name."""
        query = "SELECT study, COUNT(*), MAX(finished) FROM cases GROUP BY study ORDER BY study"
        return [tuple(row) for row in self._fetch(query)]


def default_path() -> Path:
    """Where the store is when none is given: the environment's QML_LAB_STORE, else the user's data folder.

    Raises:
        StoreError: that folder cannot be made.
    """
    named = os.environ.get("QML_LAB_STORE")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    folder = Path(platformdirs.user_data_dir("hybrid-qml-lab"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)  # a new home may have no data folder at all
    except OSError as error:
        reason = f"{type(error).__name__}: {folder.parent}"
        raise StoreError(f"there is no place for the store ({reason}): give one with --store or QML_LAB_STORE") from None
    return folder / "store.sqlite"


def now() -> str:
    """The present moment in UTC, ISO 8601 with milliseconds: later moments sort after earlier ones."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _refuse_hidden(case: dict, row: dict, place: str) -> None:
    hidden = [key for key in row if key == "provenance" or (key in case and case[key] != row[key])]
    if hidden or "provenance" in case:
        name = hidden[0] if hidden else "provenance"
        raise LabError(f"{place}: the field {name!r} would hide another of that name: call it something else")


def _merged(row: sqlite3.Row) -> dict:
    settings, provenance, fields = (read(text, "a row of a study") for text in row)
    return {**settings, **fields, "provenance": provenance}
