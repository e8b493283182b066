"""PennyLane default.qubit on the device's tensors, torch interface, backpropagation, the batch by broadcasting."""

import torch

from studies.gpu_peers.base import torch_step
from studies.peers.base import Workload
from studies.peers.default_qubit import expectations_on

REQUIRES = ("pennylane",)
DTYPES = ("float64",)  # its states are complex128 whatever the parameters are
ON_TORCH_STREAM = True
MOST_QUBITS = 24


def build(workload: Workload, device: torch.device):
    """The QNode of the CPU's peer, given tensors of the device."""
    import pennylane as qp

    expectations = expectations_on(workload, qp.device("default.qubit", wires=workload.n_qubits), "backprop")
    return torch_step(workload, device, expectations)
