"""A ring whose values and gradients are known without a state: what steps at sizes beyond our CPU's are held against.

The first layer's angles are as drawn, made small. Those after it are quarter turns, which take a Pauli string back to a
Pauli string, and its derivative too, which is what a quarter turn more makes of it. So the first layer has all that is left
of the state, a product over qubits, and a string's mean in it is a product of means. Angles do not change what a step costs.
"""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from studies.peers.base import Gate, Workload

SMALL = 1 / 20  # times drawn angles, and half times drawn inputs: products over thirty qubits stay far above the bounds
QUARTER = np.pi / 2
AXES = {"rx": (1, 0), "ry": (1, 1), "rz": (0, 1)}  # (x, z) of the generator X^x Z^z, up to a power of i


@dataclass(frozen=True)
class KnownRing(Workload):
    """A `Workload` of the circuit "ring" whose later angles are quarter turns, all samples with the same weights."""

    @cached_property
    def numbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cotangents as in `Workload`; inputs and weights that keep values and derivatives away from zero."""
        inputs, drawn, cotangents = Workload(**asdict(self)).numbers
        inputs, weights = self._drawn(inputs / 2), self._drawn(drawn * SMALL)
        later = np.arange(len(weights)) >= 2 * self.n_qubits
        turns = np.floor(drawn.astype(float))
        turns[::2] = 2 * (turns[::2] % 2)  # RY, of half turns: Z stays Z but for its sign
        if self.n_layers > 1:
            turns[-2] = 1  # but for the last, whose X is turned by RZ
        weights[later] = (QUARTER * (turns % 4))[later]
        return inputs, weights, cotangents


class _Strings:
    """Strings i^k X^x Z^z, a row each: observables, and derivatives of observables by weights."""

    def __init__(self, observables: list, n_qubits: int):
        self.x = np.zeros((len(observables), n_qubits), bool)
        self.z = self.x.copy()
        for row, ((letters, qubits),) in enumerate(observables):
            assert letters == "Z"
            self.z[row, qubits[0]] = True
        self.power = np.zeros(len(observables), int)
        self.observable = np.arange(len(observables))
        self.weight = np.full(len(observables), -1)  # -1 for the observable itself

    def _turned(self, rows: np.ndarray, gate: Gate, turns: int) -> tuple:
        """(x, z, power) of rows that do not commute with the generator: cos P - i sin P G."""
        x, z, power = self.x[rows].copy(), self.z[rows].copy(), self.power[rows].copy()
        if turns % 2:
            (qubit,), (flip, sign) = gate.qubits, AXES[gate.name]
            power += 2 * (z[:, qubit] & flip) + flip * sign - 1  # Y = i X Z
            x[:, qubit] ^= bool(flip)
            z[:, qubit] ^= bool(sign)
        return x, z, power + 2 * (turns % 4 // 2)

    def before(self, gate: Gate, turns: int) -> None:
        """Strings before the gate in place of those after it, and the observables' derivatives by its angle beside them."""
        if gate.name == "cx":
            control, target = gate.qubits
            self.x[:, target] ^= self.x[:, control]
            self.z[:, control] ^= self.z[:, target]
            return
        (qubit,), (flip, sign) = gate.qubits, AXES[gate.name]
        moves = np.flatnonzero((self.x[:, qubit] & bool(sign)) ^ (self.z[:, qubit] & bool(flip)))
        fresh = moves[self.weight[moves] < 0]
        new = *self._turned(fresh, gate, turns + 1), self.observable[fresh], np.full(len(fresh), gate.place)
        self.x[moves], self.z[moves], self.power[moves] = self._turned(moves, gate, turns)
        self.x, self.z, self.power, self.observable, self.weight = (
            np.concatenate(pair) for pair in zip((self.x, self.z, self.power, self.observable, self.weight), new)
        )

    def factors(self, vectors: np.ndarray) -> np.ndarray:
        """(B, rows, n) means of each qubit's letter in states of Bloch vectors (B, n, 4): of I, X, Y and Z."""
        letters = np.where(self.x, 1 + self.z, 3 * self.z)
        return np.take_along_axis(vectors[:, None], letters[None, :, :, None], axis=3)[..., 0]

    @property
    def signs(self) -> np.ndarray:
        """What the products of letters are multiplied with: X Z = -i Y."""
        return 1 - (self.power + 3 * (self.x & self.z).sum(axis=1)) % 4


def _rotation(axis: str, angle) -> np.ndarray:
    """(..., 4, 4) of Bloch vectors (1, x, y, z)."""
    angle = np.asarray(angle)
    matrix = np.zeros((*angle.shape, 4, 4))
    a, b = {"rx": (2, 3), "ry": (3, 1), "rz": (1, 2)}[axis]
    matrix[...] = np.eye(4)
    matrix[..., a, a] = matrix[..., b, b] = np.cos(angle)
    matrix[..., b, a] = np.sin(angle)
    matrix[..., a, b] = -np.sin(angle)
    return matrix


def _product_state(workload: Workload, gates: list[Gate]) -> tuple[np.ndarray, list[tuple[Gate, np.ndarray]]]:
    """(B, n, 4) Bloch vectors after rotations of single qubits; and for each gate, (B, 4) its qubit's derivative by it."""
    inputs, weights, _ = (array.astype(float) for array in workload.numbers)

    def after(moved: Gate | None, by: float) -> np.ndarray:
        vectors = np.zeros((len(inputs), workload.n_qubits, 4))
        vectors[..., 0] = vectors[..., 3] = 1
        for gate in gates:
            if moved is None or gate.qubits == moved.qubits:
                angle = inputs[:, gate.place] if gate.source == "x" else np.full(len(inputs), weights[gate.place])
                turn = _rotation(gate.name, angle + by * (gate is moved))
                vectors[:, gate.qubits[0]] = np.einsum("bij,bj->bi", turn, vectors[:, gate.qubits[0]])
        return vectors

    def derivative(gate: Gate) -> np.ndarray:
        return (after(gate, QUARTER) - after(gate, -QUARTER))[:, gate.qubits[0]] / 2

    return after(None, 0), [(gate, derivative(gate)) for gate in gates]


def known_results(workload: KnownRing) -> list[np.ndarray]:
    """Values and gradients to inputs and weights, in float64.

    Cost: linear in gates, in observables and in their derivatives; a second or two at 30 qubits and 4 layers.
    """
    inputs, weights, cotangents = (array.astype(float) for array in workload.numbers)
    entangling = next(k for k, gate in enumerate(workload.gates) if gate.name == "cx")
    strings = _Strings(workload.observables, workload.n_qubits)
    for gate in reversed(workload.gates[entangling:]):
        strings.before(gate, round(weights[gate.place] / QUARTER) if gate.source else 0)
    vectors, derivatives = _product_state(workload, workload.gates[:entangling])
    factors = strings.factors(vectors)
    found = strings.signs * factors.prod(axis=2)
    given = cotangents[:, strings.observable]
    of_weights = np.zeros(len(weights))
    np.add.at(of_weights, np.maximum(strings.weight, 0), np.where(strings.weight < 0, 0, given * found).sum(axis=0))
    of_inputs = np.zeros_like(inputs)
    itself = strings.weight < 0
    for gate, derivative in derivatives:
        moved = vectors.copy()
        moved[:, gate.qubits[0]] = derivative
        part = (given * strings.signs * strings.factors(moved).prod(axis=2))[:, itself].sum(axis=1)
        if gate.source == "x":
            of_inputs[:, gate.place] += part
        else:
            of_weights[gate.place] += part.sum()
    return [found[:, itself], of_inputs, of_weights]
