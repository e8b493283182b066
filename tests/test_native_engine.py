"""The fast engine against the plain one, element by element and signed, on random circuits of every gate."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import random_unitary

from circuits import ansatze, encodings
from circuits.lowering import lower
from circuits.observables import as_list
from qml.backends.base import Slots
from qml.native.fast import FastEngine
from qml.native.plain import PlainEngine

ONE = ("rx", "ry", "rz", "p", "r", "u")
TWO = ("rxx", "ryy", "rzz", "rzx", "crx", "cry", "crz", "cp", "cu")
FIXED = (("h", 1), ("x", 1), ("y", 1), ("z", 1), ("s", 1), ("sdg", 1), ("t", 1), ("sx", 1), ("cx", 2), ("cy", 2), ("cz", 2),
         ("ch", 2), ("swap", 2), ("iswap", 2), ("ecr", 2), ("dcx", 2), ("ccx", 3), ("ccz", 3), ("cswap", 3))  # fmt: skip
N_PARAMETERS = {"r": 2, "u": 3, "cu": 4}
BORDERS = np.arange(-8, 9) * np.pi / 4


def random_parametrised(n_qubits: int, rng) -> QuantumCircuit:
    """A circuit that draws from every supported gate, each angle a parameter of its own."""
    angles = iter(ParameterVector("t", 60))
    circuit = QuantumCircuit(n_qubits)
    for _ in range(12):
        places = [int(q) for q in rng.permutation(n_qubits)]
        kind = rng.integers(0, 10)
        if kind < 4 or n_qubits == 1:
            name = str(rng.choice(ONE))
            getattr(circuit, name)(*[next(angles) for _ in range(N_PARAMETERS.get(name, 1))], places[0])
        elif kind < 7:
            name = str(rng.choice(TWO))
            getattr(circuit, name)(*[next(angles) for _ in range(N_PARAMETERS.get(name, 1))], *places[:2])
        elif kind < 9:
            name, size = FIXED[rng.integers(len(FIXED))]
            if size <= n_qubits:
                getattr(circuit, name)(*places[:size])
        else:
            size = int(rng.integers(1, min(3, n_qubits) + 1))
            circuit.append(UnitaryGate(random_unitary(2**size, seed=int(rng.integers(1 << 30)))), places[:size])
    return circuit


def drawn_angles(shape, rng) -> np.ndarray:
    """From all four quadrants, every fifth one exactly on a border between octants."""
    values = rng.uniform(-2 * np.pi, 2 * np.pi, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice(BORDERS, shape), values)


def compare(circuit, observables, split, batch, per_sample, dtype, rng):
    """The largest difference of values and of both gradients between the engines."""
    program = lower(circuit)
    n_slots = len(program.slots)
    first = {s for s in range(n_slots) if split and rng.random() < 0.4} | set(program.amplitudes)
    slots = Slots(tuple(sorted(first)), tuple(s for s in range(n_slots) if s not in first))
    operators = as_list(observables, program.n_qubits)
    inputs = drawn_angles((batch, len(slots.inputs)), rng).astype(dtype)
    weights = drawn_angles(((batch,) if per_sample else ()) + (len(slots.weights),), rng).astype(dtype)
    cotangents = rng.normal(size=(batch, len(operators))).astype(dtype)
    engine = FastEngine(program, operators, slots.inputs, slots.weights)
    kept, run = engine.forward(inputs, weights)
    fast = kept, *engine.vjp(inputs, weights, cotangents, run)
    wide = [array.astype(float) for array in (inputs, weights, cotangents)]
    values, gradients = PlainEngine(program, operators).vjp(slots.join(*wide[:2]), wide[2])
    plain = values, *slots.split(gradients, shared=not per_sample)
    assert all(a.shape == b.shape and a.dtype == dtype for a, b in zip(fast, plain))
    return max(np.abs(a - b).max(initial=0) / max(1, np.abs(b).max(initial=0)) for a, b in zip(fast, plain))


@pytest.mark.parametrize("part", range(10))
def test_500_random_circuits_agree_with_the_plain_engine(part):
    for seed in range(50 * part, 50 * part + 50):
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)
        n_qubits = int(rng.integers(1, 6))
        circuit = random_parametrised(n_qubits, rng)
        labels = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(4)]
        observables = [labels[0], f"0.7*{labels[1]} - 1.3*{labels[2]}", labels[3]]
        dtype = (np.float64, np.float32)[seed % 2]
        bound = {np.float64: 1e-12, np.float32: 2e-4}[dtype]
        batch = int(rng.integers(1, 20))
        assert compare(circuit, observables, seed % 3 > 0, batch, seed % 5 == 0, dtype, rng) < bound


@pytest.mark.parametrize("per_sample", [False, True], ids=["shared_weights", "weights_per_sample"])
@pytest.mark.parametrize("dtype, bound", [(np.float64, 1e-12), (np.float32, 1e-4)], ids=["float64", "float32"])
def test_the_catalogue_agrees_with_the_plain_engine(case, per_sample, dtype, bound, rng):
    if lower(case.circuit).is_evolving:
        pytest.skip("the plain engine alone runs evolutions")
    for batch in (1, 7, 8, 9, 33):
        assert compare(case.circuit, case.observables, True, batch, per_sample, dtype, rng) < bound


@pytest.mark.parametrize("shared", [False, True], ids=["a_thread_each", "threads_share_it"])
@pytest.mark.parametrize("direct, tile", [(12, 8), (1, 2), (1, 3), (2, 1)], ids=str)
def test_a_state_swept_alone_agrees_with_the_plain_engine(direct, tile, shared, monkeypatch):
    from qml.native import fast, shared_state, tiling

    monkeypatch.setattr(fast, "MOST_QUBITS_TOGETHER", 0)
    monkeypatch.setattr(fast, "FEWEST_QUBITS_SHARED", 0 if shared else 99)
    monkeypatch.setattr(shared_state, "ROWS_OF_A_PART", 4)
    monkeypatch.setattr(tiling, "DIRECT_BITS", direct)
    monkeypatch.setattr(tiling, "TILE_BITS", tile)
    for seed in range(10):
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)
        dtype, n_qubits = ((np.float64, 7), (np.float32, 9))[seed % 2]  # the fewest qubits that fill vectors
        circuit = random_parametrised(n_qubits, rng)
        labels = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(3)]
        observables = [labels[0], f"0.7*{labels[1]} - 1.3*{labels[2]}", "Z" * n_qubits]
        bound = {np.float64: 1e-12, np.float32: 2e-4}[dtype]
        assert compare(circuit, observables, seed % 3 > 0, int(rng.integers(4, 7)), seed % 5 == 0, dtype, rng) < bound


def test_results_do_not_depend_on_the_number_of_threads(catalogue, monkeypatch, rng):
    from qml.native import run, threads

    program = lower(catalogue["reuploading"].circuit)
    operators = as_list(None, 3)
    half = len(program.slots) // 2
    engine = FastEngine(program, operators, range(half), range(half, 2 * half))
    inputs, weights = rng.uniform(-3, 3, (200, half)), rng.uniform(-3, 3, half)
    cotangents = rng.normal(size=(200, 3))
    monkeypatch.setattr(run, "_chunks", lambda n_blocks, _: [(k, k + 5) for k in range(0, n_blocks, 5)])
    runs = []
    for count in (1, 2):
        monkeypatch.setattr(threads, "n_threads", lambda count=count: count)
        runs.append(engine.vjp(inputs, weights, cotangents))
    for a, b in zip(*runs):
        assert np.array_equal(a, b)


def test_an_empty_batch_and_a_circuit_without_gates_are_fine():
    engine = FastEngine(lower(QuantumCircuit(2)), as_list(["ZI", "XX"], 2), (), ())
    none = np.zeros((3, 0)), np.zeros(0)
    d_inputs, d_weights = engine.vjp(*none, np.ones((3, 2)))
    assert engine.expectations(*none).tolist() == [[1, 0]] * 3
    assert d_inputs.shape == (3, 0) and d_weights.shape == (0,)
    assert engine.expectations(np.zeros((0, 0)), np.zeros(0)).shape == (0, 2)


def test_angles_of_any_size_give_what_numpy_gives(rng):
    from qml.native.angles import WITHIN_REACH, shears

    scales = [1.0, 10.0, 1e3, WITHIN_REACH]
    quarters = np.arange(-400, 401) * np.pi / 4
    half = np.concatenate([quarters, *(rng.uniform(-scale, scale, 20_000) for scale in scales)])
    row, none = np.zeros(1, np.int64), np.zeros(0, np.int64)
    first, second = np.empty_like(half), np.empty_like(half)
    assert shears(half, row, none, 0, len(half), first, second) == 0  # a phase: cosine and sine
    assert np.abs(first - np.cos(half)).max() < 3e-16 and np.abs(second - np.sin(half)).max() < 3e-16
    shears(half, row, none, 1, len(half), first, second)  # a turn: tangent of half of it, within a right angle, and sine
    folded = np.arctan2(np.sin(half) * np.where(np.cos(half) >= 0, 1, -1), np.abs(np.cos(half)))
    assert np.abs(first + np.tan(folded / 2)).max() < 5e-16 and np.abs(second - np.sin(folded)).max() < 3e-16
    assert shears(np.array([1.0, 2 * WITHIN_REACH, np.nan, -np.inf]), none, np.arange(4), 0, 8, first, second) == 3


def test_huge_angles_are_taken_modulo_a_turn(catalogue):
    program = lower(catalogue["reuploading"].circuit)
    engine = FastEngine(program, as_list(None, 3), (), range(len(program.slots)))
    weights, none = np.linspace(-3, 3, len(program.slots)), np.zeros((1, 0))
    far = weights + 4 * np.pi * 10**9
    within = np.remainder(far, 4 * np.pi)
    found, known = engine.expectations(none, far), engine.expectations(none, within)
    assert np.abs(found - known).max() < 1e-5  # `far` is known to 1e-6


def test_runs_that_are_alive_at_one_time_share_nothing(catalogue, rng):
    program = lower(catalogue["reuploading"].circuit)
    half = len(program.slots) // 2
    engine = FastEngine(program, as_list(None, 3), range(half), range(half, 2 * half))
    inputs, weights = rng.uniform(-3, 3, (4, 5, half)), rng.uniform(-3, 3, (4, half))
    cotangents = rng.normal(size=(5, 3))
    alone = [engine.vjp(x, w, cotangents) for x, w in zip(inputs, weights)]
    runs = [engine.forward(x, w)[1] for x, w in zip(inputs, weights)]
    for _ in range(2):  # the second gradient of a run computes its states again
        for x, w, run, expected in zip(inputs, weights, runs, alone):
            for found, known in zip(engine.vjp(x, w, cotangents, run), expected):
                assert np.array_equal(found, known)


@pytest.mark.parametrize("dtype, bound", [(np.float64, 1e-12), (np.float32, 2e-4)], ids=["float64", "float32"])
@pytest.mark.parametrize("n_qubits", [7, 9, 13])
def test_initial_amplitudes_of_a_state_swept_alone_are_in_their_places(n_qubits, dtype, bound, rng):
    circuit = encodings.amplitude(n_qubits).compose(ansatze.strongly_entangling(n_qubits, 1))
    circuit.x(0)
    circuit.swap(1, n_qubits - 1)
    for batch in (1, 2):
        assert compare(circuit, ["Z" * n_qubits, "I" * (n_qubits - 1) + "X"], True, batch, False, dtype, rng) < bound


def test_threads_may_differentiate_one_forward_run_at_once(catalogue, rng):
    program = lower(catalogue["reuploading"].circuit)
    operators = as_list(None, 3)
    half = len(program.slots) // 2
    engine = FastEngine(program, operators, range(half), range(half, 2 * half))
    inputs, weights = rng.uniform(-3, 3, (64, half)), rng.uniform(-3, 3, half)
    cotangents = rng.normal(size=(40, 64, 3))
    wanted = [engine.vjp(inputs, weights, one) for one in cotangents]
    _, run = engine.forward(inputs, weights)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: engine.vjp(inputs, weights, one, run), cotangents))
    assert all(np.allclose(a, b, rtol=0, atol=1e-13) for pair in zip(found, wanted) for a, b in zip(*pair))


def test_a_gradient_under_way_keeps_its_arrays(catalogue, rng):
    program = lower(catalogue["shared"].circuit)
    engine = FastEngine(program, as_list(None, 3), (), range(len(program.slots)))
    inputs, weights, cotangents = np.zeros((5, 0)), rng.uniform(-3, 3, len(program.slots)), rng.normal(size=(5, 3))
    _, run = engine.forward(inputs, weights)
    wanted = engine.vjp(inputs, weights, cotangents)
    with run.in_use:
        before = run.arrays.of_shared.copy()
        found = engine.vjp(inputs, weights, cotangents, run)
        assert np.array_equal(run.arrays.of_shared, before, equal_nan=True)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted))
