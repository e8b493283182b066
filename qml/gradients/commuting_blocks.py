"""Commuting blocks: all derivatives by gates that commute, and that later gates treat alike, from one circuit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from qiskit.quantum_info import Clifford, Pauli, PauliList, SparsePauliOp

from circuits.errors import Unsupported
from circuits.evolution import Evolution
from circuits.program import Gate, Program, Rotation, Unitary
from qml.backends.base import Compiled
from qml.commuting_layers import as_clifford
from qml.diagonalization import Diagonal, commuting_groups, diagonalised
from qml.gradients.base import GradientMethod, Kept, wanted_slots
from qml.seeds import child

_H = np.array([[1, 1], [1, -1]], complex) / np.sqrt(2)
TAKES = "diff_method 'commuting-blocks' takes Pauli rotations and Clifford gates"
INSTEAD = "use diff_method='parameter-shift'"


class CommutingBlocks(GradientMethod):
    """The generators of Pauli rotations, carried through the fixed Clifford gates to the end, as observables.

    With E_j the generator of angle j at the end, its derivative of <O> is Im <phi|O E_j|phi_j>, where phi_j is the state
    with the angles reversed of those later gates that anticommute with E_j. An ancilla in |+> that controls this reversal
    holds both states, and Y (x) O E_j or X (x) -i O E_j, whichever is Hermitian, is the derivative. Gates with the same set
    of reversed ones share the circuit, and their observables all commute: they are read from the same shots. For gates with
    nothing to reverse there is no ancilla.

    Where the gates form B blocks, in each of which all commute and each two of which commute or anticommute as a whole, that
    is B circuits, however many angles there are, or 2 B - 1 where X and Y are read apart. Any circuit of Pauli rotations and
    Clifford gates is taken; where no two gates are alike it is as many circuits as Hadamard tests.

    Args:
        joint: read X and Y on the ancilla from one circuit, in an entangled basis; False takes the published 2 B - 1.
    Cost: B circuits a sample with one more qubit; with shots, of each observable's strings those that commute share one.
    Source: Bowles, Wierichs, Park, Quantum 9, 1873 (2025), arXiv:2306.14962; that X and Y commute there is ours.
    """

    name = "commuting-blocks"

    def __init__(self, joint: bool = True):
        self.joint = bool(joint)
        self._circuits: Kept[Compiled, dict] = Kept()

    def check(self, evaluation):
        _ends(evaluation.compiled.program)

    def circuits(self, evaluation, batch, needs):
        return batch * self.programs(evaluation, needs)

    def programs(self, evaluation, needs):
        return len(self._of(evaluation, needs))

    def vjp(self, evaluation, inputs, weights, cotangents, seed, kept, needs):
        slots = evaluation.compiled.slots
        columns = {slot: column for column, slot in enumerate((*slots.inputs, *slots.weights))}
        gradient = np.zeros((len(inputs), len(columns)), weights.dtype)
        for index, circuit in enumerate(self._of(evaluation, needs)):
            values = circuit.values(inputs, weights, evaluation.shots, child(seed, index))
            for read, value in zip(circuit.reads, values.T):
                gradient[:, columns[read.slot]] += value * (cotangents @ read.factors)
        d_inputs, d_weights = np.split(gradient, [len(slots.inputs)], axis=1)
        return d_inputs, d_weights.sum(axis=0) if weights.ndim == 1 else d_weights

    def _of(self, evaluation, needs: tuple[bool, bool]) -> list["_Circuit"]:
        """The circuits of a compiled program, for the derivatives that are wanted."""
        known = self._circuits.setdefault(evaluation.compiled, {})
        key = needs, evaluation.shots is None
        if key not in known:
            known[key] = _planned(evaluation.compiled, set(wanted_slots(evaluation, needs)), self.joint, key[1])
        return known[key]


@dataclass(frozen=True)
class _Read:
    """A string that is the derivative of another by a slot.

    Attributes:
        string: Hermitian. factors: (K,): what it is worth in each observable's derivative.
    """

    slot: int
    string: Pauli
    factors: np.ndarray


@dataclass
class _Circuit:
    """A compiled program and what is read of it."""

    compiled: Compiled
    reads: list[_Read] = field(default_factory=list)
    diagonal: Diagonal | None = None

    def values(self, inputs, weights, shots: int | None, seed) -> np.ndarray:
        """(B, n_reads) values of the strings, exact or means over shots."""
        if self.diagonal is None:
            return self.compiled.expectations(inputs, weights)
        return self.diagonal.values(self.compiled.sample(inputs, weights, shots, seed)).mean(axis=-1).T


def _planned(compiled: Compiled, wanted: set[int], joint: bool, exact: bool) -> list[_Circuit]:
    groups: dict[tuple, list[_Read]] = {}
    program = compiled.program
    ends = _ends(program)
    for place, (gate, end) in ends.items():
        if gate.slot not in wanted:
            continue
        later = [(other, e) for other, (_, e) in ends.items() if other > place]
        reversed_ones = frozenset(other for other, e in later if not end.commutes(e))
        for string, factors in _terms(compiled.observables):
            read = _read(gate.slot, string, factors, end, bool(reversed_ones))
            if read is not None:
                kind = "" if joint else read.string.to_label().lstrip("-")[0] if reversed_ones else ""
                groups.setdefault((reversed_ones, kind), []).append(read)
    circuits = []
    for (reversed_ones, _), reads in groups.items():
        own = _with_ancilla(program, reversed_ones) if reversed_ones else program
        circuits += (
            [_compiled(compiled, own, reads)]
            if exact
            else [
                _sampled(compiled, own, [reads[place] for place in group])
                for group in commuting_groups(PauliList([read.string for read in reads]))
            ]
        )
    return circuits


def _terms(observables: Sequence[SparsePauliOp]) -> list[tuple[Pauli, np.ndarray]]:
    """Every string that is not the identity, with its coefficient in each observable."""
    found: dict[str, np.ndarray] = {}
    for k, operator in enumerate(observables):
        for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs.real):
            if set(label) != {"I"}:
                found.setdefault(label, np.zeros(len(observables)))[k] += coefficient
    return [(Pauli(label), factors) for label, factors in found.items()]


def _read(slot: int, string: Pauli, factors: np.ndarray, end: Pauli, has_ancilla: bool) -> _Read | None:
    """What is measured for the derivative of a string; None where that is zero."""
    commutes = string.commutes(end)
    if commutes and not has_ancilla:
        return None
    product = string @ end  # Qiskit's A @ B is the matrix product A B
    product = product if commutes else Pauli((product.z, product.x, (product.phase + 1) % 4))  # -i O E
    if has_ancilla:
        product = Pauli("Y" if commutes else "X").tensor(product)
    sign = {0: 1.0, 2: -1.0}[int(product.phase)]
    return _Read(slot, Pauli((product.z, product.x, 0)), sign * factors)


def _ends(program: Program) -> dict[int, tuple[Rotation, Pauli]]:
    """By its place in the program: every rotation that is no Clifford gate, and its generator carried to the end.

    Raises:
        Unsupported: a gate that is neither a Pauli rotation nor a Clifford gate.
    """
    if program.amplitudes:
        raise Unsupported(f"diff_method 'commuting-blocks' has no rule for amplitudes of an initial state: {INSTEAD}")
    found: list[tuple[int, Rotation]] = []
    carried: PauliList | None = None
    for place, gate in enumerate(program.gates):
        if isinstance(gate, Rotation) and not gate.controls and (gate.slot is not None or not _is_clifford_angle(gate)):
            found.append((place, gate))
            own = PauliList([_on_all(gate, program.n_qubits)])
            carried = own if carried is None else carried.insert(len(carried), own)
        elif carried is not None:
            clifford, qubits = _clifford(gate)
            carried = carried.evolve(clifford, qargs=list(qubits), frame="s")
        else:
            _clifford(gate)
    return {place: (gate, carried[j]) for j, (place, gate) in enumerate(found)}


def _on_all(gate: Rotation, n_qubits: int) -> Pauli:
    letters = ["I"] * n_qubits
    for letter, qubit in zip(gate.pauli, gate.qubits):
        letters[n_qubits - 1 - qubit] = letter
    return Pauli("".join(letters))


def _is_clifford_angle(gate: Rotation) -> bool:
    return abs(gate.angle / (np.pi / 2) - round(gate.angle / (np.pi / 2))) < 1e-12


def _clifford(gate: Gate) -> tuple[Clifford, tuple[int, ...]]:
    """The gate as a Clifford operator, and the qubits it acts on."""
    found = as_clifford(gate)
    if found is not None:
        return found, (*gate.qubits, *gate.controls)
    if isinstance(gate, Evolution):
        raise Unsupported(f"{TAKES}, got an evolution by a sum: use diff_method='stochastic-parameter-shift'")
    name = gate.name if isinstance(gate, Unitary) else f"rotation about {gate.pauli}" if gate.pauli else "phase"
    raise Unsupported(f"{TAKES}, got {'controlled ' * len(gate.controls)}{name}: {INSTEAD}")


def _with_ancilla(program: Program, reversed_ones: frozenset[int]) -> Program:
    """The program with an ancilla on top, in |+>, whose |1> reverses the angles of these gates."""
    ancilla = program.n_qubits
    gates: list[Gate] = [Unitary("h", _H, (ancilla,))]
    for place, gate in enumerate(program.gates):
        if place in reversed_ones:
            gate = Rotation(gate.pauli + "Z", (*gate.qubits, ancilla), slot=gate.slot, angle=gate.angle)
        gates.append(gate)
    return Program(program.n_qubits + 1, tuple(gates), program.slots, (), program.parameters)


def _compiled(compiled: Compiled, program: Program, reads: list[_Read]) -> _Circuit:
    observables = [SparsePauliOp(read.string) for read in reads]
    return _Circuit(compiled.backend.compile(program, observables, compiled.slots), reads)


def _sampled(compiled: Compiled, program: Program, reads: list[_Read]) -> _Circuit:
    diagonal = diagonalised(PauliList([read.string for read in reads]))
    turned = program.followed_by(diagonal.gates)
    return _Circuit(compiled.backend.compile(turned, [], compiled.slots), reads, diagonal)


METHOD = CommutingBlocks
