"""Every backend with every method gives the same derivatives, or refuses by name."""

import copy
import pickle

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from circuits import ansatze, encodings
from circuits.errors import LabError, Unsupported
from circuits.families import members
from circuits.lowering import lower
from circuits.observables import as_list, tfim
from qml import QuantumLayer
from qml.backends.base import Slots, resolve
from qml.evaluation import Evaluation
from qml.gradients import base as gradients
from qml.gradients.commuting_blocks import CommutingBlocks
from qml.gradients.random_directions import RandomDirections
from qml.gradients.spsa import SPSA
from qml.gradients.stochastic_parameter_shift import StochasticParameterShift
from qml.shifts import rule, rules

BACKENDS = [name for name in members("qml.backends") if resolve(name).exact]
METHODS = gradients.names()
PAIRS = [(b, m) for b in BACKENDS for m in METHODS if m != "adjoint" or resolve(b).adjoint]
HAS_SECOND = ("adjoint", "parameter-shift", "backprop", "hadamard", "stochastic-parameter-shift")
EXACT_PAIRS = [(b, m) for b, m in PAIRS if m in HAS_SECOND]
TOLERANCE = {"adjoint": 1e-9, "parameter-shift": 1e-9, "finite-diff": 1e-6, "backprop": 1e-9, "hadamard": 1e-9}
TOLERANCE |= {"random-directions": 1e-9, "commuting-blocks": 1e-9}  # the first along all directions
TOLERANCE |= {"stochastic-parameter-shift": 1e-9}  # by quadrature


def evaluation(case, backend, method, split=True, shots=None):
    """The case compiled with its first half of angle slots as inputs, so that both kinds are differentiated."""
    program = lower(case.circuit)
    n_slots = len(program.slots)
    if method == "random-directions":
        method = RandomDirections(max(1, n_slots))
    if method == "stochastic-parameter-shift":
        method = StochasticParameterShift(32, quadrature=True)
    named = getattr(method, "name", method)
    if program.is_evolving and backend == "qiskit":
        pytest.skip("the backend refuses evolutions by a sum, as another test shows")
    if program.is_evolving and (named in NO_EVOLUTIONS or (backend, named) == ("aer", "adjoint")):
        pytest.skip("the method refuses evolutions by a sum, as another test shows")
    if program.amplitudes and named in ANGLES_ALONE:
        pytest.skip("the method refuses amplitudes of initial states, as another test shows")
    if method == "commuting-blocks" and case.name in NOT_CLIFFORD:
        pytest.skip("the method refuses gates that are no Pauli rotations and not Clifford, as another test shows")
    first = set(program.amplitudes) or (set(range(n_slots // 2)) if split else set())
    slots = Slots(tuple(sorted(first)), tuple(s for s in range(n_slots) if s not in first))
    compiled = resolve(backend).compile(program, as_list(case.observables, program.n_qubits), slots)
    return Evaluation(compiled, gradients.resolve(method, compiled, shots), shots)


def angles(evaluation, batch, rng, per_sample=False):
    slots = evaluation.compiled.slots
    inputs = rng.uniform(-4, 4, (batch, len(slots.inputs)))
    weights = rng.uniform(-4, 4, ((batch,) if per_sample else ()) + (len(slots.weights),))
    return inputs, weights


def oracle_gradient(oracle, evaluation, inputs, weights, cotangents):
    """Derivatives by dense matrices, in the shapes of inputs and weights."""
    compiled = evaluation.compiled
    rows = compiled.slots.join(inputs, weights).T
    out = [oracle.values_and_derivatives(compiled.program, compiled.observables, row) for row in rows]
    values = np.array([value for value, _ in out])
    slopes = np.einsum("bk,bks->sb", cotangents, np.array([slope for _, slope in out]))
    return values, *compiled.slots.split(slopes, shared=weights.ndim == 1)


ANGLES_ALONE = ("random-directions", "commuting-blocks")
NO_EVOLUTIONS = ("parameter-shift", "hadamard", "random-directions", "commuting-blocks")
NOT_CLIFFORD = ("middle", "shared", "controlled", "composite")
SEED = np.random.SeedSequence(3)


@pytest.mark.parametrize("backend, method", [(b, m) for b, m in PAIRS if m in TOLERANCE])
@pytest.mark.parametrize("per_sample", [False, True], ids=["shared_weights", "weights_per_sample"])
def test_every_pair_agrees_with_dense_matrices(backend, method, per_sample, case, oracle, rng):
    run = evaluation(case, backend, method)
    inputs, weights = angles(run, 2, rng, per_sample)
    cotangents = rng.normal(size=(2, run.n_outputs))
    values, d_inputs, d_weights = oracle_gradient(oracle, run, inputs, weights, cotangents)
    got, kept = run.forward(inputs, weights, SEED)
    assert np.allclose(got, values, atol=1e-11)
    scale = max(1.0, np.abs(d_weights).max(initial=0), np.abs(d_inputs).max(initial=0))
    for kept_or_not in (kept, None) if run.method.uses_vjp else (None,):
        got_inputs, got_weights = run.vjp(inputs, weights, cotangents, SEED, kept_or_not)
        assert got_inputs.shape == inputs.shape and got_weights.shape == weights.shape
        assert np.allclose(got_inputs, d_inputs, atol=TOLERANCE[method] * scale, rtol=0)
        assert np.allclose(got_weights, d_weights, atol=TOLERANCE[method] * scale, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_by_parameter_match_differences_of_qiskits_own_simulator(backend, catalogue, oracle, rng):
    case = catalogue["shared"]
    layer = QuantumLayer(case.circuit, list(case.observables), backend=backend, dtype=torch.float64, seed=2)
    x = torch.tensor(rng.uniform(-2, 2, (1, 2)), requires_grad=True)
    layer(x).sum().backward()
    step = 1e-4

    def value(flat):
        bound = case.circuit.assign_parameters(dict(zip([*layer.input_parameters, *layer.weight_parameters], flat)))
        return sum(oracle.value_of_circuit(bound, operator) for operator in layer.observables)

    point = np.concatenate([x.detach().numpy()[0], layer.w.detach().numpy()])
    slopes = [(value(point + step * e) - value(point - step * e)) / (2 * step) for e in np.eye(len(point))]
    assert np.allclose(torch.cat([x.grad[0], layer.w.grad]).numpy(), slopes, atol=1e-6)


@pytest.mark.parametrize("name", ["middle", "controlled", "amplitude"])
def test_spsa_is_unbiased(name, catalogue, rng):
    case, repeats = catalogue[name], 1500
    exact = evaluation(case, "native", "adjoint")
    inputs, weights = angles(exact, 1, rng)
    cotangents = rng.normal(size=(1, exact.n_outputs))
    wanted = np.concatenate([g.ravel() for g in exact.vjp(inputs, weights, cotangents, SEED)])
    # Repeats are rows of a batch with weights of their own, each with its own random direction.
    rows = [np.repeat(a.reshape(1, -1), repeats, axis=0) for a in (inputs, weights, cotangents)]
    run = Evaluation(exact.compiled, SPSA())
    found = np.concatenate(run.vjp(*rows, SEED), axis=1)
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    assert (np.abs(found.mean(axis=0) - wanted) < 5 * error + 1e-5).all()


def test_spsa_from_shots_is_unbiased_since_directions_do_not_follow_the_shots():
    repeats, program = 6000, lower(ansatze.hardware_efficient(1, 2))
    compiled = resolve("native").compile(program, as_list(["X", "Z"], 1))  # two bases, so two streams of shots
    exact = Evaluation(compiled, gradients.resolve("adjoint", compiled, None))
    inputs, weights = np.zeros((1, 0)), np.array([np.pi / 2, 0.3, 0.4, 0.2])
    cotangents = np.array([[0.0, 1.0]])
    wanted = exact.vjp(inputs, weights, cotangents, SEED)[1]
    rows = [np.repeat(a.reshape(1, -1), repeats, axis=0) for a in (inputs, weights, cotangents)]
    run = Evaluation(exact.compiled, SPSA(step=0.2), shots=2)
    found = run.vjp(*rows, SEED)[1]
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    exact_run = Evaluation(exact.compiled, SPSA(step=0.2))  # the bias of the step itself, without shots
    off = exact_run.vjp(*rows, SEED)[1].mean(axis=0) - wanted
    assert (np.abs(found.mean(axis=0) - wanted - off) < 5 * error).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["middle", "amplitude", "composite"])
def test_values_from_shots_are_unbiased_and_their_errors_right(backend, name, catalogue, rng):
    case, shots = catalogue[name], 400
    exact = evaluation(case, "native", "adjoint")
    inputs, weights = angles(exact, 1, rng)
    wanted = exact.values(inputs, weights, SEED)[0]
    run = evaluation(case, backend, "parameter-shift", shots=shots)
    repeats = 30
    means, errors = run._measured.estimate(np.repeat(inputs, repeats, axis=0), weights, shots, SEED)
    spread = np.sqrt((errors**2).sum(axis=0)) / repeats
    assert (np.abs(means.mean(axis=0) - wanted) <= 5 * spread + 1e-12).all()
    observed = means.std(axis=0, ddof=1)
    assert (np.abs(observed - errors.mean(axis=0)) <= 5 * observed / np.sqrt(2 * (repeats - 1)) + 1e-12).all()


@pytest.mark.parametrize("method", ["parameter-shift", "hadamard", "random-directions"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_from_shots_are_unbiased(backend, method, catalogue, rng):
    case, repeats = catalogue["controlled"], 40
    exact = evaluation(case, "native", "adjoint", split=False)
    inputs, weights = angles(exact, 1, rng)
    cotangents = np.ones((1, exact.n_outputs))
    wanted = exact.vjp(inputs, weights, cotangents, SEED)[1]
    run = evaluation(case, backend, method, split=False, shots=50)
    rows = [np.repeat(a.reshape(1, -1), repeats, axis=0) for a in (inputs, weights, cotangents)]
    found = run.vjp(*rows, SEED)[1]
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    assert (np.abs(found.mean(axis=0) - wanted) <= 5 * error).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_stays_float32_and_agrees(backend, case, rng):
    run = evaluation(case, backend, "best")
    inputs, weights = angles(run, 2, rng)
    cotangents = rng.normal(size=(2, run.n_outputs))
    wanted = run.values(inputs, weights, SEED), *run.vjp(inputs, weights, cotangents, SEED)
    single = [a.astype(np.float32) for a in (inputs, weights, cotangents)]
    found = run.values(*single[:2], SEED), *run.vjp(*single, SEED)
    for a, b in zip(found, wanted):
        assert a.dtype == np.float32
        assert np.allclose(a, b, atol=2e-4 * max(1.0, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("pair", EXACT_PAIRS, ids="-".join)
def test_second_derivatives_are_exact(pair, catalogue, rng):
    case = catalogue["middle"]
    layer = QuantumLayer(case.circuit, list(case.observables), backend=pair[0], diff_method=pair[1], dtype=torch.float64)
    reference = QuantumLayer(case.circuit, list(case.observables), dtype=torch.float64)
    x, w = (torch.tensor(rng.uniform(-2, 2, shape), requires_grad=True) for shape in ((1, 3), (4,)))
    direction = torch.tensor(rng.normal(size=(4,)))

    def hessian_product(module):
        (gradient,) = torch.autograd.grad(module.evaluate(x, w).sum(), w, create_graph=True)
        return torch.cat([g.ravel() for g in torch.autograd.grad(gradient @ direction, (x, w))])

    step = 1e-5
    ahead, behind = (
        torch.autograd.grad(reference.evaluate(x, v).sum(), (x, v))
        for v in ((w + s * step * direction).detach().requires_grad_() for s in (1, -1))
    )
    slopes = torch.cat([((a - b) / (2 * step)).ravel() for a, b in zip(ahead, behind)])
    assert torch.allclose(hessian_product(layer), slopes, atol=1e-7)


@pytest.mark.parametrize("method", ["finite-diff", "spsa"])
def test_second_derivatives_of_inexact_methods_raise(method, catalogue):
    layer = QuantumLayer(catalogue["no_inputs"].circuit, diff_method=method)
    (gradient,) = torch.autograd.grad(layer().sum(), layer.w, create_graph=True)
    with pytest.raises(Unsupported, match="second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("n_directions", [1, 3, 7])
def test_random_directions_are_unbiased_with_the_variance_that_theory_gives(n_directions):
    seed, repeats = 17, 4000
    circuit = ansatze.hardware_efficient(2, 2)
    compiled = resolve("native").compile(lower(circuit), as_list(["ZX", "YY"], 2))
    exact = Evaluation(compiled, gradients.resolve("adjoint", compiled, None))
    inputs, weights = np.zeros((1, 0)), np.random.default_rng(seed).uniform(-2, 2, circuit.num_parameters)
    cotangents = np.array([[1.0, -0.4]])
    wanted = exact.vjp(inputs, weights, cotangents, SEED)[1]
    rows = [np.repeat(a.reshape(1, -1), repeats, axis=0) for a in (inputs, weights, cotangents)]
    run = Evaluation(compiled, RandomDirections(n_directions))
    found = run.vjp(*rows, np.random.SeedSequence(seed))[1]
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    assert (np.abs(found.mean(axis=0) - wanted) <= 5 * error + 1e-12).all(), f"seed {seed}"
    squares = ((found - wanted) ** 2).sum(axis=1)
    law = (len(wanted) / n_directions - 1) * (wanted @ wanted)
    assert abs(squares.mean() - law) <= 5 * squares.std(ddof=1) / np.sqrt(repeats), f"seed {seed}"


@pytest.mark.parametrize("method", ANGLES_ALONE)
def test_methods_of_angles_refuse_amplitudes_and_name_what_would_do(method, catalogue):
    with pytest.raises(Unsupported, match="parameter-shift"):
        QuantumLayer(catalogue["amplitude"].circuit, diff_method=method)


@pytest.mark.parametrize("shots", [None, 30])
def test_hadamard_tests_of_amplitudes_are_as_many_as_amplitudes_and_unbiased(shots, catalogue, rng):
    case, repeats = catalogue["amplitude"], 400 if shots else 1
    exact = evaluation(case, "native", "adjoint")
    inputs, weights = angles(exact, 1, rng)
    inputs /= np.linalg.norm(inputs)
    cotangents = rng.normal(size=(1, exact.n_outputs))
    wanted = exact.vjp(inputs, weights, cotangents, SEED)[0][0]
    run = evaluation(case, "native", "hadamard", shots=shots)
    assert run.method.circuits(run, 1, (True, False)) == len(wanted) * run.n_bases
    rows = [np.repeat(a.reshape(1, -1), repeats, axis=0) for a in (inputs, weights, cotangents)]
    found = run.vjp(*rows, SEED)[0]
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats) if shots else 0
    assert (np.abs(found.mean(axis=0) - wanted) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("method, step", [("finite-diff", 0.1), ("spsa", 0.1)])
def test_steps_of_finite_size_bias_a_slope_by_sin_c_over_c(method, step):
    """At shots the step c is 0.1: d/dt cos t = -sin t becomes -sin t sin(c) / c, a bias of c^2 / 6 = 0.17 %."""
    circuit, repeats, shots = QuantumCircuit(1), 4000, 400
    circuit.ry(ParameterVector("w", 1)[0], 0)
    compiled = resolve("native").compile(lower(circuit), as_list("Z", 1))
    run = Evaluation(compiled, gradients.resolve(method, compiled, shots), shots)
    found = run.vjp(np.zeros((repeats, 0)), np.full((repeats, 1), 1.1), np.ones((repeats, 1)), SEED)[1][:, 0]
    law, error = -np.sin(1.1) * np.sin(step) / step, found.std(ddof=1) / np.sqrt(repeats)
    assert abs(found.mean() - law) <= 5 * error
    exact = Evaluation(compiled, type(run.method)(step=step)).vjp(
        np.zeros((1, 0)), np.full((1, 1), 1.1), np.ones((1, 1)), SEED
    )
    assert exact[1][0, 0] == pytest.approx(law, abs=1e-12)


@pytest.mark.parametrize("name", NOT_CLIFFORD)
def test_commuting_blocks_refuse_gates_that_are_not_clifford(name, catalogue):
    with pytest.raises(Unsupported, match="parameter-shift"):
        QuantumLayer(catalogue[name].circuit, diff_method="commuting-blocks")


@pytest.mark.parametrize("n_blocks", [1, 2, 5])
def test_a_block_takes_one_circuit_and_its_parts_read_apart_two_but_for_the_last(n_blocks):
    circuit = ansatze.commuting_blocks(4, n_blocks)
    layers = {
        joint: QuantumLayer(circuit, "ZZZZ", diff_method=CommutingBlocks(joint), seed=1, dtype=torch.float64)
        for joint in (True, False)
    }
    wanted = QuantumLayer(circuit, "ZZZZ", seed=1, dtype=torch.float64)
    for layer in (wanted, *layers.values()):
        layer().sum().backward()
    for joint, expected in ((True, n_blocks), (False, 2 * n_blocks - 1)):
        run = layers[joint]._evaluation
        assert run.method.circuits(run, 1, (False, True)) == expected
        assert torch.allclose(layers[joint].w.grad, wanted.w.grad, atol=1e-12)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize(
    ("circuit", "observables"),
    [
        (ansatze.commuting_blocks(3, 3), ["ZZZ"]),
        (ansatze.hardware_efficient(2, 2), ["ZX", "YY"]),
        (ansatze.brickwork(3, 1), ["ZIX"]),
    ],
    ids=["blocks", "hardware_efficient", "brickwork"],
)
def test_commuting_blocks_from_shots_are_unbiased(circuit, observables, joint):
    seed, repeats = 23, 300
    compiled = resolve("native").compile(lower(circuit), as_list(observables, circuit.num_qubits))
    exact = Evaluation(compiled, gradients.resolve("adjoint", compiled, None))
    inputs, weights = np.zeros((1, 0)), np.random.default_rng(seed).uniform(-2, 2, circuit.num_parameters)
    cotangents = np.array([[1.0, -0.7][: len(observables)]])
    wanted = exact.vjp(inputs, weights, cotangents, SEED)[1]
    rows = [np.repeat(a.reshape(1, -1), repeats, axis=0) for a in (inputs, weights, cotangents)]
    found = Evaluation(compiled, CommutingBlocks(joint), shots=20).vjp(*rows, np.random.SeedSequence(seed))[1]
    error = found.std(axis=0, ddof=1) / np.sqrt(repeats)
    assert (np.abs(found.mean(axis=0) - wanted) <= 5 * error + 1e-12).all(), f"seed {seed}"


@pytest.mark.parametrize("method", [CommutingBlocks(joint=False), "hadamard"], ids=["commuting-blocks", "hadamard"])
def test_a_layer_is_copied_after_its_method_was_used(method):
    layer = QuantumLayer(ansatze.commuting_blocks(2, 2), diff_method=method, seed=1)
    layer().sum().backward()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other.zero_grad()
        other().sum().backward()
        assert torch.equal(other.w.grad, layer.w.grad)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_a_number_of_directions_that_cannot_be_is_refused(wrong):
    with pytest.raises(LabError, match="n_directions"):
        RandomDirections(wrong)


def test_third_derivatives_raise(catalogue):
    layer = QuantumLayer(catalogue["no_inputs"].circuit, dtype=torch.float64)
    (first,) = torch.autograd.grad(layer()[0], layer.w, create_graph=True)
    (second,) = torch.autograd.grad(first[0], layer.w, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(second.sum(), layer.w)


@pytest.mark.parametrize("method", ["adjoint"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_pairs_that_cannot_work_raise_and_name_what_would(backend, method, catalogue):
    case = catalogue["hardware_efficient"]
    with pytest.raises(Unsupported, match="parameter-shift"):
        evaluation(case, backend, method, shots=10)
    if not resolve(backend).adjoint:
        with pytest.raises(Unsupported, match="'native' or 'aer'"):
            evaluation(case, backend, method)


class Counting:
    """Counts the rows of angles, which are circuits, that a compiled circuit runs."""

    def __init__(self, compiled):
        self._compiled, self.rows, self.calls = compiled, 0, 0

    def __getattr__(self, name):
        return getattr(self._compiled, name)

    def expectations(self, inputs, weights):
        self.rows, self.calls = self.rows + len(inputs), self.calls + 1
        return self._compiled.expectations(inputs, weights)


@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda c, w: [c.rx(w[0], 0), c.ry(w[1], 1), c.rzz(w[2], 0, 1)], 6),
        (lambda c, w: [c.crx(w[0], 0, 1)], 4),
        (lambda c, w: [c.cp(w[0], 0, 1)], 2),
        (lambda c, w: [c.rx(w[0], 0), c.ry(w[0], 1), c.rz(w[0], 0)], 6),
    ],
    ids=["two_a_rotation", "four_a_controlled_rotation", "two_a_controlled_phase", "two_k_for_k_uses"],
)
def test_parameter_shift_runs_as_many_circuits_as_the_rule_says(build, expected):
    circuit = QuantumCircuit(2)
    build(circuit, ParameterVector("w", 3))
    program = lower(circuit)
    compiled = resolve("native").compile(program, as_list("ZZ", 2))
    run = Evaluation(compiled, gradients.resolve("parameter-shift", compiled, None))
    run.compiled = Counting(compiled)
    run.vjp(np.zeros((1, 0)), np.full(len(program.slots), 0.3), np.ones((1, 1)), SEED)
    assert (run.compiled.rows, run.compiled.calls) == (expected, 1)
    assert len([t for terms in rules(program) for t in terms]) == expected


def test_shift_rules_differentiate_their_frequencies_exactly(rng):
    for frequencies in ((1.0,), (0.5,), (0.5, 1.0), (1.0, 2.0, 3.0)):
        a, b = rng.normal(size=(2, len(frequencies)))
        w = np.array(frequencies)
        value = lambda t: float((a * np.cos(w * t) + b * np.sin(w * t)).sum())  # noqa: B023, E731
        slope = (-a * w * np.sin(w * 0.7) + b * w * np.cos(w * 0.7)).sum()
        assert np.isclose(sum(c * value(0.7 + s) for c, s in rule(frequencies)), slope, atol=1e-12)


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_a_zero_cotangent_gives_zeros_and_not_nan(backend, catalogue, rng):
    run = evaluation(catalogue["middle"], backend, "adjoint")
    inputs, weights = angles(run, 2, rng)
    for gradient in run.vjp(inputs, weights, np.zeros((2, run.n_outputs)), SEED):
        assert (gradient == 0).all()


@pytest.mark.parametrize("backend", ["native", "aer"])
def test_adjoint_cuts_large_batches_without_changing_the_sum(backend, monkeypatch, catalogue, rng):
    import qml.aer.compiled as aer

    run = evaluation(catalogue["reuploading"], backend, "adjoint")
    inputs, weights = angles(run, 11, rng)
    cotangents = rng.normal(size=(11, run.n_outputs))
    whole = run.vjp(inputs, weights, cotangents, SEED)
    monkeypatch.setattr(aer, "MOST_QUBITS", 6)  # four samples of three qubits a run
    for a, b in zip(run.vjp(inputs, weights, cotangents, SEED), whole):
        assert np.allclose(a, b, atol=1e-12)


def test_a_thousand_parameters_and_a_sum_of_many_terms():
    circuit = encodings.angle(4).compose(ansatze.hardware_efficient(4, 125))
    layers = [
        QuantumLayer(circuit, [tfim(4), "XYZI"], diff_method=m, dtype=torch.float64, seed=1)
        for m in ("adjoint", "parameter-shift")
    ]
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(2, 4)
    for layer in layers:
        layer(x).sum().backward()
    assert layers[0].w.numel() == 1000
    assert torch.allclose(layers[0].w.grad, layers[1].w.grad, atol=1e-9)


def losses_of_one_rotation(method, shots: int, repeats: int = 6000) -> tuple[torch.Tensor, torch.Tensor]:
    """(repeats,) of <Z>^2 after RY(pi / 4), estimated, and the angle of each."""
    circuit = QuantumCircuit(1)
    circuit.ry(ParameterVector("w", 1)[0], 0)
    layer = QuantumLayer(circuit, "Z", shots=shots, diff_method=method, seed=5, dtype=torch.float64)
    weights = torch.full((repeats, 1), np.pi / 4, dtype=torch.float64, requires_grad=True)
    return layer.evaluate(torch.zeros(repeats, 0, dtype=torch.float64), weights).square(), weights


@pytest.mark.parametrize("method", ["parameter-shift", "commuting-blocks", "hadamard", "random-directions"])
@pytest.mark.parametrize("shots", [1, 4])
def test_the_gradient_of_a_loss_does_not_follow_the_noise_of_its_value(method, shots):
    loss, weights = losses_of_one_rotation(method, shots)
    (slopes,) = torch.autograd.grad(loss.sum(), weights)
    slopes = slopes.numpy()
    assert abs(slopes.mean() + 1) < 5 * slopes.std() / np.sqrt(len(slopes))


def test_the_second_derivative_of_a_loss_squares_no_estimate():
    loss, weights = losses_of_one_rotation("parameter-shift", 2)
    (slopes,) = torch.autograd.grad(loss.sum(), weights, create_graph=True)
    (second,) = torch.autograd.grad(slopes.sum(), weights)
    second = second.numpy()
    assert abs(second.mean()) < 5 * second.std() / np.sqrt(len(second))  # of cos^2 at pi / 4


@pytest.mark.parametrize("shots", [None, 20_000])
@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_by_amplitudes_at_a_basis_state_are_finite_and_right(backend, shots):
    circuit = encodings.amplitude(2).compose(ansatze.strongly_entangling(2, 1))
    x = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, -1.0]], dtype=torch.float64, requires_grad=True)
    found = []
    for name, method, number in ((backend, "parameter-shift", shots), ("native", "adjoint", None)):
        layer = QuantumLayer(circuit, "ZX", backend=name, diff_method=method, shots=number, seed=2, dtype=torch.float64)
        found.append(torch.autograd.grad(layer(x).sum(), x)[0])
    assert torch.allclose(*found, rtol=0, atol=1e-9 if shots is None else 0.15)


def test_hadamard_tests_have_no_noise_of_a_constant():
    circuit = ansatze.hardware_efficient(2, 1)
    spreads = []
    for observable in ("ZZ", "ZZ - 50*II", "II"):
        layer = QuantumLayer(circuit, observable, diff_method="hadamard", shots=100, seed=1, init="uniform")
        weights = layer.w.detach().repeat(200, 1).requires_grad_()
        (slopes,) = torch.autograd.grad(layer.evaluate(torch.zeros(200, 0), weights).sum(), weights)
        spreads.append(slopes.std(dim=0).max().item())
    assert spreads[1] == pytest.approx(spreads[0], rel=1e-3) and spreads[2] == 0


def test_spsa_moves_nothing_whose_derivative_is_not_wanted():
    circuit = encodings.angle(1).compose(ansatze.hardware_efficient(1, 1))
    compiled = resolve("native").compile(lower(circuit), as_list(["X"], 1), Slots((0,), (1, 2)))
    run = Evaluation(compiled, SPSA(step=0.1))
    rows = np.full((50, 1), 0.3), np.tile([0.4, 0.9], (50, 1)), np.ones((50, 1))
    of_inputs, of_weights = run.vjp(*rows, SEED, needs=(False, True))
    assert not of_inputs.any() and of_weights.all()
    of_inputs, of_weights = run.vjp(*rows, SEED, needs=(True, False))
    assert not of_weights.any() and np.ptp(np.round(of_inputs, 12)) == 0  # one angle moved, one way or the other


def test_an_evolution_says_that_it_has_first_derivatives_alone(catalogue):
    layer = QuantumLayer(catalogue["evolution"].circuit, "ZII", diff_method="backprop", dtype=torch.float64)
    x = torch.rand(1, layer.n_inputs, dtype=torch.float64)
    (slopes,) = torch.autograd.grad(layer(x).sum(), layer.w, create_graph=True)
    with pytest.raises(Unsupported, match="has first derivatives alone"):
        slopes.sum().backward()
