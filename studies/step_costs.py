"""What a step of a layer or of a network costs, forward and backward apart: the ledger's counts, and seconds of repeats."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from qml.backends.native import NativeBackend, NativeCircuit

BURST = 0.05


class CountingBackend(NativeBackend):
    """The native backend, which notes how many qubits it is asked for.

    Args:
        simulate: False enters circuits, gates and bytes of values and adjoint sweeps in the ledger and runs none of them:
            every value and every derivative is zero.

    Attributes:
        most_qubits: of the programs compiled so far.
    """

    def __init__(self, simulate: bool = True):
        self.simulate, self.most_qubits = simulate, 0

    def compile(self, program, observables, slots=None) -> NativeCircuit:
        self.most_qubits = max(self.most_qubits, program.n_qubits)
        ready = super().compile(program, observables, slots)
        return ready if self.simulate else _Counted(self, program, observables, ready.slots)


class _Counted(NativeCircuit):
    """A circuit whose runs are entered and not run."""

    def passes(self, batch: int, dtype: np.dtype) -> int:
        return len(self.program.gates)  # tiles would have to be planned

    def _expectations(self, inputs, weights):
        return np.zeros((len(inputs), len(self.observables)), weights.dtype)

    def _forward(self, inputs, weights):
        return self._expectations(inputs, weights), "states"

    def _holds_states(self, kept) -> bool:
        return kept is not None

    def _vjp(self, inputs, weights, cotangents, kept):
        return np.zeros_like(inputs), np.zeros_like(weights)


def counts_of(layer) -> dict:
    """The ledger's entries of a layer's value and gradient at its weights, one sample without inputs."""
    import qml

    with qml.ledger(classical=False) as cost:
        layer().sum().backward()
    found = {}
    for what, part in (("forward", cost.values), ("gradient", cost.gradients)):
        found |= {f"{what}_{name}": getattr(part, name) for name in ("circuits", "gates")}
        found[f"{what}_bytes"] = part.peak_bytes
    return found


def counts_of_network(model, inputs) -> dict:
    """Floating-point operations, and bytes: weights and two layers for a value; for a gradient all that autograd keeps,
    the weights among it, and as many derivatives."""
    import torch

    import qml

    held: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        held[storage._cdata] = storage.nbytes()
        return tensor

    with qml.ledger() as ahead, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = model(inputs).sum()
    with qml.ledger() as back:
        value.backward()
    size = inputs.element_size()
    own = size * sum(p.numel() for p in model.parameters())
    found = {"own_weights": own // size, "forward_flops": ahead.flops, "gradient_flops": back.flops}
    return found | {"forward_bytes": own + 2 * size * inputs.shape[-1], "gradient_bytes": sum(held.values()) + own}


def tanh_network(width: int, n_hidden: int, seed: int, device: str = "cpu"):
    """Dense layers of one width with tanh between them and one output, float64; weights keyed by the seed."""
    import torch

    torch.manual_seed(seed)
    dense = {"dtype": torch.float64, "device": device}
    hidden = [module for _ in range(n_hidden) for module in (torch.nn.Linear(width, width, **dense), torch.nn.Tanh())]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(width, 1, **dense))


def medians(forward: Callable, backward: Callable, rounds: int) -> dict[str, float]:
    """Median seconds of the two, run in turn in bursts."""
    ahead, back = [], []
    for _ in range(rounds):
        until = time.perf_counter() + BURST
        while not ahead or time.perf_counter() < until:
            started = time.perf_counter()
            value = forward()
            between = time.perf_counter()
            backward(value)
            ahead.append(between - started)
            back.append(time.perf_counter() - between)
        if ahead[-1] + back[-1] > 10 * BURST:
            break
    return {"forward_seconds": median(ahead), "gradient_seconds": median(back)}
