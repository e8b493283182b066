"""Does a global cost have a barren plateau where a local one has none?

Source: Cerezo, Sone, Volkoff, Cincio, Coles, Nat. Commun. 12, 1791 (2021), arXiv:2001.00550.

Expected: with one rotation a qubit the global cost 1 - |0...0><0...0| has a gradient of variance (1/8) (3/8)^(n - 1), the
local one, the mean over qubits, 1 / (8 n^2). With bricks log2 n deep a local observable keeps a power law, a global one does
not. For Z on one qubit behind L bricks the light cone alone says that the variance is at least 2^-L, 1/n behind log2 n of
them.

Control: both warm-up costs are known exactly at every n, and the separable ansatz with Z on one qubit is flat.

Minutes: 0.1 with --quick, 0.3 in full, on two cores.

The warm-up circuit: RX on every qubit. The bricks: RY, RZ on two neighbours and a CZ, alternating. Global costs of the
warm-up are measured on state vectors; all else by Pauli walks, exact where few strings are met. Of each circuit the largest
variance of a derivative is taken.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError
from studies.decay import Decay, decay
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.landscape import gradient_variance

AGREEMENT = 4.5  # standard errors, for a dozen points
BOUNDED = ("bricks_log_local", "bricks_deep_local")  # arms with a bound from the light cone
ROUNDING = 1e-9
ARMS = {
    "warm_up_global": "One RX a qubit, global cost",
    "warm_up_local": "One RX a qubit, local cost",
    "bricks_log_local": "Bricks log2 n deep, Z on one qubit",
    "bricks_deep_local": "Bricks n deep, Z on one qubit",
    "bricks_log_global": "Bricks log2 n deep, Z on all qubits",
    "separable": "No entanglement, Z on one qubit",
}


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        small: sizes n of the global costs and of deep bricks. large: sizes n of local costs in shallow circuits.
        samples: draws of all parameters, on state vectors. walks: at most, for a string. seed: of every draw.
    """

    small: tuple[int, ...] = (2, 4, 6, 8, 10, 12)
    large: tuple[int, ...] = (4, 8, 16, 32, 64, 100)
    samples: int = 4096
    walks: int = 1 << 24
    seed: int = 2001

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer sizes and samples."""
        return cls(small=(2, 4, 6, 8), large=(4, 8, 16, 32), samples=1024, walks=1 << 20)

    def __post_init__(self):
        for name, most in (("small", 14), ("large", 1000)):
            sizes = getattr(self, name)
            if len(set(sizes)) < 3 or min(sizes) < 2 or max(sizes) > most:
                shown = ",".join(map(str, sizes)) or "nothing"
                raise LabError(f"setting {name} takes at least three numbers from 2 to {most}, got {shown}")
        for name, least in {"samples": 32, "walks": 16, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")


def cases(settings: Settings) -> list[dict]:
    """One case for each arm and size."""
    is_small = {"warm_up_global", "bricks_log_global", "bricks_deep_local"}
    return [
        {
            "arm": arm,
            "n_qubits": n,
            "n_layers": _layers(arm, n),
            "samples": settings.samples if arm == "warm_up_global" else settings.walks,
            "seed": settings.seed,
        }
        for arm in ARMS
        for n in sorted(set(settings.small if arm in is_small else settings.large))
    ]


def _layers(arm: str, n: int) -> int:
    if arm.startswith("warm_up"):
        return 1
    return max(1, math.ceil(math.log2(n))) if "log" in arm else n if "deep" in arm else 2


def cost(case: dict) -> float:
    """Strings or amplitudes."""
    return float(2 ** min(case["n_qubits"], 14) * case["n_layers"])


def run(case: dict) -> list[dict]:
    """The largest variance of a derivative, with its error."""
    arm, n = case["arm"], case["n_qubits"]
    if arm == "warm_up_global":
        return [_projected(n, case["samples"], case["seed"])]
    found = gradient_variance(
        _circuit(arm, n, case["n_layers"]), _observable(arm, n), case["samples"], case["seed"], method="pauli_walk"
    )
    best = int(np.argmax(found.gradient.value))
    return [{"variance": float(found.gradient.value[best]), "error": float(found.gradient.log_error[best])}]


def _projected(n: int, samples: int, seed: int) -> dict:
    """Of the global cost, the projector on |0...0>, which has 2^n strings."""
    from qiskit.quantum_info import SparsePauliOp

    observable = SparsePauliOp([""])
    for _ in range(n):
        observable = SparsePauliOp(["I", "Z"], [0.5, 0.5]).tensor(observable)
    found = gradient_variance(_circuit("warm_up_global", n, 1), observable, samples, seed)
    return {"variance": float(found.gradient.value[0]), "error": float(found.gradient.log_error[0])}


def _circuit(arm: str, n: int, n_layers: int):
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    from circuits import ansatze

    if arm == "separable":
        return ansatze.separable(n, n_layers)
    if arm.startswith("bricks"):
        return ansatze.brickwork(n, n_layers)
    circuit, weights = QuantumCircuit(n), ParameterVector("w", n)
    for qubit in range(n):
        circuit.rx(weights[qubit], qubit)
    return circuit


def _observable(arm: str, n: int):
    from qiskit.quantum_info import SparsePauliOp

    if arm == "warm_up_local":  # 1 - mean of |0><0|, up to its constant and its sign
        return SparsePauliOp.from_sparse_list([("Z", [q], 0.5 / n) for q in range(n)], n)
    if arm.endswith("global"):
        return SparsePauliOp("Z" * n)
    return SparsePauliOp.from_sparse_list([("Z", [n // 2], 1.0)], n)


def exact(arm: str, n: int) -> float | None:
    """What the paper's formulas say, where there is one."""
    if arm == "warm_up_global":
        return 3 ** (n - 1) / 8**n
    return 1 / (8 * n**2) if arm == "warm_up_local" else None


def bound(row: dict) -> float | None:
    """Which the largest variance is never below, where the arm's light cone says so.

    Z on one qubit passes every CZ and RZ; of the walks that meet its RY once a layer, the one that never turns has the
    share 2^-L, and <Z> is 1 at its end: `studies.light_cone.cone_bound`.
    """
    return 2.0 ** -row["n_layers"] if row["arm"] in BOUNDED else None


def _of(rows: list[dict], arm: str) -> list[dict]:
    return sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["n_qubits"])


def laws(rows: list[dict]) -> dict[str, Decay]:
    """Of each arm how its largest variance goes with n."""
    found = {}
    for arm in ARMS:
        chosen = [row for row in _of(rows, arm) if row["variance"] > 0]
        if len(chosen) > 2:
            found[arm] = decay(*([row[key] for row in chosen] for key in ("n_qubits", "variance", "error")))
    return found


def table(rows: list[dict]) -> list[dict]:
    """The largest variance at each size, its relative standard error, the formula's, and the light cone's bound."""
    return [
        {
            "arm": arm,
            "n": row["n_qubits"],
            "layers": row["n_layers"],
            "variance": row["variance"],
            "relative_error": row["error"],
            "formula": exact(arm, row["n_qubits"]),
            "std_errors_off": _sigmas(row),
            "at_least": bound(row),
        }
        for arm in ARMS
        for row in _of(rows, arm)
    ]


def _sigmas(row: dict) -> float | None:
    """Standard errors off the formula; 0 where an exact value is right to rounding."""
    expected = exact(row["arm"], row["n_qubits"])
    if expected is None:
        return None
    off = math.log(row["variance"] / expected)
    return round(off / row["error"], 2) if row["error"] else (0.0 if abs(off) < 1e-10 else math.copysign(999.0, off))


def verdict(rows: list[dict]) -> str:
    """Which cost falls by which law, and whether the formulas hold."""
    found = laws(rows)
    words = [f"{ARMS[arm]}: the variance {found[arm]}." for arm in ARMS if arm in found]
    falls = {arm: law.law for arm, law in found.items()}
    told = falls.get("warm_up_global") == "exponential" and falls.get("warm_up_local") == "power"
    answer = "the global cost's variance falls exponentially, the local one's like a power of n"
    first = f"Yes: {answer}." if told else f"Not shown that {answer}."
    return " ".join([first, *words, _formulas(rows), _bounds(rows), _control(found)])


def _bounds(rows: list[dict]) -> str:
    ratios = {(row["arm"], row["n_qubits"]): row["variance"] / bound(row) for row in rows if bound(row) and row["variance"]}
    bad = sorted({n for (_, n), ratio in ratios.items() if ratio < 1 - ROUNDING})
    if bad:
        return f"A variance lies BELOW the light cone's bound at {', '.join(map(str, bad))} qubits: do not trust this run."
    return f"Every variance behind bricks is above the light cone's bound 2^-L, {min(ratios.values()):.3g} times or more."


def _formulas(rows: list[dict]) -> str:
    apart = [abs(sigmas) for row in rows if (sigmas := _sigmas(row)) is not None]
    if max(apart, default=0.0) > AGREEMENT:
        return f"A point is {max(apart):.1f} standard errors off its formula: do not trust this run."
    return f"All {len(apart)} points with a formula are within {math.ceil(10 * max(apart)) / 10:.1f} standard errors of it."


def _control(found: dict[str, Decay]) -> str:
    flat = "separable" in found and found["separable"].law == "constant"
    return "The control is flat, as it must be." if flat else "The control is not flat: do not trust this run."


def figure(rows: list[dict]):
    """Global costs on a semi-logarithmic panel, local ones on a doubly logarithmic panel, with the formulas."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9.6, 4.8))
    left, right = drawing.subplots(1, 2, sharey=True)
    panels = {"warm_up_global": left, "bricks_log_global": left, "bricks_deep_local": left}
    for number, arm in enumerate(ARMS):
        chosen, axes = _of(rows, arm), panels.get(arm, right)
        at = np.array([row["n_qubits"] for row in chosen])
        value = np.array([row["variance"] for row in chosen])
        reach = np.exp(1.96 * np.array([row["error"] for row in chosen]))
        look = {"color": COLOURS[number], "marker": MARKERS[number], "ls": "none", "ms": 6, "capsize": 3}
        axes.errorbar(at, value, [value - value / reach, value * reach - value], label=ARMS[arm], **look)
        if arm in BOUNDED:
            look = {"color": COLOURS[number], "ls": "--", "lw": 1.1, "label": "light-cone bound $2^{-L}$ of the same colour"}
            axes.plot(at, [bound(row) for row in chosen], **look)
        if exact(arm, 2) is not None:
            line = np.linspace(at.min(), at.max(), 100)
            formula = [3 ** (n - 1) / 8**n if arm == "warm_up_global" else 1 / (8 * n**2) for n in line]
            label = r"exact: $\frac{1}{8}(\frac{3}{8})^{n-1}$" if arm == "warm_up_global" else r"exact: $1/(8 n^2)$"
            axes.plot(line, formula, color=NEUTRAL, lw=1, label=label)
    left.set(yscale="log", xlabel="number of qubits", ylabel="largest variance of a derivative")
    right.set(xscale="log", xlabel="number of qubits")
    fall = {arm: law.law for arm, law in laws(rows).items()}
    is_told = all(law == "exponential" if arm in panels else law != "exponential" for arm, law in fall.items())
    titles = ("Falls exponentially with n", "Falls like a power of n at most") if is_told else ("Small sizes", "Large sizes")
    left.set_title(titles[0])
    right.set_title(titles[1])
    sizes = sorted({row["n_qubits"] for row in rows if panels.get(row["arm"], right) is right})
    right.set_xticks(sizes, [str(n) for n in sizes])
    right.minorticks_off()
    for axes in (left, right):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=9)
    return drawing
