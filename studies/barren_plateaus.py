"""Does the gradient of a random circuit vanish exponentially with the number of qubits?

Source: McClean, Boixo, Smelyanskiy, Babbush, Neven, Nat. Commun. 9, 4812 (2018), arXiv:1803.11173, Fig. 3.

Expected: the variance of the first parameter's derivative of <Z0 Z1> is that of a 2-design, 2^n / (3 (4^n - 1)), so it
halves with every qubit (its logarithm has the slope -ln 2 = -0.693), once the depth grows enough with n.

Control: the same circuit without its CZ gates, a separable ansatz. Its variance is 2/27 whatever n is.

Minutes: 0.5 with --quick, 2 in full, on two cores.

The circuit: RY(pi/4) on every qubit, then layers of a rotation about a random axis X, Y or Z on every qubit, by an
angle uniform on the circle, and a CZ ladder on the open line. Every sample draws its own axes and angles.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError
from studies.drawing import NEUTRAL, errorbars
from studies.exact import CONTROL_VARIANCE, LARGEST_EXACT, random_pauli_variance, two_design_variance
from studies.mcclean import ARMS, derivatives
from studies.statistics import Slope, Variance, log_slope, normal_quantile, variance

CHUNK = 64  # samples in a case: a second's work at ten qubits, so a kill loses little
DEEP_ENOUGH = 0.01  # how far the exact variance at finite depth may be from the 2-design's
AGREEMENT = 4.0  # standard errors: chance exceeds it once in a thousand runs
DOUBT = "do not trust this run"


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits: the sizes n, at least two different ones.
        depth_factor: layers per qubit, so that the depth grows with n.
        samples: random circuits for each size, and for each size of the control.
        seed: of every draw.
    """

    qubits: tuple[int, ...] = (2, 4, 6, 8, 10, 12)
    depth_factor: int = 20
    samples: int = 4096
    seed: int = 2018

    @classmethod
    def quick(cls) -> "Settings":
        """The same sizes and depths with fewer samples."""
        return cls(samples=512)

    def __post_init__(self):
        if len(set(self.qubits)) < max(2, len(self.qubits)) or min(self.qubits) < 2:
            raise LabError(
                "setting qubits must be at least two different numbers of at least 2, such as qubits=2,4,6, "
                f"got {','.join(map(str, self.qubits)) or 'nothing'}"
            )
        for name, least in {"depth_factor": 1, "samples": 32, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")
        n, depth = max(self.qubits), self.depth_factor
        if n > 20 or depth > 1000:  # the check costs an import, so only where it may fail
            from qml.backends.base import check_memory

            states, angles = 64 << min(n, 100), 100 * CHUNK * depth * n**2
            check_memory(states + angles, f"{n} qubits and {depth * n} layers")


def cases(settings: Settings) -> list[dict]:
    """One case for each arm, size and chunk of samples."""
    return [
        {
            "arm": arm,
            "n_qubits": n,
            "n_layers": settings.depth_factor * n,
            "first_sample": first,
            "samples": min(CHUNK, settings.samples - first),
            "seed": settings.seed,
        }
        for arm in ARMS
        for n in settings.qubits
        for first in range(0, settings.samples, CHUNK)
    ]


def cost(case: dict) -> float:
    """Gates times amplitudes times samples, and what a case costs whatever its size."""
    return 1e5 + case["n_qubits"] * case["n_layers"] * 2 ** case["n_qubits"] * case["samples"]


def run(case: dict) -> list[dict]:
    """The derivative by the first angle, for each sample of the case."""
    samples = range(case["first_sample"], case["first_sample"] + case["samples"])
    found = derivatives(case["seed"], case["arm"], case["n_qubits"], case["n_layers"], samples)
    return [{"gradients": found[:, 0, 0].tolist()}]


@dataclass(frozen=True)
class Point:
    """The variance measured at one size, and what it is held against.

    Attributes:
        exact: the variance at this very depth, where it is known, else that of infinite depth.
        limit: the variance at infinite depth: a 2-design's, or the control's.
    """

    arm: str
    n_qubits: int
    n_layers: int
    measured: Variance
    exact: float | None
    limit: float


def points(rows: list[dict]) -> list[Point]:
    """One point for each arm and size."""
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["n_qubits"], row["n_layers"]), []).extend(row["gradients"])
    return [_point(*key, np.array(gradients)) for key, gradients in sorted(groups.items())]


def _point(arm: str, n_qubits: int, n_layers: int, gradients: np.ndarray) -> Point:
    limit = two_design_variance(n_qubits) if arm == "random" else CONTROL_VARIANCE
    exact = None if arm == "random" else limit  # beyond: whether the depth is enough for the limit is not known
    if n_qubits <= LARGEST_EXACT:
        exact = random_pauli_variance(n_qubits, n_layers, arm == "random")
    return Point(arm, n_qubits, n_layers, variance(gradients), exact, limit)


def table(rows: list[dict]) -> list[dict]:
    """The variance at each size with its 95 % interval, the exact one, and how far off it is."""
    return [
        {
            "arm": point.arm,
            "n": point.n_qubits,
            "layers": point.n_layers,
            "samples": point.measured.samples,
            "variance": float(point.measured.value),
            "low": float(point.measured.low),
            "high": float(point.measured.high),
            "exact": point.exact,
            "std_errors_off": None if point.exact is None else round(float(point.measured.sigmas(point.exact)), 2),
        }
        for point in points(rows)
    ]


@dataclass(frozen=True)
class Finding:
    """What the points amount to.

    Attributes:
        falls, control, limit: slopes of ln(variance) per qubit: measured, of the control, of 2-designs.
        excess: the largest relative difference between the exact variance at this depth and a 2-design's.
        furthest: the largest deviation of any point from its exact value, in standard errors.
    """

    falls: Slope
    control: Slope
    limit: Slope
    excess: float
    furthest: float
    depth_factor: int
    largest: int


def finding(measured: list[Point]) -> Finding:
    """The slopes of both arms and of 2-designs of the same sizes; depth and points held against theory."""

    def slope(chosen: list[Point], values: list[float]) -> Slope:
        return log_slope([p.n_qubits for p in chosen], values, [p.measured.log_error for p in chosen])

    random, control = ([point for point in measured if point.arm == arm] for arm in ARMS)
    return Finding(
        slope(random, [point.measured.value for point in random]),
        slope(control, [point.measured.value for point in control]),
        slope(random, [point.limit for point in random]),
        max((abs(point.exact / point.limit - 1) for point in random if point.exact is not None), default=0.0),
        max((abs(float(point.measured.sigmas(point.exact))) for point in measured if point.exact is not None), default=0.0),
        random[0].n_layers // random[0].n_qubits,
        max(point.n_qubits for point in random),
    )


def verdict(rows: list[dict]) -> str:
    """Whether the variance falls exponentially, how fast beside a 2-design's, and whether to believe it."""
    found = finding(points(rows))
    return " ".join([_answer(found), *_checks(found)])


def _answer(found: Finding) -> str:
    falls, limit = found.falls, found.limit.value
    contains = "contains" if falls.low <= limit <= falls.high else "does not contain"
    slope = (
        f"the slope of its logarithm is {falls}; this 95 % interval {contains} "
        f"the {limit:.3f} of 2-designs fitted at the same sizes (-0.693 for large n)"
    )
    if falls.high >= 0:
        return f"Not shown: the variance is not seen to fall with the number of qubits; {slope}."
    said = f"the variance falls by a factor {math.exp(-falls.value):.2f} with every qubit; {slope}."
    if falls.low > limit:
        return f"Not shown, it falls slower than 2-designs: {said}"
    return f"Yes{', and faster than 2-designs' * (falls.high < limit)}: {said}"


def _checks(found: Finding) -> list[str]:
    """Three sentences: is the depth enough, do the points agree with exact values, is the control flat."""
    away = f"the exact variance at {found.depth_factor} n layers is up to {found.excess:.2%}"
    beyond = f" (not checked beyond {LARGEST_EXACT} qubits)" if found.largest > LARGEST_EXACT else ""
    deep = "is enough" if found.excess <= DEEP_ENOUGH else "is NOT enough, raise depth_factor"
    off = f"{math.ceil(10 * found.furthest) / 10:.1f} standard errors of the exact value at its depth"
    agrees = (
        f"Every point is within {off}."
        if found.furthest <= AGREEMENT
        else f"A point is not within {math.floor(10 * found.furthest) / 10:.1f}{off[3:]}: {DOUBT}."
    )
    control = found.control
    error = (control.high - control.value) / normal_quantile(0.95)
    off = abs(control.value) / error
    does = "is flat within chance, as it must be" if off <= AGREEMENT else f"has a slope, which it must not: {DOUBT}"
    return [
        f"The depth {deep}: {away} from a 2-design's{beyond}.",
        agrees,
        f"The separable control {does}: slope {control}, {off:.1f} standard errors from zero, of {AGREEMENT:g} that are "
        "let pass.",
    ]


def figure(rows: list[dict]):
    """Both variances against n on a logarithmic scale, and below, how far each is from its exact value."""
    from matplotlib.figure import Figure

    measured = points(rows)
    found = finding(measured)
    sizes = sorted({point.n_qubits for point in measured})
    drawing = Figure(figsize=(7.2, 5.8))
    top, bottom = drawing.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    line, limit = np.linspace(sizes[0], sizes[-1], 200), f"2-design: {found.limit.value:.3f}"
    top.plot(line, [two_design_variance(n) for n in line], color=NEUTRAL, lw=1.2, label=limit)
    labels = (f"random circuit, {found.depth_factor} n layers", "no entanglement")
    for number, (arm, slope) in enumerate(zip(ARMS, (found.falls, found.control))):
        chosen = [point for point in measured if point.arm == arm]
        known = [point for point in chosen if point.exact is not None]
        at, exact = np.array([point.n_qubits for point in known]), [point.exact for point in known]
        top.plot(at, exact, color=NEUTRAL, lw=1.2, ls=":", label=None if number else "exact at this depth")
        everywhere, values = np.array([point.n_qubits for point in chosen]), [point.measured for point in chosen]
        errorbars(top, number, everywhere, values, label=f"{labels[number]}: {slope}")
        # Side by side below, where both arms would lie on one another.
        if known:
            errorbars(bottom, number, at + (-0.07, 0.07)[number], [point.measured for point in known], units=exact)
    ylabel = r"variance of $\partial\langle Z_0Z_1\rangle/\partial\theta_{1,1}$"
    top.set(title=_title(found), yscale="log", ylabel=ylabel)
    top.legend(loc="lower left", title="slope of ln(variance) per qubit, 95 % intervals", alignment="left")
    bottom.axhline(1, color=NEUTRAL, lw=1.2)
    bottom.set(xlabel="number of qubits n", ylabel="measured / exact", xticks=sizes)
    return drawing


def _title(found: Finding) -> str:
    if found.falls.high >= 0:
        return "No fall of the gradient's variance is seen at these sizes"
    factor = math.exp(-found.falls.value)
    words = "halves" if 1.95 <= factor <= 2.05 else f"falls {factor:.2f}-fold"
    if found.excess > DEEP_ENOUGH:
        return f"Too shallow: the gradient's variance falls {factor:.2f}-fold a qubit"
    return f"The gradient's variance {words} with every qubit"
