"""Second derivatives and the metric on a GPU's tensors, or in Triton's interpreter, against those of the CPU."""

import contextlib
import importlib.util
import itertools

import numpy as np
import pytest
import torch

import qml
from circuits import ansatze, encodings
from circuits.lowering import lower
from circuits.observables import as_list
from qml import QuantumLayer
from qml.backends.base import Slots, resolve
from qml.backends.native import NativeCircuit
from qml.native_gpu import availability, launches, plan

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed: it is for Linux only"),
    pytest.mark.usefixtures("device"),
]
BOUNDS = {np.float64: 1e-12, np.float32: 1e-5}
F64 = torch.float64
PER_SAMPLE = pytest.mark.parametrize("per_sample", [False, True], ids=["shared_weights", "weights_per_sample"])


def in_memory(monkeypatch, tile_bits: int = 3, lane_bits: int = 1) -> None:
    """States are in memory, and derivatives' tiles of one bit less than `tile_bits`."""
    monkeypatch.setattr(plan, "MOST_QUBITS_ON_CHIP", 0)
    monkeypatch.setattr(plan, "TILE_BITS", tile_bits)
    monkeypatch.setattr(plan, "LANE_BITS", lane_bits)


def compiled(circuit, observables, rng):
    """On backend native, with inputs among its slots, amplitudes first."""
    program = lower(circuit)
    n_slots = len(program.slots)
    first = {s for s in range(n_slots) if rng.random() < 0.4} | set(program.amplitudes)
    slots = Slots(tuple(sorted(first)), tuple(s for s in range(n_slots) if s not in first))
    operators = as_list(observables, program.n_qubits) if observables else []
    return resolve("native").compile(program, operators, slots)


def drawn(made, batch: int, per_sample: bool, rng, dtype=np.float64) -> list[np.ndarray]:
    """Inputs, weights, cotangents, and a direction for the first two."""
    shapes = (batch, len(made.slots.inputs)), (batch,) * per_sample + (len(made.slots.weights),)
    angles = [rng.uniform(-3, 3, shape) for shape in shapes]
    cotangents = rng.normal(size=(batch, len(made.observables)))
    return [array.astype(dtype) for array in (*angles, cotangents, *(rng.normal(size=shape) for shape in shapes))]


def far(found: list[torch.Tensor], expected: list[np.ndarray]) -> float:
    """The largest difference, over the largest entry where that is above 1."""
    arrays = [part.cpu().numpy() for part in found]
    assert all(a.shape == b.shape for a, b in zip(arrays, expected))
    return max(np.abs(a - b).max(initial=0) / max(1, np.abs(b).max(initial=0)) for a, b in zip(arrays, expected))


def difference(circuit, observables, batch, per_sample, dtype, rng, device) -> float:
    """Between a Hessian-vector product on the device and the CPU engine's in float64."""
    made = compiled(circuit, observables, rng)
    arrays = drawn(made, batch, per_sample, rng, dtype)
    found = made.on_tensors().second(*[torch.tensor(array, device=device) for array in arrays])
    assert all(part.device.type == device.type and part.numpy(force=True).dtype == dtype for part in found)
    return far(found, made.second(*[array.astype(float) for array in arrays]))


@pytest.mark.parametrize("name", ["controlled", "middle", "amplitude", "reuploading"])
@PER_SAMPLE
def test_the_catalogue_agrees_with_the_cpu(name, per_sample, catalogue, rng, device):
    case = catalogue[name]
    assert difference(case.circuit, case.observables, 2, per_sample, np.float64, rng, device) < 1e-12


@pytest.mark.parametrize("name", ["middle", "amplitude"])
@PER_SAMPLE
def test_states_in_memory_agree_with_the_cpu(name, per_sample, catalogue, rng, device, monkeypatch):
    in_memory(monkeypatch, 2, 0)
    case = catalogue[name]
    assert difference(case.circuit, case.observables, 2, per_sample, np.float64, rng, device) < 1e-12


@pytest.mark.parametrize("dtype", BOUNDS, ids=["float64", "float32"])
@pytest.mark.parametrize("on_chip", [True, False], ids=["on_chip", "in_memory"])
def test_phases_added_up_agree_with_the_cpu(on_chip, dtype, rng, device, monkeypatch):
    if not on_chip:
        in_memory(monkeypatch)
    monkeypatch.setattr(launches, "ENTRIES_OF_A_PROGRAM", 1)
    monkeypatch.setattr(launches, "FEWEST_BITS_WIDE", {torch.float32: 2, F64: 2})
    circuit = encodings.angle(4, rotation="Z").compose(ansatze.strongly_entangling(4, 1))
    observables = ["XYZI", "0.7*ZZII - 1.3*IXXY"]
    assert difference(circuit, observables, 2, on_chip, dtype, rng, device) < BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS, ids=["float64", "float32"])
@pytest.mark.parametrize("n_qubits", [3, 11, 12])
def test_the_sizes_and_layouts_that_are_used_agree_with_the_cpu(n_qubits, dtype, device, rng):
    circuit = encodings.angle(n_qubits).compose(ansatze.hardware_efficient(n_qubits, 1))
    observables = ["Z" + "I" * (n_qubits - 1), "X" * n_qubits]
    batch = 5 if n_qubits == 3 else 1
    assert difference(circuit, observables, batch, False, dtype, rng, device) < BOUNDS[dtype]


@pytest.mark.parametrize("name", ["reuploading", "amplitude"])
@PER_SAMPLE
def test_a_batch_in_pieces_is_that_in_one(name, per_sample, catalogue, device, rng, monkeypatch):
    made = compiled(catalogue[name].circuit, catalogue[name].observables, rng)
    inputs, weights, cotangents, *direction = (
        torch.tensor(array, device=device) for array in drawn(made, 5, per_sample, rng)
    )
    runs = []
    for cuts in ((0, 5), (0, 2, 5)):
        pieces = [slice(*ends) for ends in itertools.pairwise(cuts)]
        monkeypatch.setattr(type(made.on_tensors().engine), "pieces", lambda *_, pieces=pieces, **__: iter(pieces))
        found = made.on_tensors().second(inputs, weights, cotangents, *direction)
        runs.append((*found, *made.on_tensors().tangents(inputs, weights, *direction)))
    for a, b in zip(*runs):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", BOUNDS, ids=["float64", "float32"])
@pytest.mark.parametrize("name", ["middle", "amplitude"])
def test_states_and_their_derivatives_agree_with_the_cpu(name, dtype, catalogue, device, rng):
    made = compiled(catalogue[name].circuit, [], rng)
    inputs, weights, _, *direction = drawn(made, 3, False, rng, dtype)
    arrays = inputs, weights, *direction
    found = made.on_tensors().tangents(*[torch.tensor(array, device=device) for array in arrays])
    expected = made.tangents(*[array.astype(float) for array in arrays])
    signs = np.sign((found[0].cpu().numpy() * expected[0].conj()).sum(axis=1, keepdims=True).real)
    assert far(found, [signs * array for array in expected]) < BOUNDS[dtype]
    none = [array[:0] if array.ndim == 2 else array for array in arrays]
    empty = made.on_tensors().tangents(*[torch.tensor(array, device=device) for array in none])
    assert [part.shape for part in empty] == [(0, 1 << made.program.n_qubits)] * 2


# ---- the layer


def small_layer(**options) -> QuantumLayer:
    circuit = encodings.reuploading(2, 1).compose(ansatze.hardware_efficient(2, 1, name="v"))
    return QuantumLayer(circuit, ["ZI", "0.5*XY + IZ"], seed=3, dtype=F64, **options)


def point(layer: QuantumLayer, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of one sample, and weights, both with gradients."""
    inputs = torch.tensor([[0.3, -1.2]], dtype=F64, device=device, requires_grad=True)
    return inputs, layer._flat_weights().detach().requires_grad_()


@pytest.fixture
def no_cpu(monkeypatch):
    """A way to see that what runs inside takes no array of the CPU."""

    @contextlib.contextmanager
    def refusing():
        def refuse(*_):
            raise AssertionError("by NumPy")

        with monkeypatch.context() as patch:
            patch.setattr("qml.autograd._array", refuse)
            patch.setattr(NativeCircuit, "tangents", refuse)
            yield

    return refusing


def test_gradgradcheck_of_inputs_and_weights(device, no_cpu):
    layer = small_layer().to(device)
    with no_cpu():
        assert torch.autograd.gradgradcheck(layer.evaluate, point(layer, device), fast_mode=True)


def test_a_hessian_vector_product_is_that_of_shift_rules(device, no_cpu):
    found = []
    for options, where in (({}, no_cpu), ({"diff_method": "parameter-shift"}, contextlib.nullcontext)):
        layer = small_layer(**options).to(device)
        inputs, weights = point(layer, device)
        with where():
            (first,) = torch.autograd.grad(layer.evaluate(inputs, weights).square().sum(), weights, create_graph=True)
            found.append(torch.autograd.grad(first.square().sum(), (inputs, weights)))
    for a, b in zip(*found):
        assert torch.allclose(a, b, rtol=0, atol=1e-12) and a.abs().sum() > 0


def test_torch_func_gives_the_hessian_of_autograd(device, no_cpu):
    layer = small_layer().to(device)
    inputs, weights = point(layer, device)

    def loss(w):
        return layer.evaluate(inputs.detach(), w)[0, 1]

    with no_cpu():
        hessian = torch.func.jacrev(torch.func.jacrev(loss))(weights.detach())
    assert torch.allclose(hessian, torch.autograd.functional.hessian(loss, weights), rtol=0, atol=1e-12)


def test_the_ledger_counts_six_sweeps(device):
    layer = small_layer().to(device)
    inputs, weights = point(layer, device)
    (first,) = torch.autograd.grad(layer.evaluate(inputs, weights).sum(), weights, create_graph=True)
    with qml.ledger(classical=False) as cost:
        first.sum().backward()
    assert cost.gradients.gates == 6 * len(layer._program.gates) and cost.values.gates == 0


@pytest.mark.parametrize("on_chip", [True, False], ids=["on_chip", "in_memory"])
def test_the_metric_tensor_is_that_of_the_cpu(on_chip, device, rng, monkeypatch, no_cpu):
    if not on_chip:
        in_memory(monkeypatch)
    circuit = encodings.angle(3).compose(ansatze.strongly_entangling(3, 1))
    inputs = torch.tensor(rng.uniform(-2, 2, (2, 3)), device=device)
    layer = QuantumLayer(circuit, seed=4, dtype=F64).to(device)
    with no_cpu():
        found = qml.metric_tensor(layer, inputs)
    assert found.device.type == device.type
    monkeypatch.setattr(availability, "ON_CPU_TENSORS", False)
    expected = qml.metric_tensor(QuantumLayer(circuit, seed=4, dtype=F64), inputs.cpu())
    assert torch.allclose(found.cpu(), expected, rtol=0, atol=1e-12) and expected.abs().max() > 0.1


@pytest.mark.parametrize("approximation", ["full", "block-diagonal", "spsa"])
def test_natural_gradient_steps_as_on_the_cpu(approximation, device, rng, monkeypatch, no_cpu):
    data = torch.tensor(rng.uniform(-2, 2, (2, 2)))
    found = []
    for where, road in ((device, no_cpu), (torch.device("cpu"), contextlib.nullcontext)):
        layer = small_layer().to(where)
        optimizer = qml.NaturalGradient(layer, approximation=approximation)
        with road():
            for _ in range(2):
                optimizer.zero_grad()
                layer(data.to(where)).sum().backward()
                optimizer.step()
        found.append(layer._flat_weights().detach().cpu())
        monkeypatch.setattr(availability, "ON_CPU_TENSORS", False)
    assert torch.allclose(*found, rtol=0, atol=1e-9)
