"""What goes wrong: damaged files, kills at any moment, full and foreign disks, backends that raise or hang, Ctrl-C."""

import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import Parameter
from qiskit.circuit.library import PauliEvolutionGate, QFTGate
from qiskit.quantum_info import SparsePauliOp

import qml
from circuits.errors import LabError, StoreError, Unsupported
from qml import database, jobs, qpy_reader
from qml.backends.base import Backend
from qml.circuit_files import load, parse
from qml.store import Store
from qml.submission import scheduler, task
from qml.submission.process import SimulatorProcess

SEED = 20261125
FILES = int(os.environ.get("QML_LAB_FUZZ", "200"))  # of each of five kinds
KILLS = int(os.environ.get("QML_LAB_KILLS", "1"))


class Answering(Backend):
    """Answers with its seed."""

    name = "answering"

    def compile(self, program, observables, slots=None):
        raise NotImplementedError

    def counts(self, circuit, shots, seed=None):
        return {format(seed, "b"): shots}


class Hanging(Answering):
    """Never answers."""

    def counts(self, circuit, shots, seed=None):
        while True:
            time.sleep(0.01)


def bell(angle: float = 0.4) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    return circuit


def long() -> QuantumCircuit:
    """Minutes on any machine."""
    circuit = QuantumCircuit(24)
    for layer in range(400):
        circuit.ry(0.1 + layer, range(24))
        circuit.cx(range(23), range(1, 24))
    return circuit


# ---- damaged files


def sources() -> dict[str, bytes]:
    plain = QuantumCircuit(3, 3)
    plain.h(0)
    plain.sx(1)
    plain.cx(0, 1)
    plain.rzz(0.3, 1, 2)
    plain.u(1, 2, 3, 0)
    plain.reset(0)
    plain.measure(range(3), range(3))
    control = plain.copy()
    with control.if_test((0, 1)):
        control.x(1)
    rich = QuantumCircuit(3, name="rich", metadata={"who": "me"})
    rich.append(PauliEvolutionGate(SparsePauliOp(["ZZI", "XXI"])), [0, 1, 2])
    rich.append(QFTGate(2), [0, 1])
    rich.mcx([0, 1], 2)
    rich.initialize([1, 0], 0)
    rich.unitary([[0, 1], [1, 0]], 0)
    angle = Parameter("a")
    free = QuantumCircuit(1)
    free.rx(2 * angle + angle.sin(), 0)
    loop = 'OPENQASM 3;\ninclude "stdgates.inc";\ninput float a;\nqubit[2] q;\nbit[2] c;\ngate g(x) p { rx(2*x+pi/2) p; }\n'
    loop += "for int i in [0:2] { g(0.3) q[0]; }\nc = measure q;\nif (c == 2) { x q[1]; }\n"
    kept = {"control": as_qpy(control), "rich": as_qpy(rich, free)}
    return {"qasm2": qasm2.dumps(plain).encode(), "qasm3": qasm3.dumps(control).encode(), "loop": loop.encode()} | kept


def as_qpy(*circuits: QuantumCircuit) -> bytes:
    file = io.BytesIO()
    qpy.dump(circuits, file)
    return file.getvalue()


def damaged(data: bytes, generator: random.Random, is_text: bool) -> bytes:
    """One or two bytes, pieces or words of it changed."""
    out = bytearray(data)
    words = [b"(((((", b")", b"999999999", b"qreg q[5];", b"gate a b { a b; }", b"1e400", b"-", b";", b"/*", b"[", b"}"]
    for _ in range(generator.choice([1, 1, 2])):
        place, kind = generator.randrange(len(out)), generator.randrange(5)
        if kind == 0:
            out[place] = generator.randrange(32, 127) if is_text else generator.randrange(256)
        elif kind == 1:
            del out[place : place + generator.randrange(1, 9)]
        elif kind == 2:
            out[place] ^= 1 << generator.randrange(5 if is_text else 8)
        elif kind == 3:
            start = generator.randrange(len(out))
            out[place:place] = out[start : start + generator.randrange(1, 40)]
        else:
            out[place:place] = generator.choice(words) * generator.choice([1, 1, 30]) if is_text else generator.randbytes(4)
    return bytes(out)


@pytest.mark.parametrize("kind", ["qasm2", "qasm3", "loop", "control", "rich"])
def test_a_damaged_file_is_refused_in_one_line_or_runs(kind, store, monkeypatch):
    monkeypatch.setattr(qpy_reader, "SECONDS", 2.0)
    whole, generator = sources()[kind], random.Random(f"{SEED} {kind}")
    print("seed", SEED)
    sound, refused = [], 0
    assert parse(whole, "whole", parameters=True)
    for number in range(FILES):
        try:
            sound += parse(damaged(whole, generator, kind not in ("control", "rich")), f"file {number}", parameters=False)
        except LabError as error:
            assert "\n" not in str(error) and f"file {number}" in str(error) and len(str(error)) < 600
            refused += 1
    assert refused > FILES // 3
    for circuit in sound[: FILES // 5]:
        try:
            job = qml.submit(circuit, backend="aer", shots=2, seed=1, timeout=60, store=store)
            assert sum(job.result().counts.values()) == 2
        except LabError as error:
            assert "\n" not in str(error)


def test_a_reader_that_dies_or_never_ends_is_a_refusal_and_the_next_file_is_read(monkeypatch, tmp_path):
    whole, reader = sources()["control"], qpy_reader._Reader()
    assert reader.read(whole, 60)
    pid = reader._process.pid
    os.kill(pid, signal.SIGSTOP)  # it hangs
    with pytest.raises(ValueError, match="reading it takes more than 0 s"):
        reader.read(whole, 0.2)
    assert reader.read(whole, 60) and reader._process.pid != pid
    os.kill(reader._process.pid, signal.SIGSTOP)
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {reader._process.pid}"])
    with pytest.raises(ValueError, match="reading it ended Qiskit's reader"):
        reader.read(whole, 60)
    assert killer.wait() == 0 and reader.read(whole, 60)
    reader.stop()


def test_an_interrupted_read_leaves_no_answer_for_the_next_file(monkeypatch):
    files, reader = [as_qpy(QuantumCircuit(1, name=name)) for name in "ab"], qpy_reader._Reader()

    class Interrupting:
        """The header of an answer, at which Ctrl-C arrives."""

        unpack = None

        @property
        def size(self):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(qpy_reader, "_HEADER", Interrupting())
        with pytest.raises(KeyboardInterrupt):
            reader.read(files[0], 60)
    (circuit,) = qpy.load(io.BytesIO(reader.read(files[1], 60)))
    assert circuit.name == "b"
    reader.stop()


def test_the_reader_outlives_the_thread_that_started_it_and_ends_with_its_pipe():
    data, reader = as_qpy(QuantumCircuit(1)), qpy_reader._Reader()
    thread = threading.Thread(target=reader.read, args=(data, 60))
    thread.start()
    thread.join()
    process = reader._process
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert reader.read(data, 60) and reader._process is process
    process.stdin.close()
    assert process.wait(60) == 0


# ---- kills


CIRCUITS = [bell(0.1 * k) for k in range(2)]


class Killing(sqlite3.Connection):
    """A connection whose process dies before or after a given statement."""

    left = None

    def execute(self, *arguments):
        if Killing.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if Killing.left is not None:
            Killing.left -= 1
        return super().execute(*arguments)


def results(store) -> dict:
    with Store(store) as opened:
        return {row["number"]: (row["state"], opened.job(row["id"])["result"]) for row in opened.jobs()}


def in_a_child(store, statements: int | None) -> int:
    """The exit status of a child that submits the circuits under a tag, waits, and dies before that statement."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            Killing.left = statements
            found = qml.submit(CIRCUITS, backend=Answering(), seed=SEED, tag="run", store=store)
            code = 0 if [job.result() for job in found] else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_kill_before_any_statement_loses_no_job_and_records_none_twice(store, monkeypatch, tmp_path):
    connect = sqlite3.connect

    def killing(*arguments, **options) -> Killing:
        connection = connect(*arguments, **options, factory=Killing)
        sqlite3.Connection.execute(connection, "PRAGMA synchronous = OFF")  # of use when the machine dies, not a process
        return connection

    monkeypatch.setattr(database.sqlite3, "connect", killing)
    # Only children submit: a thread of this process might hold SQLite's lock while it forks.
    assert in_a_child(tmp_path / "undisturbed", None) == 0
    expected, number, died = results(tmp_path / "undisturbed"), 0, True
    while died:
        path = tmp_path / f"store{number}"
        died = in_a_child(path, number) == -signal.SIGKILL
        with Store(path) as opened:
            rows = opened.jobs()
        assert len(rows) in (0, len(CIRCUITS))  # all of a submission, or nothing
        assert died or {row["state"] for row in rows} == {"done"}
        assert in_a_child(path, None) == 0
        assert results(path) == expected and len(expected) == len(CIRCUITS)
        with Store(path) as opened:
            assert sorted(row["number"] for row in opened.jobs()) == list(range(len(CIRCUITS)))
            if rows:
                assert {row["id"] for row in opened.jobs()} == {row["id"] for row in rows}
        number += 1
    print(number, "statements")
    assert number > 30


WORK = """
    import sys
    from qiskit import QuantumCircuit
    import qml, qml.jobs
    circuits = []
    for k in range(12):
        circuit = QuantumCircuit(3)
        circuit.ry(0.1 * k, range(3))
        circuit.cx(0, 1)
        circuits.append(circuit)
    print("begin", flush=True)
    jobs = qml.submit(circuits, backend=sys.argv[2], shots=100, seed=1, store=sys.argv[1], tag="run", parallel=2)
    for job in qml.jobs.as_ended(jobs):
        job.result()
"""


def start(code: str, *arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("backend", ["aer"] if KILLS < 10 else ["aer", "native"])
def test_after_kills_at_random_moments_the_same_command_has_every_result_once(backend, tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    generator, path, killed = random.Random(seed), tmp_path / "store", 0
    whole = start(WORK, tmp_path / "undisturbed", backend)
    assert whole.stdout.readline() == "begin\n"
    began = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - began
    ids: set[str] = set()
    for _ in range(KILLS):
        program = start(WORK, path, backend)
        assert program.stdout.readline() == "begin\n"
        time.sleep(generator.uniform(0, seconds))
        program.kill()
        killed += program.wait() == -signal.SIGKILL
        found = {row["id"] for row in jobs.job_records(path)}
        assert len(found) in (0, 12) and ids <= found  # what was there stays, and nothing is added
        ids = found
        if {row["state"] for row in jobs.job_records(path)} == {"done"}:  # the next kill finds work to do
            with Store(path) as opened:
                for job_id in generator.sample(sorted(ids), 8):
                    opened.update_job(job_id, state="cancelled", result=None)
    assert start(WORK, path, backend).wait() == 0
    print(killed, "of", KILLS, "were killed in time")
    assert results(path) == results(tmp_path / "undisturbed") and len(results(path)) == 12
    with Store(path) as opened:
        assert len(opened.jobs()) == 12
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_two_processes_submit_to_one_store_and_each_finds_its_own(store):
    code = WORK.replace('tag="run"', "tag=sys.argv[3]")
    programs = [start(code, store, "native", name) for name in ("one", "two")]
    assert [program.wait() for program in programs] == [0, 0]
    for name in ("one", "two"):
        rows = jobs.job_records(store, tag=name)
        assert len(rows) == 12 and {row["state"] for row in rows} == {"done"}
    assert len(jobs.job_records(store)) == 24


# ---- disks


def test_a_full_disk_is_told_in_one_line_and_nothing_of_the_submission_is_kept(store, monkeypatch):
    qml.submit(bell(), backend=Answering(), store=store).result()
    connect = sqlite3.connect

    def limited(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        return connection

    monkeypatch.setattr(database.sqlite3, "connect", limited)
    with pytest.raises(StoreError, match="cannot grow, the disk is full: free some space") as caught:
        qml.submit([bell()] * 50, backend=Answering(), store=store)
    assert "\n" not in str(caught.value) and len(jobs.job_records(store)) == 1
    monkeypatch.setattr(database.sqlite3, "connect", connect)
    assert len([job.result() for job in qml.submit([bell()] * 50, backend=Answering(), store=store)]) == 50


def test_a_really_full_disk_is_told_in_one_line(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True)
    if mount.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        qml.submit(bell(), backend=Answering(), store=disk / "store").result()
        (disk / "filler").write_bytes(bytes(1 << 14))
        with pytest.raises(StoreError, match="disk is full") as caught:
            for _ in range(100):
                qml.submit([bell()] * 20, backend=Answering(), store=disk / "store")[-1].result()
        assert "\n" not in str(caught.value)
        (disk / "filler").unlink()
        assert all(row["state"] in ("done", "queued", "running") for row in jobs.job_records(disk / "store"))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_store_on_a_network_path_keeps_no_file_in_shared_memory(tmp_path, monkeypatch):
    import collections

    part = collections.namedtuple("Part", "mountpoint fstype")
    local = [part("/", "ext4")]
    for number, kind in enumerate(["nfs4", "cifs", "lustre", "fuse.sshfs", "ext4"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(psutil, "disk_partitions", lambda all, f=folder, k=kind: [*local, part(str(f), k)])
        assert qml.submit(bell(), backend=Answering(), store=folder / "store").result()
        with sqlite3.connect(folder / "store") as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal" if kind == "ext4" else "delete",)


# ---- backends


def test_a_backend_that_hangs_fails_at_its_time_limit_and_the_next_job_runs(store):
    hanging, after = (qml.submit(bell(), backend=b, timeout=0.3, store=store) for b in (Hanging(), Answering()))
    with pytest.raises(LabError, match=r"did not end within 0\.3 s: give it a longer --timeout"):
        hanging.result()
    assert after.result().counts and hanging.status() == "failed" and "0.3 s" in hanging.record()["error"]


def test_a_simulation_past_its_time_limit_is_ended(store):
    job = qml.submit(long(), backend="aer", timeout=3, store=store)
    task = scheduler.current().live[job.id]
    while getattr(task._active, "simulator", None) is None or (pid := task._active.simulator.pid) is None:
        time.sleep(0.01)
    with pytest.raises(LabError, match="did not end within 3 s"):
        job.result()
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def test_the_start_of_a_simulator_takes_none_of_a_jobs_time(store, monkeypatch):
    prepare = SimulatorProcess.prepare

    def slowly(self, request):
        time.sleep(6)
        prepare(self, request)

    monkeypatch.setattr(SimulatorProcess, "prepare", slowly)
    assert qml.submit(bell(), backend="aer", timeout=5, store=store).result().counts
    monkeypatch.setattr(task, "STARTING", 0.0)
    with pytest.raises(LabError, match=r"did not end within 0\.5 s"):  # nor may it take for ever
        qml.submit(bell(), backend="aer", timeout=0.5, store=store).result()


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "3", True])
def test_a_time_limit_is_a_number_of_seconds(wrong, store):
    with pytest.raises(LabError, match="timeout must be a number of seconds above 0"):
        qml.submit(bell(), timeout=wrong, store=store)


def test_a_cancelled_job_that_nothing_can_stop_keeps_no_other_waiting(store):
    hanging = qml.submit(bell(), backend=Hanging(), store=store)
    while hanging.status() != "running":
        pass
    after = qml.submit(bell(), backend=Answering(), store=store)
    assert hanging.cancel() and after.result().counts


def test_more_classical_bits_than_a_backend_holds_are_refused_and_aer_counts_them(store):
    circuit = QuantumCircuit(1, 70)
    circuit.x(0)
    circuit.measure(0, 69)
    with pytest.raises(LabError, match="70 classical bits: backend 'native' holds 62"):
        qml.submit(circuit, store=store).result()
    assert qml.submit(circuit, backend="aer", shots=3, store=store).result().counts == {"1" + "0" * 69: 3}


def test_classical_control_is_refused_where_it_cannot_be(store):
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    for backend in ("native", "pennylane"):
        with pytest.raises(LabError, match="only backend 'aer' samples"):
            qml.submit(circuit, backend=backend, store=store).result()
    with pytest.raises(LabError, match="without observables"):
        qml.submit(circuit, observables="ZZ", shots=None, store=store).result()


def test_another_process_cannot_be_given_a_backend_object(store):
    for elsewhere in ({"detach": True}, {"cluster": "tcp://nowhere:1"}):
        with pytest.raises(LabError, match="name the backend, with plain options"):
            qml.submit(bell(), backend=Answering(), store=store, **elsewhere)
    assert not store.exists() and not issubclass(StoreError, Unsupported)


# ---- Ctrl-C


# Whoever runs the tests in the background may have them ignore Ctrl-C.
WAITING = """
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from qiskit import QuantumCircuit
    import qml
    circuit = QuantumCircuit(24)
    for layer in range(400):
        circuit.ry(0.1 + layer, range(24))
        circuit.cx(range(23), range(1, 24))
    job = qml.submit(circuit, backend=sys.argv[2], store=sys.argv[1])
    print(job.id, flush=True)
    try:
        job.result()
    except KeyboardInterrupt:
        print(job.status(), flush=True)
        raise
"""


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_ctrl_c_ends_the_wait_for_a_result_and_then_the_program(backend, store):
    program = start(WAITING, store, backend, stderr=subprocess.PIPE)
    job = qml.retrieve_job(program.stdout.readline().strip(), store)
    while job.status() != "running":
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate()
    assert out == "running\n" and err.rstrip().endswith("KeyboardInterrupt")  # the wait ended, the job did not
    assert job.status() == "cancelled"  # when the program did, rather than keeping it for minutes


def test_files_are_looked_at_whole_before_anything_runs(tmp_path):
    (tmp_path / "a").write_bytes(sources()["rich"])
    with pytest.raises(LabError, match=r"circuit 1 has 1 free parameter \(a\)"):
        load(tmp_path / "a")
