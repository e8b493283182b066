"""Evolution by a sum of Pauli strings that do not commute: exp(-i sum_j c_j P_j), exact, with parameters for coefficients.

Qiskit's `PauliEvolutionGate` has one parameter, its time, and is a product formula unless its synthesis is a
`MatrixExponential`; `EvolutionGate` takes parameters in the coefficients and is always exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate as QiskitGate
from qiskit.circuit import ParameterExpression
from qiskit.circuit.library import HamiltonianGate, PauliEvolutionGate, UnitaryGate
from qiskit.quantum_info import PauliList, SparseObservable, SparsePauliOp
from qiskit.synthesis import MatrixExponential

from circuits.errors import LabError
from circuits.paulis import masks

Terms = list[tuple[str, float | ParameterExpression]]  # label, its last letter on qubit 0, and coefficient
ROUNDING = 1e-14  # below which a string of a Hermitian matrix is none
NO_SECOND_DERIVATIVES = (
    "an evolution by a sum that does not commute has first derivatives alone: for second ones and the metric tensor write "
    "it as a product formula, such as a PauliEvolutionGate"
)


@dataclass(frozen=True, eq=False)
class Evolution:
    """exp(-i sum_j t_j P_j / 2) where the control qubits read `control_state`, the identity elsewhere.

    Attributes:
        paulis: of each string a letter for each of `qubits`, the first acting on `qubits[0]`.
        slots: of each string the angle slot that gives t_j, or None where `angles` does.
    """

    paulis: tuple[str, ...]
    qubits: tuple[int, ...]
    slots: tuple[int | None, ...]
    angles: tuple[float, ...]
    controls: tuple[int, ...] = ()
    control_state: int = 0

    @cached_property
    def _entries(self) -> tuple[np.ndarray, np.ndarray]:
        """(m, d) rows k ^ x that each string takes k to, and what it multiplies |k> with, halved."""
        index = np.arange(1 << len(self.qubits))
        rows, factors = [], []
        for pauli in self.paulis:
            x, z, n_y = masks(pauli, range(len(self.qubits)))
            rows.append(index ^ x)
            factors.append(0.5 * 1j ** (n_y % 4) * (1.0 - 2.0 * (np.bitwise_count(index & z) & 1)))
        return np.array(rows), np.array(factors)

    def values(self, slots: np.ndarray) -> np.ndarray:
        """(m, B) every t_j from the (n_slots, B) values of all slots; (m, 1) where it is the same for all of B."""
        rows = [np.full(slots.shape[1], t) if s is None else slots[s] for s, t in zip(self.slots, self.angles)]
        rows = np.array(rows, float)
        return rows[:, :1] if (rows == rows[:, :1]).all() else rows

    def spectrum(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, d) energies and (B, d, d) eigenvectors, as columns, of sum_j t_j P_j / 2."""
        rows, factors = self._entries
        columns = np.arange(rows.shape[1])
        generators = np.zeros((values.shape[1], len(columns), len(columns)), complex)
        for row, factor, value in zip(rows, factors, values):
            generators[:, row, columns] += value[:, None] * factor
        return np.linalg.eigh(generators)

    def matrices(self, values: np.ndarray) -> np.ndarray:
        """(B, d, d) from (m, B): the unitaries on `qubits`, the first of which is the least significant bit."""
        energies, vectors = self.spectrum(values)
        return (vectors * np.exp(-1j * energies)[:, None, :]) @ vectors.conj().swapaxes(1, 2)

    def slopes(self, values: np.ndarray, outer: np.ndarray) -> np.ndarray:
        """(m, B) derivatives by every t_j of 2 Re sum_rc outer[b, r, c] U_b[r, c].

        Source: Najfeld and Havel, Adv. Appl. Math. 16, 321 (1995): the derivative of exp in the eigenbasis.
        """
        energies, vectors = self.spectrum(values)
        means = (energies[:, :, None] + energies[:, None, :]) / 2
        halves = (energies[:, :, None] - energies[:, None, :]) / (2 * np.pi)
        divided = -1j * np.exp(-1j * means) * np.sinc(halves)  # of exp(-i E), symmetric
        turned = vectors.conj().swapaxes(1, 2) @ outer.swapaxes(1, 2) @ vectors
        back = vectors @ (turned * divided) @ vectors.conj().swapaxes(1, 2)  # the derivative is 2 Re tr(back P_j / 2)
        rows, factors = self._entries
        columns = np.arange(rows.shape[1])
        return np.array([2 * (back[:, columns, row] @ factor).real for row, factor in zip(rows, factors)])


class EvolutionGate(QiskitGate):
    """exp(-i sum_j c_j P_j), exactly, whatever does not commute.

    Args:
        operator: a `SparsePauliOp` with real coefficients or parameter expressions.

    Example:
        t = Parameter("t")
        circuit.append(EvolutionGate(SparsePauliOp(["XX", "ZI"], np.array([t, 0.5]))), [0, 1])

    Raises:
        LabError: not a Pauli sum, or a complex coefficient.
    """

    def __init__(self, operator: SparsePauliOp):
        if not isinstance(operator, SparsePauliOp):
            raise LabError(f"an EvolutionGate takes a SparsePauliOp, got {type(operator).__name__}")
        self.labels = operator.paulis.to_labels()
        super().__init__("evolution", operator.num_qubits, [_real(c) for c in operator.coeffs])

    def inverse(self, annotated: bool = False) -> "EvolutionGate":
        """The evolution by minus the sum."""
        return EvolutionGate(SparsePauliOp(self.labels, np.array([-c for c in self.params], dtype=object)))

    def control(self, num_ctrl_qubits: int = 1, label=None, ctrl_state=None, annotated=None):
        """Controlled, as Qiskit's `AnnotatedOperation`: there is no exact decomposition while parameters are free."""
        return super().control(num_ctrl_qubits, label, ctrl_state, annotated=True)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        try:
            values = np.array([[2 * float(c)] for c in self.params])
        except TypeError:
            raise LabError("bind the parameters of an evolution before its matrix or its gates are asked for") from None
        letters = tuple(label[::-1] for label in self.labels)
        gate = Evolution(letters, tuple(range(self.num_qubits)), (None,) * len(letters), tuple(values[:, 0]))
        return gate.matrices(values)[0].astype(dtype or complex)

    def _define(self):
        circuit = QuantumCircuit(self.num_qubits)
        circuit.append(UnitaryGate(self.__array__()), range(self.num_qubits))
        self.definition = circuit


def _real(coefficient) -> float | ParameterExpression:
    if isinstance(coefficient, ParameterExpression) and coefficient.parameters:
        return coefficient
    number = complex(coefficient.numeric() if isinstance(coefficient, ParameterExpression) else coefficient)
    if abs(number.imag) > 1e-12:
        raise LabError(f"an evolution has the coefficient {number}: coefficients must be real")
    return number.real


def exact_terms(gate) -> Terms | None:
    """The P_j and c_j of a gate that is exp(-i sum_j c_j P_j), None for others; a product formula is one if all commute."""
    kind = getattr(gate, "base_class", type(gate))
    if kind is EvolutionGate:
        return list(zip(gate.labels, gate.params))
    if kind is PauliEvolutionGate:
        operators = gate.operator if isinstance(gate.operator, list) else [gate.operator]
        is_exact = isinstance(gate.synthesis, MatrixExponential)
        if not is_exact and any(map(_has_projectors, operators)):  # k are 2^k strings, but k controls by definition
            return None
        sums = [o if isinstance(o, SparsePauliOp) else SparsePauliOp.from_sparse_observable(o) for o in operators]
        terms = [(label, gate.time * float(c.real)) for o in sums for label, c in zip(o.paulis.to_labels(), o.coeffs)]
        return terms if is_exact or len(parts(terms)) == len(dict(terms)) else None
    if kind is HamiltonianGate and isinstance(gate.params[1], ParameterExpression):
        operator = SparsePauliOp.from_operator(np.asarray(gate.params[0]), atol=ROUNDING, rtol=0)
        return [(s, gate.params[1] * float(c.real)) for s, c in zip(operator.paulis.to_labels(), operator.coeffs)]
    return None


def _has_projectors(operator) -> bool:
    return isinstance(operator, SparseObservable) and any(term.name not in ("X", "Y", "Z") for term in operator.bit_terms)


def parts(terms: Terms) -> list[Terms]:
    """Sums that commute with one another, so that the evolution is the product of theirs."""
    summed: dict[str, float | ParameterExpression] = {}
    for label, coefficient in terms:
        summed[label] = summed[label] + coefficient if label in summed else coefficient
    labels = [label for label, c in summed.items() if isinstance(c, ParameterExpression) or c != 0]
    strings = PauliList(labels) if labels else []
    clashes = [~strings.commutes(string) for string in strings]
    part = np.arange(len(labels))
    for place, clash in enumerate(clashes):
        touched = np.unique(part[clash | (np.arange(len(labels)) == place)])
        part[np.isin(part, touched)] = touched[0]
    return [[(labels[j], summed[labels[j]]) for j in np.flatnonzero(part == p)] for p in np.unique(part)]


def support(labels: Sequence[str]) -> list[int]:
    """The qubits on which a label has a letter other than I."""
    return [q for q in range(len(labels[0])) if any(label[-1 - q] != "I" for label in labels)]
