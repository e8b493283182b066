"""Our layer on Qiskit Aer's GPU simulator, by the adjoint scheme of two runs."""

import torch

from circuits.errors import LabError
from studies.gpu_peers.base import layer_step
from studies.peers.base import Workload

REQUIRES = ("qiskit_aer",)
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = False
MOST_QUBITS = 24


def build(workload: Workload, device: torch.device):
    """On a simulator that has shown that it runs on a GPU."""
    from qml.backends.aer import AerBackend

    try:
        backend = AerBackend(device="GPU")
    except LabError as error:
        raise NotImplementedError(str(error)) from None
    return layer_step(workload, torch.device("cpu"), backend)
