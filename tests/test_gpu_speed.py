"""The study of the GPU refuses where there is none; its systems take the same step, and its table says what rows say."""

import contextlib
import gc
import os
import sys
import types
import weakref

import numpy as np
import pytest
import torch

from circuits.errors import LabError
from qml.native_gpu.availability import missing_gpu
from studies import gpu_speed as study
from studies.gpu_peers import base
from studies.gpu_timing import timed
from studies.known_ring import KnownRing, known_results
from studies.peers.base import CIRCUITS, Workload

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def precision():
    """Whatever a case sets is undone."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.mark.skipif(not missing_gpu(), reason="this machine has a GPU")
def test_without_a_gpu_the_study_refuses_in_one_line():
    for case in study.cases(study.Settings.quick()):
        with pytest.raises(LabError, match=r"^no GPU: [^\n]*: this study times a GPU, run it on a machine that has one$"):
            study.run(case)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_every_system_that_needs_no_gpu_takes_the_same_step(circuit):
    workload = Workload(circuit, 3, 2, 1, "float64")
    torch.set_default_dtype(torch.float64)
    reference = [study._array(part) for part in base.system("native_cpu").build(workload, CPU)()]
    with_jax = [] if base.missing("tensorcircuit_ng_gpu") else ["tensorcircuit_ng_gpu"]
    for name in ("torch_state_vector", "default_qubit_torch", "aer_cpu", *with_jax):
        found = [study._array(part) for part in base.system(name).build(workload, CPU)()]
        assert study._difference(found, reference) < 1e-6, name


def test_rows_carry_their_card_versions_and_date_and_name_who_is_missing():
    case = study.cases(study.Settings(sizes=("2x2x1",), dtypes=("float64",), repeats=2, seconds=0.1))[0]
    rows = study.measured(case | {"device": "cpu", "copy_bytes": 1 << 16, "systems": ["native_cpu", "torch_state_vector"]})
    assert [row["name"] for row in rows] == ["native_cpu", "torch_state_vector"]
    for row in rows:
        assert row["status"] == "right" and row["wall_low"] <= row["wall_ms"] <= row["wall_high"]
        assert row["torch"] == torch.__version__ and row["date"].startswith("20") and row["copy_bytes_per_s"] > 0
    assert rows[1]["error"] < 1e-6
    (missing,) = study.measured(case | {"device": "cpu", "copy_bytes": 1 << 16, "systems": ["lightning_gpu"]})
    assert missing["status"] == "not installed: pennylane_lightning.lightning_gpu"


def test_what_a_peer_needs_may_be_a_module_of_a_package_that_is_not_there(monkeypatch):
    module = base.system("lightning_gpu")
    monkeypatch.setattr(module, "REQUIRES", ("json.decoder", "json.nothing", "nowhere.at_all"))
    assert base.missing("lightning_gpu") == ["json.nothing", "nowhere.at_all"]


def test_a_peer_that_holds_on_to_the_gpu_runs_in_a_process_of_its_own(monkeypatch):
    case = {"limit": 30, "repeats": 1, "budget": 0.1}
    workload = Workload("ring", 2, 2, 1)
    found = study._apart("native_cpu", workload, CPU, study._reference(workload), case)
    assert found["status"] == "right" and found["repeats"] == 1
    monkeypatch.setattr(study, "_apart", lambda name, *_: {"status": f"{name} apart"})
    monkeypatch.setattr(study, "missing", lambda _: [])
    (case,) = study.cases(study.Settings(sizes=("2x2x1",), dtypes=("float64",), systems=("tensorcircuit_ng_gpu",)))
    (row,) = study.measured(case | {"device": "cpu", "copy_bytes": 1 << 16})
    assert row["status"] == "tensorcircuit_ng_gpu apart"


def test_jax_does_not_take_the_gpu_for_itself_and_has_its_numbers_there(monkeypatch):
    from studies.peers import tensorcircuit_ng

    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")  # so that it is put back
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    backend = types.SimpleNamespace(default_backend=lambda: os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] and "gpu")
    monkeypatch.setitem(sys.modules, "jax", backend)
    monkeypatch.setattr(tensorcircuit_ng, "build", lambda workload, on_device: on_device)
    assert base.system("tensorcircuit_ng_gpu").build(Workload("ring", 2, 2, 1), torch.device("cuda")) is True
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_a_captured_step_lives_as_long_as_its_replay(monkeypatch):
    module = base.system("native_gpu_graph")

    class Graph:
        def replay(self):
            pass

    stream = types.SimpleNamespace(wait_stream=lambda _: None)
    for name, made in (
        ("Stream", lambda _: stream),
        ("current_stream", lambda _: stream),
        ("stream", contextlib.nullcontext),
        ("graph", contextlib.nullcontext),
        ("CUDAGraph", Graph),
    ):
        monkeypatch.setattr(torch.cuda, name, made)
    held = []

    def layer_step(workload, device):
        weights = torch.ones(3)
        held.append(weakref.ref(weights))
        return lambda: 2 * weights

    monkeypatch.setattr(module, "layer_step", layer_step)
    replay = module.build(Workload("ring", 2, 2, 1), CPU)
    gc.collect()
    assert held[0]() is not None and replay().tolist() == [2, 2, 2]


@pytest.mark.parametrize("n_qubits, batch, n_layers", [(3, 1, 1), (4, 2, 3), (6, 1, 4)])
def test_what_is_known_of_a_ring_is_what_our_engine_finds(n_qubits, batch, n_layers):
    workload = KnownRing("ring", n_qubits, batch, n_layers, "float64")
    found = [study._array(part) for part in base.system("native_cpu").build(workload, CPU)()]
    assert study._difference(known_results(workload), found) < 1e-13


def test_what_is_known_of_a_large_ring_is_not_lost_among_rounding_errors():
    values, of_inputs, of_weights = known_results(KnownRing("ring", 30, 1, 4, "float32"))
    assert np.median(np.abs(values)) > 0.1 and np.abs(of_inputs).min() > 1e-2
    seen = np.abs(of_weights.reshape(4, 30, 2)) > 1e-4  # by layer, qubit, and RY or RZ
    assert seen.any(axis=1).tolist() == [[True, True]] * 3 + [[True, False]] and seen[..., 0].sum() > 90


def test_every_size_is_held_against_something(monkeypatch):
    with pytest.raises(LabError, match="beyond 24 qubits only the ring can be checked"):
        study.Settings(circuits=("ring", "two_qubit"))
    assert study.Settings(circuits=("two_qubit",), sizes=("24x1x4",)).circuits == ("two_qubit",)
    monkeypatch.setattr(study, "MOST_COMPARED", 3)
    (case,) = study.cases(study.Settings(sizes=("4x2x2",), dtypes=("float32",), repeats=1, seconds=0.1))
    given = {"device": "cpu", "copy_bytes": 1 << 16, "systems": ["native_cpu"]}
    (row,) = study.measured(case | given)
    assert row["status"] == "right" and row["error"] < 1e-6
    monkeypatch.setattr(study, "known_results", lambda workload: [1 + part for part in known_results(workload)])
    (row,) = study.measured(case | given)
    assert row["status"].startswith("wrong: differs by")


def test_float32_is_held_against_the_same_numbers():
    workload = Workload("ring", 3, 2, 2, "float32")
    wide = workload.widened()
    assert wide.dtype == "float64" and all(array.dtype == np.float64 for array in wide.numbers)
    assert all(np.array_equal(a, b) for a, b in zip(wide.numbers, workload.numbers))
    found = [study._array(part) for part in base.system("native_cpu").build(wide, CPU)()]
    assert study._difference(found, study._reference(workload)) == 0


def test_a_system_that_is_wrong_slow_or_broken_is_named_and_not_timed(monkeypatch):
    workload, case = Workload("ring", 2, 2, 1), {"limit": 0.2, "repeats": 1, "budget": 0.1}
    module = base.system("torch_state_vector")
    reference = [np.ones((2, 2)), np.ones((2, 2)), np.ones(4)]
    for build, status in (
        (lambda *_: lambda: [2 * part for part in reference], "wrong: differs by 1"),
        (lambda *_: torch.zeros(2) @ torch.zeros(3), "raised RuntimeError"),
        (lambda *_: [torch.zeros(1) for _ in iter(int, 1)], "left out: its first step took longer than 0.2 s"),
    ):
        monkeypatch.setattr(module, "build", build)
        assert study._one("torch_state_vector", workload, CPU, reference, case)["status"].startswith(status)


def row(name, wall, **facts):
    """A made-up row."""
    made = {"circuit": "ring", "n_qubits": 24, "batch": 1, "n_layers": 4, "dtype": "float32"}
    made |= {"name": name, "card": "made up", "status": "right", "first_s": 1.0}
    made |= dict.fromkeys(("wall_ms", "wall_low", "wall_high", "device_ms"), wall)
    return made | {"error": 0.0, "driver": "1", "step_bytes": 6 * 10**9, "copy_bytes_per_s": 1e12} | facts


def test_table_and_verdict_say_what_rows_say():
    rows = [row("native_gpu", 8.0), row("torch_state_vector", 40.0), row("native_cpu", 800.0), row("lightning_gpu", 32.0)]
    (line,) = study.table(rows)
    assert (line["fastest_peer"], line["times_peer"], line["times_our_cpu"]) == ("lightning_gpu", 4.0, 100.0)
    assert line["allowed_ms"] == pytest.approx(10.0)
    said = study.verdict(rows)
    assert "between 4 " in said and "1 of 1 steps from 24 qubits within" in said and "all results agree" in said
    wrong = {"name": "lightning_gpu", "status": "wrong: differs by 1"}
    assert "results that differ: lightning_gpu" in study.verdict([*rows[:3], rows[3] | wrong])
    failed = row("native_gpu", None, n_qubits=26, status="raised OutOfMemoryError")
    assert "our own step did NOT run right at 26x1x4 float32" in study.verdict([*rows, failed])
    assert study.figure(rows).axes[0].get_ylabel() == "ms a step, made up"


def test_the_bytes_of_a_step_are_those_of_its_passes():
    assert study.step_bytes(Workload("ring", 12, 4, 1)) is None
    state = 2 * 4 << 14
    n_bytes = study.step_bytes(Workload("ring", 14, 1, 1, "float32"))
    assert n_bytes % state == 0 and (n_bytes // state) % 6 == 0
    # XX on far qubits flip bits outside the first reading's tile: a second reading of the state for values and for lambda,
    # which is read and written once more.
    assert study.step_bytes(Workload("two_qubit", 16, 1, 1, "float32")) // (2 * 4 << 16) % 6 == 4


def test_a_median_is_taken_of_no_more_steps_than_asked_for():
    calls = []
    assert timed(lambda: calls.append(1), CPU, 5, 10.0)["repeats"] == 5 and len(calls) == 7


def test_settings_that_cannot_work_are_refused():
    wrong = ({"sizes": ("12",)}, "SAMPLES"), ({"systems": ("qsim",)}, "native_gpu"), ({"limit": 0}, "positive")
    for settings, says in wrong:
        with pytest.raises(LabError, match=says):
            study.Settings(**settings)
