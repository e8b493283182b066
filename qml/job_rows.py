"""The store's table of jobs: every change of a job's state is one statement that holds only for who may make it.

A job belongs to the process named in its row, its owner. Results and reasons are recorded only while the job is in flight
and still this process's, so that a job that was cancelled or taken over elsewhere is never written over.
"""

import difflib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from circuits.errors import LabError, StoreError
from qml.database import Database

STATES = ("queued", "running", "done", "failed", "cancelled")
IN_FLIGHT = ("queued", "running")
JOB_FIELDS = (
    *("id", "created", "finished", "state", "name", "n_qubits", "backend", "options", "shots", "seed"),
    *("observables", "circuit", "result", "error", "owner"),
    *("submission", "number", "tag", "fingerprint", "time_limit", "named", "parameters"),
)
_JSON_FIELDS = frozenset({"options", "observables", "result", "owner", "parameters"})
_LISTED = tuple(field for field in JOB_FIELDS if field not in ("circuit", "result"))
_FLYING = f"state IN {IN_FLIGHT}"
_AS_READ = "state = ? AND owner IS ?"
MOST_VALUES = 500  # of one SQL statement; SQLite takes 999 at least


class AddedMeanwhile(LabError):
    """Another process was first to add a job with this tag and number."""


class JobRows:
    """The jobs of a store; `Store` adds the rows of studies."""

    path: Path
    _database: Database

    def add_job(self, record: dict) -> None:
        """The job is in the store; `record` has fields of JOB_FIELDS, those left out are null."""
        self.add_jobs([record])

    def add_jobs(self, records: Sequence[dict]) -> None:
        """All of these jobs are in the store, or after any fault none of them.

        Raises:
            AddedMeanwhile: another process has just submitted a job with the same tag and number.
        """
        with self._database.transaction() as execute:
            for record in records:
                names = known(record)
                values = [_column(name, record[name]) for name in names]
                marks = ", ".join("?" * len(names))
                added = execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)
                if not added.rowcount:
                    raise AddedMeanwhile(
                        f"job {record['id']} or its tag {record.get('tag')!r} came into the store just now from another "
                        "process: submit again, which finds it"
                    )

    def update_job(self, job_id: str, /, **fields: object) -> None:
        """The given fields of one job are changed whatever its state, the others stay.

        Raises:
            LabError: no job has this id.
        """
        if not self._changed(job_id, fields, "1", ()):
            raise self._unknown_job(job_id)

    def start(self, job_id: str, owner: dict) -> bool:
        """The job runs; False where it is no longer queued or no longer this owner's."""
        return self._changed(job_id, {"state": "running"}, "state = 'queued' AND owner = ?", (_owner(owner),))

    def finish(self, outcomes: Sequence[tuple[str, dict]], owner: dict) -> list[bool]:
        """Results or reasons of jobs, all in one transaction; False for those that are no longer this owner's to end."""
        kept = []
        with self._database.transaction() as execute:
            for job_id, fields in outcomes:
                kept.append(_change(execute, job_id, fields, f"{_FLYING} AND owner = ?", (_owner(owner),)))
        return kept

    def cancel(self, job_id: str, finished: str) -> bool:
        """The job is cancelled, whoever owns it; False where it had ended."""
        return self._changed(job_id, {"state": "cancelled", "finished": finished}, _FLYING, ())

    def cancelled(self, since: str) -> set[str]:
        """Ids of the jobs cancelled at this moment or later."""
        query = "SELECT id FROM jobs WHERE state = 'cancelled' AND finished >= ?"
        return {row["id"] for row in self._database.fetch(query, (since,))}

    def claim(self, records: Sequence[dict], owner: dict) -> list[str]:
        """Jobs become this owner's and wait to be run; those that changed since they were read are left out.

        Args:
            records: rows with "id", "state" and "owner" as they were read, and the "time_limit" to run with.

        Returns:
            The ids of those that are now this owner's.
        """
        wanted = {"state": "queued", "owner": owner, "finished": None, "error": None, "result": None}
        claimed = []
        with self._database.transaction() as execute:
            for record in records:
                fields = wanted | {"time_limit": record["time_limit"]}
                if _change(execute, record["id"], fields, _AS_READ, _as_read(record)):
                    claimed.append(record["id"])
        return claimed

    def remove(self, records: Sequence[dict]) -> int:
        """How many of these jobs were taken out of the store for good; one that changed since it was read stays.

        Args:
            records: rows with "id", "state" and "owner" as they were read.
        """
        query = f"DELETE FROM jobs WHERE id = ? AND {_AS_READ}"
        with self._database.transaction() as execute:
            return sum(execute(query, (record["id"], *_as_read(record))).rowcount for record in records)

    def job(self, job_id: str) -> dict:
        """The job with this id, or with the only id that begins so; its circuit is QPY bytes.

        Raises:
            LabError: no job, or more than one, has an id that begins so.
        """
        # An empty id begins every other; length 1 keeps it from matching.
        query = "SELECT id FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY id"
        ids = [job_id] if self._database.fetch("SELECT 1 FROM jobs WHERE id = ?", (job_id,)) else []
        ids = ids or [row["id"] for row in self._database.fetch(query, (max(len(job_id), 1), job_id))]
        if len(ids) > 1:
            raise LabError(f"job {job_id!r} is ambiguous: write more letters of one of {_some(ids)}")
        if not ids:
            raise self._unknown_job(job_id)
        return _decoded(self._database.fetch("SELECT * FROM jobs WHERE id = ?", ids)[0])

    def jobs(self, **equal: object) -> list[dict]:
        """Every job whose fields equal those given, newest first, without its circuit and result (`job` reads those)."""
        where = " AND ".join(f"{name} = ?" for name in known(equal)) if equal else "1"
        query = f"SELECT {', '.join(_LISTED)} FROM jobs WHERE {where} ORDER BY created DESC, rowid DESC"
        return [_decoded(row) for row in self._database.fetch(query, equal.values())]

    def answers(self, fingerprints: Iterable[str]) -> list[dict]:
        """Jobs that are done and have one of these fingerprints, the oldest first."""
        wanted, found = sorted(set(fingerprints)), []
        for start in range(0, len(wanted), MOST_VALUES):
            part = wanted[start : start + MOST_VALUES]
            query = f"SELECT {', '.join(_LISTED)} FROM jobs WHERE state = 'done' AND fingerprint IN "
            found += self._database.fetch(f"{query} ({', '.join('?' * len(part))}) ORDER BY created, rowid", part)
        return [_decoded(row) for row in found]

    def compact(self) -> None:
        """The file gives back the room of what was removed."""
        self._database.fetch("VACUUM")

    def _changed(self, job_id: str, fields: dict, condition: str, values: Sequence) -> bool:
        with self._database.transaction() as execute:
            return _change(execute, job_id, fields, condition, values)

    def _unknown_job(self, job_id: str) -> LabError:
        ids = [row["id"] for row in self._database.fetch("SELECT id FROM jobs ORDER BY created DESC, rowid DESC")]
        near = difflib.get_close_matches(job_id, ids[:1000], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = f"the newest are {_some(ids)}" if ids else "it holds no jobs"
        return LabError(f"unknown job {job_id!r} in {self.path}: {hint}{listed}")


def _change(execute, job_id: str, fields: dict, condition: str, values: Sequence) -> bool:
    names = known(fields)
    assigned = ", ".join(f"{name} = ?" for name in names)
    given = [_column(name, fields[name]) for name in names]
    return bool(execute(f"UPDATE jobs SET {assigned} WHERE id = ? AND {condition}", (*given, job_id, *values)).rowcount)


def known(fields: Iterable[str]) -> list[str]:
    """The names of these fields, each one that a job has."""
    names = list(fields)
    wrong = [name for name in names if name not in JOB_FIELDS]
    if wrong or not names:
        given = ", ".join(wrong) or "(nothing was given)"
        raise LabError(f"a job has no field {given}: choose from {', '.join(JOB_FIELDS)}")
    return names


def encode(value: object, place: str) -> str:
    """The value as JSON, exactly; `place` is what messages call it."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LabError(f"{place}: cannot be stored exactly ({error}): use finite numbers, text or None") from error


def read(text: str, what: str):
    """What the JSON of a cell says; `what` is what messages call it."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        raise StoreError(f"{what} is damaged in the store: what it holds is no JSON") from None


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # NumPy and PyTorch scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")


def _as_read(record: dict) -> tuple[str, str | None]:
    """What stands for the marks of _AS_READ."""
    return record["state"], _owner(record["owner"])


def _owner(owner: dict | None) -> str | None:
    return None if owner is None else encode(owner, "job field owner")


def _column(name: str, value: object) -> object:
    if name == "state" and value not in STATES:
        raise LabError(f"a job's state cannot be {value!r}: choose from {', '.join(STATES)}")
    return encode(value, f"job field {name}") if name in _JSON_FIELDS and value is not None else value


def _decoded(row: sqlite3.Row) -> dict:
    record = dict(row)
    for name in _JSON_FIELDS & record.keys():
        record[name] = None if record[name] is None else read(record[name], f"job {record.get('id')}")
    for name in ("shots", "seed"):
        if not isinstance(record.get(name), int | None):
            raise StoreError(f"job {record.get('id')} is damaged in the store: its {name} is {record[name]!r}")
    return record


def _some(ids: list[str], limit: int = 5) -> str:
    return ", ".join(ids[:limit]) + (", ..." if len(ids) > limit else "")
