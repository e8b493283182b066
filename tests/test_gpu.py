"""The GPU engine against the plain CPU engine and dense matrices, by element: on a GPU, or in Triton's interpreter."""

import functools
import importlib.util
import itertools
import operator
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import random_unitary

import qml
from circuits import ansatze, encodings
from circuits.lowering import lower
from circuits.observables import as_list
from qml import QuantumLayer
from qml.backends.base import Slots
from qml.native.normal_form import normal_form
from qml.native.plain import PlainEngine
from qml.native_gpu import availability, plan

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed: it is for Linux only"),
    pytest.mark.usefixtures("device"),
]
ONE, TWO = ["rx", "ry", "rz", "h", "s", "u"], ["rxx", "ryy", "rzx", "cry", "cp", "cx", "swap"]
KERNELS = [
    *("run", "run_back", "one_pass", "one_pass_back", "measure", "weigh", "collect"),
    *("second", "dual_pass", "dual_pass_back", "measure_growth"),
]
BOUNDS = {np.float64: 1e-12, np.float32: 1e-5}


def engine(program, operators, slots):
    """Of the GPU."""
    from qml.native_gpu.engine import GpuEngine

    return GpuEngine(program, operators, slots.inputs, slots.weights)


def differences(circuit, observables, batch, per_sample, dtype, rng, device):
    """How far values and both gradients are from the plain engine's, over its largest entry where that is above 1."""
    program = lower(circuit)
    n_slots = len(program.slots)
    first = {s for s in range(n_slots) if rng.random() < 0.4} | set(program.amplitudes)
    slots = Slots(tuple(sorted(first)), tuple(s for s in range(n_slots) if s not in first))
    operators = as_list(observables, program.n_qubits)
    inputs = rng.uniform(-4, 4, (batch, len(slots.inputs))).astype(dtype)
    weights = rng.uniform(-4, 4, ((batch,) if per_sample else ()) + (len(slots.weights),)).astype(dtype)
    cotangents = rng.normal(size=(batch, len(operators))).astype(dtype)
    tensors = [torch.tensor(array, device=device) for array in (inputs, weights, cotangents)]
    on_gpu = engine(program, operators, slots)
    values, kept = on_gpu.forward(*tensors[:2], True)
    found = values, *on_gpu.vjp(*tensors, kept)
    assert all(part.device.type == device.type for part in found)
    wide = [array.astype(float) for array in (inputs, weights, cotangents)]
    plain, gradients = PlainEngine(program, operators).vjp(slots.join(*wide[:2]), wide[2])
    expected = plain, *slots.split(gradients, shared=not per_sample)
    arrays = [part.cpu().numpy() for part in found]
    assert all(a.shape == b.shape and a.dtype == dtype for a, b in zip(arrays, expected))
    return [np.abs(a - b).max(initial=0) / max(1, np.abs(b).max(initial=0)) for a, b in zip(arrays, expected)]


def drawn_circuit(n_qubits: int, n_gates: int, rng) -> QuantumCircuit:
    """Rotations about all axes, controlled and of pairs, fixed gates and a random unitary."""
    angles, circuit = iter(ParameterVector("t", 2 * n_gates)), QuantumCircuit(n_qubits)
    for _ in range(n_gates):
        places = [int(q) for q in rng.permutation(n_qubits)]
        kind = str(rng.choice(ONE + TWO * (n_qubits > 1)))
        if kind == "u":
            circuit.append(UnitaryGate(random_unitary(2, seed=int(rng.integers(1 << 30)))), places[:1])
        elif kind in ("h", "s", "cx", "swap"):
            getattr(circuit, kind)(*places[: 1 if kind in ("h", "s") else 2])
        else:
            getattr(circuit, kind)(next(angles), *places[: 1 if len(kind) == 2 and kind != "cp" else 2])
    return circuit


def labels(n_qubits: int, rng) -> list[str]:
    """Three observables, one of them a sum."""
    drawn = ["".join(rng.choice(list("IXYZ"), n_qubits)) for _ in range(3)]
    return [drawn[0], f"0.7*{drawn[1]} - 1.3*{drawn[2]}", "Z" * n_qubits]


@pytest.mark.parametrize("seed", range(8))
def test_random_circuits_agree_with_the_plain_engine(seed, device):
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    n_qubits, dtype = seed % 6 + 1, (np.float64, np.float32)[seed % 2]
    circuit = drawn_circuit(n_qubits, 10, rng)
    found = differences(circuit, labels(n_qubits, rng), seed % 3 + 1, seed % 4 == 1, dtype, rng, device)
    assert max(found) < BOUNDS[dtype]


@pytest.mark.parametrize("name", ["controlled", "middle", "amplitude", "reuploading"])
def test_the_catalogue_agrees_with_dense_matrices(name, catalogue, oracle, rng, device):
    case = catalogue[name]
    program = lower(case.circuit)
    operators = as_list(case.observables, program.n_qubits)
    n_slots = len(program.slots)
    angles = rng.uniform(-3, 3, n_slots)
    values, derivatives = oracle.values_and_derivatives(program, operators, angles)
    half = tuple(range(0, n_slots, 2)) if not program.amplitudes else tuple(range(n_slots))
    slots = Slots(half, tuple(s for s in range(n_slots) if s not in half))
    cotangents = rng.normal(size=len(operators))
    tensors = [torch.tensor(a, device=device) for a in (angles[None, list(slots.inputs)], angles[list(slots.weights)])]
    on_gpu = engine(program, operators, slots)
    found, kept = on_gpu.forward(*tensors, True)
    of_inputs, of_weights = on_gpu.vjp(*tensors, torch.tensor(cotangents[None], device=device), kept)
    assert np.allclose(found.cpu().numpy()[0], values, rtol=0, atol=1e-12)
    expected = cotangents @ derivatives
    assert np.allclose(of_inputs.cpu().numpy()[0], expected[list(slots.inputs)], rtol=0, atol=1e-12)
    assert np.allclose(of_weights.cpu().numpy(), expected[list(slots.weights)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_passes_over_memory_agree_with_the_plain_engine(seed, device, monkeypatch):
    monkeypatch.setattr(plan, "MOST_QUBITS_ON_CHIP", 0)
    monkeypatch.setattr(plan, "TILE_BITS", 3)
    monkeypatch.setattr(plan, "LANE_BITS", 1)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    dtype, n_qubits = (np.float64, np.float32)[seed % 2], 4 + seed % 2
    circuit = drawn_circuit(n_qubits, 8, rng)
    assert max(differences(circuit, labels(n_qubits, rng), 2, seed == 2, dtype, rng, device)) < BOUNDS[dtype]


@pytest.mark.parametrize("on_chip", [True, False], ids=["on_chip", "in_memory"])
def test_phases_added_up_agree_with_the_plain_engine(on_chip, device, monkeypatch):
    from qml.native_gpu import launches

    monkeypatch.setattr(plan, "MOST_QUBITS_ON_CHIP", 12 * on_chip)
    monkeypatch.setattr(plan, "TILE_BITS", 3)
    monkeypatch.setattr(plan, "LANE_BITS", 1)
    monkeypatch.setattr(launches, "ENTRIES_OF_A_PROGRAM", 1)
    monkeypatch.setattr(launches, "FEWEST_BITS_WIDE", {torch.float32: 2, torch.float64: 2})
    rng = np.random.default_rng(5)
    circuit = drawn_circuit(4, 6, rng).compose(encodings.angle(4, rotation="Z")).compose(ansatze.hardware_efficient(4, 1))
    assert max(differences(circuit, labels(4, rng), 2, on_chip, np.float64, rng, device)) < 1e-12


@pytest.mark.parametrize("n_qubits", [8, 13], ids=["on_chip", "in_memory"])
def test_the_sizes_and_layouts_that_are_used_agree_with_the_plain_engine(n_qubits, device, rng):
    circuit = encodings.angle(n_qubits).compose(ansatze.hardware_efficient(n_qubits, 1))
    observables = ["Z" + "I" * (n_qubits - 1), "X" * n_qubits]
    assert max(differences(circuit, observables, 1, False, np.float32, rng, device)) < 1e-5


def test_amplitudes_in_memory_agree_with_the_plain_engine(catalogue, device, monkeypatch, rng):
    monkeypatch.setattr(plan, "MOST_QUBITS_ON_CHIP", 0)
    monkeypatch.setattr(plan, "TILE_BITS", 1)
    monkeypatch.setattr(plan, "LANE_BITS", 0)
    case = catalogue["amplitude"]
    assert max(differences(case.circuit, case.observables, 2, False, np.float64, rng, device)) < 1e-12


COMPILER = """
import pathlib, subprocess, tempfile
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from qml.native_gpu import dual_kernels, kernels

INTEGERS = {"operations": "*i32", "stages": "*i32", "factors": "*fp64"}
INTEGERS |= dict.fromkeys(("reads", "terms", "basis", "outside", "starts", "rows"), "*i64")
INTEGERS |= dict.fromkeys(kernels._COUNTS, "i32")

def compiled(name, shape, warps, pointer="*fp32"):
    kernel = getattr(kernels, name, None) or getattr(dual_kernels, name)
    kinds = {a: "constexpr" if a in shape else INTEGERS.get(a, pointer) for a in kernel.arg_names}
    return triton.compile(ASTSource(kernel, kinds, shape), target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
"""
EVERY_KERNEL = """
SHAPES = [
    ("run", dict(QUBITS=3, SAMPLES=4, HAS_START=True, KEEP=True, WIDE=0)),
    ("run_back", dict(QUBITS=7, SAMPLES=1, HAS_START=True, WIDE=7)),
    ("one_pass", dict(QUBITS=9, TILE=7, IS_FIRST=True, WIDE=7)), ("one_pass_back", dict(QUBITS=9, TILE=5, STORE=1, WIDE=0)),
    ("measure", dict(QUBITS=9, TILE=5)), ("weigh", dict(QUBITS=9, TILE=5, IS_FIRST=False)),
    ("weigh", dict(QUBITS=9, TILE=5, IS_FIRST=True)), ("collect", dict(ROWS=4, PARTS=32)),
    ("second", dict(QUBITS=3, SAMPLES=4, HAS_START=True, WIDE=0)),
    ("second", dict(QUBITS=7, SAMPLES=1, HAS_START=False, WIDE=7)),
    ("dual_pass", dict(QUBITS=9, TILE=7, IS_FIRST=True, WIDE=7)),
    ("dual_pass", dict(QUBITS=1, TILE=1, IS_FIRST=False, WIDE=0)),
    ("dual_pass_back", dict(QUBITS=9, TILE=5, STORE=1, WIDE=0)), ("measure_growth", dict(QUBITS=9, TILE=5)),
]
for pointer in ("*fp32", "*fp64"):
    for name, shape in SHAPES:
        if pointer == "*fp32" or not shape.get("WIDE"):
            print(name, len(compiled(name, shape, 2, pointer).asm["cubin"]) > 0)
"""
ASSEMBLED = """
made = compiled({name!r}, dict(QUBITS=24, TILE={tile}, STORE=2, WIDE={tile}), 16)
with tempfile.TemporaryDirectory() as folder:
    source, target = pathlib.Path(folder, "kernel.ptx"), pathlib.Path(folder, "kernel.cubin")
    source.write_text(made.asm["ptx"])
    command = [triton.knobs.nvidia.ptxas.path, "-v", "--gpu-name=sm_90a", source, "-o", target]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stderr)
"""


def for_a_gpu(code: str) -> str:
    """What a program prints that compiles kernels instead of interpreting them."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", COMPILER + code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_kernel_compiles_for_a_gpu_that_is_not_here():
    said = for_a_gpu(EVERY_KERNEL).split()
    assert {*said[::2]} == {*KERNELS} and {*said[1::2]} == {"True"}


@pytest.mark.parametrize("name, tile", [("one_pass_back", 12), ("dual_pass_back", 11)])
def test_states_and_lambdas_of_a_tile_stay_in_registers(name, tile):
    assert "0 bytes spill stores, 0 bytes spill loads" in for_a_gpu(ASSEMBLED.format(name=name, tile=tile))


# ---- plans, on the processor


@pytest.mark.parametrize("tile_bits, lane_bits", [(3, 1), (4, 2), (6, 4)])
def test_passes_hold_every_operation_once_and_move_only_what_commutes(tile_bits, lane_bits, rng):
    circuit = encodings.angle(8).compose(ansatze.strongly_entangling(8, 3)).compose(drawn_circuit(8, 30, rng))
    form = normal_form(lower(circuit))
    operations = [operation for step in form.steps for operation in (*step.turns, *step.phases)]
    passes = plan.passes_of(operations, 8, tile_bits, lane_bits)
    place = {id(operation): k for k, operation in enumerate(operations)}
    order = [place[id(operation)] for one in passes for operation in one.operations]
    assert sorted(order) == list(range(len(operations))) and len(passes) < len(operations) / 2
    for a, b in itertools.combinations(order, 2):
        assert a < b or plan.commute(operations[a], operations[b])
    for one in passes:
        assert len(one.basis) == tile_bits and sorted((*one.pivots, *one.outside)) == list(range(8))
        assert one.pivots[:lane_bits] == tuple(range(lane_bits))
        for operation in one.operations:
            flip, _ = one.local(operation)
            rebuilt = 0
            for j, vector in enumerate(one.basis):
                rebuilt ^= vector if flip >> j & 1 else 0
            assert rebuilt == getattr(operation, "flip", 0)


def test_readings_hold_every_term_once_and_only_where_its_flip_is_in_the_tile(rng):
    flips, reads = (rng.integers(0, 1 << 8, 60).tolist() for _ in range(2))
    terms = [plan.Term(flip, read, 0, 0, k, 1.0) for k, (flip, read) in enumerate(zip(flips, reads))]
    readings = plan.readings_of(terms, 8, 4, 2)
    held = [term for one in readings for term in one.operations]
    assert sorted(held) == sorted(terms) and 1 < len(readings) < len(terms) / 3
    for one in readings:
        for term in one.operations:
            entry, read = one.local(term)
            chosen = [vector for j, vector in enumerate(one.basis) if entry >> j & 1]
            assert functools.reduce(operator.xor, chosen, 0) == term.flip
            assert all((read >> j & 1) == (term.read & vector).bit_count() % 2 for j, vector in enumerate(one.basis))


def test_a_field_along_x_on_24_qubits_is_read_three_times():
    terms = [plan.Term(1 << q, 0, 0, 0, 0, 1.0) for q in range(24)]
    assert [len(one.operations) for one in plan.readings_of(terms, 24, 12, 4)] == [12, 8, 4]


def test_a_large_circuit_needs_few_passes():
    circuit = encodings.angle(24).compose(ansatze.hardware_efficient(24, 4))
    form = normal_form(lower(circuit))
    operations = [operation for step in form.steps for operation in (*step.turns, *step.phases)]
    n_turns = sum(isinstance(operation, plan.Turn) for operation in operations)
    assert len(plan.passes_of(operations, 24, 12, 4)) <= n_turns / 6


# ---- the layer


def small_layer(backend="native", **options) -> QuantumLayer:
    circuit = encodings.reuploading(2, 1).compose(ansatze.hardware_efficient(2, 1, name="v"))
    return QuantumLayer(circuit, ["ZI", "0.5*XY + IZ"], backend=backend, seed=3, dtype=torch.float64, **options)


def test_a_layer_on_gpu_tensors_equals_the_layer_on_the_cpu(device, monkeypatch, rng):
    layer, inputs = small_layer().to(device), torch.tensor(rng.uniform(-2, 2, (3, 2)), device=device)
    inputs.requires_grad_()
    values = layer(inputs)
    values.square().sum().backward()
    found = [values.detach().cpu(), inputs.grad.cpu(), *[p.grad.cpu() for p in layer.parameters()]]
    assert values.device.type == inputs.grad.device.type == device.type
    monkeypatch.setattr(availability, "ON_CPU_TENSORS", False)
    twin, own = small_layer(), inputs.detach().cpu().requires_grad_()
    values = twin(own)
    values.square().sum().backward()
    expected = [values.detach(), own.grad, *[p.grad for p in twin.parameters()]]
    for a, b in zip(found, expected):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_no_array_of_the_cpu_is_on_the_road(device, monkeypatch):
    def refuse(*_):
        raise AssertionError("by NumPy")

    monkeypatch.setattr("qml.autograd._array", refuse)
    layer = small_layer().to(device)
    layer(torch.ones(2, 2, dtype=torch.float64, device=device)).sum().backward()
    assert layer.v.grad.abs().sum() > 0


def test_torch_func_takes_the_same_road(device):
    layer, inputs = small_layer().to(device), torch.ones(2, dtype=torch.float64, device=device)
    rows = torch.func.jacrev(lambda x: layer(x[None])[0])(inputs)
    for k in range(2):
        own = inputs.clone().requires_grad_()
        layer(own[None])[0, k].backward()
        assert torch.allclose(rows[k], own.grad, rtol=0, atol=1e-12)


def test_gradcheck_of_inputs_and_weights(device):
    layer = small_layer().to(device)
    inputs = torch.tensor([[0.3, -1.2]], dtype=torch.float64, device=device, requires_grad=True)
    weights = layer._flat_weights().detach().requires_grad_()
    assert torch.autograd.gradcheck(layer.evaluate, (inputs, weights), fast_mode=True)


def test_one_gradient_only_where_the_other_is_not_needed_and_twice_the_same(device):
    layer, inputs = small_layer().to(device), torch.ones(2, 2, dtype=torch.float64, device=device)
    values = layer(inputs)
    once = torch.autograd.grad(values.sum(), layer.v, retain_graph=True)[0]
    again = torch.autograd.grad(values.sum(), layer.v)[0]
    assert torch.equal(once, again) and once.abs().sum() > 0
    assert layer(inputs[:0]).shape == (0, 2)


def test_circuits_of_odd_shape_run(device):
    nothing = QuantumLayer(QuantumCircuit(2), ["ZI", "XX"]).to(device)
    assert nothing().tolist() == [1, 0]
    only_inputs = QuantumLayer(encodings.angle(1), "Z").to(device)
    inputs = torch.tensor([[0.0], [np.pi]], device=device, requires_grad=True)
    assert torch.allclose(only_inputs(inputs).cpu(), torch.tensor([[1.0], [-1.0]]), atol=1e-6)
    only_inputs(inputs).sum().backward()
    only_weights = QuantumLayer(ansatze.hardware_efficient(1, 1), "X").to(device)
    only_weights().backward()
    assert only_weights.w.grad.shape == only_weights.w.shape and inputs.grad.shape == (2, 1)
    strided = torch.ones(1, 6, device=device, dtype=torch.float64)[:, ::3]
    layer = small_layer().to(device)
    assert torch.equal(layer(strided), layer(strided.contiguous()))
    assert layer(torch.full((1, 2), torch.nan, device=device, dtype=torch.float64)).isnan().all()


def test_the_ledger_counts_what_ran_on_the_gpu(device):
    layer = small_layer().to(device)
    with qml.ledger(classical=False) as cost:
        layer(torch.ones(3, 2, dtype=torch.float64, device=device)).sum().backward()
    assert (cost.values.circuits, cost.gradients.circuits) == (3, 0)
    assert cost.gradients.gates == 2 * cost.values.gates > 0 and cost.gradients.passes == 6
