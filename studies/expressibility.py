"""How expressible and how entangling are Sim's nineteen circuits, and how much of it is the estimator?

Source: Sim et al., Adv. Quantum Technol. 2, 1900070 (2019), arXiv:1905.10876, Figs. 4 and 5, as qml-essentials quotes them.

Expected: with one layer on four qubits the Kullback-Leibler divergence of the circuits' fidelities from those of
Haar-random states is the published one within 15 % or 0.01; with 5000 pairs chance takes up to 10 % of most, 26 % of
one. Published values of 0.005 and less are what Haar-random states themselves score.

Control: Haar-random states through the same estimator, whose mean score and mean Q are known exactly; circuit 2 with one
layer on four qubits, whose mean Q is exactly 159/256.

Minutes: 0.1 with --quick, 0.2 in full, on two cores.

A sample is a pair of states of one circuit, each with all its angles uniform on the circle. The fidelities of all pairs
are counted in equal bins of [0, 1], and the divergence is that of the relative frequencies: the smaller, the more
expressible. Q is Meyer and Wallach's measure, 0 for product states and 1 at most, averaged over both states of all pairs.
"""

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from circuits.errors import LabError
from qml.wording import counted
from studies import published
from studies.drawing import COLOURS, MARKERS, NEUTRAL, errorbars
from studies.ensembles import divergence, expected_floor, haar_masses, haar_meyer_wallach, meyer_wallach
from studies.statistics import Interval, normal_quantile
from studies.words import numbered

HAAR = 0  # the number that stands for Haar-random states in place of a circuit's
CHUNK = 1000  # pairs in a case
ANCHOR = 159 / 256  # mean Q of circuit 2 with one layer on four qubits
RELATIVE, ABSOLUTE = 0.15, 0.01  # agreement with a published divergence: within either
Q_DIFFERENCE = 0.02  # from here on a published mean Q differs from ours; ours is good to 0.005
LIKELY = 3.0  # standard errors, of 15 differences: chance exceeds it once in 25 runs
AGREEMENT = 4.0  # standard errors: chance exceeds it once in a thousand runs

_circuits = partial(numbered, "circuit")
_layers = partial(counted, what="layer")


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        circuits: numbers of Sim's circuits.
        layers: how often each circuit's layer is repeated; several numbers of layers are compared.
        pairs: of states, for each circuit.
        bins: of the histogram of fidelities.
        repeats: runs of the estimator on `pairs` pairs of Haar-random states.
        seed: of every draw.
    """

    circuits: tuple[int, ...] = tuple(range(1, 20))
    layers: tuple[int, ...] = (1,)
    n_qubits: int = 4
    pairs: int = 5000
    bins: int = 75
    repeats: int = 20
    seed: int = 2019

    @classmethod
    def quick(cls) -> "Settings":
        """Five circuits through the same estimator; with fewer pairs its floor would be another."""
        return cls(circuits=(1, 2, 6, 9, 15))

    def __post_init__(self):
        for name, (least, most, longest) in {"circuits": (1, 19, 19), "layers": (1, 100, len(COLOURS))}.items():
            values = getattr(self, name)
            fit = values and len(set(values)) == len(values) <= longest and least <= min(values) and max(values) <= most
            if not fit:
                got = ",".join(map(str, values)) or "nothing"
                raise LabError(f"setting {name} must be 1 to {longest} different numbers from {least} to {most}, got {got}")
        ranges = {"n_qubits": (2, 10), "pairs": (32, 10**7), "bins": (2, 10**4), "repeats": (10, 10**4)}
        for name, (least, most) in {**ranges, "seed": (0, math.inf)}.items():
            if not least <= getattr(self, name) <= most:
                raise LabError(f"setting {name} must be from {least} to {most}, got {getattr(self, name)}")


def cases(settings: Settings) -> list[dict]:
    """One case for each chunk of pairs of each circuit, number of layers and repeat of the Haar-random states."""
    arms = [(number, layers, 0) for layers in settings.layers for number in settings.circuits]
    arms += [(HAAR, 0, repeat) for repeat in range(settings.repeats)]
    return [
        {
            "circuit": number,
            "n_qubits": settings.n_qubits,
            "n_layers": layers,
            "repeat": repeat,
            "first_pair": first,
            "pairs": min(CHUNK, settings.pairs - first),
            "bins": settings.bins,
            "seed": settings.seed,
        }
        for number, layers, repeat in arms
        for first in range(0, settings.pairs, CHUNK)
    ]


def run(case: dict) -> list[dict]:
    """The histogram of the fidelities, and the mean of Q with its sum of squared deviations."""
    states = _haar_states(case) if case["circuit"] == HAAR else _circuit_states(case)
    fidelities = abs(np.einsum("pa,pa->p", states[0::2].conj(), states[1::2])) ** 2
    counts, _ = np.histogram(fidelities, case["bins"], (0, 1 + 1e-9))  # equal states may exceed 1 by a rounding error
    measures = meyer_wallach(states)
    squares = ((measures - measures.mean()) ** 2).sum()
    return [{"counts": counts.tolist(), "q_mean": float(measures.mean()), "q_squares": float(squares)}]


def _generators(case: dict):
    """One for each pair, whatever chunk it is in."""
    for pair in range(case["first_pair"], case["first_pair"] + case["pairs"]):
        key = (case["n_qubits"], case["circuit"], case["n_layers"], case["repeat"], pair)
        yield np.random.default_rng(np.random.SeedSequence(case["seed"], spawn_key=key))


def _haar_states(case: dict) -> np.ndarray:
    shape = (2, 2, 2 ** case["n_qubits"])
    parts = np.concatenate([generator.standard_normal(shape) for generator in _generators(case)])
    states = parts.reshape(-1, *shape[1:])[:, 0] + 1j * parts.reshape(-1, *shape[1:])[:, 1]
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def _circuit_states(case: dict) -> np.ndarray:
    compiled, n_weights = _compiled(case["n_qubits"], case["n_layers"], case["circuit"])
    angles = [generator.uniform(0, 2 * math.pi, (2, n_weights)) for generator in _generators(case)]
    angles = np.concatenate(angles)
    none = np.empty((len(angles), 0))
    states, _ = compiled.tangents(none, angles, none, np.zeros_like(angles))
    return states


@lru_cache(maxsize=2)
def _compiled(n_qubits: int, n_layers: int, number: int) -> tuple:
    """The circuit on the native backend, and how many weights it has; uniform ones need no order."""
    from circuits.lowering import lower
    from circuits.sim_circuits import sim
    from qml.backends.base import resolve

    program = lower(sim(n_qubits, n_layers, number))
    return resolve("native").compile(program, []), len(program.slots)


@dataclass(frozen=True)
class Point:
    """What was measured of one circuit, or in one repeat of the Haar-random states, beside what was published."""

    circuit: int
    n_layers: int
    n_qubits: int
    pairs: int
    bins: int
    kl: Interval
    q: Interval

    @property
    def as_published(self) -> bool:
        """Whether the estimator is the published one."""
        return all(getattr(self, name) == value for name, value in published.SIM_SETTING.items())

    @property
    def published_kl(self) -> float | None:
        """Of this circuit through this very estimator."""
        return published.sim(published.SIM_KL, self.circuit, self.n_layers) if self.as_published else None

    @property
    def published_q(self) -> float | None:
        """Of this circuit on as many qubits."""
        return published.sim(published.SIM_Q, self.circuit, self.n_layers) if self.n_qubits == 4 else None

    @property
    def agrees(self) -> bool | None:
        """Whether the divergence is the published one, None where nothing is published."""
        value = self.published_kl
        return None if value is None else abs(self.kl.value - value) <= max(RELATIVE * value, ABSOLUTE)

    @property
    def sigmas(self) -> float | None:
        """The difference from the published divergence in standard errors: two runs of one estimator have two errors."""
        value = self.published_kl
        return None if value is None else (self.kl.value - value) / (math.sqrt(2) * _error(self.kl))


def _error(estimate: Interval) -> float:
    return (estimate.high - estimate.value) / normal_quantile(0.95)


def points(rows: list[dict]) -> list[Point]:
    """One for each circuit and number of layers, and for each repeat of the Haar-random states, by number."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["n_layers"], row["circuit"], row["repeat"]), []).append(row)
    return [_point(group) for _, group in sorted(groups.items())]


def _point(rows: list[dict]) -> Point:
    counts = np.sum([row["counts"] for row in rows], axis=0)
    sizes, means, squares = (np.array([row[name] for row in rows]) for name in ("pairs", "q_mean", "q_squares"))
    total, mean = 2 * sizes.sum(), np.average(means, weights=sizes)
    deviations = squares.sum() + 2 * sizes @ (means - mean) ** 2
    q = Interval.normal(mean, math.sqrt(deviations / (total - 1) / total))
    n, bins = rows[0]["n_qubits"], rows[0]["bins"]
    kl = divergence(counts, haar_masses(n, bins))
    return Point(rows[0]["circuit"], rows[0]["n_layers"], n, int(total) // 2, bins, kl, q)


@dataclass(frozen=True)
class Floor:
    """What Haar-random states score: the least that can be told from nothing.

    Attributes:
        score: mean over the repeats, with the range in which 95 % of runs lie.
        expected: the exact mean.
        sigmas: how many standard errors the mean score, and the mean Q, are off their exact values.
    """

    score: Interval
    expected: float
    repeats: int
    q: Interval
    sigmas: tuple[float, float]


def floor(measured: list[Point]) -> Floor:
    """Of the repeats among the points."""
    haar = [point for point in measured if point.circuit == HAAR]
    scores, means = (np.array(values) for values in zip(*[(point.kl.value, point.q.value) for point in haar]))
    expected = expected_floor(haar_masses(haar[0].n_qubits, haar[0].bins), haar[0].pairs)
    errors = scores.std(ddof=1) / math.sqrt(len(haar)), math.hypot(*[_error(point.q) for point in haar]) / len(haar)
    off = (scores.mean() - expected) / errors[0], (means.mean() - haar_meyer_wallach(haar[0].n_qubits)) / errors[1]
    score = Interval.normal(scores.mean(), scores.std(ddof=1))
    return Floor(score, expected, len(haar), Interval.normal(means.mean(), errors[1]), (float(off[0]), float(off[1])))


def table(rows: list[dict]) -> list[dict]:
    """Divergence and mean Q of each circuit with 95 % intervals, the floor and the published values beside them."""
    measured = points(rows)
    ground = floor(measured)
    circuits = [_line(str(p.circuit), p.n_layers, p.kl, ground, p.q, p) for p in measured if p.circuit != HAAR]
    return [*circuits, _line("Haar-random", None, ground.score, ground, ground.q, None)]


def _line(name: str, layers: int | None, kl: Interval, ground: Floor, q: Interval, point: Point | None) -> dict:
    agrees = point.agrees if point else None
    return {
        "circuit": name,
        "layers": layers,
        "KL": kl.value,
        "KL low": kl.low,
        "KL high": kl.high,
        "floor": ground.score.value,
        "at floor": "yes" if kl.value <= ground.score.high else "no",
        "published KL": point.published_kl if point else None,
        "agrees": None if agrees is None else "yes" if agrees else "no",
        "std_errors_off": round(point.sigmas, 2) if point and point.published_kl else None,
        "Q": _rounded(q.value),
        "Q low": _rounded(q.low),
        "Q high": _rounded(q.high),
        "published Q": point.published_q if point else None,
    }


def _rounded(value: float) -> float:
    # A product state's Q is a rounding error of either sign.
    return round(value, 12) + 0.0


def verdict(rows: list[dict]) -> str:
    """The extremes, the floor, which published values stand and which lie at the floor, the controls."""
    measured = points(rows)
    ground = floor(measured)
    circuits = [point for point in measured if point.circuit != HAAR]
    by_layers = [[p for p in circuits if p.n_layers == layers] for layers in sorted({p.n_layers for p in circuits})]
    answers = [_extremes(chosen, ground) for chosen in by_layers]
    compared = [words for chosen in by_layers for words in (_agreement(chosen), _q_differences(chosen)) if words]
    at_floor = [_published_floor(ground)] if circuits[0].as_published else []
    return " ".join([*answers, _floor_words(ground, circuits[0]), *compared, *at_floor, *_controls(circuits, ground)])


def _extremes(chosen: list[Point], ground: Floor) -> str:
    best, worst = (pick(chosen, key=lambda point: point.kl.value) for pick in (min, max))
    same = [point.circuit for point in chosen if point.kl.value <= ground.score.high]
    random = f"{_circuits(same)} cannot be told from Haar-random states" if same else "every circuit is above the floor"
    return (
        f"{_layers(best.n_layers).capitalize()}: the most expressible is circuit {best.circuit}, KL {best.kl:.4f}, "
        f"the least circuit {worst.circuit}, KL {worst.kl:.3f} (95 % intervals); {random}."
    )


def _floor_words(ground: Floor, point: Point) -> str:
    score = ground.score
    return (
        f"The estimator's floor at {point.pairs} pairs and {point.bins} bins is {score.value:.4f}: Haar-random states "
        f"themselves score from {score.low:.4f} to {score.high:.4f} in 95 % of {ground.repeats} runs, and a value in "
        "there says no more than that."
    )


def _agreement(chosen: list[Point]) -> str:
    compared = [point for point in chosen if point.agrees is not None]
    if not compared:
        return ""
    agree, differ = ([p.circuit for p in compared if p.agrees is wanted] for wanted in (True, False))
    furthest = max(abs(point.sigmas) for point in compared)
    words = (
        f"Of the published KL for {_layers(chosen[0].n_layers)}, {len(agree)} of {len(compared)} agree within "
        f"{RELATIVE:.0%} or {ABSOLUTE}: {_circuits(agree)}"
    )
    not_found = f"; {_circuits(differ)} {'do' if len(differ) > 1 else 'does'} not" if differ else ""
    chance = "so chance explains all differences" if furthest <= LIKELY else "which chance does not explain"
    return f"{words}{not_found}. None is off by more than {furthest:.1f} standard errors of two such runs, {chance}."


def _q_differences(chosen: list[Point]) -> str:
    compared = [(point, point.q.value - point.published_q) for point in chosen if point.published_q is not None]
    far = [(point.circuit, off) for point, off in compared if abs(off) > Q_DIFFERENCE]
    if not far:
        return f"All published mean Q for {_layers(chosen[0].n_layers)} agree within {Q_DIFFERENCE}." if compared else ""
    offs = sorted((off for _, off in far), key=abs)
    return (
        f"The published mean Q for {_layers(chosen[0].n_layers)} are not found for {_circuits(n for n, _ in far)}: "
        f"ours differ by {offs[0]:+.2f} to {offs[-1]:+.2f}."
    )


def _published_floor(ground: Floor) -> str:
    """The published values that lie at the floor, of all numbers of layers."""
    found = {
        layers: [number for number, value in enumerate(values, 1) if value <= ground.score.high]
        for layers, values in published.SIM_KL.items()
    }
    places = [f"{_circuits(numbers)} ({_layers(layers)})" for layers, numbers in found.items() if numbers]
    return f"At the floor lie the published KL of {'; '.join(places)}: their order is no information."


def _controls(circuits: list[Point], ground: Floor) -> list[str]:
    """Whether the means that are known exactly were found."""
    exact = haar_meyer_wallach(circuits[0].n_qubits)
    checks = [
        ("Haar-random states' mean KL", f"{ground.score.value:.5f}", f"{ground.expected:.5f}", ground.sigmas[0]),
        ("their mean Q", f"{ground.q:.4f}", f"{exact:.4f}", ground.sigmas[1]),
    ]
    for point in circuits:
        if (point.circuit, point.n_layers, point.n_qubits) == (2, 1, 4):
            name = f"circuit 2's mean Q (published {point.published_q})"
            checks.append((name, f"{point.q:.4f}", f"159/256 = {ANCHOR:.4f}", (point.q.value - ANCHOR) / _error(point.q)))
    found = [f"{name} is {value}, exactly {exact} ({off:+.1f} standard errors)" for name, value, exact, off in checks]
    wrong = not all(abs(off) <= AGREEMENT for *_, off in checks)
    return [f"Controls: {'; '.join(found)}{': do not trust this run' if wrong else ''}."]


def figure(rows: list[dict]):
    """The divergence of each circuit on a logarithmic scale above the floor, and its mean Q, beside published values."""
    from matplotlib.figure import Figure

    measured = points(rows)
    ground = floor(measured)
    circuits = [point for point in measured if point.circuit != HAAR]
    numbers = sorted({point.circuit for point in circuits})
    places = {number: place for place, number in enumerate(numbers)}
    drawing = Figure(figsize=(8.4, 6.8))
    top, bottom = drawing.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    exact_q = haar_meyer_wallach(circuits[0].n_qubits)
    words = f"floor: Haar-random states, 95 % of runs (mean {ground.score.value:.4f})"
    top.axhspan(max(ground.score.low, 1e-6), ground.score.high, color=NEUTRAL, alpha=0.2, lw=0, label=words)
    bottom.axhline(exact_q, color=NEUTRAL, lw=1.2, label=f"Haar-random states' mean Q: {exact_q:.4f}")
    depths = sorted({point.n_layers for point in circuits})
    for series, layers in enumerate(depths):
        chosen = [point for point in circuits if point.n_layers == layers]
        _series(top, bottom, series, chosen, [places[point.circuit] for point in chosen], len(depths))
    top.set(title=_title(circuits, ground), yscale="log", ylabel="KL divergence from Haar")
    bottom.set(xlabel="circuit", ylabel="mean Q", xticks=range(len(numbers)), xticklabels=numbers, ylim=(-0.05, 1.05))
    handles, labels = top.get_legend_handles_labels()
    line, text = bottom.get_legend_handles_labels()
    drawing.legend([*handles, line[0]], [*labels, text[0]], loc="outside lower center", ncols=2, fontsize=10)
    return drawing


def _series(top, bottom, series: int, chosen: list[Point], places: list[int], n_series: int) -> None:
    """One number of layers: measured values with intervals, published ones as open markers beside them."""
    at = np.array(places) + 0.2 * (series - (n_series - 1) / 2)
    look = {"color": COLOURS[series], "marker": MARKERS[series], "ls": "", "ms": 7, "mfc": "none", "zorder": 2}
    for axes, ours, theirs in ((top, "kl", "published_kl"), (bottom, "q", "published_q")):
        errorbars(axes, series, at, [getattr(p, ours) for p in chosen], label=f"{_layers(chosen[0].n_layers)}, measured")
        values = np.array([getattr(p, theirs) for p in chosen], float)  # None becomes NaN, which is not drawn
        if np.isfinite(values).any():
            axes.plot(at + 0.22, values, label=f"{_layers(chosen[0].n_layers)}, published", **look)


def _title(circuits: list[Point], ground: Floor) -> str:
    compared = [point for point in circuits if point.agrees is not None]
    if not compared:
        same = sum(point.kl.value <= ground.score.high for point in circuits)
        return f"{same} of {len(circuits)} circuits cannot be told from Haar-random states"
    words = f"{sum(point.agrees for point in compared)} of {len(compared)} published divergences within {RELATIVE:.0%}"
    return words + (", all within chance" if max(abs(point.sigmas) for point in compared) <= LIKELY else "")
