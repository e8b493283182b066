"""Are the numbers that tutorials publish on barren plateaus right?

Source: the tutorials and scripts themselves; `studies/audit/` names repository, file and commit of each number.

Expected: no. Some are another quantity than the text says: a standard deviation for a variance (TensorFlow Quantum), a
vector in the observable's place (Paddle Quantum since 2.2), half a circle for the circle and so(2n - 1) for so(2n)
(PennyLane).

Control: every number is recomputed twice, by sampling or a second program and exactly, and numbers of the same sources that
should be right are among the claims. Prints that came from a seed are replayed to the last digit.

Minutes: 0.2 with --quick, 0.6 in full, on two cores.

A number is right when it lies within three standard deviations, of a run of the published size, of the exact value of what
it is said to be; a number from a formula must be equal. The claims were chosen because something looked odd, with
neighbours of theirs: the share that is right is no estimate for tutorials at large.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from circuits.errors import LabError
from studies.audit import entangling, lie_algebras, paddle_quantum, pennylane_plateau, tensorflow_quantum
from studies.drawing import COLOURS, NEUTRAL
from studies.statistics import normal_quantile

FILES = (pennylane_plateau, tensorflow_quantum, paddle_quantum, lie_algebras, entangling)
CLAIMS = {claim.key: (claim, file) for file in FILES for claim in file.CLAIMS}
FAR = 3.0  # standard deviations of a run of the published size
LAST_DIGITS = 1e-12  # relative: what a replay may differ by from its print
DOUBT = "do not trust this run"


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        samples: gradients or states for each number of ours.
        circuits: random circuits for each size of TensorFlow Quantum's plot; 0 leaves this claim, the slowest, out.
        seed: of our draws; replays have the seeds of what they replay.
    """

    samples: int = 40_000
    circuits: int = 2000
    seed: int = 2026

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer samples, without TensorFlow Quantum's plot."""
        return cls(samples=10_000, circuits=0)

    def __post_init__(self):
        for name, least in {"samples": 32, "circuits": 0, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")
        if 0 < self.circuits < 32:
            raise LabError(f"setting circuits must be 0 or at least 32, got {self.circuits}")


def cases(settings: Settings) -> list[dict]:
    """One case for each claim."""
    found = []
    for key, (_, file) in CLAIMS.items():
        samples = settings.circuits if file is tensorflow_quantum else settings.samples
        if samples:
            found.append({"claim": key, "samples": samples, "seed": settings.seed})
    return found


def cost(case: dict) -> float:
    """Relative time: the circuits of TensorFlow Quantum's plot outweigh all else."""
    return 0.04 * case["samples"] if case["claim"] == "tfq-slope" else 1.0


def run(case: dict) -> list[dict]:
    """One row: the claim, and its quantity computed again."""
    claim, file = CLAIMS[case["claim"]]
    found = asdict(file.recompute(claim, case["samples"], case["seed"]))
    if found["published"] is None:
        found["published"] = claim.published
    stated = {key: getattr(claim, key) for key in ("peer", "quantity", "source", "found", "rounding", "mended")}
    return [{**stated, "published_samples": claim.samples, **found}]


def is_right(row: dict) -> bool:
    """Whether the published number is the stated quantity, within a run of its size or its last digit."""
    return abs(row["published"] - row["exact"]) <= FAR * row["spread"] + row["rounding"]


def is_explained(row: dict) -> bool:
    """Whether the published number is what the suspected cause gives."""
    return row["cause"] is not None and abs(row["published"] - row["cause"]) <= FAR * row["cause_spread"]


def agrees(row: dict) -> bool:
    """Whether our sampled number and the exact one agree, five standard errors wide, and a replay with its print."""
    reach = 5 / normal_quantile(0.95) * max(row["high"] - row["value"], row["value"] - row["low"])
    replayed = row["replay"] is None or math.isclose(row["replay"], row["published"], rel_tol=LAST_DIGITS)
    return abs(row["value"] - row["exact"]) <= reach + LAST_DIGITS * abs(row["exact"]) and replayed


def standing(row: dict) -> str:
    """ "right", "wrong", or "was wrong, mended" where its publisher has put it right since."""
    return "right" if is_right(row) else "was wrong, mended" if row["mended"] else "wrong"


def _ordered(rows: list[dict]) -> list[dict]:
    order = list(CLAIMS)
    return sorted(rows, key=lambda row: order.index(row["claim"]))


def table(rows: list[dict]) -> list[dict]:
    """One line for each claim: published, ours with its interval, exact, right or wrong, and why."""
    return [
        {
            "who": row["peer"],
            "quantity": row["quantity"],
            "as": row["found"],
            "published": row["published"],
            "ours": row["value"],
            "low": row["low"],
            "high": row["high"],
            "exact": row["exact"],
            "cause gives": row["cause"],
            "verdict": standing(row),
            "why": row["why"],
        }
        for row in _ordered(rows)
    ]


def verdict(rows: list[dict]) -> str:
    """How many of the published numbers are right, what is wrong with the others, and whether to believe our own."""
    rows = _ordered(rows)
    wrong = [row for row in rows if not is_right(row)]
    count = _count(rows)
    answer = f"Yes, all: {count}." if not wrong else f"Not all: {count}."
    doubtful = [row["claim"] for row in rows if not agrees(row)]
    checked = (
        "Ours, sampled or by a second program, agree with the exact ones within five standard errors, replays with prints."
        if not doubtful
        else f"Our own numbers disagree at {', '.join(doubtful)}: {DOUBT}."
    )
    return " ".join([answer, *_faults(wrong), checked])


def _count(rows: list[dict]) -> str:
    stands = [standing(row) for row in rows]
    mended, wrong = stands.count("was wrong, mended"), stands.count("wrong")
    was, are = ("was", "is") if mended == 1 else ("were", "are")
    once = f", {mended} {was} wrong and {are} mended" if mended else ""
    still = f", {wrong} {'is' if wrong == 1 else 'are'} wrong" if wrong else ""
    return f"{stands.count('right')} of {len(rows)} published numbers are right{once}{still}"


def _faults(wrong: list[dict]) -> list[str]:
    """One sentence for each reason, with the ratios of published to exact."""
    reasons: dict[str, list[dict]] = {}
    for row in wrong:
        reasons.setdefault(row["why"], []).append(row)
    sentences = []
    for why, rows in reasons.items():
        ratios = sorted(row["published"] / row["exact"] for row in rows)
        times = f"{ratios[0]:.2f}" if len(ratios) == 1 else f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        number = f"{len(rows)} numbers are" if len(rows) > 1 else "one number is"
        known = ", which gives the published numbers" if all(map(is_explained, rows)) else ""
        known += "; mended since" if all(row["mended"] for row in rows) else ""
        sentences.append(f"{_names(rows)}: {number} {times} times the exact value ({why}{known}).")
    return sentences


def _names(rows: list[dict]) -> str:
    first = rows[0]["peer"]
    return " ".join(first.split()[:2]) if len({row["peer"] for row in rows}) > 1 else first


def figure(rows: list[dict]):
    """Every published number and ours over the exact one, one claim a line, on a logarithmic axis."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    rows = _ordered(rows)
    drawing = Figure(figsize=(9.6, 1.7 + 0.3 * len(rows)))
    axes = drawing.subplots()
    at = np.arange(len(rows))
    exact = np.array([row["exact"] for row in rows])
    keys = ("published", "value", "low", "high")
    published, value, low, high = (np.array([row[key] for row in rows]) / exact for key in keys)
    band = FAR * np.array([row["spread"] for row in rows]) / np.abs(exact)
    axes.axvline(1, color=NEUTRAL, lw=1)
    look = {"height": 0.6, "color": NEUTRAL, "alpha": 0.15}
    axes.barh(at, 2 * band, left=1 - band, label=f"{FAR:g} standard deviations of such a run", **look)
    ends = [value - np.minimum(low, high), np.maximum(low, high) - value]
    axes.errorbar(value, at, xerr=ends, fmt="|", ms=9, mew=1.6, color=NEUTRAL, label="ours, 95 % interval")
    causes = [(row["cause"] / row["exact"], k) for k, row in enumerate(rows) if row["cause"] is not None]
    if causes:
        name = "exact for what was computed instead"
        axes.plot(*zip(*causes), "D", ms=8, mfc="none", color=COLOURS[3], ls="none", label=name)
    stands = np.array([standing(row) for row in rows])
    looks = {"right": ("o", COLOURS[0]), "wrong": ("X", COLOURS[1]), "was wrong, mended": ("s", COLOURS[2])}
    for name, (marker, colour) in looks.items():
        chosen = stands == name
        if chosen.any():
            look = {"marker": marker, "ms": 7, "color": colour, "ls": "none", "zorder": 4}
            axes.plot(published[chosen], at[chosen], label=f"published, {name}", **look)
    axes.set(xscale="log", yticks=at, yticklabels=[f"{row['peer']}: {row['quantity']}" for row in rows])
    axes.set(xlim=(0.4, 4.6), ylim=(len(rows) - 0.4, -0.6), xlabel="divided by the exact value of the stated quantity")
    axes.xaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.5, 2, 3, 4]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.tick_params(axis="y", labelsize=9.5)
    drawing.legend(loc="outside lower center", ncols=3, fontsize=9.5)
    drawing.suptitle(_count(rows), x=0.01, ha="left", fontsize=13)
    return drawing
