"""Measurements that are functions of a few expectation values: exact, and differentiated with them by one sweep back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pennylane as qp
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError
from circuits.interop import pauli_sum, places_of_wires

LARGEST_MATRIX = 6  # wires of an observable that is written out as a sum of Pauli words
ROUNDING = 1e-8  # beside the largest coefficient: below it, what a Hermitian operator must not have is rounding
MOST_READ = 8  # wires whose joint probabilities are expectation values: 2^8 products of Z


class Reading(ABC):
    """One measurement of a batch, from the (B, k) expectation values of its observables.

    Attributes:
        observables: the k operators; shape: of what it gives for one sample.
    """

    observables: list[SparsePauliOp]
    shape: tuple[int, ...] = ()

    @abstractmethod
    def value(self, expectations: np.ndarray) -> np.ndarray:
        """(B, *shape)."""

    @abstractmethod
    def cotangents(self, cotangents: np.ndarray, expectations: np.ndarray) -> np.ndarray:
        """(B, k), what each expectation value weighs where each entry of `value` weighs `cotangents`, (B, *shape)."""


class Expectation(Reading):
    """<O>."""

    def __init__(self, operator: SparsePauliOp):
        self.observables = [operator]

    def value(self, expectations):
        return expectations[:, 0]

    def cotangents(self, cotangents, expectations):
        return cotangents[:, None]


class Variance(Reading):
    """<O^2> - <O>^2."""

    def __init__(self, operator: SparsePauliOp):
        self.observables = [operator, (operator @ operator).simplify()]

    def value(self, expectations):
        return expectations[:, 1] - expectations[:, 0] ** 2

    def cotangents(self, cotangents, expectations):
        return np.stack([-2 * expectations[:, 0] * cotangents, cotangents], axis=1)


class Probabilities(Reading):
    """p(w) = 2^-k sum_S (-1)^|w & S| <Z_S> over the subsets S of k qubits."""

    def __init__(self, qubits: list[int], n_qubits: int):
        self.shape = (1 << len(qubits),)
        subsets = [s for size in range(len(qubits) + 1) for s in combinations(qubits, size)]
        self.observables = [SparsePauliOp.from_sparse_list([("Z" * len(s), list(s), 1.0)], n_qubits) for s in subsets]
        masks = np.array([sum(1 << q for q in s) for s in subsets])
        odd = np.bitwise_count(places_of_wires(qubits)[:, None] & masks) & 1
        self._signs = (1.0 - 2.0 * odd) / self.shape[0]  # (2^k words, 2^k subsets)

    def value(self, expectations):
        return expectations @ self._signs.T

    def cotangents(self, cotangents, expectations):
        return cotangents @ self._signs


def sentence(observable: qp.operation.Operator) -> qp.pauli.PauliSentence:
    """The observable as a sum of Pauli words.

    Raises:
        LabError: it is not Hermitian.
    """
    found = observable.pauli_rep
    if found is None:
        matrix, wires = matrix_of(observable), observable.wires
        if not np.any(matrix):  # PennyLane cannot stack no words
            return qp.pauli.PauliSentence({})
        found = qp.pauli_decompose(matrix, wire_order=wires, pauli=True, check_hermitian=False)
    if not _is_real(found):
        raise LabError(not_hermitian(observable))
    return found


def not_hermitian(observable: qp.operation.Operator) -> str:
    """What is said of an observable that has no real expectation values."""
    text = " ".join(str(observable).split())
    return (
        f"the observable {text if len(text) <= 60 else observable.name} is not Hermitian, so it has no variance and no real "
        "expectation value: measure (O + O^dagger)/2 and (O - O^dagger)/2i as two observables"
    )


def is_hermitian(observable: qp.operation.Operator) -> bool:
    """Whether it equals its adjoint up to rounding; True where that would take too large a matrix to tell."""
    if observable.pauli_rep is not None:
        return _is_real(observable.pauli_rep)
    if not is_small(observable) or any(qp.math.is_abstract(number) for number in observable.data):
        return True
    matrix = matrix_of(observable)
    return bool(np.abs(matrix - matrix.conj().T).max() <= ROUNDING * np.abs(matrix).max())


def _is_real(words: qp.pauli.PauliSentence) -> bool:
    """Whether no coefficient has an imaginary part; True of numbers that are not there yet."""
    numbers = [c for c in words.values() if not isinstance(c, float | int)]  # most are, and this is asked for every circuit
    if any(qp.math.is_abstract(c) for c in numbers):
        return True
    imaginary = max((abs(float(qp.math.imag(qp.math.unwrap([c])[0]))) for c in numbers), default=0.0)
    return imaginary == 0 or imaginary <= ROUNDING * max(abs(complex(qp.math.unwrap([c])[0])) for c in words.values())


def is_small(observable: qp.operation.Operator) -> bool:
    """Whether it has a matrix that can be written out as a sum of Pauli words."""
    return len(observable.wires) <= LARGEST_MATRIX and (observable.has_matrix or observable.has_sparse_matrix)


def matrix_of(operator: qp.operation.Operator) -> np.ndarray:
    """Its dense matrix in the order of its own wires."""
    if operator.has_matrix:
        return np.asarray(qp.matrix(operator, wire_order=operator.wires))
    return operator.sparse_matrix(wire_order=operator.wires).toarray()


def is_read(measurement: qp.measurements.MeasurementProcess) -> bool:
    """Whether the measurement has a `Reading`, and with it derivatives."""
    if isinstance(measurement, qp.measurements.ExpectationMP | qp.measurements.VarianceMP):
        operator = measurement.obs
        return operator is not None and (operator.pauli_rep is not None or is_small(operator))
    return is_marginal(measurement) and 0 < len(measurement.wires) <= MOST_READ


def is_marginal(measurement: qp.measurements.MeasurementProcess) -> bool:
    """Whether it is the joint probabilities of wires as they are."""
    return type(measurement) is qp.measurements.ProbabilityMP and measurement.obs is None and measurement._eigvals is None


def on_wires(measurement: qp.measurements.MeasurementProcess, wires: Sequence):
    """The measurement, the joint probabilities of `wires` where it is of probabilities and names none."""
    return qp.probs(wires=wires) if is_marginal(measurement) and not measurement.wires and len(wires) else measurement


def reading(measurement: qp.measurements.MeasurementProcess, qubit_of: Mapping) -> Reading | None:
    """How the measurement is computed from expectation values, or None; without wires, it is of all in their order."""
    measurement = on_wires(measurement, list(qubit_of))
    if not is_read(measurement):
        return None
    if is_marginal(measurement):
        return Probabilities([qubit_of[w] for w in measurement.wires], len(qubit_of))
    operator = pauli_sum(sentence(measurement.obs), qubit_of)
    return Variance(operator) if isinstance(measurement, qp.measurements.VarianceMP) else Expectation(operator)
