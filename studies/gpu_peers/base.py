"""What `gpu_speed` asks of a system: the same step as every other, on a device of torch's.

A member is a file of this folder with

    docstring                  what the system is and which of its ways to a gradient is used
    REQUIRES, DTYPES           the modules that must be installed; the precisions it computes in
    ON_TORCH_STREAM            whether its work is on torch's current stream, so that device events see it
    MOST_QUBITS                beyond which it is not tried
    APART                      where it is there and true, the system runs in a process of its own
    build(workload, device)    a function of no arguments that returns (values, d_inputs, d_weights), tensors or arrays
"""

import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

from circuits.families import member, members
from studies.peers.base import Workload

if TYPE_CHECKING:
    import torch

FAMILY = "studies.gpu_peers"
OURS = "native_gpu"
OF_THE_LAB = (OURS, "native_gpu_graph", "native_cpu", "aer_gpu", "aer_cpu")


def names() -> list[str]:
    """Every system, ours among them."""
    return members(FAMILY)


def system(name: str) -> ModuleType:
    """The system's module."""
    return member(FAMILY, name, "system")


def missing(name: str) -> list[str]:
    """The modules that a system needs and that are not installed."""
    return [module for module in system(name).REQUIRES if not _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


def layer_step(workload: Workload, device: "torch.device", backend="native"):
    """Forward and backward of our layer on tensors of the device."""
    import torch

    from studies.peers.hybrid_qml_lab import layer

    made = layer(workload, backend).to(device)
    inputs, _, cotangents = (torch.tensor(array, device=device) for array in workload.numbers)
    inputs.requires_grad_()

    def step():
        inputs.grad = made.w.grad = None
        values = made(inputs)
        values.backward(cotangents)
        return values.detach(), inputs.grad, made.w.grad

    return step


def torch_step(workload: Workload, device: "torch.device", expectations):
    """Forward and backward of a torch function (inputs, weights) -> (B, K)."""
    import torch

    inputs, weights, cotangents = (torch.tensor(array, device=device) for array in workload.numbers)
    inputs.requires_grad_()
    weights.requires_grad_()

    def step():
        inputs.grad = weights.grad = None
        values = expectations(inputs, weights)
        values.backward(cotangents.to(values.dtype))
        return values.detach(), inputs.grad, weights.grad

    return step
