"""Outcomes drawn from the native engine's states, as a Qiskit `SamplerV2`: a drop-in for `StatevectorSampler`."""

import warnings
from collections.abc import Iterable

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, ControlFlowOp, Delay, Measure
from qiskit.exceptions import QiskitError
from qiskit.primitives import BaseSamplerV2, BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers import SamplerPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub

from circuits.errors import Unsupported
from qml.backends.base import BYTES_A_SHOT, check_memory
from qml.primitives.compiled import compiled
from qml.primitives.estimator import rows_of
from qml.primitives.job import NativeJob


class NotSampled(Unsupported, QiskitError):
    """A circuit that is no unitary with measurements at its end."""

    def __init__(self, message: str):
        QiskitError.__init__(self, message)

    def __str__(self) -> str:
        return self.message


class NativeSampler(BaseSamplerV2):
    """Measured outcomes at every set of parameter values, one engine batch for each pub.

    Pubs, shapes, results (one `BitArray` for each classical register), metadata and the random stream are those of Qiskit's
    `StatevectorSampler`: a whole-number seed starts every set of values anew, a generator goes on.

    Args:
        default_shots: of a pub that names none.
        seed: an integer or a NumPy generator.

    Raises:
        NotSampled: from `result()`: measurement in the middle, or classical control; names what samples it.

    Example:
        NativeSampler(seed=1).run([(circuit, values)], shots=1000).result()[0].data.meas.get_counts()
    """

    def __init__(self, *, default_shots: int = 1024, seed: np.random.Generator | int | None = None):
        self._default_shots, self._seed = default_shots, seed

    @property
    def default_shots(self) -> int:
        """Of a pub that names none."""
        return self._default_shots

    @property
    def seed(self) -> np.random.Generator | int | None:
        """As it was given."""
        return self._seed

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> NativeJob:
        """A job that gives one result for each pub: (circuit, parameter values, shots)."""
        coerced = [SamplerPub.coerce(pub, self._default_shots if shots is None else shots) for pub in pubs]
        for pub in coerced:
            if not pub.circuit.cregs:
                warnings.warn(
                    f"circuit {pub.circuit.name!r} has no classical register, so its result is empty: add measure_all()",
                    stacklevel=2,
                )
        return NativeJob(lambda: PrimitiveResult([self._result(pub) for pub in coerced], metadata={"version": 2}))

    def _result(self, pub: SamplerPub) -> SamplerPubResult:
        unitary, read = split(pub.circuit)
        rows, qubits = rows_of(pub), sorted(set(read.values()))
        check_memory(BYTES_A_SHOT * pub.shots, f"sampling {pub.shots:,} shots")
        registers = {r.name: [pub.circuit.find_bit(bit).index for bit in r] for r in pub.circuit.cregs}
        arrays = {name: np.zeros((len(rows), pub.shots, -(-len(own) // 8)), np.uint8) for name, own in registers.items()}
        column = {clbit: qubits.index(qubit) for clbit, qubit in read.items()}
        for row, outcomes in enumerate(self._outcomes(unitary, rows, qubits, pub.shots) if read else ()):
            for name, own in registers.items():
                arrays[name][row] = _packed(outcomes, [column.get(clbit) for clbit in own])
        data = {
            name: BitArray(arrays[name].reshape(*pub.shape, *arrays[name].shape[1:]), len(own))
            for name, own in registers.items()
        }
        metadata = {"shots": pub.shots, "circuit_metadata": pub.circuit.metadata}
        return SamplerPubResult(DataBin(**data, shape=pub.shape), metadata)

    def _outcomes(self, unitary: QuantumCircuit, rows: np.ndarray, qubits: list[int], shots: int):
        """Row by row, (shots,) outcomes of the qubits, the first of which is the least significant bit."""
        found = compiled(unitary, [])
        places = [found.place[qubit] for qubit in qubits]
        shared = self._seed if isinstance(self._seed, np.random.Generator) else None
        fresh = np.random.default_rng() if self._seed is None else None
        for probabilities in found.probabilities(rows, shots):
            chances = marginal(probabilities, places)
            generator = shared or fresh or np.random.default_rng(self._seed)
            yield generator.choice(len(chances), p=chances / chances.sum(), size=shots)


def marginal(probabilities: np.ndarray, qubits: list[int]) -> np.ndarray:
    """(2^k,) probabilities of the k qubits alone, the first of which is the least significant bit."""
    n_qubits = len(probabilities).bit_length() - 1
    axes = [n_qubits - 1 - qubit for qubit in reversed(qubits)]
    others = tuple(set(range(n_qubits)) - set(axes))
    kept = probabilities.reshape((2,) * n_qubits).sum(axis=others)
    remaining = sorted(axes)
    return kept.transpose([remaining.index(axis) for axis in axes]).ravel()


def split(circuit: QuantumCircuit) -> tuple[QuantumCircuit, dict[int, int]]:
    """The circuit without its measurements, and the qubit that each classical bit reads at the end.

    Raises:
        NotSampled: a measurement that something follows on its qubit, or classical control.
    """
    later: set[int] = set()
    read: dict[int, int] = {}
    kept = []
    for item in reversed(circuit.data):
        qubits = [circuit.find_bit(bit).index for bit in item.qubits]
        if isinstance(item.operation, ControlFlowOp) or (item.clbits and not isinstance(item.operation, Measure)):
            raise NotSampled(
                f"{item.name!r} is classical control, which NativeSampler cannot follow: use qiskit_aer.primitives.SamplerV2"
            )
        if not isinstance(item.operation, Measure):
            kept.append(item)
            if not isinstance(item.operation, Barrier | Delay):
                later.update(qubits)
        elif later.isdisjoint(qubits):
            read.setdefault(circuit.find_bit(item.clbits[0]).index, qubits[0])
        else:
            raise NotSampled(
                f"qubit {qubits[0]} is measured in the middle of the circuit, which NativeSampler cannot follow: "
                "use qiskit_aer.primitives.SamplerV2"
            )
    unitary = QuantumCircuit(circuit.qubits, *circuit.qregs, global_phase=circuit.global_phase)
    for item in reversed(kept):
        unitary.append(item)
    return unitary, read


def _packed(outcomes: np.ndarray, columns: list[int | None]) -> np.ndarray:
    """(shots, bytes), the most significant first: bit j is bit `columns[j]` of the outcomes, 0 where that is None."""
    bits = np.zeros((len(outcomes), -len(columns) % 8 + len(columns)), np.uint8)
    for j, column in enumerate(columns):
        if column is not None:
            bits[:, -1 - j] = outcomes >> column & 1
    return np.packbits(bits, axis=-1)
