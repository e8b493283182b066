"""How much faster is a training step of our layer on a GPU than any other framework's there, and than ours on the CPU?

Source: the frameworks themselves, those of `studies/gpu_peers/` that are installed; TensorCircuit-NG reports 26.5 ms for 20
qubits and 10 layers on an RTX 5090.

Expected: at 4, 8 and 12 qubits and 1,024 samples at least 3 times the fastest peer, at 12 at least 20 times our own CPU
step; 20 qubits and 10 layers under 10 ms; from 24 qubits up no longer than the bytes that the passes move take at 0.6 of the
bandwidth of a copy; Aer's GPU at 12 qubits and 64 samples 10 times Aer's CPU. On an H200.

Control: values and gradients of every system are compared, ours to 1e-12 in float64 and 1e-5 in float32, of the largest
or of 1.
Up to 24 qubits they are held against our CPU engine in float64, above against a closed form, for whose sake later layers
have angles of quarter turns there (`known_ring.py`). The bandwidth of a copy is measured in the same process.

Minutes: 1 with --quick, 30 in full; a machine with an NVIDIA GPU.

A step is forward and backward, gradients to weights and inputs. Times are medians by the wall clock until the GPU is idle,
so what Python costs is in them; times between events on the GPU stand beside them where the work is on torch's stream.
"""

import signal
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context

import numpy as np

from circuits.errors import LabError
from studies.gpu_peers.base import OF_THE_LAB, OURS, missing, names, system
from studies.known_ring import KnownRing, known_results
from studies.peer_speed import _parsed
from studies.peers.base import CIRCUITS, Workload

WORKERS = 1  # two at a time would measure each other
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
OF_PEERS = {"float64": 1e-6, "float32": 2e-3}
SHARE_OF_COPY = 0.6
MOST_COMPARED = 24  # qubits up to which our CPU engine is the reference


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        sizes: qubits, samples and layers, such as 12x1024x4.
        circuits, dtypes: which ones.
        systems: names of `studies/gpu_peers/`; none means all.
        repeats, seconds: steps of each system, at most.
        limit: seconds that a system's first step, compilation included, may take before it is left out.
    """

    sizes: tuple[str, ...] = (
        *("4x1024x4", "8x1024x4", "12x1024x4", "12x64x4", "16x16x4"),
        *("20x1x10", "24x1x4", "26x1x4", "28x1x4", "30x1x4"),
    )
    circuits: tuple[str, ...] = ("ring",)
    dtypes: tuple[str, ...] = ("float32", "float64")
    systems: tuple[str, ...] = ()
    repeats: int = 50
    seconds: float = 5.0
    limit: float = 120.0

    @classmethod
    def quick(cls) -> "Settings":
        """Three sizes in float32."""
        return cls(sizes=("4x1024x4", "12x64x4", "20x1x10"), dtypes=("float32",), seconds=1.0, limit=30.0)

    def __post_init__(self):
        for size in self.sizes:
            _parsed(size)
        for kind, chosen, known in (
            ("circuits", self.circuits, CIRCUITS),
            ("dtypes", self.dtypes, tuple(BOUNDS)),
            ("systems", self.systems, tuple(names())),
        ):
            unknown = [name for name in chosen if name not in known]
            if unknown:
                raise LabError(f"setting {kind} takes {', '.join(known)}, got {', '.join(unknown)}")
        if self.circuits != ("ring",) and any(_parsed(size)[0] > MOST_COMPARED for size in self.sizes):
            raise LabError(f"beyond {MOST_COMPARED} qubits only the ring can be checked: choose it, or smaller sizes")
        if self.repeats < 1 or self.seconds <= 0 or self.limit <= 0:
            raise LabError("settings repeats, seconds and limit must be positive")


def cases(settings: Settings) -> list[dict]:
    """One for each workload."""
    shared = {"repeats": settings.repeats, "budget": settings.seconds, "limit": settings.limit, "device": "cuda"}
    return [
        {**asdict(Workload(circuit, *_parsed(size), dtype)), "systems": list(settings.systems), **shared}
        for size in settings.sizes
        for circuit in settings.circuits
        for dtype in settings.dtypes
    ]


def cost(case: dict) -> float:
    """Seconds, roughly."""
    return 60.0 + 2.0 ** (case["n_qubits"] - 20)


def run(case: dict) -> list[dict]:
    """One row for each system, with the card that it ran on.

    Raises:
        LabError: there is no GPU.
    """
    from qml.native_gpu.availability import missing_gpu

    if case["device"] == "cuda" and (reason := missing_gpu()):
        raise LabError(f"{reason}: this study times a GPU, run it on a machine that has one")
    return measured(case)


def measured(case: dict) -> list[dict]:
    """The rows, on whatever device the case names."""
    import torch

    from studies.gpu_timing import copy_bandwidth, facts

    device = torch.device(case["device"])
    kind = Workload if case["n_qubits"] <= MOST_COMPARED else KnownRing
    workload = kind(*(case[field] for field in ("circuit", "n_qubits", "batch", "n_layers", "dtype", "per_sample")))
    shared = facts(device) | {"copy_bytes_per_s": copy_bandwidth(device, case.get("copy_bytes", 1 << 30))}
    shared |= {"step_bytes": step_bytes(workload)}
    chosen = [name for name in names() if not case["systems"] or name in case["systems"]]
    rows, reference = [], _reference(workload)
    for name in chosen:
        tried = _apart if getattr(system(name), "APART", False) and not missing(name) else _one
        rows.append({"name": name, **tried(name, workload, device, reference, case), **shared})
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def _reference(workload: Workload) -> list[np.ndarray]:
    """Values and gradients in float64, at the workload's numbers as they are: of our CPU engine, or in closed form."""
    if isinstance(workload, KnownRing):
        return known_results(workload)
    return [_array(part) for part in system("native_cpu").build(workload.widened(), None)()]


def _apart(name: str, workload: Workload, device, reference, case: dict) -> dict:
    """What `_one` finds in a process of its own, with whose end everything that the system holds is given back."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_one, name, workload, device, reference, case).result()
        except BrokenProcessPool:
            return {"status": "raised BrokenProcessPool: its process ended"}


def _one(name: str, workload: Workload, device, reference: list, case: dict) -> dict:
    """A system's times, and how far its results are from the reference; or why there are none."""
    import torch

    from studies.gpu_timing import timed

    torch.set_default_dtype(getattr(torch, workload.dtype))
    lacking, module = missing(name), system(name)
    if lacking:
        return {"status": f"not installed: {', '.join(lacking)}"}
    if workload.dtype not in module.DTYPES:
        return {"status": f"computes in {', '.join(module.DTYPES)}"}
    if workload.n_qubits > module.MOST_QUBITS:
        return {"status": f"not tried beyond {module.MOST_QUBITS} qubits"}
    try:
        with _within(case["limit"]):
            started = time.perf_counter()
            step = module.build(workload, device)
            found = [_array(part) for part in step()]
            first = time.perf_counter() - started
    except NotImplementedError as error:
        return {"status": f"cannot: {error}"}
    except TimeoutError:
        return {"status": f"left out: its first step took longer than {case['limit']:g} s"}
    except Exception as error:  # whatever a system raises is a finding about it, not an end of the study
        return {"status": f"raised {type(error).__name__}: {' '.join(str(error).split())[:100]}"}
    error = _difference(found, reference)
    bound = (BOUNDS if name.startswith("native") else OF_PEERS)[workload.dtype]
    if not error <= bound:
        return {"status": f"wrong: differs by {error:.2g}", "first_s": first, "error": error}
    times = timed(step, device, case["repeats"], case["budget"])
    if not module.ON_TORCH_STREAM:
        times["device_ms"] = None
    return {"status": "right", "first_s": first, "error": error, **times}


@contextmanager
def _within(seconds: float):
    """Raises TimeoutError in the main thread when the time is over and Python gets a word in."""

    def over(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _array(part) -> np.ndarray:
    return part.cpu().numpy().copy() if hasattr(part, "cpu") else np.array(part)


def _difference(found: list, reference: list) -> float:
    """The largest difference of values and gradients, each over its largest entry if that is above 1."""
    if any(a.shape != b.shape for a, b in zip(found, reference)):
        return float("inf")
    far = [(np.abs(a - b).max(initial=0), np.abs(b).max(initial=0)) for a, b in zip(found, reference)]
    return max(float(distance) / max(1.0, float(largest)) for distance, largest in far)


def step_bytes(workload: Workload) -> int | None:
    """Bytes that a step's passes move over memory; None where states stay on chip."""
    from circuits.lowering import lower
    from circuits.paulis import PauliSums
    from qml.native_gpu.plan import plan_of
    from studies.peers.hybrid_qml_lab import layer

    made = layer(workload)
    plan = plan_of(lower(made.circuit), PauliSums.of(made.observables, workload.n_qubits))
    if plan.is_on_chip:
        return None
    state = workload.batch * 2 * np.dtype(workload.dtype).itemsize << workload.n_qubits
    passes, readings = len(plan.passes), len(plan.readings)
    # Forward each pass reads and writes the state, the first one only writes. Each reading reads the state for values, and
    # again to add to lambda, which it reads and writes, the first one only writes. Backward each pass reads and writes
    # both, the last one only reads.
    return state * (2 * passes - 1 + readings + 3 * readings - 1 + 4 * passes - 2)


def _groups(rows: list[dict]) -> list[list[dict]]:
    """Rows of one workload together, in the order of their sizes."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = row["circuit"], row["dtype"], row["n_qubits"], row["batch"], row["n_layers"]
        groups.setdefault(key, []).append(row)
    return [group for _, group in sorted(groups.items())]


def _ratio(numerator: dict | None, denominator: dict | None) -> float | None:
    return round(numerator["wall_ms"] / denominator["wall_ms"], 2) if numerator and denominator else None


def table(rows: list[dict]) -> list[dict]:
    """For each workload: our step, the fastest peer's, ratios, the share of the time that moving bytes needs, agreement."""
    lines = []
    for group in _groups(rows):
        right = {row["name"]: row for row in group if row["status"] == "right"}
        ours, graph = right.get(OURS), right.get("native_gpu_graph")
        peers = [row for name, row in right.items() if name not in OF_THE_LAB]
        best = min(peers, key=lambda row: row["wall_ms"], default=None)
        any_row = group[0]
        bytes_s = any_row["step_bytes"] / (SHARE_OF_COPY * any_row["copy_bytes_per_s"]) if any_row["step_bytes"] else None
        lines.append(
            {
                **{"circuit": any_row["circuit"], "n": any_row["n_qubits"], "batch": any_row["batch"]},
                **{"layers": any_row["n_layers"], "dtype": any_row["dtype"], "card": any_row["card"]},
                "ours_ms": ours and round(ours["wall_ms"], 3),
                "ours_on_device_ms": ours and ours["device_ms"] and round(ours["device_ms"], 3),
                "ours_in_a_graph_ms": graph and round(graph["wall_ms"], 3),
                "fastest_peer": best["name"] if best else "none",
                "peer_ms": best and round(best["wall_ms"], 3),
                "times_peer": _ratio(best, ours),
                "times_our_cpu": _ratio(right.get("native_cpu"), ours),
                "aer_gpu_over_cpu": _ratio(right.get("aer_cpu"), right.get("aer_gpu")),
                "allowed_ms": bytes_s and round(1e3 * bytes_s, 3),
                "first_s": ours and round(ours["first_s"], 2),
                "error": ours and ours["error"],
                "left_out": "; ".join(f"{row['name']} {row['status']}" for row in group if row["status"] != "right"),
            }
        )
    return lines


def figure(rows: list[dict]):
    """Milliseconds of a step of every system, by workload; one panel a precision."""
    from matplotlib.figure import Figure

    from studies.drawing import COLOURS, MARKERS

    dtypes = sorted({row["dtype"] for row in rows})
    drawn = Figure(figsize=(6.4 * len(dtypes) + 2, 5))
    panels = drawn.subplots(1, len(dtypes), sharey=True, squeeze=False)[0]
    systems = [name for name in names() if any(row["name"] == name and row["status"] == "right" for row in rows)]
    for panel, dtype in zip(panels, dtypes):
        groups = [group for group in _groups(rows) if group[0]["dtype"] == dtype]
        labels = [f"{g[0]['n_qubits']}, {g[0]['batch']}, {g[0]['n_layers']}" for g in groups]
        for k, name in enumerate(systems):
            points = [(j, r) for j, g in enumerate(groups) for r in g if r["name"] == name and r["status"] == "right"]
            if points:
                places, ms = [j for j, _ in points], np.array([r["wall_ms"] for _, r in points])
                spread = [np.abs(ms - [r[end] for _, r in points]) for end in ("wall_low", "wall_high")]
                look = {"color": COLOURS[k % 6], "marker": MARKERS[k % 6], "ls": "-" if k < 6 else "--"}
                panel.errorbar(places, ms, spread, label=name, capsize=3, **look)
        panel.set(yscale="log", title=dtype, xlabel="qubits, samples, layers", xticks=range(len(labels)))
        panel.set_xticklabels(labels, rotation=30, ha="right")
    panels[0].set_ylabel(f"ms a step, {rows[0]['card']}")
    pairs = [panel.get_legend_handles_labels() for panel in panels]
    shown = {label: handle for handles, labels in pairs for handle, label in zip(handles, labels)}
    drawn.legend(shown.values(), shown, loc="outside right center")
    ratios = [line["times_peer"] for line in table(rows) if line["times_peer"]]
    if ratios:
        drawn.suptitle(f"Our layer on a GPU: {min(ratios):g} to {max(ratios):g} times as fast as the fastest peer")
    return drawn


def verdict(rows: list[dict]) -> str:
    """How many times faster than peers and our CPU, where the least, on which card; what disagrees."""
    every = table(rows)
    lines = [line for line in every if line["ours_ms"]]
    if not lines:
        return "Not shown: our own step did not run."
    card, version = rows[0]["card"], rows[0]["driver"]
    parts = [f"On {card}, driver {version}"]
    for key, what in (("times_peer", "the fastest peer"), ("times_our_cpu", "our own CPU step")):
        ratios = [line for line in lines if line[key]]
        if ratios:
            low, high = (pick(ratios, key=lambda line: line[key]) for pick in (min, max))
            parts.append(f"between {low[key]:g} ({_named(low)}) and {high[key]:g} times ({_named(high)}) as fast as {what}")
    large = [line for line in lines if line["allowed_ms"] and line["n"] >= 24]
    if large:
        met = sum(line["ours_ms"] <= line["allowed_ms"] for line in large)
        parts.append(f"{met} of {len(large)} steps from 24 qubits within the time that their bytes allow")
    if len(lines) < len(every):
        failed = ", ".join(_named(line) for line in every if not line["ours_ms"])
        parts.append(f"our own step did NOT run right at {failed}")
    wrong = sorted({row["name"] for row in rows if row["status"].startswith("wrong")})
    agree = f"all results agree with our CPU engine's, beyond {MOST_COMPARED} qubits with the closed form's"
    parts.append(f"results that differ: {', '.join(wrong)}" if wrong else agree)
    return "; ".join(parts) + "."


def _named(line: dict) -> str:
    return f"{line['n']}x{line['batch']}x{line['layers']} {line['dtype']}"
