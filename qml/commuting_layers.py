"""Which weights turn gates that commute: layers of a circuit, told from its gates alone."""

from collections.abc import Sequence

import numpy as np
from qiskit.circuit import Parameter
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford, Operator, Pauli, PauliList

from circuits.evolution import Evolution
from circuits.program import Gate, Program, Rotation, Unitary


def layers_of_weights(program: Program, weights: Sequence[Parameter]) -> np.ndarray:
    """(n_weights,) the layer of each weight: gates of one layer commute, and all of them could act at the same time.

    A gate is in the first layer that it reaches past gates which it commutes with. Fixed Clifford gates part nothing: they
    only change which strings the gates before them turn about. Any other fixed matrix parts the gates before it from those
    behind. A weight of several gates is in the layer of its first, and one of none in a layer of its own.

    Cost: quadratic in the number of rotations.
    """
    layer_of_slot = _layers(program)
    found = np.full(len(weights), -1)
    places = {parameter: place for place, parameter in enumerate(weights)}
    for slot, layer in sorted(layer_of_slot.items()):
        for parameter in program.slots[slot].parameters:
            place = places.get(parameter)
            if place is not None and found[place] < 0:
                found[place] = layer
    unused = np.flatnonzero(found < 0)
    found[unused] = found.max(initial=-1) + 1 + np.arange(len(unused))
    return np.unique(found, return_inverse=True)[1]


def _layers(program: Program) -> dict[int, int]:
    """The layer of every slot that turns a gate."""
    layer_of_slot: dict[int, int] = {}
    strings: PauliList | None = None  # of gates since the last matrix that is not Clifford, as they are behind the last gate
    owners = np.zeros(0, np.int64)  # the layer of each
    floor = 0
    for gate in program.gates:
        clifford = as_clifford(gate)
        if clifford is not None:
            strings = None if strings is None else strings.evolve(clifford, qargs=[*gate.qubits, *gate.controls], frame="s")
        elif isinstance(gate, Unitary):
            floor, strings, owners = max([floor - 1, *owners]) + 1, None, np.zeros(0, np.int64)
        else:
            own = _generators(gate, program.n_qubits)
            clashes = [owners[~strings.commutes(string)] for string in own] if strings is not None else []
            layer = max([floor - 1, *(c.max(initial=-1) for c in clashes)]) + 1
            strings = own if strings is None else strings.insert(len(strings), own)
            owners = np.append(owners, np.full(len(own), layer))
            slots = gate.slots if isinstance(gate, Evolution) else [gate.slot]
            layer_of_slot |= {slot: layer for slot in slots if slot is not None}
    return layer_of_slot


def _generators(gate: Rotation | Evolution, n_qubits: int) -> PauliList:
    """The strings of a gate's generator; a control is half the identity and half a Z."""
    paulis = gate.paulis if isinstance(gate, Evolution) else [gate.pauli]
    found = []
    for pauli in paulis:
        for subset in range(1 << len(gate.controls)):
            letters = ["I"] * n_qubits
            for letter, qubit in zip(pauli, gate.qubits):
                letters[n_qubits - 1 - qubit] = letter
            for place, qubit in enumerate(gate.controls):
                letters[n_qubits - 1 - qubit] = "IZ"[subset >> place & 1]
            found.append("".join(letters))
    return PauliList(found)


def as_clifford(gate: Gate) -> Clifford | None:
    """A fixed gate as a Clifford operator on its qubits and controls; None if it is none, or turned by a parameter.

    One under three controls and more is not looked at: unless it does nothing it is none, and its matrix may be large.
    """
    if isinstance(gate, Evolution) or (isinstance(gate, Rotation) and gate.slot is not None):
        return None
    if len(gate.controls) > 2:
        return None
    if isinstance(gate, Rotation):
        if abs(gate.angle / (np.pi / 2) - round(gate.angle / (np.pi / 2))) > 1e-12:
            return None
        string = Pauli(gate.pauli[::-1]).to_matrix() if gate.pauli else np.eye(1)
        matrix = np.cos(gate.angle / 2) * np.eye(len(string)) - 1j * np.sin(gate.angle / 2) * string
        gate = Unitary("rotation", matrix, gate.qubits, gate.controls, gate.control_state)
    try:
        return Clifford.from_operator(Operator(gate.full_matrix()))
    except QiskitError:
        return None
