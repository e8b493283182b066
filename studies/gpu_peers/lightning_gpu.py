"""PennyLane lightning.gpu, cuStateVec underneath, its adjoint gradient, through the torch interface, sample by sample."""

import torch

from studies.peers.base import Workload
from studies.peers.default_qubit import build_on

REQUIRES = ("pennylane", "pennylane_lightning.lightning_gpu")
DTYPES = ("float64",)
ON_TORCH_STREAM = False
MOST_QUBITS = 30


def build(workload: Workload, device: torch.device):
    """The QNode of the CPU's peer on its device, which takes the first GPU."""
    import pennylane as qp

    return build_on(workload, qp.device("lightning.gpu", wires=workload.n_qubits), "adjoint")
