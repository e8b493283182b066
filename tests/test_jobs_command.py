"""What becomes of jobs: workers that outlive their command, jobs listed, cancelled, run again and removed."""

import io
import json
import os
import signal
import sqlite3
import time

import pytest
from qiskit import QuantumCircuit, qpy

import qml
from circuits.errors import LabError
from qml import jobs
from qml.store import Store
from qml.submission import detached, placing

pytestmark = pytest.mark.usefixtures("on_store")


def tilted(angle: float = 0.4, name: str | None = None) -> QuantumCircuit:
    circuit = QuantumCircuit(2, name=name)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    return circuit


def test_a_detached_worker_goes_on_when_its_command_has_left(command, tmp_path):
    with open(tmp_path / "f.qpy", "wb") as file:
        qpy.dump([tilted(0.1), tilted(0.2)], file)
    code, out, _ = command("submit", tmp_path / "f.qpy", "--detach", "--backend", "aer", "--seed", 5)
    ids = out.split()
    assert code == 0 and len(ids) == 2
    owner = qml.retrieve_job(ids[0], os.environ["QML_LAB_STORE"]).record()["owner"]
    assert owner["pid"] != os.getpid()
    code, out, _ = command("jobs", "result", *ids, "--json")
    here = [job.result().counts for job in qml.submit([tilted(0.1), tilted(0.2)], "aer", seed=5)]
    lines = sorted(map(json.loads, out.splitlines()), key=lambda line: line["number"])
    assert code == 0 and [line["counts"] for line in lines] == here


def test_a_detached_worker_that_is_killed_loses_its_job_to_rerun(command, tmp_path, store):
    circuit = QuantumCircuit(24)
    for layer in range(400):  # minutes on any machine
        circuit.ry(0.1 + layer, range(24))
        circuit.cx(range(23), range(1, 24))
    with open(tmp_path / "long.qpy", "wb") as file:
        qpy.dump(circuit, file)
    job_id = command("submit", tmp_path / "long.qpy", "--detach", "--backend", "aer")[1].strip()
    job = qml.retrieve_job(job_id, store)
    os.kill(job.record()["owner"]["pid"], signal.SIGKILL)
    while job.status() != "lost":
        time.sleep(0.02)
    with Store(store) as opened, sqlite3.connect(store) as connection:
        assert len(opened.jobs()) == 1
        small = tilted().measure_all(inplace=False)
        packed = io.BytesIO()
        qpy.dump(small, packed)
        connection.execute("UPDATE jobs SET circuit = ?", (packed.getvalue(),))  # not to wait for minutes
    code, out, _ = command("jobs", "rerun", "--lost", "--json")
    assert code == 0 and json.loads(out)["id"] == job_id and job.status() == "done"
    assert command("jobs", "rerun", "--lost")[1] == "no job was lost\n"
    assert len(jobs.job_records(store)) == 1


def test_jobs_are_chosen_by_state_and_tag_cancelled_rerun_and_removed(command, store):
    done = qml.submit(tilted(), tag="kept", store=store)
    done.result()
    with Store(store) as opened:
        for job_id, state in (("aaa", "failed"), ("bbb", "cancelled"), ("ccc", "running")):
            owner = {"host": "elsewhere", "pid": 1, "started": 0.0} if job_id == "ccc" else None
            row = {"id": job_id, "created": "2026-01-01", "backend": "native", "state": state, "owner": owner, "n_qubits": 1}
            opened.add_job(row | {"options": {}, "name": "c", "error": "why"})

    def listed(*arguments: str) -> set[str]:
        return {json.loads(line)["id"] for line in command("jobs", "list", "--json", *arguments)[1].splitlines()}

    assert listed("--state", "failed") == {"aaa"} and listed("--tag", "kept") == {done.id} == listed("--limit", "1")
    assert "did you mean 'failed'" in command("jobs", "list", "--state", "fail")[2]
    assert "is done: what is run again was lost, failed or cancelled" in command("jobs", "rerun", done.id)[2]
    assert "ran on a backend object" in command("jobs", "rerun", "aaa")[2]
    assert "no job was given" in command("jobs", "rerun")[2]
    assert command("jobs", "cancel", "ccc") == (0, "ccc cancelled\n", "")
    assert "job ccc had ended, it is cancelled: nothing to cancel" in command("jobs", "cancel", "ccc")[2]
    assert "leave out --no-wait" not in command("jobs", "result", done.id, "--no-wait")[2]
    assert command("jobs", "gc", "--dry-run")[1].startswith("would remove 3 jobs (failed, cancelled, lost)")
    assert len(listed()) == 4
    assert command("jobs", "gc")[1].startswith("removed 3 jobs") and listed() == {done.id}
    assert command("jobs", "gc", "--done", "--days", 0)[1].startswith("removed 1 job ") and listed() == set()


def test_jobs_named_twice_are_run_and_cancelled_once(command, store):
    job = qml.submit(tilted(), seed=3, shots=50, store=store)
    counts = job.result().counts
    with Store(store) as opened:
        opened.update_job(job.id, state="failed", result=None)
    code, out, _ = command("jobs", "rerun", job.id, job.id[:8], "--json")
    assert code == 0 and [json.loads(line)["counts"] for line in out.splitlines()] == [counts]
    with Store(store) as opened:
        opened.update_job(job.id, state="running", owner={"host": "elsewhere", "pid": 1, "started": 0.0})
    assert command("jobs", "cancel", job.id, job.id) == (0, f"{job.id} cancelled\n", "")


def test_a_time_limit_may_be_given_to_what_runs_again(command, store):
    job = qml.submit(tilted(), timeout=20, store=store)
    for options, limit in (([], 20.0), (["--timeout", 70], 70.0), ([], 70.0)):
        job.result()
        with Store(store) as opened:
            opened.update_job(job.id, state="failed", result=None)
        assert command("jobs", "rerun", job.id, *options)[0] == 0 and job.record()["time_limit"] == limit
    assert "timeout must be a number of seconds above 0" in command("jobs", "rerun", job.id, "--timeout", 0)[2]


def test_lost_jobs_of_backend_objects_are_left_out_by_name_and_the_others_run(command, store, counting):
    kept, left = qml.submit(tilted(), store=store), qml.submit(tilted(), counting(), store=store)
    with Store(store) as opened:
        for job in (kept, left):
            job.result()
            opened.update_job(job.id, state="running", owner=job.record()["owner"] | {"started": 0.0})
    code, out, err = command("jobs", "rerun", "--lost", "--json")
    assert code == 0 and json.loads(out)["id"] == kept.id and kept.status() == "done" and left.status() == "lost"
    assert err == f"left out: {left.id} ran on a backend object, which no store holds: submit again\n"
    assert command("jobs", "rerun", "--lost")[:2] == (0, "no other job was lost\n")


def test_a_list_has_at_least_one_job(command, store):
    for job in qml.submit([tilted()] * 3, store=store):
        job.result()
    code, out, err = command("jobs", "list", "--limit", -1)
    assert (code, out) == (2, "") and "greater than or equal to 1" in err
    assert len(command("jobs", "list", "--limit", 2, "--json")[1].splitlines()) == 2


# ---- jobs that nothing can begin


def test_jobs_that_cannot_be_placed_have_failed_with_the_reason(store, monkeypatch):
    def nowhere(*_):
        raise LabError("no Dask scheduler answers at nowhere: start one, or check it")

    with monkeypatch.context() as patched:
        patched.setattr(placing, "tasks", nowhere)
        with pytest.raises(LabError, match="no Dask scheduler answers at nowhere"):
            qml.submit([tilted(), tilted()], store=store)
    rows, reason = jobs.job_records(store), "no Dask scheduler answers at nowhere: start one, or check it"
    assert [(row["state"], row["error"]) for row in rows] == [("failed", reason)] * 2
    again = jobs.rerun([row["id"] for row in rows], store)
    assert all(job.result().counts for job in again)


def test_jobs_whose_worker_does_not_start_have_failed_and_run_again(store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(detached.sys, "executable", "/bin/false")
        with pytest.raises(LabError, match=r"did not start .*: write `qml jobs rerun"):
            qml.submit([tilted(), tilted()], store=store, detach=True)
    rows = jobs.job_records(store)
    assert [row["state"] for row in rows] == ["failed"] * 2 and "did not start" in rows[0]["error"]
    again = jobs.rerun([row["id"] for row in rows], store, detach=True)
    assert all(job.result().counts for job in again)
    assert {job.record()["owner"]["pid"] for job in again}.isdisjoint({os.getpid()})
