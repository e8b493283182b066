"""Submissions of many circuits: files and folders of them, how many run at once; options and progress on the screen."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from qiskit import QuantumCircuit, qpy

import qml
from circuits.errors import LabError
from qml import jobs
from qml.backends.base import Backend

SEED = 20261125
pytestmark = pytest.mark.usefixtures("on_store")


class Counted(Backend):
    """Answers with its seed, after it was let through; it knows how many were inside at once."""

    name = "counted"

    def __init__(self, wanted: int = 1):
        self.wanted, self.inside, self.most, self.calls, self._lock = wanted, 0, 0, 0, threading.Condition()

    def compile(self, program, observables, slots=None):
        raise NotImplementedError

    def counts(self, circuit, shots, seed=None):
        with self._lock:
            self.inside, self.calls = self.inside + 1, self.calls + 1
            self.most = max(self.most, self.inside)
            self._lock.notify_all()
            self._lock.wait_for(lambda: self.most >= self.wanted, timeout=60)
        time.sleep(0.002)
        with self._lock:
            self.inside -= 1
        return {format(seed, "b"): shots}


def tilted(angle: float = 0.4, name: str | None = None) -> QuantumCircuit:
    circuit = QuantumCircuit(2, name=name)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    return circuit


def test_files_folders_and_files_of_many_circuits_are_one_submission_and_a_line_each(command, tmp_path):
    (tmp_path / "folder").mkdir()
    for number in range(3):
        with open(tmp_path / "folder" / f"c{number}.qpy", "wb") as file:
            qpy.dump([tilted(name=f"q{number}"), tilted(0.7, name="second")], file)
    (tmp_path / "folder" / "notes.txt").write_text("no circuit")
    (tmp_path / "one.qasm").write_text("OPENQASM 3;\nqubit[1] q;\nU(1, 0, 0) q;\n")
    code, out, err = command("submit", tmp_path / "folder", tmp_path / "one.qasm", "--json", "--seed", 1)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "") and {line["number"] for line in lines} == set(range(7))
    names = [line["name"] for line in sorted(lines, key=lambda line: line["number"])]
    assert names == ["q0", "second", "q1", "second", "q2", "second", "one"]
    assert len({line["seed"] for line in lines}) == 7


def test_a_bad_file_among_many_keeps_all_of_them_out_of_the_store(command, tmp_path, store):
    for number in range(3):
        (tmp_path / f"{number}.qasm").write_text("OPENQASM 3;\nqubit q;\n" + ("nosuch q;" if number == 1 else "U(1,0,0) q;"))
    code, out, err = command("submit", tmp_path)
    assert (code, out) == (2, "") and "1.qasm is not sound OpenQASM 3" in err and not store.exists()


def test_many_results_are_a_list_and_not_as_many_tables(command, tmp_path):
    with open(tmp_path / "many.qpy", "wb") as file:
        qpy.dump([tilted() for _ in range(40)], file)
    code, out, _ = command("submit", tmp_path / "many.qpy", "--shots", 5)
    assert code == 0 and out.count("done") == 32 and "of 8 more" in out


def test_a_thousand_circuits_are_one_submission_whose_results_are_all_there(store):
    submitted = qml.submit([tilted()] * 1000, backend=Counted(), shots=3, seed=SEED, store=store)
    ended = [job.id for job in jobs.as_ended(submitted)]
    assert sorted(ended) == sorted(job.id for job in submitted)
    rows = jobs.job_records(store, submission=submitted[0].id)
    assert len(rows) == 1000 and {row["state"] for row in rows} == {"done"}
    assert submitted[567].result().counts == {format(submitted[567].record()["seed"], "b"): 3}


def test_as_many_run_at_once_as_the_limit_says_and_no_more(store):
    for limit in (1, 3):
        backend = Counted(wanted=limit)
        for job in qml.submit([tilted()] * 12, backend=backend, parallel=limit, store=store):
            job.result()
        assert backend.most == limit and backend.calls == 12
    with pytest.raises(LabError, match="parallel must be a whole number of at least 1"):
        qml.submit(tilted(), parallel=0, store=store)


def test_simulators_in_parallel_find_what_one_finds(store):
    circuits = [tilted(0.1 * k) for k in range(6)]
    request = {"backend": "aer", "seed": SEED, "store": store}
    one, two = ([job.result() for job in qml.submit(circuits, parallel=limit, **request)] for limit in (1, 2))
    assert one == two


def test_options_on_the_command_line_reach_the_backend(command, tmp_path):
    (tmp_path / "f.qasm").write_text("OPENQASM 3;\nqubit[2] q;\nU(1.57, 0, 3.14) q[0];\n")
    options = ("--option", "precision=single", "--option", "max_parallel_threads=1", "--option", "fusion_enable=false")
    options += ("--backend", "aer", "--method", "statevector")
    code, out, err = command("submit", tmp_path / "f.qasm", *options, "--json")
    assert (code, err) == (0, "")
    wanted = {"precision": "single", "max_parallel_threads": 1, "fusion_enable": False, "method": "statevector"}
    assert json.loads(out)["options"] == wanted
    for wrong in ("precision", "a b=1", "seed=3"):
        assert "--option takes NAME=VALUE" in command("submit", tmp_path / "f.qasm", "--option", wrong)[2]


def test_a_progress_bar_with_the_time_left_is_for_terminals_alone(tmp_path, store):
    pytest.importorskip("pty")
    import pty

    with open(tmp_path / "many.qpy", "wb") as file:
        qpy.dump([tilted() for _ in range(30)], file)
    code = "import sys; from qml.cli import main; sys.argv[0] = 'qml'; main()"
    leader, follower = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", code, "submit", str(tmp_path / "many.qpy"), "--store", str(store), "--json"],
        stdout=subprocess.PIPE, stderr=follower, text=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(follower)
    shown = []

    def watch() -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            while piece := os.read(leader, 65536):
                shown.append(piece.decode())

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = program.stdout.read()
    assert program.wait() == 0
    watcher.join()
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["done"] * 30
    assert "30/30" in "".join(shown) and "running 30 circuits on native" in "".join(shown)
