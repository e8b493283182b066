"""The engine on machines without AVX-512: narrower vectors, and no instruction that only some machines have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from test_native_engine import compare, random_parametrised
from qml.native import fast, simd

assert simd.WIDTH == {width}, simd.WIDTH
for alone in (False, True):
    if alone:  # one state at a time, its low index bits in lanes
        fast.MOST_QUBITS_TOGETHER = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        n_qubits = 7 if alone else int(rng.integers(1, 5))
        circuit = random_parametrised(n_qubits, rng)
        observables = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(3)]
        difference = compare(circuit, observables, True, 5, seed % 2 == 0, np.float64, rng)
        print("alone", alone, "seed", seed, "difference", difference)
        assert difference < 1e-12
"""


@pytest.mark.parametrize(
    "width, environment",
    [(32, {"QML_LAB_VECTOR": "32"}), (16, {"NUMBA_CPU_NAME": "generic"})],
    ids=["avx2_width", "any_machine_at_all"],
)
def test_narrower_vectors_give_the_same_numbers(width, environment, tmp_path):
    program = PROGRAM.format(tests=str(Path(__file__).parent), width=width)
    environment = {**os.environ, **environment, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr.count("compiling kernels for this machine") == 1


def test_a_width_that_no_machine_has_is_refused():
    environment = {**os.environ, "QML_LAB_VECTOR": "48"}
    run = subprocess.run(
        [sys.executable, "-c", "import qml.native.simd"], env=environment, capture_output=True, text=True
    )  # fmt: skip
    assert "one of 64, 32, 16, got '48'" in run.stderr
