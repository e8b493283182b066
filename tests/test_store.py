"""The store keeps what was committed, gives it back exactly, and says in one line what a file lacks."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from circuits.errors import LabError, StoreError
from qml import job_rows
from qml import store as store_module
from qml.database import Database
from qml.store import APPLICATION_ID, VERSION, Store, default_path

PROVENANCE = {"commit": "abc", "seconds": 0.25}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def filled(path):
    """A closed store of several pages, with a study of two cases and one job."""
    with Store(path) as store:
        for case_id in ("b", "a"):
            rows = [{"value": number / 7, "text": "x" * 200} for number in range(40)]
            store.add_rows("plateau", case_id, {"n_qubits": ord(case_id)}, rows, PROVENANCE)
        store.add_job({"id": "f00", "created": "2026", "state": "queued", "backend": "native", "circuit": b"\0Q"})
    return path


def in_another_process(code: str, *arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


# ---- what is stored comes back


def test_a_row_comes_back_with_its_cases_settings_and_provenance(path):
    with Store(path) as store:
        store.add_rows("plateau", "id", {"n_qubits": 4}, [{"variance": 0.1, "n_qubits": 4}], PROVENANCE)
    with Store(path) as store:
        assert store.rows("plateau") == [{"n_qubits": 4, "variance": 0.1, "provenance": PROVENANCE}]
        ((name, n_cases, finished),) = store.studies()
        assert (name, n_cases) == ("plateau", 1) and finished.startswith("20")


def test_rows_do_not_depend_on_the_order_they_were_added_in(tmp_path):
    found = []
    for order in ("abc", "cab"):
        with Store(tmp_path / order) as store:
            for case_id in order:
                store.add_rows("s", case_id, {"case": case_id}, [{"row": 0}, {"row": 1}], {})
            found.append(store.rows("s"))
            assert [row["case"] for row in store.rows("s", ["b", "missing", "a"])] == ["b", "b", "a", "a"]
            assert store.rows("s", {"b", "a"}) == store.rows("s", ["a", "b"])
            assert store.rows("another study") == [] and store.case_ids("another study") == set()
    assert found[0] == found[1]
    assert [(row["case"], row["row"]) for row in found[0]] == [(c, n) for c in "abc" for n in (0, 1)]


def test_a_case_that_is_there_is_neither_doubled_nor_changed(path):
    with Store(path) as store:
        store.add_rows("s", "a", {}, [{"v": 1}, {"v": 2}], {"commit": "first"})
        store.add_rows("s", "a", {}, [{"v": 9}], {"commit": "second"})
        assert [row["v"] for row in store.rows("s")] == [1, 2]
        assert {row["provenance"]["commit"] for row in store.rows("s")} == {"first"}
        assert store.case_ids("s") == {"a"}


def test_a_case_without_rows_counts_as_finished(path):
    with Store(path) as store:
        store.add_rows("s", "a", {}, [], {})
        assert store.case_ids("s") == {"a"} and store.rows("s") == []


def test_numbers_come_back_bit_for_bit(path):
    values = [1 / 3, 5e-324, -0.0, 1.7976931348623157e308, np.float64(0.1), np.pi, 2**80, -(2**63)]
    with Store(path) as store:
        store.add_rows("s", "a", {"values": values}, [{}], {})
        (row,) = store.rows("s")
    assert [repr(float(value)) for value in row["values"]] == [repr(float(value)) for value in values]


def test_numpy_values_are_stored_as_plain_ones(path):
    row = {"f": np.float32(0.5), "i": np.int64(3), "b": np.bool_(True), "a": np.arange(3), "none": None}
    with Store(path) as store:
        store.add_rows("s", "a", {}, [row], {})
        (found,) = store.rows("s")
    assert found == {"f": 0.5, "i": 3, "b": True, "a": [0, 1, 2], "none": None, "provenance": {}}


@pytest.mark.parametrize("value", [float("nan"), np.inf, 1j, object(), b"bytes"])
def test_what_json_cannot_hold_is_refused_and_nothing_of_the_case_is_kept(path, value):
    with Store(path) as store:
        with pytest.raises(LabError, match="study s, case a, row 1: cannot be stored exactly"):
            store.add_rows("s", "a", {}, [{"v": 1}, {"v": value}], {})
        assert store.case_ids("s") == set()


def test_a_field_that_would_hide_another_is_refused(path):
    with Store(path) as store:
        with pytest.raises(LabError, match="'n' would hide"):
            store.add_rows("s", "a", {"n": 1}, [{"n": 2}], {})
        with pytest.raises(LabError, match="'provenance' would hide"):
            store.add_rows("s", "a", {}, [{"provenance": 2}], {})
        assert store.case_ids("s") == set()


# ---- jobs


def add_jobs(store: Store, *ids: str) -> None:
    for number, job_id in enumerate(ids):
        store.add_job({"id": job_id, "created": f"2026-{number}", "state": "queued", "backend": "native"})


def test_a_job_comes_back_as_it_was_written_and_updated(path):
    circuit = bytes(range(256))
    record = {
        "id": "f00d",
        "created": "2026",
        "state": "queued",
        "backend": "aer",
        "options": {"device": "GPU"},
    }
    with Store(path) as store:
        store.add_job(record | {"circuit": circuit, "seed": 2**63 - 1, "observables": ["ZZ"]})
        store.update_job("f00d", state="done", result={"values": [0.1], "standard_errors": [None]})
    with Store(path) as store:
        job = store.job("f00d")
    assert job["circuit"] == circuit and job["seed"] == 2**63 - 1 and job["observables"] == ["ZZ"]
    assert job["state"] == "done" and job["result"] == {"values": [0.1], "standard_errors": [None]}
    assert job["options"] == {"device": "GPU"} and job["error"] is None


def test_jobs_are_listed_newest_first_without_circuit_and_result(path):
    with Store(path) as store:
        add_jobs(store, "old", "new")
        listed = store.jobs()
    assert [job["id"] for job in listed] == ["new", "old"]
    assert not {"circuit", "result"} & listed[0].keys()


def test_a_job_is_found_by_the_beginning_of_its_id_if_no_other_begins_so(path):
    with Store(path) as store:
        add_jobs(store, "abc1", "abc2", "b%3", "b")
        assert store.job("abc2")["id"] == "abc2"
        assert store.job("b%")["id"] == "b%3"
        assert store.job("b")["id"] == "b"  # the whole id of one, the beginning of another
        with pytest.raises(LabError, match="'abc' is ambiguous: write more letters of one of abc1, abc2"):
            store.job("abc")


@pytest.mark.parametrize("wrong", ["abd1", "", "%", "abc1x"])
def test_an_unknown_job_is_named_with_those_there_are(path, wrong):
    with Store(path) as store:
        with pytest.raises(LabError, match="it holds no jobs"):
            store.job(wrong)
        add_jobs(store, "abc1")
        for refused in (store.job, lambda job_id: store.update_job(job_id, state="done")):
            with pytest.raises(LabError, match=f"unknown job '{wrong}' in .*abc1"):
                refused(wrong)


def test_a_field_or_state_that_jobs_do_not_have_is_refused(path):
    with Store(path) as store:
        add_jobs(store, "abc1")
        with pytest.raises(LabError, match="a job has no field stat: choose from id"):
            store.update_job("abc1", stat="done")
        with pytest.raises(LabError, match="state cannot be 'finished': choose from queued"):
            store.update_job("abc1", state="finished")
        assert store.job("abc1")["state"] == "queued"


# ---- processes and threads


WRITER = """
    import sys
    from qml.store import Store
    with Store(sys.argv[1]) as store:
        for number in range(int(sys.argv[3])):
            case_id = f"{sys.argv[2]}{number:05}"
            store.add_rows("s", case_id, {"n": number}, [{"row": k} for k in range(5)], {})
            print(case_id, flush=True)
"""


def test_a_kill_at_any_moment_loses_nothing_that_was_committed(path):
    seed = random.randrange(2**32)
    print("seed", seed)
    committed, lines = [], random.Random(seed)
    for round_number in range(4):
        writer = in_another_process(WRITER, path, f"{round_number}-", 10_000)
        committed += [writer.stdout.readline().strip() for _ in range(lines.randrange(1, 60))]
        os.kill(writer.pid, signal.SIGKILL)
        committed += writer.communicate()[0].split()
        assert writer.returncode == -signal.SIGKILL
        with Store(path) as store:
            finished = store.case_ids("s")
            assert set(committed) <= finished
            # The last case may have been committed and not yet reported, but never in part.
            assert len(finished) <= len(committed) + round_number + 1
            assert len(store.rows("s")) == 5 * len(finished)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_two_processes_that_write_wait_for_each_other(path):
    writers = [in_another_process(WRITER, path, name, 40) for name in "xy"]
    assert [writer.wait() or writer.stdout.close() for writer in writers] == [None, None]
    with Store(path) as store:
        assert len(store.case_ids("s")) == 80 and len(store.rows("s")) == 400


def test_threads_may_share_a_store(path):
    with Store(path) as store:

        def write(name: str) -> None:
            for number in range(20):
                store.add_rows("s", f"{name}{number}", {}, [{"v": number}], {})

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.rows("s")) == 80


# ---- where it is


def test_its_place_is_the_argument_else_the_environment_else_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QML_LAB_STORE", str(tmp_path / "named" / "here.db"))
    assert Store().path == tmp_path / "named" / "here.db"
    assert Store(tmp_path / "argument.db").path == tmp_path / "argument.db"
    monkeypatch.delenv("QML_LAB_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform == "linux":
        assert default_path() == tmp_path / "data" / "hybrid-qml-lab" / "store.sqlite"
    assert default_path().name == "store.sqlite"


# ---- files that cannot be used


def refusal(path, match: str) -> None:
    """The store refuses the file, in one line that says what to do, and leaves it as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=match) as caught:
        Store(path, busy_seconds=0.05)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("keep", [0.5, 4096, 100, 99, 16, 1])
def test_a_truncated_file_is_refused(filled, keep):
    whole = filled.read_bytes()
    filled.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else int(keep)])
    refusal(filled, "truncated or malformed: restore it from a copy")


def test_damage_in_the_middle_is_told_when_it_is_met(filled):
    damaged = bytearray(filled.read_bytes())
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)
    filled.write_bytes(damaged)
    with pytest.raises(StoreError, match="truncated or malformed"), Store(filled) as store:
        store.rows("plateau")


@pytest.mark.parametrize("content", [b"n_qubits,variance\n" * 50, b"\x89PNG\r\n", b"?"])
def test_a_file_that_is_no_database_is_refused(path, content):
    path.write_bytes(content)
    refusal(path, "not a results store \\(not an SQLite database\\)")


def test_another_programs_database_is_refused(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    refusal(path, "another program's SQLite database")


def test_a_store_of_a_newer_version_is_refused(filled):
    with sqlite3.connect(filled) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    refusal(filled, f"has format {VERSION + 1}, written by a newer hybrid-qml-lab.*upgrade")


def test_a_folder_a_device_and_a_place_below_a_file_are_refused(tmp_path, filled):
    refusal(tmp_path, "is a folder: give a file, such as --store .*store.sqlite")
    refusal(filled / "below", "cannot be made")
    if os.path.exists("/dev/null"):
        with pytest.raises(StoreError, match="not a regular file"):
            Store("/dev/null")


def test_a_read_only_file_is_refused(filled):
    filled.chmod(0o444)
    refusal(filled, "is read-only: make it and its folder writable")


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_locked_store_is_told_after_the_time_to_wait(filled, lock):
    other = sqlite3.connect(filled, isolation_level=None)
    other.execute(lock)
    locked = pytest.raises(StoreError, match="locked by another process: wait until it ends")
    with locked, Store(filled, busy_seconds=0.05) as store:
        store.add_rows("s", "a", {}, [{}], {})
    other.execute("ROLLBACK")
    with Store(filled, busy_seconds=0.05) as store:
        assert store.case_ids("s") == set()
        store.add_rows("s", "a", {}, [{}], {})


def test_an_empty_file_becomes_a_store(path):
    path.touch()
    with Store(path) as store:
        assert store.studies() == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_closed_store_says_so(path):
    store = Store(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.studies()


@pytest.mark.parametrize("column, value", [("options", "{bad"), ("observables", "["), ("shots", "many")])
def test_a_damaged_cell_of_a_job_is_told_in_one_line(filled, column, value):
    connection = sqlite3.connect(filled)
    connection.execute(f"UPDATE jobs SET {column} = ?", (value,))
    connection.commit()
    connection.close()
    with Store(filled) as store, pytest.raises(StoreError, match="f00 is damaged") as caught:
        store.jobs()
    assert "\n" not in str(caught.value)


def store_of_format_1(path) -> None:
    from qml.store import _SCHEMA, _SINCE_2

    with sqlite3.connect(path) as connection:
        connection.executescript(_SCHEMA.replace(_SINCE_2, ""))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO jobs (id, created, state, backend) VALUES ('old', '2026', 'done', 'native')")
    connection.close()


def version_of(path) -> int:
    with sqlite3.connect(path) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_store_of_format_1_is_brought_up_to_date_with_what_it_holds(path):
    store_of_format_1(path)
    for tag in (None, "new"):
        with Store(path) as store:
            (job,) = store.jobs()
            assert job["id"] == "old" and job["tag"] == tag and job["parameters"] is None
            store.update_job("old", tag="new", number=0)
    assert version_of(path) == VERSION


def test_a_store_that_a_newer_program_changes_meanwhile_is_refused_and_keeps_its_format(path, monkeypatch):
    store_of_format_1(path)
    begin = Database.transaction

    @contextlib.contextmanager
    def late(database):
        with sqlite3.connect(path) as other:
            other.execute(f"PRAGMA user_version = {VERSION + 1}")
        with begin(database) as execute:
            yield execute

    monkeypatch.setattr(Database, "transaction", late)
    with pytest.raises(StoreError, match=f"has format {VERSION + 1}, written by a newer"):
        Store(path)
    assert version_of(path) == VERSION + 1


@contextlib.contextmanager
def older(monkeypatch):
    """A program from before jobs had parameters."""
    with monkeypatch.context() as patched:
        for name in ("JOB_FIELDS", "_LISTED", "_JSON_FIELDS"):
            known = getattr(job_rows, name)
            patched.setattr(job_rows, name, type(known)(field for field in known if field != "parameters"))
        patched.setattr(store_module, "_COLUMNS", {})
        yield


def test_an_older_program_goes_on_with_a_store_that_got_a_column(path, monkeypatch):
    with older(monkeypatch):
        old = Store(path)
        add_jobs(old, "a")
    with Store(path) as new:
        new.add_job({"id": "b", "created": "2027", "state": "queued", "backend": "native", "parameters": {"x": 0.5}})
        assert new.job("a")["parameters"] is None
    with older(monkeypatch):
        old.update_job("a", state="done", result={"counts": {"0": 1}})
        add_jobs(old, "c")
        old.close()
        with Store(path) as again:
            assert [job["id"] for job in again.jobs()] == ["b", "c", "a"] and again.job("b")["state"] == "queued"
    with Store(path) as new:
        assert new.job("a")["result"] == {"counts": {"0": 1}} and new.job("b")["parameters"] == {"x": 0.5}
    assert version_of(path) == VERSION


def test_a_job_that_changed_since_it_was_read_is_not_removed(path):
    with Store(path) as store:
        add_jobs(store, "a", "b")
        rows = store.jobs()
        store.update_job("a", state="running")
        assert store.remove(rows) == 1 and [job["id"] for job in store.jobs()] == ["a"]
