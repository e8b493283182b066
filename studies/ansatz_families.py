"""Which ansatz keeps its gradients as it grows?

Source: Larocca et al., Nature Reviews Physics 7, 174 (2025) for the list; each ansatz names its own in circuits/ansatze.py.

Expected: deep hardware-efficient circuits of any topology lose their gradients exponentially; Hamiltonian variational
circuits as their Lie algebra grows; permutation-equivariant circuits, trees and shallow bricks like a power of n at most.

Control: the separable ansatz, whose gradient of Z on one qubit does not know how many others there are.

Minutes: 0.3 with --quick, 1.5 in full, on two cores.

Every circuit is drawn at uniform angles. All but the shallow ones have n layers. The observable is Z Z on the middle pair; Z
on qubit 0 for the tree and the control, the mean of Z for the permutation-equivariant circuit. The largest variance of any
component tells whether training can start. A weight that turns k gates has a derivative that is a sum over them, and the
shift rule's noise is a sum of k as well.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError, UnknownName
from studies.decay import decay
from studies.drawing import COLOURS, MARKERS, label_ends
from studies.landscape import gradient_variance
from studies.statistics import Slope, log_slope, shot_floor


def _deep(n: int) -> int:
    return n


ARMS = {
    "hardware_efficient_linear": ("hardware_efficient", _deep, {"entanglement": "linear"}, "pair"),
    "hardware_efficient_circular": ("hardware_efficient", _deep, {"entanglement": "circular"}, "pair"),
    "hardware_efficient_full": ("hardware_efficient", _deep, {"entanglement": "full"}, "pair"),
    "strongly_entangling": ("strongly_entangling", _deep, {}, "pair"),
    "brickwork_shallow": ("brickwork", lambda n: 3, {}, "pair"),
    "hva_tfim": ("hva_tfim", _deep, {}, "pair"),
    "hva_xxz": ("hva_xxz", _deep, {}, "pair"),
    "permutation_equivariant": ("permutation_equivariant", _deep, {}, "mean"),
    "convolutional": ("convolutional", lambda n: 2, {}, "first"),
    "separable": ("separable", _deep, {}, "first"),
}
FAR = 5.0  # standard errors
SHOTS = 1000  # at which the signal is compared with the noise


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        arms: which families. qubits: the sizes n. samples: draws of all parameters. seed: of every draw.
    """

    arms: tuple[str, ...] = tuple(ARMS)
    qubits: tuple[int, ...] = (4, 6, 8, 10)
    samples: int = 512
    seed: int = 7

    @classmethod
    def quick(cls) -> "Settings":
        """Smaller sizes."""
        return cls(qubits=(4, 6, 8), samples=256)

    def __post_init__(self):
        for arm in self.arms:
            if arm not in ARMS:
                raise UnknownName("arm", arm, ARMS)
        if not self.arms:
            raise LabError(f"setting arms takes some of {', '.join(ARMS)}, got nothing")
        if len(set(self.qubits)) < 2 or min(self.qubits) < 3 or max(self.qubits) > 16:  # on two, hva_xxz does nothing
            raise LabError(f"setting qubits takes at least two numbers from 3 to 16, got {','.join(map(str, self.qubits))}")
        for name, least in {"samples": 32, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")


def cases(settings: Settings) -> list[dict]:
    """One case for each family and size."""
    return [
        {"arm": arm, "n_qubits": n, "samples": settings.samples, "seed": settings.seed}
        for arm in ARMS
        if arm in settings.arms
        for n in sorted(set(settings.qubits))
    ]


def cost(case: dict) -> float:
    """Gates times amplitudes."""
    return float(case["n_qubits"] ** 2 * 2 ** case["n_qubits"] + 1000)


def run(case: dict) -> list[dict]:
    """The largest and the median variance of a gradient component, and the loss's."""
    from circuits import ansatze
    from circuits.lowering import lower

    n = case["n_qubits"]
    family, layers, options, measured = ARMS[case["arm"]]
    circuit = ansatze.by_name(family)(n, layers(n), **options)
    chosen, found = (
        gradient_variance(circuit, _observable(measured, n), case["samples"], seed)
        for seed in np.random.SeedSequence(case["seed"]).generate_state(2).tolist()
    )
    value, error, seen = found.gradient.value, found.gradient.log_error, found.measured
    largest = int(np.argmax(chosen.gradient.value))  # by draws of its own: the largest of what is reported is too large
    return [
        {
            "n_layers": layers(n),
            "parameters": len(value),
            "gates": sum(circuit.parameters[largest] in slot.parameters for slot in lower(circuit).slots),
            "largest": float(value[largest]),
            "largest_error": float(error[largest]),
            "median": float(np.median(value[seen])),
            "loss": float(found.loss.value),
        }
    ]


def _observable(measured: str, n: int):
    from qiskit.quantum_info import SparsePauliOp

    from circuits.observables import middle_pair

    if measured == "mean":
        return SparsePauliOp.from_sparse_list([("Z", [q], 1 / n) for q in range(n)], n)
    if measured == "first":
        return SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], n)
    return middle_pair(n)


def slopes(rows: list[dict]) -> dict[str, Slope]:
    """Of ln(largest variance) per qubit, for each family; from three sizes on intervals allow for points off the line."""
    found = {}
    for arm in ARMS:
        columns = _columns(rows, arm)
        if len(columns[0]) > 1:
            found[arm] = decay(*columns).exponential if len(columns[0]) > 2 else log_slope(*columns)
    return found


def _columns(rows: list[dict], arm: str) -> list[list[float]]:
    chosen = [row for row in rows if row["arm"] == arm]
    return [[row[key] for row in chosen] for key in ("n_qubits", "largest", "largest_error")]


def fastest(rows: list[dict]) -> list[str]:
    """The families whose largest variance falls fastest, as far as intervals tell them apart."""
    found = sorted(slopes(rows).items(), key=lambda item: item[1].value)
    return [arm for arm, slope in found if slope.low <= found[0][1].high]


def table(rows: list[dict]) -> list[dict]:
    """Variances at each size, the signal-to-noise ratio of the best component, and the shots that it needs."""
    return [
        {
            "arm": row["arm"],
            "n": row["n_qubits"],
            "layers": row["n_layers"],
            "parameters": row["parameters"],
            "largest": row["largest"],
            "median": row["median"],
            "loss": row["loss"],
            f"snr_at_{SHOTS}": round(float(np.sqrt(row["largest"] / shot_floor(SHOTS, row["gates"] ** 0.5))), 1),
            "shots_for_snr_1": max(1, math.ceil(shot_floor(1, row["gates"] ** 0.5) / row["largest"])),
        }
        for row in _sorted(rows)
    ]


def _sorted(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (list(ARMS).index(row["arm"]), row["n_qubits"]))


def verdict(rows: list[dict]) -> str:
    """The families by how fast their largest variance falls, with intervals."""
    found = sorted(slopes(rows).items(), key=lambda item: item[1].value)
    if not found:
        return "Not answered: a slope needs at least two sizes."
    sizes = sorted({row["n_qubits"] for row in rows})
    least = min(row["largest"] for row in rows if row["n_qubits"] == sizes[-1])
    words = "; ".join(f"{arm.replace('_', ' ')} {slope}" for arm, slope in found)
    alike = [arm.replace("_", " ") for arm in fastest(rows)]
    falls = f"{alike[0]} loses its gradients fastest"
    if len(alike) > 1:
        falls = f"{', '.join(alike[:-1])} and {alike[-1]} lose their gradients fastest, and intervals do not tell them apart"
    return (
        f"From {sizes[0]} to {sizes[-1]} qubits {falls}; "
        f"the smallest of the largest variances is {least:.2g} there. Slopes of ln(largest variance) per qubit, 95 % "
        f"intervals: {words}. {_control(rows)}"
    )


def _control(rows: list[dict]) -> str:
    columns = _columns(rows, "separable")
    if len(columns[0]) < 2:
        return "The separable control was not run."
    slope = log_slope(*columns)
    off = 1.96 * abs(slope.value) / (slope.high - slope.value)
    does = "does not fall, as it must" if off <= FAR else "has a slope, which it must not: do not trust this run"
    return f"The separable control {does}: {off:.1f} standard errors from zero."


def figure(rows: list[dict]):
    """The largest variance against the number of qubits, one line for each family."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9.2, 5.2))
    axes, ends = drawing.subplots(), []
    for number, arm in enumerate(arm for arm in ARMS if any(row["arm"] == arm for row in rows)):
        chosen = [row for row in _sorted(rows) if row["arm"] == arm]
        at, value = [row["n_qubits"] for row in chosen], np.array([row["largest"] for row in chosen])
        reach = np.exp(1.96 * np.array([row["largest_error"] for row in chosen]))
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "ms": 5, "lw": 1.2}
        look |= {"capsize": 2, "ls": "-" if number < len(COLOURS) else "--"}
        axes.errorbar(at, value, [value - value / reach, value * reach - value], **look)
        ends.append((at[-1], value[-1], arm.replace("_", " "), look["color"]))
    axes.set(yscale="log", xlabel="number of qubits", ylabel="largest variance of a derivative", xticks=at)
    axes.set_title(_title(rows))
    label_ends(axes, ends)
    return drawing


def _title(rows: list[dict]) -> str:
    found = slopes(rows)
    if not found:
        return "Largest variance of a derivative, by family"
    alike = fastest(rows)
    factors = sorted(np.exp(-found[arm].value) for arm in alike)
    if len(alike) == 1:
        name = alike[0].replace("_", " ").capitalize()
        return f"{name} loses its gradients fastest, {factors[0]:.2g}-fold with every qubit"
    by = f"{factors[0]:.2f}- to {factors[-1]:.2f}-fold with every qubit"
    return f"{len(alike)} of {len(found)} families fall fastest and alike, {by}"
