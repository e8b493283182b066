"""A run survives kills, Ctrl-C and a change of workers: rows are bit-identical and what was finished is kept."""

import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from circuits.errors import LabError
from qml.store import Store
from studies import base, execution, sources

SMALL = ("qubits=2,3", "depth_factor=2", "samples=160")
PROGRAM = (sys.executable, "-c", "from studies.cli import main; main()")


@pytest.fixture
def study() -> base.Study:
    """The study that the harness is tried on."""
    return base.load("barren_plateaus")


@pytest.fixture
def small(study):
    """Cases of a few milliseconds each."""
    return study.module.cases(study.settings(quick=True, assignments=SMALL))


def without_origin(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "provenance"} for row in rows]


def test_one_two_and_four_workers_give_bit_identical_rows(study, small, tmp_path):
    rows = {}
    for workers in (1, 2, 4):
        with Store(tmp_path / f"{workers}.sqlite") as store:
            ids, computed = execution.execute(study, small, store, workers)
            rows[workers] = store.rows(study.name, ids)
        assert computed == len(small)
    assert without_origin(rows[1]) == without_origin(rows[2]) == without_origin(rows[4])
    assert {row["provenance"]["threads"] for row in rows[2] + rows[4]} == {1}


def test_a_dask_cluster_gives_the_same_rows_as_this_process(study, small, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Store(tmp_path / "cluster.sqlite") as there,
        Store(tmp_path / "here.sqlite") as here,
    ):
        ids, _ = execution.execute(study, small, there, cluster=cluster.scheduler_address)
        execution.execute(study, small, here, workers=1)
        assert without_origin(there.rows(study.name, ids)) == without_origin(here.rows(study.name, ids))


def long_run(folder: pathlib.Path) -> subprocess.Popen:
    """Far more cases than are computed before a test stops it."""
    words = ("run", "barren_plateaus", "--workers", "2", "--set", "qubits=2,3", "--set", "depth_factor=2")
    # A group of its own, as a terminal makes it; Ctrl-C heard even where this test runs in the background.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + PROGRAM[-1]
    return subprocess.Popen(
        [*PROGRAM[:-1], program, *words, "--set", "samples=400000"],
        cwd=folder,
        env={**os.environ, "QML_LAB_STORE": str(folder / "store.sqlite")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stored(path: pathlib.Path) -> int:
    """How many cases another process has committed so far."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT COUNT(*) FROM cases").fetchone()[0]
    except sqlite3.Error:
        return 0


def wait_for(condition, what: str) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen")


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_a_killed_run_keeps_what_was_finished_leaves_no_worker_and_goes_on(tmp_path, study, small):
    process = long_run(tmp_path)
    wait_for(lambda: stored(tmp_path / "store.sqlite") >= 5, "a fifth case")
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(alive(pid) for pid in workers), "the end of every worker")
    with Store(tmp_path / "store.sqlite") as store, Store(tmp_path / "fresh.sqlite") as fresh:
        kept = store.case_ids(study.name)
        assert len(kept) == len(store.rows(study.name)) >= 5
        large = study.module.cases(study.settings(assignments=[*SMALL, "samples=400000"]))
        code = sources.code_version(study.name)
        chosen = [case for case in large if base.case_id(study.name, case, code) in kept][:3]
        chosen += [case for case in large if base.case_id(study.name, case, code) not in kept][:2]
        ids, computed = execution.execute(study, chosen, store, workers=1)
        assert computed == 2
        execution.execute(study, chosen, fresh, workers=1)
        assert without_origin(store.rows(study.name, ids)) == without_origin(fresh.rows(study.name, ids))


def test_ctrl_c_keeps_what_was_finished_and_exits_with_130(tmp_path, study):
    process = long_run(tmp_path)
    wait_for(lambda: stored(tmp_path / "store.sqlite") >= 5, "a fifth case")
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in error and "Traceback" not in error
    # Python's own helper of a pool ends only after its parent has.
    wait_for(lambda: not any(alive(pid) for pid in workers), "the end of every worker")
    with Store(tmp_path / "store.sqlite") as store:
        assert len(store.rows(study.name)) >= 5


def test_a_worker_with_other_code_is_refused(small):
    with pytest.raises(LabError, match="install the same one"):
        execution.compute("barren_plateaus", small[0], "0123456789ab")


def test_a_study_that_times_what_it_runs_takes_no_cluster(tmp_path):
    timing = base.load("gradient_cost")
    with Store(tmp_path / "s") as store, pytest.raises(LabError, match="leave --cluster out"):
        execution.execute(timing, [{}], store, None, "tcp://127.0.0.1:9")
