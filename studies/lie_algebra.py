"""Does a circuit's dynamical Lie algebra predict the variance of its loss?

Source: Ragone et al., Nat. Commun. 15, 7172 (2024), arXiv:2309.09342; Diaz et al., arXiv:2310.11505; dimensions of
Wiersema et al., npj Quantum Inf. 10, 110 (2024), arXiv:2309.05690, and of the papers named in studies/lie/families.py.

Expected: the variance of <Z0> in deep matchgate circuits, whose algebra is so(2n), is 1 / (2n - 1); that of <Z0 Z1>, which
is not in the algebra, is C(n, 2) / C(2n, 4). Every computed dimension is the published one.

Control: the same circuits with a rotation about X on every qubit, whose algebra is su(2^n): 1 / (2^n + 1).

Minutes: 0.5 with --quick, 1.5 in full, on one core.

The circuit: from |0...0>, layers of RXX on neighbours of the open line and RZ on every qubit (in the control RX too), each
rotation with an angle of its own, uniform on the circle. Every observable here is one Pauli string that some generator
anticommutes with, so its mean over the angles is zero exactly and its variance is its mean square.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from circuits.errors import LabError
from studies.drawing import COLOURS, MARKERS, errorbars
from studies.statistics import Slope, Variance, log_slope, mean_square, normal_quantile

WORDS = {"matchgate": ("XX", "Z"), "universal": ("XX", "Z", "X")}
OBSERVABLES = {"matchgate": ("Z", "ZZ"), "universal": ("Z",)}  # on the first qubits
CHUNK = 512  # samples in a case
DEEP_ENOUGH = 0.01  # how far the exact variance at finite depth may be from the law's
CLOSE = 0.05  # how far a measured variance may be from the law's
AGREEMENT = 4.0  # standard errors: chance exceeds it once in a thousand runs


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        chain_qubits: sizes of the chains whose generators are placed individually.
        largest_sum: the largest size at which summed generators are closed; some families end earlier.
        qubits: the sizes n at which variances are measured, at least two different ones.
        depth_factor: layers per qubit.
        samples: random circuits for each size and arm.
        seed: of every draw.
    """

    chain_qubits: tuple[int, ...] = (3, 4, 5, 6, 7, 8)
    largest_sum: int = 9
    qubits: tuple[int, ...] = (4, 6, 8, 10)
    depth_factor: int = 20
    samples: int = 16384
    seed: int = 2309

    @classmethod
    def quick(cls) -> "Settings":
        """Smaller algebras and fewer samples of the same circuits."""
        return cls(chain_qubits=(3, 4, 5, 6), largest_sum=6, samples=1024)

    def __post_init__(self):
        for name, least, most, count in (("chain_qubits", 3, 9, 1), ("qubits", 3, 10, 2)):
            sizes = getattr(self, name)
            if len(set(sizes)) < max(count, len(sizes)) or min(sizes) < least or max(sizes) > most:
                raise LabError(
                    f"setting {name} must be at least {count} different numbers from {least} to {most}, such as "
                    f"{name}=4,6,8, got {','.join(map(str, sizes)) or 'nothing'}"
                )
        for name, least, most in (("largest_sum", 3, 9), ("depth_factor", 1, 200), ("samples", 32, 10**7)):
            if not least <= getattr(self, name) <= most:
                raise LabError(f"setting {name} must be from {least} to {most}, got {getattr(self, name)}")
        if self.seed < 0:
            raise LabError(f"setting seed must be at least 0, got {self.seed}")


def cases(settings: Settings) -> list[dict]:
    """A case for each family, for each arm and size, and for each chunk of samples of those."""
    from studies.lie.families import CHAINS, SUMS

    circuits = [{"arm": arm, "n_qubits": n, "n_layers": settings.depth_factor * n} for arm in WORDS for n in settings.qubits]
    chains = [{"part": "chain", "family": name, "qubits": list(settings.chain_qubits)} for name in CHAINS]
    sizes = {name: [n for n in family.sizes if n <= settings.largest_sum] for name, family in SUMS.items()}
    sums = [{"part": "sum", "family": name, "qubits": mine} for name, mine in sizes.items()]
    measured = [
        {
            **{"part": "measured", **circuit, "seed": settings.seed},
            **{"first_sample": first, "samples": min(CHUNK, settings.samples - first)},
        }
        for circuit in circuits
        for first in range(0, settings.samples, CHUNK)
    ]
    return [*chains, *sums, *({"part": "law", **circuit} for circuit in circuits), *measured]


def cost(case: dict) -> float:
    """Gates times amplitudes times samples, and what a case costs whatever its size."""
    if case["part"] in ("chain", "sum"):
        return 1e9
    gates = len(WORDS[case["arm"]]) * case["n_qubits"] * case["n_layers"]
    if case["part"] == "law":  # 15: a string takes longer than an amplitude
        return 1e6 + (15 * gates * 4 ** case["n_qubits"] if case["arm"] == "universal" else 0)
    return 1e5 + gates * 2 ** case["n_qubits"] * case["samples"]


def run(case: dict) -> list[dict]:
    """Algebras of a family; the law's variances; or sums of powers of the sampled expectation values."""
    from studies.lie.comparison import chain_rows, sum_rows

    if case["part"] in ("chain", "sum"):
        return (chain_rows if case["part"] == "chain" else sum_rows)(case["family"], case["qubits"])
    return _law_rows(case) if case["part"] == "law" else _measured_rows(case)


def _law_rows(case: dict) -> list[dict]:
    """The variance by the law, and by the exact average at this depth."""
    from qiskit.quantum_info import SparsePauliOp

    from studies.lie.depth import variance_at_depth
    from studies.lie.ideals import Algebra
    from studies.lie.prediction import loss_variance, matchgate_variance
    from studies.lie.strings import Strings

    arm, n = case["arm"], case["n_qubits"]
    layer = Strings.of(_generators(arm, n))
    algebra, rows = Algebra.of(layer), []
    for word in OBSERVABLES[arm]:
        label = word.rjust(n, "I")
        law = loss_variance(algebra, SparsePauliOp(label)) if word == "Z" else matchgate_variance(n, len(word))
        exact = variance_at_depth(layer, Strings.of([label]), case["n_layers"])
        rows.append({"observable": word, "dimension": algebra.dimension, "law": law, "exact": exact})
    return rows


def _measured_rows(case: dict) -> list[dict]:
    compiled, n_angles = _compiled(case["arm"], case["n_qubits"], case["n_layers"])
    key = (list(WORDS).index(case["arm"]), case["n_qubits"], case["n_layers"])
    samples = range(case["first_sample"], case["first_sample"] + case["samples"])
    draws = [np.random.default_rng(np.random.SeedSequence(case["seed"], spawn_key=(*key, sample))) for sample in samples]
    angles = np.stack([draw.uniform(0, 2 * math.pi, n_angles) for draw in draws])
    values = compiled.expectations(np.empty((len(angles), 0)), angles).T
    return [
        {"observable": word, "squares": float((of_one**2).sum()), "fourths": float((of_one**4).sum())}
        for word, of_one in zip(OBSERVABLES[case["arm"]], values)
    ]


def _generators(arm: str, n_qubits: int) -> list[str]:
    """Of a layer's rotations, in the order in which they act."""
    from studies.lie.families import chain

    return [label for word in WORDS[arm] for label in chain(word, n_qubits)]


@lru_cache(maxsize=2)
def _compiled(arm: str, n_qubits: int, n_layers: int) -> tuple:
    """The circuit on the native backend, and how many angles it takes."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit.quantum_info import SparsePauliOp

    from circuits.lowering import lower
    from qml.backends.base import resolve

    labels = _generators(arm, n_qubits)
    circuit = QuantumCircuit(n_qubits)
    angles = iter(ParameterVector("w", len(labels) * n_layers))
    for _ in range(n_layers):
        for label in labels:
            qubits = [q for q, letter in enumerate(reversed(label)) if letter != "I"]
            gate = f"r{label.replace('I', '').lower()}"
            getattr(circuit, gate)(next(angles), *qubits)
    observables = [SparsePauliOp(word.rjust(n_qubits, "I")) for word in OBSERVABLES[arm]]
    return resolve("native").compile(lower(circuit), observables), len(labels) * n_layers


@dataclass(frozen=True)
class Point:
    """The variance measured of one observable at one size, and what it is held against.

    Attributes:
        law: the variance in a deep circuit.
        exact: the variance at this very depth.
    """

    arm: str
    observable: str
    n_qubits: int
    n_layers: int
    measured: Variance
    law: float
    exact: float

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return float(self.measured.value) / self.law


def points(rows: list[dict]) -> list[Point]:
    """One point for each arm, observable and size."""
    laws, sums = {}, {}
    for row in rows:
        if row["part"] in ("law", "measured"):
            key = (row["arm"], row["observable"], row["n_qubits"], row["n_layers"])
            if row["part"] == "law":
                laws[key] = (row["law"], row["exact"])
            else:
                sums[key] = sums.get(key, 0) + np.array([row["squares"], row["fourths"], row["samples"]])
    return [Point(*key, mean_square(*sums[key][:2], int(sums[key][2])), *laws[key]) for key in sorted(sums)]


def table(rows: list[dict]) -> list[dict]:
    """The variances with their 95 % intervals beside the law, then the dimensions of every family."""
    from studies.lie.comparison import compared

    lines = [
        {
            "what": f"variance of <{point.observable}>, {point.arm}",
            "n": str(point.n_qubits),
            "found": f"{point.measured.value:.4g} [{point.measured.low:.4g}, {point.measured.high:.4g}]",
            "theory": f"{point.law:.4g}",
            "agrees": f"{abs(float(point.measured.sigmas(point.law))):.1f} sigma",
        }
        for point in points(rows)
    ]
    for one in compared(rows):
        lines.append(
            {
                "what": f"dimension, {one.name}",
                "n": f"{one.sizes[0]}-{one.sizes[-1]}",
                "found": ", ".join(map(str, one.dimensions)),
                "theory": one.formula,
                "agrees": ("yes" if one.agrees else "NO") if one.known else "no formula",
            }
        )
    return lines


@dataclass(frozen=True)
class Finding:
    """What the points amount to.

    Attributes:
        power, power_law: d ln(variance) / d ln(n) of <Z0> of matchgates, measured and of the law at the same sizes.
        falls, falls_law: d ln(variance) / d n of the control's, measured and of the law.
        ratio: measured over law with its 95 % interval, over all points of <Z0>, whose samples are independent.
        furthest_ratio: the measured variance over the law's where it is furthest from 1, and `furthest` in standard errors.
        excess: the largest relative difference between the exact variance at this depth and the law's.
    """

    power: Slope
    power_law: Slope
    falls: Slope
    falls_law: Slope
    ratio: tuple[float, float, float]
    furthest_ratio: float
    furthest: float
    excess: float
    depth_factor: int


def finding(measured: list[Point]) -> Finding:
    """The law held against the points, by size and all together."""

    def slope(arm: str, abscissa, law: bool) -> Slope:
        chosen = [point for point in measured if (point.arm, point.observable) == (arm, "Z")]
        values = [point.law if law else point.measured.value for point in chosen]
        return log_slope([abscissa(point.n_qubits) for point in chosen], values, [p.measured.log_error for p in chosen])

    single = [point for point in measured if point.observable == "Z"]
    weights = np.array([float(point.measured.log_error) ** -2 for point in single])
    mean = weights @ np.log([point.ratio for point in single]) / weights.sum()
    half = normal_quantile(0.95) / math.sqrt(weights.sum())
    return Finding(
        slope("matchgate", math.log, False),
        slope("matchgate", math.log, True),
        slope("universal", float, False),
        slope("universal", float, True),
        tuple(math.exp(mean + sign * half) for sign in (0, -1, 1)),
        max((point.ratio for point in measured), key=lambda ratio: abs(math.log(ratio))),
        max(abs(float(point.measured.sigmas(point.law))) for point in measured),
        max(abs(point.exact / point.law - 1) for point in measured),
        measured[0].n_layers // measured[0].n_qubits,
    )


def verdict(rows: list[dict]) -> str:
    """Whether the law holds, how the variance falls in either arm, and whether the dimensions are the published ones."""
    found = finding(points(rows))
    return " ".join([_answer(found), _scaling(found), _depth(found), _dimensions(rows)])


def _agrees(found: Finding) -> bool:
    return found.furthest <= AGREEMENT and abs(found.ratio[0] - 1) <= CLOSE


def _answer(found: Finding) -> str:
    value, low, high = found.ratio
    over = (
        f"the measured variance over the predicted one is {value:.3f} [{low:.3f}, {high:.3f}] (95 %) over all points of <Z0>"
    )
    far = f"{found.furthest_ratio - 1:+.1%} and {found.furthest:.1f} standard errors at most at any point"
    return f"{'Yes' if _agrees(found) else 'Not shown'}: {over}; off by {far}."


def _scaling(found: Finding) -> str:
    def beside(slope: Slope, law: Slope) -> str:
        inside = slope.low <= law.value <= slope.high
        return f"{slope} (the law at these sizes: {law.value:.3f}, {'inside' if inside else 'outside'})"

    return (
        f"With the algebra so(2n) of matchgates it goes like n to the power {beside(found.power, found.power_law)}; in the "
        f"control, whose algebra is su(2^n), the slope of its logarithm per qubit is {beside(found.falls, found.falls_law)}."
    )


def _depth(found: Finding) -> str:
    enough = "is enough" if found.excess <= DEEP_ENOUGH else "is NOT enough, raise depth_factor"
    away = f"the exact variance at {found.depth_factor} n layers is up to {found.excess:.2%} from the law's"
    return f"The depth {enough}: {away}."


def _dimensions(rows: list[dict]) -> str:
    from studies.lie.comparison import compared

    records = compared(rows)
    wrong = [one.name for one in records if not one.agrees]
    if wrong:
        return f"NOT found as published: the algebras {'; '.join(wrong)}."
    return f"All {sum(one.known for one in records)} algebras of which a formula was published are found as published."


SHOWN = {  # of the dimensions: a name for the figure, and the formula as a curve
    "LTFIM, open": (r"ZZ, X, Z placed one by one: $4^n-1$", lambda n: 4.0**n - 1),
    "a14, open": (r"TFIM placed one by one: $n(2n-1)$", lambda n: n * (2 * n - 1)),
    "S_n-equivariant": (r"$S_n$-equivariant: $\binom{n+3}{3}-\lfloor n/2\rfloor$", lambda n: _binomial(n) - n // 2),
    "TFIM HVA, closed": (r"TFIM HVA, closed: $3n-1$", lambda n: 3 * n - 1),
}


def _binomial(n: np.ndarray) -> np.ndarray:
    return (n + 3) * (n + 2) * (n + 1) / 6


SERIES = {  # of the variances: number and name in the figure; an algebra has the same colour on both sides
    ("universal", "Z"): (0, r"control, su($2^n$): $\langle Z_0\rangle$"),
    ("matchgate", "Z"): (1, r"matchgates, so($2n$): $\langle Z_0\rangle$"),
    ("matchgate", "ZZ"): (3, r"matchgates: $\langle Z_0Z_1\rangle$, not in so($2n$)"),
}


def figure(rows: list[dict]):
    """On the left dimensions with their formulas, on the right the variances with the law as lines."""
    from matplotlib.figure import Figure

    measured = points(rows)
    drawing = Figure(figsize=(11, 5.2))
    left, right = drawing.subplots(1, 2)
    _draw_dimensions(left, rows)
    _draw_variances(right, measured)
    drawing.suptitle(_title(finding(measured)), x=0.01, ha="left", fontsize=13)
    return drawing


def _draw_dimensions(axes, rows: list[dict]) -> None:
    from matplotlib.ticker import MaxNLocator

    from studies.lie.comparison import compared

    records = {one.name: one for one in compared(rows)}
    for number, (name, (label, formula)) in enumerate(SHOWN.items()):
        one, look = records[name], {"color": COLOURS[number]}
        line = np.linspace(min(one.sizes), max(one.sizes), 100) if name != "S_n-equivariant" else np.array(one.sizes)
        axes.plot(line, formula(line), lw=1.2, **look)
        axes.plot(one.sizes, one.dimensions, MARKERS[number], ms=6, label=label, **look)
    axes.set(yscale="log", xlabel="number of qubits n", ylabel="dimension of the algebra")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Computed dimensions (points) and formulas (lines)", fontsize=11)
    axes.legend(loc="upper left", fontsize=9)


def _draw_variances(axes, measured: list[Point]) -> None:
    sizes = sorted({point.n_qubits for point in measured})
    for (arm, word), (number, label) in SERIES.items():
        mine = [point for point in measured if (point.arm, point.observable) == (arm, word)]
        axes.plot(sizes, [point.law for point in mine], color=COLOURS[number], lw=1.2)
        errorbars(axes, number, np.array(sizes), [point.measured for point in mine], label=label)
    axes.set(yscale="log", xlabel="number of qubits n", ylabel="variance of the loss", xticks=sizes)
    axes.set_title("Measured variances (points, 95 %) and predicted ones (lines)", fontsize=11)
    axes.legend(loc="lower left", fontsize=9)


def _title(found: Finding) -> str:
    if not _agrees(found):
        return "The measured variance of the loss is not the one its Lie algebra predicts"
    return "The Lie algebra's dimension sets the variance of the loss: so(2n) falls like 1/n, su($2^n$) exponentially"
