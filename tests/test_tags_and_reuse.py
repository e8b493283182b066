"""Submissions that find jobs of before: under the same tag, or because the same was run already; never another's result."""

import pytest
from qiskit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError

import qml
from circuits.errors import LabError
from qml import jobs
from qml.store import Store
from qml.submission.objects import token
from qml.submission.owners import this_process


def tilted(angle: float = 0.4, name: str | None = None) -> QuantumCircuit:
    circuit = QuantumCircuit(2, name=name)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    return circuit


def test_the_same_submission_under_a_tag_finds_its_jobs_and_records_none_twice(store, counting):
    backend = counting()
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


def test_what_was_cancelled_or_lost_runs_again_under_its_tag_with_its_seed(store, counting):
    backend = counting()
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


def test_one_result_answers_one_circuit_of_a_list(store, counting):
    backend = counting()
    [job.result() for job in qml.submit([tilted()] * 2, backend=backend, store=store)]
    again = qml.submit([tilted()] * 3, backend=backend, reuse=True, store=store)
    assert len({job.id for job in again}) == 3 and len({job.result().counts.popitem() for job in again}) == 3
    assert backend.calls == 3


def test_a_job_of_the_tag_answers_no_second_circuit(store, counting):
    backend = counting()
    [job.result() for job in qml.submit([tilted()] * 2, backend=backend, tag="t", store=store)]
    more = qml.submit([tilted()] * 3, backend=backend, tag="t", reuse=True, store=store)
    assert len({job.id for job in more}) == 3 and [job.result() for job in more] and backend.calls == 3


def test_a_tag_that_another_process_took_just_now_is_followed(store, monkeypatch):
    first = qml.submit([tilted(0.1), tilted(0.2)], tag="t", store=store)
    look, looks = Store.jobs, []

    def late(opened, **equal):
        looks.append(equal)
        return [] if len(looks) == 1 else look(opened, **equal)

    monkeypatch.setattr(Store, "jobs", late)
    again = qml.submit([tilted(0.1), tilted(0.2)], tag="t", store=store)
    assert [job.id for job in again] == [job.id for job in first] and len(looks) == 2


def test_a_job_that_runs_again_has_the_time_limit_of_the_new_submission(store, counting):
    backend, limits = counting(), []
    for timeout in (30, 90.5, None):
        job = qml.submit(tilted(), backend=backend, tag="t", timeout=timeout, store=store)
        limits.append((job.result() and job.record()["time_limit"], job.id))
        with Store(store) as opened:
            opened.update_job(job.id, state="failed", result=None)
    assert [limit for limit, _ in limits] == [30, 90.5, None] and len({job_id for _, job_id in limits}) == 1


def test_a_lost_job_that_another_process_takes_up_meanwhile_is_left_to_it(store, counting, monkeypatch):
    backend = counting()
    job = qml.submit(tilted(), backend=backend, tag="t", store=store)
    job.result()
    with Store(store) as opened:
        opened.update_job(job.id, state="running", result=None, owner=this_process() | {"started": 0.0})
    look, other = Store.job, {"host": "elsewhere", "pid": 1, "started": 0.0}

    def late(opened, job_id):  # between the judgement and the claim
        opened.update_job(job_id, state="queued", owner=other)
        return look(opened, job_id)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "job", late)
        again = qml.submit(tilted(), backend=backend, tag="t", store=store)
    assert again.id == job.id and again.record()["owner"] == other and not again.runs_here() and backend.calls == 1


# ---- backends given as objects


def read_wrong() -> AerSimulator:
    """A simulator that reads every bit wrong."""
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0, 1], [1, 0]]))
    return AerSimulator(noise_model=model)


def test_a_backend_object_is_answered_by_its_own_results_alone(store):
    circuit, wrong, right = QuantumCircuit(1), read_wrong(), AerSimulator()
    circuit.x(0)
    request = {"shots": 20, "seed": 4, "store": store, "reuse": True}
    ran = []
    for backend in ("aer", wrong, right, wrong, "aer"):
        ran.append(qml.submit(circuit, backend, **request))
        assert ran[-1].result().counts == {"0" if backend is wrong else "1": 20}
    ids = [job.id for job in ran]
    assert ids[3] == ids[1] and ids[4] == ids[0] and len(set(ids)) == 3


def test_a_device_given_as_noise_runs_and_answers_for_itself_alone(store):
    circuit, devices = QuantumCircuit(1), [GenericBackendV2(2, seed=seed) for seed in (1, 2)]
    circuit.x(0)
    request = {"backend": "aer", "shots": 20, "seed": 4, "store": store, "reuse": True}
    ran = []
    for device in (*devices, devices[0]):
        ran.append(qml.submit(circuit, noise=device, **request))
        assert sum(ran[-1].result().counts.values()) == 20
    assert ran[2].id == ran[0].id != ran[1].id


def test_a_tag_is_taken_up_by_an_object_that_looks_the_same_and_by_no_other(store):
    request = {"tag": "t", "store": store}
    first = qml.submit(tilted(), read_wrong(), **request)
    assert qml.submit(tilted(), read_wrong(), **request).id == first.id
    for other in (AerSimulator(), GenericBackendV2(2, seed=1), "aer"):
        with pytest.raises(LabError, match="belongs to another submission, whose circuit 0 or its settings differ"):
            qml.submit(tilted(), other, **request)


def test_an_object_has_a_word_of_its_own_for_as_long_as_it_lives():
    class Thing:
        pass

    class Unwatched:
        __slots__ = ()

    thing = Thing()
    assert token(thing) == token(thing)
    assert len({str(token(Thing())) for _ in range(50)} | {str(token(thing))}) == 51
    assert token(alike := Unwatched()) != token(alike)  # never taken for another
