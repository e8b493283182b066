"""Circuits with noise after every layer: variances of gradients by Pauli walks, gradients by density matrices.

The circuit is layers of RY and RZ on every qubit and a CZ ladder on the open line; the observable is Z0 Z1.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

EXACT = 8  # qubits up to which all Pauli strings fit
WALKS = 1 << 20


def ansatz(n_qubits: int, n_layers: int, after_layer=None):
    """RY and RZ on every qubit, then a CZ ladder, `n_layers` times; `after_layer(circuit)` appends the noise."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit = QuantumCircuit(n_qubits)
    angles = iter(ParameterVector("w", 2 * n_qubits * n_layers))
    for _ in range(n_layers):
        for qubit in range(n_qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(n_qubits - 1):
            circuit.cz(qubit, qubit + 1)
        if after_layer:
            after_layer(circuit)
    return circuit


def observable(n_qubits: int):
    """Z0 Z1."""
    from qiskit.quantum_info import SparsePauliOp

    return SparsePauliOp.from_sparse_list([("ZZ", [0, 1], 1.0)], n_qubits)


def walk(n_qubits: int, n_layers: int, q: float, seed: int):
    """The variances of all derivatives with noise q on every qubit after every layer, by Pauli walks."""
    from circuits.lowering import lower
    from studies.walk.distributions import Angles
    from studies.walk.estimate import walk_variances
    from studies.walk.table import Clifford, Noise, table_of

    table = table_of(lower(ansatz(n_qubits, n_layers)))
    steps, before = [], None
    for step in table.steps:  # the last gate first: each layer shows its CZ ladder before its rotations
        if isinstance(step, Clifford) and not isinstance(before, Clifford):
            steps += [Noise(qubit, (q, q, q)) for qubit in range(n_qubits)] if q < 1 else []
        steps.append(step)
        before = step
    noisy, is_exact = replace(table, steps=tuple(steps)), n_qubits <= EXACT
    return walk_variances(noisy, observable(n_qubits), Angles(), seed, 0.02, WALKS, exact=is_exact)


def noisy_ansatz(n_qubits: int, n_layers: int, channel: str, q: float):
    """The ansatz with a channel on every qubit after every layer; q is 1 - p of depolarising, 1 - gamma of damping."""
    from qiskit_aer.noise import amplitude_damping_error, depolarizing_error

    if channel == "none":
        return ansatz(n_qubits, n_layers)
    error = depolarizing_error(1 - q, 1) if channel == "depolarising" else amplitude_damping_error(1 - q)
    noise = error.to_instruction()

    def after_layer(circuit):
        for qubit in range(n_qubits):
            circuit.append(noise, [qubit])

    return ansatz(n_qubits, n_layers, after_layer)


def under_global_noise(n_qubits: int, n_layers: int, q: float):
    """The ansatz with depolarising noise on all qubits at once after every layer: all but the identity shrinks by q."""
    from qiskit_aer.noise import depolarizing_error

    noise = depolarizing_error(1 - q, n_qubits).to_instruction()
    return ansatz(n_qubits, n_layers, lambda circuit: circuit.append(noise, range(n_qubits)))


def angles(seed: int, n_qubits: int, n_layers: int, sample: int) -> np.ndarray:
    """(2 n_qubits n_layers,) angles of one sample, uniform on the circle."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(n_qubits, n_layers, sample)))
    return generator.uniform(0, 2 * math.pi, 2 * n_qubits * n_layers)


def shifted_gradients(circuit, angles: np.ndarray, places: list[int]) -> np.ndarray:
    """(S, len(places)) derivatives of <Z0 Z1> by the two-term shift rule, from density matrices."""
    shifts = [sign * math.pi / 2 * np.eye(angles.shape[1])[place] for place in places for sign in (1, -1)]
    values = _values(circuit, np.concatenate([angles + shift for shift in shifts]))
    up, down = values.reshape(len(places), 2, -1).swapaxes(0, 1)
    return (up - down).T / 2


def _values(circuit, angles: np.ndarray) -> np.ndarray:
    simulator, circuit = _simulator(), circuit.copy()  # importing Aer gives circuits their method to save values
    circuit.save_expectation_value(observable(circuit.num_qubits), range(circuit.num_qubits))
    order = {f"w[{index}]": index for index in range(angles.shape[1])}
    columns = {parameter: angles[:, order[parameter.name]].tolist() for parameter in circuit.parameters}
    done = simulator.run(circuit, parameter_binds=[columns], shots=1, runtime_parameter_bind_enable=True).result()
    return np.array([done.data(k)["expectation_value"] for k in range(len(angles))])


@lru_cache(maxsize=1)
def _simulator():
    from qiskit_aer import AerSimulator

    return AerSimulator(method="density_matrix", max_parallel_threads=1)  # a study's workers already fill the cores
