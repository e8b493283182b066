"""The harness: every study keeps the contract; what was computed once is kept, found and never doubled."""

import base64
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from circuits.errors import LabError, UnknownName
from qml.store import Store
from studies import base, cli, execution, outcome, report, sources

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = ("qubits=2,3", "depth_factor=2", "samples=160")
MACHINERY = {
    "base",
    "cli",
    "execution",
    "outcome",
    "progress",
    "provenance",
    "report",
    "sources",
    "statistics",
}
PROGRAM = (sys.executable, "-c", "from studies.cli import main; main()")
PROVENANCE = {
    "commit",
    "code",
    "numpy",
    "torch",
    "qiskit",
    "numba",
    "python",
    "device",
    "dtype",
    "seed",
    "seconds",
    "finished",
}

TOY = '''"""Is the square of a number its square?

Source: Euclid.

Expected: yes.

Control: none.

Minutes: 0.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    numbers: int = 6
    fatal: int = -1

    @classmethod
    def quick(cls):
        return cls(numbers=3)


def cases(settings):
    return [{"number": k, "fatal": settings.fatal} for k in range(settings.numbers)]


def run(case):
    if case["number"] == case["fatal"]:
        os._exit(9)
    return [{"square": case["number"] ** 2}]


def table(rows):
    return [{"number": row["number"], "square": row["square"]} for row in rows]


def figure(rows):
    from matplotlib.figure import Figure

    return Figure()


def verdict(rows):
    return f"Yes, {len(rows)} times."
'''


@pytest.fixture
def study() -> base.Study:
    """The study that the harness is tried on."""
    return base.load("barren_plateaus")


@pytest.fixture
def program(tmp_path, monkeypatch, capsys):
    """Runs a `studies` command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("QML_LAB_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["studies", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return call


@pytest.fixture
def ran(program):
    """A small run of the study, its answer as JSON, and `program` to go on with."""
    words = [word for setting in SMALL for word in ("--set", setting)]
    code, out, _ = program("run", "barren_plateaus", "--workers", "1", "--json", *words)
    assert code == 0
    return json.loads(out), words


@pytest.fixture
def copy(tmp_path):
    """Runs `studies` in a copy of the three packages that has one more study in it."""
    for package in ("circuits", "qml", "studies"):
        shutil.copytree(ROOT / package, tmp_path / "lab" / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "lab" / "studies" / "toy.py").write_text(TOY)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "lab"),
        "QML_LAB_STORE": str(tmp_path / "store.sqlite"),
    }

    def call(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*PROGRAM, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return call


@pytest.mark.parametrize("name", base.names())
def test_every_study_says_its_question_source_expected_result_control_and_minutes(name):
    found = base.load(name)
    assert found.question.endswith("?")
    assert all(found.facts.get(fact) for fact in base.FACTS), found.facts


@pytest.mark.parametrize("name", base.names())
def test_every_study_has_frozen_settings_plain_cases_and_a_smaller_quick_preset(name):
    module = base.load(name).module
    settings = module.Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, dataclasses.fields(settings)[0].name, None)
    cases, quick = module.cases(settings), module.cases(module.Settings.quick())
    assert 0 < len(quick) < len(cases)
    assert json.loads(json.dumps(cases, allow_nan=False)) == cases
    assert len({base.case_id(name, case, "code") for case in cases}) == len(cases)
    assert all(callable(getattr(module, part)) for part in ("run", "table", "figure", "verdict"))


def test_the_machinery_is_no_study():
    assert "barren_plateaus" in base.names()
    assert not MACHINERY & set(base.names())
    assert {path.stem for path in (ROOT / "studies").glob("*.py")} >= MACHINERY


def test_adding_a_study_means_adding_one_file(copy):
    done = copy("run", "toy", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [line["square"] for line in found["table"]] == [0, 1, 4, 9, 16, 25]
    assert found["verdict"] == "Yes, 6 times." and found["provenance"]["commit"] == ["None"]
    assert "toy" in copy("list").stdout


def test_a_worker_that_dies_is_told_in_one_line_and_costs_only_what_was_in_hand(copy):
    done = copy("run", "toy", "--workers", "2", "--set", "fatal=5")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: a worker died") and "Traceback" not in done.stderr


def test_the_case_id_changes_with_everything_that_affects_a_result():
    case = {"n_qubits": 2, "seed": 0}
    ids = {
        base.case_id("a", case, "1"),
        base.case_id("b", case, "1"),
        base.case_id("a", case, "2"),
        base.case_id("a", {**case, "seed": 1}, "1"),
        base.case_id("a", {**case, "depth": 3}, "1"),
    }
    assert len(ids) == 5
    assert base.case_id("a", {"seed": 0, "n_qubits": 2}, "1") in ids


def test_a_cluster_without_dask_names_what_to_install(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, error = program("run", "barren_plateaus", "--quick", "--cluster", "tcp://127.0.0.1:1")
    assert code == 2 and "pip install 'hybrid-qml-lab[cluster]'" in error


def test_a_second_run_computes_nothing_and_a_larger_one_only_what_is_new(ran, program):
    first, words = ran
    assert first["cases"] == {"total": 12, "computed": 12}
    _, out, error = program("run", "barren_plateaus", "--workers", "1", "--json", *words)
    again = json.loads(out)
    assert again["cases"] == {"total": 12, "computed": 0} and again["table"] == first["table"]
    assert "12 of 12 cases are in the store already" in error
    # 192 samples are three full chunks: two of the three of each arm and size are there.
    _, out, _ = program("run", "barren_plateaus", "--workers", "1", "--json", *words, "--set", "samples=192")
    assert json.loads(out)["cases"] == {"total": 12, "computed": 4}


def test_the_store_is_opened_before_anything_is_computed(program, tmp_path, monkeypatch):
    (tmp_path / "store.sqlite").write_bytes(b"not a database" * 100)
    monkeypatch.setattr(execution, "compute", lambda *_: pytest.fail("computed"))
    code, _, error = program("run", "barren_plateaus", "--workers", "1", *("--set", SMALL[0]))
    assert code == 2 and error.startswith("error: the store")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "baren_plateaus"), "did you mean 'barren_plateaus'?"),
        (("show", "barren-plateau"), "did you mean 'barren_plateaus'?"),
        (("run", "cli"), "unknown study 'cli'"),
        (("run", "barren_plateaus", "--set", "qbits=2,4"), "did you mean 'qubits'?"),
        (("run", "barren_plateaus", "--set", "samples"), "--set takes key=value"),
        (("run", "barren_plateaus", "--set", "samples=many"), "write it like samples=3"),
        (("run", "barren_plateaus", "--set", "qubits=two"), "write it like qubits=2,4,6"),
        (("run", "barren_plateaus", "--set", "qubits=1,2"), "setting qubits must be"),
        (("run", "barren_plateaus", "--set", "qubits=2,60"), "GiB"),
        (("run", "barren_plateaus", "--store", "/"), "is a folder"),
        (("show", "barren_plateaus"), "studies run barren_plateaus"),
        (("report",), "studies run NAME --quick"),
    ],
)
def test_bad_input_gives_one_line_that_says_what_to_write_and_exit_code_2(words, said, program, monkeypatch):
    monkeypatch.setattr(execution, "compute", lambda *_: pytest.fail("computed"))
    code, out, error = program(*words)
    assert code == 2 and out == ""
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said in error


def test_usage_errors_exit_with_2(program):
    assert program("run", "barren_plateaus", "--workers", "0")[0] == 2
    assert program("run")[0] == 2


def test_list_shows_the_question_and_what_is_stored(ran, program):
    code, out, _ = program("list", "--json")
    (line,) = [line for line in json.loads(out) if line["study"] == "barren_plateaus"]
    assert code == 0 and line["stored cases"] == 12 and line["question"].endswith("?")
    assert "barren_plateaus" in program("list")[1]


def test_run_prints_the_table_the_verdict_and_the_paths(ran, program):
    _, words = ran
    code, out, _ = program("run", "barren-plateaus", *words)
    assert code == 0 and "Verdict: " in out and "samples" in out
    for path in (pathlib.Path("results/barren_plateaus.png"), pathlib.Path("results/barren_plateaus.csv")):
        assert str(path) in out and path.is_file()


def test_figure_csv_and_words_are_made_of_stored_rows_alone(ran, program, monkeypatch, study):
    first, _ = ran
    picture = pathlib.Path(first["figure"]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    monkeypatch.setattr(study.module, "run", lambda _: pytest.fail("computed"))
    code, out, _ = program("show", "barren_plateaus", "--json", "--out", "again")
    shown = json.loads(out)
    assert code == 0 and (shown["table"], shown["verdict"]) == (first["table"], first["verdict"])
    assert pathlib.Path("again/barren_plateaus.png").read_bytes() == picture


def test_the_csv_has_every_number_of_every_row_with_its_origin(ran, tmp_path):
    import csv

    with open(tmp_path / "results" / "barren_plateaus.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    with Store(tmp_path / "store.sqlite") as store:
        rows = store.rows("barren_plateaus")
    by_case = {row["provenance"]["case"]: row for row in rows}
    assert len(lines) == len(rows) == 12
    for line in lines:
        row = by_case[line["case"]]
        assert json.loads(line["gradients"]) == row["gradients"]
        assert line["arm"] == row["arm"] and int(line["n_qubits"]) == row["n_qubits"]
        assert set(line) >= PROVENANCE


def test_every_row_says_where_it_comes_from(ran, tmp_path):
    with Store(tmp_path / "store.sqlite") as store:
        for row in store.rows("barren_plateaus"):
            origin = row["provenance"]
            assert set(origin) >= PROVENANCE
            assert origin["code"] == sources.code_version("barren_plateaus")
            assert origin["seconds"] > 0 and origin["finished"].endswith("+00:00")
            assert (origin["device"], origin["dtype"], origin["seed"]) == ("cpu", "float64", row["seed"])


def test_the_largest_finished_run_is_shown(ran, program):
    _, words = ran
    program("run", "barren_plateaus", "--workers", "1", *words, "--set", "samples=64")
    _, out, _ = program("show", "barren_plateaus", "--json")
    assert json.loads(out)["settings"]["samples"] == 160


def test_a_run_with_default_settings_is_shown_before_a_larger_one(ran, program, monkeypatch, study):
    _, words = ran
    program("run", "barren_plateaus", "--workers", "1", *words, "--set", "samples=64")
    default = study.settings(assignments=[*SMALL, "samples=64"])
    monkeypatch.setattr(base.Study, "settings", lambda self: default)
    _, out, _ = program("show", "barren_plateaus", "--json")
    assert json.loads(out)["settings"]["samples"] == 64


def test_rows_of_older_code_are_shown_and_marked(ran, program, monkeypatch):
    monkeypatch.setattr(outcome, "code_version", lambda _: "changed")
    code, out, _ = program("show", "barren_plateaus", "--json")
    assert code == 0 and "not by today's" in json.loads(out)["verdict"]


def test_the_report_is_one_page_that_needs_nothing_else(ran, program, tmp_path):
    first, _ = ran
    code, out, _ = program("report", "--out", "pages/report.html")
    page = (tmp_path / "pages" / "report.html").read_text()
    assert code == 0 and "pages/report.html" in out
    assert first["question"] in page and "<title>" in page and 'name="viewport"' in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page) and "<script" not in page
    picture = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", page)[1])
    assert picture == pathlib.Path(first["figure"]).read_bytes()
    assert first["provenance"]["code"][0] in page


def test_the_report_goes_on_without_rows_that_today_s_code_cannot_read(ran, program, study, monkeypatch, tmp_path):
    def gone(rows):
        raise KeyError("renamed")

    monkeypatch.setattr(study.module, "verdict", gone)
    code, _, err = program("report")  # today's rows: a fault of ours, which is told and keeps nothing else from the page
    assert "left out: barren_plateaus: its rows cannot be shown, KeyError: 'renamed'" in err
    monkeypatch.setattr(outcome, "code_version", lambda name: "another")
    code, _, err = program("show", "barren_plateaus")
    assert code == 2 and "which today's cannot read: write `studies run barren_plateaus`" in err
    code, _, err = program("report")
    assert code == 2 and "left out: the stored rows of barren_plateaus" in err


def test_the_report_escapes_what_a_study_says(study, monkeypatch):
    rows = [{"gradients": [], "provenance": {"case": "1", "seconds": 1.0, "finished": "now", "code": "<b>"}}]
    done = outcome.Outcome(study, {"note": "<script>"}, "<i>", rows)
    monkeypatch.setattr(study.module, "table", lambda rows: [{"a": "<x>", "b": None, "c": 0.123456789}])
    monkeypatch.setattr(study.module, "verdict", lambda rows: "<y>")
    monkeypatch.setattr(outcome.Outcome, "picture", lambda self: b"")
    page = report.page([done])
    assert not re.search("<script>|<x>|<y>|<i>|<b>", page)
    assert "&lt;x&gt;" in page and ">0.123<" in page


def test_values_are_read_as_the_setting_s_type(study):
    settings = study.settings(assignments=["qubits=2, 6", "seed = 5"])
    assert settings.qubits == (2, 6) and settings.seed == 5
    assert base._parsed("s", "k", "yes", bool) is True
    assert base._parsed("s", "k", "0.5", float) == 0.5
    with pytest.raises(LabError, match="k=true"):
        base._parsed("s", "k", "perhaps", bool)
    with pytest.raises(UnknownName):
        study.settings(assignments=["deep-factor=3"])


def test_help_and_list_import_nothing_heavy(tmp_path):
    script = (
        "import sys\nsys.argv = ['studies', {word!r}]\nfrom studies.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {{'torch', 'qiskit', 'pennylane', 'scipy', 'matplotlib', 'sklearn', 'numba'}}\n"
        "print('HEAVY', *sorted(heavy & set(sys.modules)))"
    )
    for word in ("--help", "list"):
        done = subprocess.run(
            [sys.executable, "-c", script.format(word=word)],
            env={**os.environ, "QML_LAB_STORE": str(tmp_path / "store.sqlite")},
            capture_output=True,
            text=True,
        )
        assert done.stdout.splitlines()[-1] == "HEAVY", done.stdout + done.stderr
