"""Qiskit's and qiskit-machine-learning's own tests, from their source packages, pass on our primitives.

The packages are downloaded at test time, in the versions that are installed, and nothing of them is kept. Under CI that must
work; elsewhere a machine that reaches no package index skips, with the reason.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
# (package, test files, what is left out, tests at least, calls at least)
SUITES = [
    pytest.param(
        "qiskit",
        ["python/primitives/test_statevector_estimator.py", "python/primitives/test_statevector_sampler.py"],
        "",
        {"test_statevector_estimator": 12, "test_statevector_sampler": 21},
        {"NativeEstimator": 40, "NativeSampler": 50},
        id="qiskit",
    ),
    pytest.param(
        "qiskit-machine-learning",
        [
            "gradients/test_estimator_gradient.py",
            "neural_networks/test_estimator_qnn.py",
            "connectors/test_cpu_torch_connector.py",
            "connectors/test_cpu_torch_networks.py",
        ],
        "not sampler_qnn",  # these meet no estimator, and need one more package
        {
            "test_estimator_gradient": 47,
            "test_estimator_qnn": 11,
            "test_cpu_torch_connector": 6,
            "test_cpu_torch_networks": 1,
        },
        {"NativeEstimator": 100, "NativeEstimatorGradient": 150},
        id="qiskit-machine-learning",
    ),
]


def pip(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], capture_output=True, text=True
    )


def unpacked_tests(package: str, folder: pathlib.Path) -> pathlib.Path:
    """The folder that holds the package's `test` folder."""
    version = importlib.metadata.version(package)
    source = ["--no-deps", "--no-binary", package, f"{package}=={version}", "--dest", str(folder)]
    done = pip("download", "--quiet", *source)
    if done.returncode:
        reason = f"the source package of {package} {version} cannot be downloaded: {done.stderr.strip()[-300:]}"
        is_reached = pip("download", "--quiet", "--no-deps", "ddt", "--dest", str(folder / "probe")).returncode == 0
        (pytest.fail if is_reached or os.environ.get("CI") else pytest.skip)(reason)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        top = packed.getnames()[0].split("/")[0]
        inside = [item for item in packed.getmembers() if item.name.startswith(f"{top}/test/")]
        packed.extractall(folder, inside, filter="data")
    return folder / top


@pytest.mark.parametrize(("package", "files", "left_out", "at_least", "calls_at_least"), SUITES)
def test_the_peers_own_tests_pass_on_our_primitives(package, files, left_out, at_least, calls_at_least, tmp_path):
    top = unpacked_tests(package, tmp_path)
    report, calls = tmp_path / "report.xml", tmp_path / "calls.json"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(top), str(HERE.parent), str(HERE / "suites")]),
        "QML_LAB_SUITE": package.replace("-", "_"),
        "QML_LAB_CALLS": str(calls),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "native_in_qiskit", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(top), f"--junitxml={report}", "-k", left_out, "-W", "ignore"]
    done = subprocess.run(
        [*command, *(f"test/{file}" for file in files)], cwd=top, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = dict.fromkeys(at_least, 0)
    for case in ElementTree.parse(report).iter("testcase"):
        if not len(case):  # neither failed nor skipped
            passed[case.get("classname").split(".")[-2]] += 1
    print(passed, calls.read_text())
    for name, number in at_least.items():
        assert passed[name] >= number, f"{name}: {passed[name]} passed, {number} or more were expected"
    for name, number in calls_at_least.items():
        assert json.loads(calls.read_text()).get(name, 0) >= number, f"{name} met {calls.read_text()}"
