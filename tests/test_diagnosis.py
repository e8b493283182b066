"""`qml doctor` believes only what it has run, survives what crashes, and knows faults by their number."""

import importlib.util
import json
import sys

import pytest

import qml
from circuits.errors import LabError
from circuits.families import member, members
from qml import diagnosis
from qml.backends.native import NativeBackend
from qml.cli import application, run
from qml.known_faults import FAULTS, applying

SOUND = {"qiskit-aer": "0.18.2", "qiskit-aer-gpu": None, "qiskit": "2.6.2", "pennylane-lightning": None}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    monkeypatch.setenv("QML_LAB_STORE", str(path))
    return path


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `qml` with arguments: exit code and standard output."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["qml", *arguments])
        with pytest.raises(SystemExit) as caught:
            run(application())
        return caught.value.code or 0, capsys.readouterr().out

    return call


def by_name(report) -> dict[str, diagnosis.Check]:
    return {check.name: check for check in report.checks}


def test_doctor_tries_every_backend_and_says_what_is_installed(store):
    report = qml.doctor()
    checks = by_name(report)
    assert {f"backend {name}" for name in members("qml.backends")} <= checks.keys()
    assert all(checks[f"backend {name}"].works for name in ("native", "aer", "pennylane"))
    assert report.versions["qiskit"] == __import__("qiskit").__version__
    assert report.versions["qiskit-aer-gpu"] is None or report.versions["qiskit-aer"] is None
    assert 0 < report.memory_free <= report.memory_total and report.cores >= 1
    assert checks["store"].says.startswith(str(store)) and not store.exists()
    assert json.loads(json.dumps(report.as_dict()))["versions"] == report.versions
    assert "backend native" in str(report)


def test_a_backend_that_runs_and_is_wrong_is_not_believed(monkeypatch):
    monkeypatch.setattr(NativeBackend, "counts", lambda *_: {"0": 16})
    check = by_name(qml.doctor())["backend native"]
    assert check.works is False and "do not trust this backend" in check.says


def test_a_backend_that_raises_is_reported_in_one_line(monkeypatch):
    def broken(*_):
        raise OSError("libsomething.so:\n cannot open")

    monkeypatch.setattr(NativeBackend, "estimate", broken)
    check = by_name(qml.doctor())["backend native"]
    assert check.works is False and check.says == "OSError: libsomething.so: cannot open"


@pytest.mark.parametrize(
    "code, says",
    [
        ("import os; os.abort()", "crashed with signal 6"),
        ("raise RuntimeError('no device')", "RuntimeError: no device"),
        ("from circuits.errors import LabError; raise LabError('use the CPU')", "use the CPU"),
        ("import time; time.sleep(60)", "did not answer within 0.5 s"),
    ],
)
def test_a_probe_that_crashes_fails_or_hangs_is_survived(code, says, monkeypatch):
    if "sleep" in code:
        monkeypatch.setattr(diagnosis, "PROBE_SECONDS", 0.5)
    with pytest.raises(LabError) as caught:
        diagnosis._in_process(code)
    assert str(caught.value) == says


def test_a_probe_in_a_process_finds_the_code_under_test():
    found = diagnosis._in_process("import qml.diagnosis; print(qml.diagnosis.__file__)")
    assert found == diagnosis.__file__


def test_a_machine_without_a_gpu_is_said_to_have_none():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    checks = by_name(qml.doctor())
    assert checks["GPU, torch"].works is None and not checks["GPU, Aer"].works
    assert checks["GPU, driver"].works is None and checks["GPU, native"].works is None
    assert "GPU, cuStateVec" not in checks


# ---- known faults


@pytest.mark.parametrize(
    "number, versions, gpu, custatevec",
    [
        ("qiskit-aer#2351", {"qiskit-aer-gpu": "0.18.2"}, False, None),
        ("qiskit-aer#2336", {"qiskit-aer": None, "qiskit-aer-gpu": "0.15.1"}, False, None),
        ("qiskit-aer#2374", {"qiskit-aer": None, "qiskit-aer-gpu": "0.18.2"}, True, None),
        ("qiskit-aer#2144", {}, True, False),
        ("qiskit-aer#2244", {}, True, None),
        ("qiskit-aer#2340", {}, True, None),
        ("qiskit-aer#2460", {}, True, None),
        ("qiskit-aer#2438", {}, False, None),
        ("pennylane-lightning#987", {"pennylane-lightning": "0.45.0"}, False, None),
    ],
)
def test_a_known_fault_is_named_where_it_applies_and_not_elsewhere(number, versions, gpu, custatevec, monkeypatch):
    monkeypatch.setattr("qml.known_faults._cuda_of_torch", lambda: 13)
    monkeypatch.setattr("qml.known_faults._n_gpus", lambda: 2)
    assert applying(SOUND | versions, gpu, custatevec)[number] == FAULTS[number]
    monkeypatch.setattr("qml.known_faults._cuda_of_torch", lambda: 12)
    monkeypatch.setattr("qml.known_faults._n_gpus", lambda: 1)
    sound = SOUND | {"qiskit-aer": None, "qiskit-aer-gpu": "0.18.2"}
    assert number not in applying(sound, True, True) or number == "qiskit-aer#2438"
    assert applying(dict.fromkeys(SOUND), False, None) == {}


def test_both_aer_wheels_and_a_clashing_distribution_are_found(monkeypatch):
    installed = {"qiskit-aer": "0.18.2", "qiskit-aer-gpu": "0.18.2", "qml": "0.4.0.27"}
    known = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda name: installed.get(name, known(name)))
    report = qml.doctor()
    checks = by_name(report)
    assert checks["Aer wheels"].works is False and "qiskit-aer#2351" in report.faults
    assert checks["import names"].says == ("the distribution 'qml' imports under our name: pip uninstall qml")


# ---- the commands


def test_the_doctor_command_prints_it_all_and_ends_well_whatever_is_wrong(command, store):
    store.write_text("not a store\n" * 50)
    code, out = command("doctor")
    assert code == 0 and "backend native" in out and "results store" in " ".join(out.split())
    code, out = command("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == 0 and checks["store"]["works"] is False and checks["backend native"]["works"] is True


def test_an_existing_store_is_opened_and_its_content_counted(store):
    from qml.store import Store

    with Store(store) as opened:
        opened.add_rows("plateau", "a", {}, [{}], {})
    assert by_name(qml.doctor())["store"] == diagnosis.Check("store", True, f"{store}: 1 study case, 0 jobs")


def test_backends_are_listed_from_their_files_with_what_they_can_do(command):
    code, out = command("backends", "--json")
    rows = {row["name"]: row for row in json.loads(out)["backends"]}
    assert code == 0 and sorted(rows) == members("qml.backends")
    for name, row in rows.items():
        backend = member("qml.backends", name, "backend").BACKEND
        assert (row["adjoint"], row["exact"]) == (backend.adjoint, backend.exact)
    assert rows["native"]["installed"] and rows["native"]["adjoint"]
    _, out = command("backends")
    assert all(name in out for name in rows)


def test_a_backend_that_is_missing_says_what_to_install(command, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "qiskit_aer" else find(name, *rest))
    rows = {row["name"]: row for row in json.loads(command("backends", "--json")[1])["backends"]}
    assert rows["aer"]["installed"] is False
    assert "pip install 'hybrid-qml-lab[aer]'" in rows["aer"]["install"]
    assert rows["native"]["install"] is None
    assert "aer is not installed: pip install 'hybrid-qml-lab[aer]'" in command("backends")[1]
