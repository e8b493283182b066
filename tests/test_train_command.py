"""Laws of `qml train` and `qml predict`: one command from data to a tested model, stopped and taken up at will."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from qml.cli import application, run

QUICK = ("--qubits", "2", "--layers", "1", "--epochs", "4", "--batch-size", "8")


@pytest.fixture
def qml(monkeypatch, capsys, tmp_path):
    """Run the command line in a folder of its own; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["qml", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            run(application())
        return caught.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def table(tmp_path):
    """Write separated blobs as a CSV file: columns a, b, c and kind."""

    def write(name="blobs.csv", n_samples=80, seed=0, header=True, kinds=("red", "green")):
        features, labels = make_blobs(n_samples, n_features=3, centers=len(kinds), random_state=1)
        order = np.random.default_rng(seed).permutation(n_samples)
        with (tmp_path / name).open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerows([["a", "b", "c", "kind"]] if header else [])
            rows.writerows([*features[index], kinds[labels[index]]] for index in order)
        return tmp_path / name

    return write


def results(folder) -> dict:
    """What a run wrote, without the seconds, which no two runs share."""
    document = json.loads((folder / "results.json").read_text())
    for name in ("hybrid", "twin"):
        if document[name]:
            del document[name]["seconds"]
    return document


def test_digits_reach_95_percent_beside_a_twin_of_as_many_parameters(qml, tmp_path):
    code, out, _ = qml("train", "--out", "run", "--json")
    assert code == 0
    document = json.loads(out)
    hybrid, twin = document["hybrid"], document["twin"]
    assert document["settings"]["n_qubits"] <= 8
    assert document["classes"] == list(range(10))
    assert (document["n_train"], document["n_test"]) == (1347, 450)
    assert hybrid["accuracy"] >= 0.95
    assert np.trace(hybrid["confusion"]) == hybrid["correct"] == round(450 * hybrid["accuracy"])
    assert np.sum(twin["confusion"]) == 450
    for count in ("parameters", "parameters_of_core"):
        assert abs(twin[count] / hybrid[count] - 1) <= 0.05
    low, high = hybrid["interval_95"]
    assert low < hybrid["accuracy"] < high


def test_mnist_3_against_5_reaches_94_percent(qml, reference_folder):
    files = [reference_folder / "qml-benchmarks" / f"mnist_3-5_10d_{part}.csv" for part in ("train", "test")]
    options = ("--label", "last", "--epochs", "5", "--no-twin", "--json")
    code, out, _ = qml("train", "--data", files[0], "--test", files[1], *options)
    document = json.loads(out)
    assert code == 0
    assert (document["n_train"], document["n_test"]) == (11552, 1902)
    assert document["hybrid"]["accuracy"] >= 0.94
    assert document["twin"] is None


@pytest.mark.parametrize("label", ["kind", "last", "3"])
def test_a_csv_file_just_works(qml, table, tmp_path, label):
    code, out, err = qml("train", "--data", table(), "--label", label, *QUICK)
    assert code == 0
    (folder,) = (tmp_path / "runs").glob("blobs-*")
    for name in ("hybrid.pt", "twin.pt", "results.json"):
        assert (folder / name).stat().st_size > 0
    for name in ("loss.png", "confusion.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert "blobs: 60 training samples, 20 test samples" in out
    assert "hybrid.pt" in out and "red" in out
    assert "hybrid: epoch 4 of 4, loss" in err


def test_numbers_without_a_header_train_like_names_with_one(qml, table, tmp_path):
    qml("train", "--data", table(), "--out", "named", *QUICK)
    qml("train", "--data", table("plain.csv", header=False, kinds=("1", "0")), "--out", "plain", *QUICK)
    named, plain = results(tmp_path / "named"), results(tmp_path / "plain")
    # Sorted, green comes before red as 0 before 1.
    assert (named["classes"], plain["classes"]) == (["green", "red"], [0, 1])
    assert named["hybrid"]["loss_curve"] == plain["hybrid"]["loss_curve"]


def test_the_same_command_again_prints_the_same_results(qml, table):
    command = ("train", "--data", table(), *QUICK)
    first, again = qml(*command), qml(*command)
    assert again[0] == 0
    assert again[1] == first[1]
    assert "hybrid: was finished before" in again[2]
    assert "epoch 4 of 4" not in again[2]
    begun = qml(*command, "--restart")
    assert "hybrid: epoch 4 of 4" in begun[2]


def test_a_watched_run_says_at_its_end_whether_gradients_could_be_seen(qml, table):
    command = ("train", "--data", table(), *QUICK)
    plain = qml(*command, "--out", "plain", "--json")[1]
    code, out, _ = qml(*command, "--out", "watched", "--watch-plateau")
    assert code == 0
    assert "gradients  " in out and "signal-to-noise ratio" in out
    watched = json.loads(qml(*command, "--out", "watched", "--watch-plateau", "--json")[1])
    assert watched["plateau"].startswith("Cannot tell: no step was seen")
    assert watched["hybrid"]["loss_curve"] == json.loads(plain)["hybrid"]["loss_curve"]


def test_a_finished_run_gets_its_twin_later(qml, table, tmp_path):
    command = ("train", "--data", table(), "--out", "run", *QUICK)
    qml(*command, "--no-twin")
    assert results(tmp_path / "run")["twin"] is None
    qml(*command)
    both = results(tmp_path / "run")
    qml("train", "--data", table(), "--out", "other", *QUICK)
    assert both["twin"] == results(tmp_path / "other")["twin"]


def test_a_run_killed_at_any_moment_ends_in_the_same_bits(qml, table, tmp_path):
    sizes = ("--qubits", "4", "--layers", "2", "--epochs", "25", "--batch-size", "4")
    command = ("train", "--data", str(table(n_samples=240)), *sizes)
    qml(*command, "--out", "whole")
    for kill in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", "from qml.cli import main; main()", *command, "--out", "killed"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        name = ("hybrid", "twin")[kill]
        wait_for(tmp_path / "killed" / f"{name}.checkpoint", process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "killed" / "results.json").exists()
    code, _, err = qml(*command, "--out", "killed")
    assert code == 0
    assert "twin: goes on after epoch" in err
    for name in ("hybrid", "twin"):
        whole, killed = (torch.load(tmp_path / run / f"{name}.pt")["network"] for run in ("whole", "killed"))
        assert all(torch.equal(whole[key], killed[key]) for key in {*whole, *killed})


def wait_for(path, process) -> None:
    """Until the file is there, or the process has ended without it."""
    while not path.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(qml, table, tmp_path, monkeypatch):
    from qml import checkpoints

    command = ("train", "--data", table(), "--out", "run", *QUICK)
    write = checkpoints.write

    def interrupted(path, content):
        write(path, content)
        if len(content.get("history", ())) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write", interrupted)
        code, _, err = qml(*command)
    assert code == 130
    assert err.splitlines()[-1].startswith("error: interrupted") and "the same command goes on" in err
    code, _, err = qml(*command)
    assert code == 0
    assert "hybrid: goes on after epoch 2 of 4" in err


def test_a_folder_of_another_run_is_refused(qml, table, tmp_path):
    data = table()
    qml("train", "--data", data, "--out", "run", *QUICK)
    before = (tmp_path / "run" / "hybrid.checkpoint").read_bytes()
    code, _, err = qml("train", "--data", data, "--out", "run", *QUICK, "--seed", "1")
    assert (code, err.count("\n")) == (2, 1)
    assert "was made with random_state 0, this run has 1: --restart" in err
    code, _, err = qml("train", "--data", table(n_samples=84), "--out", "run", *QUICK)
    assert (code, err.count("\n")) == (2, 1)
    assert "other training data: --restart" in err
    assert (tmp_path / "run" / "hybrid.checkpoint").read_bytes() == before


def test_two_runs_into_one_folder_are_refused(qml, table, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        code, _, err = qml("train", "--data", table(), "--out", "run", *QUICK)
    assert (code, "another run is writing to run" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.csv"], "there is no file none.csv"),
        (["--test", "blobs.csv"], "--test needs a training file"),
        (["--data", "blobs.csv", "--label", "knd"], "did you mean 'kind'"),
        (["--data", "one.csv"], "1 class only, red"),
        (["--data", "blobs.csv", "--test", "other.csv"], "the class 'blue', which blobs has not"),
        (["--data", "blobs.csv", "--test", "wide.csv"], "wide has 4 features and blobs has 3"),
        (["--data", "blobs.csv", "--test", "mixed.csv"], "a column 'b' where blobs has 'a'"),
        (["--qubits", "0"], "n_qubits must be a whole number of at least 1, got 0"),
        (["--qubits", "60"], "60 qubits"),
        (["--encoding", "angel"], "did you mean 'angle'"),
        (["--seed", "-1"], "--seed must be"),
        (["--learning-rate", "-1"], "learning_rate must be"),
    ],
)
def test_a_wrong_call_ends_in_one_line_and_leaves_no_folder(qml, table, tmp_path, arguments, message):
    table()
    table("one.csv", kinds=("red",))
    table("other.csv", kinds=("red", "blue"))
    (tmp_path / "wide.csv").write_text("1,2,3,4,red\n5,6,7,8,green\n")
    (tmp_path / "mixed.csv").write_text("b,a,c,kind\n1,2,3,red\n4,5,6,green\n")
    code, out, err = qml("train", *arguments, "--epochs", "1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not list(tmp_path.glob("runs/*"))


@pytest.fixture
def model(qml, table, tmp_path):
    """A model file trained on the blobs."""
    assert qml("train", "--data", table(), "--out", "run", *QUICK[:4], "--epochs", "30", "--no-twin")[0] == 0
    return tmp_path / "run" / "hybrid.pt"


def test_predict_tells_each_row_and_the_accuracy_where_there_are_labels(qml, table, model):
    code, out, _ = qml("predict", model, table("new.csv", seed=5))
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["row", "prediction", "probability", "label"]
    assert len(lines) == 82
    document = json.loads(qml("predict", model, table("new.csv", seed=5), "--json")[1])
    hits = sum(row["prediction"] == row["label"] for row in document["predictions"])
    assert document["accuracy"] == hits / 80 > 0.9
    assert lines[-1].startswith(f"accuracy {hits / 80:.4f} ({hits} of 80")
    assert all(0.5 <= row["probability"] <= 1 for row in document["predictions"])


@pytest.mark.parametrize("kinds", [("0", "1"), ("red", "green")])
def test_columns_that_pandas_numbered_are_a_header_in_training_and_prediction(qml, table, tmp_path, kinds):
    lines = table("named.csv", kinds=kinds).read_text().splitlines()
    (tmp_path / "data.csv").write_text("\n".join(["0,1,2,target", *lines[1:]]) + "\n")
    code, _, err = qml("train", "--data", "data.csv", "--no-twin", "--out", "run", *QUICK)
    assert code == 0, err
    (tmp_path / "new.csv").write_text("\n".join(["0,1,2", *(line.rpartition(",")[0] for line in lines[1:4])]) + "\n")
    code, out, err = qml("predict", "run/hybrid.pt", "new.csv", "--json")
    assert code == 0 and len(json.loads(out)["predictions"]) == 3, err


def test_predict_reads_a_file_without_labels(qml, table, model, tmp_path):
    rows = [line.split(",") for line in table("new.csv").read_text().splitlines()]
    (tmp_path / "bare.csv").write_text("".join(",".join(row[:3]) + "\n" for row in rows))
    (tmp_path / "front.csv").write_text("".join(",".join([row[3], *row[:3]]) + "\n" for row in rows))
    labelled = json.loads(qml("predict", model, tmp_path / "new.csv", "--json")[1])
    bare = json.loads(qml("predict", model, tmp_path / "bare.csv", "--json")[1])
    front = json.loads(qml("predict", model, tmp_path / "front.csv", "--label", "kind", "--json")[1])
    assert bare["accuracy"] is None
    assert front["accuracy"] == labelled["accuracy"]
    for one, other in zip(labelled["predictions"], bare["predictions"]):
        assert one["prediction"] == other["prediction"]
        assert one["probability"] == other["probability"]


@pytest.mark.skipif(not pathlib.Path("/dev/fd").exists(), reason="this system has no /dev/fd")
@pytest.mark.parametrize("options", [[], ["--label", "kind"]], ids=["last", "named"])
def test_predict_reads_a_pipe_once(qml, table, model, options):
    file = table("new.csv", seed=5)
    reading, writing = os.pipe()
    os.write(writing, file.read_bytes())
    os.close(writing)
    code, out, _ = qml("predict", model, f"/dev/fd/{reading}", "--json", *options)
    os.close(reading)
    assert code == 0
    assert json.loads(out)["predictions"] == json.loads(qml("predict", model, file, "--json")[1])["predictions"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "1,2\n3,4\n",
            [],
            "2 columns: the model was trained on 3 features, so 3 columns are needed, or 4 with",
        ),
        ("1,2,3,4,5\n", [], "5 columns: the model was trained on 3 features"),
        ("1,2,3\n", ["--label", "0"], "has 2 features beside its label: the model was trained on 3"),
        ("1,2,x\n3,4,5\n", [], "line 1, column 3 is 'x'"),
        ("a,c,b\n1,2,3\n", [], "a column 'c' where the training data had 'b'"),
        ("", [], "is empty"),
    ],
)
def test_predict_refuses_a_wrong_file_in_one_line(qml, model, tmp_path, content, options, message):
    (tmp_path / "new.csv").write_text(content)
    code, out, err = qml("predict", model, tmp_path / "new.csv", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_predict_refuses_what_is_no_model(qml, model, table, tmp_path):
    for path in (
        tmp_path / "none.pt",
        table(),
        model.with_name("hybrid.checkpoint"),
        model.with_name("loss.png"),
    ):
        code, out, err = qml("predict", path, table())
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "write the path of a model that `qml train` wrote" in err
