"""Times on a GPU: device events, medians, the copy bandwidth of the same run, and what card and driver they belong to."""

import platform
import shutil
import subprocess
import time
from datetime import UTC, datetime
from importlib import metadata

import numpy as np
import torch

LIBRARIES = ("torch", "triton", "pennylane", "qiskit-aer-gpu", "pennylane-lightning-gpu", "tensorcircuit-ng", "jax")
COPY_BYTES = 1 << 30
WARM_UP = 2


def facts(device: torch.device) -> dict:
    """Name of the card, driver, CUDA, versions of what is installed, date."""
    found = {"host": platform.machine(), "date": datetime.now(UTC).strftime("%Y-%m-%d"), "cuda": torch.version.cuda}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = None
    if device.type != "cuda":
        return {"card": "none", "driver": None, **found}
    return {"card": torch.cuda.get_device_name(device), "driver": driver(), **found}


def driver() -> str | None:
    """The version of NVIDIA's driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.split("\n")[0].strip() or None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device, n_bytes: int = COPY_BYTES) -> float:
    """Bytes a second of a copy in the device's memory, read and written bytes counted."""
    source = torch.ones(n_bytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    times = timed(lambda: target.copy_(source), device, 20, 2.0)
    return 2 * n_bytes / (times["device_ms"] or times["wall_ms"]) * 1e3


def timed(step, device: torch.device, repeats: int, seconds: float) -> dict:
    """Milliseconds of a step: by the wall clock until the device is idle, and between events on torch's stream; medians.

    Args:
        repeats, seconds: it stops at either.
    """
    for _ in range(WARM_UP):
        step()
    _wait(device)
    walls, events = [], []
    until = time.perf_counter() + seconds
    while len(walls) < repeats and (not walls or time.perf_counter() < until):
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device.type == "cuda" else []
        started = time.perf_counter()
        if marks:
            marks[0].record()
        step()
        if marks:
            marks[1].record()
        _wait(device)
        walls.append(1e3 * (time.perf_counter() - started))
        if marks:
            events.append(marks[0].elapsed_time(marks[1]))
    low, middle, high = np.percentile(walls, [25, 50, 75])
    return {
        "wall_ms": float(middle),
        "wall_low": float(low),
        "wall_high": float(high),
        "device_ms": float(np.median(events)) if events else None,
        "repeats": len(walls),
    }
