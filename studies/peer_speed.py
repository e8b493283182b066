"""How much faster is a training step with our layer than with any other framework on the same processor?

Source: the frameworks themselves, those of `studies/peers/` that are installed: pip install 'hybrid-qml-lab[peers]'.

Expected: from 8 qubits at least 15 times the fastest peer on the first circuit and 8 times on the others, 4 times at 4
qubits, where calls cost more than arithmetic; all derivatives of McClean's random circuits 50 times faster than PennyLane.
An unchanged TorchLayer of PennyLane's trains 10 times faster on our device than on lightning.qubit.

Control: values and gradients of every peer are compared with ours, by element and by a signed checksum; one that differs is
named and left out.

Minutes: 1 with --quick, 170 in full with all peers, on two cores.

A step is forward and backward through the public `QuantumLayer`, torch included, gradients to weights and inputs. Ours and a
peer take turns: a tenth of a second of steps of one, then of the other, after a rest in which threads stop spinning; the
medians of the bursts are compared pair by pair. All cores for everyone. The first call, where some compile, is apart.
"""

from dataclasses import asdict, dataclass
from statistics import geometric_mean

from circuits.errors import LabError
from studies.peer_process import attempt
from studies.peers.base import CIRCUITS, OURS, Workload, missing, names

WORKERS = 1  # two at a time would measure each other
GOALS = {"ring": 15.0, "reuploading": 8.0, "two_qubit": 8.0}
TITLES = {"ring": "RY, RZ and a ring of CNOT", "reuploading": "Inputs in every layer", "two_qubit": "RXX, RYY and CRX"}
GOAL_AT_FOUR = 4.0
MCCLEAN, TORCH_LAYER = "McClean's, a sample", "unchanged TorchLayer"
BY_PENNYLANE = {"plateau": (MCCLEAN, 50.0), "torch_layer": (TORCH_LAYER, 10.0)}  # kinds of their own, and their goals
GOAL_OF_BATCHES = 1.0  # beside default.qubit, which keeps the batch of a TorchLayer whole as we do
COLUMNS = (
    *("circuit", "n", "batch", "layers", "dtype", "ours_ms", "fastest_peer", "peer_ms", "times_faster", "goal"),
    *("of_one_core", "of_triad", "back_over_forward", "first_s", "peer_first_s", "peak_mb"),
    *("beside_us", "left_out"),
)
TURN_COST = 8  # multiply-adds of a row's vectors that a turn takes at least, forward and backward
FEWEST_QUBITS_IN_MEMORY = 22  # two states of float64 are 128 MB there
SHORT = 2e-3  # seconds of a step, above which what torch and Python add is lost in how steps differ


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        sizes: qubits, samples and layers, such as 8x64x4.
        circuits, dtypes: which ones.
        per_sample_sizes: sizes at which every sample has weights of its own.
        plateau_sizes: sizes of McClean's random circuits, whose derivatives PennyLane computes beside us.
        torch_layer_sizes: sizes of an unchanged PennyLane model, on our device beside PennyLane's.
        rounds: pairs of bursts, at most.
        seconds: after which a peer is not given another round.
        limit: seconds that a peer's first steps, compilation included, may take before it is left out.
    """

    sizes: tuple[str, ...] = ("4x32x3", "8x64x4", "12x64x4", "16x16x4", "20x1x10", "24x1x4")
    circuits: tuple[str, ...] = CIRCUITS
    dtypes: tuple[str, ...] = ("float64", "float32")
    per_sample_sizes: tuple[str, ...] = ("8x256x10", "12x256x10")
    plateau_sizes: tuple[str, ...] = ("4x64x80", "8x64x160", "12x64x240")
    torch_layer_sizes: tuple[str, ...] = ("8x64x4", "10x64x4", "12x64x4")
    rounds: int = 5
    seconds: float = 10.0
    limit: float = 120.0

    @classmethod
    def quick(cls) -> "Settings":
        """Two sizes of the first circuit."""
        return cls(
            sizes=("4x32x3", "8x64x4"),
            circuits=("ring",),
            dtypes=("float64",),
            per_sample_sizes=(),
            plateau_sizes=(),
            torch_layer_sizes=(),
            seconds=2.0,
        )

    def __post_init__(self):
        for size in (*self.sizes, *self.per_sample_sizes, *self.plateau_sizes, *self.torch_layer_sizes):
            _parsed(size)
        unknown = [name for name in self.circuits if name not in CIRCUITS]
        if unknown:
            raise LabError(f"setting circuits takes {', '.join(CIRCUITS)}, got {', '.join(unknown)}")
        if not {*self.dtypes} <= {"float32", "float64"}:
            raise LabError(f"setting dtypes takes float32 and float64, got {', '.join(self.dtypes)}")
        if self.rounds < 1 or self.seconds <= 0 or self.limit <= 0:
            raise LabError("settings rounds, seconds and limit must be positive")


def _parsed(size: str) -> tuple[int, int, int]:
    parts = size.split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts) or int(parts[0]) < 2:
        raise LabError(f"a size is QUBITSxSAMPLESxLAYERS with at least 2 qubits, such as 8x64x4, got {size!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def cases(settings: Settings) -> list[dict]:
    """The machine's ceilings, and one case for each workload; another peer that is installed makes it another case."""
    shared = {"rounds": settings.rounds, "budget": settings.seconds, "limit": settings.limit}
    shared["installed"] = [name for name in names() if not missing(name)]
    works = [
        Workload(circuit, *_parsed(size), dtype)
        for size in settings.sizes
        for circuit in settings.circuits
        for dtype in settings.dtypes
    ]
    works += [
        Workload("ring", *_parsed(size), dtype, True) for size in settings.per_sample_sizes for dtype in settings.dtypes
    ]
    others = [
        {"kind": kind, **dict(zip(("n_qubits", "batch", "n_layers"), _parsed(size))), **shared}
        for kind, sizes in (("plateau", settings.plateau_sizes), ("torch_layer", settings.torch_layer_sizes))
        for size in sizes
    ]
    return [{"kind": "ceilings"}, *({"kind": "steps", **asdict(work), **shared} for work in works), *others]


def cost(case: dict) -> float:
    """Seconds, roughly: peers take the longest at the largest sizes."""
    if case["kind"] == "ceilings":
        return 10.0
    return 60.0 + 2.0 ** (case["n_qubits"] - 16)


def run(case: dict) -> list[dict]:
    """One row for ours and one for each peer, or the machine's ceilings."""
    if case["kind"] == "ceilings":
        from studies import ceilings

        rates = {dtype: ceilings.multiply_adds(dtype) for dtype in ("float32", "float64")}
        return [{"name": "machine", **rates, "triad": ceilings.triad()}]
    if case["kind"] in BY_PENNYLANE:
        from studies import plateau_peers, torch_layer_peers

        study = plateau_peers if case["kind"] == "plateau" else torch_layer_peers
        return study.compared(case["n_qubits"], case["batch"], case["n_layers"], case["rounds"], case["budget"])
    fields = ("circuit", "n_qubits", "batch", "n_layers", "dtype", "per_sample")
    workload = Workload(**{field: case[field] for field in fields})
    left, rows = names(), []
    while not rows or left:
        found, stuck, why = attempt({"workload": asdict(workload), "peers": left, **case}, case["limit"])
        rows += [row for row in found if row["name"] != OURS or not any(r["name"] == OURS for r in rows)]
        if stuck is not None:
            rows.append({"name": stuck, "status": f"left out: {why}"})
        told = {row["name"] for row in rows}
        left = [name for name in left if name not in told]
    work = {"turns": _turns(workload), "passes": _passes(workload)}
    return [{**row, **work} if row["name"] == OURS else row for row in rows]


def _turns(workload: Workload) -> int:
    """Turns of the circuit's normal form: what the engine's arithmetic consists of."""
    from circuits.lowering import lower
    from qml.native.normal_form import normal_form
    from studies.peers.hybrid_qml_lab import layer

    return sum(len(step.turns) for step in normal_form(lower(layer(workload).circuit)).steps)


def _passes(workload: Workload) -> int:
    """Sweeps over a state's memory in which it goes forward through all gates."""
    import numpy as np

    from studies.peers.hybrid_qml_lab import layer

    return layer(workload)._evaluation.compiled.passes(workload.batch, np.dtype(workload.dtype))


def _groups(rows: list[dict]) -> list[list[dict]]:
    """Rows of one workload together, in the order of their sizes."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row.get("kind") == "steps":
            rest = (row[field] for field in ("per_sample", "dtype", "n_qubits", "batch", "n_layers"))
            groups.setdefault((CIRCUITS.index(row["circuit"]), *rest), []).append(row)
    return [group for _, group in sorted(groups.items())]


def _machine(rows: list[dict]) -> dict | None:
    return next((row for row in rows if row.get("kind") == "ceilings"), None)


def _share(ours: dict, machine: dict) -> float:
    """The least time in which one core could do the step's multiply-adds, over the time that the step takes on all cores."""
    amplitudes = ours["batch"] * 2 ** ours["n_qubits"]
    multiply_adds = TURN_COST * ours["turns"] * amplitudes
    return multiply_adds / machine[ours["dtype"]] / ours["step"]


def _share_of_memory(ours: dict, machine: dict) -> float | None:
    """The least time in which the sweeps' bytes go to memory and back, over the step's; where states leave all caches."""
    if ours["n_qubits"] < FEWEST_QUBITS_IN_MEMORY:
        return None
    state = 2 * int(ours["dtype"].removeprefix("float")) // 8 * ours["batch"] << ours["n_qubits"]
    moved = (1 + 2) * ours["passes"] * 2 * state  # one state forward and two back, each read and written
    return round(moved / machine["triad"] / ours["step"], 2)


def goal_of(row: dict) -> float:
    """How many times faster than the fastest peer a step has to be."""
    if row["per_sample"]:
        return 15.0
    return GOAL_AT_FOUR if row["n_qubits"] < 8 else GOALS[row["circuit"]]


def table(rows: list[dict]) -> list[dict]:
    """For each workload: our step, the fastest peer's, how many times faster ours is, and what is wanted."""
    machine, lines = _machine(rows), []
    for group in _groups(rows):
        ours = next(row for row in group if row["name"] == OURS)
        right = [row for row in group if row["name"] != OURS and row["status"] == "right"]
        best = min(right, key=lambda row: row["step"]) if right else None
        lines.append(
            {
                "circuit": ours["circuit"] + (", weights per sample" if ours["per_sample"] else ""),
                "n": ours["n_qubits"],
                "batch": ours["batch"],
                "layers": ours["n_layers"],
                "dtype": ours["dtype"],
                "ours_ms": ours["step"] * 1e3,
                "fastest_peer": best["name"] if best else "none",
                "peer_ms": best["step"] * 1e3 if best else None,
                "times_faster": round(best["ratio"], 1) if best else None,
                "goal": goal_of(ours),
                "of_one_core": round(_share(ours, machine), 2) if machine else None,
                "of_triad": _share_of_memory(ours, machine) if machine else None,
                "back_over_forward": round(ours["step"] / ours["forward"] - 1, 2) if "forward" in ours else None,
                "first_s": round(ours["first"], 2),
                "peer_first_s": round(best["first"], 2) if best else None,
                "peak_mb": round(ours["peak"] / 2**20),
                "beside_us": _beside(ours),
                "left_out": _left_out(group),
            }
        )
    return lines + [_line_by_pennylane(group) for group in _by_pennylane(rows)]


def _beside(ours: dict) -> int | None:
    """Microseconds of a short step that the engine does not take."""
    return round((ours["step"] - ours["engine"]) * 1e6) if "engine" in ours and ours["step"] < SHORT else None


def _left_out(group: list[dict]) -> str:
    """Who was, and why; those that do not compute such a workload, or are not installed, stand in the rows."""
    telling = [row for row in group if not row["status"].startswith(("right", "computes in", "cannot", "not installed"))]
    return "; ".join(f"{row['name']} {row['status'].removeprefix('left out: ')}" for row in telling)


def _by_pennylane(rows: list[dict]) -> list[list[dict]]:
    """Rows of one kind and size together; a TorchLayer's beside each device apart, since each has a goal of its own."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row.get("kind") in BY_PENNYLANE:
            groups.setdefault((row["kind"], row["n_qubits"], row["batch"], row["n_layers"]), []).append(row)
    found = []
    for (kind, *_), group in sorted(groups.items()):
        ours = [row for row in group if row["name"] == OURS]
        apart = [[*ours, row] for row in group if row["name"] != OURS]
        found += apart if kind == "torch_layer" else [group]
    return found


def _line_by_pennylane(group: list[dict]) -> dict:
    """A line of the table; milliseconds are those of one sample of McClean's circuits, and of a TorchLayer's whole step."""
    ours = next(row for row in group if row["name"] == OURS)
    circuit, goal = BY_PENNYLANE[ours["kind"]]
    right = [row for row in group if row["name"] != OURS and row["status"] == "right"]
    best = min(right, key=lambda row: row["step"]) if right else None
    if ours["kind"] == "torch_layer" and best and best["name"].endswith("default.qubit"):
        goal = GOAL_OF_BATCHES
    return dict.fromkeys(COLUMNS) | {
        "circuit": circuit,
        "n": ours["n_qubits"],
        "batch": ours["batch"],
        "layers": ours["n_layers"],
        "dtype": "float64",
        "ours_ms": ours["step"] * 1e3,
        "fastest_peer": best["name"] if best else "none",
        "peer_ms": best["step"] * 1e3 if best else None,
        "times_faster": round(best["ratio"], 1) if best else None,
        "goal": goal,
        "left_out": _left_out(group),
    }


def figure(rows: list[dict]):
    """Times faster than each peer, by size, with the goal; one panel for each circuit, float64 where there is."""
    from matplotlib.figure import Figure

    from studies.drawing import COLOURS, MARKERS, NEUTRAL

    groups = [group for group in _groups(rows) if not group[0]["per_sample"]]
    dtype = "float64" if any(group[0]["dtype"] == "float64" for group in groups) else "float32"
    groups = [group for group in groups if group[0]["dtype"] == dtype]
    circuits = [name for name in CIRCUITS if any(group[0]["circuit"] == name for group in groups)]
    drawn = Figure(figsize=(4.2 * max(1, len(circuits)) + 1.8, 4.8))
    if not circuits:
        drawn.suptitle("No training step in this run: its table has what there is", x=0.01, ha="left")
        return drawn
    panels = drawn.subplots(1, len(circuits), sharey=True, squeeze=False)[0]
    peers = [name for name in names() if any(r["name"] == name and r["status"] == "right" for g in groups for r in g)]
    looks = [
        (COLOURS[k % len(COLOURS)], (MARKERS + "vPX")[k % 7], "-" if k < len(COLOURS) else "--") for k in range(len(peers))
    ]
    for panel, circuit in zip(panels, circuits):
        mine = [group for group in groups if group[0]["circuit"] == circuit]
        for name, (colour, marker, line) in zip(peers, looks):
            points = [
                (g[0]["n_qubits"], r["ratio"]) for g in mine for r in g if r["name"] == name and r["status"] == "right"
            ]
            panel.plot(*zip(*points), color=colour, marker=marker, ls=line, label=name) if points else None
        sizes = [group[0]["n_qubits"] for group in mine]
        panel.plot(sizes, [goal_of(group[0]) for group in mine], color=NEUTRAL, ls=":", label="goal for the fastest")
        for group in mine:
            if not any(row["name"] in peers and row["status"] == "right" for row in group):
                panel.text(group[0]["n_qubits"], 1.2 * goal_of(group[0]), "no peer\nfinished", ha="center", fontsize=8)
        panel.axhline(1, color=NEUTRAL, lw=0.8)
        panel.set(yscale="log", title=TITLES[circuit], xlabel="qubits", xticks=sizes)
    panels[0].set_ylabel(f"times faster than the peer, {dtype}")
    drawn.suptitle("A training step beside each framework's, on the same cores", x=0.01, ha="left")
    handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels())}
    order = [name for name in (*peers, "goal for the fastest") if name in handles]
    drawn.legend([handles[name] for name in order], order, loc="outside right center")
    return drawn


def verdict(rows: list[dict]) -> str:
    """How many times faster, where the least, against which peer, and what missed its goal."""
    every = table(rows)
    lines = [line for line in every if line["times_faster"] is not None]
    alone = [line for line in every if line["times_faster"] is None]
    if not lines:
        return "Not shown: no peer that is installed computes any of these workloads."
    least = min(lines, key=lambda line: line["times_faster"])
    apart = (MCCLEAN, TORCH_LAYER)
    large = [line["times_faster"] for line in lines if line["n"] >= 8 and line["circuit"] not in apart]
    missed = [line for line in lines if line["times_faster"] < line["goal"]]
    most = max(line["times_faster"] for line in lines)
    always = "Faster" if least["times_faster"] > 1 else "Not always faster"
    where = f"{_named(least)}, against {least['fastest_peer']}"
    parts = [f"{always} than every peer: between {least['times_faster']:g} ({where}) and {most:g} times the fastest one"]
    if large:
        parts[0] += f", geometric mean {geometric_mean(large):.0f} from 8 qubits"
    met = f"{len(lines) - len(missed)} of {len(lines)} workloads reach their goal"
    names_missed = ", ".join(f"{_named(line)}: {line['times_faster']:g} of {line['goal']:g}" for line in missed)
    parts.append(met + (f"; not {names_missed}" if missed else ""))
    if alone:
        parts.append(f"No peer finished {', '.join(_named(line) for line in alone)}")
    wrong = sorted({row["name"] for row in rows if str(row.get("status", "")).startswith("wrong")})
    parts.append(f"Gradients that differ from ours: {', '.join(wrong)}" if wrong else "All gradients agree with ours")
    return ". ".join(parts) + "."


def _named(line: dict) -> str:
    return f"{line['circuit']} {line['n']}x{line['batch']}x{line['layers']} {line['dtype']}"
