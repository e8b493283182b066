"""Which precision and device a layer works in: under autocast, with coarse products, without weights, gradients off."""

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from circuits import ansatze, encodings
from qml import QuantumLayer

F64 = torch.float64


@pytest.fixture
def circuit():
    return encodings.angle(3).compose(ansatze.hardware_efficient(3, 2))


def test_half_precision_under_autocast_is_computed_in_the_precision_of_the_weights(circuit):
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), QuantumLayer(circuit))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(torch.rand(2, 5)).dtype == torch.float32


def test_angles_are_not_rounded_under_autocast():
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(1)
    circuit.rx(x[0] + x[1], 0)
    layer, point = QuantumLayer(circuit), torch.tensor([[1.003, 0.502]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(layer(point), torch.cos(torch.tensor([[1.505]])), atol=1e-6)


def test_sums_of_parameters_are_rounded_once_whatever_precision_torch_is_set_to():
    circuit = QuantumCircuit(1)
    circuit.rx(sum(ParameterVector("x", 3)), 0)
    layer, point = QuantumLayer(circuit), torch.tensor([[1e8, 1.003, -1e8]], requires_grad=True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        values = layer(point)
        values.backward()
    finally:
        torch.set_float32_matmul_precision(before)
    angle = torch.tensor(1.003)
    assert values.dtype == torch.float32 and torch.allclose(values, torch.cos(angle), atol=1e-6)
    assert point.grad.dtype == torch.float32 and torch.allclose(point.grad, -torch.sin(angle), atol=1e-6)


def test_a_circuit_without_weights_works_where_its_inputs_are(monkeypatch):
    seen = []
    monkeypatch.setattr("qml.layer.expectation", lambda *arguments: seen.append(arguments[3:]) or arguments[3])
    circuit = QuantumCircuit(1)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)  # which knows nothing of "meta"
    circuit.rx(2 * ParameterVector("x", 1)[0] + 0.5, 0)
    QuantumLayer(circuit, "Z")(torch.zeros(2, 1, dtype=F64, device="meta"))
    assert [(part.device.type, part.dtype) for part in seen[0]] == [("meta", F64)] * 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_nothing_is_kept_for_a_gradient_where_gradients_are_off(circuit, mode, monkeypatch):
    layer, x, kept = QuantumLayer(circuit, "ZZI", dtype=F64), torch.rand(2, 3, dtype=F64), []
    forward = layer._evaluation.forward
    monkeypatch.setattr(layer._evaluation, "forward", lambda *given: kept.append(given[-1]) or forward(*given))
    expected = layer(x)
    with mode():
        assert torch.allclose(layer(x), expected, rtol=0, atol=1e-14)
    assert kept == [True, False]
