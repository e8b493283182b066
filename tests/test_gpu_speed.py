"""The study of the GPU refuses where there is none; its systems take the same step, and its table says what rows say."""

import numpy as np
import pytest
import torch

from circuits.errors import LabError
from qml.native_gpu.availability import missing_gpu
from studies import gpu_speed as study
from studies.gpu_peers import base
from studies.gpu_timing import timed
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
    for name in ("torch_state_vector", "default_qubit_torch", "aer_cpu"):
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
    assert missing["status"] == "not installed: pennylane_lightning_gpu"


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
    assert "between 4 " in said and "1 of 1 steps from 24 qubits within" in said and "were compared agree" in said
    wrong = {"name": "lightning_gpu", "status": "wrong: differs by 1"}
    assert "results that differ: lightning_gpu" in study.verdict([*rows[:3], rows[3] | wrong])
    assert study.figure(rows).axes[0].get_ylabel() == "ms a step, made up"


def test_the_bytes_of_a_step_are_those_of_its_passes():
    assert study.step_bytes(Workload("ring", 12, 4, 1)) is None
    state = 2 * 4 << 14
    n_bytes = study.step_bytes(Workload("ring", 14, 1, 1, "float32"))
    assert n_bytes % state == 0 and (n_bytes // state - 2) % 6 == 0


def test_a_median_is_taken_of_no_more_steps_than_asked_for():
    calls = []
    assert timed(lambda: calls.append(1), CPU, 5, 10.0)["repeats"] == 5 and len(calls) == 7


def test_settings_that_cannot_work_are_refused():
    wrong = ({"sizes": ("12",)}, "SAMPLES"), ({"systems": ("qsim",)}, "native_gpu"), ({"limit": 0}, "positive")
    for settings, says in wrong:
        with pytest.raises(LabError, match=says):
            study.Settings(**settings)
