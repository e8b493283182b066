"""Backends sample, estimate and refuse alike, whatever they are built on."""

from types import SimpleNamespace

import numpy as np
import pennylane as qp
import pytest
import torch
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.library import HGate
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_aer.primitives import SamplerV2 as AerSampler
from scipy.stats import chisquare

from circuits import ansatze, observables
from circuits.errors import LabError, TooLarge, UnknownName, Unsupported
from circuits.families import members
from qml import QuantumLayer
from qml.aer.compiled import _check_norm
from qml.backends.aer import AerBackend
from qml.backends.base import resolve

BACKENDS = members("qml.backends")


def measured() -> QuantumCircuit:
    """Two registers, read in an order of their own."""
    q, a, b = QuantumRegister(4), ClassicalRegister(2, "a"), ClassicalRegister(2, "b")
    circuit = QuantumCircuit(q, a, b)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.ry(0.9, 2)
    circuit.crx(1.1, 2, 3)
    circuit.measure([0, 2, 3], [b[1], a[0], a[1]])
    return circuit


@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_have_qiskits_format_and_distribution(backend):
    shots = 20_000
    counts = resolve(backend).counts(measured(), shots, seed=11)
    job = AerSimulator().run(measured(), shots=400_000, seed_simulator=1)
    wanted = {key: number / 400_000 for key, number in job.result().get_counts().items()}
    assert sum(counts.values()) == shots and set(counts) == set(wanted)
    keys = sorted(wanted)
    # The reference is sampled too, with a twentieth of the variance; 5 sigma is a p-value of 6e-7.
    assert chisquare([counts[k] for k in keys], [wanted[k] * shots for k in keys]).pvalue > 6e-7


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_same_counts_and_another_seed_others(backend):
    runs = [resolve(backend).counts(measured(), 1000, seed=s) for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_estimates_agree_with_exact_values_within_their_errors(backend):
    circuit = ansatze.strongly_entangling(3, 2)
    circuit = circuit.assign_parameters(np.linspace(0, 5, len(circuit.parameters)))
    operators = [observables.tfim(3), "XYZ", "III", "0.5*ZZZ - 2*III"]
    exact, zero = resolve(backend).estimate(circuit, operators)
    reference, _ = resolve("native").estimate(circuit, operators)
    assert np.allclose(exact, reference, atol=1e-10) and (zero == 0).all()
    values, errors = resolve(backend).estimate(circuit, operators, shots=3000, seed=2)
    assert (np.abs(values - exact) <= 5 * errors + 1e-12).all()
    assert (errors[[2]] == 0).all() and (errors[[0, 1, 3]] > 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_probabilities_are_those_of_the_states(backend, lowered, rng):
    program = lowered["no_inputs"]
    compiled = resolve(backend).compile(program, [])
    weights = rng.uniform(0, 6, (2, len(program.slots)))
    found = compiled.probabilities(np.zeros((2, 0)), weights)
    reference = resolve("native").compile(program, []).probabilities(np.zeros((2, 0)), weights)
    assert np.allclose(found.sum(axis=1), 1) and np.allclose(found, reference, atol=1e-10)


@pytest.mark.parametrize("backend", ["native", "pennylane"])
def test_what_only_aer_can_sample_is_refused_by_name(backend):
    middle = QuantumCircuit(2, 2)
    middle.h(0)
    middle.measure(0, 0)
    middle.x(0)
    middle.measure(0, 1)
    with pytest.raises(Unsupported, match="'aer'"):
        resolve(backend).counts(middle, 10)
    counts = resolve("aer").counts(middle, 200, seed=1)
    assert set(counts) == {"01", "10"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_unbound_parameters_and_missing_measurements_are_refused(backend):
    free = QuantumCircuit(1)
    free.rx(Parameter("theta"), 0)
    with pytest.raises(LabError, match="theta"):
        resolve(backend).estimate(free, "Z")
    with pytest.raises(LabError, match="shots must be"):
        resolve(backend).counts(measured(), 0)
    if backend != "aer":
        with pytest.raises(LabError, match="measure_all"):
            resolve(backend).counts(QuantumCircuit(1), 10)


def test_unknown_backends_and_options_are_refused_with_what_is_right():
    with pytest.raises(UnknownName, match="did you mean 'pennylane'"):
        resolve("penylane")
    with pytest.raises(Unsupported, match="no option 'device'"):
        resolve("native", device="GPU")
    with pytest.raises(UnknownName, match="did you mean 'GPU'"):
        resolve("aer", device="GPUs")
    with pytest.raises(LabError, match=r"lightning\.qubit"):
        resolve("pennylane", device="lightening.qubit")
    with pytest.raises(LabError, match="PennyLane device"):
        resolve(object())


def test_aer_on_a_gpu_runs_there_or_says_what_to_do():
    try:
        backend = resolve("aer", device="GPU")
    except LabError as error:
        assert "device='CPU'" in str(error) and "aer-gpu" in str(error)
    else:
        assert backend.counts(measured(), 10)


def test_devices_and_simulators_are_taken_as_backends():
    circuit = ansatze.random_pauli(2, 2, seed=0)
    wanted = QuantumLayer(circuit, seed=1)()
    for device in (qp.device("default.qubit", wires=2), AerSimulator()):
        assert np.allclose(QuantumLayer(circuit, seed=1, backend=device)().detach(), wanted.detach(), atol=1e-6)
    with pytest.raises(Unsupported, match="wires"):
        QuantumLayer(circuit, backend=qp.device("default.qubit", wires=1))()


def test_noise_shrinks_expectations_from_shots_and_refuses_exact_values():
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["ry"])
    circuit = QuantumCircuit(1)
    circuit.ry(0.0, 0)
    backend = resolve("aer", noise=noise)
    values, errors = backend.estimate(circuit, "Z", shots=20_000, seed=3)
    assert abs(values[0] - 0.8) < 5 * errors[0]
    with pytest.raises(Unsupported, match="shots"):
        backend.estimate(circuit, "Z")
    with pytest.raises(Unsupported, match="noise"):
        QuantumLayer(ansatze.separable(1), backend=backend, shots=10)
    measured_circuit = circuit.copy()
    measured_circuit.measure_all()
    counts = backend.counts(measured_circuit, 20_000, seed=3)
    assert abs(counts["1"] / 20_000 - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 20_000)
    with pytest.raises(Unsupported, match="no option 'noise'"):
        resolve("native", noise=noise)
    with pytest.raises(LabError, match="NoiseModel"):
        resolve("aer", noise=0.1)


@pytest.mark.parametrize("gate", ["cz", "ccx", "crx", "u", "cswap", "ecr"])
def test_noise_acts_on_every_gate_alike_in_counts_and_in_expectations(gate):
    noise = NoiseModel()
    names = noise.basis_gates
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["u", "rx", "ry", "rz", "h", "x"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cx", "cz", "ecr", "crx"])
    assert names
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.x(1)
    angles = {"crx": [0.4], "u": [0.3, 0.2, 0.1]}.get(gate, [])
    size = {"u": 1, "ccx": 3, "cswap": 3}.get(gate, 2)
    getattr(circuit, gate)(*angles, *range(size))
    backend, shots = resolve("aer", noise=noise), 20_000
    values, errors = backend.estimate(circuit, ["IIZ", "IZI", "ZII"], shots, seed=1)
    measured_circuit = circuit.copy()
    measured_circuit.measure_all()
    counts = backend.counts(measured_circuit, shots, seed=2)
    for qubit, (value, error) in enumerate(zip(values, errors)):
        z = sum(number * (1 - 2 * int(key[-1 - qubit])) for key, number in counts.items()) / shots
        assert abs(z - value) < 5 * np.hypot(error, 1 / np.sqrt(shots))


def test_on_a_gpu_aer_binds_rows_in_batches_cut_to_its_memory(monkeypatch):
    runs = []

    def on_the_cpu(circuits, dtype, **options):
        runs.append(options)
        options = {key: value for key, value in options.items() if key != "batched_shots_gpu"}
        return AerBackend.run(AerBackend(), circuits, dtype, **options)

    backend = AerBackend()
    layer = QuantumLayer(ansatze.random_pauli(2, 2, seed=0), backend=backend, diff_method="parameter-shift", seed=1)
    layer().sum().backward()
    expected = next(layer.parameters()).grad
    for n_gpus, options, batched in ((1, {}, True), (2, {}, False), (1, {"cuStateVec_enable": True}, False)):
        runs.clear()
        on_gpu = AerBackend(**options)
        on_gpu.device = "GPU"
        monkeypatch.setattr(type(on_gpu), "_n_gpus", lambda self, n=n_gpus: n)
        monkeypatch.setattr(type(on_gpu), "_gpu_bytes", lambda self: 4 * 3 * (16 << 2))  # room for three rows
        on_gpu.run = on_the_cpu
        settings = {"diff_method": "parameter-shift", "seed": 1, "dtype": torch.float64}
        twin = QuantumLayer(ansatze.random_pauli(2, 2, seed=0), backend=on_gpu, **settings)
        twin().sum().backward()
        bound = [run for run in runs if "parameter_binds" in run]
        assert all(run["runtime_parameter_bind_enable"] for run in bound) and len(bound) > 1
        assert all(len(next(iter(run["parameter_binds"][0].values()))) <= 3 for run in bound)
        assert all(run.get("batched_shots_gpu", False) is batched for run in bound)
        assert torch.allclose(next(twin.parameters()).grad.float(), expected, atol=1e-5)


def test_a_simulator_that_asks_for_a_gpu_is_tried_before_it_is_believed():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(LabError, match="does not run on a GPU here"):
        resolve(AerSimulator(device="GPU"))


def test_a_state_that_lost_norm_over_chunks_is_refused():
    _check_norm(np.array([0.6, 0.8j]))
    with pytest.raises(LabError, match="2460"):
        _check_norm(np.array([0.6, 0.7j]))


def test_options_beside_an_object_that_keeps_its_own_are_refused():
    simulator = AerSimulator()
    for options in ({"noise": NoiseModel()}, {"method": "stabilizer"}, {"max_parallel_threads": 1}):
        with pytest.raises(LabError, match="keeps its own options"):
            resolve(simulator, **options)
    with pytest.raises(LabError, match="a PennyLane device keeps its own options, got noise"):
        resolve(qp.device("default.mixed", wires=1), noise=0.5)
    with pytest.raises(Unsupported, match="has no option 'noise'"):
        resolve(GenericBackendV2(2, seed=1), noise=0.5)


def test_the_method_of_a_given_simulator_is_its_own():
    circuit = QuantumCircuit(50)
    circuit.h(0)
    for qubit in range(49):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    found = resolve(AerSimulator(method="stabilizer")).counts(circuit, 100, 1)
    assert set(found) == {"0" * 50, "1" * 50}


def test_memory_is_asked_for_what_is_to_come_and_no_more(monkeypatch):
    """One state where there is no gradient, two where there is; one that is held already is not counted twice."""
    from qml.backends import base, native

    circuit, free = QuantumCircuit(18), {"states": 0.0}
    circuit.ry(Parameter("w"), 0)
    state = 16 << 18
    monkeypatch.setattr(base, "ALWAYS_THERE", 0)
    monkeypatch.setattr(native, "ALWAYS_THERE", 0)
    monkeypatch.setattr(base.psutil, "virtual_memory", lambda: SimpleNamespace(available=free["states"] * state))
    layer = QuantumLayer(circuit, "Z" * 18, dtype=torch.float64)
    free["states"] = 1.1
    with torch.no_grad():
        layer()
    with pytest.raises(TooLarge):
        layer()
    free["states"] = 3.1  # a forward run that keeps its state says so beforehand
    value = layer()
    free["states"] = 2.1
    value.backward()
    free["states"] = 1.9
    with pytest.raises(TooLarge):
        layer._evaluation.compiled.sample(np.zeros((1, 0)), np.zeros(1), 10, np.random.SeedSequence(0))


def test_shots_of_a_batch_are_counted_for_every_sample(monkeypatch):
    from qml.backends import base

    layer = QuantumLayer(QuantumCircuit(1), "Z", shots=10_000, dtype=torch.float64)
    monkeypatch.setattr(base, "ALWAYS_THERE", 0)
    monkeypatch.setattr(base.psutil, "virtual_memory", lambda: SimpleNamespace(available=320_000 * 50))
    compiled, seed = layer._evaluation.compiled, np.random.SeedSequence(0)
    assert compiled.sample(np.zeros((40, 0)), np.zeros(0), 10_000, seed).shape == (40, 10_000)
    with pytest.raises(TooLarge, match="10,000 shots of each of 60 samples"):
        compiled.sample(np.zeros((60, 0)), np.zeros(0), 10_000, seed)


def named(name: str) -> QuantumCircuit:
    """A Hadamard gate that is called something else, inside a gate that is called so too, and measured."""
    inner = QuantumCircuit(1, name=name)
    inner.h(0)
    outer = QuantumCircuit(1, name="outer")
    outer.append(inner.to_gate(), [0])
    circuit = QuantumCircuit(2, 2)
    circuit.append(inner.to_gate(), [0])
    circuit.append(outer.to_gate(), [1])
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.mark.parametrize("name", ["x", "id", "rz", "barrier"])
@pytest.mark.parametrize("backend", ["native", "aer", "simulator", "device"])
def test_a_gate_of_ones_own_is_what_it_is_made_of_whatever_its_name(backend, name):
    given = {"simulator": AerSimulator(), "device": GenericBackendV2(2, seed=1, noise_info=False)}.get(backend, backend)
    counts = resolve(given).counts(named(name), 400, seed=3)
    assert set(counts) == {"00", "01", "10", "11"} and min(counts.values()) > 50


def test_noise_of_aers_own_name_is_refused():
    model = NoiseModel()
    with pytest.raises(LabError, match="write noise=model in place of noise_model=model"):
        resolve("aer", noise_model=model)


def test_noise_that_goes_by_names_is_refused_where_gates_are_lowered():
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 2), ["cz"])
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("w"), 0)
    circuit.cz(0, 1)
    sampler = AerSampler(options={"backend_options": {"noise_model": model}})
    with pytest.raises(Unsupported, match="a noise model that goes by gates' names does not find them"):
        QuantumLayer(circuit, backend=sampler, shots=10)
    QuantumLayer(circuit, backend=AerSampler(), shots=10)()
    read_wrong = NoiseModel()
    read_wrong.add_all_qubit_readout_error(ReadoutError([[0, 1], [1, 0]]))
    sampler = AerSampler(options={"backend_options": {"noise_model": read_wrong}})
    assert QuantumLayer(circuit, "IZ", init=[0.0], backend=sampler, shots=10)().tolist() == [-1.0]


def test_gates_that_are_no_lookalikes_stay_beside_one():
    swap = QuantumCircuit(2, name="swap")
    swap.cz(0, 1)
    circuit = QuantumCircuit(3, 3)
    circuit.h(range(3))
    circuit.append(swap.to_gate().control(1), [0, 1, 2])
    circuit.append(HGate().control(1, annotated=True), [0, 1])
    circuit.append(swap.to_gate(), [1, 2])
    circuit.h(range(3))
    circuit.measure(range(3), range(3))
    found, wanted = (resolve(name).counts(circuit, 4000, seed=3) for name in ("aer", "native"))
    keys = sorted({*found, *wanted})
    assert max(abs(found.get(key, 0) - wanted.get(key, 0)) for key in keys) < 5 * np.sqrt(2 * 4000 * 0.25)


def test_free_parameters_are_named_by_aer_too():
    circuit = QuantumCircuit(1, 1)
    circuit.ry(Parameter("w"), 0)
    circuit.measure(0, 0)
    with pytest.raises(LabError, match="free parameters"):
        resolve("aer").counts(circuit, 10)
