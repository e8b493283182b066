"""Circuits that write classical data into a state; their inputs are one `ParameterVector` named "x".

Every function takes `n_qubits` and `name`, the name of the input vector, and returns a Qiskit `QuantumCircuit` to which
an ansatz is composed. `reuploading` writes the data once per layer and therefore brings its own weights.
"""

import itertools

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterVector
from qiskit.circuit.library import StatePreparation

from circuits import ansatze
from circuits.errors import LabError, UnknownName
from circuits.families import function


def by_name(name: str):
    """The encoding function called `name`; an unknown name raises `UnknownName` with the nearest one."""
    return function(__name__, name, "encoding")


def angle(n_qubits: int, name: str = "x", rotation: str = "X") -> QuantumCircuit:
    """One input per qubit as the angle of one rotation: RX(x_j), or RY, RZ by `rotation` ("X", "Y", "Z")."""
    ansatze.check_size(n_qubits)
    gate = {"X": "rx", "Y": "ry", "Z": "rz"}.get(str(rotation).upper())
    if gate is None:
        raise UnknownName("rotation", rotation, ["X", "Y", "Z"])
    circuit = QuantumCircuit(n_qubits, name="angle")
    for qubit, value in enumerate(ParameterVector(name, n_qubits)):
        getattr(circuit, gate)(value, qubit)
    return circuit


def iqp(n_qubits: int, name: str = "x", n_repeats: int = 1) -> QuantumCircuit:
    """H on every qubit, RZ(x_j), then RZZ(x_j x_k) on every pair, `n_repeats` times.

    Source: Havlicek et al., Nature 567, 209 (2019), in PennyLane's `IQPEmbedding` convention.
    """
    ansatze.check_size(n_qubits, n_repeats)
    values = ParameterVector(name, n_qubits)
    circuit = QuantumCircuit(n_qubits, name="iqp")
    for _ in range(n_repeats):
        circuit.h(range(n_qubits))
        for qubit in range(n_qubits):
            circuit.rz(values[qubit], qubit)
        for j, k in itertools.combinations(range(n_qubits), 2):
            circuit.rzz(values[j] * values[k], j, k)
    return circuit


class AmplitudeEncoding(Gate):
    """Prepares sum_k x_k |k> / |x| from |0...0>; it must be the first gate on its qubits.

    With numbers for x it defines itself through Qiskit's `StatePreparation`; with free parameters it has no gate
    decomposition, and the lab's backends prepare the state directly.
    """

    def __init__(self, n_qubits: int, values):
        super().__init__("amplitude_encoding", n_qubits, list(values))

    def _define(self):
        try:
            amplitudes = np.array([float(value) for value in self.params])
        except TypeError:
            raise LabError("bind the inputs of an amplitude encoding before it is decomposed into gates") from None
        circuit = QuantumCircuit(self.num_qubits)
        circuit.append(StatePreparation(amplitudes / np.linalg.norm(amplitudes)), range(self.num_qubits))
        self.definition = circuit


def amplitude(n_qubits: int, name: str = "x") -> QuantumCircuit:
    """2^n_qubits inputs as the amplitudes of the state, normalised: sum_k x_k |k> / |x|.

    An input whose entries are all zero has no such state and is refused when the circuit is run.
    """
    ansatze.check_size(n_qubits)
    circuit = QuantumCircuit(n_qubits, name="amplitude")
    circuit.append(AmplitudeEncoding(n_qubits, ParameterVector(name, 2**n_qubits)), range(n_qubits))
    return circuit


def reuploading(
    n_qubits: int,
    n_layers: int = 1,
    name: str = "x",
    weights: str = "w",
    ansatz: str = "hardware_efficient",
    seed: int | None = None,
) -> QuantumCircuit:
    """The data, then one layer of the ansatz, `n_layers` times: RX(x_j) again before every layer of weights.

    Args:
        seed: of an ansatz that draws its gates; None draws others each time.

    Source: Perez-Salinas et al., Quantum 4, 226 (2020).
    """
    ansatze.check_size(n_qubits, n_layers)
    inputs = angle(n_qubits, name)
    layer = ansatze.build(ansatz, n_qubits, 1, seed)
    size = len(layer.parameters)
    values = ParameterVector(weights, size * n_layers)
    circuit = QuantumCircuit(n_qubits, name="reuploading")
    for index in range(n_layers):
        circuit.compose(inputs, inplace=True)
        circuit.compose(layer.assign_parameters(values[index * size : (index + 1) * size]), inplace=True)
    return circuit
