"""Commuting Pauli strings measured together: a Clifford circuit that turns all of them into products of Z."""

from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import Clifford, PauliList

from circuits.errors import LabError
from circuits.program import Gate, Unitary

_H = np.array([[1, 1], [1, -1]], complex) / np.sqrt(2)
_X = np.array([[0, 1], [1, 0]], complex)


@dataclass(frozen=True)
class Diagonal:
    """What to append to a circuit, and how to read the strings' values from its outcomes.

    Attributes:
        gates: Clifford ones.
        masks, signs: (m,): string j is signs[j] times the parity of the outcome's bits in masks[j].
    """

    gates: list[Gate]
    masks: np.ndarray
    signs: np.ndarray

    def values(self, outcomes: np.ndarray) -> np.ndarray:
        """(m, ...) values, 1 or -1, of the strings in each of the outcomes."""
        parities = [1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1) for mask in self.masks]
        return self.signs.reshape(-1, *[1] * outcomes.ndim) * np.array(parities)


def commuting_groups(strings: PauliList) -> list[list[int]]:
    """Places of the strings in groups that commute; each string joins the first group that it commutes with.

    They are taken by the qubits they act on: XX, YY and ZZ on one pair meet before those of the next pair part them.
    """
    order = np.lexsort((strings.x | strings.z).T) if len(strings) else []
    x, z = (part[order].astype(np.float32) for part in (strings.x, strings.z))  # so that counts are matrix products
    owners = np.zeros(len(strings), np.int64)
    groups: list[list[int]] = []
    for visited, place in enumerate(order):
        clashes = (x[:visited] @ z[visited] + z[:visited] @ x[visited]) % 2 == 1
        is_open = np.ones(len(groups) + 1, bool)
        is_open[owners[:visited][clashes]] = False
        owners[visited] = first = int(np.argmax(is_open))
        groups += [[]] if first == len(groups) else []
        groups[first].append(int(place))
    return sorted(sorted(group) for group in groups)


def diagonalised(strings: PauliList) -> Diagonal:
    """The change of basis in which all the strings, which must commute with one another, are diagonal.

    Raises:
        LabError: two of them do not commute.

    Cost: at most n^2 gates for n qubits.
    Source: Gaussian elimination of the symplectic form; Aaronson and Gottesman, Phys. Rev. A 70, 052328 (2004).
    """
    for j, string in enumerate(strings):
        if not strings.commutes(string).all():
            other = strings[int(np.flatnonzero(~strings.commutes(string))[0])]
            raise LabError(f"strings {strings[j]} and {other} do not commute: measure them in circuits of their own")
    x, z = strings.x.copy(), strings.z.copy()
    circuit = QuantumCircuit(strings.num_qubits)
    while (rows := np.flatnonzero(x.any(axis=1))).size:
        _reduce(x, z, int(rows[0]), circuit)
    # Qiskit keeps the signs.
    turned = strings.evolve(Clifford(circuit), frame="s")
    masks = turned.z @ (1 << np.arange(strings.num_qubits, dtype=np.int64))
    return Diagonal([_gate(instruction, circuit) for instruction in circuit], masks, (-1.0) ** (turned.phase // 2))


def _reduce(x: np.ndarray, z: np.ndarray, row: int, circuit: QuantumCircuit) -> None:
    """Turns a string with an X into Z on one qubit; the others then have no X there."""
    pivot = int(np.flatnonzero(x[row])[0])
    for qubit in np.flatnonzero(x[row]).tolist():
        if qubit != pivot:
            circuit.cx(pivot, qubit)
            x[:, qubit] ^= x[:, pivot]
            z[:, pivot] ^= z[:, qubit]
    for qubit in np.flatnonzero(z[row]).tolist():
        if qubit != pivot:
            circuit.cz(pivot, qubit)
            z[:, qubit] ^= x[:, pivot]
            z[:, pivot] ^= x[:, qubit]
    if z[row, pivot]:
        circuit.s(pivot)
        z[:, pivot] ^= x[:, pivot]
    circuit.h(pivot)
    x[:, pivot], z[:, pivot] = z[:, pivot].copy(), x[:, pivot].copy()


def _gate(instruction, circuit: QuantumCircuit) -> Unitary:
    qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
    matrix = {"h": _H, "s": np.diag([1, 1j]), "cx": _X, "cz": np.diag([1, -1]).astype(complex)}[instruction.name]
    if len(qubits) == 1:
        return Unitary(instruction.name, matrix, qubits)
    return Unitary(instruction.name, matrix, qubits[1:], qubits[:1], 1)
