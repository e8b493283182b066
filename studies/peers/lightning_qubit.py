"""PennyLane lightning.qubit, its adjoint gradient in C++, through the torch interface; it runs sample by sample itself."""

from studies.peers.base import Workload
from studies.peers.default_qubit import build_on

REQUIRES = ("pennylane", "pennylane_lightning")
DTYPES = ("float64",)


def build(workload: Workload):
    """The QNode of default.qubit's peer on the other device."""
    import pennylane as qp

    return build_on(workload, qp.device("lightning.qubit", wires=workload.n_qubits), "adjoint")
