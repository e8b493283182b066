"""McClean's random circuits: RY(pi/4) on every qubit, then layers of rotations about random axes and a CZ ladder.

Every sample draws its own axes and angles. All samples of a batch share one circuit that has RX, RY and RZ at every site:
two of the three angles are zero.
"""

import math
from functools import lru_cache

import numpy as np

ARMS = ("random", "separable")


def derivatives(seed: int, arm: str, n_qubits: int, n_layers: int, samples: range) -> np.ndarray:
    """(samples, n_layers, n_qubits) derivatives of <Z0 Z1> by every angle: one adjoint sweep for all samples."""
    compiled, places = _compiled(arm, n_qubits, n_layers)
    draws = [angles(seed, arm, n_qubits, n_layers, sample) for sample in samples]
    axes, turns = (np.stack(values) for values in zip(*draws))
    sites = np.zeros((len(samples), n_layers * n_qubits, 3))
    np.put_along_axis(sites, axes[..., None], turns[..., None], axis=-1)
    weights = np.ascontiguousarray(sites.reshape(len(samples), -1)[:, places])
    _, slopes = compiled.vjp(np.empty((len(samples), 0)), weights, np.ones((len(samples), 1)))
    by_site = np.empty_like(slopes)
    by_site[:, places] = slopes
    chosen = np.take_along_axis(by_site.reshape(sites.shape), axes[..., None], axis=-1)
    return chosen.reshape(len(samples), n_layers, n_qubits)


def angles(seed: int, arm: str, n_qubits: int, n_layers: int, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes (0, 1, 2 for X, Y, Z) and the angles of one sample, layer by layer, qubit by qubit."""
    key = (n_qubits, n_layers, ARMS.index(arm), sample)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    axes = generator.integers(0, 3, n_layers * n_qubits)
    return axes, generator.uniform(0, 2 * math.pi, n_layers * n_qubits)


@lru_cache(maxsize=2)
def _compiled(arm: str, n_qubits: int, n_layers: int) -> tuple:
    """The circuit on the native backend, and where each of its angles belongs: 3 site + axis."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit.quantum_info import SparsePauliOp

    from circuits.lowering import lower
    from qml.backends.base import resolve

    circuit = QuantumCircuit(n_qubits)
    weights = iter(ParameterVector("w", 3 * n_qubits * n_layers))
    circuit.ry(math.pi / 4, range(n_qubits))
    for _ in range(n_layers):
        for qubit in range(n_qubits):
            circuit.rx(next(weights), qubit)
            circuit.ry(next(weights), qubit)
            circuit.rz(next(weights), qubit)
        for qubit in range(n_qubits - 1 if arm == "random" else 0):
            circuit.cz(qubit, qubit + 1)
    program = lower(circuit)
    observable = SparsePauliOp.from_sparse_list([("ZZ", [0, 1], 1.0)], n_qubits)
    return resolve("native").compile(program, [observable]), [slot.index for slot in program.slots]
