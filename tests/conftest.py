"""The catalogue of circuits every agreement test runs over, and the dense-matrix oracle they are held against."""

import importlib
import os
import pathlib
import sys
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: test workers share the cores already
import torch

if not torch.cuda.is_available():  # before Triton: without a GPU its kernels run in its interpreter
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest
import scipy.linalg
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import HGate, PauliEvolutionGate, RXGate, UnitaryGate, zz_feature_map
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary
from qiskit.synthesis import MatrixExponential

from circuits import ansatze, encodings
from circuits.evolution import Evolution, EvolutionGate
from circuits.lowering import lower
from circuits.program import Rotation

SEED = 20261123


@dataclass(frozen=True)
class Case:
    """A circuit with observables; `slow` cases are run on the fast backends only."""

    name: str
    circuit: QuantumCircuit
    observables: tuple[str, ...] | None = None


def _controlled() -> QuantumCircuit:
    w = ParameterVector("w", 8)
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.crx(w[0], 0, 1)
    circuit.cry(w[1], 2, 0, ctrl_state=0)
    circuit.crz(w[2], 1, 2)
    circuit.cp(w[3], 0, 2)
    circuit.mcp(w[4], [0, 1], 2)
    circuit.append(RXGate(w[5]).control(2, ctrl_state=1, annotated=True), [2, 0, 1])
    circuit.cu(w[6], w[7], 0.4, -0.9, 1, 0)
    return circuit


def _shared() -> QuantumCircuit:
    x, w = ParameterVector("x", 2), ParameterVector("w", 3)
    circuit = QuantumCircuit(3)
    circuit.rx(x[0], 0)
    circuit.ry(2 * w[0] + 0.3, 0)
    circuit.rzz(w[0], 0, 1)
    circuit.crx(-w[0] / 2, 1, 2)
    circuit.rxx(w[1], 0, 2)
    circuit.ryy(w[1] + w[2], 1, 2)
    circuit.rz(w[1] * x[1], 1)
    circuit.rx(w[2] ** 2, 2)
    return circuit


def _middle() -> QuantumCircuit:
    """Inputs in the middle, in two-qubit and controlled rotations, between gates without parameters."""
    x, w = ParameterVector("x", 3), ParameterVector("w", 4)
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.ry(w[0], 1)
    circuit.rx(x[0], 0)
    circuit.ecr(0, 1)
    circuit.rzx(x[1], 2, 0)
    circuit.ccx(0, 1, 2)
    circuit.cry(x[2], 1, 2)
    circuit.append(UnitaryGate(random_unitary(4, seed=7)), [2, 0])
    circuit.u(w[1], x[0], w[2], 1)
    circuit.swap(0, 2)
    circuit.iswap(1, 2)
    circuit.cp(x[1] + w[3], 2, 0)
    circuit.cswap(0, 1, 2)
    return circuit


def _composite() -> QuantumCircuit:
    """Gates inside gates, controlled composites and every phase gate."""
    w = ParameterVector("w", 3)
    inner = QuantumCircuit(2, name="inner", global_phase=0.7)
    inner.h(0)
    inner.s(1)
    inner.cx(0, 1)
    inner.rx(w[0], 1)
    inner.tdg(0)
    circuit = QuantumCircuit(3)
    circuit.append(inner.to_gate(), [2, 0])
    circuit.append(inner.to_gate().control(1, annotated=False), [1, 2, 0])
    circuit.r(w[1], 0.4, 0)
    circuit.append(HGate().control(2, ctrl_state=2, annotated=True), [0, 1, 2])
    circuit.p(w[2], 1)
    circuit.csx(0, 2)
    circuit.dcx(1, 2)
    return circuit


def _evolution() -> QuantumCircuit:
    """Sums that do not commute, with inputs, weights and numbers; one controlled, one with a time; and one that commutes."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 4)
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rx(x[0], 1)
    first = SparsePauliOp(["XXI", "ZII", "IIZ", "YII", "III"], np.array([w[0], 0.5, w[1], x[1] * w[2], 0.3]))
    circuit.append(EvolutionGate(first), [2, 0, 1])
    second = EvolutionGate(SparsePauliOp(["X", "Z"], np.array([w[3], 0.5])))
    circuit.append(second.control(1, ctrl_state=0), [0, 1])
    circuit.cx(1, 2)
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZI"]), time=w[0], synthesis=MatrixExponential()), [2, 1])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XX", "ZZ"]), time=w[1]), [0, 2])
    return circuit


CASES = [
    Case("one_qubit", encodings.angle(1).compose(ansatze.hardware_efficient(1, 2)), ("X", "0.5*Z - Y")),
    Case("hardware_efficient", encodings.angle(3).compose(ansatze.hardware_efficient(3, 2))),
    Case("strongly_entangling", encodings.angle(3, rotation="Y").compose(ansatze.strongly_entangling(3, 2)), ("ZZZ",)),
    Case("no_inputs", ansatze.random_pauli(3, 2, seed=1), ("IZZ", "XYX")),
    Case("controlled", _controlled(), ("ZZI", "XYZ", "0.5*IIX + IZZ")),
    Case("shared", _shared(), ("ZIZ", "XXI - 0.3*IYZ")),
    Case("reuploading", encodings.reuploading(3, 2), ("ZII", "IXY")),
    Case("middle", _middle(), ("ZXI", "IYZ", "IIZ")),
    Case("composite", _composite(), ("XYZ", "ZII")),
    Case("iqp", encodings.iqp(3, n_repeats=2).compose(ansatze.brickwork(3, 2)), ("XXX", "ZIZ")),
    Case("zz_feature_map", zz_feature_map(3).compose(ansatze.hva_tfim(3, 1)), ("ZZZ", "XII")),
    Case("amplitude", encodings.amplitude(2).compose(ansatze.strongly_entangling(2, 1)), ("ZI", "XY", "II")),
    Case("evolution", _evolution(), ("ZII", "XYZ")),
    Case("only_inputs", encodings.iqp(2), ("XZ", "YY")),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request) -> Case:
    """Every circuit of the catalogue in turn."""
    return request.param


@pytest.fixture(scope="session")
def catalogue() -> dict[str, Case]:
    """The catalogue by name."""
    return {case.name: case for case in CASES}


LETTERS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


class Oracle:
    """Dense matrices, built gate by gate with Kronecker products and matrix exponentials: slow and obviously right."""

    def value_of_circuit(self, circuit: QuantumCircuit, operator) -> float:
        """<O> of a bound circuit by Qiskit's own state vector: nothing of ours is in between."""
        return float(Statevector(circuit).expectation_value(operator).real)

    def on(self, n_qubits: int, factors: dict[int, np.ndarray]) -> np.ndarray:
        full = np.eye(1)
        for qubit in reversed(range(n_qubits)):
            full = np.kron(full, factors.get(qubit, np.eye(2)))
        return full

    def projector(self, program, gate) -> np.ndarray:
        factors = {q: np.diag([1.0 - (gate.control_state >> j & 1), gate.control_state >> j & 1])
                   for j, q in enumerate(gate.controls)}  # fmt: skip
        return self.on(program.n_qubits, factors)

    def generator(self, program, gate: Rotation) -> np.ndarray:
        string = self.on(program.n_qubits, {q: LETTERS[a] for q, a in zip(gate.qubits, gate.pauli)})
        return self.projector(program, gate) @ string

    def terms(self, program, gate: Evolution) -> list[np.ndarray]:
        """The strings of an evolution, halved and controlled."""
        paulis = [self.on(program.n_qubits, {q: LETTERS[a] for q, a in zip(gate.qubits, pauli)}) for pauli in gate.paulis]
        return [self.projector(program, gate) @ pauli / 2 for pauli in paulis]

    def exponent(self, program, gate: Evolution, angles) -> np.ndarray:
        values = [t if s is None else angles[s] for s, t in zip(gate.slots, gate.angles)]
        return -1j * sum(t * term for t, term in zip(values, self.terms(program, gate)))

    def matrix(self, program, gate, angles) -> np.ndarray:
        if isinstance(gate, Evolution):
            return scipy.linalg.expm(self.exponent(program, gate, angles))
        if isinstance(gate, Rotation):
            angle = gate.angle if gate.slot is None else angles[gate.slot]
            return scipy.linalg.expm(-0.5j * angle * self.generator(program, gate))
        circuit = QuantumCircuit(program.n_qubits)
        circuit.append(UnitaryGate(gate.matrix), list(gate.qubits))
        projector = self.projector(program, gate)
        return projector @ Operator(circuit).data + np.eye(len(projector)) - projector

    def values_and_derivatives(self, program, operators, angles) -> tuple[np.ndarray, np.ndarray]:
        """(K,) expectation values and (K, n_slots) derivatives at one vector of angles, by the product rule."""
        state = np.zeros(2**program.n_qubits, complex)
        state[0] = 1
        tangents = np.zeros((len(program.slots), len(state)), complex)
        if program.amplitudes:
            state = angles[list(program.amplitudes)].astype(complex)
            tangents[list(program.amplitudes)] = np.eye(len(state))
        for gate in program.gates:
            matrix = self.matrix(program, gate, angles)
            if isinstance(gate, Rotation) and gate.slot is not None:
                tangents[gate.slot] += -0.5j * self.generator(program, gate) @ state
            before = state
            state, tangents = matrix @ state, tangents @ matrix.T
            if isinstance(gate, Evolution):
                exponent = self.exponent(program, gate, angles)
                for slot, term in zip(gate.slots, self.terms(program, gate)):
                    if slot is not None:
                        tangents[slot] += scipy.linalg.expm_frechet(exponent, -1j * term, compute_expm=False) @ before
        dense = [np.asarray(operator.to_matrix()) for operator in operators]
        values = np.array([(state.conj() @ o @ state).real for o in dense])
        return values, np.array([2 * (tangents.conj() @ o @ state).real for o in dense])


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """The dense-matrix road."""
    return Oracle()


@pytest.fixture
def device(monkeypatch) -> torch.device:
    """The GPU; without one the CPU, whose tensors then take the GPU's road through Triton's interpreter."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    from triton.runtime import interpreter

    from qml.native_gpu import availability

    monkeypatch.setattr(availability, "ON_CPU_TENSORS", True)
    seen: set[int] = set()

    def call(function, *arguments, **options):
        """The interpreter makes `triton.language` its own anew at each call within a kernel; once a launch is enough."""
        where = id(function.fn.__globals__)
        if not function.fn.__module__.startswith("qml.") and where not in seen:
            interpreter._patch_lang(function.fn)
            seen.add(where)
        return function.rewrite()(*arguments, **options)

    monkeypatch.setattr(interpreter.InterpretedFunction, "__call__", call)
    return torch.device("cpu")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers with a seed that a failing test prints."""
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def reference_folder() -> pathlib.Path:
    """Published data, where it is at hand: QML_LAB_REFERENCE, or `shared/reference` beside the repository."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared" / "reference"
    folder = pathlib.Path(os.environ.get("QML_LAB_REFERENCE", beside))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}: set QML_LAB_REFERENCE")
    return folder


@pytest.fixture(scope="session")
def lowered():
    """Lowered programs by case name."""
    return {case.name: lower(case.circuit) for case in CASES}


def pytest_configure(config):
    """Every worker imports the code under test and not another `tests` package."""
    importlib.import_module("circuits")


def pytest_sessionstart(session):
    """One of several workers compiles the kernels of one precision, so that each finds the other's on disk."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        return
    import torch

    import qml

    dtype = torch.float32 if int(worker.removeprefix("gw")) % 2 else torch.float64
    for n_qubits in (1, 18):  # many samples together, and one state that threads share
        circuit = encodings.angle(n_qubits).compose(ansatze.hardware_efficient(n_qubits, 1))
        layer = qml.QuantumLayer(circuit, "I" * (n_qubits - 1) + "Z", dtype=dtype)
        x = torch.zeros(1, n_qubits, dtype=dtype, requires_grad=True)
        (gradient,) = torch.autograd.grad(layer(x).sum(), x, create_graph=n_qubits == 1)
        if n_qubits == 1:
            gradient.sum().backward()


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `qml` with arguments: exit code, standard output, standard error."""
    from qml.cli import application, run

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qml", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            run(application())
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return call


@pytest.fixture
def store(tmp_path) -> pathlib.Path:
    """Where a store may be made."""
    return tmp_path / "store.sqlite"


@pytest.fixture
def on_store(monkeypatch, store):
    """Commands keep their jobs in the store, and print lines of 120 columns."""
    monkeypatch.setenv("QML_LAB_STORE", str(store))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def counting():
    """A kind of backend that answers with its seed and counts how often it was asked."""
    from qml.backends.base import Backend

    class Counting(Backend):
        name = "counting"
        calls = 0

        def compile(self, program, observables, slots=None):
            raise NotImplementedError

        def counts(self, circuit, shots, seed=None):
            self.calls += 1
            return {format(seed, "b"): shots}

    return Counting
