"""How much more than a value does a gradient cost, by every method, and by classical backpropagation?

Source: Abbas, King, Huang, Huggins, Movassagh, Gilboa, McClean, NeurIPS 36 (2023), arXiv:2305.13362; Jones and Gacon,
arXiv:2009.02823.

Expected: classical backpropagation costs about two forward passes whatever the number of weights. So does the adjoint
sweep, in simulation alone. The parameter-shift rule runs two circuits for each of P angles: gates grow as P for the adjoint,
slope 1, and as P^2 for the rule, slope 2.

Control: dense tanh networks of as many weights, and of as many floating-point operations, whose operations torch counts.

Minutes: 0.5 with --quick, 7 in full, on two cores.

One sample, one observable Z on all qubits, float64. Circuits, gates and bytes are the ledger's, forward and backward apart;
seconds are medians of repeated runs of each, torch included. A gate is one multiplication of 2^n amplitudes by 2 x 2
matrices: 14 floating-point operations a pair, as which a circuit is given its classical network of as many operations.
A gradient that would take longer than `seconds`, and a network of more than 30 million weights, is counted and not run: the
counts are the same, and the seconds of circuits are foretold from short trials, to a factor of two, with what is compiled.
backprop is a plain reference in torch, timed beside values from the native engine, and its gates contain a second run
forward. commuting-blocks has circuits of its own.
"""

import math
from dataclasses import dataclass

from circuits.errors import LabError, Unsupported
from studies.decay import decay
from studies.drawing import COLOURS, MARKERS, NEUTRAL, label_ends

WORKERS = 1  # two at a time would measure each other
NETWORKS = {"same_weights": "network, as many weights", "same_operations": "network, as many operations"}
OWN_CIRCUIT = {"commuting-blocks": "commuting_blocks"}
FLOPS_A_PAIR = 14
HIDDEN = 4  # layers of a classical network, all of one width
MOST_WEIGHTS = 3e7  # of a classical network that is run
CLOSE = 0.1  # to the slope that theory gives
THEORY = {"adjoint": 1.0, "parameter-shift": 2.0}


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits: sizes. weights: numbers of weights, each brought to whole layers of RY and RZ on every qubit.
        seconds: that a gradient may be expected to take, what it compiles included; longer ones are counted and not run.
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
        for name, most in (("qubits", 20), ("weights", 10_000)):
            values = getattr(self, name)
            if not values or min(values) < 1 or max(values) > most:
                shown = ",".join(map(str, values)) or "nothing"
                raise LabError(f"setting {name} takes numbers from 1 to {most}, got {shown}")
        if not (0 < self.seconds < math.inf and self.rounds >= 1 and self.seed >= 0):
            got = f"got {self.seconds:g}, {self.rounds} and {self.seed}"
            raise LabError(f"settings seconds, rounds and seed must be positive, at least 1 and at least 0, {got}")


def cases(settings: Settings) -> list[dict]:
    """One case for each method or network, number of qubits and number of layers."""
    from qml.gradients.base import names

    shared = {"seconds": settings.seconds, "rounds": settings.rounds, "seed": settings.seed}
    found = []
    for n in sorted(set(settings.qubits)):
        for method in (*names(), *NETWORKS):
            a_layer = n if method in OWN_CIRCUIT else 2 * n
            for layers in sorted({max(1, round(wanted / a_layer)) for wanted in settings.weights}):
                found.append({"method": method, "n_qubits": n, "n_layers": layers, **shared})
    return found


def cost(case: dict) -> float:
    """Gates of a parameter-shift gradient times amplitudes, or of one sweep."""
    size = case["n_layers"] * case["n_qubits"] * 2.0 ** case["n_qubits"]
    slow = case["method"] in ("parameter-shift", "finite-diff", "hadamard")
    return 0.3 + min(case["seconds"] * 3, 1e-9 * size * (4 * case["n_layers"] * case["n_qubits"] if slow else 5))


def run(case: dict) -> list[dict]:
    """One row: forward and backward, in circuits, gates or operations, bytes and seconds, and whether it was run."""
    return [_classical(case) if case["method"] in NETWORKS else _quantum(case)]


def _quantum(case: dict) -> dict:
    import qml
    from studies.step_costs import CountingBackend, counts_of, medians

    try:
        layer = _layer(case, CountingBackend())
    except Unsupported as error:
        return {**case, "left_out": str(error)}
    row = {**case, "weights": len(layer.weight_parameters), "ansatz": layer.circuit.name}
    planned = qml.plan(layer)
    is_run = planned.seconds <= case["seconds"] or planned.circuits == 1  # what runs no circuits cannot be counted apart
    if is_run:
        row |= counts_of(layer)
        row |= medians(layer, lambda value: value.sum().backward(), case["rounds"])
    else:
        row |= counts_of(_layer(case, CountingBackend(simulate=False)))
        row |= medians(layer, lambda value: None, case["rounds"])
        # As what is run is timed: once its circuits are prepared.
        row["gradient_seconds"] = max(0.0, planned.seconds - planned.once - row["forward_seconds"])
    return row | {"is_run": is_run}


def _layer(case: dict, backend):
    import torch

    from circuits import ansatze
    from qml import QuantumLayer

    n, family = case["n_qubits"], OWN_CIRCUIT.get(case["method"], "hardware_efficient")
    circuit = ansatze.by_name(family)(n, n_layers=case["n_layers"])
    options = {"diff_method": case["method"], "seed": case["seed"], "dtype": torch.float64}
    return QuantumLayer(circuit, "Z" * n, [], backend=backend, **options)


def _classical(case: dict) -> dict:
    """A dense tanh network with one output, at one sample."""
    import torch

    from circuits import ansatze
    from studies.step_costs import counts_of_network, medians, tanh_network

    circuit = ansatze.hardware_efficient(case["n_qubits"], case["n_layers"])
    wanted = circuit.num_parameters
    if case["method"] == "same_operations":
        wanted = circuit.size() * FLOPS_A_PAIR * 2 ** (case["n_qubits"] - 1) // 2  # two a weight
    is_run = wanted <= MOST_WEIGHTS
    width = max(1, round((wanted / HIDDEN + 1) ** 0.5 - 1))
    device = "cpu" if is_run else "meta"  # where torch counts without numbers
    model = tanh_network(width, HIDDEN, case["seed"], device)
    inputs = torch.ones(1, width, dtype=torch.float64, device=device)
    row = {**case, "weights": circuit.num_parameters, "is_run": is_run, **counts_of_network(model, inputs)}
    if is_run:
        row |= medians(lambda: model(inputs), lambda value: value.sum().backward(), case["rounds"])
    return row


def _ratio(row: dict, *kinds: str) -> float | None:
    """Gradient over forward in the first of the kinds that the row has."""
    for kind in kinds:
        if row.get(f"forward_{kind}"):
            return row[f"gradient_{kind}"] / row[f"forward_{kind}"]
    return None


def _of(rows: list[dict], method: str, n: int | None = None) -> list[dict]:
    """The rows of a method that could be had, by their number of weights."""
    chosen = [r for r in rows if r["method"] == method and "left_out" not in r and n in (None, r["n_qubits"])]
    return sorted(chosen, key=lambda row: (row["n_qubits"], row["weights"]))


def _methods(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _sizes(rows: list[dict]) -> list[int]:
    return sorted({row["n_qubits"] for row in rows})


def _label(method: str) -> str:
    return NETWORKS.get(method, method)


def table(rows: list[dict]) -> list[dict]:
    """One line for each method and size at the most weights, and its slopes; seconds with a ~ were foretold."""
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
                    "gradient / value, gates or operations": _shown(last, "gates", "flops"),
                    "bytes": _shown(last, "bytes"),
                    "seconds": "~" * (not last.get("is_run", True) and "gradient_seconds" in last) + _shown(last, "seconds"),
                    "slope of gates or operations": _slope(chosen, "gates", "flops"),
                    "slope of bytes": _slope(chosen, "bytes"),
                    "slope of seconds": _slope([row for row in chosen if row.get("is_run", True)], "seconds"),
                }
            )
    return lines


def _shown(row: dict, *kinds: str) -> str:
    ratio = _ratio(row, *kinds)
    return "" if ratio is None else f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _slope(rows: list[dict], *kinds: str):
    """The power of the number of weights by which value and gradient together grow; None with fewer than three sizes."""
    for kind in kinds:
        chosen = [row for row in rows if row.get(f"forward_{kind}")]
        weights = [row.get("own_weights", row["weights"]) for row in chosen]
        if len(set(weights)) >= 3:
            total = [row[f"forward_{kind}"] + row[f"gradient_{kind}"] for row in chosen]
            return decay(weights, total, [0.0] * len(chosen)).power
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
    run = [row for row in rows if row.get("is_run", True)]
    shift = _most(run, "parameter-shift")
    if not shift:
        return ""
    at = (shift["n_qubits"], shift["weights"])
    same = {m: r for m in _methods(run) for r in _of(run, m) if (r["n_qubits"], r["weights"]) == at}
    if "adjoint" not in same:
        return ""
    return (
        f"In seconds, at {at[0]} qubits and {at[1]:,} weights: {_ratio(shift, 'seconds'):,.0f} values by parameter-shift, "
        f"{_ratio(same['adjoint'], 'seconds'):.2g} by adjoint."
    )


def _missing(rows: list[dict]) -> str:
    """What was counted and not run, and what could not be had."""
    foretold = [row for row in rows if not row.get("is_run", True) and row["method"] not in NETWORKS]
    counted = [row for row in rows if not row.get("is_run", True) and row["method"] in NETWORKS]
    left = [row for row in rows if "left_out" in row]
    words = (
        (foretold, "gradients would have taken longer than the limit: counted, their seconds foretold"),
        (counted, "networks were too large to be run: counted, without seconds"),
        (left, "were left out with a reason in their rows"),
    )
    said = [f"{len(found)} {what}" for found, what in words if found]
    return f"Of {len(rows)} points {'; '.join(said)}." if said else ""


def figure(rows: list[dict]):
    """Gradient over value against the number of weights: in gates or operations, and in seconds."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(13.4, 6.0))
    panels = drawing.subplots(1, 2, sharey=True)
    n, of_gates = _size_shown(rows), ("gates", "flops")
    ends = [_lines(axes, rows, n, kinds) for axes, kinds in zip(panels, (of_gates, ("seconds",)))]
    hollow = "" if all(row.get("is_run", True) for row in rows) else " (hollow: foretold)"
    for axes, title in zip(panels, ("In gates, or operations", f"In seconds, on one machine{hollow}")):
        axes.set(xscale="log", yscale="log", xlabel="weights")
        axes.set_title(title, fontsize=11)
    for axes, own in zip(panels, ends):  # once the scale that they share is known
        label_ends(axes, own)
    panels[0].set_ylabel("cost of a gradient / cost of a value")
    drawing.suptitle(f"{_title(rows, n)} ({n} qubits)", x=0.01, ha="left", fontsize=14)
    return drawing


def _lines(axes, rows: list[dict], n: int, kinds: tuple[str, ...]) -> list[tuple]:
    """Draws a line for each method, hollow where seconds are foretold; returns where they end, their names and colours."""
    ends = []
    for number, method in enumerate(_methods(rows)):
        points = [(r["weights"], ratio, r.get("is_run", True)) for r in _of(rows, method, n) if (ratio := _ratio(r, *kinds))]
        if not points:
            continue
        look, (x, y, _) = _look(method, number), zip(*points)
        axes.plot(x, y, **look, zorder=2)
        hollow = [point[:2] for point in points if not point[2] and "seconds" in kinds]
        if hollow:
            axes.plot(*zip(*hollow), **look | {"ls": "", "mfc": "white"}, zorder=3)
        ends.append((x[-1], y[-1], _label(method), look["color"]))
    return ends


def _size_shown(rows: list[dict]) -> int:
    """The largest size at which parameter-shift was run nearly as far as anywhere."""
    run = [row for row in rows if row.get("is_run", True)]
    most = {n: max((row["weights"] for row in _of(run, "parameter-shift", n)), default=0) for n in _sizes(rows)}
    return max(n for n in most if most[n] >= 0.9 * max(most.values()))


def _look(method: str, number: int) -> dict:
    """Thick lines for classical networks and for parameter-shift, thin ones for what lies between."""
    if method in NETWORKS:
        return {"color": NEUTRAL, "lw": 3, "ms": 6, "marker": "^", "ls": "-" if method == "same_weights" else "--"}
    again = number >= len(COLOURS)
    look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[(number + again) % len(MARKERS)], "ms": 6}
    return look | {"ls": "--" if again else "-", "lw": 3 if method == "parameter-shift" else 1.2}


def _title(rows: list[dict], n: int) -> str:
    """What the ratios in gates say between the fewest and the most weights."""

    def grows(method: str, *kinds: str) -> float:
        chosen = [ratio for row in _of(rows, method, n) if (ratio := _ratio(row, *kinds))]
        return chosen[-1] / chosen[0] if chosen else 1.0

    flat = abs(grows("same_weights", "flops") - 1) < CLOSE
    climbs = grows("parameter-shift", "gates") > 2
    if not (flat and climbs):
        return "The cost of a gradient"
    most = _of(rows, "parameter-shift", n)[-1]
    return (
        f"A gradient costs {_ratio(_of(rows, 'same_weights', n)[-1], 'flops'):.2g} values by classical backpropagation, "
        f"{_ratio(most, 'gates'):,.0f} by parameter-shift with {most['weights']:,} weights"
    )
