"""What the GPU engine asks of a GPU: memory for states, whole or in pieces; no copy while a graph is captured; gcc."""

import importlib.util
import sysconfig

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from circuits import ansatze, encodings
from circuits.errors import LabError
from circuits.lowering import lower
from circuits.observables import as_list
from qml import QuantumLayer
from qml.backends.base import Slots
from qml.native_gpu import availability, plan

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed: it is for Linux only"),
    pytest.mark.usefixtures("device"),
]
F64 = torch.float64
PER_SAMPLE = pytest.mark.parametrize("per_sample", [False, True], ids=["shared_weights", "weights_per_sample"])
WHERE = pytest.mark.parametrize("on_chip", [True, False], ids=["on_chip", "in_memory"])


def circuit() -> QuantumCircuit:
    """Two qubits, two inputs."""
    return encodings.reuploading(2, 1).compose(ansatze.hardware_efficient(2, 1, name="v"))


def engine(made: QuantumCircuit, observables: list[str], n_inputs: int = 0):
    """Of the GPU; the first slots are inputs."""
    from qml.native_gpu.engine import GpuEngine

    program = lower(made)
    slots = Slots(tuple(range(n_inputs)), tuple(range(n_inputs, len(program.slots))))
    return GpuEngine(program, as_list(observables, program.n_qubits), slots.inputs, slots.weights)


def five_samples(per_sample: bool, device, rng):
    """An engine, inputs, weights and cotangents of five samples."""
    n_slots = len(lower(circuit()).slots)
    half = n_slots // 2
    shapes = (5, half), (5,) * per_sample + (n_slots - half,), (5, 2)
    return engine(circuit(), ["ZI", "XY"], half), *[torch.tensor(rng.uniform(-2, 2, s), device=device) for s in shapes]


def in_memory(monkeypatch, tile_bits: int = 1) -> None:
    """States of two qubits and more are in memory."""
    monkeypatch.setattr(plan, "MOST_QUBITS_ON_CHIP", 0)
    monkeypatch.setattr(plan, "TILE_BITS", tile_bits)
    monkeypatch.setattr(plan, "LANE_BITS", 0)


def weights_on_a_gpu(n_axes: int = 1):
    """All that is asked of a tensor of float64 before anything is allocated."""
    facts = {"is_cuda": True, "device": torch.device("cuda:1"), "element_size": lambda _: 8, "dim": lambda _: n_axes}
    return type("Weights", (), facts)()


# ---- pieces


@PER_SAMPLE
def test_a_batch_in_pieces_gives_the_same(per_sample, device, monkeypatch, rng):
    on_gpu, *tensors = five_samples(per_sample, device, rng)
    runs = []
    for size in (5, 2):
        pieces = [slice(k, min(k + size, 5)) for k in range(0, 5, size)]
        monkeypatch.setattr(on_gpu, "pieces", lambda *_, pieces=pieces: pieces)
        values, kept = on_gpu.forward(*tensors[:2], True)
        assert (kept.states is None) is (size == 2)
        runs.append((values, *on_gpu.vjp(*tensors, kept)))
    for a, b in zip(*runs):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-14)


@WHERE
@PER_SAMPLE
def test_a_gradient_for_which_less_is_free_than_for_the_values_is_the_same(per_sample, on_chip, device, monkeypatch, rng):
    if not on_chip:
        in_memory(monkeypatch)
    on_gpu, *tensors = five_samples(per_sample, device, rng)
    expected = on_gpu.vjp(*tensors, None)
    _, kept = on_gpu.forward(*tensors[:2], True)
    assert kept.states is not None
    monkeypatch.setattr(on_gpu, "pieces", lambda *_: [slice(0, 2), slice(2, 4), slice(4, 5)])
    for _ in range(2):  # the second one, of a graph that was retained, computes the states again
        for a, b in zip(expected, on_gpu.vjp(*tensors, kept)):
            assert a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-14)


def test_a_gradient_is_not_refused_for_want_of_the_memory_that_its_states_have(device, monkeypatch, rng):
    on_gpu, *tensors = five_samples(False, device, rng)
    _, kept = on_gpu.forward(*tensors[:2], True)

    def refuse(*_):
        raise AssertionError("asked what is free, with the states there")

    monkeypatch.setattr(on_gpu, "pieces", refuse)
    assert on_gpu.vjp(*tensors, kept)[1].abs().sum() > 0


def test_a_state_that_does_not_fit_the_gpu_is_refused(monkeypatch):
    from qml.native_gpu import engine as module

    on_gpu, weights = engine(QuantumCircuit(3), ["ZZZ"]), weights_on_a_gpu()
    monkeypatch.setattr(availability, "is_capturing", lambda _: False)
    monkeypatch.setattr(module, "ALWAYS_THERE", 0)
    monkeypatch.setattr(module, "_free", lambda _: 1 << 10)
    assert [piece.stop - piece.start for piece in on_gpu.pieces(7, weights, True)] == [4, 3]
    monkeypatch.setattr(module, "_free", lambda _: 100)
    with pytest.raises(LabError, match=r"gradient needs 128 bytes on cuda:1 .*: use fewer of them, float32, or the CPU"):
        list(on_gpu.pieces(1, weights, True))


def test_values_alone_need_no_memory_for_a_gradient(monkeypatch):
    from qml.native_gpu import engine as module

    in_memory(monkeypatch, 2)
    on_gpu, weights = engine(QuantumCircuit(3), ["ZZZ"]), weights_on_a_gpu()
    monkeypatch.setattr(availability, "is_capturing", lambda _: False)
    monkeypatch.setattr(module, "ALWAYS_THERE", 0)
    monkeypatch.setattr(module, "_free", lambda _: 200)  # a state has 128 bytes, the parts of a value 16, lambda 128
    assert len(list(on_gpu.pieces(1, weights, False))) == 1
    with pytest.raises(LabError, match="simulating 3 qubits with a gradient needs 272 bytes"):
        list(on_gpu.pieces(1, weights, True))
    monkeypatch.setattr(module, "_free", lambda _: 100)
    with pytest.raises(LabError, match="simulating 3 qubits needs 144 bytes"):
        list(on_gpu.pieces(1, weights, False))


def test_parts_of_values_and_angles_of_samples_are_counted(monkeypatch):
    in_memory(monkeypatch, 2)
    many = [a + b + c for a in "XYZ" for b in "XYZ" for c in "XYZ"]
    turned = QuantumCircuit(3)
    for name in ("x", "w"):
        turned.ry(Parameter(name), 0)
    on_gpu = engine(turned, many, 1)
    assert len(on_gpu.plan.operations) < 27
    state, parts = 2 * 8 * 8, 2 * 27 * 8
    for n_axes, angles in ((1, 1), (2, 2)):
        weights = weights_on_a_gpu(n_axes)
        assert on_gpu.n_bytes(10, weights, False) == 10 * (state + parts + 3 * 8 * angles)
        assert on_gpu.n_bytes(10, weights, True) == 10 * (2 * state + parts + 3 * 8 * angles)


def test_second_derivatives_need_four_states_in_memory_and_none_on_chip(monkeypatch):
    from qml.native_gpu import engine as module

    on_chip, weights = engine(QuantumCircuit(3), ["ZZZ"]), weights_on_a_gpu()
    assert on_chip.n_bytes(1, weights, True, is_dual=True) == 0
    in_memory(monkeypatch, 2)
    on_gpu, state = engine(QuantumCircuit(3), ["ZZZ"]), 2 * 8 * 8
    assert on_gpu.n_bytes(10, weights, True, is_dual=True) == 10 * (4 * state + 4 * 8)  # and a value of each tile
    monkeypatch.setattr(availability, "is_capturing", lambda _: False)
    monkeypatch.setattr(module, "ALWAYS_THERE", 0)
    monkeypatch.setattr(module, "_free", lambda _: 500)
    with pytest.raises(LabError, match="simulating 3 qubits with second derivatives needs 544 bytes on cuda:1"):
        list(on_gpu.pieces(1, weights, True, is_dual=True))


def test_amplitudes_and_the_derivatives_by_them_are_counted(catalogue):
    case, weights = catalogue["amplitude"], weights_on_a_gpu()
    given = engine(case.circuit, case.observables, len(lower(case.circuit).slots))
    n_amplitudes = len(given.program.amplitudes)
    assert n_amplitudes == 1 << given.program.n_qubits
    assert given.n_bytes(1, weights, True, is_dual=True) >= 6 * 8 * n_amplitudes
    assert given.n_bytes(1, weights, True) >= (2 + 4) * 8 * n_amplitudes  # beside the state


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_no_states_are_kept_where_gradients_are_off(mode, device, monkeypatch):
    from qml.native_gpu.engine import GpuEngine

    kept, forward = [], GpuEngine.forward

    def spied(self, inputs, weights, keep):
        kept.append(keep)
        return forward(self, inputs, weights, keep)

    monkeypatch.setattr(GpuEngine, "forward", spied)
    # One vector of weights: of several, what is put together has no gradients anyway.
    layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), "ZI", dtype=F64).to(device)
    inputs = torch.ones(2, 2, dtype=F64, device=device)
    expected = layer(inputs)
    with mode():
        assert torch.equal(layer(inputs), expected)
    assert kept == [True, False]


# ---- graphs


def test_tables_are_not_copied_to_the_gpu_while_a_graph_is_captured(device, monkeypatch):
    layer, inputs = QuantumLayer(circuit(), "ZI", dtype=F64).to(device), torch.ones(2, 2, dtype=F64, device=device)
    layer(inputs).sum().backward()
    monkeypatch.setattr(availability, "is_capturing", lambda _: True)
    layer(inputs).sum().backward()
    inputs.requires_grad_()
    with pytest.raises(LabError, match="run the step with the same requires_grad"):
        layer(inputs).sum().backward()


def test_the_ledger_waits_for_the_tensors_gpu_and_not_within_a_capture(monkeypatch):
    from qml.native_gpu import tensors

    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    for is_capturing in (True, False):
        monkeypatch.setattr(availability, "is_capturing", lambda _, answer=is_capturing: answer)
        for name in ("cpu", "cuda:1"):
            tensors._wait(torch.device(name))
    assert waited == [torch.device("cuda:1")]


def test_a_capture_is_looked_for_on_the_device_asked_about(monkeypatch):
    current = [0]

    class Device:
        def __init__(self, device):
            self.index = device.index

        def __enter__(self):
            current.append(self.index)

        def __exit__(self, *_):
            current.pop()

    monkeypatch.setattr(torch.cuda, "device", Device)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: current[-1] == 1)
    assert availability.is_capturing(torch.device("cuda:1"))
    assert not availability.is_capturing(torch.device("cuda:0")) and not availability.is_capturing(torch.device("cpu"))


# ---- what has to be installed


def test_without_triton_a_gpu_tensor_is_refused_and_not_simulated_on_the_cpu(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "triton" else find(name, *rest))
    availability.check.cache_clear()
    with pytest.raises(LabError, match="pip install triton"):
        availability.check()


@pytest.mark.parametrize("lacking", ["compiler", "CC", "header", "something else"])
def test_what_triton_lacks_for_its_first_kernel_is_named_with_the_cure(lacking, monkeypatch, tmp_path):
    def fail():
        raise RuntimeError("Failed to\nstart")

    monkeypatch.setattr(availability, "_start_driver", fail)
    monkeypatch.setattr(availability, "is_interpreted", lambda: False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(availability.shutil, "which", lambda name: None if lacking in ("compiler", "CC") else f"/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_paths", lambda *_: {"include": str(tmp_path)})
    if lacking == "CC":
        monkeypatch.setenv("CC", "nocc")
    if lacking != "header":
        (tmp_path / "Python.h").touch()
    says = {
        "compiler": "a C compiler for its first kernel, and finds none: apt install gcc, or set CC to one",
        "CC": "a C compiler for its first kernel, and CC=nocc is none",
        "header": "needs Python.h for its first kernel, which is not in .*: apt install python3-dev",
        "something else": "RuntimeError: Failed to start; or move the layer",
    }
    availability.check.cache_clear()
    with pytest.raises(LabError, match=says[lacking]):
        availability.check()


def test_what_is_in_tritons_cache_needs_no_compiler(monkeypatch):
    monkeypatch.setattr(availability, "_start_driver", lambda: None)
    monkeypatch.setattr(availability, "is_interpreted", lambda: False)
    monkeypatch.setattr(availability.shutil, "which", lambda _: None)
    availability.check.cache_clear()
    availability.check()
