"""A Qiskit circuit on the native engine, at rows of its parameters' values; compiled once, while it stays the same."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Reset
from qiskit.circuit.library import Initialize
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError
from circuits.lowering import lower
from qml.angles import Binding
from qml.backends.base import resolve

BLOCK = 1 << 20  # probabilities at one time
MOST_KEPT = 64  # compiled circuits
LARGEST_KEPT = 16  # qubits of one: its states stay allocated
_KEPT: "OrderedDict[Hashable, CompiledCircuit]" = OrderedDict()
_LOCK = threading.Lock()


class CompiledCircuit:
    """A circuit and its observables; columns of `rows` are values in the order of `circuit.parameters`.

    Args:
        circuit: no measurements. A reset in its middle is taken as a fresh qubit, so that what comes out is the mean over
            its outcomes, exactly; every such reset costs a qubit.
    """

    def __init__(self, circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]):
        unitary, self.place = without_resets(circuit)
        program = lower(unitary)
        self._n_parameters = circuit.num_parameters
        self._binding = Binding(program, list(circuit.parameters), []).to(torch.float64)
        moved = [_moved(operator, self.place, program.n_qubits) for operator in observables]
        self._compiled = resolve("native").compile(program, moved, self._binding.slots)
        self._lock = threading.Lock()  # jobs are threads, and an engine's room is one run's at a time

    def values(self, rows: np.ndarray) -> np.ndarray:
        """(B, K) exact expectation values."""
        with self._lock:
            return self._compiled.expectations(self._angles(rows)[1], np.zeros(0))

    def probabilities(self, rows: np.ndarray, shots: int) -> Iterator[np.ndarray]:
        """Row by row, (2^n,) probabilities of the basis states, of n qubits that `place` maps the circuit's own to.

        Args:
            shots: how many outcomes will be drawn of each row, for the ledger.
        """
        size, none = max(1, BLOCK >> self._compiled.program.n_qubits), np.zeros(0)
        for start in range(0, len(rows), size):
            angles = self._angles(rows[start : start + size])[1]
            with self._lock, self._compiled._entered(angles, none, shots=shots):
                found = self._compiled._probabilities(angles, none)
            yield from found

    def gradients(self, rows: np.ndarray, cotangents: np.ndarray) -> np.ndarray:
        """(B, n_parameters) derivatives of sum_k cotangents[b, k] <O_k>_b by the parameters' values: one adjoint sweep."""
        with self._lock:
            leaves, angles = self._angles(rows, differentiate=True)
            of_angles, _ = self._compiled.vjp(angles.detach().numpy(), np.zeros(0), cotangents)
            if not angles.requires_grad:
                return np.zeros(rows.shape)
            (found,) = torch.autograd.grad(angles, leaves, torch.from_numpy(of_angles))
        return found.numpy()

    def _angles(self, rows: np.ndarray, differentiate: bool = False):
        """The rows as a tensor, and the angles they give: a tensor if they are to be differentiated, else an array."""
        if rows.ndim != 2 or rows.shape[1] != self._n_parameters:
            raise LabError(f"expected rows of {self._n_parameters} parameter values, got an array {rows.shape}")
        if not np.isfinite(rows).all():
            raise LabError("a parameter value is NaN or infinite: give finite numbers")
        leaves = torch.tensor(rows, dtype=torch.float64, requires_grad=differentiate)
        with torch.set_grad_enabled(differentiate):
            angles, _ = self._binding(leaves, leaves.new_zeros(0))
        return leaves, angles if differentiate else angles.numpy()


def without_resets(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
    """The circuit with a fresh qubit wherever a qubit that was used is reset, and where each qubit is at the end.

    A qubit that nothing looks at any more is traced out, which is what a reset does to it.
    """
    place, used, items, n_qubits = list(range(circuit.num_qubits)), set(), [], circuit.num_qubits
    for item in circuit.data:
        qubits = [circuit.find_bit(bit).index for bit in item.qubits]
        if isinstance(item.operation, Reset | Initialize):
            for qubit in used.intersection(qubits):
                place[qubit], n_qubits = n_qubits, n_qubits + 1
                used.remove(qubit)
        if not isinstance(item.operation, Reset | Barrier | Delay):
            used.update(qubits)
        if not isinstance(item.operation, Reset):
            items.append((item.operation, [place[q] for q in qubits], [circuit.find_bit(bit).index for bit in item.clbits]))
    if n_qubits == circuit.num_qubits:
        return circuit, place
    fresh = QuantumCircuit(n_qubits, circuit.num_clbits, global_phase=circuit.global_phase)
    for operation, qubits, clbits in items:
        if isinstance(operation, Initialize):  # on fresh qubits, without the resets of its definition
            operation = operation.gates_to_uncompute().inverse().to_instruction()
        fresh.append(operation, qubits, clbits)
    return fresh, place


def _moved(operator: SparsePauliOp, place: Sequence[int], n_qubits: int) -> SparsePauliOp:
    """The observable on the qubits where the circuit's own are at its end."""
    return operator if n_qubits == operator.num_qubits else operator.apply_layout(list(place), n_qubits)


def compiled(circuit: QuantumCircuit, observables: Sequence[SparsePauliOp]) -> CompiledCircuit:
    """The compiled circuit; a small one of standard gates, which names tell apart, is kept for the next time.

    It is found again by what it is made of, so a circuit that was changed is compiled again.
    """
    gates = key_of(circuit) if circuit.num_qubits <= LARGEST_KEPT else None
    if gates is None:
        return CompiledCircuit(circuit, observables)
    key = gates, tuple((tuple(o.paulis.to_labels()), o.coeffs.tobytes()) for o in observables)
    with _LOCK:
        found = _KEPT.pop(key, None) or CompiledCircuit(circuit, observables)
        _KEPT[key] = found
        while len(_KEPT) > MOST_KEPT:
            _KEPT.popitem(last=False)
    return found


def key_of(circuit: QuantumCircuit) -> Hashable | None:
    """What the circuit does, as a key; None where a gate is not one of Qiskit's standard ones."""
    index = {bit: j for j, bit in enumerate(circuit.qubits)}
    gates = []
    for item in circuit.data:
        if not item.is_standard_gate() and not isinstance(item.operation, Barrier | Reset):
            return None
        gates.append((item.name, tuple(item.params), tuple(index[bit] for bit in item.qubits)))
    return circuit.num_qubits, circuit.global_phase, tuple(circuit.parameters), tuple(gates)
