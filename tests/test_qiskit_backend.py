"""Any Qiskit backend or V2 primitive runs a layer: few pubs, transpiled to its target, gradients right at 5 sigma."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import (
    BackendEstimatorV2,
    BackendSamplerV2,
    BaseSamplerV2,
    StatevectorEstimator,
    StatevectorSampler,
)
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Operator, SparsePauliOp

import qml
from circuits import ansatze, encodings
from circuits.errors import LabError, UnknownName, Unsupported
from qml import NativeEstimator, NativeSampler, QuantumLayer, ibm
from qml.backends.base import resolve
from qml.backends.qiskit import QiskitBackend
from qml.circuit_files import parse
from qml.cli import main
from qml.dry_run import dry_run
from qml.standard_gates import append_program

LINE = [[0, 1], [1, 2], [2, 3]]
GENERIC = GenericBackendV2(4, basis_gates=["rz", "sx", "x", "cx"], coupling_map=LINE, noise_info=False, seed=1)


class Watched(BaseSamplerV2):
    """A sampler that remembers its pubs."""

    def __init__(self, sampler):
        self._sampler, self.pubs, self.runs = sampler, [], 0

    def run(self, pubs, *, shots=None):
        self.runs += 1
        self.pubs.extend(SamplerPub.coerce(pub, shots) for pub in pubs)
        return self._sampler.run(pubs, shots=shots)


def test_programs_in_standard_gates_do_what_their_matrices_do(case, lowered, oracle, rng):
    program = lowered[case.name]
    if program.is_evolving:
        pytest.skip("backend qiskit refuses evolutions by a sum, as another test shows")
    angles = rng.uniform(-4, 4, len(program.slots))
    written = QuantumCircuit(program.n_qubits)
    append_program(written, program, angles.tolist())
    full = np.eye(1 << program.n_qubits)
    for gate in program.gates:
        full = oracle.matrix(program, gate, angles) @ full
    assert np.allclose(Operator(written).data, full, atol=1e-12)


@pytest.mark.parametrize("estimator", [StatevectorEstimator, NativeEstimator])
def test_exact_estimators_give_exact_values_and_shift_rule_gradients(estimator, catalogue):
    for name in ("middle", "amplitude"):
        case = catalogue[name]
        settings = {"observables": list(case.observables), "dtype": torch.float64, "seed": 1}
        found = []
        for backend in ("native", estimator()):
            layer = QuantumLayer(case.circuit, backend=backend, diff_method="best", **settings)
            x = torch.linspace(0.2, 2, layer.n_inputs, dtype=torch.float64).reshape(1, -1).requires_grad_()
            values = layer(x) if layer.n_inputs else layer()
            values.sum().backward()
            found.append([values.detach(), *(p.grad for p in layer.parameters()), *([x.grad] if layer.n_inputs else [])])
        assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*found))


@pytest.mark.parametrize(
    "device",
    [
        GENERIC,
        BackendSamplerV2(backend=GENERIC, options={"seed_simulator": 5}),
        NativeSampler(seed=np.random.default_rng(5)),
    ],
    ids=["backend", "sampler", "native_sampler"],
)
def test_gradients_through_a_sampler_agree_with_exact_ones(device):
    circuit, shots, repeats = encodings.angle(3).compose(ansatze.hardware_efficient(3, 1)), 200, 12
    exact = QuantumLayer(circuit, ["ZZI", "XIY"], seed=2, dtype=torch.float64)
    layer = QuantumLayer(circuit, ["ZZI", "XIY"], backend=device, shots=shots, seed=2, dtype=torch.float64)
    x = torch.linspace(-1, 1, 3, dtype=torch.float64).repeat(repeats, 1)
    gradients = []
    for own in (exact, layer):
        w = own.w.detach().repeat(repeats, 1).requires_grad_()
        inputs = x.clone().requires_grad_()
        own.evaluate(inputs, w).sum().backward()
        gradients.append(torch.cat([inputs.grad, w.grad], dim=1))
    error = gradients[1].std(dim=0) / np.sqrt(repeats)
    # Twelve repeats tell the error itself to a fifth: a component of no variance at all is exact.
    bound = 5 * error * (1 + 5 / np.sqrt(2 * (repeats - 1))) + 1e-9
    assert ((gradients[1].mean(dim=0) - gradients[0][0]).abs() <= bound).all(), "seed 2"


def test_a_batch_is_one_pub_for_each_basis_in_the_targets_gates():
    sampler = Watched(BackendSamplerV2(backend=GENERIC))
    sampler.backend = GENERIC
    circuit = encodings.angle(4).compose(ansatze.strongly_entangling(4, 1))
    layer = QuantumLayer(circuit, ["ZIIZ", "XXII", "IXII"], backend=sampler, shots=10, seed=0)
    layer(torch.rand(7, 4))
    assert [(pub.shape, pub.shots) for pub in sampler.pubs] == [((7,), 10)] * 2 and sampler.runs == 2
    for pub in sampler.pubs:
        assert set(pub.circuit.count_ops()) <= {"rz", "sx", "x", "cx", "measure", "barrier"}
        pairs = [[pub.circuit.find_bit(q).index for q in i.qubits] for i in pub.circuit.data if i.name == "cx"]
        assert pairs and all(pair in ([0, 1], [1, 2], [2, 3]) for pair in pairs)


def test_an_estimator_that_is_not_exact_takes_shots_as_a_precision():
    circuit = ansatze.strongly_entangling(3, 1)
    circuit = circuit.assign_parameters(np.linspace(0, 5, len(circuit.parameters)))
    operators = ["ZZI", "XIY", "0.5*IYZ + 2*III"]
    exact, _ = resolve("native").estimate(circuit, operators)
    device = BackendEstimatorV2(backend=GENERIC, options={"seed_simulator": 3})
    values, errors = resolve(device).estimate(circuit, operators, shots=2000)
    assert (np.abs(values - exact) <= 5 * errors).all() and (errors <= 1 / np.sqrt(2000) + 1e-3).all()
    layer = QuantumLayer(ansatze.separable(1), "Z", backend=device, shots=2000, seed=1)
    layer().sum().backward()
    wanted = QuantumLayer(ansatze.separable(1), "Z", seed=1)
    wanted().sum().backward()
    assert (layer.w.grad - wanted.w.grad).abs().max() <= 5 / np.sqrt(2000)


def test_outcomes_of_a_device_come_back_by_registers_mid_circuit_too():
    middle = QuantumCircuit(1, 2)
    middle.x(0)
    middle.measure(0, 0)
    middle.x(0)
    middle.measure(0, 1)
    assert resolve(GENERIC).counts(middle, 30, seed=1) == {"01": 30}
    flipped = QuantumCircuit(3)
    flipped.x(2)
    flipped.measure_all()
    assert resolve(StatevectorSampler()).counts(flipped, 9) == {"100": 9}


LOOSE = """
OPENQASM 3;
include "stdgates.inc";
bit c;
bit[2] a;
bit d;
qubit[4] q;
x q[0];
x q[2];
c = measure q[0];
a[0] = measure q[1];
a[1] = measure q[2];
d = measure q[3];
"""
BACKENDS = ["device", "sampler", "qiskit", "native", "aer", "pennylane"]


@pytest.mark.parametrize("backend", [GENERIC, StatevectorSampler(), "qiskit", "native", "aer", "pennylane"], ids=BACKENDS)
def test_bits_of_no_register_are_counted_at_their_places(backend):
    (circuit,) = parse(LOOSE.encode(), "loose")
    assert [bool(circuit.find_bit(bit).registers) for bit in circuit.clbits] == [False, True, True, False]
    assert resolve(backend).counts(circuit, 9, seed=1) == {"0101": 9}


def test_the_ledger_counts_circuits_and_shots_once():
    circuit, costs = encodings.angle(2).compose(ansatze.separable(2)), []
    for backend in ("native", "qiskit", GENERIC):
        layer = QuantumLayer(circuit, ["ZI", "XX"], backend=backend, shots=11, diff_method="parameter-shift", seed=0)
        with qml.ledger() as cost:
            layer(torch.rand(3, 2)).sum().backward()
        costs.append([(part.circuits, part.shots) for part in (cost.values, cost.gradients)])
    assert costs[0] == costs[1] == costs[2] and costs[0][0] == (6, 66)
    with qml.ledger() as cost:
        bound = circuit.assign_parameters(np.zeros(circuit.num_parameters)).measure_all(inplace=False)
        NativeSampler().run([bound], shots=9).result()
    assert (cost.values.circuits, cost.values.shots) == (1, 9)


def test_nothing_to_bind_and_no_rows_work():
    fixed = QuantumCircuit(2)
    fixed.x(1)
    for device in (GENERIC, NativeSampler()):
        values = QuantumLayer(fixed, ["ZI", "IZ"], backend=device, shots=5)()
        assert torch.allclose(values, torch.tensor([-1.0, 1.0]))
    layer = QuantumLayer(encodings.angle(2), ["ZI", "IZ"], backend=GENERIC, shots=5)
    assert layer(torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize(
    ("attempt", "kind", "match"),
    [
        (lambda: QiskitBackend(3), LabError, "BackendV2 or its name"),
        (lambda: QuantumLayer(ansatze.separable(2), backend=GENERIC)(), Unsupported, "shots=1000"),
        (lambda: QuantumLayer(ansatze.separable(2), backend=StatevectorSampler())(), Unsupported, "NativeEstimator"),
        (lambda: QuantumLayer(ansatze.separable(5), backend=GENERIC, shots=5)(), LabError, "5 qubits .* has 4"),
        (lambda: QuantumLayer(ansatze.separable(2), backend=GENERIC, shots=5, diff_method="adjoint"), Unsupported, "-shift"),
        (lambda: resolve(GENERIC).counts(QuantumCircuit(1), 5), LabError, "measure_all"),
        (lambda: resolve(BackendEstimatorV2(backend=GENERIC)).counts(ghz(), 5), Unsupported, "V2 sampler"),
        (lambda: resolve(NativeEstimator(default_precision=0.1)).estimate(QuantumCircuit(1), "Z"), Unsupported, "shots"),
        (lambda: resolve(Broken()).counts(ghz(), 5), LabError, "Broken failed: RuntimeError: out of helium"),
        (lambda: resolve("qiskit", device="fake_manilla"), UnknownName, "did you mean 'fake_manila'"),
        (lambda: dry_run([ghz()], resolve("qiskit"), 5), Unsupported, "--device fake_manila"),
        (lambda: dry_run([ghz()], resolve("native"), 5), Unsupported, "--device fake_manila"),
        (lambda: dry_run([ghz()], resolve(GENERIC), None, ["ZZZ"]), Unsupported, "number of shots"),
        (lambda: resolve(wide()).estimate(QuantumCircuit(64), "Z" * 64, shots=5), Unsupported, "hold 62 qubits, got 64"),
    ],
)
def test_what_cannot_work_raises_one_line_that_names_what_would(attempt, kind, match):
    with pytest.raises(kind, match=match) as caught:
        attempt()
    assert "\n" not in str(caught.value)


class Broken(BaseSamplerV2):
    """A sampler on a bad day."""

    def run(self, pubs, *, shots=None):
        raise RuntimeError("out of\nhelium")


def wide() -> GenericBackendV2:
    return GenericBackendV2(64, coupling_map=[[q, q + 1] for q in range(63)], noise_info=False, seed=1)


def ghz() -> QuantumCircuit:
    circuit = QuantumCircuit(3, name="ghz")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure_all()
    return circuit


def test_a_dry_run_says_what_is_sent_and_sends_nothing():
    sampler = Watched(BackendSamplerV2(backend=GENERIC))
    sampler.backend = GENERIC
    backend = resolve(sampler)
    told = dry_run([ghz()], backend, 100, ["ZZI", "XII", "IZZ"])
    assert sampler.runs == 0 and (told.shots, len(told.circuits)) == (200, 2)
    backend.estimate(ghz().remove_final_measurements(inplace=False), ["ZZI", "XII", "IZZ"], 100)
    sent = [{name: k for name, k in pub.circuit.count_ops().items() if name != "barrier"} for pub in sampler.pubs]
    assert [circuit.gates for circuit in told.circuits] == sent
    assert [circuit.depth for circuit in told.circuits] == [pub.circuit.depth() for pub in sampler.pubs]
    assert "ghz in basis XII" in str(told) and "nothing was sent" in str(told)


def test_the_command_tells_what_a_fake_device_would_get(capsys, tmp_path, monkeypatch):
    file = tmp_path / "ghz.qasm"
    file.write_text('OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0],q[1]; measure q -> c;')
    arguments = ["submit", str(file), "--backend", "qiskit", "--device", "fake_manila", "--dry-run", "--json"]
    monkeypatch.setattr(sys, "argv", ["qml", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = json.loads(capsys.readouterr().out)
    assert not ended.value.code and told["backend"] == "fake_manila"
    assert told["primitive"] == "qiskit_ibm_runtime.executor_sampler.Sampler"
    assert told["circuits"][0]["two_qubit_gates"] == 1 and told["circuits"][0]["gates"]["measure"] == 2
    assert 0 < told["seconds"] < 1 and told["shots"] == 1024


def test_a_dry_run_takes_the_options_and_values_that_a_submission_takes(command, tmp_path):
    program = 'OPENQASM 3;\ninclude "stdgates.inc";\ninput float a;\nqubit[2] q;\nrx(a) q[0];\n' + 2 * "cx q[0], q[1];\n"
    (tmp_path / "f.qasm").write_text(program)
    (tmp_path / "rows.csv").write_text("0.1\n0.2\n0.3\n")
    arguments = ("submit", tmp_path / "f.qasm", "--values", tmp_path / "rows.csv", "--backend", "qiskit")
    arguments = (*arguments, "--device", "fake_manila", "--dry-run", "--json")
    for level, pairs in ((0, 2), (1, 0)):  # the two gates are one another's inverse
        told = json.loads(command(*arguments, "--option", f"optimization_level={level}")[1])
        assert [circuit["two_qubit_gates"] for circuit in told["circuits"]] == [pairs] * 3
    assert "has no option 'method'" in command(*arguments, "--method", "statevector")[2]


def test_ibms_new_primitives_run_on_a_fake_device_and_see_its_noise(tmp_path):
    from qiskit_ibm_runtime.executor_estimator import Estimator
    from qiskit_ibm_runtime.executor_sampler import Sampler
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    job = qml.submit(ghz(), "qiskit", shots=2000, seed=1, device="fake_manila", store=tmp_path / "store.sqlite")
    counts = job.result().counts
    # Manila's readout alone errs by a few in a hundred; without noise there were two outcomes.
    assert sum(counts.values()) == 2000 and 0.6 < (counts["000"] + counts["111"]) / 2000 < 0.99
    fake, bare = FakeManilaV2(), ghz().remove_final_measurements(inplace=False)
    for primitive in (Sampler(mode=fake), Estimator(mode=fake)):
        backend = resolve(primitive)
        assert backend.target_backend is fake
        values, errors = backend.estimate(bare, ["ZZI", "XXX"], shots=1000)
        assert (values > 0.6).all() and (values < 1.05).all() and (errors > 0).all()


def test_a_submission_with_tags_is_sent_once_and_found_again_after_a_crash():
    sent = []

    class Service:
        def jobs(self, job_tags, backend_name, limit):
            return [job for job in sent if set(job_tags) <= set(job.tags) and backend_name == "far"]

    class Sampler:
        options = SimpleNamespace(environment=SimpleNamespace(job_tags=[]))

        def run(self, pubs):
            job = SimpleNamespace(tags=self.options.environment.job_tags, status=lambda: "QUEUED")
            sent.append(job)
            return job

    device = SimpleNamespace(service=Service(), name="far")
    pubs, others = [(ghz(), None, 10)], [(ghz(), None, 11)]
    first = ibm.SentOnce(Sampler(), device, ["lab:1"]).run(pubs)
    assert ibm.SentOnce(Sampler(), device, ["lab:1"]).run(pubs) is first and len(sent) == 1
    assert ibm.SentOnce(Sampler(), device, ["lab:1"]).run(others) is not first
    assert ibm.SentOnce(Sampler(), device, ["lab:2"]).run(pubs) is not first and len(sent) == 3
    first.status = lambda: "ERROR"
    assert ibm.SentOnce(Sampler(), device, ["lab:1"]).run(pubs) is not first


DIGEST = """
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qml.ibm import digest
circuit = QuantumCircuit(1)
circuit.rx(Parameter("t"), 0)
circuit.measure_all()
print(digest([SamplerPub.coerce((circuit, [[0.1], [0.2]]), 7)]))
"""


def test_a_pubs_digest_is_the_same_in_every_process_and_tells_values_apart():
    found = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout.strip()
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("t"), 0)
    circuit.measure_all()
    pubs = [SamplerPub.coerce((circuit, values), 7) for values in ([[0.1], [0.2]], [[0.1], [0.3]])]
    assert ibm.digest(pubs[:1]) == found != ibm.digest(pubs[1:])


def test_every_job_reaches_the_backend_under_its_id_and_tags_add_up(tmp_path):
    from qml.backends.native import NativeBackend

    class Told(NativeBackend):
        def tagged(self, tag):
            tags.append(tag)
            return self

    tags = []
    job = qml.submit(ghz(), Told(), shots=10, store=tmp_path / "store.sqlite")
    job.result()
    assert tags == [f"qml-job:{job.id}"]
    remote = GenericBackendV2(2, seed=1)
    remote.service = object()
    backend = resolve("qiskit", device=remote, job_tags=["mine"])
    assert backend.tagged("qml-job:1").job_tags == ["mine", "qml-job:1"] and backend.job_tags == ["mine"]


def test_a_sum_of_nothing_is_zero():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w"), 0)
    layer = QuantumLayer(circuit, [SparsePauliOp("Z", 0.0), "Z"], init=[0.3], backend="qiskit", dtype=torch.float64)
    assert layer().tolist() == pytest.approx([0.0, np.cos(0.3)])
    assert QuantumLayer(circuit, SparsePauliOp("Z", 0.0), init=[0.3], backend="qiskit")().tolist() == [0.0]
