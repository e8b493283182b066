"""One SQLite file of ours: its faults are told in one line each, and what was committed survives a kill -9.

The file carries an application id and a format version in its header, so a database of another program, or
one written by a newer version of this one, is refused instead of changed.
"""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from circuits.errors import StoreError

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse.sshfs", "afs", "9p", "pvfs")
# Primary SQLite result codes, with what a user can do about each.
_ADVICE = {
    sqlite3.SQLITE_BUSY: "is locked by another process: wait until it ends, or give another with --store",
    sqlite3.SQLITE_CORRUPT: "is truncated or malformed: restore it from a copy, or give another with --store",
    sqlite3.SQLITE_NOTADB: "is not a results store (not an SQLite database): give another file with --store",
    sqlite3.SQLITE_READONLY: "is read-only: make it and its folder writable, or give another with --store",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: make its folder writable, or give another with --store",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full: free some space, or give another with --store",
}


class Database:
    """An open SQLite file with the given tables; every fault of the file is a one-line StoreError.

    Safe to use from several threads: one lock guards the connection.

    Args:
        path: the file; it and its folders are made when they are not there.
        schema: the statements that make the tables, separated by semicolons.
        application_id: the number in the file's header that says it is ours.
        version: the format this program writes, the newest it reads.
        busy_seconds: how long to wait for another process that is writing.
        upgrades: for each older version the statements that make the next one of it.
        columns: of each table, names and types of those that any file may lack: they are added and hold null. Programs that
            do not know them go on using the file, so its version stays.

    Raises:
        StoreError: the file is locked, truncated, not ours, read-only, a folder or of a newer version.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        application_id: int,
        version: int,
        busy_seconds: float,
        upgrades: Mapping[int, str] | None = None,
        columns: Mapping[str, Mapping[str, str]] | None = None,
    ):
        self.path, self._application_id, self._version = path, application_id, version
        self._upgrades, self._columns, self._found = upgrades or {}, columns or {}, 0
        self._lock = threading.RLock()
        _check_place(path)
        with self._guarded():
            self._connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(schema)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closed; whatever was committed stays. A second call does nothing."""
        with self._guarded():
            self._connection.close()

    def fetch(self, query: str, values: Iterable = ()) -> list[sqlite3.Row]:
        """All rows a query answers with."""
        with self._guarded():
            return self._connection.execute(query, tuple(values)).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator:
        """A block whose statements are all committed together at its end, or none of them."""
        with self._guarded():
            try:
                # IMMEDIATE takes the write lock at once, where the busy timeout applies.
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection.execute
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _prepare(self, schema: str) -> None:
        self._connection.row_factory = sqlite3.Row
        if not self._is_ours():
            self._create(schema)
        self._upgrade()
        self._add_columns()
        # WAL's memory map is not shared between the hosts of a network file system: there DELETE keeps the file whole.
        mode = "DELETE" if is_on_network(self.path) else "WAL"
        with self._guarded(), contextlib.suppress(sqlite3.OperationalError):
            # Other file systems that cannot share it say so: the file then stays in journal mode DELETE.
            self._connection.execute(f"PRAGMA journal_mode = {mode}")

    def _is_ours(self) -> bool:
        """True for a file of ours, False for an empty one; anything else raises."""
        application, version, tables = self._marks()
        self._found = version
        if application == self._application_id and version > self._version:
            raise StoreError(
                f"the store {self.path} has format {version}, written by a newer hybrid-qml-lab; this one "
                f"reads up to {self._version}: upgrade hybrid-qml-lab, or give another file with --store"
            )
        if application != self._application_id and (application or version or tables):
            raise StoreError(
                f"the store {self.path} is not a results store but another program's SQLite database: "
                "give another file with --store"
            )
        return application == self._application_id

    def _marks(self) -> tuple[int, int, int]:
        """Application, version and number of tables at one moment: another process may be making the file just now."""
        queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT COUNT(*) FROM sqlite_schema")
        with self._guarded():
            is_inside = self._connection.in_transaction
            if not is_inside:
                self._connection.execute("BEGIN")
            try:
                return tuple(self._connection.execute(query).fetchone()[0] for query in queries)
            finally:
                if not is_inside and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _create(self, schema: str) -> None:
        with self.transaction() as execute:
            if self._is_ours():  # another process made it while this one waited for the lock
                return
            for statement in filter(str.strip, schema.split(";")):
                execute(statement)
            execute(f"PRAGMA application_id = {self._application_id}")
            execute(f"PRAGMA user_version = {self._version}")
        self._found = self._version

    def _upgrade(self) -> None:
        if self._found == self._version:
            return
        with self.transaction() as execute:
            self._is_ours()  # looked at again: another process may have been first, and may be a newer program
            if self._found < self._version:
                for version in range(self._found, self._version):
                    for statement in filter(str.strip, self._upgrades[version].split(";")):
                        execute(statement)
                execute(f"PRAGMA user_version = {self._version}")

    def _add_columns(self) -> None:
        if not self._lacking():
            return
        with self.transaction() as execute:
            for table, name, kind in self._lacking():  # another process may have been first
                execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")

    def _lacking(self) -> list[tuple[str, str, str]]:
        """Table, name and type of each column that this file lacks."""
        there = {table: {row["name"] for row in self.fetch(f"PRAGMA table_info({table})")} for table in self._columns}
        wanted = ((table, *column) for table, columns in self._columns.items() for column in columns.items())
        return [column for column in wanted if column[1] not in there[column[0]]]

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                advice = _ADVICE.get(code, f"cannot be used ({error}): give another file with --store")
                raise StoreError(f"the store {self.path} {advice}") from error


def is_on_network(path: Path) -> bool:
    """Whether the file lies on a file system that several hosts may mount."""
    return _folder_on_network(path.parent)


@lru_cache(maxsize=64)
def _folder_on_network(folder: Path) -> bool:
    import psutil

    with contextlib.suppress(OSError, psutil.Error):
        place = folder.resolve()
        mounts = {Path(part.mountpoint): part.fstype.lower() for part in psutil.disk_partitions(all=True)}
        nearest = max((mount for mount in mounts if place.is_relative_to(mount)), key=lambda m: len(m.parts), default=None)
        return nearest is not None and mounts[nearest].startswith(NETWORK)
    return False


def _check_place(path: Path) -> None:
    if not path.parent.parent.exists():
        raise StoreError(f"the store {path} cannot be made: there is no folder {path.parent.parent}; check the path")
    try:
        path.parent.mkdir(exist_ok=True)
        found = path.stat() if path.exists() else None
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"the store {path} cannot be made ({reason}): give a writable place with --store") from error
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        raise StoreError(f"the store {path} is a folder: give a file, such as --store {path / 'store.sqlite'}")
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"the store {path} is not a regular file: give another with --store")
    # Root may write anywhere, but a file without any write bit was protected on purpose.
    if not found.st_mode & 0o222 or not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"the store {path} {_ADVICE[sqlite3.SQLITE_READONLY]}")
    if 0 < found.st_size < HEADER_BYTES:
        _check_stub(path)


def _check_stub(path: Path) -> None:
    # SQLite takes a file shorter than its header for an empty database and would write over it.
    start = path.read_bytes()[: len(MAGIC)]
    code = sqlite3.SQLITE_CORRUPT if MAGIC.startswith(start) else sqlite3.SQLITE_NOTADB
    raise StoreError(f"the store {path} {_ADVICE[code]}")
