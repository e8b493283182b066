"""Does local noise make gradients vanish exponentially with depth, whatever the circuit does?

Source: Wang, Fontana, Cerezo, Sharma, Sone, Cincio, Coles, Nat. Commun. 12, 6961 (2021), arXiv:2007.14384; for noise
that is not unital, Mele et al., arXiv:2403.13927.

Expected: yes for depolarising noise. A channel that multiplies X, Y and Z by q on every qubit after each of L layers
multiplies every gradient's standard deviation by q^L or less, so the slope of its logarithm is at most ln q per layer. No
for amplitude damping and a local observable: the last layers keep their gradients. Depolarising noise on all qubits at once
multiplies gradients by exactly (1 - p)^L.

Control: the same circuits without noise. Once deep, their gradients do not depend on L.

Minutes: 0.5 with --quick, 1 in full, on two cores.

The bound drawn is derived, not Wang's, whose prefactor sqrt(8 ln 2) N_O n^(1/2) could not be checked: averaged over angles
the squared derivative is a sum over walks of Pauli strings, each of which has at least one letter on its way through each of
the L noise layers, so each term shrinks by q^(2 L) at least and sigma by q^L.

The circuit: layers of RY and RZ on every qubit and a CZ ladder on the open line, the noise behind each; the observable is
Z0 Z1, angles are uniform on the circle. Variances under depolarising noise come from Pauli walks, exact up to eight qubits;
density matrices check them, and are the only road to amplitude damping.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.noisy_circuits import EXACT, angles, ansatz, noisy_ansatz, shifted_gradients, under_global_noise, walk
from studies.statistics import normal_quantile, variance

CHANNELS = ("none", "depolarising", "amplitude damping")
PLACES = ("first", "last")  # layers whose RY on qubit 0 is differentiated with density matrices
AGREEMENT = 5.0  # standard errors
KEEPS = 0.25  # of the slope under depolarising noise: less steep than that is no plateau here
ROUNDING = 1e-10
SEEN = 1e-28  # variances of density matrices below which rounding is all there is
LARGEST = 14  # qubits, from where on walks hit too seldom
DOUBT = "do not trust this run"


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        shrink: the numbers q by which depolarising noise multiplies X, Y and Z; 1 is the control.
        depths: layers L at `fixed_qubits` qubits.
        qubits: sizes whose depth is `layers_per_qubit` times n.
        density_qubits, density_depths, samples: of density matrices, with q = `density_shrink` and the damping `damping`.
        seed: of every draw.
    """

    shrink: tuple[float, ...] = (1.0, 0.99, 0.95, 0.9)
    fixed_qubits: int = 6
    depths: tuple[int, ...] = (32, 40, 48, 56, 64, 72)
    qubits: tuple[int, ...] = (2, 4, 6, 8, 10)
    layers_per_qubit: int = 4
    density_qubits: int = 4
    density_depths: tuple[int, ...] = (16, 24, 32, 40, 48)
    density_shrink: float = 0.95
    damping: float = 0.1
    samples: int = 1024
    seed: int = 2021

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer circuits and fewer samples."""
        return cls(depths=(32, 48, 64), qubits=(2, 4, 6), density_depths=(16, 24, 32, 40), samples=256)

    def __post_init__(self):
        for name in ("depths", "qubits", "density_depths"):
            values = getattr(self, name)
            if len(set(values)) < max(3, len(values)) or min(values) < (2 if name == "qubits" else 1):
                raise LabError(f"setting {name} must be at least three different numbers, got {','.join(map(str, values))}")
        if not all(0 < q <= 1 for q in (*self.shrink, self.density_shrink)) or not {1.0} < {*self.shrink}:
            raise LabError("setting shrink takes numbers q from 0 to 1, and 1 among them as the control: shrink=1,0.95")
        if not 0 < self.damping <= 1:
            raise LabError(f"setting damping is a probability, got {self.damping}")
        for name, least in {"fixed_qubits": 2, "layers_per_qubit": 1, "density_qubits": 2, "samples": 32, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")
        if max(self.fixed_qubits, *self.qubits) > LARGEST:
            raise LabError(f"settings fixed_qubits and qubits are at most {LARGEST}: beyond, walks hit hardly anything")
        if self.density_qubits > 8:
            raise LabError(
                f"setting density_qubits is at most 8, got {self.density_qubits}: a density matrix has 4^n numbers"
            )


def cases(settings: Settings) -> list[dict]:
    """Walks at fixed size, walks with the depth in proportion to the size, density matrices, and global noise."""
    sizes = [("depth", settings.fixed_qubits, depth) for depth in settings.depths]
    sizes += [("size", n, settings.layers_per_qubit * n) for n in settings.qubits]
    walks = [
        {"arm": arm, "channel": "depolarising", "q": q, "n_qubits": n, "n_layers": depth, "seed": settings.seed}
        for q in settings.shrink
        for arm, n, depth in sizes
    ]
    n = settings.density_qubits
    strength = {"none": 1.0, "depolarising": settings.density_shrink, "amplitude damping": 1 - settings.damping}
    fields = {"n_qubits": n, "samples": settings.samples, "seed": settings.seed}
    densities = [
        {"arm": "density", "channel": channel, "q": strength[channel], "n_layers": depth, **fields}
        for channel in CHANNELS
        for depth in settings.density_depths
    ]
    fields = {"n_qubits": 3, "n_layers": 6, "samples": 16, "seed": settings.seed}
    return [*walks, *densities, {"arm": "global", "channel": "depolarising", "q": settings.density_shrink, **fields}]


def cost(case: dict) -> float:
    """Turns times strings of a walk, or circuits times gates times entries of a density matrix."""
    n, depth = case["n_qubits"], case["n_layers"]
    if case["arm"] in ("depth", "size"):
        return 1e5 + 2 * n * depth * 4 ** min(n, EXACT)
    return 1e5 + 4 * case["samples"] * 4 * n * depth * (50 + 4**n / 16)


def run(case: dict) -> list[dict]:
    """One row: variances by walks, or by density matrices at random angles beside those by walks, or a deviation."""
    if case["arm"] == "global":
        return [{"deviation": _global_deviation(case)}]
    if case["arm"] == "density":
        return _by_densities(case)
    found = walk(case["n_qubits"], case["n_layers"], case["q"], case["seed"])
    largest = int(found.gradient.argmax())
    return [
        {
            "variance": float(found.gradient[largest]),
            "log_error": float(found.errors[largest] / found.gradient[largest]),
            "walks": found.n_walks,
        }
    ]


def _by_densities(case: dict) -> list[dict]:
    n, depth, count = case["n_qubits"], case["n_layers"], case["samples"]
    places = {"first": 0, "last": 2 * n * (depth - 1)}
    draws = np.stack([angles(case["seed"], n, depth, sample) for sample in range(count)])
    gradients = shifted_gradients(noisy_ansatz(n, depth, case["channel"], case["q"]), draws, list(places.values()))
    exact = None if case["channel"] == "amplitude damping" else walk(n, depth, case["q"], case["seed"]).gradient
    rows = []
    for (place, index), samples in zip(places.items(), gradients.T):
        found = variance(samples)
        rows.append({"place": place, "variance": float(found.value), "log_error": float(found.log_error)})
        rows[-1] |= {"low": float(found.low), "high": float(found.high)}
        rows[-1]["walk"] = None if exact is None else float(exact[index])
    return rows


def _global_deviation(case: dict) -> float:
    """How far gradients under noise on all qubits at once are from (1 - p)^L times those without, at most."""
    n, depth, q = case["n_qubits"], case["n_layers"], case["q"]
    draws = np.stack([angles(case["seed"], n, depth, sample) for sample in range(case["samples"])])
    places = list(range(0, draws.shape[1], 5))
    clean = shifted_gradients(ansatz(n, depth), draws, places)
    noisy = shifted_gradients(under_global_noise(n, depth, q), draws, places)
    return float(np.abs(noisy - q**depth * clean).max())


@dataclass(frozen=True)
class Fall:
    """The slope of ln(standard deviation) per layer, from a straight line, with the interval that its scatter gives."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def fall(lines: list[dict], level: float = 0.95) -> Fall:
    """Of the variances in some rows; at least three different depths. The points' own errors are part of the scatter."""
    from scipy.stats import linregress, t

    depths = [line["n_layers"] for line in lines]
    found = linregress(depths, [math.log(line["variance"]) / 2 for line in lines])
    half = t.ppf((1 + level) / 2, len(lines) - 2) * found.stderr
    return Fall(float(found.slope), float(found.slope - half), float(found.slope + half))


def _chosen(rows: list[dict], **fields) -> list[dict]:
    found = [row for row in rows if all(row.get(key) == value for key, value in fields.items())]
    return sorted(found, key=lambda row: row["n_layers"])


def table(rows: list[dict]) -> list[dict]:
    """One line for each arm, channel and strength: the slope per layer beside ln q, and what checks it."""
    lines = []
    for arm in ("depth", "size"):
        for q in sorted({row["q"] for row in rows if row["arm"] == arm}, reverse=True):
            chosen = _chosen(rows, arm=arm, q=q)
            what = f"{chosen[0]['n_qubits']} qubits" if arm == "depth" else "layers in proportion to qubits"
            lines.append({"circuits": what, "channel": "depolarising" if q < 1 else "none", **_line(chosen, q)})
            lines[-1]["sigma over bound, at most"] = max(_bound_ratios(rows, arm, q))
    for channel in CHANNELS:
        for place in PLACES:
            chosen = _chosen(rows, arm="density", channel=channel, place=place)
            if chosen:
                what = f"{chosen[0]['n_qubits']} qubits, {place} layer"
                lines.append({"circuits": what, "channel": channel, **_line(chosen, chosen[0]["q"])})
                lines[-1]["std errors from walks"] = _furthest(chosen)
    return lines


def _line(chosen: list[dict], q: float) -> dict:
    slope = fall(chosen)
    ends = {"variance, fewest layers": chosen[0]["variance"], "most layers": chosen[-1]["variance"]}
    return {"q": q, "ln q": math.log(q), "slope": slope.value, "low": slope.low, "high": slope.high, **ends}


def _bound_ratios(rows: list[dict], arm: str, q: float) -> list[float]:
    """Each standard deviation over q^L times the noiseless one, less what sampling may add."""
    clean = {(row["n_qubits"], row["n_layers"]): row for row in _chosen(rows, arm=arm, q=1.0)}
    ratios = []
    for row in _chosen(rows, arm=arm, q=q):
        other = clean[row["n_qubits"], row["n_layers"]]
        room = math.exp(-AGREEMENT * math.hypot(row["log_error"], other["log_error"]) / 2)
        ratios.append(math.sqrt(row["variance"] / other["variance"]) / q ** row["n_layers"] * (room if q < 1 else 1))
    return ratios


def _furthest(chosen: list[dict]) -> float | None:
    if chosen[0]["walk"] is None:
        return None
    seen = [row for row in chosen if row["variance"] > SEEN]
    return max((abs(math.log(row["variance"] / row["walk"])) / row["log_error"] for row in seen), default=0.0)


def verdict(rows: list[dict]) -> str:
    """Whether depolarising noise makes a plateau at least as steep as ln q, and amplitude damping none."""
    noisy = [q for q in sorted({row["q"] for row in rows if row["arm"] == "depth"}) if q < 1]
    slopes = {q: fall(_chosen(rows, arm="depth", q=q)) for q in noisy}
    holds = all(slope.high <= math.log(q) for q, slope in slopes.items())
    under = all(ratio <= 1 + ROUNDING for arm in ("depth", "size") for q in noisy for ratio in _bound_ratios(rows, arm, q))
    steep, q = slopes[noisy[0]], noisy[0]
    n = _chosen(rows, arm="depth")[0]["n_qubits"]
    each = "; ".join(f"{slopes[q]} for q = {q:g} (ln q = {math.log(q):.3f})" for q in reversed(noisy))
    answer = (
        f"Yes: at {n} qubits the largest gradient's standard deviation falls by a factor {math.exp(-steep.value):.2f} "
        f"a layer with q = {q:g}; its logarithm's slopes are {each}, all below ln q"
        if holds and under
        else f"Not shown: at {n} qubits the slopes of the largest gradient's logarithm are {each}"
    )
    bound = "every point lies below q^L times the noiseless value" if under else f"a point lies ABOVE the bound: {DOUBT}"
    return f"{answer}; {bound}. " + " ".join([_control(rows), _damping(rows), *_checks(rows)])


def _control(rows: list[dict]) -> str:
    # Its values are exact and still approach their limit: flat is what falls less in all than the least noise a layer.
    clean = _chosen(rows, arm="depth", q=1.0)
    slope = fall(clean)
    least = max((math.log(row["q"]) for row in rows if row["arm"] == "depth" and row["q"] < 1), default=-math.inf)
    flat = "does not fall, as it must" if slope.low > least else f"falls, which it must not: {DOUBT}"
    return f"Without noise it {flat}: slope {slope}."


def _keeps(rows: list[dict]) -> bool:
    """Whether amplitude damping leaves the last layer its gradients, beside depolarising noise."""
    damped, other = (fall(_chosen(rows, arm="density", channel=c, place="last")) for c in reversed(CHANNELS[1:]))
    return damped.low > KEEPS * other.high


def _damping(rows: list[dict]) -> str:
    first, last = (fall(_chosen(rows, arm="density", channel="amplitude damping", place=place)) for place in PLACES)
    other = fall(_chosen(rows, arm="density", channel="depolarising", place="last"))
    slopes = f"the last layer's slope is {last}, under depolarising noise {other}; the first layer's is {first}"
    if _keeps(rows):
        answer = "Amplitude damping makes no plateau for this local observable, though only the last layers keep gradients"
        return f"{answer}: {slopes}."
    return f"That amplitude damping makes no plateau for a local observable is not shown: {slopes}."


def _checks(rows: list[dict]) -> list[str]:
    far = max(_furthest(_chosen(rows, arm="density", channel=c, place=p)) for c in CHANNELS[:2] for p in PLACES)
    agree = f"Density matrices agree with walks within {far:.1f} standard errors"
    deviation = max(row["deviation"] for row in rows if row["arm"] == "global")
    exact = "exactly" if deviation <= ROUNDING else f"NOT exactly ({DOUBT})"
    return [
        agree + ("." if far <= AGREEMENT else f", which is too far: {DOUBT}."),
        f"Noise on all qubits at once scales gradients by (1 - p)^L {exact}: largest deviation {deviation:.0e}.",
    ]


def figure(rows: list[dict]):
    """Variances against depth: one line for each q with its bound, and amplitude damping beside depolarising noise."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(10.8, 6.4))
    left, right = drawing.subplots(1, 2)
    _draw_depths(left, rows)
    _draw_channels(right, rows)
    drawing.suptitle(_title(rows), x=0.01, ha="left", fontsize=13)
    return drawing


def _title(rows: list[dict]) -> str:
    noisy = sorted({row["q"] for row in rows if row["arm"] == "depth" and row["q"] < 1})
    if all(fall(_chosen(rows, arm="depth", q=q)).high <= math.log(q) for q in noisy):
        spares = ", amplitude damping spares the last layers'" if _keeps(rows) else ""
        return f"Depolarising noise flattens all gradients exponentially in depth{spares}"
    return "The bound on noise-induced plateaus is not confirmed by these points"


def _draw_depths(axes, rows: list[dict]) -> None:
    strengths = sorted({row["q"] for row in rows if row["arm"] == "depth"}, reverse=True)
    clean = _chosen(rows, arm="depth", q=1.0)
    for number, q in enumerate(strengths):
        chosen = _chosen(rows, arm="depth", q=q)
        depths, look = [row["n_layers"] for row in chosen], {"color": COLOURS[number % len(COLOURS)]}
        values = [math.sqrt(row["variance"]) for row in chosen]
        label = f"q = {q:g}: {fall(chosen)}" if q < 1 else f"no noise: {fall(chosen)}"
        axes.plot(depths, values, marker=MARKERS[number % len(MARKERS)], ms=5, lw=1.2, label=label, **look)
        if q < 1:
            bound = [math.sqrt(row["variance"]) * q ** row["n_layers"] for row in clean]
            axes.plot(depths, bound, ls="--", lw=1.1, **look)
    axes.plot([], [], ls="--", color=NEUTRAL, lw=1.1, label=r"bound: $q^L$ times no noise")
    name = f"Depolarising noise, Pauli walks, {clean[0]['n_qubits']} qubits"
    axes.set(title=name, yscale="log", xlabel="layers L", ylabel=r"largest $\sigma$ of $\partial\langle Z_0Z_1\rangle$")
    _legend(axes, r"slope of ln $\sigma$ per layer, 95 %", 1)


def _legend(axes, title: str, columns: int) -> None:
    look = {"alignment": "left", "fontsize": 9.5, "ncols": columns}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), title=title, **look)


def _draw_channels(axes, rows: list[dict]) -> None:
    z = normal_quantile(0.95)
    for number, channel in enumerate(CHANNELS):
        for place, fill, style in zip(PLACES, ("white", COLOURS[number]), (":", "-")):
            chosen = _chosen(rows, arm="density", channel=channel, place=place)
            depths = np.array([row["n_layers"] for row in chosen])
            values = np.sqrt([row["variance"] for row in chosen])
            reach = np.exp(z / 2 * np.array([row["log_error"] for row in chosen]))  # of a root, half that of the variance
            look = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 6, "capsize": 3, "mfc": fill, "ls": style}
            spread = [values - values / reach, values * reach - values]
            axes.errorbar(depths, values, spread, lw=1.2, label=f"{_named(chosen[0])}: {place} layer", **look)
    n = _chosen(rows, arm="density")[0]["n_qubits"]
    axes.set(title=f"Both channels, density matrices, {n} qubits", yscale="log", xlabel="layers L")
    axes.set_ylabel(r"$\sigma$ of $\partial\langle Z_0Z_1\rangle$ by an RY angle")
    _legend(axes, "noise, and which layer's RY", 1)


def _named(row: dict) -> str:
    """The channel with its strength."""
    strength = {"none": "", "depolarising": f", q = {row['q']:g}", "amplitude damping": rf", $\gamma$ = {1 - row['q']:.2g}"}
    return ("no noise" if row["channel"] == "none" else row["channel"]) + strength[row["channel"]]
