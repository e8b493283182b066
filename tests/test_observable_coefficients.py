"""Parameters in observables' coefficients are weights: their gradients are those of the sum written out."""

import copy
import pickle

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from circuits import ansatze, encodings
from circuits.errors import LabError
from qml import QuantumLayer

A = Parameter("a")
H = ParameterVector("h", 2)


def energy() -> SparsePauliOp:
    coefficients = np.array([A, 0.5 * A**2 + 1, H[0], 0.3], dtype=object)
    return SparsePauliOp(["ZZI", "XIX", "ZZI", "IYI"], coeffs=coefficients)


def made(**options) -> QuantumLayer:
    circuit = encodings.angle(3).compose(ansatze.hardware_efficient(3, n_layers=2))
    second = SparsePauliOp(["XIX"], coeffs=np.array([H[1]], dtype=object))
    return QuantumLayer(circuit, [energy(), "ZII", second], seed=1, **options).double()


def by_hand(layer: QuantumLayer, inputs: torch.Tensor) -> torch.Tensor:
    """The same from the strings' own expectation values."""
    strings = QuantumLayer(layer.circuit, ["ZZI", "XIX", "IYI", "ZII"], init={"w": layer.w.detach().numpy()}).double()
    zz, xx, y, z = strings(inputs).unbind(-1)
    first = layer.a * zz + (0.5 * layer.a**2 + 1) * xx + layer.h[0] * zz + 0.3 * y
    return torch.stack([first, z, layer.h[1] * xx], dim=-1)


def test_values_are_the_sum_and_coefficients_start_at_one():
    layer = made()
    inputs = torch.rand(4, 3, dtype=torch.float64)
    assert layer.a.item() == 1 and layer.h.tolist() == [1, 1]
    assert torch.allclose(layer(inputs), by_hand(layer, inputs))
    assert made(init={"h": [0.25, -2.0]}).h.tolist() == [0.25, -2.0]


@pytest.mark.parametrize("options", [{}, {"diff_method": "parameter-shift"}, {"backend": "aer"}], ids=str)
def test_their_gradients_are_exact(options):
    layer = made(**options)
    inputs = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)
    weights = layer._flat_weights().detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(layer.evaluate, (inputs, weights))


def test_second_derivatives_mix_angles_and_coefficients():
    layer = made()
    inputs = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    weights = layer._flat_weights().detach().clone().requires_grad_()
    assert torch.autograd.gradgradcheck(layer.evaluate, (inputs, weights))


def test_one_set_of_coefficients_for_each_sample():
    layer = made()
    inputs = torch.rand(3, 3, dtype=torch.float64)
    weights = torch.rand(3, len(layer.weight_parameters), dtype=torch.float64)
    together = layer.evaluate(inputs, weights)
    apart = torch.cat([layer.evaluate(inputs[k : k + 1], weights[k]) for k in range(3)])
    assert torch.allclose(together, apart)


def test_a_coefficient_may_be_an_input_or_an_angle_too():
    circuit = encodings.angle(2).compose(ansatze.hardware_efficient(2, n_layers=1))
    x, w = circuit.parameters[-1].vector, next(p for p in circuit.parameters if p.name.startswith("w"))
    operator = SparsePauliOp(["ZI", "XX"], coeffs=np.array([2 * x[0], w], dtype=object))
    layer = QuantumLayer(circuit, operator, seed=2).double()
    inputs = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    weights = layer._flat_weights().detach().clone().requires_grad_()
    assert layer.n_inputs == 2 and len(weights) == len(layer.w)
    assert torch.autograd.gradcheck(layer.evaluate, (inputs, weights))


def test_copies_pickles_and_precision_follow():
    layer = made()
    inputs = torch.rand(2, 3, dtype=torch.float64)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(inputs), layer(inputs))
    assert layer.float()(inputs.float()).dtype == torch.float32


def test_torch_func_sees_them():
    layer = made()
    inputs = torch.rand(2, 3, dtype=torch.float64)
    weights = layer._flat_weights().detach()
    gradient = torch.func.grad(lambda w: layer.evaluate(inputs, w).sum())(weights)
    again = weights.clone().requires_grad_()
    layer.evaluate(inputs, again).sum().backward()
    assert torch.allclose(gradient, again.grad)


def test_a_coefficient_that_is_not_real_is_refused():
    circuit = ansatze.hardware_efficient(2, n_layers=1)
    operator = SparsePauliOp(["ZI"], coeffs=np.array([1j * A], dtype=object))
    with pytest.raises(LabError, match="not real"):
        QuantumLayer(circuit, operator)


def test_sums_are_of_full_precision_under_autocast_and_where_terms_cancel():
    layer, inputs = made().float(), torch.rand(4, 3)
    expected = layer(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(inputs)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    given = ParameterVector("c", 3)
    operator = SparsePauliOp(["ZI", "IZ", "ZZ"], coeffs=np.array(list(given), dtype=object))
    large = QuantumLayer(encodings.angle(2), operator, init={"c": [1e8, 1.0, -1e8]})
    assert large(torch.zeros(1, 2)).item() == 1.0
