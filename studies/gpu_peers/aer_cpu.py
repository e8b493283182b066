"""Our layer on Qiskit Aer's CPU simulator, by the adjoint scheme of two runs: what Aer's GPU is held against."""

import torch

from studies.gpu_peers.base import layer_step
from studies.peers.base import Workload

REQUIRES = ("qiskit_aer",)
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = False
MOST_QUBITS = 12


def build(workload: Workload, device: torch.device):
    """The same step, whatever the device."""
    return layer_step(workload, torch.device("cpu"), "aer")
