"""Torch's own operations, counted while they run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from qml.costs import Ledger


class _Counter(TorchDispatchMode):
    """Adds up floating-point operations, by torch's formulas, and the bytes that operations read and write."""

    # torch's own FlopCounterMode sorts counts by module, at two milliseconds a step of a small model.

    def __init__(self):
        super().__init__()
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        if not func.is_view:
            self.bytes += _n_bytes((args, tuple(kwargs.values()), out))
        return out


def _n_bytes(value) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(_n_bytes, value)) if isinstance(value, list | tuple) else 0


@contextmanager
def counted(ledger: Ledger) -> Iterator[None]:
    """Adds what torch computes inside to the ledger."""
    counter = _Counter()
    try:
        with counter:
            yield
    finally:
        ledger.flops += counter.flops
        ledger.bytes += counter.bytes
