"""Our engine inside Qiskit: the primitives give what Qiskit's own give, and a gradient class what adjoint gives."""

import pickle
import threading

import numpy as np
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.exceptions import QiskitError
from qiskit.primitives import BitArray, StatevectorEstimator, StatevectorSampler
from qiskit.providers import JobStatus
from qiskit.quantum_info import DensityMatrix, SparseObservable

from circuits import ansatze, encodings
from circuits.errors import LabError, Unsupported
from qml import NativeEstimator, NativeEstimatorGradient, NativeSampler, QuantumLayer
from qml.backends.base import resolve
from qml.primitives.job import NativeJob

SEED = 20261125
ESTIMATORS = NativeEstimator, StatevectorEstimator


def values_of(circuit, *shape) -> np.ndarray:
    return np.random.default_rng(SEED).uniform(-3, 3, (*shape, circuit.num_parameters))


def test_every_circuit_of_the_catalogue_has_the_values_of_qiskits_estimator(case):
    circuit, labels = case.circuit, list(case.observables or ["Z" * case.circuit.num_qubits])
    terms = [QuantumLayer(circuit, label).observables[0] for label in labels]
    pub = (circuit, [[term] for term in terms], values_of(circuit, 2))
    ours = NativeEstimator().run([pub]).result()[0]
    if case.name == "amplitude":  # Qiskit cannot bind its initial state
        layer = QuantumLayer(circuit, labels, dtype=torch.float64)
        order = {parameter: column for column, parameter in enumerate(circuit.parameters)}
        x, w = (torch.tensor(pub[2][:, [order[p] for p in ps]]) for ps in (layer.input_parameters, layer.weight_parameters))
        assert np.allclose(ours.data.evs.T, layer.evaluate(x, w).detach(), atol=1e-12)
        return
    theirs = StatevectorEstimator().run([pub]).result()[0]
    assert ours.data.evs.shape == theirs.data.evs.shape
    assert np.allclose(ours.data.evs, theirs.data.evs, atol=1e-10) and (ours.data.stds == 0).all()


@pytest.mark.parametrize("precision", [0.0, 0.2])
@pytest.mark.parametrize(
    ("observables", "shape"),
    [
        ("ZXI", ()),
        ("ZXI", (4,)),
        (["ZXI", "IIZ"], ()),
        (["ZXI", "IIZ", "ZXI"], (3,)),
        ([["ZXI"], ["IIZ"]], (2, 3)),
        ([["ZXI"], ["IIZ"]], (3,)),
        ([f"{a}{b}I" for a in "XYZ" for b in "XYZ"], (9,)),
        ("ZXI", (0,)),
    ],
)
def test_shapes_noise_and_metadata_are_those_of_qiskits_estimator(observables, shape, precision):
    circuit = ansatze.strongly_entangling(3, 1)
    circuit.metadata = {"a": 1}
    pub = (circuit, observables, values_of(circuit, *shape))
    for seed in (3, np.random.SeedSequence(5)):
        ours, theirs = (cls(seed=seed).run([pub, pub], precision=precision).result() for cls in ESTIMATORS)
        assert ours.metadata == theirs.metadata
        for a, b in zip(ours, theirs):
            assert a.metadata == b.metadata and a.data.evs.dtype == b.data.evs.dtype == a.data.stds.dtype
            assert a.data.shape == b.data.shape == a.data.evs.shape
            assert np.allclose(a.data.evs, b.data.evs, atol=1e-12)


def test_a_generator_goes_on_from_pub_to_pub_as_in_qiskit():
    circuit = ansatze.separable(2)
    pubs = [(circuit, ["ZI", "IX"], values_of(circuit))] * 2
    ours, theirs = (cls(seed=np.random.default_rng(1)).run(pubs, precision=0.3).result() for cls in ESTIMATORS)
    assert np.allclose([r.data.evs for r in ours], [r.data.evs for r in theirs], atol=1e-12)


@pytest.mark.parametrize("seed", [7, "generator"])
def test_shots_are_those_of_qiskits_sampler_bit_by_bit(seed):
    q, a, b = QuantumRegister(4), ClassicalRegister(11, "a"), ClassicalRegister(2, "b")
    circuit = QuantumCircuit(q, a, b)
    circuit.compose(ansatze.strongly_entangling(4, 1), inplace=True)
    circuit.measure([3, 0, 2, 2], [b[1], a[10], a[0], a[3]])
    values = values_of(circuit, 2, 3)
    results = [
        cls(seed=np.random.default_rng(7) if seed == "generator" else seed).run([(circuit, values)], shots=500).result()[0]
        for cls in (NativeSampler, StatevectorSampler)
    ]
    for name in "ab":
        ours, theirs = (getattr(result.data, name) for result in results)
        assert isinstance(ours, BitArray) and ours.shape == (2, 3) and ours.num_bits == theirs.num_bits
        assert (ours.array == theirs.array).all()
    assert results[0].metadata == results[1].metadata


def test_samples_have_the_probabilities_of_the_state_and_rows_of_their_own():
    circuit, shots = QuantumCircuit(2), 20_000
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    angles = np.array([[0.4], [1.3], [2.9]])
    data = NativeSampler(seed=np.random.default_rng(SEED)).run([(circuit, angles)], shots=shots).result()[0].data
    for row, angle in enumerate(angles[:, 0]):
        chance = np.sin(angle / 2) ** 2
        counts = data.meas.get_counts(row)
        assert set(counts) <= {"00", "11"}
        assert abs(counts.get("11", 0) / shots - chance) < 5 * np.sqrt(chance * (1 - chance) / shots), f"seed {SEED}"


def test_a_reset_in_the_middle_gives_the_mean_over_its_outcomes():
    circuit = QuantumCircuit(2)
    for angle, qubit in ((0.7, 0), (1.9, 1)):
        circuit.ry(angle, qubit)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.ry(0.3, 0)
    circuit.cx(1, 0)
    circuit.initialize([0.6, 0.8], 1)
    circuit.crx(0.5, 1, 0)
    labels = ["ZZ", "XI", "IY", "ZX"]
    exact = DensityMatrix(circuit)
    terms = [QuantumLayer(QuantumCircuit(2), label).observables[0] for label in labels]
    found = NativeEstimator().run([(circuit, terms)]).result()[0].data.evs
    assert np.allclose(found, [exact.expectation_value(term).real for term in terms], atol=1e-12)
    shots = 20_000
    data = NativeSampler(seed=1).run([circuit.measure_all(inplace=False)], shots=shots).result()[0].data
    for state, chance in enumerate(exact.probabilities()):
        seen = data.meas.get_int_counts().get(state, 0) / shots
        assert abs(seen - chance) <= 5 * np.sqrt(chance * (1 - chance) / shots), "seed 1"


def test_projectors_are_observables_too():
    circuit = QuantumCircuit(2)
    circuit.ry(0.8, 0)
    found = NativeEstimator().run([(circuit, SparseObservable.from_list([("I1", 2.0), ("0+", 0.5)]))]).result()[0].data.evs
    assert np.isclose(found, 2 * np.sin(0.4) ** 2 + 0.25 * (1 + np.sin(0.8)), atol=1e-12)


def test_a_circuit_that_was_changed_is_compiled_again():
    circuit, estimator = QuantumCircuit(1), NativeEstimator()
    circuit.rx(0.3, 0)
    before = estimator.run([(circuit, "Z")]).result()[0].data.evs
    circuit.rx(0.4, 0)
    after = estimator.run([(circuit, "Z")]).result()[0].data.evs
    assert np.allclose([before, after], np.cos([0.3, 0.7]), atol=1e-12)


def called(name: str) -> QuantumCircuit:
    """One qubit turned twice, the second time by a gate of one's own with that name."""
    flip, circuit = QuantumCircuit(1, name=name), QuantumCircuit(1)
    flip.x(0)
    circuit.x(0)
    circuit.append(flip.to_gate(), [0])
    return circuit


@pytest.mark.parametrize("name", ["barrier", "delay", "reset", "initialize", "measure"])
def test_a_gate_of_ones_own_is_what_it_does_and_not_what_its_name_says(name):
    plain = QuantumCircuit(1)
    plain.x(0)
    plain.barrier(0)
    values = [NativeEstimator().run([(circuit, "Z")]).result()[0].data.evs for circuit in (plain, called(name))]
    assert np.allclose(values, [-1, 1])
    measured = called(name).measure_all(inplace=False)
    assert NativeSampler().run([measured], shots=9).result()[0].data.meas.get_counts() == {"0": 9}
    assert resolve("native").counts(measured, 9) == {"0": 9}


def test_one_circuit_without_parameters_may_be_asked_for_in_several_shapes():
    circuit = QuantumCircuit(1)
    circuit.ry(0.3, 0)
    pubs = [(circuit, "Z", np.zeros((*shape, 0))) for shape in ((), (3,), (2, 2))]
    for ours, theirs in zip(*(cls().run(pubs).result() for cls in ESTIMATORS), strict=True):
        assert ours.data.evs.shape == theirs.data.evs.shape and np.allclose(ours.data.evs, theirs.data.evs)


def middle_measurement() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.h(0)
    return circuit


def classical_control() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((0, 1)):
        circuit.x(0)
    return circuit


@pytest.mark.parametrize("build", [middle_measurement, classical_control])
def test_what_cannot_be_sampled_raises_one_line_that_names_what_can(build):
    job = NativeSampler().run([build()])
    for kind in (QiskitError, Unsupported):
        with pytest.raises(kind, match=r"qiskit_aer\.primitives\.SamplerV2") as caught:
            job.result()
    assert "\n" not in str(caught.value).strip() and job.status() == JobStatus.ERROR


@pytest.mark.parametrize(
    ("circuit", "observable", "values", "match"),
    [
        (ansatze.separable(1), "Z", [np.nan], "NaN"),
        (middle_measurement(), "Z", None, "measures"),
        (QuantumCircuit(45), "Z" * 45, None, "memory"),
    ],
)
def test_what_cannot_be_estimated_raises_one_line(circuit, observable, values, match):
    values = None if values is None else np.resize(values, circuit.num_parameters)
    with pytest.raises(LabError, match=match):
        NativeEstimator().run([(circuit, observable, values)]).result()


def test_a_job_runs_beside_the_caller_can_be_cancelled_late_to_no_effect_and_is_pickled_with_its_result():
    gate = threading.Event()
    job = NativeJob(lambda: gate.wait(60) and 7)
    other = NativeJob(lambda: 1)
    assert job.running() and not job.done() and not job.in_final_state() and not job.cancel()
    assert job.job_id() != other.job_id()
    gate.set()
    assert job.result() == 7 and job.done() and not job.cancelled() and job.in_final_state()
    again = pickle.loads(pickle.dumps(job))
    assert again.result() == 7 and again.status() == JobStatus.DONE and again.job_id() == job.job_id()


def test_an_estimator_is_pickled_and_many_threads_share_one():
    circuit = encodings.angle(3).compose(ansatze.hardware_efficient(3, 2))
    estimator = pickle.loads(pickle.dumps(NativeEstimator(seed=3)))
    pubs = [(circuit, ["ZZI", "XIX"], values_of(circuit, 5, 1) + k) for k in range(8)]
    jobs = [estimator.run([pub]) for pub in pubs]
    for pub, job in zip(pubs, jobs):
        assert np.allclose(job.result()[0].data.evs, StatevectorEstimator().run([pub]).result()[0].data.evs, atol=1e-10)


def test_gradients_are_those_of_the_layer(case):
    circuit, labels = case.circuit, list(case.observables or ["Z" * case.circuit.num_qubits])
    layer = QuantumLayer(circuit, labels, dtype=torch.float64)
    rows = values_of(circuit, 3)
    order = {parameter: column for column, parameter in enumerate(circuit.parameters)}
    columns = [[order[p] for p in ps] for ps in (layer.input_parameters, layer.weight_parameters)]
    x, w = (torch.tensor(rows[:, own], requires_grad=True) for own in columns)
    pairs = [(row, k) for row in range(len(rows)) for k in range(len(labels))]
    found = NativeEstimatorGradient().run(
        [circuit] * len(pairs), [layer.observables[k] for _, k in pairs], rows[[row for row, _ in pairs]]
    )  # fmt: skip
    values = layer.evaluate(x, w)
    for (row, k), gradient in zip(pairs, found.result().gradients):
        wanted = torch.autograd.grad(values[row, k], (x, w), retain_graph=True, allow_unused=True)
        merged = np.zeros(circuit.num_parameters)
        for own, part in zip(columns, wanted):
            merged[own] = 0 if part is None else part[row]
        assert np.allclose(gradient, merged, atol=1e-12)


def test_a_neural_network_of_qiskit_machine_learning_learns_on_ours_with_the_gradients_of_its_own():
    from qiskit_machine_learning.connectors import TorchConnector
    from qiskit_machine_learning.neural_networks import EstimatorQNN

    inputs, weights = encodings.angle(3), ansatze.hardware_efficient(3, 1)
    settings = {
        "circuit": inputs.compose(weights),
        "observables": [QuantumLayer(weights, label).observables[0] for label in ("ZII", "XIY")],
        "input_params": list(inputs.parameters),
        "weight_params": list(weights.parameters),
        "input_gradients": True,
        "default_precision": 0.0,
    }
    estimators = NativeEstimator(), StatevectorEstimator()
    gradients = NativeEstimatorGradient(estimators[0]), None  # None is qiskit-machine-learning's own parameter-shift
    start, found = np.linspace(0, 2, weights.num_parameters), []
    for estimator, gradient in zip(estimators, gradients):
        model = TorchConnector(EstimatorQNN(estimator=estimator, gradient=gradient, **settings), initial_weights=start)
        x = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
        model(x).square().sum().backward()
        found.append((x.grad.clone(), model.weight.grad.clone()))
    for ours, theirs in zip(*found):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_other_derivatives_than_real_ones_are_refused_with_what_has_them():
    from qiskit_machine_learning.gradients import DerivativeType

    with pytest.raises(Unsupported, match="LinCombEstimatorGradient"):
        NativeEstimatorGradient(derivative_type=DerivativeType.IMAG)
