"""How deep may a circuit of up to 1,000 qubits be before its gradients cannot be seen?

Source: Cerezo, Sone, Volkoff, Cincio, Coles, Nat. Commun. 12, 1791 (2021): a local cost keeps gradients up to a depth of
about log n; Letcher, Woerner, Zoufal, Quantum 8, 1484 (2024): the light cone decides, at any size.

Expected: at a fixed depth the largest and the median variance of the gradient components in the light cone do not depend
on n once it is narrower than the circuit; at a depth of log2 n they fall like a power of n; at a depth of sqrt n faster than
that. The light cone alone says that at L layers the largest is at least 4^-L: a constant at fixed depth, about 1 / n^2 at
log2 n.

Control: the string Z on every qubit, a global observable, at 2 layers and small n: its variance falls exponentially.

Minutes: 0.3 with --quick, 1 in full, on two cores.

The circuit: layers of RY and RZ on every qubit and a CZ line; the observable: Z Z on the middle pair. Angles are uniform. No
state vector: all variances are those of Pauli walks. One over the variance is about the number of shots that a derivative
needs to be told from zero.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError, UnknownName
from studies.decay import Decay, decay
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.landscape import gradient_variance

DEPTHS = {
    "fixed": lambda n: 5,
    "log": lambda n: math.ceil(math.log2(n)),
    "root": lambda n: math.ceil(math.sqrt(n)),
    "global": lambda n: 2,
}
LABELS = {
    "fixed": "5 layers",
    "log": r"$\log_2 n$ layers",
    "root": r"$\sqrt{n}$ layers",
    "global": "2 layers, Z on all qubits",
}
SHOTS = 1e6  # a derivative that needs more of them is called out of reach
CERTAIN = 1e-12  # relative errors below it are rounding
LOWEST = 1e-8  # variance at which the figure ends: the bound at sqrt n layers goes on


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits: the sizes n. control_qubits: those of the global observable. arms: laws of the depth, and the control.
        relative_error: of the median component. walks: at most. seed: of every draw.
    """

    qubits: tuple[int, ...] = (50, 100, 200, 400, 1000)
    control_qubits: tuple[int, ...] = (4, 6, 8, 10, 12)
    arms: tuple[str, ...] = tuple(DEPTHS)
    relative_error: float = 0.02
    walks: int = 1 << 25
    seed: int = 1484

    @classmethod
    def quick(cls) -> "Settings":
        """Three sizes, fewer walks."""
        return cls(qubits=(50, 200, 1000), control_qubits=(4, 6, 8), arms=("fixed", "log", "global"), walks=1 << 22)

    def __post_init__(self):
        for arm in self.arms:
            if arm not in DEPTHS:
                raise UnknownName("arm", arm, DEPTHS)
        if not self.arms:
            raise LabError(f"setting arms takes some of {', '.join(DEPTHS)}, got nothing")
        for name, sizes in (("qubits", self.qubits), ("control_qubits", self.control_qubits)):
            if not sizes or min(sizes) < 4 or max(sizes) > 5000:
                raise LabError(f"setting {name} takes numbers from 4 to 5000, got {','.join(map(str, sizes)) or 'nothing'}")
        if not 0 < self.relative_error < 1 or self.walks < 1 or self.seed < 0:
            raise LabError("setting relative_error lies between 0 and 1, walks is at least 1 and seed at least 0")


def cases(settings: Settings) -> list[dict]:
    """One case for each arm and size."""
    shared = {"relative_error": settings.relative_error, "walks": settings.walks, "seed": settings.seed}
    return [
        {"arm": arm, "n_qubits": n, "n_layers": DEPTHS[arm](n), **shared}
        for arm in DEPTHS
        if arm in settings.arms
        for n in sorted(set(settings.control_qubits if arm == "global" else settings.qubits))
    ]


def cost(case: dict) -> float:
    """Gates times the depth, which the light cone grows with."""
    return float(case["n_qubits"] * case["n_layers"] + 20 * case["n_layers"] ** 3)


def run(case: dict) -> list[dict]:
    """The variances of all components at one size that are not zero at all angles: the largest and the median."""
    from circuits.ansatze import cz_line
    from circuits.observables import middle_pair, z_string

    n, depth = case["n_qubits"], case["n_layers"]
    observable = z_string(n) if case["arm"] == "global" else middle_pair(n)
    found = gradient_variance(
        cz_line(n, depth), observable, case["walks"], case["seed"], method="pauli_walk",
        relative_error=case["relative_error"],
    )  # fmt: skip
    value, seen = found.gradient.value, found.measured
    unseen = (~seen) & (found.gradient.high > 0)
    best, middle = int(np.argmax(value)), _middle(value, seen, unseen)
    return [
        {
            "parameters": len(value),
            "seen": int(seen.sum()),
            "unseen": int(unseen.sum()),
            "largest": float(value[best]) if seen.any() else None,
            "largest_error": float(found.gradient.log_error[best]) if seen.any() else None,
            "median": float(value[middle]) if middle is not None else None,
            "median_error": float(found.gradient.log_error[middle]) if middle is not None else None,
            "below": float(found.gradient.high.max()),
            "walks_made": int(found.gradient.samples),
        }
    ]


def _middle(value: np.ndarray, seen: np.ndarray, unseen: np.ndarray) -> int | None:
    """Which component is the median one, those unseen being the smallest; None where that one is unseen."""
    order = [*np.flatnonzero(unseen), *np.flatnonzero(seen)[np.argsort(value[seen])]]
    middle = order[len(order) // 2] if order else None
    return int(middle) if middle is not None and seen[middle] else None


def table(rows: list[dict]) -> list[dict]:
    """Variances at each size, how many derivatives they are of, and the shots that the median one needs."""
    return [
        {
            "arm": row["arm"],
            "n": row["n_qubits"],
            "layers": row["n_layers"],
            "parameters": row["parameters"],
            "measured": row["seen"],
            "too_small_to_measure": row["unseen"],
            "largest": row["largest"],
            "largest_at_least": bound(row),
            "median": row["median"],
            "relative_error": row["median_error"],
            "shots_for_median": round(1 / row["median"]) if row["median"] else None,
            "all_are_below": row["below"] if row["median"] is None else None,
        }
        for row in _sorted(rows)
    ]


def bound(row: dict) -> float | None:
    """Which the largest variance is never below: of all walks the one that never turns has the share 4^-L.

    Z Z on two neighbours passes every CZ and RZ, meets two RY a layer, and its expectation value is 1 at the end:
    `studies.light_cone.cone_bound`. For Z on all qubits it meets n a layer and the bound says little.
    """
    return 4.0 ** -row["n_layers"] if row["arm"] != "global" else None


def _sorted(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (list(DEPTHS).index(row["arm"]), row["n_qubits"]))


def _of(rows: list[dict], arm: str) -> list[dict]:
    return [row for row in _sorted(rows) if row["arm"] == arm]


def verdict(rows: list[dict]) -> str:
    """For each arm, how the variance changes with the size, and whether a derivative can be seen at the largest one."""
    return " ".join([*(_sentence(arm, chosen) for arm in DEPTHS if (chosen := _of(rows, arm))), _bounds(rows)]).strip()


def _bounds(rows: list[dict]) -> str:
    ratios = {(row["arm"], row["n_qubits"]): row["largest"] / bound(row) for row in rows if row["largest"] and bound(row)}
    bad = [n for (_, n), ratio in ratios.items() if ratio < 1 - 1e-9]
    if bad:
        sizes = ", ".join(map(str, bad))
        return f"The largest variance lies BELOW the light cone's bound at {sizes} qubits: do not trust this run."
    if not ratios:
        return ""
    least = min(ratios.values())
    return f"The largest variance is never below the light cone's bound 4^-L, and at least {least:.3g} times it."


def _sentence(arm: str, chosen: list[dict]) -> str:
    name = {"fixed": "5 layers", "log": "Log2 n layers", "root": "Sqrt n layers", "global": "Z on all qubits, 2 layers"}[arm]
    last = chosen[-1]
    seen = [row for row in chosen if row["median"] is not None]
    if arm == "global" and (law := _decay(seen)):
        falls = law.law == "exponential" and law.exponential.high < 0
        control = "as the control must" if falls else "which the control must not: do not trust this run"
        return f"{name}: the median variance {law}, {control}."
    if not seen:
        return f"{name}: no component was seen at any size; at {last['n_qubits']} qubits all stay below {last['below']:.2g}."
    if last["median"] is None:
        return (
            f"{name}: seen up to {seen[-1]['n_qubits']} qubits; at {last['n_qubits']} all variances stay below "
            f"{last['below']:.2g}."
        )
    reach = "in reach of" if 1 / last["median"] <= SHOTS else "beyond"
    needed = float(f"{1 / last['median']:.2g}")
    end = f"at {last['n_qubits']} qubits the median derivative needs {needed:,.0f} shots, {reach} {SHOTS:,.0f}"
    return f"{name}: {_law(seen)}; {end}."


def _law(seen: list[dict]) -> str:
    """How the median variance of the components in the light cone changes with the size."""
    values, errors = [row["median"] for row in seen], [_error(row) for row in seen]
    if len(values) > 1 and math.log(max(values) / min(values)) <= 4 * math.hypot(*sorted(errors)[-2:]) + 1e-9:
        return f"the median variance in the light cone is {values[-1]:.3g} at every size"
    law = _decay(seen)
    if law is None:
        points = ", ".join(f"{row['median']:.3g} at {row['n_qubits']} qubits" for row in seen)
        return f"the median variance in the light cone is {points}"
    return f"the median variance in the light cone {law}"


def _decay(seen: list[dict]) -> Decay | None:
    """The law that the median follows; three sizes are needed."""
    if len(seen) < 3:
        return None
    return decay(*([row[key] for row in seen] for key in ("n_qubits", "median")), [_error(row) for row in seen])


def _title(rows: list[dict]) -> str:
    fixed = [row["median"] for row in _of(rows, "fixed")]
    if len(fixed) > 1 and None not in fixed and max(fixed) < 1.05 * min(fixed):
        return "For a local observable the depth decides, not the number of qubits"
    return f"Variances of derivatives at up to {max(row['n_qubits'] for row in rows)} qubits"


def _error(row: dict) -> float:
    return max(row["median_error"], CERTAIN)


def figure(rows: list[dict]):
    """Median and largest variance against the number of qubits, for each law of the depth."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7.6, 6.2))
    axes = drawing.subplots()
    for number, arm in enumerate(arm for arm in DEPTHS if _of(rows, arm)):
        chosen = [row for row in _of(rows, arm) if row["median"] is not None]
        hidden = [row for row in _of(rows, arm) if row["median"] is None]
        look = {"color": COLOURS[number], "marker": MARKERS[number]}
        if chosen:
            at = [row["n_qubits"] for row in chosen]
            axes.plot(at, [row["largest"] for row in chosen], ls="--", lw=0.8, mfc="none", **look)
        if arm != "global":
            every, thin = _of(rows, arm), {"ls": ":", "lw": 1.4, "color": COLOURS[number]}
            axes.plot([row["n_qubits"] for row in every], [bound(row) for row in every], **thin)
        axes.plot([row["n_qubits"] for row in chosen], [row["median"] for row in chosen], label=LABELS[arm], **look)
        for row in hidden:
            axes.annotate(
                "", (row["n_qubits"], row["below"] / 8), (row["n_qubits"], row["below"]),
                arrowprops={"arrowstyle": "->", "color": COLOURS[number]},
            )  # fmt: skip
    axes.axhline(1 / SHOTS, color=NEUTRAL, lw=1)
    axes.annotate("a million shots", (0.01, 1 / SHOTS), xycoords=("axes fraction", "data"), va="bottom", fontsize=9)
    axes.set(xscale="log", yscale="log", xlabel="number of qubits", ylabel="variance of a derivative")
    axes.set_ylim(bottom=LOWEST)
    axes.set_title(_title(rows))
    for style, marker, label in (("--", "o", "largest"), (":", None, r"light-cone bound on the largest, $4^{-L}$")):
        axes.plot([], [], ls=style, marker=marker, mfc="none", color=NEUTRAL, label=label)
    drawing.legend(title="Median variance, and beside it", loc="outside lower center", ncols=2, fontsize=10)
    return drawing
