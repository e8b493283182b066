"""Any Qiskit `BackendV2` or V2 primitive: all rows of angles in one pub; shots, and exact values where there are any."""

import copy
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.circuit import ClassicalRegister, ParameterVector
from qiskit.circuit.library import StatePreparation
from qiskit.primitives import BackendSamplerV2, BaseEstimatorV2, BaseSamplerV2, StatevectorEstimator, StatevectorSampler
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError, Unsupported
from circuits.measurements import READS_NOTHING, without_lookalikes
from qml import costs
from qml.backends.base import MOST_QUBITS, Backend, Compiled, Slots, by_outcome, check_bound, check_memory, check_shots
from qml.primitives.estimator import NativeEstimator
from qml.primitives.sampler import NativeSampler
from qml.standard_gates import append_program

EXACT = ((StatevectorEstimator, StatevectorSampler), (NativeEstimator, NativeSampler))
MOST_QUBITS_OF_PROBABILITIES = 10


class QiskitCircuit(Compiled):
    """A program as a circuit of standard gates, transpiled once, its angles bound by the primitive."""

    @cached_property
    def _vector(self) -> ParameterVector:
        return ParameterVector("t", len(self.program.slots))

    @cached_property
    def for_values(self) -> QuantumCircuit:
        """The circuit that an estimator gets, transpiled, with a free parameter for each angle."""
        return self._written(measure=False)

    @cached_property
    def for_shots(self) -> QuantumCircuit:
        """The same with all of its qubits measured: what a sampler gets."""
        return self._written(measure=True)

    def _written(self, measure: bool, start: np.ndarray | None = None) -> QuantumCircuit:
        circuit = QuantumCircuit(self.program.n_qubits)
        if start is not None:
            circuit.append(StatePreparation(start), range(self.program.n_qubits))
        append_program(circuit, self.program, self._vector)
        if measure:
            circuit.measure_all()
        return self.backend.transpiled(circuit)

    def _pubs(self, inputs, weights, measure: bool) -> Iterator[tuple[QuantumCircuit, BindingsArray]]:
        """One pub for all rows; one a row where initial states differ, which cannot be bound, or nothing is to be bound."""
        angles = self.slots.join(inputs, weights).astype(float)
        if not self.program.amplitudes:
            circuit = self.for_shots if measure else self.for_values
            bindings = self._bound(circuit, angles)
            # Not every primitive repeats a circuit without parameters as often as an empty array of bindings is long.
            yield from [(circuit, bindings)] if bindings.num_parameters else [(circuit, BindingsArray())] * len(inputs)
            return
        for row in range(len(inputs)):
            start = angles[list(self.program.amplitudes), row]
            circuit = self._written(measure, start / np.linalg.norm(start))
            bindings = self._bound(circuit, angles[:, [row]])
            yield circuit, bindings if bindings.num_parameters else BindingsArray()

    def _bound(self, circuit: QuantumCircuit, angles: np.ndarray) -> BindingsArray:
        """The angles that the transpiler left in the circuit: it drops what no measurement sees."""
        kept = set(circuit.parameters)
        slots = [slot for slot, parameter in enumerate(self._vector) if parameter in kept]
        return BindingsArray({tuple(self._vector[slot] for slot in slots): angles[slots].T} if slots else {})

    def _expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        values = self._estimated(inputs, weights, self.observables, 0.0)[0]
        return (values * self.squared_norms(inputs, weights)).astype(weights.dtype)

    def estimated(self, inputs, weights, precision: float) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) values and (B, K) standard errors by an estimator at a precision, of the normalised state."""
        return self._estimated(inputs, weights, self.observables, precision)

    def _estimated(self, inputs, weights, observables, precision: float) -> tuple[np.ndarray, np.ndarray]:
        if precision == 0:
            self.backend.check_exact()
            check_memory(32 << self.program.n_qubits, f"simulating {self.program.n_qubits} qubits")
        found = np.zeros((2, len(inputs), len(observables)))
        seen = [k for k, operator in enumerate(observables) if operator.coeffs.any()]  # Qiskit refuses a sum of nothing
        if not seen:
            return found[0], found[1]
        pubs = []
        for circuit, bindings in self._pubs(inputs, weights, measure=False):
            moved = [observables[k].apply_layout(circuit.layout) if circuit.layout else observables[k] for k in seen]
            pubs.append((circuit, [[operator] for operator in moved], bindings))
        results = self.backend.run(self.backend.estimator, pubs, precision=precision)
        for whole, name in zip(found, ("evs", "stds")):
            whole[:, seen] = np.concatenate([getattr(r.data, name) for r in results], axis=1).T
        return found[0], found[1]

    def squared_norms(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray | float:
        """(B, 1) squared norms of the initial states, which a primitive normalises."""
        if not self.program.amplitudes:
            return 1.0
        return (self.slots.join(inputs, weights)[list(self.program.amplitudes)] ** 2).sum(axis=0)[:, None]

    def _probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """From the exact values of all Z strings, by a Walsh-Hadamard transform."""
        n_qubits = self.program.n_qubits
        if n_qubits > MOST_QUBITS_OF_PROBABILITIES:
            raise Unsupported(
                f"backend 'qiskit' has probabilities up to {MOST_QUBITS_OF_PROBABILITIES} qubits, got {n_qubits}: "
                "use backend 'native'"
            )
        labels = ["".join("IZ"[k >> q & 1] for q in reversed(range(n_qubits))) for k in range(1 << n_qubits)]
        values, _ = self._estimated(inputs, weights, [SparsePauliOp(label) for label in labels], 0.0)
        signs = 1.0 - 2.0 * (np.bitwise_count(np.arange(1 << n_qubits)[:, None] & np.arange(1 << n_qubits)) & 1)
        return (values @ signs / (1 << n_qubits)).astype(weights.dtype)

    def _sample(self, inputs, weights, shots: int, seed: np.random.SeedSequence) -> np.ndarray:
        if self.program.n_qubits > MOST_QUBITS:
            raise Unsupported(f"{self.program.n_qubits} qubits are sampled at once: backend 'qiskit' holds {MOST_QUBITS}")
        sampler = self.backend.sampler(seed)
        pubs = [(circuit, bindings, shots) for circuit, bindings in self._pubs(inputs, weights, measure=True)]
        return np.concatenate([_numbers(r.data.meas.array) for r in self.backend.run(sampler, pubs)])

    def measured(self):
        """As every backend's; an estimator that is not exact chooses its own measurements."""
        if self.backend.samples:
            return super().measured()
        from qml.primitives.estimated import Estimated

        return Estimated(self)


def _numbers(array: np.ndarray) -> np.ndarray:
    """(B, shots) whole numbers from their bytes, the most significant first."""
    array = array.reshape(-1, *array.shape[-2:])
    padded = np.zeros((*array.shape[:2], 8), np.uint8)
    padded[..., 8 - array.shape[-1] :] = array
    return padded.view(">u8")[..., 0].astype(np.int64)


class QiskitBackend(Backend):
    """Runs on a Qiskit backend or primitive, circuits transpiled to its target.

    Args:
        device: None for our own `NativeEstimator` and `NativeSampler`; a `BackendV2`, or the name of one of IBM's, such
            as "fake_manila" or "ibm_fez"; a V2 sampler; a V2 estimator. A sampler object keeps its own seed. Exact
            values are had of the first, and of a `StatevectorEstimator` or `NativeEstimator` whose precision is 0. An
            estimator that is not exact takes `shots` as a precision of 1 / sqrt(shots).
        optimization_level, seed_transpiler: of the transpiler.
        job_tags: of jobs sent to IBM's service, which are looked for there before anything is sent again.
    """

    name = "qiskit"
    summary = "any Qiskit backend (--device) or V2 primitive"

    def __init__(
        self, device: Any = None, optimization_level: int = 1, seed_transpiler: int = 0, job_tags: list[str] | None = None
    ):
        if isinstance(device, str):
            from qml.ibm import backend_named

            device = backend_named(device)
        if device is not None and not isinstance(device, BackendV2 | BaseSamplerV2 | BaseEstimatorV2):
            given = type(device).__name__
            raise LabError(f"device of backend 'qiskit' is a BackendV2 or its name, a V2 sampler or estimator, got {given}")
        self.device, self.job_tags = device, job_tags
        given = NativeEstimator() if device is None else device
        self.estimator = given if isinstance(given, BaseEstimatorV2) else None
        self._own_sampler = next((s for e, s in EXACT if isinstance(self.estimator, e)), None)
        self.exact = self._own_sampler is not None and not self.estimator.default_precision
        self.samples = self._own_sampler is not None or self.estimator is None
        self.target_backend = device if isinstance(device, BackendV2) else _behind(device)
        self._transpiler = {"optimization_level": optimization_level, "seed_transpiler": seed_transpiler}

    def tagged(self, tag: str) -> "QiskitBackend":
        """A backend whose jobs at a service carry the tag too: after a crash the same stored job finds what it had sent."""
        if not hasattr(self.target_backend, "service"):
            return self
        own = copy.copy(self)
        own.job_tags = [*(self.job_tags or []), tag]
        return own

    @cached_property
    def _pass_manager(self):
        return generate_preset_pass_manager(backend=self.target_backend, **self._transpiler)

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_pass_manager"}

    def transpiled(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The circuit in the gates of the target, on its qubits; as it is where there is none."""
        if self.target_backend is None:
            return circuit
        has = self.target_backend.num_qubits
        if has is not None and circuit.num_qubits > has:
            raise LabError(f"the circuit has {circuit.num_qubits} qubits and {_name(self.target_backend)} has {has}")
        return self._pass_manager.run(circuit)

    def check_exact(self) -> None:
        """Raise `Unsupported` unless expectation values are exact."""
        if not self.exact:
            raise Unsupported(
                f"{_name(self.device)} gives values from shots: write shots=1000, or use StatevectorEstimator, "
                "NativeEstimator or backend 'native' for exact ones"
            )

    def sampler(self, seed: np.random.SeedSequence) -> BaseSamplerV2:
        """A sampler that draws by the seed where it can be told one; a sampler object is used as it is."""
        if self._own_sampler is not None:
            return self._own_sampler(seed=np.random.default_rng(seed))
        if isinstance(self.device, BaseSamplerV2):
            return self.device
        if self.estimator is not None:
            raise Unsupported(f"{_name(self.device)} estimates observables and samples nothing: pass a V2 sampler")
        drawn = int(seed.generate_state(1)[0] >> 1)
        if type(self.device).__module__.startswith("qiskit_ibm_runtime"):
            from qml.ibm import sampler_for

            return sampler_for(self.device, drawn, self.job_tags)
        takes_seed = hasattr(self.device.options, "seed_simulator")
        return BackendSamplerV2(backend=self.device, options={"seed_simulator": drawn} if takes_seed else None)

    def run(self, primitive: Any, pubs: list[tuple], **options: Any) -> list:
        """The primitive's results, one for each pub.

        Raises:
            LabError: it failed, with its reason.
        """
        try:
            with costs.entered_already():
                return list(primitive.run(pubs, **options).result())
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise LabError(f"{_name(primitive)} failed: {type(error).__name__}: {reason}") from error

    def _has_noise_by_names(self) -> bool:
        """Whether a simulator's noise is on some of its gates alone, and lowered circuits need not have these."""
        model = getattr(getattr(self.target_backend, "options", None), "noise_model", None)
        if model is None or self.target_backend.coupling_map is not None:
            return False
        noisy = set(model.noise_instructions) - {"measure", "reset"}
        return bool(noisy) and not set(model.basis_gates) <= noisy

    def compile(self, program, observables, slots=None) -> QiskitCircuit:
        if program.is_evolving:
            raise Unsupported(
                "an evolution by a sum that does not commute has no gates while its parameters are free, and backend "
                "'qiskit' transpiles once: use backend 'native', 'aer' or 'pennylane', or the product formula of a "
                "PauliEvolutionGate"
            )
        if self._has_noise_by_names():
            raise Unsupported(
                "a layer's gates are lowered, and a noise model that goes by gates' names does not find them: take the "
                "simulator of a device (AerSimulator.from_backend), or qml.submit the bound circuit to 'aer' with noise="
            )
        if self.target_backend is None:
            check_memory(16 << program.n_qubits, f"simulating {program.n_qubits} qubits")
        return QiskitCircuit(self, program, observables, slots or Slots((), tuple(range(len(program.slots)))))

    def counts(self, circuit: QuantumCircuit, shots: int, seed: int | None = None) -> dict[str, int]:
        """As every backend's; a device or a sampler object runs the circuit as it is, transpiled, mid-circuit or not."""
        if self._own_sampler is not None:
            return super().counts(circuit, shots, seed)
        check_shots(shots)
        check_bound(circuit)
        if not any(item.clbits for item in circuit.data):
            raise LabError(READS_NOTHING)
        whole = _with_registers(without_lookalikes(circuit))
        sampler, ready = self.sampler(np.random.SeedSequence(seed)), self.transpiled(whole)
        with costs.run(circuits=1, shots=shots, gates=ready.size(), passes=ready.size()):
            (result,) = self.run(sampler, [(ready, None, shots)])
        rows, numbers = np.unique(_bits(result.data, whole), axis=0, return_counts=True)
        values = [int("".join(map(str, row[::-1])), 2) for row in rows.tolist()]
        return by_outcome(dict(zip(values, numbers.tolist())), circuit)


def _with_registers(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with a register for each bit that has none: of such bits a sampler says nothing."""
    loose = [bit for bit in circuit.clbits if not circuit.find_bit(bit).registers]
    if not loose:
        return circuit
    whole, names = circuit.copy(), {register.name for register in circuit.cregs}
    free = (name for number in count() if (name := f"loose{number}") not in names)
    for bit in loose:  # one for each: Qiskit's sampler takes a register's bits for neighbours
        whole.add_register(ClassicalRegister(bits=[bit], name=next(free)))
    return whole


def _bits(data: Any, circuit: QuantumCircuit) -> np.ndarray:
    """(shots, n_clbits) of 0 and 1, by the places of the bits in the circuit."""
    read = {r: getattr(data, r.name).to_bool_array("little") for r in circuit.cregs if r.size}
    bits = np.zeros((len(next(iter(read.values()))), circuit.num_clbits), np.uint8)
    for register, own in read.items():
        bits[:, [circuit.find_bit(bit).index for bit in register]] = own
    return bits


def _behind(primitive: Any) -> BackendV2 | None:
    """The backend that a primitive runs on, where it tells."""
    for name in ("backend", "_backend"):
        found: Any | Callable = getattr(primitive, name, None)
        found = found() if callable(found) and not isinstance(found, BackendV2) else found
        if isinstance(found, BackendV2):
            return found
    return None


def _name(device: Any) -> str:
    return str(getattr(device, "name", None) or type(device).__name__)


def adopt(candidate, **options) -> QiskitBackend | None:
    """The backend around a `BackendV2` or a V2 primitive, or None for anything else."""
    if isinstance(candidate, BackendV2 | BaseSamplerV2 | BaseEstimatorV2):
        return QiskitBackend(candidate, **options)
    return None


BACKEND = QiskitBackend
