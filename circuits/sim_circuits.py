"""The nineteen circuits whose expressibility and entangling capability Sim, Johnson and Aspuru-Guzik compared.

They are the ones of Fig. 2 of Adv. Quantum Technol. 2, 1900070 (2019), arXiv:1905.10876, with the paper's numbers, for
any number of qubits from two: what the figure draws on four is continued by its pattern, so that the numbers of
weights are those of the paper's Table III.
"""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from circuits.ansatze import check_size
from circuits.errors import LabError

Gates = list[tuple[str, tuple[int, ...]]]  # names of methods of `QuantumCircuit`, each with its qubits, controls first


def sim(n_qubits: int, n_layers: int, number: int, name: str = "w") -> QuantumCircuit:
    """The circuit of that `number`, from 1 to 19, whose layer is repeated `n_layers` times with weights of its own.

    Args:
        n_qubits: at least 2.
        name: of the `ParameterVector` that holds all weights, in the order of the gates.

    Source: Sim, Johnson, Aspuru-Guzik, Adv. Quantum Technol. 2, 1900070 (2019), Fig. 2.
    """
    check_size(n_qubits, n_layers)
    if n_qubits < 2:
        raise LabError(f"n_qubits must be at least 2 for Sim's circuits, got {n_qubits}")
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number not in _LAYERS:
        raise LabError(f"number must be one of Sim's circuits, 1 to 19, got {number!r}")
    layer, entangler = _LAYERS[number]
    first = _on_each(["ry"], range(n_qubits)) if number == 10 else []
    gates = first + n_layers * layer(n_qubits, entangler)
    circuit = QuantumCircuit(n_qubits, name=f"sim_{number}")
    weights = iter(ParameterVector(name, sum(_takes_weight(gate) for gate, _ in gates)))
    for gate, qubits in gates:
        angle = [next(weights)] if _takes_weight(gate) else []
        getattr(circuit, gate)(*angle, *qubits)
    return circuit


def _takes_weight(gate: str) -> bool:
    return gate.startswith(("r", "cr"))


def _on_each(gates: list[str], qubits) -> Gates:
    return [(gate, (qubit,)) for gate in gates for qubit in qubits]


def _on_pairs(gate: str, pairs: list[tuple[int, int]]) -> Gates:
    return [(gate, pair) for pair in pairs]


def _ladder(n: int) -> list[tuple[int, int]]:
    return [(q, q - 1) for q in range(n - 1, 0, -1)]


def _bricks(n: int, first: int) -> list[tuple[int, int]]:
    return [(q + 1, q) for q in range(first, n - 1, 2)]


def _ring(n: int) -> list[tuple[int, int]]:
    return [(q, (q + 1) % n) for q in range(n - 1, -1, -1)]


def _counter_ring(n: int) -> list[tuple[int, int]]:
    return [(q, (q - 1) % n) for q in (n - 1, *range(n - 1))]


def _separable(n: int, entangler: str) -> Gates:
    return _on_each(["rx", "rz"], range(n))


def _with_ladder(n: int, entangler: str) -> Gates:
    return _separable(n, entangler) + _on_pairs(entangler, _ladder(n))


def _with_all_pairs(n: int, entangler: str) -> Gates:
    pairs = [(c, t) for c in range(n - 1, -1, -1) for t in range(n - 1, -1, -1) if t != c]
    return _separable(n, entangler) + _on_pairs(entangler, pairs) + _separable(n, entangler)


def _with_bricks_apart(n: int, entangler: str) -> Gates:
    even, odd = (_on_pairs(entangler, _bricks(n, first)) for first in (0, 1))
    return _separable(n, entangler) + even + _separable(n, entangler) + odd


def _hadamards(n: int, entangler: str) -> Gates:
    return _on_each(["h"], range(n)) + _on_pairs(entangler, _ladder(n)) + _on_each(["rx"], range(n))


def _closed_ladder(n: int, entangler: str) -> Gates:
    # On two qubits the gate that closes the ring would undo the only other one.
    pairs = _ladder(n) + ([(n - 1, 0)] if n > 2 else [])
    return _on_pairs(entangler, pairs) + _on_each(["ry"], range(n))


def _with_inner_turns(n: int, entangler: str) -> Gates:
    even, odd = (_on_pairs(entangler, _bricks(n, first)) for first in (0, 1))
    return _on_each(["ry", "rz"], range(n)) + even + _on_each(["ry", "rz"], range(1, n - 1)) + odd


def _two_rings(n: int, entangler: str) -> Gates:
    turns = _on_each(["ry"], range(n))
    return turns + _on_pairs(entangler, _ring(n)) + turns + _on_pairs(entangler, _counter_ring(n))


def _with_bricks(n: int, entangler: str) -> Gates:
    return _separable(n, entangler) + _on_pairs(entangler, _bricks(n, 0) + _bricks(n, 1))


def _with_ring(n: int, entangler: str) -> Gates:
    return _separable(n, entangler) + _on_pairs(entangler, _ring(n))


_LAYERS = {
    1: (_separable, ""),
    2: (_with_ladder, "cx"),
    3: (_with_ladder, "crz"),
    4: (_with_ladder, "crx"),
    5: (_with_all_pairs, "crz"),
    6: (_with_all_pairs, "crx"),
    7: (_with_bricks_apart, "crz"),
    8: (_with_bricks_apart, "crx"),
    9: (_hadamards, "cz"),
    10: (_closed_ladder, "cz"),
    11: (_with_inner_turns, "cx"),
    12: (_with_inner_turns, "cz"),
    13: (_two_rings, "crz"),
    14: (_two_rings, "crx"),
    15: (_two_rings, "cx"),
    16: (_with_bricks, "crz"),
    17: (_with_bricks, "crx"),
    18: (_with_ring, "crz"),
    19: (_with_ring, "crx"),
}
