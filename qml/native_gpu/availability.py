"""Whether torch tensors on a device can be simulated there, and what to do where they cannot."""

import importlib.util
import os
import shutil
import sysconfig
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
    if is_interpreted():
        return
    try:
        _start_driver()
    except Exception as error:
        reason = _uncompiled() or f"it says {type(error).__name__}: {' '.join(str(error).split())}"
        raise LabError(
            f"backend 'native' cannot start Triton on this GPU: {reason}; or move the layer and its inputs to the CPU"
        ) from error


def _start_driver() -> None:
    """Tried, not guessed: Triton compiles a module in C that speaks with the driver, or finds it in its cache."""
    from triton.runtime import driver

    _ = driver.active


def _uncompiled() -> str:
    """Why that module could not be compiled, and the cure; empty where all that it needs is here."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or shutil.which(compiler) is None:
        found = "and finds none" if compiler is None else f"and CC={compiler} is none"
        return f"it needs a C compiler for its first kernel, {found}: apt install gcc, or set CC to one"
    scheme = sysconfig.get_default_scheme()
    folder = sysconfig.get_paths("posix_prefix" if scheme == "posix_local" else scheme)["include"]  # where Triton looks
    if not os.path.exists(os.path.join(folder, "Python.h")):
        return f"it needs Python.h for its first kernel, which is not in {folder}: apt install python3-dev"
    return ""


def is_interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter, on the CPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def is_capturing(device: torch.device) -> bool:
    """Whether what is launched on the device goes into a CUDA graph: then nothing may wait for it, nor be copied to it."""
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):  # torch asks the current one
        return torch.cuda.is_current_stream_capturing()


def missing_gpu() -> str:
    """Why nothing can run on a GPU here, in one line; empty where one is found."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"no GPU: torch {torch.__version__} is built for the CPU"
    if not torch.cuda.is_available():
        return f"no GPU: torch {torch.__version__} finds none, or no driver"
    return ""
