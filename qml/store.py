"""One SQLite file holds every finished study case and every submitted job.

Only the process that drives a study or submits a job writes; its workers hand their rows back to it.
Everything is stored as plain numbers, text and JSON (circuits as Qiskit's QPY), never as pickles.
"""

import difflib
import json
import os
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from circuits.errors import LabError, StoreError
from qml.database import Database

VERSION = 1
APPLICATION_ID = 0x514D4C53  # "QMLS": `file` and this module tell a store from any other SQLite database
BUSY_SECONDS = 10.0
STATES = ("queued", "running", "done", "failed", "cancelled")
_SCHEMA = """
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
JOB_FIELDS = (
    *("id", "created", "finished", "state", "name", "n_qubits", "backend", "options", "shots", "seed"),
    *("observables", "circuit", "result", "error", "owner"),
)
_JSON_FIELDS = frozenset({"options", "observables", "result", "owner"})
_LISTED = tuple(field for field in JOB_FIELDS if field not in ("circuit", "result"))


class Store:
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
        self._database = Database(self.path, _SCHEMA, APPLICATION_ID, VERSION, busy_seconds)
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
        settings, origin = _encode(case, place), _encode(provenance, place)
        lines = [_encode(row, f"{place}, row {number}") for number, row in enumerate(rows)]
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

    def add_job(self, record: dict) -> None:
        """The job is in the store; `record` has fields of JOB_FIELDS, those left out are null."""
        names = _known(record)
        values = [_column(name, record[name]) for name in names]
        with self._transaction() as execute:
            execute(
                f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                values,
            )

    def update_job(self, job_id: str, /, **fields: object) -> None:
        """The given fields of one job are changed, the others stay.

        Raises:
            LabError: no job has this id.
        """
        names = _known(fields)
        values = [_column(name, fields[name]) for name in names]
        with self._transaction() as execute:
            assigned = ", ".join(f"{name} = ?" for name in names)
            if not execute(f"UPDATE jobs SET {assigned} WHERE id = ?", (*values, job_id)).rowcount:
                raise self._unknown_job(job_id)

    def job(self, job_id: str) -> dict:
        """The job with this id, or with the only id that begins so; its circuit is QPY bytes.

        Raises:
            LabError: no job, or more than one, has an id that begins so.
        """
        # An empty id begins every other; length 1 keeps it from matching.
        query = "SELECT id FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY id"
        ids = [row["id"] for row in self._fetch(query, (max(len(job_id), 1), job_id))]
        ids = [job_id] if job_id in ids else ids
        if len(ids) > 1:
            raise LabError(f"job {job_id!r} is ambiguous: write more letters of one of {_some(ids)}")
        if not ids:
            raise self._unknown_job(job_id)
        return _decoded(self._fetch("SELECT * FROM jobs WHERE id = ?", ids)[0])

    def jobs(self) -> list[dict]:
        """Every job, newest first, without its circuit and result (`job` reads those)."""
        query = f"SELECT {', '.join(_LISTED)} FROM jobs ORDER BY created DESC, rowid DESC"
        return [_decoded(row) for row in self._fetch(query)]

    def _unknown_job(self, job_id: str) -> LabError:
        ids = [row["id"] for row in self._fetch("SELECT id FROM jobs ORDER BY created DESC, rowid DESC")]
        near = difflib.get_close_matches(job_id, ids, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = f"the newest are {_some(ids)}" if ids else "it holds no jobs"
        return LabError(f"unknown job {job_id!r} in {self.path}: {hint}{known}")


def default_path() -> Path:
    """Where the store is when none is given: the environment's QML_LAB_STORE, else the user's data folder."""
    named = os.environ.get("QML_LAB_STORE")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    folder = Path(platformdirs.user_data_dir("hybrid-qml-lab"))
    folder.parent.mkdir(parents=True, exist_ok=True)  # a new home may have no data folder at all
    return folder / "store.sqlite"


def now() -> str:
    """The present moment in UTC, ISO 8601 with milliseconds: later moments sort after earlier ones."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # NumPy and PyTorch scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")


def _encode(value: object, place: str) -> str:
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LabError(f"{place}: cannot be stored exactly ({error}): use finite numbers, text or None") from error


def _refuse_hidden(case: dict, row: dict, place: str) -> None:
    hidden = [key for key in row if key == "provenance" or (key in case and case[key] != row[key])]
    if hidden or "provenance" in case:
        name = hidden[0] if hidden else "provenance"
        raise LabError(f"{place}: the field {name!r} would hide another of that name: call it something else")


def _merged(row: sqlite3.Row) -> dict:
    settings, provenance, fields = (_read(text, "a row of a study") for text in row)
    return {**settings, **fields, "provenance": provenance}


def _known(fields: Iterable[str]) -> list[str]:
    names = list(fields)
    wrong = [name for name in names if name not in JOB_FIELDS]
    if wrong or not names:
        given = ", ".join(wrong) or "(nothing was given)"
        raise LabError(f"a job has no field {given}: choose from {', '.join(JOB_FIELDS)}")
    return names


def _column(name: str, value: object) -> object:
    if name == "state" and value not in STATES:
        raise LabError(f"a job's state cannot be {value!r}: choose from {', '.join(STATES)}")
    return _encode(value, f"job field {name}") if name in _JSON_FIELDS and value is not None else value


def _decoded(row: sqlite3.Row) -> dict:
    record = dict(row)
    for name in _JSON_FIELDS & record.keys():
        record[name] = None if record[name] is None else _read(record[name], f"job {record.get('id')}")
    for name in ("shots", "seed"):
        if not isinstance(record.get(name), int | None):
            raise StoreError(f"job {record.get('id')} is damaged in the store: its {name} is {record[name]!r}")
    return record


def _read(text: str, what: str):
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        raise StoreError(f"{what} is damaged in the store: what it holds is no JSON") from None


def _some(ids: list[str], limit: int = 5) -> str:
    return ", ".join(ids[:limit]) + (", ..." if len(ids) > limit else "")
