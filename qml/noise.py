"""Noise models for Aer from one number."""

from typing import Any

from circuits.errors import LabError

ONE_QUBIT_GATES = (
    *("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "t", "tdg", "p", "r", "rx", "ry", "rz"),
    *("u", "u1", "u2", "u3"),
)
TWO_QUBIT_GATES = (
    *("cx", "cy", "cz", "csx", "cp", "crx", "cry", "crz", "cu", "cu1", "cu3", "swap", "ecr"),
    *("rxx", "ryy", "rzz", "rzx"),
)


def depolarizing(probability: float) -> Any:
    """A `qiskit_aer.noise.NoiseModel` that depolarizes, with this probability, each gate's qubits after it.

    Gates of three and more qubits are first decomposed: the model's basis has gates of one and two only.

    Raises:
        LabError: the probability is not between 0 and 1, or qiskit-aer is missing.
    """
    if not 0 <= probability <= 1:
        raise LabError(f"the noise probability must be between 0 and 1, got {probability!r}")
    try:
        from qiskit_aer.noise import NoiseModel, depolarizing_error
    except ImportError:
        raise LabError("noise needs qiskit-aer: pip install 'hybrid-qml-lab[aer]'") from None
    model = NoiseModel(basis_gates=[*ONE_QUBIT_GATES, *TWO_QUBIT_GATES])
    if probability > 0:
        model.add_all_qubit_quantum_error(depolarizing_error(probability, 1), list(ONE_QUBIT_GATES))
        model.add_all_qubit_quantum_error(depolarizing_error(probability, 2), list(TWO_QUBIT_GATES))
    return model
