"""How much more than a value does a gradient cost, by every method, and by classical backpropagation?

Source: Abbas, King, Huang, Huggins, Movassagh, Gilboa, McClean, NeurIPS 36 (2023), arXiv:2305.13362; Jones and Gacon,
arXiv:2009.02823.

Expected: classical backpropagation costs about two forward passes whatever the number of weights. So does the adjoint
sweep, in simulation alone. The parameter-shift rule runs two circuits for each of P angles: gates grow as P for the adjoint,
slope 1, and as P^2 for the rule, slope 2.

Control: dense tanh networks of as many weights, and of as many floating-point operations, whose operations torch counts.

Minutes: 0.5 with --quick, 4 in full, on two cores.

One sample, one observable Z on all qubits, float64. Circuits, gates and bytes are the ledger's, forward and backward apart;
seconds are medians of repeated runs of each, torch included. A gate is one multiplication of 2^n amplitudes by 2 x 2
matrices: 14 floating-point operations a pair, as which a circuit is given its classical network of as many operations.
backprop is a plain reference in torch, timed beside values from the native engine, and its gates contain a second run
forward. commuting-blocks has circuits of its own.
"""

import time
from dataclasses import dataclass
from statistics import median

from circuits.errors import LabError
from studies.decay import decay
from studies.drawing import COLOURS, MARKERS, NEUTRAL

WORKERS = 1  # two at a time would measure each other
NETWORKS = {"same_weights": "network of as many weights", "same_operations": "network of as many operations"}
CIRCUIT = {
    "commuting-blocks": "commuting_blocks",
}
FLOPS_A_PAIR = 14
HIDDEN = 4  # layers of a classical network, all of one width
MOST_WEIGHTS = 3e7  # of a classical network
BURST = 0.05
CLOSE = 0.1  # to the slope that theory gives
THEORY = {"adjoint": 1.0, "parameter-shift": 2.0}


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits: sizes. weights: numbers of weights, each brought to whole layers of RY and RZ on every qubit.
        seconds: that a gradient may be expected to take, what it compiles included; longer ones are left out.
        rounds: of repeated runs.
        seed: of weights and of methods' own draws.
    """

    qubits: tuple[int, ...] = (4, 8, 12, 16)
    weights: tuple[int, ...] = (10, 32, 100, 320, 1000, 2000)
    seconds: float = 8.0
    rounds: int = 3
    seed: int = 2305

    @classmethod
    def quick(cls) -> "Settings":
        """Two sizes, and fewer weights."""
        return cls(qubits=(4, 8), weights=(16, 48, 160, 480), seconds=1.0)

    def __post_init__(self):
        for name, most in (("qubits", 24), ("weights", 100_000)):
            values = getattr(self, name)
            if not values or min(values) < 1 or max(values) > most:
                shown = ",".join(map(str, values)) or "nothing"
                raise LabError(f"setting {name} takes numbers from 1 to {most}, got {shown}")
        if self.seconds <= 0 or self.rounds < 1 or self.seed < 0:
            raise LabError("settings seconds and rounds must be positive, and seed at least 0")


def cases(settings: Settings) -> list[dict]:
    """One case for each method or network, number of qubits and number of layers."""
    from qml.gradients.base import names

    shared = {"seconds": settings.seconds, "rounds": settings.rounds, "seed": settings.seed}
    found = []
    for n in sorted(set(settings.qubits)):
        for layers in sorted({max(1, round(wanted / (2 * n))) for wanted in settings.weights}):
            shape = {"n_qubits": n, "n_layers": layers, **shared}
            found += [{"method": method, **shape} for method in (*names(), *NETWORKS)]
    return found


def cost(case: dict) -> float:
    """Gates of a parameter-shift gradient times amplitudes, or of one sweep."""
    size = case["n_layers"] * case["n_qubits"] * 2.0 ** case["n_qubits"]
    slow = case["method"] in ("parameter-shift", "finite-diff", "hadamard")
    return 0.3 + min(case["seconds"] * 3, 1e-9 * size * (4 * case["n_layers"] * case["n_qubits"] if slow else 5))


def run(case: dict) -> list[dict]:
    """One row: forward and backward, in circuits, gates or operations, bytes and seconds."""
    return [_classical(case) if case["method"] in NETWORKS else _quantum(case)]


def _quantum(case: dict) -> dict:
    import qml

    layer = _layer(case)
    row = {**case, "weights": len(layer.weight_parameters), "ansatz": layer.circuit.name}
    planned = qml.plan(layer)
    if planned.seconds > case["seconds"]:
        return row | {"left_out": f"a gradient would take {planned.seconds:.2g} s"}

    def forward():
        return layer()

    with qml.ledger(classical=False) as cost:
        (values := forward()).sum().backward()
    del values
    seconds = _seconds(forward, lambda value: value.sum().backward(), case["rounds"])
    row |= {f"{what}_{name}": getattr(part, name) for what, part in _parts(cost) for name in ("circuits", "gates")}
    row |= {f"{what}_bytes": part.peak_bytes for what, part in _parts(cost)}
    return row | dict(zip(("forward_seconds", "gradient_seconds"), seconds))


def _parts(ledger) -> list[tuple[str, object]]:
    return [("forward", ledger.values), ("gradient", ledger.gradients)]


def _layer(case: dict):
    import torch

    from circuits import ansatze
    from qml import QuantumLayer

    n, family = case["n_qubits"], CIRCUIT.get(case["method"], "hardware_efficient")
    circuit = ansatze.by_name(family)(n, n_layers=case["n_layers"])
    options = {"diff_method": case["method"], "seed": case["seed"], "dtype": torch.float64}
    return QuantumLayer(circuit, "Z" * n, [], **options)


def _seconds(forward, backward, rounds: int) -> tuple[float, float]:
    """Medians of the two, run in turn in bursts."""
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
    return median(ahead), median(back)


def _classical(case: dict) -> dict:
    """A dense tanh network with one output, at one sample."""
    import torch

    import qml
    from circuits import ansatze

    circuit = ansatze.hardware_efficient(case["n_qubits"], case["n_layers"])
    wanted = circuit.num_parameters
    if case["method"] == "same_operations":
        wanted = circuit.size() * FLOPS_A_PAIR * 2 ** (case["n_qubits"] - 1) // 2  # two a weight
    row = {**case, "weights": circuit.num_parameters}
    if wanted > MOST_WEIGHTS:
        return row | {"left_out": f"a network of {wanted:.1e} weights is not built"}
    width = max(1, round((wanted / HIDDEN + 1) ** 0.5 - 1))
    torch.manual_seed(case["seed"])
    linear = {"dtype": torch.float64}
    hidden = [module for _ in range(HIDDEN) for module in (torch.nn.Linear(width, width, **linear), torch.nn.Tanh())]
    model = torch.nn.Sequential(*hidden, torch.nn.Linear(width, 1, **linear))
    inputs = torch.ones(1, width, dtype=torch.float64)
    held = 0

    def keep(tensor):
        nonlocal held
        held += tensor.numel() * tensor.element_size()
        return tensor

    with qml.ledger() as ahead, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = model(inputs).sum()
    with qml.ledger() as back:
        value.backward()
    own = sum(p.numel() for p in model.parameters())
    seconds = _seconds(lambda: model(inputs), lambda value: value.sum().backward(), case["rounds"])
    row |= {"own_weights": own, "forward_flops": ahead.flops, "gradient_flops": back.flops}
    row |= {"forward_bytes": 8 * (own + 2 * width), "gradient_bytes": held + 8 * own}
    return row | dict(zip(("forward_seconds", "gradient_seconds"), seconds))


def _ratio(row: dict, *kinds: str) -> float | None:
    """Gradient over forward in the first of the kinds that the row has."""
    for kind in kinds:
        if row.get(f"forward_{kind}"):
            return row[f"gradient_{kind}"] / row[f"forward_{kind}"]
    return None


def _of(rows: list[dict], method: str, n: int | None = None) -> list[dict]:
    """The rows of a method that were measured, by their number of weights."""
    chosen = [r for r in rows if r["method"] == method and "left_out" not in r and n in (None, r["n_qubits"])]
    return sorted(chosen, key=lambda row: (row["n_qubits"], row["weights"]))


def _methods(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _sizes(rows: list[dict]) -> list[int]:
    return sorted({row["n_qubits"] for row in rows})


def _label(method: str) -> str:
    return NETWORKS.get(method, method)


def table(rows: list[dict]) -> list[dict]:
    """One line for each method and size at the most weights that it was measured at, and its slopes."""
    lines = []
    for method in _methods(rows):
        for n in _sizes(rows):
            chosen = _of(rows, method, n)
            if not chosen:
                continue
            last = chosen[-1]
            lines.append(
                {
                    "method": _label(method),
                    "n": n,
                    "weights": last["weights"],
                    "circuits": last.get("gradient_circuits"),
                    "gradient / value, gates or operations": _rounded(_ratio(last, "gates", "flops")),
                    "bytes": _rounded(_ratio(last, "bytes")),
                    "seconds": _rounded(_ratio(last, "seconds")),
                    "slope of gates or operations": _slope(chosen, "gates", "flops"),
                    "slope of seconds": _slope(chosen, "seconds"),
                }
            )
    return lines


def _rounded(ratio: float | None) -> float | None:
    return round(ratio) if ratio and ratio >= 100 else ratio


def _slope(rows: list[dict], *kinds: str):
    """The power of the number of weights by which value and gradient together grow; None with fewer than three."""
    for kind in kinds:
        chosen = [row for row in rows if row.get(f"forward_{kind}")]
        if len(chosen) >= 3:
            total = [row[f"forward_{kind}"] + row[f"gradient_{kind}"] for row in chosen]
            return decay([row.get("own_weights", row["weights"]) for row in chosen], total, [0.0] * len(chosen)).power
    return None


def verdict(rows: list[dict]) -> str:
    """The ratio at the most weights for each kind of method, and the two slopes that theory gives."""
    parts = [word for word in (_headline(rows), *_slopes(rows), _gap(rows), _missing(rows)) if word]
    return " ".join(parts)


def _most(rows: list[dict], method: str) -> dict | None:
    chosen = _of(rows, method)
    return max(chosen, key=lambda row: row["weights"]) if chosen else None


def _headline(rows: list[dict]) -> str:
    network, adjoint, shift = (_most(rows, method) for method in ("same_weights", "adjoint", "parameter-shift"))
    if not (network and adjoint and shift):
        return ""
    return (
        f"A gradient costs {_ratio(network, 'flops'):.2g} values in a classical network, {_ratio(adjoint, 'gates'):.2g} by "
        f"the adjoint sweep, which only a simulator can run, and {_ratio(shift, 'gates'):,.0f} by the parameter-shift rule "
        f"with {shift['weights']:,} weights: {shift['gradient_circuits']:,} circuits for one."
    )


def _slopes(rows: list[dict]) -> list[str]:
    words = []
    for method, expected in THEORY.items():
        slopes = [slope for n in _sizes(rows) if (slope := _slope(_of(rows, method, n), "gates"))]
        if slopes:
            furthest = max(slopes, key=lambda slope: abs(slope.value - expected))
            agrees = "as" if abs(furthest.value - expected) <= CLOSE else "NOT as"
            words.append(
                f"Gates of {method} grow as P^{furthest.value:.3f} [{furthest.low:.3f}, {furthest.high:.3f}], "
                f"{agrees} theory has it, {expected:g}."
            )
    return words


def _gap(rows: list[dict]) -> str:
    """In seconds, beside the best that needs no look into the state."""
    shift = _most(rows, "parameter-shift")
    if not shift:
        return ""
    at = (shift["n_qubits"], shift["weights"])
    same = {m: r for m in _methods(rows) for r in _of(rows, m) if (r["n_qubits"], r["weights"]) == at}
    if "adjoint" not in same:
        return ""
    return (
        f"In seconds, at {at[0]} qubits and {at[1]:,} weights: {_ratio(shift, 'seconds'):,.0f} values by parameter-shift, "
        f"{_ratio(same['adjoint'], 'seconds'):.2g} by adjoint."
    )


def _missing(rows: list[dict]) -> str:
    left = [row for row in rows if "left_out" in row]
    return f"{len(left)} of {len(rows)} points were left out as too large." if left else ""


def figure(rows: list[dict]):
    """Gradient over value against the number of weights: in gates or operations, and in seconds."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(12.6, 5.4))
    left, right = drawing.subplots(1, 2, sharey=True)
    n = _shown(rows)
    for number, method in enumerate(_methods(rows)):
        is_network, again = method in NETWORKS, number >= len(COLOURS)
        look = {
            "color": NEUTRAL if is_network else COLOURS[number % len(COLOURS)],
            "ms": 6,
            "lw": 2.5 if is_network else 1.2,
        }
        look |= {
            "marker": MARKERS[(number + again) % len(MARKERS)],
            "ls": "--" if again and method != "same_weights" else "-",
        }
        for axes, kinds in ((left, ("gates", "flops")), (right, ("seconds",))):
            points = [(row["weights"], ratio) for row in _of(rows, method, n) if (ratio := _ratio(row, *kinds))]
            if points:
                axes.plot(*zip(*points), label=_label(method) if axes is left else None, **look)
    for axes, title in ((left, "In gates, or operations"), (right, "In seconds, on one machine")):
        axes.set(xscale="log", yscale="log", xlabel="weights")
        axes.set_title(title, fontsize=11)
    left.set_ylabel("cost of a gradient / cost of a value")
    drawing.legend(loc="outside right center", fontsize=9)
    drawing.suptitle(f"{_title(rows, n)} ({n} qubits)", x=0.01, ha="left", fontsize=14)
    return drawing


def _shown(rows: list[dict]) -> int:
    """The largest size at which parameter-shift gets nearly as far as anywhere."""
    most = {n: max((row["weights"] for row in _of(rows, "parameter-shift", n)), default=0) for n in _sizes(rows)}
    return max(n for n in most if most[n] >= 0.9 * max(most.values()))


def _title(rows: list[dict], n: int) -> str:
    """What the ratios in gates say between the fewest and the most weights."""

    def grows(method: str, *kinds: str) -> float:
        chosen = [ratio for row in _of(rows, method, n) if (ratio := _ratio(row, *kinds))]
        return chosen[-1] / chosen[0] if chosen else 1.0

    flat = abs(grows("same_weights", "flops") - 1) < CLOSE
    climbs = grows("parameter-shift", "gates") > 2
    return "Backpropagation is flat, parameter-shift climbs" if flat and climbs else "The cost of a gradient"
