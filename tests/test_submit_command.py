"""`qml submit` and `qml jobs`: every kind of circuit file, tables and JSON, one line for what is wrong."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import Parameter

from qml.circuit_files import load
from qml.store import Store
from qml.submission import report


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """The store every command here finds in the environment."""
    path = tmp_path / "store.sqlite"
    monkeypatch.setenv("QML_LAB_STORE", str(path))
    monkeypatch.setenv("COLUMNS", "120")
    return path


@pytest.fixture
def refused(command):
    """Run `qml` with arguments that are refused: the one line that says why."""

    def call(*arguments: object) -> str:
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err
        return err

    return call


def example() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.sx(1)
    circuit.cx(0, 1)
    circuit.rzz(0.3, 1, 2)
    circuit.measure(range(3), range(3))
    return circuit


def as_qpy(*circuits: QuantumCircuit) -> bytes:
    packed = io.BytesIO()
    qpy.dump(circuits, packed)
    return packed.getvalue()


@pytest.fixture
def bell(tmp_path):
    """A file with two entangled qubits, measured."""
    path = tmp_path / "bell.qasm"
    path.write_text(
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0], q[1];\nmeasure q -> c;\n'
    )
    return path


# ---- circuit files


WRITERS = {"qasm2": qasm2.dumps, "qasm3": qasm3.dumps, "qpy": as_qpy}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["circuit.qasm", "circuit.qpy", "circuit"])
def test_contents_and_not_the_name_say_what_a_file_is(kind, name, tmp_path):
    written = WRITERS[kind](example())
    path = tmp_path / name
    path.write_bytes(written if isinstance(written, bytes) else written.encode())
    (circuit,) = load(path)
    assert [item.operation.name for item in circuit.data if item.operation.name != "barrier"] == [
        *("h", "sx", "cx", "rzz", "measure", "measure", "measure")
    ]


def test_one_circuit_gives_the_same_counts_from_every_kind_of_file(command, tmp_path):
    found = []
    for kind, write in WRITERS.items():
        written = write(example())
        (tmp_path / kind).write_bytes(written if isinstance(written, bytes) else written.encode())
        code, out, _ = command("submit", tmp_path / kind, "--seed", 3, "--json")
        assert code == 0
        found.append(json.loads(out)["counts"])
    assert found[0] == found[1] == found[2] and sum(found[0].values()) == 1024


def test_a_dash_reads_standard_input(command, bell, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bell.read_bytes())))
    code, out, _ = command("submit", "-", "--json")
    assert code == 0 and json.loads(out)["name"] == "stdin"


def test_headers_may_follow_comments_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "commented.qasm"
    text = "// OPENQASM 9;\n/* two\nlines */ OPENQASM 3;\nqubit[2] q;\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(path)[0].num_qubits == 2


def free_parameter() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(2 * Parameter("alpha") + Parameter("beta"), 0)
    return circuit


def nan_angle() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(float("nan"), 0)
    return circuit


HEADER3 = 'OPENQASM 3;\ninclude "stdgates.inc";\n'
BAD_FILES = {
    "empty": (b"", "is empty: give an OpenQASM"),
    "blank": (b" \n\t\n", "is empty: give an OpenQASM"),
    "text": (b"h q[0];", "does not begin with an OpenQASM version"),
    "binary": (b"\x80\x04\xff\xfe", "neither OpenQASM text nor a QPY file"),
    "zeros": (bytes(64), "does not begin with an OpenQASM version"),
    "version": (b"OPENQASM 4.0;", "is OpenQASM 4, which nothing here reads"),
    "gate2": (b"OPENQASM 2.0;\nqreg q[1];\nfoo q[0];", "line 3, column 0: 'foo' is not defined"),
    "gate3": (b"OPENQASM 3;\nqubit q;\nfoo q;", "line 3, column 0: gate 'foo' is not defined"),
    "syntax2": (b"OPENQASM 2.0;\nqreg q[1", "not sound OpenQASM 2: line 2"),
    "syntax3": (b"OPENQASM 3;\nqubit q;\nif ((((;", "not sound OpenQASM 3: line 3"),
    "zero3": (b"OPENQASM 3;\nqubit q;\nU(1/0, 0, 0) q;", "division"),
    "include": (b'OPENQASM 2.0;\ninclude "nowhere.inc";\nqreg q[1];', "unable to find 'nowhere.inc'"),
    "infinite": (b"OPENQASM 2.0;\nqreg q[1];\nU(1e999,0,0) q[0];", "parameter inf: all must be finite"),
    "nan": (as_qpy(nan_angle()), "'rx' with the parameter nan"),
    "no qubits": (b"OPENQASM 2.0;", "has no qubits: declare some"),
    "huge2": (b"OPENQASM 2.0;\nqreg q[2000000000];", "declares 2,000,000,000 qubits"),
    "huge3": (b"OPENQASM 3;\nqubit[2000000000] q;", "declares 2,000,000,000 qubits"),
    "free3": (f"{HEADER3}input float a;\nqubit q;\nrx(a) q;".encode(), "has 1 free parameter (a)"),
    "free": (as_qpy(free_parameter()), "has 2 free parameters (alpha, beta)"),
    "second": (as_qpy(example(), free_parameter()), "circuit 1 has 2 free parameters"),
    "stub": (b"QISKIT", "is truncated (write it again with qiskit.qpy.dump)"),
    "half": (as_qpy(example())[:-40], "not sound QPY"),
    "future": (b"QISKIT\x63" + as_qpy(example())[7:], "not sound QPY: The QPY format version being read, 99"),
    "unpickled": (b"QISKIT\x0c" + as_qpy(example())[7:], "is QPY of format 12: write it again with Qiskit"),
    "no circuits": (b"QISKIT\x12\2\6\2" + bytes(8) + b"pq", "circuit"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_sound_circuit_is_refused_in_one_line(kind, refused, tmp_path, store):
    content, says = BAD_FILES[kind]
    path = tmp_path / "bad file.qasm"
    path.write_bytes(content)
    line = refused("submit", path)
    assert says in line and "bad file.qasm" in line
    assert not store.exists()


def test_a_missing_file_and_a_folder_are_refused(refused, tmp_path):
    assert "nowhere.qasm does not exist: give an OpenQASM 2 or 3 file" in refused("submit", "nowhere.qasm")
    assert "has no file that ends in .qasm" in refused("submit", tmp_path)
    assert "cannot be read" in refused("submit", "nul\0byte")
    assert "write `qml submit FILE`" in refused("submit")


def test_a_pickle_is_never_loaded(refused, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    for start in (b"", b"QISKIT\x0c", b"QISKIT\x12"):
        (tmp_path / "payload.qpy").write_bytes(start + pickle.dumps(Payload()))
        assert refused("submit", tmp_path / "payload.qpy")
    assert not (tmp_path / "executed").exists()


def test_files_with_free_parameters_can_be_loaded_by_those_who_ask_for_them(tmp_path):
    path = tmp_path / "free.qpy"
    path.write_bytes(as_qpy(free_parameter()))
    (circuit,) = load(path, parameters=True)
    assert {parameter.name for parameter in circuit.parameters} == {"alpha", "beta"}


# ---- what is printed


def valid(text: str) -> list[dict]:
    """The jobs of JSON lines, once each is what the schema says."""
    jsonschema = pytest.importorskip("jsonschema")
    jobs, schema = [json.loads(line) for line in text.splitlines()], json.loads(report.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    for job in jobs:
        jsonschema.Draft202012Validator(schema).validate(job)
    return jobs


def test_the_json_is_what_the_printed_schema_says(command, bell, tmp_path):
    assert json.loads(command("submit", "--schema")[1]) == json.loads(report.schema())
    (tmp_path / "two.qpy").write_bytes(as_qpy(example(), example()))
    printed = {
        "counts": command("submit", bell, "--json", "--seed", 1),
        "noise": command("submit", bell, "--json", "--backend", "aer", "--noise", 0.1, "--device", "CPU"),
        "values": command("submit", bell, "--json", "--observable", "ZZ", "--observable", "0.5*XX - IZ"),
        "exact": command("submit", bell, "--json", "--observable", "ZZ", "--exact"),
        "one shot": command("submit", bell, "--json", "--observable", "ZI", "--shots", 1),
        "two": command("submit", tmp_path / "two.qpy", "--json", "--seed", 1),
    }
    jobs = {name: valid(out) for name, (code, out, _) in printed.items() if code == 0}
    assert jobs.keys() == printed.keys()
    assert set(jobs["counts"][0]["counts"]) == {"00", "11"} and jobs["counts"][0]["seed"] == 1
    assert jobs["noise"][0]["options"] == {"device": "CPU", "noise": 0.1}
    assert jobs["values"][0]["observables"] == ["ZZ", "0.5*XX - IZ"] and jobs["values"][0]["values"][0] == 1
    assert jobs["exact"][0]["values"] == pytest.approx([1]) and jobs["exact"][0]["shots"] is None
    assert jobs["one shot"][0]["standard_errors"] == [None]
    assert len(jobs["two"]) == 2 and jobs["two"][0]["counts"] != jobs["two"][1]["counts"]
    assert len(valid(command("jobs", "list", "--json")[1])) == 7


def test_the_schema_refuses_what_is_no_job():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(report.schema()))
    for wrong in ({}, {"id": "a"}, {"jobs": []}, []):
        assert not validator.is_valid(wrong)


def test_counts_are_a_table_sorted_by_count_with_fractions(command, tmp_path):
    circuit = QuantumCircuit(1, 1)
    circuit.ry(0.9, 0)
    circuit.measure(0, 0)
    (tmp_path / "tilted.qpy").write_bytes(as_qpy(circuit))
    code, out, err = command("submit", tmp_path / "tilted.qpy", "--seed", 1, "--shots", 4000)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.split() and line.split()[0] in ("0", "1")]
    assert [row[0] for row in rows] == ["0", "1"]
    numbers = [int(row[1].replace(",", "")) for row in rows]
    assert sum(numbers) == 4000 and numbers[0] > numbers[1]
    assert [row[2] for row in rows] == [f"{number / 4000:.4f}" for number in numbers]
    assert "4,000 shots, seed 1" in out and "native" in out


def test_a_long_table_is_folded_after_32_rows_and_says_how_many_more(command, tmp_path):
    circuit = QuantumCircuit(6)
    circuit.h(range(6))
    (tmp_path / "uniform.qpy").write_bytes(as_qpy(circuit))
    _, out, _ = command("submit", tmp_path / "uniform.qpy", "--seed", 1, "--shots", 6400)
    lines = [line.split() for line in out.splitlines()]
    rows = [words for words in lines if words and len(words[0]) == 6 and set(words[0]) <= {"0", "1"}]
    (more,) = [words for words in lines if "more" in words]
    assert len(rows) == 32 and more[:3] == ["32", "more", "outcomes"]
    assert sum(int(words[1].replace(",", "")) for words in [*rows, ["", more[3]]]) == 6400


def test_observables_are_printed_with_values_and_errors(command, bell):
    _, out, _ = command("submit", bell, "--observable", "ZZ", "--observable", "0.5*XX + IZ", "--seed", 1)
    lines = {line[: len("0.5*XX + IZ ")].strip(): line.split() for line in out.splitlines()}
    assert lines["ZZ"][-2:] == ["+1.000000", "0"]
    value, error = map(float, lines["0.5*XX + IZ"][-2:])
    assert error > 0 and abs(value - 0.5) <= 5 * error
    _, out, _ = command("submit", bell, "--observable", "ZZ", "--exact")
    assert "exact" in out and "+1.000000" in out


def test_show_prints_again_what_submit_printed(command, bell, store):
    for arguments in ([], ["--observable", "ZI"], ["--json"], ["--backend", "aer", "--noise", 0.1]):
        code, out, _ = command("submit", bell, *arguments)
        with Store(store) as opened:
            newest = opened.jobs()[0]["id"]
        shown = command("jobs", "show", newest[:8], *[a for a in arguments if a == "--json"])
        assert (code, *shown) == (0, 0, out, "")


def test_the_same_seed_prints_the_same_counts(command, bell):
    first, second = (json.loads(command("submit", bell, "--seed", 9, "--json")[1])["counts"] for _ in range(2))
    assert first == second


def test_jobs_are_listed_newest_first(command, bell):
    assert "no jobs yet" in command("jobs", "list")[1]
    command("submit", bell)
    command("submit", bell, "--observable", "ZZ", "--exact")
    _, out, _ = command("jobs", "list")
    rows = [line for line in out.splitlines() if "bell" in line]
    assert len(rows) == 2 and "bell: ZZ" in rows[0] and "exact" in rows[0] and "counts" in rows[1]
    jobs = valid(command("jobs", "list", "--json")[1])
    assert [job["observables"] for job in jobs] == [["ZZ"], None]


def test_a_failed_job_is_an_error_and_is_listed_with_its_reason(command, tmp_path):
    path = tmp_path / "wide.qasm"
    path.write_text("OPENQASM 3;\nqubit[50] q;\nU(1, 2, 3) q;\n")
    code, out, err = command("submit", path)
    assert (code, out) == (2, "") and err.count("\n") == 1 and "(18,014,398,509,481,984 bytes)" in err
    code, out, err = command("submit", path, "--json")
    (job,) = valid(out)
    assert code == 2 and job["state"] == "failed" and job["error"] in err
    code, out, _ = command("jobs", "show", job["id"])
    assert code == 0 and job["error"] in out
    assert [job["state"] for job in valid(command("jobs", "list", "--json")[1])] == ["failed", "failed"]


# ---- what is refused


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--shots", "0"], "shots must be a whole number of at least 1 (or None for exact values), got 0"),
        (["--shots", "-3"], "got -3"),
        (["--seed", "-1"], "seed must be a whole number from 0"),
        (["--backend", "aeer"], "unknown backend 'aeer': did you mean 'aer'?"),
        (["--backend", "pennylane", "--device", "nosuch.qubit"], "nosuch.qubit"),
        (["--backend", "aer", "--device", "TPU"], "TPU"),
        (["--device", "GPU"], "'device'"),
        (["--noise", "0.1"], "--noise works on backend aer, got --backend native: write --backend aer"),
        (["--backend", "aer", "--noise", "1.5"], "the noise probability must be between 0 and 1, got 1.5"),
        (["--backend", "aer", "--noise", "nan"], "the noise probability must be between 0 and 1, got nan"),
        (["--observable", "ZZI"], "acts on 3 qubits but the circuit has 2"),
        (["--observable", "QQ"], "'QQ' is not an observable: write a Pauli label"),
        (["--observable", ""], "is not an observable"),
        (["--exact"], "no --observable was given"),
    ],
)
def test_a_bad_request_is_refused_in_one_line(refused, bell, store, arguments, says):
    assert says in refused("submit", bell, *arguments)
    assert not store.exists()


def test_unknown_and_ambiguous_jobs_are_refused_in_one_line(refused, store):
    assert "unknown job 'abc'" in refused("jobs", "show", "abc")
    with Store(store) as opened:
        for job_id in ("abc1", "abc2"):
            opened.add_job({"id": job_id, "created": "2026", "state": "queued", "backend": "native"})
    assert "'abc' is ambiguous: write more letters of one of abc1, abc2" in refused("jobs", "show", "abc")
    assert "did you mean 'abc2'?" in refused("jobs", "show", "abc22")


def test_a_store_that_cannot_be_used_is_refused_and_left_alone(refused, bell, tmp_path):
    other = tmp_path / "thesis.txt"
    other.write_text("chapter one\n" * 100)
    for arguments in (["submit", bell], ["jobs", "list"], ["jobs", "show", "a"]):
        assert "thesis.txt is not a results store" in refused(*arguments, "--store", other)
        assert "is a folder: give a file" in refused(*arguments, "--store", tmp_path)
    assert other.read_text() == "chapter one\n" * 100


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_ctrl_c_cancels_the_job_in_one_line(backend, store, tmp_path):
    circuit = QuantumCircuit(24)
    for layer in range(400):  # minutes on any machine
        circuit.ry(0.1 + layer, range(24))
        circuit.cx(range(23), range(1, 24))
    (tmp_path / "long.qpy").write_bytes(as_qpy(circuit))
    # Whoever runs the tests in the background may have them ignore Ctrl-C.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from qml.cli import main; "
    code += "sys.argv[0] = 'qml'; main()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, "submit", str(tmp_path / "long.qpy"), "--backend", backend],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    state = None
    while state != "running" and program.poll() is None:
        time.sleep(0.05)
        if store.exists():
            with Store(store) as opened:
                state = next((job["state"] for job in opened.jobs()), None)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate()
    assert (program.returncode, out) == (130, "") and err.startswith("error: interrupted: job ")
    assert err.count("\n") == 1
    with Store(store) as opened:
        assert [job["state"] for job in opened.jobs()] == ["cancelled"]


def test_the_commands_are_mounted_without_loading_what_only_running_needs():
    heavy = "{'numpy', 'qiskit', 'torch', 'pennylane', 'scipy', 'sklearn', 'matplotlib', 'numba'}"
    code = f"import sys; from qml.cli import application; application(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_exact_values_have_no_shots(refused, bell):
    assert "--exact has no shots" in refused("submit", bell, "--observable", "ZZ", "--exact", "--shots", "100")
