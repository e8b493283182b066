"""Where a row comes from: commit, code and library versions, platform, device, dtype, seed, seconds, time."""

import os
import platform
import subprocess
from importlib import metadata

from studies.sources import ROOT, code_version

LIBRARIES = ("numpy", "torch", "qiskit", "numba")
THREAD_COUNTS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def of_driver(study: str) -> dict:
    """What is the same for every row of a run: who drives it, and with which code and libraries."""
    versions = {name: _version(name) for name in LIBRARIES}
    return {
        "commit": commit(),
        "code": code_version(study),
        "python": platform.python_version(),
        **versions,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def of_case(case: dict, seconds: float, finished: str) -> dict:
    """What belongs to one case; read in the process that computed it, whose thread count this is."""
    return {
        "device": case.get("device", "cpu"),
        "dtype": case.get("dtype", "float64"),
        "seed": case.get("seed"),
        "seconds": round(seconds, 6),
        "threads": _threads(),
        "finished": finished,
    }


def _threads() -> int | None:
    """As many as OpenMP is told; it may also be told a list, or nothing."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(told) if told.isdigit() and int(told) else os.cpu_count()


def commit() -> str | None:
    """The commit of the checkout this code lies in, "+dirty" if its files differ; None outside a checkout."""
    inside = _git("ls-files", "--error-unmatch", "studies/base.py")
    head = _git("rev-parse", "HEAD") if inside else None
    if head is None:
        return None
    return head + ("+dirty" if _git("status", "--porcelain", "--", "circuits/*.py", "qml/*.py", "studies/*.py") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
