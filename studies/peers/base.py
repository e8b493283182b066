"""One workload for every framework: gates with what their angles are, observables, numbers.

A peer is a file of this folder with

    docstring           what the framework is and which of its ways to a gradient is used, the fastest one it has
    REQUIRES            the modules that must be installed
    DTYPES              the precisions it computes in
    build(workload)     a function of no arguments that returns (values, d_inputs, d_weights) as NumPy arrays: (B, K), and
                        derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights

and adding one is adding such a file.
"""

import importlib.util
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType

import numpy as np

from circuits.families import member, members

FAMILY = "studies.peers"
OURS = "hybrid_qml_lab"
CIRCUITS = ("ring", "reuploading", "two_qubit")


@dataclass(frozen=True)
class Gate:
    """A gate and its angle: column `place` of "x" (inputs) or "w" (weights), times `factor`; "" for a fixed gate."""

    name: str
    qubits: tuple[int, ...]
    source: str = ""
    place: int = 0
    factor: float = 1.0


@dataclass(frozen=True)
class Workload:
    """A circuit of `CIRCUITS`, its observables, and a batch of numbers.

    Attributes:
        per_sample: every sample has weights of its own.
    """

    circuit: str
    n_qubits: int
    batch: int
    n_layers: int
    dtype: str = "float64"
    per_sample: bool = False

    @cached_property
    def gates(self) -> list[Gate]:
        """The circuit in order."""
        return _BUILDERS[self.circuit](self.n_qubits, self.n_layers)

    @cached_property
    def n_weights(self) -> int:
        """Weights of one sample."""
        return 1 + max(gate.place for gate in self.gates if gate.source == "w")

    @cached_property
    def observables(self) -> list[list[tuple[str, tuple[int, ...]]]]:
        """Each a sum of Pauli strings, (letters, qubits), with coefficient 1."""
        n = self.n_qubits
        if self.circuit != "two_qubit":
            return [[("Z", (q,))] for q in range(n)]
        return [[("Z", (q,)) for q in range(n)] + [("XX", (q, q + 1)) for q in range(n - 1)]]

    def _drawn(self, draw) -> np.ndarray:
        return np.ascontiguousarray(draw, self.dtype)

    @cached_property
    def numbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs (B, n), weights (P,) or (B, P), cotangents (B, K), the same ones for the same workload."""
        generator = np.random.default_rng(2024)
        rows = (self.batch,) if self.per_sample else ()
        return (
            self._drawn(generator.uniform(-1, 1, (self.batch, self.n_qubits))),
            self._drawn(generator.uniform(0, 6, (*rows, self.n_weights))),
            self._drawn(generator.normal(size=(self.batch, len(self.observables)))),
        )

    def widened(self) -> "Workload":
        """The same in float64, at these very numbers."""
        wide = replace(self, dtype="float64")
        wide.__dict__["numbers"] = tuple(array.astype(np.float64) for array in self.numbers)
        return wide

    def decomposed(self) -> list[Gate]:
        """The same circuit for frameworks without RXX, RYY: H, S, CX and RZ in their place."""
        out: list[Gate] = []
        for gate in self.gates:
            if gate.name not in ("rxx", "ryy"):
                out.append(gate)
                continue
            a, b = gate.qubits
            basis = [("h",)] if gate.name == "rxx" else [("sdg",), ("h",)]
            into = [Gate(name, (q,)) for (name,) in basis for q in (a, b)]
            undo = {"h": "h", "sdg": "s"}
            back = [Gate(undo[step.name], step.qubits) for step in reversed(into)]
            turn = Gate("rz", (b,), gate.source, gate.place, gate.factor)
            out += [*into, Gate("cx", (a, b)), turn, Gate("cx", (a, b)), *back]
        return out


def _ring(n: int, n_layers: int) -> list[Gate]:
    gates = [Gate("rx", (q,), "x", q) for q in range(n)]
    for layer in range(n_layers):
        for q in range(n):
            at = 2 * (layer * n + q)
            gates += [Gate("ry", (q,), "w", at), Gate("rz", (q,), "w", at + 1)]
        gates += [Gate("cx", (q, (q + 1) % n)) for q in range(n)]
    return gates


def _reuploading(n: int, n_layers: int) -> list[Gate]:
    gates = []
    for layer in range(n_layers):
        gates += [Gate("rx", (q,), "x", q) for q in range(n)]
        for q in range(n):
            at = 3 * (layer * n + q)
            gates += [Gate(name, (q,), "w", at + j) for j, name in enumerate(("rz", "ry", "rz"))]
        reach = layer % max(1, n - 1) + 1
        gates += [Gate("cx", (q, (q + reach) % n)) for q in range(n)]
    return gates


def _two_qubit(n: int, n_layers: int) -> list[Gate]:
    gates = [Gate("ry", (q,), "x", q) for q in range(n)]
    weight = iter(range(n_layers * 3 * n))
    for _ in range(n_layers):
        for name in ("rxx", "ryy"):
            gates += [Gate(name, (q, q + 1), "w", next(weight)) for q in range(n - 1)]
        gates += [Gate("crx", (q, (q + 1) % n), "w", next(weight)) for q in range(n)]
    return gates


_BUILDERS = {"ring": _ring, "reuploading": _reuploading, "two_qubit": _two_qubit}


def names() -> list[str]:
    """Every peer, ours left out."""
    return [name for name in members(FAMILY) if name != OURS]


def peer(name: str) -> ModuleType:
    """The peer's module."""
    return member(FAMILY, name, "peer")


def missing(name: str) -> list[str]:
    """The modules that a peer needs and that are not installed."""
    return [module for module in peer(name).REQUIRES if importlib.util.find_spec(module) is None]


def checksum(array: np.ndarray) -> float:
    """A signed number that no two gradients share: a wrong sign, or an exchange, shows."""
    flat = np.asarray(array, float).ravel()
    return float(flat @ np.cos(1 + np.arange(flat.size)))
