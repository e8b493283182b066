"""The layer is an ordinary torch module: shapes, dtypes, state, copies, transforms, compile, and first and second order."""

import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp
from torch.autograd import gradcheck, gradgradcheck

from circuits import ansatze, encodings, initializers
from circuits.errors import LabError, TooLarge, UnknownName, Unsupported
from qml import QuantumLayer

F64 = torch.float64


@pytest.fixture
def circuit():
    return encodings.angle(3).compose(ansatze.hardware_efficient(3, 2))


@pytest.fixture
def layer(circuit):
    return QuantumLayer(circuit, ["ZZI", "XYZ"], seed=1, dtype=F64)


def test_the_lines_of_the_design_work_as_written():
    circuit = encodings.angle(4).compose(ansatze.hardware_efficient(4, n_layers=3))
    model = torch.nn.Sequential(torch.nn.Linear(10, 4), QuantumLayer(circuit), torch.nn.Linear(4, 2))
    assert model(torch.rand(5, 10)).shape == (5, 2)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.w", "2.weight", "2.bias"]


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (0,), (2, 0), (1, 2, 1, 2)])
def test_any_leading_shape_is_kept(layer, shape):
    x = torch.rand(*shape, 3, dtype=F64, requires_grad=True)
    y = layer(x)
    assert y.shape == (*shape, 2)
    y.sum().backward()
    assert x.grad.shape == x.shape and layer.w.grad.shape == layer.w.shape
    assert torch.allclose(y.reshape(-1, 2), layer(x.reshape(-1, 3)))


def test_each_sample_of_a_batch_is_computed_as_if_alone(layer):
    x = torch.rand(70, 3, dtype=F64)
    assert torch.equal(layer(x), torch.cat([layer(row[None]) for row in x]))


def test_a_circuit_without_inputs_takes_no_argument():
    layer = QuantumLayer(ansatze.random_pauli(2, 2, seed=3), seed=0)
    assert layer().shape == (2,)
    assert layer(torch.zeros(5, 0)).shape == (5, 2)
    with pytest.raises(LabError, match="without an argument"):
        layer(torch.zeros(5, 2))


def test_a_circuit_without_weights_takes_the_dtype_of_its_inputs():
    layer = QuantumLayer(encodings.iqp(3, n_repeats=2))
    assert list(layer.parameters()) == []
    for dtype in (torch.float32, F64):
        x = torch.rand(2, 3, dtype=dtype, requires_grad=True)
        assert layer(x).dtype == dtype
        layer(x).sum().backward()
        assert x.grad.abs().sum() > 0


def test_precision_in_is_precision_out_and_nothing_is_lost_on_the_way_back(circuit, layer):
    x = torch.rand(4, 3, dtype=F64)
    wanted = layer(x)
    single = copy.deepcopy(layer).float()
    assert single(x.float()).dtype == torch.float32
    assert torch.allclose(single(x.float()).double(), wanted, atol=1e-5)
    scaled = QuantumCircuit(1)
    scaled.rx(np.pi / 3 * ParameterVector("x", 1)[0] + np.pi / 7, 0)
    there_and_back = QuantumLayer(scaled, dtype=F64).float().double()
    exact = QuantumLayer(scaled, dtype=F64)
    assert torch.equal(there_and_back(x[:, :1]), exact(x[:, :1]))


def test_inputs_of_another_dtype_are_refused_as_torch_does(layer):
    with pytest.raises(LabError, match="float32 and the weights float64"):
        layer(torch.rand(2, 3))
    with pytest.raises(LabError, match="float32 or float64"):
        QuantumLayer(encodings.iqp(2))(torch.zeros(2, 2, dtype=torch.float16))
    with pytest.raises(LabError, match="float32 or float64"):
        layer.half()(torch.zeros(2, 3, dtype=torch.float16))


@pytest.mark.parametrize(
    "inputs, weights",
    [((2, 5), (12,)), ((3,), (12,)), ((2, 3), (3, 12)), ((2, 3), (11,)), (None, (12,))],
    ids=["columns", "one_axis", "batches", "weights", "missing"],
)
def test_evaluate_refuses_shapes_that_do_not_fit(layer, inputs, weights):
    with pytest.raises(LabError):
        layer.evaluate(None if inputs is None else torch.rand(*inputs, dtype=F64), torch.rand(*weights, dtype=F64))
    with pytest.raises(LabError, match="float32"):
        layer.evaluate(torch.rand(2, 3), torch.rand(12, dtype=F64))


def test_vmap_over_nothing_gives_nothing(layer):
    assert torch.func.vmap(layer)(torch.zeros(0, 3, dtype=F64)).shape == (0, 2)


def test_the_state_dict_has_vector_names_and_only_numbers(layer, circuit):
    state = layer.state_dict()
    assert list(state) == ["w"] and state["w"].shape == (12,)
    other = QuantumLayer(circuit, ["ZZI", "XYZ"], seed=2, dtype=F64)
    other.load_state_dict(state)
    x = torch.rand(2, 3, dtype=F64)
    assert torch.equal(other(x), layer(x))


def test_pickle_deepcopy_and_torch_save_keep_the_function(layer):
    x = torch.rand(2, 3, dtype=F64)
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    copies = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(buffer, weights_only=False)
    for other in copies:
        assert torch.equal(other(x), layer(x))
        other.w.data += 1
        assert not torch.equal(other(x), layer(x))


@pytest.mark.parametrize("backend", ["native", "aer", "pennylane"])
def test_layers_on_every_backend_can_be_copied(circuit, backend):
    layer = QuantumLayer(circuit, backend=backend, seed=0)
    x = torch.rand(2, 3)
    assert torch.allclose(pickle.loads(pickle.dumps(layer))(x), layer(x), atol=1e-6)


def test_a_pickled_layer_works_in_another_process(layer, tmp_path):
    torch.save(layer, tmp_path / "layer.pt")
    code = (
        f"import torch; layer = torch.load({str(tmp_path / 'layer.pt')!r}, weights_only=False);"
        "print(repr(layer(torch.full((3,), 0.5, dtype=torch.float64)).tolist()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert eval(out) == layer(torch.full((3,), 0.5, dtype=F64)).tolist()


def test_gradcheck_and_gradgradcheck_pass(layer):
    x = torch.rand(3, 3, dtype=F64, requires_grad=True)
    w = layer.w.detach().clone().requires_grad_()
    assert gradcheck(layer.evaluate, (x, w), check_batched_grad=True)
    assert gradgradcheck(layer.evaluate, (x, w))
    per_sample = torch.rand(3, 12, dtype=F64, requires_grad=True)
    assert gradcheck(layer.evaluate, (x, per_sample))


@pytest.mark.parametrize("name", ["amplitude", "zz_feature_map", "middle", "shared"])
def test_gradcheck_passes_for_every_kind_of_angle(catalogue, name):
    case = catalogue[name]
    layer = QuantumLayer(case.circuit, list(case.observables), dtype=F64, seed=4)
    x = torch.rand(2, layer.n_inputs, dtype=F64) + 0.3
    w = torch.rand(len(layer.weight_parameters), dtype=F64)
    assert gradcheck(layer.evaluate, (x.requires_grad_(), w.requires_grad_()))
    assert gradgradcheck(layer.evaluate, (x, w))


def test_amplitudes_are_normalised_and_a_vector_of_zeros_is_refused(oracle):
    circuit = encodings.amplitude(2).compose(ansatze.strongly_entangling(2, 1))
    layer = QuantumLayer(circuit, "ZX", dtype=F64, seed=0)
    x = torch.tensor([[3.0, -1.0, 0.5, 2.0], [0.0, 1e-200, 0.0, 0.0], [1e200, 0.0, -1e200, 0.0]], dtype=F64)
    for row, value in zip(x, layer(x)):
        direction = (row / row.abs().max()).numpy()
        bound = dict(zip([*layer.input_parameters, *layer.weight_parameters], [*direction, *layer.w.tolist()]))
        wanted = oracle.value_of_circuit(circuit.assign_parameters(bound), SparsePauliOp("ZX"))
        assert np.isclose(value.item(), wanted, atol=1e-12)
    with pytest.raises(LabError, match="zeros"):
        layer(torch.zeros(1, 4, dtype=F64))


def test_torch_func_transforms_agree_with_plain_autograd(layer):
    x, w = torch.rand(4, 3, dtype=F64), layer.w.detach()
    reference = w.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer.evaluate(x, reference).sum(), reference)
    assert torch.allclose(torch.func.grad(lambda v: layer.evaluate(x, v).sum())(w), gradient)
    assert torch.allclose(torch.func.vmap(layer)(x), layer(x))
    rows = torch.func.vmap(torch.func.grad(lambda v, s: layer.evaluate(s[None], v).sum()), (None, 0))(w, x)
    assert rows.shape == (4, 12) and torch.allclose(rows.sum(0), gradient)
    jacobian = torch.func.jacrev(lambda v: layer.evaluate(x, v))(w)
    assert torch.allclose(jacobian.sum((0, 1)), gradient)
    hessian = torch.func.jacrev(torch.func.jacrev(lambda v: layer.evaluate(x, v).sum()))(w)
    assert torch.allclose(hessian, torch.autograd.functional.hessian(lambda v: layer.evaluate(x, v).sum(), w))
    ensemble = torch.func.vmap(lambda v: layer.evaluate(x, v))(torch.stack([w, w + 1, w + 2]))
    assert torch.allclose(ensemble[1], layer.evaluate(x, w + 1))


def test_functional_call_uses_the_given_weights(layer):
    x = torch.rand(2, 3, dtype=F64)
    out = torch.func.functional_call(layer, {"w": layer.w + 0.5}, (x,))
    assert torch.allclose(out, layer.evaluate(x, layer.w + 0.5))


@pytest.mark.parametrize("name", ["hardware_efficient", "zz_feature_map", "amplitude"])
def test_a_compiled_model_is_one_graph_and_gives_the_same_gradients(name, catalogue):
    layer = QuantumLayer(catalogue[name].circuit, seed=1, dtype=F64)
    model = torch.nn.Sequential(torch.nn.Linear(5, layer.n_inputs), layer).double()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.rand(7, 5, dtype=F64)
    gradients = []
    for function in (model, compiled):
        model.zero_grad()
        function(x).pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*gradients):
        assert torch.allclose(a, b, atol=1e-12)


def test_batched_weights_give_a_gradient_for_each_sample(layer):
    x, w = torch.rand(3, 3, dtype=F64), torch.rand(3, 12, dtype=F64, requires_grad=True)
    layer.evaluate(x, w).sum().backward()
    for row in range(3):
        own = w[row].detach().clone().requires_grad_()
        layer.evaluate(x[row : row + 1], own).sum().backward()
        assert torch.allclose(w.grad[row], own.grad)


def test_non_contiguous_inputs_give_the_same_values(layer):
    x = torch.rand(3, 8, dtype=F64).T[::2]
    assert not x.is_contiguous()
    assert torch.equal(layer(x), layer(x.contiguous()))


@pytest.mark.parametrize("backend", ["native", "aer", "pennylane"])
def test_the_seed_starts_one_stream_of_shots_and_reset_restarts_it(circuit, backend):
    layer = QuantumLayer(circuit, backend=backend, shots=50, seed=5)
    x = torch.rand(2, 3)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    layer.reset()
    assert torch.equal(layer(x), first)
    assert torch.equal(QuantumLayer(circuit, backend=backend, shots=50, seed=5)(x), first)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(circuit):
    a, b, c = (QuantumLayer(circuit, seed=s).w for s in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, c)
    layer = QuantumLayer(circuit, seed=3)
    torch.nn.init.zeros_(layer.w)
    layer.reset_parameters()
    assert torch.equal(layer.w, a)


def test_initial_weights_come_by_name_by_array_or_by_vector():
    circuit = encodings.reuploading(2, 2, weights="a").compose(ansatze.separable(2, 1, name="b"))
    layer = QuantumLayer(circuit, init={"a": np.arange(8.0), "b": "small_angle"}, dtype=F64)
    assert layer.a.tolist() == list(range(8)) and layer.b.abs().max() < 0.1
    with pytest.raises(LabError, match="one weight vector"):
        QuantumLayer(circuit, init=np.zeros(12))
    with pytest.raises(LabError, match="8 finite numbers"):
        QuantumLayer(circuit, init={"a": np.zeros(3)})
    with pytest.raises(UnknownName, match="did you mean 'gaussian'"):
        QuantumLayer(circuit, init="gausian")


def test_identity_blocks_start_at_the_identity():
    circuit = ansatze.identity_blocks(3, 4)
    layer = QuantumLayer(circuit, "ZZZ", init=initializers.identity_block(3, 4, seed=2), dtype=F64)
    assert np.isclose(layer().item(), 1.0, atol=1e-12)


def test_roles_are_given_by_name_or_explicitly():
    a, b, x = ParameterVector("a", 2), Parameter("b"), ParameterVector("x", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(a[0], 0), circuit.ry(a[1], 1), circuit.rz(b, 0), circuit.rx(x[0], 0), circuit.ry(x[1], 1)
    by_name = QuantumLayer(circuit)
    assert by_name.n_inputs == 2 and list(by_name.state_dict()) == ["a", "b"]
    swapped = QuantumLayer(circuit, inputs=a, weights=[b, x])
    assert swapped.n_inputs == 2 and list(swapped.state_dict()) == ["b", "x"]
    only = QuantumLayer(circuit, weights=a)
    assert only.n_inputs == 3
    with pytest.raises(LabError, match="either an input or a weight"):
        QuantumLayer(circuit, inputs=a, weights=[*a, b, *x])
    with pytest.raises(LabError, match="not in the circuit"):
        QuantumLayer(circuit, inputs=[Parameter("c")])
    with pytest.raises(LabError, match="named twice"):
        QuantumLayer(circuit, inputs=[a[0], a[0], a[1]])


def test_elements_that_the_circuit_lacks_are_no_inputs_where_the_others_are_named_as_weights():
    w, z = ParameterVector("w", 4), ParameterVector("z", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(w[0], 0), circuit.ry(w[1], 1), circuit.rx(w[3], 1), circuit.ry(z[1], 0)
    assert QuantumLayer(circuit, "ZZ", weights=list(circuit.parameters)).n_inputs == 0
    assert QuantumLayer(circuit, "ZZ", weights=[w[0], w[1], w[3]]).n_inputs == 2


def test_elements_of_a_vector_that_no_gate_uses_keep_their_place():
    x, w = ParameterVector("x", 3), ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.rx(x[2], 0)
    circuit.ry(w[1], 0)
    layer = QuantumLayer(circuit, dtype=F64, init=[5.0, 0.3])
    a = torch.tensor([9.0, 9.0, 0.4], dtype=F64)
    assert np.isclose(layer(a).item(), np.cos(0.4) * np.cos(0.3))
    layer(a).backward()
    assert layer.w.grad[0] == 0 and layer.w.grad[1] != 0


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda c: QuantumLayer(c, "ZZ"), LabError, "2 qubits but the circuit has 3"),
        (lambda c: QuantumLayer(c, []), LabError, "non-empty list"),
        (lambda c: QuantumLayer(c, SparsePauliOp("ZZZ", 1j)), LabError, "Hermitian"),
        (lambda c: QuantumLayer(c, SparsePauliOp("ZZZ", np.inf)), LabError, "NaN or infinite"),
        (lambda c: QuantumLayer(c, shots=0), LabError, "shots must be"),
        (lambda c: QuantumLayer(c, shots=-5), LabError, "shots must be"),
        (lambda c: QuantumLayer(c, shots=1.5), LabError, "shots must be"),
        (lambda c: QuantumLayer(c, backend="natve"), UnknownName, "did you mean 'native'"),
        (lambda c: QuantumLayer(c, backend=3), LabError, "backend must be"),
        (lambda c: QuantumLayer(c, diff_method="adjont"), UnknownName, "did you mean 'adjoint'"),
        (lambda c: QuantumLayer(c, diff_method="adjoint", shots=5), Unsupported, "parameter-shift"),
        (lambda c: QuantumLayer(c, diff_method="adjoint", backend="pennylane"), Unsupported, "parameter-shift"),
        (lambda c: QuantumLayer(c, seed=-1), LabError, "seed must be"),
        (lambda c: QuantumLayer(c)(torch.zeros(2, 4)), LabError, "3 inputs"),
        (lambda c: QuantumLayer(c)(np.zeros((2, 3))), LabError, "torch tensor"),
        (lambda c: QuantumLayer(c)(torch.full((2, 3), torch.nan)), LabError, "NaN or infinite"),
        (lambda c: QuantumLayer(c)(torch.full((2, 3), torch.inf)), LabError, "NaN or infinite"),
        (lambda c: QuantumLayer("circuit"), LabError, "QuantumCircuit"),
    ],
)
def test_what_cannot_work_is_refused_in_one_clear_line(circuit, make, error, says):
    with pytest.raises(error, match=says) as caught:
        make(circuit)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_qubits", [38, 70])
@pytest.mark.parametrize("backend", ["native", "aer", "pennylane"])
def test_more_qubits_than_memory_holds_are_refused_before_allocating(backend, n_qubits):
    with pytest.raises(TooLarge, match="bytes"):
        QuantumLayer(ansatze.separable(n_qubits, 1), "Z" * n_qubits, backend=backend)()


@pytest.mark.parametrize("options", [{"init": {"weights": np.zeros(4)}}, {"weight_shapes": {"weights": (2, 2)}}], ids=str)
def test_a_weight_vector_that_is_not_there_is_named(options):
    with pytest.raises(UnknownName, match="weights"):
        QuantumLayer(ansatze.hardware_efficient(2, 1), **options)


def test_a_shape_of_other_size_is_refused():
    with pytest.raises(LabError, match=r"'w' has 4 weights, shape \(2, 3\) has 6"):
        QuantumLayer(ansatze.hardware_efficient(2, 1), weight_shapes={"w": (2, 3)})


def test_two_parameters_of_one_name_are_refused():
    circuit, a = QuantumCircuit(1), Parameter("a")
    circuit.ry(a * a, 0)
    twin = SparsePauliOp(["Z"], np.array([Parameter("a")], dtype=object))
    with pytest.raises(LabError, match="two parameters of circuit and observables are called 'a': rename one"):
        QuantumLayer(circuit, twin)
    same = SparsePauliOp(["Z"], np.array([a], dtype=object))
    assert QuantumLayer(circuit, same, init=[0.5], dtype=torch.float64)().item() == pytest.approx(0.5 * np.cos(0.25))


@pytest.mark.parametrize("name", ["x", "typo"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_vector_of_another_circuit_is_no_input_of_this_one(name, is_whole):
    vector = ParameterVector(name, 2)
    wrong = vector if is_whole else [vector[0]]
    with pytest.raises(LabError, match="is not in the circuit"):
        QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), inputs=wrong)


def test_observables_stay():
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1))
    with pytest.raises(AttributeError):
        layer.observables = ["ZZ"]
    assert layer.n_outputs == 2


def test_half_precision_is_refused_without_inputs_too():
    with pytest.raises(LabError, match="works in float32 or float64, got bfloat16"):
        QuantumLayer(ansatze.hardware_efficient(2, 1)).bfloat16()()


def test_shots_method_and_backend_can_be_set():
    layer = QuantumLayer(ansatze.hardware_efficient(2, 1), shots=20, seed=0)
    exact = QuantumLayer(ansatze.hardware_efficient(2, 1), seed=0)
    assert not torch.equal(layer(), layer())
    layer.shots = None
    assert torch.equal(layer(), exact()) and "shots" not in repr(layer)
    layer.diff_method = "parameter-shift"
    assert layer.method == "parameter-shift"
    layer.backend = "aer"
    assert layer.backend.name == "aer" and torch.allclose(layer(), exact(), atol=1e-6)
    layer.backend, layer.diff_method = "native", "adjoint"
    with pytest.raises(Unsupported):
        layer.shots = 100
    assert layer.shots is None and torch.equal(layer(), exact())


def test_weights_of_another_precision_than_the_constants_are_refused():
    circuit, x = QuantumCircuit(1), ParameterVector("x", 1)
    circuit.rx(x[0] + np.pi / 2, 0)
    circuit.rz(Parameter("w"), 0)
    layer, inputs, weights = QuantumLayer(circuit, dtype=torch.float32), torch.zeros(1, 1).double(), torch.zeros(1).double()
    with pytest.raises(LabError, match=r"weights are float64 and the layer's constants float32: use layer.to\(float64\)"):
        layer.evaluate(inputs, weights)
    assert abs(layer.double().evaluate(inputs, weights).item()) < 1e-15


def test_torch_func_counts_the_draws_of_shots():
    circuit = encodings.angle(3).compose(ansatze.hardware_efficient(3, 1))
    layer, inputs = QuantumLayer(circuit, shots=50, seed=1), torch.rand(2, 3)
    loss = lambda w: layer.evaluate(inputs, w).sum()  # noqa: E731
    first, second = (torch.func.grad(loss)(layer.w.detach()) for _ in range(2))
    assert not torch.equal(first, second)
    layer.reset()
    assert torch.equal(torch.func.grad(loss)(layer.w.detach()), first)


def test_an_ensemble_with_shots_runs_at_once():
    circuit = encodings.angle(2).compose(ansatze.hardware_efficient(2, 1))
    layers = [QuantumLayer(circuit, shots=2000, seed=seed, dtype=torch.float64) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(layers)
    inputs = torch.rand(4, 2, dtype=torch.float64)
    found = torch.func.vmap(lambda p, b: torch.func.functional_call(layers[0], (p, b), (inputs,)))(parameters, buffers)
    exact = torch.stack([layer.evaluate(inputs, layer.w) for layer in layers])
    assert found.shape == (3, 4, 2) and (found - exact).abs().max() < 10 / 2000**0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_of_the_inputs_can_be_vmapped(axis):
    layer = QuantumLayer(encodings.angle(3).compose(ansatze.hardware_efficient(3, 1)), dtype=torch.float64)
    inputs = torch.rand(5, 4, 3, dtype=torch.float64)
    found = torch.func.vmap(layer, in_dims=axis)(inputs.movedim(0, axis))
    assert torch.allclose(found, layer(inputs), atol=1e-14)


@pytest.mark.parametrize("batch_weights", [False, True])
def test_a_weight_that_nothing_sees_must_be_a_number_too(batch_weights):
    circuit, w = QuantumCircuit(1), ParameterVector("w", 2)
    circuit.ry(w[0], 0)
    circuit.rz(w[1], 0)
    layer = QuantumLayer(circuit, "Z", dtype=torch.float64)
    for angle in (float("nan"), float("inf")):
        weights = torch.tensor([0.3, angle], dtype=torch.float64)
        with pytest.raises(LabError, match="NaN or infinite"):
            layer.evaluate(None, weights.repeat(3, 1) if batch_weights else weights)
    far = layer.evaluate(None, torch.tensor([0.3, 1e9], dtype=torch.float64))
    assert far.item() == pytest.approx(np.cos(0.3), abs=1e-14)


def test_training_a_hybrid_model_learns(layer):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), layer, torch.nn.Linear(2, 1)).double()
    x = torch.rand(64, 2, dtype=F64) * 2 - 1
    y = (x[:, :1] * x[:, 1:] > 0).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_layer_may_go_or_change_before_its_derivatives_are_asked_for(circuit):
    x, w = torch.rand(2, 3, dtype=F64), torch.rand(12, dtype=F64)

    def made():
        return QuantumLayer(circuit, dtype=F64)

    layer = made()
    weights = w[: layer.w.numel()]
    (wanted,) = torch.autograd.grad(layer.evaluate(x, v := weights.clone().requires_grad_()).sum(), v)
    assert torch.allclose(torch.func.grad(lambda v: made().evaluate(x, v).sum())(weights), wanted, atol=1e-12)
    values, pull = torch.func.vjp(lambda v: layer.evaluate(x, v), weights)
    layer.shots = 10
    assert torch.allclose(pull(torch.ones_like(values))[0], wanted, atol=1e-12)


def test_the_stream_may_be_reset_while_a_gradient_of_a_gradient_is_due(layer):
    x = torch.rand(2, layer.n_inputs, dtype=F64)
    (first,) = torch.autograd.grad(layer(x).sum(), layer.w, create_graph=True)
    layer.reset()
    first.square().sum().backward()
    assert layer.w.grad.abs().sum() > 0
