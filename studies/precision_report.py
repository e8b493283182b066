"""What the rows of the study `gradient_precision` say: its table, its verdict and its figure."""

import math
from collections.abc import Sequence

import numpy as np

from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.statistics import Interval

LEVEL = 0.95
SIGMAS = 5.0  # beyond which a measured error is not that of the law
MAIN = "hardware_efficient"
NAMES = {MAIN: "hardware-efficient circuit", "commuting_blocks": "circuit of commuting blocks"}


def median(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The median with the interval of order statistics that holds it with this probability, whatever the law.

    Infinite values, of runs that did not get there, count as the largest. Fewer than six values give their range, which
    holds it less often.
    """
    from scipy.stats import binom

    ordered, n = sorted(values), len(values)
    rank = max([1, *(k for k in range(1, n // 2 + 1) if 1 - 2 * binom.cdf(k - 1, n, 0.5) >= level)])
    middle = ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
    return Interval(middle, ordered[rank - 1], ordered[n - rank])


def shown(number: float) -> str:
    """Three digits, and thousands apart: 12,300."""
    if not math.isfinite(number):
        return "more"
    if 0 < abs(number) < 100:
        return f"{number:.3g}"
    digits = math.floor(math.log10(abs(number))) - 2 if number else 0
    return f"{round(number, -digits):,.0f}"


def between(interval: Interval) -> str:
    """The three numbers of an interval."""
    if not math.isfinite(interval.value):
        return f"not reached [{shown(interval.low)}, more]"
    return f"{shown(interval.value)} [{shown(interval.low)}, {shown(interval.high)}]"


def _part(rows: list[dict], part: str, **wanted) -> list[dict]:
    return [row for row in rows if row["part"] == part and all(row.get(key) == value for key, value in wanted.items())]


def _methods(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in _part(rows, "error")))


def _law(rows: list[dict], method: str, circuit: str) -> dict:
    (row,) = _part(rows, "error", method=method, circuit=circuit, kind="law")
    return row


def needed(rows: list[dict], method: str, circuit: str = MAIN, over: str | None = None) -> Interval:
    """Total shots for the wanted error over the weights, or over those of another method at the same weights."""
    own = [math.inf if number is None else number for number in _law(rows, method, circuit)["needed"]]
    if over is not None:
        own = [number / other for number, other in zip(own, _law(rows, over, circuit)["needed"])]
    return median(own)


def training(rows: list[dict], method: str) -> tuple[int, Interval, int, int] | None:
    """Shots a circuit with the least median, total shots until the accuracy, how many seeds got there, of how many."""
    found = []
    for shots in sorted({row["shots"] for row in _part(rows, "training", method=method)}):
        runs = _part(rows, "training", method=method, shots=shots)
        totals = median([run["total_shots"] if run["reached"] else math.inf for run in runs])
        found.append((shots, totals, sum(run["reached"] for run in runs), len(runs)))
    return min(found, key=lambda each: (each[1].value, -each[2], each[1].low)) if found else None


def seconds(rows: list[dict], method: str, device: str) -> tuple[float, float]:
    """Of the shots until the accuracy: with the wait between shots, and without."""
    (row,) = _part(rows, "clock", method=method, machine=device)
    shots = training(rows, method)[1].value
    return shots * (row["shot_seconds"] + row["delay"]), shots * row["shot_seconds"]


def lasting(seconds: float) -> str:
    """40 s, 13 min, 2.1 h."""
    if not math.isfinite(seconds):
        return "not reached"
    unit, size = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if seconds >= 2 * s or s == 1)
    return f"{shown(seconds / size)} {unit}"


def _devices(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["machine"] for row in _part(rows, "clock")))


def _operations(rows: list[dict], method: str) -> Interval:
    return median([row["flops"] if row["reached"] else math.inf for row in _part(rows, "training", method=method)])


def table(rows: list[dict]) -> list[dict]:
    """One line for each method, and for the classical twin."""
    lines = []
    error = _part(rows, "error")[0]["error"]
    accuracy = _part(rows, "training")[0]["accuracy"]
    for method in _methods(rows):
        main = _law(rows, method, MAIN)
        shots, totals, reached, runs = training(rows, method)
        line = {"method": method, "circuits a gradient": main["circuits"], "bias / |g|": f"{_bias(main).value:.2%}"}
        line |= {f"shots to {error:.0%}": between(needed(rows, method))}
        line |= {"in blocks": between(needed(rows, method, "commuting_blocks"))}
        line |= {f"shots to accuracy {accuracy:g}": between(totals), "at shots": shots}
        line |= {"steps": _steps(rows, method, shots), "seeds": f"{reached} of {runs}"}
        lines.append(line | {device: lasting(seconds(rows, method, device)[0]) for device in _devices(rows)})
    for method, name in (("adjoint", "adjoint, exact values"), ("twin", "classical twin")):
        runs = _part(rows, "training", method=method)
        spent = "no shots" if method == "adjoint" else f"{between(_operations(rows, method))} operations"
        line = {"method": name, f"shots to accuracy {accuracy:g}": spent, "steps": _steps(rows, method, 0)}
        lines.append(line | {"seeds": f"{sum(row['reached'] for row in runs)} of {len(runs)}"})
    return lines


def _steps(rows: list[dict], method: str, shots: int) -> str:
    runs = _part(rows, "training", method=method, shots=shots)
    return between(median([run["taken"] if run["reached"] else math.inf for run in runs]))


def _bias(row: dict) -> Interval:
    return median([bias / length for bias, length in zip(row["bias"], row["length"])])


def verdict(rows: list[dict]) -> str:
    """Whether the laws hold; what a gradient, a training and an hour cost by them."""
    return " ".join([_laws(rows), _control(rows), _precision(rows), _biases(rows), _trainings(rows), _clocks(rows)])


def sigmas(row: dict) -> float:
    """How many standard errors a measured squared error is off the law."""
    return (row["squared_error"] - row["law"]) / row["standard_error"] if row["standard_error"] else 0.0


def _laws(rows: list[dict]) -> str:
    off = [abs(sigmas(row)) for row in _part(rows, "error", kind="measured")]
    beyond = sum(each > SIGMAS for each in off)
    if beyond:
        return (
            f"The law is NOT exact: {beyond} of {len(off)} squared errors lie more than {SIGMAS:g} standard errors off it."
        )
    furthest = math.ceil(10 * max(off)) / 10
    return f"All {len(off)} measured squared errors lie within {furthest:.1f} standard errors of the exact law."


def closed_forms(method: str, angle: float, step: float) -> tuple[float, float]:
    """Bias and noise of the control, RX(angle) on |0>, Z measured."""
    if method in ("hadamard", "commuting-blocks"):
        return 0.0, math.cos(angle) ** 2
    if method in ("parameter-shift", "random-directions"):
        return 0.0, math.cos(angle) ** 2 / 2
    noise = (math.sin(angle + step) ** 2 + math.sin(angle - step) ** 2) / (4 * step**2)
    return (1 - math.sin(step) / step) * abs(math.sin(angle)), noise


def _control(rows: list[dict]) -> str:
    worst = 0.0
    for method in _methods(rows):
        row = _law(rows, method, "one_qubit")
        for angle, bias, noise in zip(row["angles"], row["bias"], row["noise"]):
            known = closed_forms(method, angle, row["step"])
            worst = max(worst, abs(bias - known[0]), abs(noise - known[1]) / known[1])
    agrees = "is" if worst < 1e-9 else "is NOT"
    return f"On one qubit the law {agrees} the closed form (to {worst:.0e})."


def _precision(rows: list[dict]) -> str:
    main = _law(rows, "parameter-shift", MAIN)
    others = ", ".join(
        f"{method} {between(needed(rows, method, over='parameter-shift'))}"
        for method in _methods(rows)
        if method != "parameter-shift"
    )
    blocks = needed(rows, "commuting-blocks", "commuting_blocks", over="parameter-shift")
    return (
        f"To know a gradient by {main['weights']} angles to {main['error']:.0%} of its length, parameter-shift needs "
        f"{between(needed(rows, 'parameter-shift'))} shots (median over weights), and times as many: {others}; "
        f"commuting-blocks {between(blocks)} on the circuit made for it."
    )


def _biases(rows: list[dict]) -> str:
    finite, spsa = (_bias(_law(rows, method, MAIN)) for method in ("finite-diff", "spsa"))
    return (
        f"Steps of {_law(rows, 'spsa', MAIN)['step']:g} have a bias of {finite.value:.2%} of the gradient (finite-diff) and "
        f"{spsa.value:.1%} [{spsa.low:.1%}, {spsa.high:.1%}] (spsa), which no shots remove."
    )


def _trainings(rows: list[dict]) -> str:
    parts, missed = [], []
    for method in _methods(rows):
        shots, totals, reached, runs = training(rows, method)
        if math.isfinite(totals.value):
            some = f", {reached} of {runs} seeds" if reached < runs else ""
            parts.append((totals.value, f"{method} {between(totals)} at {shots} a circuit{some}"))
        else:
            missed.append(f"{method} ({reached} of {runs} seeds)")
    words = "; ".join(text for _, text in sorted(parts))
    case = _part(rows, "training")[0]
    tried = len({row["shots"] for row in _part(rows, "training", method=_methods(rows)[0])})
    lost = f" Not reached by half of the seeds in {case['steps']} steps: {', '.join(missed)}." if missed else ""
    return (
        f"Total shots until a classifier of digits has accuracy {case['accuracy']:g}, at the best of {tried} numbers of "
        f"shots a circuit, which favours each a little: {words}.{lost} "
        f"The classical twin gets there in {between(_operations(rows, 'twin'))} floating-point operations."
    )


def _clocks(rows: list[dict]) -> str:
    clock = _part(rows, "clock")[0]
    finite = [m for m in _methods(rows) if math.isfinite(training(rows, m)[1].value)]
    if not finite:
        return ""
    words = []
    for device in _devices(rows):
        least = min(finite, key=lambda method: seconds(rows, method, device)[0])
        spent, running = seconds(rows, least, device)
        cold = _part(rows, "clock", machine=device)[0]["is_cold"]
        energy = f", {shown(spent / 3600 * clock['kilowatts'])} kWh" if cold else ""
        words.append(f"{device} {lasting(spent)} by {least}, {running / spent:.1%} of them in circuits{energy}")
    joules = _operations(rows, "twin").value / (1e9 * clock["gigaflops_a_watt"])
    return (
        f"In time, by the fastest method, at {clock['kilowatts']:g} kW for a machine in a refrigerator: {'; '.join(words)}; "
        "the rest is waiting between shots, as far as that is published. The twin's operations are "
        f"{joules:.1e} J at {clock['gigaflops_a_watt']:g} Gflop/s a watt, an assumption."
    )


def figure(rows: list[dict]):
    """Error against total shots, laws as lines; and total shots, with the hours that they take, until the accuracy."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(15.5, 5.6))
    left, middle, right = drawing.subplots(1, 3, width_ratios=[1, 1, 1.1])
    for axes, circuit in ((left, MAIN), (middle, "commuting_blocks")):
        _error_panel(axes, rows, circuit)
    left.set_ylabel("error of the gradient / its length")
    left.sharey(middle)
    handles, labels = left.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower left", ncols=6, fontsize=10)
    _training_panel(right, rows)
    held = all(abs(sigmas(row)) <= SIGMAS for row in _part(rows, "error", kind="measured"))
    drawing.suptitle(
        "Shots that a gradient takes are known beforehand, and they are many" if held else "Shots that a gradient takes",
        x=0.01, ha="left", fontsize=14,
    )  # fmt: skip
    return drawing


def _error_panel(axes, rows: list[dict], circuit: str) -> None:
    furthest = 2 * max(number for number in _law(rows, "random-directions", circuit)["needed"][:1])
    for number, method in enumerate(_methods(rows)):
        known, colour = _law(rows, method, circuit), COLOURS[number % len(COLOURS)]
        measured = _part(rows, "error", method=method, circuit=circuit, kind="measured")
        budgets, length = [row["total_shots"] for row in measured], known["length"][0]
        totals = np.geomspace(min(budgets) / 1.5, max(furthest, *budgets), 60)
        spread = known["spread"][0] * (measured[0]["circuit_shots"] if known["spread"][0] else 0)
        squares = known["bias"][0] ** 2 + (spread + known["noise"][0]) * known["circuits"] / totals
        axes.plot(totals, np.sqrt(squares) / length, color=colour, lw=1.4)
        errors = [math.sqrt(row["squared_error"]) / length for row in measured]
        bars = [1.96 * row["standard_error"] / (2 * error * length**2) for row, error in zip(measured, errors)]
        look = {"color": colour, "fmt": MARKERS[number % len(MARKERS)], "ms": 6, "zorder": 3}
        if method == "parameter-shift":  # around the points of hadamard, which lie on it
            look |= {"ms": 11, "mfc": "none", "zorder": 4}
        axes.errorbar(budgets, errors, bars, label=method, **look)
    wanted = _law(rows, "parameter-shift", circuit)["error"]
    axes.axhline(wanted, color=NEUTRAL, lw=1, ls=":")
    axes.annotate(f"wanted: {wanted:.0%}", (0.02, wanted), xycoords=("axes fraction", "data"), va="bottom", fontsize=9)
    axes.set(xscale="log", yscale="log", xlabel="total shots of one gradient")
    axes.set_title(f"{NAMES[circuit]}, {_law(rows, 'spsa', circuit)['weights']} angles; lines are exact", fontsize=10.5)


def _training_panel(axes, rows: list[dict]) -> None:
    from matplotlib.ticker import NullFormatter

    found = {method: training(rows, method)[1] for method in _methods(rows)}
    order = sorted(found, key=lambda method: (found[method].value, found[method].low), reverse=True)
    device = _devices(rows)[0]
    for place, method in enumerate(order):
        number = _methods(rows).index(method)
        look = {"color": COLOURS[number % len(COLOURS)], "fmt": MARKERS[number % len(MARKERS)], "ms": 8, "capsize": 3}
        if math.isfinite(found[method].value):
            label = f"{shown(found[method].value)} shots, {lasting(seconds(rows, method, device)[0])} on {device}"
            _bar(axes, place, found[method], label, look)
        else:
            words = "not reached by half of the seeds"
            axes.annotate(words, (0.97, place), xycoords=("axes fraction", "data"), va="center", ha="right", fontsize=9)
    twin = _operations(rows, "twin")
    _bar(axes, len(order), twin, f"{shown(twin.value)} operations", {"color": NEUTRAL, "fmt": "*", "ms": 11, "capsize": 3})
    axes.set_yticks(range(len(order) + 1), [*order, "classical twin"])
    axes.set(xscale="log", xlabel="total shots, or floating-point operations", ylim=(-0.6, len(order) + 0.7))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.3)
    accuracy = _part(rows, "training")[0]["accuracy"]
    axes.set_title(f"a classifier of digits trained to accuracy {accuracy:g}", fontsize=10.5)


def _bar(axes, place: int, totals: Interval, label: str, look: dict) -> None:
    high = totals.high if math.isfinite(totals.high) else 3 * totals.value
    if high != totals.high:  # an arrow where the interval has no end
        axes.plot(high, place, ">", color=look["color"], ms=8)
    axes.errorbar(totals.value, place, xerr=[[totals.value - totals.low], [high - totals.value]], **look)
    axes.annotate(label, (totals.value, place), (0, 9), textcoords="offset points", ha="center", fontsize=9)
