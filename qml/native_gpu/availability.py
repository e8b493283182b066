"""Whether torch tensors on a device can be simulated there, and what to do where they cannot."""

import importlib.util
from functools import lru_cache

import torch

from circuits.errors import LabError

# Tests without a GPU run the kernels on CPU tensors, through Triton's interpreter: TRITON_INTERPRET=1.
ON_CPU_TENSORS = False


def takes(tensor: torch.Tensor) -> bool:
    """Whether the GPU engine is the one for this tensor."""
    return tensor.is_cuda or ON_CPU_TENSORS


@lru_cache(maxsize=1)
def check() -> None:
    """Raise `LabError`, with what to do, where Triton is missing: no simulation on the CPU behind the caller's back."""
    if importlib.util.find_spec("triton") is None:
        raise LabError(
            "backend 'native' needs Triton for CUDA tensors, which is not installed: pip install triton, or move the "
            "layer and its inputs to the CPU"
        )


def is_interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter, on the CPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def missing_gpu() -> str:
    """Why nothing can run on a GPU here, in one line; empty where one is found."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"no GPU: torch {torch.__version__} is built for the CPU"
    if not torch.cuda.is_available():
        return f"no GPU: torch {torch.__version__} finds none, or no driver"
    return ""
