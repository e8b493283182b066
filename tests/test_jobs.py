"""Jobs run in the background, find what the physics says, and are read again whatever became of them."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import SparsePauliOp, Statevector

import qml
from circuits.errors import LabError, UnknownName, Unsupported
from circuits.observables import parse
from qml import jobs
from qml.backends.base import Backend
from qml.commands import submit as command
from qml.store import Store
from qml.submission import task
from qml.submission.process import SimulatorProcess
from qml.submission.request import LARGEST_SEED, Request
from qml.submission.scheduler import current

BACKENDS = ["native", "aer", "pennylane"]
SHOTS = 4096
FIVE_SIGMA = 5
SEED = 20261123


@pytest.fixture
def bell():
    circuit = QuantumCircuit(2, name="bell")
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


@pytest.fixture
def tilted():
    """Three qubits in a state without symmetry, so that a swapped qubit or sign shows."""
    circuit = QuantumCircuit(3)
    circuit.ry(0.4, 0)
    circuit.ry(1.1, 1)
    circuit.rx(2.0, 2)
    circuit.cx(0, 1)
    circuit.rz(0.3, 1)
    return circuit


class Gate(Backend):
    """A backend that answers when it is told to, or fails; it counts how often it was asked."""

    name = "gate"

    def __init__(self, failure: BaseException | None = None):
        self.open, self.entered, self.failure, self.calls = threading.Event(), threading.Event(), failure, 0

    def compile(self, program, observables, slots=None):
        raise NotImplementedError

    def counts(self, circuit, shots, seed=None):
        self.calls += 1
        self.entered.set()
        assert self.open.wait(60)
        if self.failure is not None:
            raise self.failure
        return {"0": shots}


@pytest.fixture
def gate():
    """A closed gate; it opens when the test ends, so that the next one finds the queue free."""
    backend = Gate()
    yield backend
    backend.open.set()


# ---- what a job finds


@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_follow_the_state_in_qiskits_bit_order(backend, tilted, store):
    expected = Statevector(tilted).probabilities_dict()
    counts = qml.submit(tilted, backend=backend, shots=SHOTS, seed=SEED, store=store).result().counts
    assert sum(counts.values()) == SHOTS and set(counts) <= set(expected)
    print("seed", SEED, counts)
    for outcome, probability in expected.items():
        spread = np.sqrt(SHOTS * probability * (1 - probability))
        assert abs(counts.get(outcome, 0) - SHOTS * probability) <= FIVE_SIGMA * spread + 1e-9, outcome


@pytest.mark.parametrize("backend", BACKENDS)
def test_expectation_values_are_exact_without_shots_and_within_their_errors_with(backend, tilted, store):
    observables = ["ZII", "0.5*XXI - 2*IIZ", SparsePauliOp(["YZX", "III"], [0.3, 1.5])]
    operators = [parse(o) if isinstance(o, str) else o for o in observables]
    expected = np.array([Statevector(tilted).expectation_value(o).real for o in operators])
    request = {"backend": backend, "observables": observables, "store": store, "seed": SEED}
    exact = qml.submit(tilted, shots=None, **request).result()
    np.testing.assert_allclose(exact.values, expected, atol=1e-9)
    assert exact.counts is None and not exact.standard_errors.any()
    sampled = qml.submit(tilted, shots=SHOTS, **request).result()
    print("seed", SEED, sampled)
    assert (sampled.standard_errors > 0).all() and (sampled.values != expected).all()
    assert (abs(sampled.values - expected) <= FIVE_SIGMA * sampled.standard_errors).all()


def test_noise_of_probability_p_takes_its_share_of_a_parity(bell, store):
    # Depolarizing both qubits after the last gate scales <ZZ> = 1 by 1 - p; noise before it cannot change it.
    p, request = 0.2, {"backend": "aer", "noise": 0.2, "shots": SHOTS, "seed": SEED, "store": store}
    spread = np.sqrt((1 - (1 - p) ** 2) / SHOTS)
    counts = qml.submit(bell, **request).result().counts
    parity = sum((-1) ** outcome.count("1") * count for outcome, count in counts.items()) / SHOTS
    value = qml.submit(bell, observables="ZZ", **request).result().values[0]
    print("seed", SEED, parity, value)
    assert abs(parity - (1 - p)) <= FIVE_SIGMA * spread
    assert abs(value - (1 - p)) <= FIVE_SIGMA * spread


def test_no_gate_escapes_the_noise(store):
    # A gate on three qubits is decomposed into noisy ones, and each gate alone leaves its mark.
    from qml.noise import ONE_QUBIT_GATES, TWO_QUBIT_GATES, depolarizing

    toffoli = QuantumCircuit(3)
    toffoli.ccx(0, 1, 2)
    counts = qml.submit(toffoli, backend="aer", noise=0.9, seed=SEED, store=store).result().counts
    assert len(counts) > 1
    model = depolarizing(0.1)
    assert set(model.noise_instructions) == set(ONE_QUBIT_GATES) | set(TWO_QUBIT_GATES)
    assert set(transpile(toffoli, basis_gates=model.basis_gates).count_ops()) <= set(model.noise_instructions)


def test_a_noise_model_of_ones_own_is_used(bell, store):
    from qiskit_aer.noise import NoiseModel, ReadoutError

    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0, 1], [1, 0]]))  # every bit is read wrong
    flip = QuantumCircuit(2)
    flip.x(0)
    job = qml.submit(flip, backend="aer", noise=model, seed=SEED, store=store, shots=50)
    assert job.result().counts == {"10": 50}
    assert json.dumps(job.record()["options"])


def test_a_circuit_that_measures_nothing_is_measured_whole_and_left_as_it_was(store):
    circuit = QuantumCircuit(3, 5)
    circuit.x(0)
    assert qml.submit(circuit, shots=7, store=store).result().counts == {"001": 7}
    assert circuit.count_ops() == {"x": 1}


def test_bits_that_nothing_uses_do_not_change_what_is_found(store):
    from qiskit.circuit import ClassicalRegister

    circuit = QuantumCircuit(2, 1)
    circuit.add_register(ClassicalRegister(3, "idle"))
    circuit.x(0)
    request = {"backend": "aer", "noise": 0.0, "observables": ["IZ", "ZI"], "seed": SEED, "store": store}
    assert qml.submit(circuit, **request).result().values.tolist() == [-1, 1]
    assert qml.submit(circuit, **request | {"shots": None}, method="density_matrix").result().values.tolist() == [-1, 1]
    circuit.measure(0, 0)
    assert qml.submit(circuit, **request).result().values.tolist() == [-1, 1]


def test_a_circuit_with_variables_keeps_them_when_it_is_measured():
    from qiskit.circuit.classical import expr, types

    circuit = QuantumCircuit(2, 1)
    wanted = circuit.add_var("wanted", expr.lift(2, types.Uint(4)))
    with circuit.if_test(expr.equal(wanted, 2)):
        circuit.x(1)
    measured = Request.of("aer", 9, None, None, None, None, {}).prepared(circuit).circuit
    assert list(measured.iter_declared_vars()) == [wanted] and measured.count_ops()["measure"] == 2


@pytest.mark.parametrize("name", ["barrier", "measure", "reset", "initialize"])
@pytest.mark.parametrize("backend", ["native", "aer"])
def test_a_gate_of_ones_own_runs_whatever_its_name(backend, name, store):
    flip, circuit = QuantumCircuit(1, name=name), QuantumCircuit(1)
    flip.x(0)
    circuit.x(0)
    circuit.append(flip.to_gate(), [0])
    assert qml.submit(circuit, backend, shots=7, store=store).result().counts == {"0": 7}
    assert qml.submit(circuit, backend, shots=None, observables="Z", store=store).result().values == pytest.approx([1])


def test_a_circuits_own_measurements_decide_what_is_counted(store):
    circuit = QuantumCircuit(3, 2)
    circuit.x(2)
    circuit.measure(2, 1)
    for backend in BACKENDS:
        assert qml.submit(circuit, backend=backend, shots=7, store=store).result().counts == {"10": 7}, backend


def test_final_measurements_do_not_change_expectation_values(bell, store):
    job = qml.submit(bell.measure_all(inplace=False), observables=["XX", "ZI"], shots=None, store=store)
    np.testing.assert_allclose(job.result().values, [1, 0], atol=1e-12)


def test_a_measurement_in_the_middle_runs_on_aer_and_is_refused_elsewhere(store):
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.x(0)
    circuit.measure(0, 1)
    assert qml.submit(circuit, backend="aer", shots=9, store=store).result().counts == {"01": 9}
    job = qml.submit(circuit, store=store)
    with pytest.raises(LabError, match="only backend 'aer' samples"):
        job.result()
    assert job.status() == "failed"


def test_a_measurement_inside_a_branch_counts_as_one(store):
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
        circuit.measure(1, 1)
    assert qml.submit(circuit, backend="aer", shots=9, store=store).result().counts == {"11": 9}


# ---- seeds


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_same_counts_again(backend, tilted, store):
    first, second = (qml.submit(tilted, backend=backend, seed=s, store=store).result().counts for s in (5, 5))
    third = qml.submit(tilted, backend=backend, seed=6, store=store).result().counts
    assert first == second != third


def test_a_seed_that_was_drawn_is_recorded_and_gives_the_same_counts_again(tilted, store):
    first, second = qml.submit(tilted, store=store), qml.submit(tilted, store=store)
    assert first.result() != second.result()
    again = qml.submit(tilted, seed=first.record()["seed"], store=store)
    assert again.result() == first.result()


def test_circuits_of_a_list_draw_from_streams_of_their_own_whatever_the_lists_length(tilted, store):
    three = [job.result() for job in qml.submit([tilted] * 3, seed=5, store=store)]
    two = [job.result() for job in qml.submit([tilted] * 2, seed=5, store=store)]
    assert three[:2] == two and three[0] != three[1] != three[2]
    assert qml.submit([], store=store) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_largest_seed_works(backend, bell, store):
    result = qml.submit(bell, backend=backend, seed=LARGEST_SEED, store=store, shots=10).result()
    assert sum(result.counts.values()) == 10


# ---- in the background


def test_submit_returns_while_the_job_runs_and_jobs_run_one_after_the_other(bell, store, gate):
    first, second = qml.submit(bell, backend=gate, store=store), qml.submit(bell, backend=gate, store=store)
    assert gate.entered.wait(60)
    assert first.status() == "running" and second.status() == "queued"
    for job in (first, second, qml.retrieve_job(first.id, store)):
        with pytest.raises(TimeoutError, match=job.id):
            job.result(timeout=0.01)
    gate.open.set()
    assert first.result().counts == second.result().counts == {"0": 1024}
    assert first.status() == second.status() == "done" and "done" in repr(first)


def test_a_cancelled_job_delivers_nothing_running_or_queued(bell, store, gate):
    running, queued = (qml.submit(bell, backend=gate, store=store) for _ in range(2))
    assert gate.entered.wait(60)
    assert running.cancel() and queued.cancel() and not queued.cancel()
    gate.open.set()
    after = qml.submit(bell, backend=gate, store=store)
    assert after.result().counts == {"0": 1024} and not after.cancel()
    assert gate.calls == 2  # the queued one never ran
    for job in (running, queued, qml.retrieve_job(running.id, store)):
        assert job.status() == "cancelled" and job.record()["result"] is None
        with pytest.raises(LabError, match="was cancelled: submit its circuit again"):
            job.result()


def elsewhere(store, job_id: str, **fields) -> None:
    """The row of a job as another process, which cannot be asked, has it."""
    with Store(store) as opened:
        opened.update_job(job_id, owner={"host": "elsewhere", "pid": 1, "started": 0.0}, **fields)


def test_a_job_that_another_process_took_over_is_told_as_it_ended_there(bell, store, gate, capsys):
    job = qml.submit(bell, backend=gate, store=store)
    assert gate.entered.wait(60)
    elsewhere(store, job.id, state="running")
    gate.open.set()

    def end() -> None:
        while job.runs_here():
            time.sleep(0.01)
        time.sleep(0.2)
        elsewhere(store, job.id, state="done", result={"counts": {"1": 5}})

    thread = threading.Thread(target=end)
    thread.start()
    command.follow([job], json=True, where="here")
    thread.join()
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "done" and told["counts"] == {"1": 5}


def test_ctrl_c_cancels_what_this_process_runs_and_leaves_the_rest(bell, store, gate, monkeypatch, capsys):
    mine, other = (qml.submit(bell, backend=gate, store=store) for _ in range(2))
    assert gate.entered.wait(60)
    elsewhere(store, other.id, state="running")
    current().live[other.id].drop()

    def leave(code: int):
        raise SystemExit(code)

    monkeypatch.setattr(command.os, "_exit", leave)
    with pytest.raises(SystemExit, match="130"):
        command._leave([mine, other])
    assert (mine.status(), other.status()) == ("cancelled", "running")
    said = f"job {mine.id} is cancelled, what other processes run goes on (1 job), write the same command"
    assert capsys.readouterr().err == f"error: interrupted: {said} to run it again\n"


@pytest.mark.parametrize(
    "failure, says",
    [
        (RuntimeError("the cable\nis loose"), "RuntimeError: the cable is loose"),
        (Unsupported("no such gate: use another"), "no such gate: use another"),
        (MemoryError(), "ran out of memory: use fewer qubits or fewer shots"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_a_failure_is_told_in_one_line_now_and_later_and_the_next_job_runs(bell, store, failure, says):
    broken = Gate(failure)
    broken.open.set()
    job = qml.submit(bell, backend=broken, store=store)
    for again in (job, qml.retrieve_job(job.id, store)):
        with pytest.raises(LabError) as caught:
            again.result()
        assert says in str(caught.value) and "\n" not in str(caught.value)
        assert again.status() == "failed"
    assert qml.submit(bell, store=store, shots=3).result().counts


@pytest.mark.parametrize("outcome", [float("nan"), float("inf")])
def test_a_result_that_is_no_number_fails_its_job(bell, store, outcome):
    class Odd(Backend):
        name = "odd"

        def compile(self, program, observables, slots=None):
            raise NotImplementedError

        def estimate(self, circuit, observables, shots=None, seed=None):
            return np.array([outcome]), np.zeros(1)

    job = qml.submit(bell, backend=Odd(), observables="ZZ", store=store)
    with pytest.raises(LabError, match="the result: cannot be stored exactly"):
        job.result(timeout=20)
    assert job.status() == "failed" and "cannot be stored exactly" in job.record()["error"]


@pytest.mark.parametrize("patience", [0.05, 60.0])
def test_a_store_that_another_process_writes_to_is_waited_for(bell, store, gate, monkeypatch, patience):
    monkeypatch.setattr(task, "PATIENCE", patience)
    job = qml.submit(bell, backend=gate, store=store)
    assert gate.entered.wait(10)
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    gate.open.set()
    if patience < 1:
        with pytest.raises(LabError, match="locked"):
            job.result(timeout=20)
    else:
        time.sleep(0.5)
    other.execute("ROLLBACK")
    other.close()
    if patience > 1:
        assert job.result(timeout=20).counts and job.status() == "done"


def test_a_result_that_cannot_be_recorded_is_an_error_and_not_lost_silence(bell, store, gate):
    job = qml.submit(bell, backend=gate, store=store)
    assert gate.entered.wait(60)
    store.write_bytes(b"someone wrote over it" * 10)
    for suffix in ("-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    gate.open.set()
    with pytest.raises(LabError, match="not a results store"):
        job.result()


def long_circuit() -> QuantumCircuit:
    """Minutes on any machine."""
    circuit = QuantumCircuit(24)
    for layer in range(400):
        circuit.ry(0.1 + layer, range(24))
        circuit.cx(range(23), range(1, 24))
    return circuit


def test_aer_leaves_the_program_free_and_its_simulation_ends_when_it_is_cancelled(bell, store):
    job = qml.submit(long_circuit(), backend="aer", store=store)
    while job.status() == "queued":
        pass
    # In a thread of this process Aer would hold the interpreter here until it is done.
    assert job.cancel() and job.status() == "cancelled"
    assert qml.submit(bell, backend="aer", shots=5, store=store).result().counts


def test_a_simulator_that_is_killed_fails_its_job_and_not_the_next(bell, store):
    job = qml.submit(long_circuit(), backend="aer", store=store)
    while job.status() == "queued":
        pass
    next(simulator for simulator in current().simulators() if simulator.pid).stop()
    with pytest.raises(LabError, match=r"the simulator's process was ended by SIGKILL .*: use fewer qubits"):
        job.result()
    assert qml.submit(bell, backend="aer", shots=5, store=store).result().counts


def test_what_a_library_prints_does_not_disturb_the_replies():
    request = {"backend": "nosuch", "options": {}, "circuit": "", "observables": None, "shots": 1, "seed": 0}
    simulator = SimulatorProcess()
    try:
        for _ in range(2):  # an error ends neither the process nor the conversation
            with pytest.raises(LabError):
                simulator.perform(request)
    finally:
        simulator.stop()


# ---- after a restart


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


SUBMIT = """
    import sys
    from qiskit import QuantumCircuit
    import qml
    circuit = QuantumCircuit(int(sys.argv[3]))
    for layer in range(int(sys.argv[4])):
        circuit.ry(0.1 + layer, range(circuit.num_qubits))
        circuit.cx(range(circuit.num_qubits - 1), range(1, circuit.num_qubits))
    job = qml.submit(circuit, backend=sys.argv[2], shots=10, seed=1, store=sys.argv[1])
    print(job.id, flush=True)
"""


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_a_program_that_ends_finishes_its_jobs_and_another_reads_them(backend, store):
    job_id = python(SUBMIT, store, backend, 3, 2).communicate()[0].strip()
    job = qml.retrieve_job(job_id[:5], store)
    assert job.id == job_id and job.status() == "done"
    assert sum(job.result().counts.values()) == 10 and not job.cancel()


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_a_job_whose_process_was_killed_is_lost_and_says_what_to_do(backend, store):
    program = python(SUBMIT, store, backend, 24, 400)
    job = qml.retrieve_job(program.stdout.readline().strip(), store)
    assert job.status() in ("queued", "running")
    program.kill()
    program.communicate()
    assert job.status() == "lost" and jobs.job_records(store)[0]["state"] == "lost"
    with pytest.raises(LabError, match=f"job {job.id} was lost.*: submit its circuit again, or write `qml jobs rerun"):
        job.result()
    assert not job.cancel()


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_another_process_may_cancel_a_job_and_the_one_that_runs_it_stops(backend, store):
    program = python(SUBMIT, store, backend, 24, 400)
    job = qml.retrieve_job(program.stdout.readline().strip(), store)
    assert job.cancel() and job.status() == "cancelled" and not job.cancel()
    assert program.wait() == 0  # its one job ended, so it does


def test_a_process_that_was_given_a_dead_ones_number_is_not_taken_for_it(bell, store):
    job = qml.submit(bell, store=store)
    job.result()
    owner = job.record()["owner"]
    for changed, state in ((owner, "running"), (owner | {"started": owner["started"] - 60}, "lost")):
        with Store(store) as opened:
            opened.update_job(job.id, state="running", owner=changed)
        assert qml.retrieve_job(job.id, store).status() == state
    with Store(store) as opened:  # what runs on another machine cannot be asked
        opened.update_job(job.id, owner=owner | {"host": "elsewhere", "pid": 1})
    assert qml.retrieve_job(job.id, store).status() == "running"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_runs_its_own_jobs_and_not_its_parents(bell, store, gate):
    waiting = qml.submit(bell, backend=gate, store=store)
    assert gate.entered.wait(60)
    child = os.fork()
    if child == 0:
        counts = qml.submit(bell, backend="aer", shots=5, seed=1, store=store).result().counts
        os._exit(0 if sum(counts.values()) == 5 and waiting.status() == "running" else 1)
    assert os.waitpid(child, 0)[1] == 0
    gate.open.set()
    assert waiting.result().counts == {"0": 1024} and gate.calls == 1


def test_the_store_holds_the_circuit_and_the_observables_as_they_were_run(tilted, store):
    import io

    from qiskit import qpy

    generator = random.Random(SEED)
    labels = ["".join(generator.choice("IXYZ") for _ in range(3)) for _ in range(20)]
    operator = SparsePauliOp(labels, [generator.gauss(0, 10 ** generator.randrange(-9, 9)) for _ in labels])
    record = qml.submit(tilted, observables=[operator, -operator], shots=None, store=store).record()
    (circuit,) = qpy.load(io.BytesIO(record["circuit"]))
    assert circuit == tilted
    for text, original in zip(record["observables"], [operator, -operator], strict=True):
        assert parse(text).simplify(atol=0, rtol=0) == original.simplify(atol=0, rtol=0)


def test_an_unknown_error_of_a_single_shot_is_kept_as_unknown(bell, store):
    job = qml.submit(bell, observables="ZI", shots=1, store=store)
    assert np.isnan(job.result().standard_errors).all()
    assert job.record()["result"]["standard_errors"] == [None]
    assert np.isnan(qml.retrieve_job(job.id, store).result().standard_errors).all()


# ---- what is refused


@pytest.mark.parametrize(
    "request_, error, says",
    [
        ({"shots": 0}, LabError, "shots must be a whole number of at least 1"),
        ({"shots": -5}, LabError, "got -5"),
        ({"shots": 1.5}, LabError, "got 1.5"),
        ({"shots": True}, LabError, "got True"),
        ({"shots": None}, LabError, "give observables, or a number of shots"),
        ({"seed": -1}, LabError, "seed must be a whole number"),
        ({"seed": 2**63}, LabError, "seed must be a whole number"),
        ({"seed": "1"}, LabError, "got '1'"),
        ({"observables": "ZZZ"}, LabError, "acts on 3 qubits but the circuit has 2"),
        ({"observables": ["ZZ", "AB"]}, LabError, "'AB' is not an observable"),
        ({"observables": []}, LabError, "non-empty"),
        ({"backend": "ear"}, UnknownName, "did you mean 'aer'"),
        ({"noise": 0.1}, Unsupported, "'noise'"),
        ({"backend": "aer", "noise": 1.5}, LabError, "noise probability must be between 0 and 1, got 1.5"),
        ({"backend": "aer", "noise": True}, LabError, "noise is a probability or a qiskit_aer"),
        ({"backend": "aer", "device": "TPU"}, LabError, "TPU"),
        ({"flavour": "up"}, Unsupported, "flavour"),
    ],
)
def test_a_bad_request_is_refused_in_one_line_before_anything_is_stored(bell, store, request_, error, says):
    with pytest.raises(error) as caught:
        qml.submit(bell, store=store, **request_)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not store.exists()


def test_a_bad_circuit_in_a_list_keeps_the_whole_list_out_of_the_store(bell, store):
    from qiskit.circuit import Parameter

    free, infinite = QuantumCircuit(1, name="free"), QuantumCircuit(1, name="infinite")
    free.rx(Parameter("angle"), 0)
    infinite.rx(float("inf"), 0)
    for bad, says in (
        (free, r"circuit 'free' has 1 free parameter \(angle\)"),
        (infinite, "circuit 'infinite' has a gate 'rx' with the parameter inf"),
        (QuantumCircuit(0, name="void"), "circuit 'void' has no qubits"),
        ("OPENQASM 2.0;", "a job is a qiskit QuantumCircuit, got str"),
    ):
        with pytest.raises(LabError, match=says):
            qml.submit([bell, bad], store=store)
    assert not store.exists()


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_qubits_than_memory_holds_fail_the_job_with_the_bytes_they_need(backend, store):
    huge = QuantumCircuit(50)
    huge.h(range(50))
    job = qml.submit(huge, backend=backend, observables="Z" * 50, store=store)
    with pytest.raises(LabError, match=r"simulating 50 qubits .*needs .* \([0-9,]{20,} bytes\) of memory"):
        job.result()


def test_signals_are_for_the_program_and_not_for_its_simulator(bell, store):
    """Ctrl-C reaches a whole process group: the simulator is in a group of its own."""
    assert qml.submit(bell, backend="aer", shots=5, store=store).result().counts
    (pid,) = {simulator.pid for simulator in current().simulators()} - {None}
    assert os.getpgid(pid) != os.getpgid(0)
