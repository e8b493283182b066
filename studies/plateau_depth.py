"""How deep must a random circuit be before its gradients are those of a 2-design?

Source: McClean, Boixo, Smelyanskiy, Babbush, Neven, Nat. Commun. 9, 4812 (2018), arXiv:1803.11173, Fig. 4.

Expected: the variance falls with the number of layers towards 2^n / (3 (4^n - 1)) for the first angle, and in the middle of
the circuit to 4^n / (2 (4^n - 1) (2^n + 1)); the depth at which it arrives grows with the number of qubits. At 10 n layers
it is still some per cent above.

Control: the exact variance at each depth, from a recursion over Pauli strings that shares nothing with the state vectors.

Minutes: 0.3 with --quick, 1 in full, on two cores.

The circuit and the observable are those of `barren_plateaus`.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.exact import LARGEST_EXACT, middle_variance, random_pauli_variance, random_pauli_variances, two_design_variance
from studies.mcclean import derivatives
from studies.statistics import Variance, variance

CHUNK = 64  # samples in a case
ARRIVED = 0.1  # how far from a 2-design's variance counts as having arrived
AGREEMENT = 4.0  # standard errors, for one point; more for many
FACTORS = (10, 20)  # layers per qubit that are looked at in words
LEAST_MIDDLE = 3  # layers before there is a middle


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits: the sizes n. depths: numbers of layers. samples: random circuits for each point. seed: of every draw.
    """

    qubits: tuple[int, ...] = (2, 4, 6, 8, 10)
    depths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 200)
    samples: int = 1024
    seed: int = 1803

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer sizes and samples."""
        return cls(qubits=(2, 4, 6), samples=512)

    def __post_init__(self):
        if not self.qubits or min(self.qubits) < 2 or max(self.qubits) > LARGEST_EXACT:
            raise LabError(f"setting qubits takes numbers from 2 to {LARGEST_EXACT}, got {_shown(self.qubits)}")
        if not self.depths or min(self.depths) < 1 or max(self.depths) > 5000:
            raise LabError(f"setting depths takes numbers from 1 to 5000, got {_shown(self.depths)}")
        for name, least in {"samples": 32, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")


def _shown(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "nothing"


def cases(settings: Settings) -> list[dict]:
    """One case for each size, depth and chunk of samples."""
    return [
        {
            "n_qubits": n,
            "n_layers": depth,
            "first_sample": first,
            "samples": min(CHUNK, settings.samples - first),
            "seed": settings.seed,
        }
        for n in sorted(set(settings.qubits))
        for depth in sorted(set(settings.depths))
        for first in range(0, settings.samples, CHUNK)
    ]


def cost(case: dict) -> float:
    """Gates times amplitudes times samples, and what a case costs whatever its size."""
    return 1e5 + case["n_qubits"] * case["n_layers"] * 2 ** case["n_qubits"] * case["samples"]


def run(case: dict) -> list[dict]:
    """The derivatives by the first angle and by one in the middle, and the mean square of those by all angles."""
    samples = range(case["first_sample"], case["first_sample"] + case["samples"])
    found = derivatives(case["seed"], "random", case["n_qubits"], case["n_layers"], samples)
    middle = found[:, case["n_layers"] // 2, case["n_qubits"] // 2]
    return [{"first": found[:, 0, 0].tolist(), "middle": middle.tolist(), "mean_square": float(np.square(found).mean())}]


@dataclass(frozen=True)
class Point:
    """What was measured at one size and depth, and the exact variance of the first angle's derivative there."""

    n_qubits: int
    n_layers: int
    first: Variance
    middle: Variance
    mean: float
    exact: float


def points(rows: list[dict]) -> list[Point]:
    """One point for each size and depth, in this order."""
    groups: dict[tuple[int, int], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["n_qubits"], row["n_layers"]), []).append(row)
    return [_point(*key, group) for key, group in sorted(groups.items())]


def _point(n_qubits: int, n_layers: int, rows: list[dict]) -> Point:
    first, middle = (variance(np.concatenate([row[name] for row in rows])) for name in ("first", "middle"))
    mean = float(np.average([row["mean_square"] for row in rows], weights=[row["samples"] for row in rows]))
    return Point(n_qubits, n_layers, first, middle, mean, random_pauli_variance(n_qubits, n_layers))


def table(rows: list[dict]) -> list[dict]:
    """For each size and depth: the first angle's variance, the exact one, a 2-design's, and the middle's beside its own."""
    return [
        {
            "n": point.n_qubits,
            "layers": point.n_layers,
            "first": float(point.first.value),
            "low": float(point.first.low),
            "high": float(point.first.high),
            "exact": point.exact,
            "above_2_design": f"{point.exact / two_design_variance(point.n_qubits) - 1:+.1%}",
            "std_errors_off": _sigmas(point),
            "middle": float(point.middle.value),
            "middle_2_design": middle_variance(point.n_qubits),
            "all_angles": point.mean,
        }
        for point in points(rows)
    ]


def _sigmas(point: Point) -> float | None:
    if not point.first.value or not point.exact:  # at one layer the first angle may do nothing
        return None
    return round(float(point.first.sigmas(point.exact)), 2)


def arrival(n_qubits: int) -> int:
    """Layers from which on the exact variance is within `ARRIVED` of a 2-design's."""
    off = np.abs(random_pauli_variances(n_qubits, 20 * n_qubits) / two_design_variance(n_qubits) - 1)
    return int(np.flatnonzero(off > ARRIVED)[-1]) + 2


def verdict(rows: list[dict]) -> str:
    """From which depth on the variance is a 2-design's, what is missing at 10 n layers, and whether points are exact."""
    measured = points(rows)
    sizes = sorted({point.n_qubits for point in measured})
    depths = ", ".join(f"{arrival(n)} layers at {n}" for n in sizes)
    words = [f"The first angle's variance comes within {ARRIVED:.0%} of a 2-design's from {depths} qubits on."]
    for factor in FACTORS:
        off = [random_pauli_variances(n, 20 * n)[factor * n - 1] / two_design_variance(n) - 1 for n in sizes]
        words.append(f"At {factor} n layers it is {min(off):.2%} to {max(off):.2%} above.")
    return " ".join([*words, _middle(measured), _agreement(measured)])


def _middle(measured: list[Point]) -> str:
    deep = [p for p in measured if p.n_layers >= 20 * p.n_qubits]
    if not deep:
        return "No point is as deep as 20 n layers, so the middle of the circuit is not judged."
    ratios = [float(p.middle.value) / middle_variance(p.n_qubits) for p in deep]
    furthest = max(abs(float(p.middle.sigmas(middle_variance(p.n_qubits)))) for p in deep)
    return (
        f"In the middle of circuits of at least 20 n layers it is {min(ratios):.2f} to {max(ratios):.2f} times a "
        f"2-design's, at most {furthest:.1f} standard errors off."
    )


def _agreement(measured: list[Point]) -> str:
    apart = [abs(sigmas) for point in measured if (sigmas := _sigmas(point)) is not None]
    furthest = max(apart, default=0.0)
    if furthest > AGREEMENT + math.log10(max(1, len(apart))) / 2:
        return f"A point is {furthest:.1f} standard errors off its exact value: do not trust this run."
    return f"All {len(apart)} points are within {math.ceil(10 * furthest) / 10:.1f} standard errors of their exact values."


def figure(rows: list[dict]):
    """Variance against depth for every size, on the exact curves, and the 2-design's values they come down to."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7.2, 5.6))
    axes = drawing.subplots()
    measured = points(rows)
    sizes, deepest = sorted({p.n_qubits for p in measured}), max(p.n_layers for p in measured)
    layers = np.arange(1, deepest + 1)
    for number, n in enumerate(sizes):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot(layers, random_pauli_variances(n, deepest), color=colour, lw=1)
        axes.axhline(two_design_variance(n), color=NEUTRAL, lw=0.9, ls=":")
        chosen = [p for p in measured if p.n_qubits == n and p.first.value > 0]
        at, value = [p.n_layers for p in chosen], np.array([float(p.first.value) for p in chosen])
        low, high = (np.array([float(getattr(p.first, end)) for p in chosen]) for end in ("low", "high"))
        axes.errorbar(at, value, [value - low, high - value], fmt=marker, color=colour, ms=5, capsize=2, label=f"n = {n}")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="layers",
        ylabel=r"variance of $\partial\langle Z_0Z_1\rangle/\partial\theta_{1,1}$",
    )
    axes.set_title(f"Gradients become a 2-design's after {arrival(sizes[0])} to {arrival(sizes[-1])} layers")
    drawing.legend(title="points measured, lines exact, dotted: 2-design", loc="outside lower center", ncols=len(sizes))
    return drawing
