"""What only a GPU can show: the sizes that matter, no wait for the GPU, CUDA graphs, Aer on the GPU. `make gpu-check`."""

import numpy as np
import pytest
import torch

from circuits import ansatze, encodings
from circuits.errors import LabError
from qml import QuantumLayer
from qml.diagnosis import doctor
from qml.native_gpu.availability import missing_gpu
from studies.gpu_peers.base import layer_step
from studies.known_ring import KnownRing, known_results

pytestmark = pytest.mark.skipif(bool(missing_gpu()), reason=missing_gpu() or "there is one")
BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5}


def layer(n_qubits: int, dtype: torch.dtype, n_layers: int = 3, **options) -> QuantumLayer:
    """Inputs at the start, and Z on each qubit beside a sum that is not diagonal."""
    circuit = encodings.angle(n_qubits).compose(ansatze.hardware_efficient(n_qubits, n_layers))
    observables = ["I" * k + "Z" + "I" * (n_qubits - 1 - k) for k in range(n_qubits)]
    observables.append(f"0.3*{'X' * n_qubits} - {'Y' + 'I' * (n_qubits - 1)}")
    return QuantumLayer(circuit, observables, seed=1, dtype=dtype, **options)


def results(made: QuantumLayer, inputs: torch.Tensor) -> list[np.ndarray]:
    """Values, gradients to inputs and to weights, of one scalar."""
    made.zero_grad()
    inputs = inputs.clone().requires_grad_()
    values = made(inputs)
    factors = torch.linspace(-1, 1, values.numel(), dtype=values.dtype, device=values.device).reshape(values.shape)
    (factors * values).sum().backward()
    return [part.detach().cpu().double().numpy() for part in (values, inputs.grad, made.w.grad)]


def grown(made: QuantumLayer, inputs: torch.Tensor) -> torch.Tensor:
    """The sum of all derivatives by weights of one scalar, each with a factor of its own."""
    (first,) = torch.autograd.grad(made(inputs).square().sum(), made.w, create_graph=True)
    factors = torch.linspace(-1, 1, len(first), dtype=first.dtype, device=first.device)
    return (first * factors).sum()


def product(made: QuantumLayer, inputs: torch.Tensor) -> list[np.ndarray]:
    """Gradients to inputs and to weights of `grown`."""
    made.zero_grad()
    inputs = inputs.clone().requires_grad_()
    grown(made, inputs).backward()
    return [part.detach().cpu().double().numpy() for part in (inputs.grad, made.w.grad)]


def far(found: list, expected: list) -> float:
    return max(np.abs(a - b).max() / max(1, np.abs(b).max()) for a, b in zip(found, expected))


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("n_qubits, batch", [(1, 300), (4, 1025), (8, 65), (11, 9), (12, 33), (13, 3), (16, 2), (20, 1)])
def test_values_and_gradients_are_those_of_the_cpu(n_qubits, batch, dtype):
    inputs = torch.tensor(np.random.default_rng(n_qubits).uniform(-3, 3, (batch, n_qubits)))
    expected = results(layer(n_qubits, torch.float64), inputs.double())
    found = results(layer(n_qubits, dtype).cuda(), inputs.to("cuda", dtype))
    assert far(found, expected) < BOUNDS[dtype]


@pytest.mark.parametrize("n_qubits, dtype", [(26, "float64"), (28, "float32"), (30, "float32")])
def test_values_and_gradients_beyond_the_cpu_are_those_of_a_closed_form(n_qubits, dtype):
    workload = KnownRing("ring", n_qubits, 1, 3, dtype)
    needed = 3 * np.dtype(dtype).itemsize * 2 << n_qubits  # states, lambdas, and what is beside them
    if torch.cuda.mem_get_info()[0] < needed:
        pytest.skip(f"{needed >> 30} GiB of GPU memory are not free")
    found = [part.cpu().numpy() for part in layer_step(workload, torch.device("cuda"))()]
    assert far(found, known_results(workload)) < BOUNDS[getattr(torch, dtype)]


@pytest.mark.parametrize("n_qubits", [4, 14])
def test_weights_of_every_sample_get_gradients_of_their_own(n_qubits):
    made = layer(n_qubits, torch.float64, 2)
    generator = np.random.default_rng(0)
    inputs, weights = (torch.tensor(generator.uniform(-3, 3, (5, size))) for size in (n_qubits, len(made.weight_parameters)))
    found = []
    for device in ("cpu", "cuda"):
        own = weights.to(device).requires_grad_()
        made.to(device).evaluate(inputs.to(device), own).sum().backward()
        found.append(own.grad.cpu().numpy())
    assert far(found[1:], found[:1]) < 1e-12


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("n_qubits, batch", [(1, 300), (4, 1025), (8, 65), (11, 9), (12, 5), (13, 3), (16, 2), (20, 1)])
def test_hessian_vector_products_are_those_of_the_cpu(n_qubits, batch, dtype):
    inputs = torch.tensor(np.random.default_rng(n_qubits).uniform(-3, 3, (batch, n_qubits)))
    expected = product(layer(n_qubits, torch.float64), inputs.double())
    found = product(layer(n_qubits, dtype).cuda(), inputs.to("cuda", dtype))
    assert far(found, expected) < BOUNDS[dtype]


@pytest.mark.parametrize("n_qubits", [6, 14])
def test_a_step_does_not_wait_for_the_gpu(n_qubits):
    made, inputs = layer(n_qubits, torch.float32).cuda(), torch.ones(4, n_qubits, device="cuda", requires_grad=True)
    made(inputs).sum().backward()
    grown(made, inputs).backward()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        made(inputs).sum().backward()
        grown(made, inputs).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("is_second", [False, True], ids=["gradient", "second_order"])
@pytest.mark.parametrize("n_qubits", [6, 14])
def test_a_step_is_captured_in_a_cuda_graph_and_replayed_on_new_inputs(n_qubits, is_second):
    made, inputs = layer(n_qubits, torch.float64).cuda(), torch.zeros(4, n_qubits, device="cuda", dtype=torch.float64)

    def step():
        made.w.grad = None
        values = grown(made, inputs) if is_second else made(inputs)
        values.sum().backward()
        return values

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values = step()
    gradient = made.w.grad
    inputs.copy_(torch.linspace(-1, 1, inputs.numel()).reshape(inputs.shape))
    graph.replay()
    torch.cuda.synchronize()
    replayed = values.detach().clone(), gradient.clone()
    again = step().detach(), made.w.grad
    assert all(torch.equal(a, b) for a, b in zip(replayed, again))


def test_work_is_on_the_current_stream():
    made, inputs = layer(10, torch.float64).cuda(), torch.ones(64, 10, device="cuda", dtype=torch.float64)
    expected, aside = made(inputs).detach(), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(aside):
        found = made(inputs).detach()
    aside.synchronize()
    assert torch.equal(found, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_a_layer_on_the_second_gpu_stays_there():
    made, inputs = layer(6, torch.float64).to("cuda:1"), torch.ones(3, 6, device="cuda:1", dtype=torch.float64)
    values = made(inputs)
    values.sum().backward()
    assert values.device == made.w.grad.device == torch.device("cuda:1")
    assert torch.allclose(values.cpu(), layer(6, torch.float64)(inputs.cpu()), atol=1e-12)


def test_the_same_step_gives_the_same_bits():
    made, inputs = layer(12, torch.float32).cuda(), torch.ones(50, 12, device="cuda")
    runs = [results(made, inputs) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*runs))


def test_nothing_is_compiled_for_a_second_circuit():
    from qml.native_gpu import dual_kernels, kernels

    def compiled() -> list[int]:
        found = (kernel.device_caches for kernel in (kernels.run_back, dual_kernels.second))
        return [len(caches[0]) for by_device in found for _, caches in sorted(by_device.items())]

    before = []
    for n_layers, batch in ((1, 3), (2, 1), (4, 16), (5, 33)):
        for once in (results, product):
            once(layer(6, torch.float32, n_layers).cuda(), torch.ones(batch, 6, device="cuda"))
        before = before or compiled()
    assert compiled() == before


def test_doctor_ran_our_kernels_and_has_nothing_against_the_driver():
    checks = {check.name: check for check in doctor().checks}
    assert checks["GPU, native"].works is True
    assert checks["GPU, driver"].works is not False  # None where nvidia-smi is not on the PATH


# ---- Aer


@pytest.fixture(scope="module")
def aer():
    """Aer on the GPU, once a run has shown that it is there."""
    from qml.backends.base import resolve

    try:
        return resolve("aer", device="GPU")
    except LabError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("diff_method, n_qubits", [("adjoint", 4), ("adjoint", 10), ("parameter-shift", 4)])
def test_aer_on_the_gpu_gives_the_cpus_values_and_gradients(diff_method, n_qubits, dtype, aer):
    inputs = torch.tensor(np.random.default_rng(3).uniform(-3, 3, (6, n_qubits)))
    expected = results(layer(n_qubits, torch.float64, 2), inputs)
    found = results(layer(n_qubits, dtype, 2, backend=aer, diff_method=diff_method), inputs.to(dtype))
    assert far(found, expected) < {torch.float64: 1e-10, torch.float32: 1e-3}[dtype]
