"""Sweeps: one circuit at many parameter values, from arrays, mappings and CSVs; what is printed of them."""

import json

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

import qml
from circuits.errors import LabError, TooLarge
from qml.store import Store
from qml.submission import sweep
from qml.submission.sweep import Sweep, read_csv

SEED = 20261125
pytestmark = pytest.mark.usefixtures("on_store")


def free() -> QuantumCircuit:
    a, w = Parameter("a"), ParameterVector("w", 2)
    circuit = QuantumCircuit(2, name="free")
    circuit.ry(2 * a, 0)
    circuit.rx(w[0], 1)
    circuit.cx(0, 1)
    circuit.ry(w[1], 1)
    return circuit


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
        qml.submit(QuantumCircuit(2), parameter_values=values, store=store)
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


# ---- sweeps whose jobs are those of other submissions


def sum_of_two(tmp_path, *rows: tuple[float, float]) -> tuple:
    """Arguments of a sweep of one qubit turned by a + b, a line for each pair of values."""
    program = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float a;\ninput float b;\nqubit[1] q;\nrx(a + b) q[0];\n'
    (tmp_path / "sum.qasm").write_text(program)
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))
    return "submit", tmp_path / "sum.qasm", "--values", tmp_path / "rows.csv", "--observable", "Z", "--exact"


def rows_of_the_table(out: str) -> list[list[str]]:
    """Values and results of the one table that was printed."""
    (heading,) = [line for line in out.splitlines() if line.split() == ["job", "a", "b", "Z"]]
    return [line.split()[1:] for line in out[out.index(heading) :].splitlines()[2:] if line.strip()]


def test_what_a_sweep_takes_from_the_store_is_told_at_its_own_values_and_places(command, tmp_path):
    first = [json.loads(line) for line in command(*sum_of_two(tmp_path, (1.0, 1.0), (0.1, 0.2)), "--json")[1].splitlines()]
    (old,) = [line for line in first if line["number"] == 1]
    again = (*sum_of_two(tmp_path, (0.2, 0.1), (0.5, 0.0)), "--reuse")
    lines = [json.loads(line) for line in command(*again, "--json")[1].splitlines()]
    found = {line["number"]: line for line in lines}
    assert found[0]["id"] == old["id"] and found[0]["values"] == old["values"] == pytest.approx([np.cos(0.3)])
    assert [found[number]["parameters"] for number in range(2)] == [{"a": 0.2, "b": 0.1}, {"a": 0.5, "b": 0.0}]
    assert rows_of_the_table(command(*again)[1]) == [
        ["0.2", "0.1", f"{np.cos(0.3):+.6f}"],
        ["0.5", "0", f"{np.cos(0.5):+.6f}"],
    ]


def test_a_sweep_made_longer_under_its_tag_is_one_table_also_with_jobs_that_were_kept_without_values(
    command, tmp_path, store
):
    rows = [(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)]
    expected = [[f"{a:g}", f"{b:g}", f"{np.cos(a + b):+.6f}"] for a, b in rows]
    assert rows_of_the_table(command(*sum_of_two(tmp_path, *rows[:2]), "--tag", "t")[1]) == expected[:2]
    with Store(store) as opened:  # as an older program left it
        opened.update_job(opened.jobs(number=1)[0]["id"], parameters=None)
    assert rows_of_the_table(command(*sum_of_two(tmp_path, *rows), "--tag", "t")[1]) == expected


def test_results_of_different_circuits_are_no_sweep(command, store):
    one, other = free(), free()
    other.name = "other"
    request = {"observables": "ZZ", "shots": None, "store": store}
    jobs = [qml.submit(circuit, parameter_values=[0.1, 0.2, 0.3], **request) for circuit in (one, other)]
    [job.result() for job in jobs]
    out = command("jobs", "result", *(job.id for job in jobs))[1]
    assert out.count("expectation") == 2 and "rows of values" not in out


def test_a_csv_of_more_lines_than_a_submission_takes_is_refused_and_not_cut(monkeypatch):
    monkeypatch.setattr(sweep, "MOST_ROWS", 2)
    assert len(read_csv(b"1,2,3\n" * 2, "values.csv", free())) == 2
    with pytest.raises(TooLarge, match=r"values\.csv has 3 lines of numbers, more than 2: submit it in parts"):
        read_csv(b"1,2,3\n" * 3, "values.csv", free())
