"""One workload, ours and the peers' steps in turn, in a process of its own: a line of JSON for each as it is ready.

Usage: python -m studies.peers '{"workload": {...}, "peers": [...], "rounds": 5, "budget": 10}'
"""

import json
import re
import resource
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from studies.peers.base import OURS, Workload, checksum, missing, peer

BURST = 0.1  # seconds of steps of one framework, then of the other
REST = 0.05
SLOW = 1.0  # seconds of a step from which on one is enough
MEMORY_SHARE = 0.85
TOLERANCE = {"float64": 1e-6, "float32": 2e-3}


def main(task: dict) -> None:
    """Says how each peer did; a peer that is not installed, cannot, or is wrong gets a line that says so."""
    import torch

    workload = Workload(**task["workload"])
    torch.set_default_dtype(getattr(torch, workload.dtype))
    ours = peer(OURS).build(workload)
    first = _seconds(ours)
    peak = _peak()
    reference = [np.array(part) for part in ours()]
    _say(name=OURS, status="right", first=first, step=_median(ours, task), peak=peak, **_parts(workload, task))
    for name in task["peers"]:
        _say(name=name, status="starting")
        facts = _compared(name, workload, ours, reference, task)
        _say(name=name, **facts)
        if facts["status"].startswith("raised"):
            return  # with whatever it left behind, memory above all: the others start afresh


def _peak() -> int:
    """Bytes of memory that this process has had at once.

    Where there is one, the kernel's own mark: what `getrusage` says begins at the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _parts(workload: Workload, task: dict) -> dict:
    """The forward pass alone, and the engine without torch."""
    if workload.per_sample:
        return {}
    import torch

    module = peer(OURS)
    layer = module.layer(workload)
    compiled = layer._evaluation.compiled
    inputs, weights, cotangents = workload.numbers
    with torch.no_grad():
        angles = [part.numpy() for part in layer._binding(torch.tensor(inputs), torch.tensor(weights))]

    def engine():
        _, kept = compiled.forward(*angles)
        compiled.vjp(*angles, cotangents, kept)

    engine()
    return {"forward": _median(module.build_forward(workload), task), "engine": _median(engine, task)}


def _compared(name: str, workload: Workload, ours, reference: list, task: dict) -> dict:
    """The peer's step beside ours, alternating."""
    lacking = missing(name)
    if lacking:
        return {"status": f"not installed: {', '.join(lacking)}"}
    module = peer(name)
    if workload.dtype not in module.DTYPES:
        return {"status": f"computes in {', '.join(module.DTYPES)}"}
    try:
        step = module.build(workload)
        first = _seconds(step)
        found = step()
    except NotImplementedError as error:
        return {"status": f"cannot: {error}"}
    except Exception as error:  # whatever a peer raises is a finding about it, not an end of the study
        return {"status": f"raised {type(error).__name__}: {str(error)[:100]}"}
    wrong = _wrong(found, reference, TOLERANCE[workload.dtype])
    if wrong:
        return {"status": f"wrong: {wrong}", "first": first}
    pairs = []
    until = time.perf_counter() + task["budget"]
    while len(pairs) < task["rounds"] and (not pairs or time.perf_counter() < until):
        pairs.append((_burst(ours), _burst(step)))
    return {
        "status": "right",
        "first": first,
        "step": median(theirs for _, theirs in pairs),
        "ours": median(own for own, _ in pairs),
        "ratio": median(theirs / own for own, theirs in pairs),
        "pairs": len(pairs),
    }


def _wrong(found, reference, tolerance: float) -> str:
    """Which of values and gradients differ, by element and by signed checksum."""
    differ = []
    for what, one, other in zip(("values", "input gradients", "weight gradients"), found, reference):
        scale = max(1.0, float(np.abs(other).max(initial=0)))
        far = one.shape != other.shape or float(np.abs(one - other).max(initial=0)) > tolerance * scale
        if far or abs(checksum(one) - checksum(other)) > 10 * tolerance * scale * max(1, other.size) ** 0.5:
            differ.append(what)
    return ", ".join(differ)


def _seconds(step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _burst(step) -> float:
    """The median of a tenth of a second of steps, after a rest in which the other framework's threads stop spinning."""
    time.sleep(REST)
    first = _seconds(step)
    if first > SLOW:
        return first
    times = []  # the first one found cold caches
    until = time.perf_counter() + BURST
    while not times or time.perf_counter() < until:
        times.append(_seconds(step))
    return median(times)


def _median(step, task: dict) -> float:
    times = [_seconds(step)]
    until = time.perf_counter() + task["budget"] / 4
    while len(times) < 20 * task["rounds"] and time.perf_counter() < until:
        times.append(_seconds(step))
    return median(times)


def _say(**facts) -> None:
    print(json.dumps(facts), flush=True)


def _bound_memory() -> None:
    """A framework that wants more than there is shall fail, not the machine."""
    most = int(MEMORY_SHARE * psutil.virtual_memory().available)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    _bound_memory()
    warnings.filterwarnings("ignore")
    main(json.loads(sys.argv[1]))
