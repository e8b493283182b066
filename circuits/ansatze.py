"""Parametrised circuits to be trained; each returns a Qiskit `QuantumCircuit` whose weights are one `ParameterVector`.

Every function takes `n_qubits`, `n_layers` and `name`, the name of its `ParameterVector` ("w" by default), so that two
of them compose. Rotations follow Qiskit: RX(t) = exp(-i t X / 2), angles in radians.
"""

import inspect
import math

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import n_local

from circuits.errors import LabError, UnknownName
from circuits.families import function

ENTANGLEMENTS = ("linear", "reverse_linear", "circular", "sca", "pairwise", "full")  # Qiskit's patterns
CALLED_ELSEWHERE = {"ring": "circular", "chain": "linear", "line": "linear", "ladder": "linear", "all": "full"}


def by_name(name: str):
    """The ansatz function called `name`; an unknown name raises `UnknownName` with the nearest one."""
    return function(__name__, name, "ansatz")


def build(ansatz: str, n_qubits: int, n_layers: int = 1, seed: int | None = None) -> QuantumCircuit:
    """The ansatz called so; the seed is for one that draws its gates, None draws others each time.

    Raises:
        UnknownName: no such ansatz; the message gives the nearest one.
    """
    layers = by_name(ansatz)
    drawn = {"seed": seed} if "seed" in inspect.signature(layers).parameters else {}
    return layers(n_qubits, n_layers, **drawn)


def check_size(n_qubits: int, n_layers: int = 1) -> None:
    """Raise `LabError` unless both are whole numbers of at least one."""
    for what, value in (("n_qubits", n_qubits), ("n_layers", n_layers)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise LabError(f"{what} must be a whole number of at least 1, got {value!r}")


def hardware_efficient(n_qubits: int, n_layers: int = 1, name: str = "w", entanglement: str = "circular"):
    """RY and RZ on every qubit, then CNOTs, `n_layers` times: 2 n_qubits n_layers weights.

    Args:
        entanglement: a pattern of `qiskit.circuit.library.n_local`: one of `ENTANGLEMENTS`, or pairs of qubits.

    Source: Kandala et al., Nature 549, 242 (2017); built by Qiskit's `n_local`.
    """
    check_size(n_qubits, n_layers)
    if isinstance(entanglement, str) and entanglement not in ENTANGLEMENTS:
        raise UnknownName("entanglement", entanglement, ENTANGLEMENTS, CALLED_ELSEWHERE)
    entangler = ["cx"] if n_qubits > 1 else []
    layers = n_local(
        n_qubits, ["ry", "rz"], entangler, entanglement, reps=n_layers, parameter_prefix=name,
        skip_final_rotation_layer=True, name="hardware_efficient",
    )  # fmt: skip
    if n_qubits > 1:
        return layers
    return _product(1, n_layers, name, "hardware_efficient")


def separable(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """RY and RZ on every qubit and no entangling gate: the control that every claim about entanglement needs."""
    check_size(n_qubits, n_layers)
    return _product(n_qubits, n_layers, name, "separable")


def _product(n_qubits: int, n_layers: int, name: str, title: str) -> QuantumCircuit:
    circuit = QuantumCircuit(n_qubits, name=title)
    weights = iter(ParameterVector(name, 2 * n_qubits * n_layers))
    for _ in range(n_layers):
        for qubit in range(n_qubits):
            circuit.ry(next(weights), qubit)
        for qubit in range(n_qubits):
            circuit.rz(next(weights), qubit)
    return circuit


def strongly_entangling(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """RZ RY RZ on every qubit, then a ring of CNOTs whose range grows with the layer: 3 n_qubits n_layers weights.

    Source: Schuld, Bocharov, Svore, Wiebe, Phys. Rev. A 101, 032308 (2020); the ranges are PennyLane's.
    """
    check_size(n_qubits, n_layers)
    circuit = QuantumCircuit(n_qubits, name="strongly_entangling")
    weights = iter(ParameterVector(name, 3 * n_qubits * n_layers))
    for layer in range(n_layers):
        for qubit in range(n_qubits):
            circuit.rz(next(weights), qubit)
            circuit.ry(next(weights), qubit)
            circuit.rz(next(weights), qubit)
        if n_qubits > 1:
            reach = layer % (n_qubits - 1) + 1
            for qubit in range(n_qubits):
                circuit.cx(qubit, (qubit + reach) % n_qubits)
    return circuit


def cz_line(n_qubits: int, n_layers: int = 1, name: str = "w", rotations: tuple[str, ...] = ("ry", "rz")) -> QuantumCircuit:
    """The rotations named, one after another on every qubit, then CZ along the open line, `n_layers` times.

    Source: with ("rx", "ry") the circuit of Zhang, Liu, Hsieh, Tao, NeurIPS 2022 (arXiv:2203.09376).
    """
    check_size(n_qubits, n_layers)
    circuit = QuantumCircuit(n_qubits, name="cz_line")
    weights = iter(ParameterVector(name, len(rotations) * n_qubits * n_layers))
    for _ in range(n_layers):
        for qubit in range(n_qubits):
            for rotation in rotations:
                getattr(circuit, rotation)(next(weights), qubit)
        for qubit in range(n_qubits - 1):
            circuit.cz(qubit, qubit + 1)
    return circuit


def brickwork(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """Bricks of RY RZ on two neighbours and a CZ, laid alternately on even and odd pairs of an open line.

    Source: the alternating layered ansatz of Cerezo et al., Nat. Commun. 12, 1791 (2021).
    """
    check_size(n_qubits, n_layers)
    pairs = [[(q, q + 1) for q in range(layer % 2, n_qubits - 1, 2)] for layer in range(n_layers)]
    touched = [[q for pair in row for q in pair] or [n_qubits - 1] for row in pairs]
    circuit = QuantumCircuit(n_qubits, name="brickwork")
    weights = iter(ParameterVector(name, sum(2 * len(qubits) for qubits in touched)))
    for qubits, row in zip(touched, pairs):
        for qubit in qubits:
            circuit.ry(next(weights), qubit)
            circuit.rz(next(weights), qubit)
        for pair in row:
            circuit.cz(*pair)
    return circuit


def random_pauli(n_qubits: int, n_layers: int = 1, name: str = "w", seed: int | None = None) -> QuantumCircuit:
    """McClean's circuit: RY(pi/4) everywhere, then layers of a rotation about a random axis per qubit and a CZ ladder.

    Args:
        seed: fixes the axes, drawn uniformly from X, Y and Z; the angles are the n_qubits n_layers weights.

    Source: McClean et al., Nat. Commun. 9, 4812 (2018).
    """
    check_size(n_qubits, n_layers)
    axes = np.random.default_rng(seed).integers(0, 3, (n_layers, n_qubits))
    circuit = QuantumCircuit(n_qubits, name="random_pauli")
    weights = iter(ParameterVector(name, n_qubits * n_layers))
    circuit.ry(math.pi / 4, range(n_qubits))
    for layer in range(n_layers):
        for qubit in range(n_qubits):
            getattr(circuit, ("rx", "ry", "rz")[axes[layer, qubit]])(next(weights), qubit)
        for qubit in range(n_qubits - 1):
            circuit.cz(qubit, qubit + 1)
    return circuit


def commuting_blocks(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """Blocks of commuting rotations, each two of which anticommute as a whole: n_qubits n_layers weights.

    On |+...+> the blocks are, in turn, exp(-i t X_0 / 2) with exp(-i t X_0 Z_i / 2), and the same with Z_0; Hadamard gates
    on all but qubit 0 end it. All derivatives of a block are measured at once: see `diff_method="commuting-blocks"`.

    Source: commuting-block circuits, Bowles, Wierichs, Park, Quantum 9, 1873 (2025).
    """
    check_size(n_qubits, n_layers)
    weights = ParameterVector(name, n_qubits * n_layers)
    circuit = QuantumCircuit(n_qubits, name="commuting_blocks")
    circuit.h(range(n_qubits))
    for block in range(n_layers):
        first, *others = weights[block * n_qubits : (block + 1) * n_qubits]
        alone, beside = (circuit.rx, circuit.rzx) if block % 2 == 0 else (circuit.rz, circuit.rzz)
        alone(first, 0)
        for qubit, weight in enumerate(others, 1):
            beside(weight, qubit, 0)
    if n_qubits > 1:
        circuit.h(range(1, n_qubits))
    return circuit


def hva_tfim(n_qubits: int, n_layers: int = 1, name: str = "w", periodic: bool = False) -> QuantumCircuit:
    """From |+...+>: exp(-i a/2 sum Z_j Z_j+1), then exp(-i b/2 sum X_j), `n_layers` times: two shared weights a layer.

    Source: the Hamiltonian variational ansatz of Wecker, Hastings, Troyer, Phys. Rev. A 92, 042303 (2015), for the
    transverse-field Ising chain, open unless `periodic`.
    """
    check_size(n_qubits, n_layers)
    bonds = [(q, q + 1) for q in range(n_qubits - 1)]
    if periodic and n_qubits > 2:
        bonds.append((n_qubits - 1, 0))
    circuit = QuantumCircuit(n_qubits, name="hva_tfim")
    weights = ParameterVector(name, 2 * n_layers)
    circuit.h(range(n_qubits))
    for layer in range(n_layers):
        for bond in bonds:
            circuit.rzz(weights[2 * layer], *bond)
        circuit.rx(weights[2 * layer + 1], range(n_qubits))
    if n_qubits == 1:  # no bond, so the first weight of each layer would be missing from the circuit
        return _transverse_field_only(n_layers, name)
    return circuit


def _transverse_field_only(n_layers: int, name: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1, name="hva_tfim")
    circuit.h(0)
    for weight in ParameterVector(name, n_layers):
        circuit.rx(weight, 0)
    return circuit


def hva_xxz(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """Singlets on neighbours, then exp(-i t sum ZZ / 2) and exp(-i t sum (XX + YY) / 2) on odd and on even bonds.

    Four weights a layer, two where there is one bond or where n_qubits is 1 (RX and RZ then).

    Source: the XXZ chain's Hamiltonian variational ansatz, Wiersema et al., PRX Quantum 1, 020319 (2020).
    """
    check_size(n_qubits, n_layers)
    circuit = QuantumCircuit(n_qubits, name="hva_xxz")
    sets = [[(q, q + 1) for q in range(start, n_qubits - 1, 2)] for start in (1, 0)]
    sets = [bonds for bonds in sets if bonds]
    weights = iter(ParameterVector(name, 2 * n_layers * max(1, len(sets))))
    for first in range(0, n_qubits - 1, 2):
        circuit.x([first, first + 1])
        circuit.h(first)
        circuit.cx(first, first + 1)
    for _ in range(n_layers):
        if not sets:
            circuit.rx(next(weights), 0)
            circuit.rz(next(weights), 0)
        for bonds in sets:
            along, across = next(weights), next(weights)
            for bond in bonds:
                circuit.rzz(along, *bond)
                circuit.rxx(across, *bond)
                circuit.ryy(across, *bond)
    return circuit


def permutation_equivariant(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """RX on all qubits, RY on all, ZZ on all pairs, each with one weight: commutes with every exchange of qubits.

    Three weights a layer, two for one qubit.

    Source: Schatzki, Larocca, Nguyen, Sauvage, Cerezo, npj Quantum Inf. 10, 12 (2024).
    """
    check_size(n_qubits, n_layers)
    circuit = QuantumCircuit(n_qubits, name="permutation_equivariant")
    pairs = [(a, b) for a in range(n_qubits) for b in range(a + 1, n_qubits)]
    weights = iter(ParameterVector(name, (3 if pairs else 2) * n_layers))
    for _ in range(n_layers):
        circuit.rx(next(weights), range(n_qubits))
        circuit.ry(next(weights), range(n_qubits))
        if pairs:
            weight = next(weights)
            for pair in pairs:
                circuit.rzz(weight, *pair)
    return circuit


def convolutional(n_qubits: int, n_layers: int = 1, name: str = "w") -> QuantumCircuit:
    """A tree: bricks on the qubits left, then every other one is left out, until qubit 0 is alone; to be measured there.

    Args:
        n_layers: of bricks before each halving. A brick is RY and RZ on two neighbours and a CZ; a halving turns the qubit
            kept by RY between two CZ with the one left out.

    Source: Cong, Choi, Lukin, Nature Physics 15, 1273 (2019); with weights of their own for each brick, as in Pesah et al.,
    Phys. Rev. X 11, 041011 (2021).
    """
    check_size(n_qubits, n_layers)
    steps: list[tuple[str, tuple[int, ...]]] = []
    left = list(range(n_qubits))
    while len(left) > 1:
        for layer in range(n_layers):
            for at in range(layer % 2 if len(left) > 2 else 0, len(left) - 1, 2):
                steps.append(("brick", (left[at], left[at + 1])))
        steps += [("halve", (left[at], left[at + 1])) for at in range(0, len(left) - 1, 2)]
        left = left[::2]
    circuit = QuantumCircuit(n_qubits, name="convolutional")
    weights = iter(ParameterVector(name, sum(4 if kind == "brick" else 1 for kind, _ in steps) + 2))
    for kind, (kept, other) in steps:
        for qubit in (kept, other) if kind == "brick" else ():
            circuit.ry(next(weights), qubit)
            circuit.rz(next(weights), qubit)
        circuit.cz(kept, other)
        if kind == "halve":
            circuit.ry(next(weights), kept)
            circuit.cz(kept, other)
    circuit.rz(next(weights), 0)
    circuit.ry(next(weights), 0)
    return circuit


def identity_blocks(
    n_qubits: int, n_layers: int = 1, name: str = "w", block: str = "hardware_efficient", block_layers: int = 2
) -> QuantumCircuit:
    """`n_layers` blocks, each the ansatz `block` of `block_layers` layers, then its inverse with weights of its own.

    At the weights of `initializers.identity_block` every block is the identity, which keeps the gradient of a deep
    circuit as large as that of one block. A block of one layer would stay unentangled at all weights: the entanglers
    of the two halves meet and cancel.

    Source: Grant, Wossnig, Ostaszewski, Benedetti, Quantum 3, 214 (2019).
    """
    check_size(n_qubits, n_layers)
    layers = by_name(block)(n_qubits, block_layers)
    size = len(layers.parameters)
    weights = ParameterVector(name, 2 * size * n_layers)
    circuit = QuantumCircuit(n_qubits, name="identity_blocks")
    for start in range(0, len(weights), 2 * size):
        circuit.compose(layers.assign_parameters(weights[start : start + size]), inplace=True)
        mirror = layers.assign_parameters(weights[start + size : start + 2 * size]).inverse()
        circuit.compose(mirror, inplace=True)
    return circuit
