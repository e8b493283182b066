"""Submissions of many circuits: sweeps, tags, reuse, limits, workers of their own, and what becomes of jobs afterwards."""

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.classical import expr
from qiskit.circuit.library import (
    AndGate,
    IntegerComparatorGate,
    LinearPauliRotationsGate,
    MCMTGate,
    PauliEvolutionGate,
    StatePreparation,
    UnitaryGate,
    XGate,
    ZGate,
)
from qiskit.quantum_info import Operator, SparsePauliOp

import qml
from circuits.errors import LabError
from circuits.evolution import EvolutionGate
from qml import jobs
from qml.backends.base import Backend
from qml.store import Store
from qml.submission.fingerprint import of_circuit
from qml.submission.packing import packed
from qml.submission.sweep import Sweep, read_csv

SEED = 20261125


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def command(command, monkeypatch, store):
    """The same on the store, in lines of 120 columns."""
    monkeypatch.setenv("QML_LAB_STORE", str(store))
    monkeypatch.setenv("COLUMNS", "120")
    return command


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


def free() -> QuantumCircuit:
    a, w = Parameter("a"), ParameterVector("w", 2)
    circuit = QuantumCircuit(2, name="free")
    circuit.ry(2 * a, 0)
    circuit.rx(w[0], 1)
    circuit.cx(0, 1)
    circuit.ry(w[1], 1)
    return circuit


# ---- sweeps


def test_a_table_of_values_runs_the_circuit_once_a_row_as_bound_by_hand(store):
    table = np.random.default_rng(SEED).normal(size=(4, 3))
    swept = qml.submit(free(), shots=None, observables="ZZ", parameter_values=table, store=store)
    by_hand = qml.submit([free().assign_parameters(row) for row in table], shots=None, observables="ZZ", store=store)
    assert [job.result().values for job in swept] == [job.result().values for job in by_hand]
    assert [job.record()["name"] for job in swept] == [f"free[{row}]" for row in range(4)]
    assert [list(job.record()["parameters"].values()) for job in swept] == table.tolist()
    assert by_hand[0].record()["parameters"] is None
    one = qml.submit(free(), shots=None, observables="ZZ", parameter_values=table[1], store=store)
    assert one.result().values == swept[1].result().values


def test_arrays_mappings_and_csv_mean_the_same_values():
    circuit, table = free(), np.arange(6.0).reshape(2, 3) / 7
    a, *w = circuit.parameters
    expected = Sweep.of(circuit, table).circuits()
    vector = w[0].vector
    for same in (
        {"a": table[:, 0], "w[0]": table[:, 1], "w[1]": table[:, 2]},
        {a: table[:, 0], "w": table[:, 1:]},
        {a: table[:, 0].tolist(), vector: table[:, 1:]},
        read_csv(b" w[1], a ,w[0]\n" + b"".join(b"%r,%r,%r\n" % (q, p, r) for p, r, q in table.tolist()), "f", circuit),
        read_csv(b"".join(b"%r,%r,%r\r\n" % (p, q, r) for p, q, r in table.tolist()), "f", circuit),
    ):
        assert Sweep.of(circuit, same).circuits() == expected
    whole = Sweep.of(circuit, {"a": 0.1, "w": [0.2, 0.3]})
    assert whole.points() == [{"a": 0.1, "w[0]": 0.2, "w[1]": 0.3}]
    assert whole.circuits() == circuit.assign_parameters([0.1, 0.2, 0.3])
    assert len(Sweep.of(circuit, {"a": 0.1, "w": np.ones((5, 2))}).circuits()) == 5


@pytest.mark.parametrize(
    "values, says",
    [
        (np.ones((2, 2)), r"have shape \(2, 2\): give \(3,\) or \(rows, 3\), in this order: a, w\[0\], w\[1\]"),
        (np.ones((0, 3)), r"have shape \(0, 3\)"),
        (["x", "y", "z"], "are no numbers"),
        ([1, 2, float("nan")], "hold nan: all must be finite"),
        ({"a": 1}, r"misses 'w\[0\]'"),
        ({"a": 1, "w": [1, 2], "b": 1}, "has no parameter 'b'"),
        ({"a": [1, 2], "w": np.ones((3, 2))}, r"different numbers of values \(\[2, 3\]\)"),
        ({"a": 1, "w": [1, 2, 3]}, "its length is 2"),
        ({"a": 1, "w": [1, 2], "w[0]": 3}, "is given twice"),
    ],
)
def test_values_that_do_not_fit_are_refused_in_one_line(values, says, store):
    with pytest.raises(LabError, match=says):
        qml.submit(free(), parameter_values=values, store=store)
    with pytest.raises(LabError, match="has no free parameters"):
        qml.submit(tilted(), parameter_values=values, store=store)
    assert not store.exists()


@pytest.mark.parametrize(
    "text, says",
    [
        ("a,w[0],w[1]\n", "has no line of numbers"),
        ("", "has no line of numbers"),
        ("a,b,w[1]\n1,2,3\n", "has no parameter 'b'"),
        ("a,w[0]\n1,2\n", r"misses 'w\[1\]'"),
        ("a,w[0],w[1]\n1,2\n", "line of numbers 1: wanted 3 numbers, got '1,2'"),
        ("1,2,3\n1,2,x\n", "line of numbers 2: wanted 3 numbers, got '1,2,x'"),
        ("a,a,w[0],w[1]\n1,2,3,4\n", "names one twice"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_its_line(text, says):
    with pytest.raises(LabError, match=says):
        read_csv(text.encode(), "values.csv", free())


def test_an_openqasm_3_file_with_inputs_is_swept_from_a_csv(command, tmp_path):
    (tmp_path / "f.qasm").write_text('OPENQASM 3;\ninclude "stdgates.inc";\ninput float a;\nqubit[1] q;\nry(a) q[0];\n')
    (tmp_path / "v.csv").write_text(f"a\n0\n{np.pi}\n{np.pi / 3}\n")
    code, out, _ = command(
        "submit", tmp_path / "f.qasm", "--values", tmp_path / "v.csv", "--observable", "Z", "--exact", "--json"
    )
    values = {line["parameters"]["a"]: line["values"][0] for line in map(json.loads, out.splitlines())}
    assert code == 0 and values == pytest.approx({0.0: 1, np.pi: -1, np.pi / 3: 0.5}, abs=1e-7)
    code, out, err = command("submit", tmp_path / "f.qasm")
    assert code == 2 and "free parameter (a)" in err


# ---- many circuits


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


# ---- tags and reuse


def test_the_same_submission_under_a_tag_finds_its_jobs_and_records_none_twice(store):
    backend = Counted()
    first = qml.submit([tilted(0.1), tilted(0.2)], backend=backend, tag="run", store=store)
    [job.result() for job in first]
    longer = qml.submit([tilted(0.1), tilted(0.2), tilted(0.3)], backend=backend, tag="run", store=store)
    [job.result() for job in longer]
    assert [job.id for job in longer[:2]] == [job.id for job in first] and backend.calls == 3
    assert len(jobs.job_records(store)) == 3
    for other in ({"circuits": [tilted(0.5)]}, {"shots": 5}, {"seed": 1}):
        with pytest.raises(LabError, match="the tag 'run' belongs to another submission, whose circuit 0"):
            qml.submit(**{"circuits": [tilted(0.1)], "backend": backend, "tag": "run", "store": store} | other)
    for wrong in ("", " ", "a\nb", "x" * 101, 3):
        with pytest.raises(LabError, match="a tag is a line of 1 to 100 characters"):
            qml.submit(tilted(), tag=wrong, store=store)


def test_what_was_cancelled_or_lost_runs_again_under_its_tag_with_its_seed(store):
    backend = Counted()
    submitted = qml.submit([tilted(0.1), tilted(0.2), tilted(0.3)], backend=backend, tag="run", store=store)
    results = [job.result() for job in submitted]
    with Store(store) as opened:
        opened.update_job(submitted[0].id, state="cancelled", result=None)
        dead = submitted[1].record()["owner"] | {"started": 0.0}
        opened.update_job(submitted[1].id, state="running", result=None, owner=dead)
    assert submitted[1].status() == "lost"
    again = qml.submit([tilted(0.1), tilted(0.2), tilted(0.3)], backend=backend, tag="run", store=store)
    assert [job.result() for job in again] == results and backend.calls == 5
    assert [job.id for job in again] == [job.id for job in submitted]


def test_a_job_that_is_done_answers_for_the_same_circuit_and_settings_and_for_no_other(store):
    request = {"shots": 50, "store": store, "reuse": True}
    first = qml.submit(tilted(0.1, "a"), seed=4, **request)
    first.result()
    assert qml.submit(tilted(0.1, "b"), seed=4, **request).id == first.id  # a circuit's name is no part of it
    assert qml.submit(tilted(0.1), **request).id == first.id  # any seed will do
    assert qml.submit(tilted(0.1), seed=4, shots=50, store=store).id != first.id  # not asked to
    for other in (
        qml.submit(tilted(0.1), seed=5, **request),
        qml.submit(tilted(0.1), seed=4, **request | {"shots": 51}),
        qml.submit(tilted(0.11), seed=4, **request),
        qml.submit(tilted(0.1), seed=4, backend="aer", **request),
        qml.submit(tilted(0.1), seed=4, observables="ZZ", **request),
    ):
        assert other.id != first.id and other.result()
    noisy = [qml.submit(tilted(0.1), backend="aer", noise=p, seed=4, **request) for p in (0.1, 0.2)]
    assert noisy[0].result() and noisy[0].id != noisy[1].id


def test_one_result_answers_one_circuit_of_a_list(store):
    backend = Counted()
    [job.result() for job in qml.submit([tilted()] * 2, backend=backend, store=store)]
    again = qml.submit([tilted()] * 3, backend=backend, reuse=True, store=store)
    assert len({job.id for job in again}) == 3 and len({job.result().counts.popitem() for job in again}) == 3
    assert backend.calls == 3


def custom(name: str, angle: float) -> QuantumCircuit:
    inner = QuantumCircuit(2, name=name)
    inner.rx(angle, 0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(3, 1)
    circuit.append(inner.to_gate(), [0, 2])
    circuit.append(inner.to_gate().control(1, ctrl_state=0), [1, 0, 2])
    return circuit


def feedback(value: int) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], value)):
        circuit.x(1)
    return circuit


def of_operator(text: str, time: float) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.append(PauliEvolutionGate(SparsePauliOp(text), time), [0, 1])
    return circuit


def of_matrix(sign: int) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.append(UnitaryGate([[1, 0], [0, sign]]), [0])
    return circuit


def test_a_fingerprint_tells_circuits_apart_by_what_they_do():
    def variants():
        yield from (tilted(0.1), tilted(np.nextafter(0.1, 1)), custom("g", 0.1), custom("g", 0.2), feedback(0), feedback(1))
        yield from (of_operator("XX", 1), of_operator("XY", 1), of_operator("XX", 2), of_matrix(1), of_matrix(-1))
        yield from (QuantumCircuit(2), QuantumCircuit(3), QuantumCircuit(2, 1), QuantumCircuit(2, global_phase=1))

    first, second = list(map(of_circuit, variants())), list(map(of_circuit, variants()))
    assert first == second and len(set(first)) == len(first)
    for circuit, expected in zip(variants(), first):  # and the same after a way through a file
        packed = io.BytesIO()
        qpy.dump(circuit, packed)
        packed.seek(0)
        assert of_circuit(qpy.load(packed)[0]) == expected


def gate_alone(gate: Gate) -> QuantumCircuit:
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, range(gate.num_qubits))
    return circuit


def switch(labels: tuple[int, int], target: str = "register") -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    with circuit.switch(circuit.cregs[0] if target == "register" else circuit.clbits[int(target)]) as case:
        with case(labels[0]):
            circuit.x(1)
        with case(labels[1]):
            circuit.z(1)
    return circuit


def on_expression(bit: int, is_not: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure([0, 1], [0, 1])
    condition = expr.lift(circuit.clbits[bit])
    with circuit.if_test(expr.logic_not(condition) if is_not else condition):
        circuit.x(1)
    return circuit


def evolved(text: str, is_controlled: bool = False) -> QuantumCircuit:
    gate = EvolutionGate(SparsePauliOp.from_list([(text, 0.3), ("ZI", 0.2)]))
    return gate_alone(gate.control(1) if is_controlled else gate)


CONTENT_BESIDE_PARAMETERS = {
    "and": [AndGate(2, [1, 1]), AndGate(2, [1, -1])],
    "comparator": [IntegerComparatorGate(2, 1), IntegerComparatorGate(2, 2), IntegerComparatorGate(2, 1, geq=False)],
    "rotations": [LinearPauliRotationsGate(2, 1, 0.5), LinearPauliRotationsGate(2, 1, 0.7)],
    "many_targets": [MCMTGate(XGate(), 1, 2), MCMTGate(ZGate(), 1, 2)],
    "preparation": [StatePreparation([0.6, 0.8]), StatePreparation([0.6, 0.8]).inverse()],
}


@pytest.mark.parametrize("gates", CONTENT_BESIDE_PARAMETERS.values(), ids=CONTENT_BESIDE_PARAMETERS)
def test_gates_of_different_content_differ_and_are_kept_as_what_they_do(gates):
    circuits = [gate_alone(gate) for gate in gates]
    assert None not in map(of_circuit, circuits) and len(set(map(of_circuit, circuits))) == len(circuits)
    for circuit in circuits:
        (again,) = qpy.load(io.BytesIO(packed(circuit)))
        assert np.abs(Operator(again).data - Operator(circuit).data).max() < 1e-12


def test_what_is_no_parameter_of_a_gate_or_branch_counts_too():
    def variants():
        yield from (evolved("XX"), evolved("YY"), evolved("XX", True), evolved("YY", True))
        yield from (switch((0, 1)), switch((0, 2)), switch((1, 0)), switch((0, 1), "0"), switch((0, 1), "1"))
        yield from (on_expression(0), on_expression(1), on_expression(1, True))

    first, second = list(map(of_circuit, variants())), list(map(of_circuit, variants()))
    assert first == second and None not in first and len(set(first)) == len(first)


def test_a_gate_that_nothing_tells_is_never_answered_by_another(store):
    unknown = [gate_alone(Gate("mystery", 1, [])) for _ in range(2)]
    assert list(map(of_circuit, unknown)) == [None, None]
    backend = Counted()
    ran = [qml.submit(circuit, backend, reuse=True, seed=1, store=store) for circuit in unknown]
    assert [bool(job.result()) for job in ran] == [True, True] and backend.calls == 2
    qml.submit(unknown[0], backend, tag="t", store=store).result()
    with pytest.raises(LabError, match="cannot be compared with what was submitted"):
        qml.submit(unknown[1], backend, tag="t", store=store)


def test_reuse_answers_an_evolution_by_its_own_result_and_not_by_anothers(store):
    request = {"observables": "ZZ", "shots": None, "store": store, "reuse": True}
    values = {text: qml.submit(evolved(text), **request).result().values for text in ("XX", "IX")}
    alone = {text: qml.submit(evolved(text), observables="ZZ", shots=None, store=store).result().values for text in values}
    assert values == alone and values["XX"] != values["IX"]


def test_gates_that_qpy_loses_run_on_aer(store):
    circuit = QuantumCircuit(4)
    circuit.x([0, 1])
    circuit.append(AndGate(2, [1, 1]), [0, 1, 2])
    circuit.append(IntegerComparatorGate(1, 1), [2, 3])
    assert qml.submit(circuit, "aer", shots=10, seed=1, store=store).result().counts == {"1111": 10}


def test_a_tag_that_another_process_took_just_now_is_followed(store, monkeypatch):
    first = qml.submit([tilted(0.1), tilted(0.2)], tag="t", store=store)
    look, looks = Store.jobs, []

    def late(opened, **equal):
        looks.append(equal)
        return [] if len(looks) == 1 else look(opened, **equal)

    monkeypatch.setattr(Store, "jobs", late)
    again = qml.submit([tilted(0.1), tilted(0.2)], tag="t", store=store)
    assert [job.id for job in again] == [job.id for job in first] and len(looks) == 2


def test_a_sweep_prints_one_table_with_a_row_for_each_line_of_values(command, tmp_path):
    program = (
        'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float a;\ninput float b;\nqubit[2] q;\nrx(a) q[0];\nrx(b) q[1];\n'
    )
    (tmp_path / "f.qasm").write_text(program)
    (tmp_path / "v.csv").write_text("b,a\n0.25,0\n0,0.5\n")
    sweep = ("submit", tmp_path / "f.qasm", "--values", tmp_path / "v.csv")
    code, out, _ = command(*sweep, "--observable", "IZ", "--observable", "ZI", "--exact")
    rows = [line.split() for line in out.splitlines() if line.strip()][1:]
    assert code == 0 and rows[0] == ["job", "a", "b", "IZ", "ZI"]
    assert [row[1:] for row in rows[2:]] == [
        ["0", "0.25", "+1.000000", f"{np.cos(0.25):+.6f}"],
        ["0.5", "0", f"{np.cos(0.5):+.6f}", "+1.000000"],
    ]
    table = out.splitlines()[1:]
    ids = [row[0] for row in rows[2:]]
    assert command("jobs", "result", *ids)[1].splitlines()[1:] == table
    assert ", a = 0.5, b = 0, " in command("jobs", "show", ids[1])[1].splitlines()[0]
    rows = [line.split() for line in command(*sweep, "--shots", 1000)[1].splitlines() if line.strip()][1:]
    assert rows[0][:4] == ["job", "a", "b", "00"] and [row[1:3] for row in rows[2:]] == [["0", "0.25"], ["0.5", "0"]]
    assert [sum(int(cell.replace(",", "")) for cell in row[3:]) for row in rows[2:]] == [1000, 1000]


# ---- afterwards


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
