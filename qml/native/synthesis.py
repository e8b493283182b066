"""A fixed matrix on several qubits as rotations and CNOTs, exact to rounding."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import UnitaryGate, XGate
from qiskit.quantum_info import Operator
from scipy.linalg import cossin, schur

from circuits.lowering import lower
from circuits.program import Rotation, Unitary

NOTHING = 1e-14  # of an angle that rounding leaves
EXACT = 1e-12  # of an entry; Qiskit's synthesis takes a gate for a simpler one that is as near as 3e-5


def synthesized(matrix: np.ndarray, qubits: Sequence[int]) -> list[Rotation | Unitary]:
    """Gates that are the matrix up to a global phase, bit j of whose indices is `qubits[j]`.

    On two qubits Qiskit's own synthesis, which finds CNOTs, where its product is the matrix; else `shannon`.
    """
    if len(qubits) > 2:
        return list(shannon(matrix, qubits))
    circuit = QuantumCircuit(len(qubits))
    circuit.append(UnitaryGate(matrix), range(len(qubits)))
    found = _elementary(circuit)
    if _distance(Operator(found).data, matrix) > EXACT:
        return list(shannon(matrix, qubits))
    return [_placed(gate, qubits) for gate in lower(found).gates]


def flips(target: int, controls: Sequence[int], state: int) -> list[Rotation | Unitary]:
    """X on the target where the controls read the state, as gates under at most one control.

    Cost: for k controls some 16 k^2 gates.
    """
    return [_placed(gate, (target, *controls)) for gate in _flips(len(controls), state)]


@lru_cache(maxsize=16)
def _flips(n_controls: int, state: int) -> tuple[Rotation | Unitary, ...]:
    """Those on qubit 0 under the others."""
    circuit = QuantumCircuit(n_controls + 1)
    circuit.append(XGate().control(n_controls, ctrl_state=state), [*range(1, n_controls + 1), 0])
    return lower(_elementary(circuit)).gates


def _elementary(circuit: QuantumCircuit) -> QuantumCircuit:
    return transpile(circuit, basis_gates=["u", "cx"], optimization_level=1)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of an entry, a global phase apart."""
    overlap = np.vdot(one, other)
    return float(np.abs(one * (overlap / abs(overlap)) - other).max()) if overlap else np.inf


def _placed(gate: Rotation | Unitary, qubits: Sequence[int]) -> Rotation | Unitary:
    own, controls = (tuple(qubits[q] for q in group) for group in (gate.qubits, gate.controls))
    if isinstance(gate, Rotation):
        return Rotation(gate.pauli, own, controls, gate.control_state, None, gate.angle)
    return Unitary(gate.name, gate.matrix, own, controls, gate.control_state)


def shannon(matrix: np.ndarray, qubits: Sequence[int]) -> Iterator[Rotation | Unitary]:
    """4^n rotations: the sine-cosine decomposition by the last qubit, which leaves two choices between two matrices.

    Source: Shende, Bullock, Markov, IEEE Trans. CAD 25, 1000 (2006), theorem 13.
    """
    if len(qubits) == 1:
        yield Unitary("unitary", matrix, tuple(qubits), (), 0)
        return
    half = len(matrix) // 2
    left, angles, right = cossin(matrix, p=half, q=half, separate=True)
    yield from _chosen(*right, qubits)
    yield from _uniform("Y", 2 * angles, qubits)
    yield from _chosen(*left, qubits)


def _chosen(first: np.ndarray, second: np.ndarray, qubits: Sequence[int]) -> Iterator[Rotation | Unitary]:
    """The first matrix on the other qubits where the last one is 0, else the second."""
    # first = W D V and second = W D* V, with W and D of the normal matrix first second*.
    triangle, basis = schur(first @ second.conj().T, output="complex")
    angles = np.angle(np.diagonal(triangle))
    yield from shannon(np.exp(0.5j * angles)[:, None] * (basis.conj().T @ second), qubits[:-1])
    yield from _uniform("Z", -angles, qubits)
    yield from shannon(basis, qubits[:-1])


def _uniform(pauli: str, angles: np.ndarray, qubits: Sequence[int]) -> Iterator[Rotation]:
    """A rotation of the last qubit by angles[j] where the others are in basis state j: commuting strings."""
    *others, last = qubits
    states = np.arange(len(angles))
    for subset in states.tolist():
        signs = 1 - 2 * (np.bitwise_count(states & subset) % 2).astype(int)
        angle = float(signs @ angles) / len(angles)
        chosen = [q for j, q in enumerate(others) if subset >> j & 1]
        if abs(angle) > NOTHING:
            yield Rotation(pauli + "Z" * len(chosen), (last, *chosen), (), 0, None, angle)
