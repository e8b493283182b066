"""TensorCircuit-NG on its JAX backend, jitted, the batch by vmap, backpropagation, on JAX's GPU, where its numbers stay."""

import os

import torch

from studies.peers import tensorcircuit_ng
from studies.peers.base import Workload

REQUIRES = ("tensorcircuit", "jax")
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = False
MOST_QUBITS = 26
APART = True  # what JAX has taken of the GPU it does not give back


def build(workload: Workload, device: torch.device):
    """The CPU's peer, where JAX itself is on a GPU."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # three quarters of the GPU, before its first number
    import jax

    if device.type == "cuda" and jax.default_backend() != "gpu":
        raise NotImplementedError("this JAX is built for the CPU: pip install 'jax[cuda13]'")
    return tensorcircuit_ng.build(workload, on_device=True)
