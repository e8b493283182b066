"""TensorCircuit-NG on its JAX backend, jitted, the batch by vmap, backpropagation, on JAX's GPU."""

import torch

from studies.peers import tensorcircuit_ng
from studies.peers.base import Workload

REQUIRES = ("tensorcircuit", "jax")
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = False
MOST_QUBITS = 26


def build(workload: Workload, device: torch.device):
    """The CPU's peer, where JAX itself is on a GPU."""
    import jax

    if device.type == "cuda" and jax.default_backend() != "gpu":
        raise NotImplementedError("this JAX is built for the CPU: pip install 'jax[cuda13]'")
    return tensorcircuit_ng.build(workload)
