"""Submitted circuits give what Aer itself gives, by every method, with its options and noise; so do PennyLane's devices."""

import json

import numpy as np
import pytest
import scipy.stats
from qiskit import QuantumCircuit, transpile
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

import qml
from circuits.errors import LabError, TooLarge, Unsupported
from qml.backends.aer import METHODS, AerBackend
from qml.backends.base import resolve
from qml.noise import as_dict, device, from_dict, read

SEED, SHOTS = 20261125, 4000
FIVE_SIGMA_P = 2 * scipy.stats.norm.sf(5)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store.sqlite"


def clifford(n_qubits: int = 3) -> QuantumCircuit:
    """Gates that every method has, in a state with many outcomes and no symmetry between qubits."""
    circuit = QuantumCircuit(n_qubits)
    circuit.h(range(n_qubits - 1))
    circuit.cx(0, n_qubits - 1)
    circuit.s(0)
    circuit.cz(0, 1)
    circuit.x(1)
    return circuit


def assert_same_distribution(ours: dict, theirs: dict) -> None:
    """Chi-squared test of two samples of counts, at five sigma; outcomes seen fewer than five times are taken together."""
    keys = sorted(set(ours) | set(theirs))
    table = np.array([[counts.get(key, 0) for key in keys] for counts in (ours, theirs)], float)
    rare = table.sum(axis=0) < 10
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)]) if rare.any() else table
    table = table[:, table.sum(axis=0) > 0]
    assert table.sum(axis=1).tolist() == [sum(ours.values()), sum(theirs.values())]
    if table.shape[1] > 1:
        assert scipy.stats.chi2_contingency(table).pvalue > FIVE_SIGMA_P, (ours, theirs)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_counts_as_aers_own_run_does(method, store):
    circuit = clifford().measure_all(inplace=False)
    ours = qml.submit(circuit, "aer", SHOTS, seed=SEED, method=method, store=store).result().counts
    simulator = AerSimulator(method=method)
    theirs = simulator.run(transpile(circuit, simulator), shots=SHOTS, seed_simulator=SEED + 1).result().get_counts()
    print("seed", SEED)
    assert_same_distribution(ours, theirs)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "extended_stabilizer"])
def test_every_method_that_holds_values_gives_them_exactly_and_from_shots(method, store):
    circuit, observables = clifford(), ["ZII", "0.5*XXI - 2*IYY", "YIX"]
    operators = [SparsePauliOp("ZII"), SparsePauliOp(["XXI", "IYY"], [0.5, -2]), SparsePauliOp("YIX")]
    expected = [Statevector(circuit).expectation_value(operator).real for operator in operators]
    request = {"backend": "aer", "method": method, "observables": observables, "seed": SEED, "store": store}
    np.testing.assert_allclose(qml.submit(circuit, shots=None, **request).result().values, expected, atol=1e-9)
    sampled = qml.submit(circuit, shots=SHOTS, **request).result()
    assert (abs(sampled.values - expected) <= 5 * sampled.standard_errors + 1e-12).all()


def test_the_extended_stabilizer_has_values_from_shots_alone():
    backend = AerBackend(method="extended_stabilizer")
    with pytest.raises(Unsupported, match="no exact expectation values: give shots"):
        backend.estimate(clifford(), "ZII")
    (value,), (error,) = backend.estimate(clifford(), "IXI", SHOTS, SEED)
    assert abs(value - Statevector(clifford()).expectation_value(SparsePauliOp("IXI")).real) <= 5 * error + 1e-12


@pytest.mark.parametrize("method", ["stabilizer", "matrix_product_state"])
def test_a_hundred_entangled_qubits_need_no_state_vector(method, store):
    n_qubits = 100 if method == "stabilizer" else 60
    circuit = QuantumCircuit(n_qubits)
    circuit.h(0)
    circuit.cx(range(n_qubits - 1), range(1, n_qubits))
    counts = qml.submit(circuit, "aer", 200, seed=SEED, method=method, store=store).result().counts
    assert set(counts) == {"0" * n_qubits, "1" * n_qubits} and sum(counts.values()) == 200
    request = {"observables": ["Z" + "I" * (n_qubits - 2) + "Z", "Z" + "I" * (n_qubits - 1)], "store": store}
    exact = qml.submit(circuit, "aer", None, method=method, **request).result()
    np.testing.assert_allclose(exact.values, [1, 0], atol=1e-12)


def test_a_circuit_that_is_too_wide_for_its_method_is_refused_with_methods_that_may_do():
    wide = QuantumCircuit(64)
    wide.h(range(64))
    limits = {"density_matrix": "of memory", "statevector": "of memory", "matrix_product_state": "takes 63"}
    for method, says in limits.items():
        with pytest.raises(TooLarge, match=says):
            AerBackend(method=method).counts(wide.measure_all(inplace=False), 10)
    with pytest.raises(Unsupported, match="hold 62 qubits, got 64"):
        AerBackend(method="stabilizer").estimate(wide, "Z" * 64, 10, 1)


def test_options_reach_aer_and_blocking_changes_no_result(store):
    circuit = clifford(6)
    plain = qml.submit(circuit, "aer", 500, seed=SEED, method="statevector", store=store).result()
    options = {"blocking_enable": True, "blocking_qubits": 4, "precision": "single", "max_parallel_threads": 1}
    job = qml.submit(circuit, "aer", 500, seed=SEED, method="statevector", store=store, **options)
    assert job.result() == plain and job.record()["options"] == {"method": "statevector", **options}
    simulator = AerBackend(**options)._written[0]
    assert [simulator.options.get(name) for name in options] == list(options.values())


@pytest.mark.parametrize(
    "options, says",
    [
        ({"method": "tensors"}, "unknown method of backend 'aer' 'tensors': .*choose from automatic, density_matrix"),
        ({"precision": "half"}, "precision of backend 'aer' is 'single' or 'double', got 'half'"),
        ({"nosuch": 3}, "Aer does not take these options .*nosuch"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line_before_anything_is_stored(options, says, store):
    with pytest.raises(LabError, match=says) as caught:
        qml.submit(clifford(), "aer", store=store, **options)
    assert "\n" not in str(caught.value) and not store.exists()


def test_a_layer_takes_no_method_but_state_vectors():
    layer = qml.QuantumLayer(clifford(), backend=AerBackend(method="statevector"))
    assert layer().shape == (3,)
    with pytest.raises(Unsupported, match="got method='stabilizer': leave method out"):
        qml.QuantumLayer(clifford(), backend=AerBackend(method="stabilizer"))()


# ---- noise


def noise_model() -> NoiseModel:
    model = NoiseModel(basis_gates=["h", "s", "x", "cx", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cx", "cz"])
    model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    return model


def test_a_noise_model_from_a_file_is_the_model_that_was_written(tmp_path, store):
    path = tmp_path / "noise.json"
    path.write_text(json.dumps(as_dict(noise_model())))
    circuit = clifford().measure_all(inplace=False)
    ours = qml.submit(circuit, "aer", SHOTS, seed=SEED, noise=read(str(path)), store=store).result().counts
    theirs = AerSimulator(noise_model=noise_model(), seed_simulator=3).run(circuit, shots=SHOTS).result().get_counts()
    assert_same_distribution(ours, theirs)


def test_a_noise_model_keeps_the_gates_of_its_basis(store):
    # In the model's basis H is made of noisy gates; in Aer's own it would stay one without noise.
    model = NoiseModel(basis_gates=["rz", "sx", "cz"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["sx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 2), ["cz"])
    again = from_dict(json.loads(json.dumps(as_dict(model))), "it")
    assert again == model and again.basis_gates == model.basis_gates == ["cz", "rz", "sx"]
    request = {"shots": None, "method": "density_matrix", "observables": ["ZZ", "IX"], "store": store}
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    submitted = qml.submit(circuit, "aer", noise=model, **request).result().values
    direct = resolve("aer", noise=model, method="density_matrix").estimate(circuit, ["ZZ", "IX"])[0]
    np.testing.assert_allclose(submitted, direct, atol=1e-12)
    assert submitted[0] < 0.6


def test_equal_noise_models_take_up_one_tag_and_others_do_not(store):
    def request(p):
        model = NoiseModel()
        model.add_all_qubit_quantum_error(depolarizing_error(p, 1), ["x"])
        return {"backend": "aer", "noise": model, "tag": "run", "store": store, "shots": 10}

    first = qml.submit(clifford(), **request(0.1))
    assert qml.submit(clifford(), **request(0.1)).id == first.id and first.result()
    assert qml.submit(clifford(), **request(0.1) | {"tag": None, "reuse": True}).id == first.id
    with pytest.raises(LabError, match="belongs to another submission"):
        qml.submit(clifford(), **request(0.2))


def test_a_noise_model_with_passes_of_its_own_runs_as_it_is(store):
    model = NoiseModel.from_backend(GenericBackendV2(2, seed=1))
    assert model._custom_noise_passes
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.delay(100_000, 0, unit="ns")
    request = {"shots": None, "method": "density_matrix", "observables": "Z", "store": store}
    (value,) = qml.submit(circuit, "aer", noise=model, **request).result().values
    (direct,) = resolve("aer", noise=model, method="density_matrix").estimate(circuit, "Z")[0]
    assert value == pytest.approx(direct, abs=1e-12) and value > -0.9
    with pytest.raises(LabError, match="cannot be written: give the device or its name"):
        as_dict(model)


def test_a_devices_noise_comes_with_its_gates_and_its_coupling(store):
    # On these qubits the device has no gate of two: a model alone would leave it without noise.
    circuit = QuantumCircuit(5)
    circuit.h(0)
    circuit.cx(0, range(1, 5))
    circuit.measure_all()
    request = {"noise": "GenericBackendV2:5", "store": store}
    ours = qml.submit(circuit, "aer", SHOTS, seed=SEED, **request).result().counts
    simulator = AerSimulator.from_backend(device("GenericBackendV2:5"), seed_simulator=1)
    ready = transpile(circuit, simulator, optimization_level=0, seed_transpiler=0)
    assert_same_distribution(ours, simulator.run(ready, shots=SHOTS).result().get_counts())
    assert len(ours) > 2
    again = qml.submit(circuit, "aer", SHOTS, seed=SEED, **request)
    assert again.result().counts == ours and again.record()["options"] == {"noise": "GenericBackendV2:5"}


def test_density_matrices_have_exact_values_under_noise_and_shots_agree(store):
    p, circuit = 0.2, QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    request = {"backend": "aer", "noise": p, "observables": ["ZZ", "XX"], "store": store, "seed": SEED}
    exact = qml.submit(circuit, shots=None, method="density_matrix", **request).result().values
    np.testing.assert_allclose(exact, [1 - p, (1 - p) ** 2], atol=1e-12)
    sampled = qml.submit(circuit, shots=SHOTS, method="density_matrix", **request).result()
    assert (abs(sampled.values - exact) <= 5 * sampled.standard_errors).all()
    with pytest.raises(LabError, match="exact expectation value without method='density_matrix' cannot have noise"):
        qml.submit(circuit, shots=None, **request).result()


@pytest.mark.parametrize(
    "content, says",
    [(b"{", "is no noise model"), (b"[]", "has no list of errors"), (b'{"errors": [{"type": "x"}]}', "is no noise model")],
)
def test_a_file_that_is_no_noise_model_is_refused_in_one_line(content, says, tmp_path):
    (tmp_path / "noise.json").write_bytes(content)
    with pytest.raises(LabError, match=says) as caught:
        read(str(tmp_path / "noise.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["FakeNowhere", "GenericBackendV2", "GenericBackendV2:0", "nosuch.json"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(LabError, match="GenericBackendV2:"):
        read(name)


@pytest.mark.parametrize("noise", [0.2, "GenericBackendV2:5"])
def test_the_change_of_basis_of_a_measurement_has_no_noise(noise, store):
    # Measured in X, a GHZ state needs a gate more on every qubit; exact density matrices have none, and shots agree.
    circuit = QuantumCircuit(4)
    circuit.h(0)
    circuit.cx(0, range(1, 4))
    request = {"backend": "aer", "noise": noise, "method": "density_matrix", "observables": ["XXXX", "YYXX", "IIZZ"]}
    exact = qml.submit(circuit, shots=None, store=store, **request).result().values
    sampled = qml.submit(circuit, shots=20_000, seed=SEED, store=store, **request).result()
    print("seed", SEED, exact, sampled)
    # The device also reads wrong sometimes, which values that were never read do not know.
    read_wrong = 0 if noise == 0.2 else 0.1
    assert (abs(sampled.values - exact) <= 5 * sampled.standard_errors + read_wrong).all()
    assert exact[0] < 0.99


# ---- PennyLane's devices


@pytest.mark.parametrize("name", ["default.qubit", "default.mixed", "lightning.qubit"])
def test_any_pennylane_device_counts_and_estimates(name, store):
    circuit = clifford()
    circuit.ry(0.7, 2)
    probabilities = Statevector(circuit).probabilities_dict()
    request = {"backend": "pennylane", "device": name, "store": store, "seed": SEED}
    counts = qml.submit(circuit, shots=SHOTS, **request).result().counts
    expected = {key: p * SHOTS for key, p in probabilities.items() if p > 1e-9}
    assert set(counts) <= set(expected)
    found = [counts.get(key, 0) for key in expected]
    assert scipy.stats.chisquare(found, list(expected.values())).pvalue > FIVE_SIGMA_P
    values = qml.submit(circuit, shots=None, observables=["ZZI", "XIY"], **request).result().values
    exact = [Statevector(circuit).expectation_value(SparsePauliOp(label)).real for label in ("ZZI", "XIY")]
    np.testing.assert_allclose(values, exact, atol=1e-9)


# ---- files


TWO, THREE = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n', 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
QASM = {
    "registers": f"{TWO}qreg a[2];\nqreg b[1];\ncreg m[1];\ncreg r[2];\nh a[0];\ncx a[0],b[0];\nu3(0.4,0.1,2) a[1];\n"
    "measure b[0] -> m[0];\nmeasure a[1] -> r[1];\nmeasure a[0] -> r[0];\n",
    "own_gate": TWO + "gate g(t) p,q { cx p,q; rz(t/2) q; rx(sin(t)) p; }\nqreg q[3];\ncreg c[3];\nh q;\ng(0.7) q[0],q[2];\n"
    "ccx q[0],q[1],q[2];\nmeasure q -> c;\n",
    "condition": f"{TWO}qreg q[2];\ncreg c[2];\nry(1) q[0];\nmeasure q[0] -> c[0];\nif(c==1) x q[1];\nreset q[0];\nh q[0];\n"
    "measure q -> c;\n",
    "loop": THREE + "qubit[3] q;\nbit[3] c;\nh q[0];\nctrl @ rx(0.9) q[0], q[1];\nfor int i in [0:2] { ry(0.3) q[2]; }\n"
    "c = measure q;\n",
    "feedback": THREE + "qubit[2] q;\nbit[2] c;\nry(0.8) q[0];\nc[0] = measure q[0];\n"
    "if (c[0]) { h q[1]; } else { x q[1]; }\nc[1] = measure q[1];\n",
}


@pytest.mark.parametrize("name", QASM)
def test_every_file_counts_as_aers_own_run_of_it_does(name, tmp_path, store):
    from qiskit import qasm2, qasm3

    from qml.circuit_files import load

    (tmp_path / name).write_text(QASM[name])
    (circuit,) = load(tmp_path / name)
    if "OPENQASM 2" in QASM[name]:
        theirs = qasm2.loads(QASM[name], custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    else:
        theirs = qasm3.loads(QASM[name])
    simulator = AerSimulator(seed_simulator=SEED)
    expected = simulator.run(transpile(theirs, simulator), shots=SHOTS).result().get_counts()
    for backend in ("aer",) if name in ("condition", "feedback", "loop") else ("aer", "native", "pennylane"):
        assert_same_distribution(qml.submit(circuit, backend, SHOTS, seed=SEED, store=store).result().counts, expected)


@pytest.mark.parametrize("method", METHODS)
def test_terms_that_commute_without_doing_so_qubit_by_qubit_are_measured_together(method):
    circuit = QuantumCircuit(3)  # (|000> + |111>) / sqrt 2, of which these are stabilisers
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    values, errors = AerBackend(method=method).estimate(circuit, ["XXX", "ZZI", "-1*XYY", "YXY"], 200, SEED)
    assert values.tolist() == [1, 1, 1, -1] and not errors.any()
