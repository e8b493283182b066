"""The code version changes with the sources that compute a study's rows, and with nothing else."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from studies import provenance, sources

ROOT = pathlib.Path(__file__).resolve().parents[1]

SOURCE = '''"""Doc."""
import math
from circuits.errors import LabError

SIZE = 3
UNUSED = 4


def run(case):
    return [{"x": shape(SIZE)}]


@cache
def shape(n):
    return math.sqrt(n)  # why


def figure(rows):
    return SIZE, UNUSED, LabError
'''


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("SIZE = 3", "SIZE = 4", True),
        ("math.sqrt(n)", "math.exp(n)", True),
        ("@cache", "@other", True),
        ("UNUSED = 4", "UNUSED = 5", False),
        ("return SIZE, UNUSED", "return UNUSED", False),
        ('"""Doc."""', '"""Another."""', False),
    ],
)
def test_the_code_version_follows_what_run_reaches_and_nothing_else(before, after, changes):
    assert before in SOURCE
    changed = sources.reached(SOURCE.replace(before, after)) != sources.reached(SOURCE)
    assert changed is changes


def test_the_code_version_covers_all_that_the_engine_imports_and_no_store_or_command():
    used = {path.relative_to(ROOT).as_posix() for path in sources.files("")}
    assert used >= {"qml/layer.py", "qml/backends/native.py", "qml/native/kernels.py", "circuits/program.py"}
    assert not {"qml/store.py", "qml/cli.py", "qml/training.py", "studies/cli.py", "studies/statistics.py"} & used
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, qml.layer; print(*[n for n in sys.modules if n.startswith('qml.')])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    loaded = {name.replace(".", "/") + ".py" for name in loaded}
    assert {name for name in loaded if (ROOT / name).is_file()} <= used


def test_names_that_a_package_offers_lead_to_the_files_behind_them():
    used = {path.name for path in sources.files("from qml import HybridClassifier\nimport studies.statistics")}
    assert {"models.py", "statistics.py"} <= used


def test_changing_a_kernel_changes_the_code_version(tmp_path):
    for package in ("circuits", "qml", "studies"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = sources.code_version("barren_plateaus", tmp_path)
    with open(tmp_path / "qml" / "store.py", "a") as file:
        file.write("\n# nothing numeric\n")
    sources.code_version.cache_clear()
    assert sources.code_version("barren_plateaus", tmp_path) == before
    with open(tmp_path / "qml" / "native" / "kernels.py", "a") as file:
        file.write("\n# numeric\n")
    sources.code_version.cache_clear()
    assert sources.code_version("barren_plateaus", tmp_path) != before


def test_the_commit_is_told_only_of_a_checkout_of_ours(monkeypatch, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() is None


def test_members_of_a_family_count_where_its_contract_is_imported():
    used = {path.relative_to(ROOT).as_posix() for path in sources.files("from studies.peers.base import Workload")}
    assert {"studies/peers/__main__.py", "studies/peers/jax_handwritten.py"} <= used
    assert not any("peers" in path for path in map(str, sources.files("from studies.base import Study")))
