"""The contract of a backend: it compiles a program once, and the compiled circuit runs on batches of angles.

What a compiled circuit is given are angles, in two arrays: `inputs`, (B, n_input_slots), one row per sample, and
`weights`, (n_weight_slots,) shared by all samples or (B, n_weight_slots). Which slots are inputs is said at compile
time. A gradient has the shape of the array it belongs to, so that of shared weights is summed over the samples.
Arrays are NumPy, float32 or float64, and results have the dtype of `weights`.
"""

import importlib.util
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
import psutil
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError, TooLarge, Unsupported
from circuits.families import member, members
from circuits.lowering import lower
from circuits.measurements import split_measurements
from circuits.observables import as_list
from circuits.program import Program
from qml import costs
from qml.seeds import child

FAMILY = "qml.backends"
BYTES_A_SHOT = 32  # of an outcome, its uniform number, and copies of both
HINTS = {
    "noise": "; noise needs backend 'aer'",
    "device": "; devices are chosen for backend 'aer' (CPU, GPU), 'pennylane' or 'qiskit' (a device's name)",
    "observable": "; did you mean observables=?",
}
ALWAYS_THERE = 1 << 27  # bytes that are allocated without asking whether they are free
MOST_QUBITS = 62  # basis states are 64-bit integers


@dataclass(frozen=True)
class Slots:
    """Which of a program's slots are inputs and which are weights, in the order in which the two arrays list them."""

    inputs: tuple[int, ...]
    weights: tuple[int, ...]

    def join(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n_slots, B): every slot's value for every sample."""
        angles = np.empty((len(self.inputs) + len(self.weights), len(inputs)), weights.dtype)
        angles[list(self.inputs)] = inputs.T
        angles[list(self.weights)] = weights.T if weights.ndim == 2 else weights[:, None]
        return angles

    def split(self, gradients: np.ndarray, shared: bool) -> tuple[np.ndarray, np.ndarray]:
        """From (n_slots, B) derivatives to those of inputs and of weights, summed over samples where shared."""
        of_weights = gradients[list(self.weights)]
        weights = of_weights.sum(axis=1) if shared else of_weights.T
        return gradients[list(self.inputs)].T, weights


class Compiled(ABC):
    """A program with its observables, compiled by a backend.

    Attributes:
        backend, program, observables, slots: what it was made of.
        adjoint: whether it has `vjp`.
        has_second: whether `second` gives derivatives of the gradient.
        checks_angles: whether `forward` and `expectations` themselves refuse angles that are no numbers.
    """

    has_second: ClassVar[bool] = False
    checks_angles: bool = False

    def __init__(self, backend: "Backend", program: Program, observables: Sequence[SparsePauliOp], slots: Slots):
        self.backend, self.program, self.observables, self.slots = backend, program, list(observables), slots

    @property
    def adjoint(self) -> bool:
        return self.backend.adjoint

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K) exact expectation values."""
        if not costs.is_open():
            return self._expectations(inputs, weights)
        with self._entered(inputs, weights):
            return self._expectations(inputs, weights)

    def sample(self, inputs: np.ndarray, weights: np.ndarray, shots: int, seed: np.random.SeedSequence):
        """(B, shots) basis states measured of the normalised state, as integers; qubit 0 is the least significant bit."""
        check_memory(BYTES_A_SHOT * shots * len(inputs), f"{shots:,} shots of each of {len(inputs):,} samples")
        with self._entered(inputs, weights, shots=shots):
            return self._sample(inputs, weights, shots, seed)

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, 2^n) exact probabilities of the basis states."""
        with self._entered(inputs, weights):
            return self._probabilities(inputs, weights)

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Any]:
        """Expectation values, and whatever `vjp` can use of this run (None where there is nothing)."""
        if not costs.is_open():
            return self._forward(inputs, weights)
        with self._entered(inputs, weights):
            return self._forward(inputs, weights)

    def vjp(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray, kept: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Adjoint derivatives of sum_bk cotangents[b, k] <O_k>_b by `inputs` and by `weights`."""
        if not costs.is_open():
            return self._vjp(inputs, weights, cotangents, kept)
        # Back through every gate go the state and lambda.
        again = not self._holds_states(kept)
        with self._entered(inputs, weights, prepared=int(again), sweeps=2 + again):
            return self._vjp(inputs, weights, cotangents, kept)

    def on_tensors(self) -> Any:
        """What runs on a GPU's torch tensors (`native_gpu.tensors.OnTensors`), or None: they go by the CPU's arrays."""
        return None

    def second(
        self, inputs: np.ndarray, weights: np.ndarray, cotangents: np.ndarray, v_inputs: np.ndarray, v_weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Derivatives of sum v . vjp(inputs, weights, cotangents) by inputs, weights and cotangents; None: no such way."""
        if not self.has_second:
            return None
        # A state and its derivative forward, and back with lambda and its own.
        with self._entered(inputs, weights, sweeps=6):
            return self._second(inputs, weights, cotangents, v_inputs, v_weights)

    def measured(self):
        """What estimates the observables from shots: an object with `estimate` and `n_groups`, as `Measured` has."""
        from qml.measurement import Measured

        return Measured(self)

    @contextmanager
    def _entered(self, inputs, weights, shots: int = 0, prepared: int = 1, sweeps: int = 1) -> Iterator[None]:
        """The ledger's entry of a run on a batch.

        Args:
            prepared: states prepared from the start, a sample. sweeps: of a state through all gates, a sample.
        """
        if not costs.is_open():
            yield
            return
        batch, dtype = len(inputs), weights.dtype
        with costs.run(
            circuits=prepared * batch,
            shots=shots * batch,
            gates=sweeps * batch * len(self.program.gates),
            passes=sweeps * batch * self.passes(batch, dtype),
            peak_bytes=self.n_bytes(batch, dtype, sweeps > 1),
        ):
            yield

    def n_bytes(self, batch: int, dtype: np.dtype, gradient: bool = True) -> int:
        """Memory of the states that a run on a batch holds at one time, or its adjoint gradient."""
        return 4 * np.dtype(dtype).itemsize << self.program.n_qubits

    def passes(self, batch: int, dtype: np.dtype) -> int:
        """Sweeps over all amplitudes in which one state is taken through all gates."""
        return len(self.program.gates)

    def _holds_states(self, kept: Any) -> bool:
        """Whether `kept` has the final states, so that a gradient need not prepare them again."""
        return kept is not None

    @abstractmethod
    def _expectations(self, inputs, weights) -> np.ndarray:
        """`expectations` itself, and likewise the others: what a backend defines; the names without _ count."""

    @abstractmethod
    def _sample(self, inputs, weights, shots, seed) -> np.ndarray: ...

    def _probabilities(self, inputs, weights) -> np.ndarray:
        raise Unsupported(f"backend {self.backend.name!r} has no exact probabilities: use backend 'native'")

    def _forward(self, inputs, weights) -> tuple[np.ndarray, Any]:
        return self._expectations(inputs, weights), None

    def _vjp(self, inputs, weights, cotangents, kept) -> tuple[np.ndarray, np.ndarray]:
        raise Unsupported(
            f"backend {self.backend.name!r} has no adjoint gradient: use diff_method='parameter-shift', "
            "or backend 'native' or 'aer'"
        )

    def _second(self, inputs, weights, cotangents, v_inputs, v_weights):
        raise NotImplementedError("has_second says that there is one")


class Backend(ABC):
    """Compiles programs. A subclass is one file of `qml/backends/`, whose name is the backend's name.

    Attributes:
        requires: (module, what to install) it cannot work without.
        adjoint: whether compiled circuits have `vjp`.
        summary: one line for `qml backends`.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, str] | None] = None
    exact: ClassVar[bool] = True
    adjoint: ClassVar[bool] = False
    summary: ClassVar[str]

    @abstractmethod
    def compile(self, program: Program, observables: Sequence[SparsePauliOp], slots: Slots | None = None) -> Compiled:
        """The program, ready to run. Without `slots` every slot is a weight."""

    def prepare(self) -> None:
        """What is made once for all circuits is there; a job's time limit counts from then on."""

    def tagged(self, tag: str) -> "Backend":
        """The backend for the stored job that this tag names; one that sends jobs on tells them apart by it."""
        return self

    def counts(self, circuit: QuantumCircuit, shots: int, seed: int | None = None) -> dict[str, int]:
        """How often each outcome of the circuit's final measurements was seen, in Qiskit's format.

        Args:
            circuit: no free parameters; measurements at its end.
        """
        check_shots(shots)
        unitary, read = split_measurements(circuit)
        none = np.zeros((1, 0)), np.zeros(0)
        outcomes = self.compile(_bound(unitary), []).sample(*none, shots, np.random.SeedSequence(seed))[0]
        register = np.zeros_like(outcomes)
        if circuit.num_clbits > MOST_QUBITS:
            raise Unsupported(f"{circuit.num_clbits} classical bits: backend {self.name!r} holds {MOST_QUBITS}")
        for clbit, qubit in read.items():
            register |= (outcomes >> qubit & 1) << clbit
        values, numbers = np.unique(register, return_counts=True)
        return by_outcome(dict(zip(values.tolist(), numbers.tolist())), circuit)

    def estimate(
        self, circuit: QuantumCircuit, observables, shots: int | None = None, seed: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(K,) expectation values and their (K,) standard errors, zero where exact; no free parameters."""
        program = _bound(circuit)
        operators = as_list(observables, program.n_qubits)
        none = np.zeros((1, 0)), np.zeros(0)
        if shots is None:
            values = self.compile(program, operators).expectations(*none)[0]
            return values, np.zeros_like(values)
        check_shots(shots)
        measured = self.compile(program, operators).measured()
        values, errors = measured.estimate(*none, shots, np.random.SeedSequence(seed))
        return values[0], errors[0]


def _bound(circuit: QuantumCircuit) -> Program:
    check_bound(circuit)
    return lower(circuit)


def check_bound(circuit: QuantumCircuit) -> None:
    """Raise `LabError` if the circuit has free parameters."""
    if circuit.parameters:
        names = ", ".join(parameter.name for parameter in list(circuit.parameters)[:4])
        raise LabError(f"the circuit has free parameters ({names}): bind them with circuit.assign_parameters first")


def by_outcome(numbers: Mapping[int, int], circuit: QuantumCircuit) -> dict[str, int]:
    """Counts in Qiskit's format, a space between registers, from those by the value of all classical bits.

    Where a bit is in no register or in several, outcomes are all bits in their order, without spaces.
    """
    n_bits, registers = circuit.num_clbits, circuit.cregs[::-1]
    order, sizes = [circuit.find_bit(bit).index for r in registers for bit in reversed(r)], [r.size for r in registers]
    usual = list(range(n_bits))[::-1]
    if sorted(order) != usual[::-1]:
        order, sizes = usual, [n_bits]
    cuts = [slice(end - size, end) for end, size in zip(accumulate(sizes), sizes)]
    found = {}
    for value, number in numbers.items():
        bits = format(value, f"0{n_bits}b")
        bits = bits if order == usual else "".join(bits[-1 - place] for place in order)
        found[" ".join(bits[cut] for cut in cuts)] = number
    return found


def resolve(backend: "str | Backend | Any" = "native", **options: Any) -> Backend:
    """The backend of that name with these options, or the object itself where it already is one.

    Args:
        backend: a member's name, a `Backend`, or an object that a member recognises (a PennyLane device, an
            `AerSimulator`, any Qiskit `BackendV2` or V2 primitive).
        options: `device`, `noise` and whatever else the member takes; options that are None are left out.

    Raises:
        UnknownName: no such backend; LabError: its package is missing, with what to install.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if isinstance(backend, Backend):
        if options:
            raise LabError(f"options {', '.join(options)} belong to a backend's name: give them to its constructor")
        return backend
    if isinstance(backend, str):
        return _construct(member(FAMILY, backend, "backend").BACKEND, options)
    for name in members(FAMILY):
        adopt = getattr(member(FAMILY, name, "backend"), "adopt", None)
        if adopt is not None and (adopted := adopt(backend)) is not None:
            if not options:
                return adopted
            _check_options(type(adopted), options)
            return adopt(backend, **options)
    raise LabError(
        f"backend must be one of {', '.join(members(FAMILY))}, a PennyLane device, a Qiskit backend or a V2 primitive, "
        f"got {type(backend).__name__}"
    )


def _construct(cls: type[Backend], options: dict[str, Any]) -> Backend:
    if cls.requires and importlib.util.find_spec(cls.requires[0]) is None:
        raise LabError(f"backend {cls.name!r} needs {cls.requires[0]}, which is not installed: {cls.requires[1]}")
    _check_options(cls, options)
    return cls(**options)


def _check_options(cls: type[Backend], options: dict[str, Any]) -> None:
    """Raise `Unsupported` where the backend has no such option."""
    known = [name for name in inspect.signature(cls).parameters if name != "kwargs"]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())
    for name in options:
        if name not in known and not takes_any:
            raise Unsupported(
                f"backend {cls.name!r} has no option {name!r}: "
                + (f"it takes {', '.join(known)}" if known else "it takes none")
                + HINTS.get(name, "")
            )


def check_shots(shots: Any) -> None:
    """Raise `LabError` unless shots is a whole number of at least one."""
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise LabError(f"shots must be a whole number of at least 1 (or None for exact values), got {shots!r}")
    check_memory(BYTES_A_SHOT * int(shots), f"sampling {shots:,} shots")


def check_memory(n_bytes: int, what: str) -> None:
    """Raise `TooLarge`, before anything is allocated, unless that many bytes are free."""
    if n_bytes < ALWAYS_THERE:  # asking the system costs more than a small circuit
        return
    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise TooLarge(
            f"{what} needs {_gigabytes(n_bytes)} of memory and {_gigabytes(free)} are free: "
            "use fewer of them, a smaller batch, or float32"
        )


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.3g} GiB ({n_bytes:,} bytes)"


def random_generators(seed: np.random.SeedSequence, count: int) -> list[np.random.Generator]:
    """One generator per sample, each keyed by the sample's place alone."""
    return [np.random.Generator(np.random.PCG64(child(seed, j))) for j in range(count)]
