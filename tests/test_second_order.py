"""Second derivatives by dual states against shift rules, and the metric tensor against differences of state vectors."""

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

import qml
from circuits import ansatze, encodings
from circuits.errors import LabError, Unsupported
from circuits.lowering import lower
from circuits.observables import as_list
from qml import QuantumLayer
from qml.backends.base import Slots, resolve
from qml.evaluation import Evaluation
from qml.gradients.base import resolve as method_named
from qml.native import fast, tiling


def evaluation(circuit, observables, method: str, rng, split: bool = True) -> tuple[Evaluation, Slots]:
    program = lower(circuit)
    first = {s for s in range(len(program.slots)) if split and rng.random() < 0.4} | set(program.amplitudes)
    slots = Slots(tuple(sorted(first)), tuple(s for s in range(len(program.slots)) if s not in first))
    compiled = resolve("native").compile(program, as_list(observables, program.n_qubits), slots)
    return Evaluation(compiled, method_named(method, compiled, None)), slots


def compare(circuit, observables, batch: int, per_sample: bool, seed: int) -> float:
    """The largest difference between dual states and shift rules, relative to the largest derivative."""
    results = []
    for method in ("adjoint", "parameter-shift"):
        rng = np.random.default_rng(seed)
        found, slots = evaluation(circuit, observables, method, rng)
        inputs = rng.uniform(-3, 3, (batch, len(slots.inputs)))
        weights = rng.uniform(-3, 3, ((batch,) if per_sample else ()) + (len(slots.weights),))
        cotangents = rng.normal(size=(batch, found.n_outputs))
        along = rng.normal(size=inputs.shape), rng.normal(size=weights.shape)
        results.append(found.second(inputs, weights, cotangents, *along, np.random.SeedSequence(0)))
    assert all(a.shape == b.shape for a, b in zip(*results))
    return max(np.abs(a - b).max(initial=0) / max(1, np.abs(b).max(initial=0)) for a, b in zip(*results))


@pytest.mark.parametrize("per_sample", [False, True], ids=["shared_weights", "weights_per_sample"])
def test_dual_states_and_shift_rules_agree(case, per_sample):
    if lower(case.circuit).is_evolving:
        pytest.skip("an evolution has first derivatives alone")
    for batch in (1, 9):
        assert compare(case.circuit, case.observables, batch, per_sample, seed=batch) < 1e-11


@pytest.mark.parametrize("direct, tile", [(12, 8), (1, 2), (2, 1)])
def test_they_agree_on_one_state_by_tiles(monkeypatch, direct, tile):
    monkeypatch.setattr(fast, "MOST_QUBITS_TOGETHER", 0)
    monkeypatch.setattr(tiling, "DIRECT_BITS", direct)
    monkeypatch.setattr(tiling, "TILE_BITS", tile)
    circuit = encodings.angle(7).compose(ansatze.hardware_efficient(7, n_layers=2))
    assert compare(circuit, ["ZIIIIII", "XXIIIYY", "IIIIZZI"], 3, False, seed=5) < 1e-11


def test_gradgradcheck_passes():
    layer = QuantumLayer(
        encodings.angle(3).compose(ansatze.strongly_entangling(3, n_layers=1)), ["ZII", "XYZ"], seed=2
    ).double()
    inputs = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    weights = layer._flat_weights().detach().clone().requires_grad_()
    assert torch.autograd.gradgradcheck(layer.evaluate, (inputs, weights))


def test_a_hessian_vector_product_is_that_of_the_hessian():
    layer = QuantumLayer(ansatze.hardware_efficient(3, n_layers=2), "ZZI", seed=3).double()
    weights = layer._flat_weights().detach().clone().requires_grad_()
    direction = torch.linspace(-1, 1, len(weights), dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda w: layer.evaluate(None, w).sum(), weights)
    (gradient,) = torch.autograd.grad(layer.evaluate(None, weights).sum(), weights, create_graph=True)
    (product,) = torch.autograd.grad(gradient @ direction, weights)
    assert torch.allclose(hessian @ direction, product, atol=1e-12)


def metric_by_differences(circuit, values: dict, weights: list) -> np.ndarray:
    step = 1e-4

    def state(shifts) -> np.ndarray:
        moved = {p: v + shifts.get(p, 0.0) for p, v in values.items()}
        return Statevector(circuit.assign_parameters(moved)).data

    middle = state({})
    derivatives = np.array([(state({p: step}) - state({p: -step})) / (2 * step) for p in weights])
    overlaps = derivatives.conj() @ middle
    return (derivatives.conj() @ derivatives.T - np.outer(overlaps, overlaps.conj())).real


@pytest.mark.parametrize("name", ["hardware_efficient", "strongly_entangling", "brickwork"])
def test_the_metric_tensor_is_that_of_differences_of_states(name):
    circuit = encodings.angle(3).compose(ansatze.by_name(name)(3, 2))
    layer = QuantumLayer(circuit, seed=4).double()
    inputs = torch.rand(2, 3, dtype=torch.float64)
    metric = qml.metric_tensor(layer, inputs).numpy()
    weights = layer._flat_weights().detach().numpy()
    for sample, row in enumerate(inputs.numpy()):
        values = dict(zip([*layer.input_parameters, *layer.weight_parameters], [*row, *weights]))
        assert np.allclose(metric[sample], metric_by_differences(circuit, values, layer.weight_parameters), atol=1e-7)


def test_the_metric_of_one_rotation_is_a_quarter():
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w"), 0)
    assert np.allclose(qml.metric_tensor(QuantumLayer(circuit)).numpy(), [[0.25]])


def test_wrong_inputs_of_the_metric_say_what_to_pass():
    layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, n_layers=1)))
    with pytest.raises(LabError, match=r"pass them, of shape \(B, 2\)"):
        qml.metric_tensor(layer)


@pytest.mark.parametrize("method", ["random-directions", "stochastic-parameter-shift"])
def test_a_method_that_draws_has_no_second_derivative(method, catalogue):
    circuit = catalogue["evolution"].circuit if method.startswith("stochastic") else ansatze.hardware_efficient(3, 1)
    layer = QuantumLayer(circuit, inputs=[], diff_method=method, seed=1)
    first, *_ = torch.autograd.grad(layer().sum(), [*layer.parameters()], create_graph=True)
    says = "evolution" if method.startswith("stochastic") else "has no second derivative: use 'adjoint' or 'parameter-shift'"
    with pytest.raises(Unsupported, match=says):
        first.sum().backward()
