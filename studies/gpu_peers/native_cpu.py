"""Our layer on backend native with its tensors on the CPU: all of its threads."""

import torch

from studies.gpu_peers.base import layer_step
from studies.peers.base import Workload

REQUIRES = ()
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = False
MOST_QUBITS = 24


def build(workload: Workload, device: torch.device):
    """The same step, whatever the device."""
    return layer_step(workload, torch.device("cpu"))
