"""What is measured: Hermitian sums of Pauli strings, as Qiskit `SparsePauliOp`s.

A label reads like Qiskit's: the rightmost letter acts on qubit 0.
"""

import re
from collections.abc import Sequence

import numpy as np
from qiskit.quantum_info import Pauli, SparsePauliOp

from circuits.errors import LabError

Observable = str | Pauli | SparsePauliOp


def z_each(n_qubits: int) -> list[SparsePauliOp]:
    """Z on each qubit, one observable per qubit: what a layer measures when nothing is said."""
    return [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n_qubits) for q in range(n_qubits)]


def middle_pair(n_qubits: int, letters: str = "ZZ") -> SparsePauliOp:
    """Two letters on the two middle qubits: a local observable that the ends of a chain do not touch."""
    first = (n_qubits - 1) // 2
    return SparsePauliOp.from_sparse_list([(letters, [first, first + 1], 1.0)], n_qubits)


def z_string(n_qubits: int) -> SparsePauliOp:
    """Z on every qubit at once, the parity: a global observable."""
    return SparsePauliOp("Z" * n_qubits)


def tfim(n_qubits: int, coupling: float = 1.0, field: float = 1.0, periodic: bool = False) -> SparsePauliOp:
    """The transverse-field Ising energy -J sum Z_j Z_j+1 - h sum X_j on an open (or periodic) chain."""
    bonds = [[q, q + 1] for q in range(n_qubits - 1)]
    if periodic and n_qubits > 2:
        bonds.append([n_qubits - 1, 0])
    terms = [("ZZ", bond, -coupling) for bond in bonds] + [("X", [q], -field) for q in range(n_qubits)]
    return SparsePauliOp.from_sparse_list(terms, n_qubits)


def parse(text: str) -> SparsePauliOp:
    """A Pauli label, or a weighted sum of labels such as "0.5*ZZI + XII - 2*IIZ"."""
    terms = re.findall(r"([+-]?)\s*(?:([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*\*?\s*)?([IXYZ]+)\s*", text)
    rebuilt = "".join("".join(term) for term in terms)
    try:
        unsigned = sum(not sign for sign, _, _ in terms)  # only the first term may go without + or -
        if not terms or unsigned > (not terms[0][0]) or rebuilt != re.sub(r"[\s*]", "", text):
            raise ValueError
        pairs = [(label, float(sign + (number or "1"))) for sign, number, label in terms]
        return SparsePauliOp.from_list(pairs)
    except ValueError:
        raise LabError(
            f"{text!r} is not an observable: write a Pauli label such as 'ZZI', one letter of IXYZ per qubit, "
            "or a sum such as '0.5*ZZI + XII'"
        ) from None
    except Exception as error:  # Qiskit's own error: labels of different lengths
        raise LabError(f"{text!r} is not an observable: {error}") from None


def as_list(observables: Observable | Sequence[Observable] | None, n_qubits: int) -> list[SparsePauliOp]:
    """The observables as a list of `SparsePauliOp`s of `n_qubits` qubits with real, finite coefficients.

    Args:
        observables: None (Z on each qubit), one observable or a sequence of them.

    Raises:
        LabError: wrong number of qubits, not Hermitian, not finite, or nothing to measure.
    """
    if observables is None:
        return z_each(n_qubits)
    if isinstance(observables, str | Pauli | SparsePauliOp):
        observables = [observables]
    if not isinstance(observables, Sequence) or not observables:
        raise LabError(
            f"observables must be a Pauli label, a SparsePauliOp or a non-empty list of them, got {observables!r}"
        )
    return [_checked(observable, n_qubits) for observable in observables]


def _checked(observable: Observable, n_qubits: int) -> SparsePauliOp:
    if isinstance(observable, str):
        operator = parse(observable)
    elif isinstance(observable, Pauli | SparsePauliOp):
        operator = SparsePauliOp(observable)
    else:
        raise LabError(
            f"an observable is a Pauli label such as 'ZZI' or a qiskit SparsePauliOp, got {type(observable).__name__}"
        )
    if operator.num_qubits != n_qubits:
        raise LabError(
            f"observable {_short(operator)} acts on {operator.num_qubits} qubits but the circuit has {n_qubits}: "
            f"write one letter of IXYZ per qubit, {n_qubits} in all"
        )
    try:
        coefficients = np.asarray(operator.coeffs, dtype=complex)
    except TypeError:
        raise LabError(f"observable {_short(operator)} has free parameters: bind them first") from None
    if not np.isfinite(coefficients).all():
        raise LabError(f"observable {_short(operator)} has a coefficient that is NaN or infinite")
    operator = operator.simplify(atol=0, rtol=0)
    if np.abs(operator.coeffs.imag).max(initial=0.0) > 1e-12 * max(1.0, np.abs(coefficients).max(initial=0.0)):
        raise LabError(f"observable {_short(operator)} is not Hermitian: its coefficients must be real")
    return SparsePauliOp(operator.paulis, operator.coeffs.real)


def _short(operator: SparsePauliOp) -> str:
    labels = operator.paulis[:3].to_labels()
    return " + ".join(labels) + (" + ..." if len(operator) > 3 else "")


def locality(observables: Sequence[SparsePauliOp]) -> int:
    """The largest number of qubits that any single Pauli string acts on (at least 1)."""
    weights = [int((op.paulis.x | op.paulis.z).sum(axis=1).max(initial=0)) for op in observables]
    return max([1, *weights])
