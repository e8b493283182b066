"""Peers are given the same workload as ours, a wrong one is named, and the table says what rows say."""

import subprocess
import sys

import numpy as np
import pytest

from circuits.errors import LabError
from studies import peer_speed as study
from studies import torch_layer_peers
from studies.peer_process import attempt
from studies.peers import base
from studies.peers.__main__ import _compared, _wrong
from studies.peers.base import CIRCUITS, OURS, Workload, checksum
from studies.plateau_peers import compared


@pytest.mark.parametrize("per_sample", [False, True], ids=["shared_weights", "weights_per_sample"])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_our_step_is_pennylanes(circuit, per_sample):
    workload = Workload(circuit, 3, 4, 2, "float64", per_sample)
    ours, theirs = (base.peer(name).build(workload)() for name in (OURS, "default_qubit"))
    for one, other in zip(ours, theirs):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=1e-6)  # torch's default precision is float32 in this process


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_float32_is_float64_rounded(circuit):
    steps = [base.peer(OURS).build(Workload(circuit, 3, 4, 2, dtype))() for dtype in ("float32", "float64")]
    for one, other in zip(*steps):
        assert one.dtype == np.float32
        assert np.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_decomposed_circuit_is_the_same_circuit(circuit):
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Operator

    workload = Workload(circuit, 3, 1, 1)
    inputs, weights, _ = workload.numbers
    unitaries = []
    for gates in (workload.gates, workload.decomposed()):
        built = QuantumCircuit(3)
        for gate in gates:
            angle = {"x": inputs[0], "w": weights}[gate.source][gate.place] * gate.factor if gate.source else None
            getattr(built, gate.name)(*([] if angle is None else [float(angle)]), *gate.qubits)
        unitaries.append(Operator(built))
    assert unitaries[0].equiv(unitaries[1])


def test_a_peer_with_one_wrong_sign_is_named():
    reference = [np.ones((2, 3)), np.ones((2, 2)), np.arange(1.0, 5.0)]
    flipped = [*reference[:2], reference[2] * [1, -1, 1, 1]]
    assert _wrong(reference, reference, 1e-6) == ""
    assert _wrong(flipped, reference, 1e-6) == "weight gradients"
    assert checksum(reference[2]) != checksum(flipped[2])


def test_a_peer_that_is_not_installed_or_cannot_says_so(monkeypatch):
    task = {"rounds": 1, "budget": 1}
    workload = Workload("ring", 2, 2, 1)
    ours = base.peer(OURS).build(workload)
    module = base.peer("default_qubit")
    monkeypatch.setattr(module, "REQUIRES", ("no_such_framework",))
    assert _compared("default_qubit", workload, ours, ours(), task)["status"] == "not installed: no_such_framework"
    monkeypatch.setattr(module, "REQUIRES", ())
    monkeypatch.setattr(module, "DTYPES", ("float32",))
    assert _compared("default_qubit", workload, ours, ours(), task)["status"] == "computes in float32"


def test_a_workload_runs_in_a_process_of_its_own():
    settings = study.Settings(
        sizes=("2x3x1",),
        circuits=("ring",),
        dtypes=("float64",),
        per_sample_sizes=(),
        plateau_sizes=(),
        torch_layer_sizes=(),
        rounds=1,
        seconds=0.2,
    )
    ceilings, case = study.cases(settings)
    assert ceilings == {"kind": "ceilings"}
    rows = {row["name"]: row for row in study.run(case)}
    assert rows[OURS]["status"] == rows["default_qubit"]["status"] == "right"
    assert set(rows) == {OURS, *base.names()}
    assert rows["default_qubit"]["pairs"] == 1


def row(name: str, status: str = "right", **fields) -> dict:
    shared = {
        "kind": "steps",
        "circuit": "ring",
        "n_qubits": 8,
        "batch": 4,
        "n_layers": 1,
        "dtype": "float64",
        "per_sample": False,
    }
    return {**shared, "name": name, "status": status, **fields}


ROWS = [
    row(OURS, step=0.001, first=0.2, peak=2**28, forward=0.0004, engine=0.0009, turns=10),
    row("fast", first=1.5, step=0.02, ratio=20.0),
    row("slow", first=2.5, step=0.05, ratio=50.0),
    row("liar", "wrong: weight gradients"),
]


def test_the_table_has_the_fastest_peer_and_who_was_left_out():
    (line,) = study.table(ROWS)
    assert (line["fastest_peer"], line["times_faster"], line["goal"]) == ("fast", 20.0, 15.0)
    assert (line["first_s"], line["peer_first_s"], line["peak_mb"]) == (0.2, 1.5, 256)
    assert line["left_out"] == "liar wrong: weight gradients"
    (same,) = study.table([*ROWS, row("narrow", "computes in float64"), row("late", "left out: its first steps took 9 s")])
    assert same["left_out"] == "liar wrong: weight gradients; late its first steps took 9 s"
    assert line["back_over_forward"] == 1.5 and line["beside_us"] == 100
    assert "liar" in study.verdict(ROWS) and "1 of 1 workloads reach their goal" in study.verdict(ROWS)


def test_the_fastest_peer_is_the_one_of_the_shortest_step_whatever_disturbed_ours():
    rows = [ROWS[0], row("quick", step=0.02, ratio=60.0, first=1.0), row("slow", step=0.05, ratio=20.0, first=1.0)]
    (line,) = study.table(rows)
    assert (line["fastest_peer"], line["times_faster"]) == ("quick", 60.0)


def test_a_run_without_training_steps_has_a_figure_that_says_so():
    assert "No training step" in study.figure([])._suptitle.get_text()


@pytest.mark.parametrize(
    "script, said",
    [
        ("import sys; sys.stderr.write('x' * 200_000); sys.exit(3)", "its process ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process ended by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process was killed, for want of memory as a rule"),
    ],
)
def test_how_a_peers_process_ended_is_told(monkeypatch, script, said):
    popen, start = subprocess.Popen, 'import json; print(json.dumps({"name": "one", "status": "starting"}), flush=True); '
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: popen([sys.executable, "-c", start + script], **options))
    task = {"workload": {}, "peers": ["one"], "rounds": 1, "budget": 1}
    assert attempt(task, 20.0) == ([], "one", said)


def test_another_installed_peer_makes_another_case(monkeypatch):
    before = study.cases(study.Settings.quick())[1]
    monkeypatch.setattr(study, "missing", lambda name: ["something"])
    assert study.cases(study.Settings.quick())[1] != before and "default_qubit" in before["installed"]


def test_a_faster_peer_shows():
    rows = [*ROWS, row("faster", first=1.0, step=0.0005, ratio=0.5)]
    assert study.table(rows)[0]["times_faster"] == 0.5
    assert study.verdict(rows).startswith("Not always faster than every peer")
    assert "0.5 of 15" in study.verdict(rows)


def test_a_workload_that_no_peer_finished_is_told_and_shows():
    large = [{**one, "n_qubits": 24} for one in (ROWS[0], row("default_qubit", "left out: its first steps took 9 s"))]
    rows = [ROWS[0], row("default_qubit", step=0.02, ratio=20.0, first=1.0), *large]
    assert "1 of 1 workloads reach their goal. No peer finished ring 24x4x1 float64." in study.verdict(rows)
    (panel,) = study.figure(rows).axes
    assert [(text.get_text(), text.get_position()[0]) for text in panel.texts] == [("no peer\nfinished", 24)]
    assert not study.figure([*rows[:2]]).axes[0].texts


@pytest.mark.parametrize(
    "fields", [{"sizes": ("8x64",)}, {"circuits": ("rink",)}, {"dtypes": ("half",)}, {"rounds": 0}], ids=str
)
def test_settings_that_cannot_work_are_refused(fields):
    with pytest.raises(LabError):
        study.Settings(**fields)


def test_mccleans_circuits_have_lines_of_their_own_and_a_goal_of_fifty():
    shared = {"kind": "plateau", "n_qubits": 4, "batch": 8, "n_layers": 3, "provenance": {}}
    rows = [
        {**shared, "name": OURS, "status": "right", "step": 1e-4},
        {**shared, "name": "pennylane default.qubit", "status": "right", "step": 6e-3, "ratio": 60.0},
        {**shared, "name": "pennylane lightning.qubit", "status": "not installed: pennylane_lightning"},
    ]
    first, second = study.table([*ROWS, *rows])
    assert list(first) == list(second) == list(study.COLUMNS)
    assert (second["times_faster"], second["goal"], second["fastest_peer"]) == (60.0, 50.0, "pennylane default.qubit")
    assert "2 of 2 workloads reach their goal" in study.verdict([*ROWS, *rows])


def test_a_torch_layer_has_a_line_and_a_goal_beside_each_device():
    shared = {"kind": "torch_layer", "n_qubits": 8, "batch": 64, "n_layers": 4}
    rows = [
        {**shared, "name": OURS, "status": "right", "step": 0.02},
        {**shared, "name": "pennylane lightning.qubit", "status": "right", "step": 0.4, "ratio": 20.0},
        {**shared, "name": "pennylane default.qubit", "status": "right", "step": 0.06, "ratio": 3.0},
    ]
    _, first, second = study.table([*ROWS, *rows])
    assert (first["fastest_peer"], first["times_faster"], first["goal"]) == ("pennylane lightning.qubit", 20.0, 10.0)
    assert (second["fastest_peer"], second["times_faster"], second["goal"]) == ("pennylane default.qubit", 3.0, 1.0)


def test_a_torch_layers_gradients_are_the_same_on_every_device():
    found = torch_layer_peers.compared(2, 3, 1, rounds=1, budget=0.01)
    assert found[0]["name"] == OURS and found[0]["step"] > 0
    assert found[2]["status"] == "right"
    assert found[1]["status"] in ("right", "not installed: pennylane_lightning")


def test_pennylanes_derivatives_of_mccleans_circuits_are_ours():
    pytest.importorskip("pennylane")
    found = compared(3, 4, 5, rounds=1, budget=0.01)
    assert found[0]["name"] == OURS and found[0]["step"] > 0
    assert all(row["status"] == "right" and row["ratio"] > 0 for row in found[1:]), found
