"""A circuit of one's own: both roads, by the command line, and what is refused before anything runs."""

import base64
import json
import math
import sys

import pytest

from circuits import ansatze
from circuits.errors import LabError
from studies import cli, gradient_variance, own_circuit
from studies.exact import middle_variance

QASM = """OPENQASM 3.0;
include "stdgates.inc";
input float a;
input float b;
qubit[2] q;
rx(a) q[0];
ry(b) q[1];
cx q[0], q[1];
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """(exit code, stdout, stderr) of a `studies` command line in a folder with a circuit in it."""
    monkeypatch.setenv("QML_LAB_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.qasm").write_text(QASM)
    (tmp_path / "measured.qasm").write_text(QASM + "bit[1] c;\nc[0] = measure q[0];\nrx(a) q[0];\n")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studies", "run", "barren_plateaus", "--workers", "1", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return call


def test_both_roads_answer_for_a_file(run):
    code, out, _ = run("--circuit", "mine.qasm", "--observable", "ZI", "--json")
    assert code == 0
    found = json.loads(out)
    lines = {line["parameter"]: line for line in found["table"]}
    # <Z> of the target is cos a cos b: the derivatives' variances are 1/4, and so is the value's.
    assert {name: line["by_walks"] for name, line in lines.items()} == pytest.approx({"loss": 0.25, "a": 0.25, "b": 0.25})
    assert all(abs(line["roads_std_errors_apart"]) < 5 for line in lines.values())
    assert "Both roads agree" in found["verdict"]


def test_a_road_that_is_closed_says_why_and_the_other_answers(run, tmp_path):
    (tmp_path / "mine.qasm").write_text(QASM + "t q[1];\nh q[1];\n")
    code, out, _ = run("--circuit", "mine.qasm", "--observable", "ZI")
    assert code == 0 and "No pauli walk: a fixed gate" in out
    wide = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float a;\nqubit[30] q;\nrx(a) q[0];\n'
    (tmp_path / "mine.qasm").write_text(wide)
    code, out, _ = run("--circuit", "mine.qasm", "--observable", "I" * 29 + "Z")
    assert code == 0 and "No state vector: 30 qubits" in out and "0.5" in out


def test_what_never_meets_a_parameter_is_called_flat(run):
    code, out, _ = run("--circuit", "mine.qasm", "--observable", "XX")  # carried back it is X on qubit 0, before RX
    assert code == 0 and "Flat: every derivative is zero at all angles" in out


def test_a_random_state_s_variance_is_that_of_all_strings_of_the_observable():
    rows = [{"n_qubits": 3, "observable": text} for text in ("", "10*ZZI", "ZZI + 0.5*XII - 3*III", "ZZI + ZZI")]
    one = middle_variance(3)
    assert [own_circuit._random([row]) / one for row in rows] == pytest.approx([1, 100, 1.25, 4])


def test_a_landscape_flatter_than_a_random_state_s_is_called_so():
    facts = {"by": "pauli_walk", "closed": "", "n_qubits": 2, "observable": "ZZ", "name": "file", "says": "measured"}
    rows = [facts | {"parameter": name, "variance": 1e-4, "low": 1e-4, "high": 1e-4, "error": 0.0} for name in ("loss", "a")]
    assert "times flatter than a random state's of 2 qubits" in own_circuit.verdict(rows)


@pytest.mark.parametrize(
    "words, said",
    [
        (("--circuit", "none.qasm"), "does not exist"),
        (("--circuit", "mine.qasm", "--observable", "ZZZ"), "3 qubits"),
        (("--circuit", "measured.qasm"), "measures its qubits"),
        (("--circuit", "mine.qasm", "--set", "roads=walk"), "pauli_walk"),
        (("--circuit", "mine.qasm", "--set", "samples=0"), "at least 16"),
        (("--circuit", "mine.qasm", "--set", "distribution=unform"), "uniform"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(run, words, said):
    code, out, err = run(*words)
    assert code == 2 and said in err and "cases to compute" not in err and not out


def test_the_example_is_as_wide_as_its_exact_values_say():
    rows = [
        {**case, **row} for case in own_circuit.cases(own_circuit.Settings(samples=256)) for row in own_circuit.run(case)
    ]
    assert "6 qubits" in own_circuit.verdict(rows)
    assert middle_variance(1) == pytest.approx(2 / 9)
    assert math.isclose(middle_variance(2), 0.10666666666666667)


def test_quick_takes_state_vectors_where_walks_are_closed(run, tmp_path):
    (tmp_path / "mine.qasm").write_text(QASM + "rx(a) q[1];\n")
    code, out, _ = run("--quick", "--circuit", "mine.qasm", "--observable", "ZI", "--json")
    found = json.loads(out)
    assert code == 0 and "mine.qasm, ZI" in found["verdict"] and "No pauli walk: parameter 'a'" in found["verdict"]
    assert {line["parameter"] for line in found["table"]} == {"loss", "a", "b"}


def test_an_observable_without_a_circuit_is_refused(run):
    code, _, err = run("--observable", "ZZ")
    assert code == 2 and "--circuit FILE" in err


@pytest.mark.parametrize("method", ["state_vector", "pauli_walk"])
@pytest.mark.parametrize("options", [{}, {"distribution": "gaussian"}, {"random_axes": True}])
def test_a_list_of_observables_gives_what_each_alone_gives(method, options):
    circuit, observables = ansatze.hardware_efficient(3, 2), ["ZZI", "XIX", "ZII + 0.5*IXI"]
    together = gradient_variance(circuit, observables, 64, seed=3, method=method, **options)
    for observable, found in zip(observables, together, strict=True):
        alone = gradient_variance(circuit, observable, 64, seed=3, method=method, **options)
        assert found.gradient.value == pytest.approx(alone.gradient.value, rel=1e-12, abs=1e-28), "rounding apart"
        assert float(found.loss.value) == pytest.approx(float(alone.loss.value), rel=1e-12)
        assert found.parameters == alone.parameters and found.gradient.samples == alone.gradient.samples


def test_observables_of_a_list_stop_where_each_is_precise():
    circuit, observables = ansatze.hardware_efficient(4, 4), ["ZIII", "ZZZZ"]
    together = gradient_variance(circuit, observables, seed=5, relative_error=0.09)
    alone = [gradient_variance(circuit, observable, seed=5, relative_error=0.09) for observable in observables]
    assert [found.gradient.samples for found in together] == [found.gradient.samples for found in alone]


@pytest.mark.parametrize("wrong", [{"observable": []}, {"observable": ["ZZ", 3]}, {"relative_error": "small"}])
def test_what_is_no_observable_or_no_error_is_refused(wrong):
    with pytest.raises(LabError, match=r"observable|relative_error"):
        gradient_variance(**{"circuit": ansatze.separable(2, 1), "observable": "ZZ", **wrong})


def test_a_result_prints_in_one_line_however_many_parameters_it_has():
    shown = repr(gradient_variance(ansatze.hardware_efficient(4, 20), "ZZII", 64))
    assert len(shown) < 160 and "of 160 components" in shown and "64 samples" in shown


def test_each_circuit_has_files_of_its_own_and_is_shown_again(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "other.qasm").write_text(QASM + "ry(b) q[0];\n")
    for words in (("mine.qasm", "ZI"), ("mine.qasm", "IZ"), ("other.qasm", "ZI")):
        code, out, _ = run("--quick", "--circuit", words[0], "--observable", words[1])
        assert code == 0
    figures = sorted(path.name for path in (tmp_path / "results").glob("*.png"))
    assert [name[:16] for name in figures] == ["own_circuit-mine", "own_circuit-mine", "own_circuit-othe"]
    assert figures[0].endswith("-IZ.png") and figures[1].endswith("-ZI.png")

    def show(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studies", "show", "barren_plateaus", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    for circuit, observable in (("mine.qasm", "ZI"), ("other.qasm", "ZI")):
        code, out, _ = show("--circuit", circuit, "--observable", observable, "--json")
        assert code == 0 and json.loads(out)["verdict"].find(f"{circuit}, {observable}") >= 0
    code, _, err = show("--circuit", "mine.qasm", "--observable", "XX")
    assert code == 2 and "no finished run is on that circuit" in err and "own_circuit-mine" in err


def test_a_file_that_was_changed_is_another_circuit(run, tmp_path):
    names = set()
    for line in ("", "ry(b) q[0];\n"):
        (tmp_path / "mine.qasm").write_text(QASM + line)
        code, out, _ = run("--quick", "--circuit", "mine.qasm", "--observable", "ZI", "--json")
        names.add(json.loads(out)["figure"])
    assert code == 0 and len(names) == 2


def test_a_file_that_was_edited_is_not_shown_with_its_old_circuit_s_result(run, tmp_path, monkeypatch, capsys):
    assert run("--circuit", "mine.qasm")[0] == 0
    (tmp_path / "mine.qasm").write_text(QASM + "rx(0.1) q[0];\n")
    monkeypatch.setattr(sys, "argv", ["studies", "show", "barren_plateaus", "--circuit", "mine.qasm"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code and "no finished run is on that circuit" in capsys.readouterr().err


def test_names_of_wide_observables_differ_where_they_are_cut():
    row = {"circuit": base64.b64encode(b"x").decode(), "name": "f.qasm", "distribution": "uniform", "width": 0}
    first, second = (own_circuit.label([row | {"observable": "I" * k + "ZZ" + "I" * (98 - k)}]) for k in (97, 98))
    assert first != second and max(len(first), len(second)) <= own_circuit.MOST_LETTERS


def test_a_parameter_called_loss_is_refused(run, tmp_path):
    (tmp_path / "mine.qasm").write_text(QASM.replace("float a", "float loss").replace("rx(a)", "rx(loss)"))
    code, _, errors = run("--circuit", "mine.qasm")
    assert code and "is called loss" in errors and "rename it" in errors


def test_a_tiny_observable_is_no_flat_landscape(run):
    for factor in ("", "1e-9*"):
        code, words, _ = run("--circuit", "mine.qasm", "--observable", f"{factor}ZI")
        assert code == 0 and "Flat" not in words and "Both roads agree" in words
