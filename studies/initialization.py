"""Which way to start training avoids a barren plateau?

Source: Grant, Wossnig, Ostaszewski, Benedetti, Quantum 3, 214 (2019); Zhang, Liu, Hsieh, Tao, NeurIPS 2022,
arXiv:2203.09376; Kulshrestha, Safro, BEINIT (2022).

Expected: angles normal with variance 1 / (4 S (L + 2)) keep the squared norm of the gradient above a bound that does not
know the number of qubits and hardly the depth; identity blocks start at <0|O|0> with gradients that do not know how many
blocks there are.

Control: uniform angles in the same circuits, whose gradients vanish; state vectors beside walks at small sizes.

Minutes: 0.2 with --quick, 0.5 in full, on two cores.

The circuit: n layers of RX and RY on every qubit and a CZ line; the observable: Z Z on the middle pair, so S is 2. Identity
blocks are those of `ansatze.identity_blocks`, two layers each way, on six qubits, and their observable is X X: |0...0> is an
eigenstate of Z Z, and a circuit that starts as the identity on an eigenstate has no gradient at all, which is shown too.

The bound is derived here, `light_cone_bound`. Zhang et al. give the variance in their Theorem 4.1 and, as remembered, the
bound L / (S^S (L + 2)^(S + 1)); no text of the theorem was at hand to check its constant. For this circuit it follows from
the derived one, which is larger at every depth.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError
from studies.decay import decay
from studies.drawing import COLOURS, MARKERS
from studies.landscape import gradient_variance

LOCALITY = 2
STARTS = ("uniform", "beta", "small_angle", "gaussian")
BLOCKS = ("identity_blocks", "uniform_blocks")
AGREEMENT = 4.5  # standard errors, for the furthest of all components
BLOCK_QUBITS = 6
SAME = 0.1  # by how much the variance may depend on the number of blocks


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        small: sizes n at which both roads are taken. large: sizes of walks alone. wide, wide_layers: one more size, with
            fewer layers than qubits.
        blocks: numbers of blocks, on six qubits. block_sizes: sizes n at the middle one of these numbers.
        samples: draws on state vectors. walks: at most. seed: of every draw.
    """

    small: tuple[int, ...] = (2, 4, 6, 8)
    large: tuple[int, ...] = (12, 25, 50)
    wide: int = 1000
    wide_layers: int = 10
    blocks: tuple[int, ...] = (1, 2, 4, 8, 16)
    block_sizes: tuple[int, ...] = (4, 6, 8, 10)
    samples: int = 2048
    walks: int = 1 << 19
    seed: int = 2203

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer sizes and samples."""
        return cls(
            small=(2, 4, 6),
            large=(12,),
            wide_layers=4,
            blocks=(1, 4, 16),
            block_sizes=(4, 6, 8),
            samples=1024,
            walks=1 << 16,
        )

    def __post_init__(self):
        for name, most in {"small": 10, "large": 1000, "blocks": 64, "block_sizes": 12}.items():
            sizes = getattr(self, name)
            least = 1 if name == "blocks" else 2
            if not sizes or min(sizes) < least or max(sizes) > most:
                shown = ",".join(map(str, sizes)) or "nothing"
                raise LabError(f"setting {name} takes numbers from {least} to {most}, got {shown}")
        for name, least in {"samples": 32, "walks": 16, "seed": 0, "wide": 2, "wide_layers": 1}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")


def cases(settings: Settings) -> list[dict]:
    """One case for each start and size, and for each number of blocks."""
    sizes = [(n, n, settings.samples) for n in sorted(set(settings.small))]
    sizes += [(n, n, 0) for n in sorted(set(settings.large) - set(settings.small))]
    sizes.append((settings.wide, settings.wide_layers, 0))
    starts = [
        {"arm": arm, "n_qubits": n, "n_layers": depth, "samples": samples, "walks": settings.walks, "seed": settings.seed}
        for arm in STARTS
        for n, depth, samples in sizes
    ]
    numbers = sorted(set(settings.blocks))
    shapes = {(BLOCK_QUBITS, m) for m in numbers} | {(n, numbers[len(numbers) // 2]) for n in settings.block_sizes}
    shared = {"samples": settings.samples, "seed": settings.seed}
    return starts + [{"arm": arm, "n_qubits": n, "blocks": m, **shared} for arm in BLOCKS for n, m in sorted(shapes)]


def cost(case: dict) -> float:
    """Turns times walks, or gates times amplitudes."""
    return float(case["n_qubits"] * case.get("n_layers", 20 * case.get("blocks", 1)))


def run(case: dict) -> list[dict]:
    """The variances of one start in one circuit."""
    return [_blocks(case) if case["arm"] in BLOCKS else _walked(case)]


def width(arm: str, n_layers: int) -> float | None:
    """Of the law of a start's angles."""
    return 1 / math.sqrt(4 * LOCALITY * (n_layers + 2)) if arm == "gaussian" else None


def _walked(case: dict) -> dict:
    from circuits.ansatze import cz_line
    from circuits.observables import middle_pair

    n, depth, arm = case["n_qubits"], case["n_layers"], case["arm"]
    law = {"distribution": arm, "width": width(arm, depth)}
    arguments = cz_line(n, depth, rotations=("rx", "ry")), middle_pair(n)
    walks = gradient_variance(*arguments, case["walks"], case["seed"], method="pauli_walk", relative_error=0.02, **law)
    value, error = walks.gradient.value, walks.gradient.log_error
    # Chosen beforehand: the largest of many sampled values would be too large.
    place = walks.parameters.index(f"w[{2 * (n // 2)}]")
    is_seen = bool(walks.measured[place])
    row = {
        "variance": float(value[place]) if is_seen else None,
        "error": float(error[place]) if is_seen else None,
        "norm": float(value.sum()) if is_seen else None,
        "below": float(walks.gradient.high[place]),
        "furthest": None,
    }
    if case["samples"]:
        states = gradient_variance(*arguments, case["samples"], case["seed"], **law)
        row["furthest"] = _furthest(states, walks)
    return row


def _furthest(states, walks) -> float:
    """How many standard errors the two roads are apart where they are furthest."""
    order = [states.parameters.index(name) for name in walks.parameters]
    both = states.measured[order] & walks.measured
    off = np.log(states.gradient.value[order][both] / walks.gradient.value[both])
    return float(np.abs(off / np.hypot(states.gradient.log_error[order][both], walks.gradient.log_error[both])).max())


def _blocks(case: dict) -> dict:
    """The mean square of the first block's derivatives, and how far the loss is from <0|O|0>."""
    squares, off = _first_block(case, "XX", 0.0)
    mean = float(squares.mean())
    row = {"variance": mean, "error": float(squares.std() / len(squares) ** 0.5 / mean), "off": off}
    if case["arm"] == "identity_blocks":
        row["of_eigenstate"] = float(_first_block({**case, "samples": 64}, "ZZ", 1.0)[0].mean())
    return row


def _first_block(case: dict, letters: str, start: float) -> tuple[np.ndarray, float]:
    """(samples,) mean squares over the first block's derivatives, and how far the loss is from `start`."""
    import torch

    from circuits import ansatze, initializers
    from circuits.observables import middle_pair
    from qml import QuantumLayer

    n, blocks = case["n_qubits"], case["blocks"]
    circuit = ansatze.identity_blocks(n, blocks)
    layer = QuantumLayer(circuit, middle_pair(n, letters), [], dtype=torch.float64, seed=0)
    size = len(layer.weight_parameters)
    keys = [np.random.SeedSequence(case["seed"], spawn_key=(k,)) for k in range(case["samples"])]
    if case["arm"] == "identity_blocks":
        draws = [initializers.identity_block(n, blocks, key) for key in keys]
    else:
        draws = [initializers.uniform(size, key) for key in keys]
    squares, off = [], 0.0
    for first in range(0, len(draws), 64):
        weights = torch.tensor(np.stack(draws[first : first + 64]), requires_grad=True)
        values = layer.evaluate(None, weights)
        values.sum().backward()
        squares.append(weights.grad[:, : size // blocks].square().mean(dim=1).numpy())
        off = max(off, float((values.detach() - start).abs().max()))
    return np.concatenate(squares), off


def light_cone_bound(n_layers: int) -> float:
    """Below which the squared norm of the gradient does not fall with Gaussian angles, at any number of qubits.

    Z Z on two neighbours passes every CZ and meets RX and RY of both qubits in every layer, 4 L rotations. The walk that
    never turns leaves each of their derivatives E[sin^2] E[cos^2]^(4 L - 1) of its variance, see
    `studies.light_cone.cone_bound`; this is the sum of the 4 L.
    """
    turns = 4 * n_layers
    return turns * _one_component(n_layers)


def _one_component(n_layers: int) -> float:
    """The bound on the variance of each derivative by a rotation of the observable's two qubits."""
    double = math.exp(-2 * width("gaussian", n_layers) ** 2)  # E[cos of twice the angle]
    return (1 - double) / 2 * ((1 + double) / 2) ** (4 * n_layers - 1)


def quoted_bound(n_layers: int) -> float:
    """The same as remembered of the paper."""
    return n_layers / (LOCALITY**LOCALITY * (n_layers + 2) ** (LOCALITY + 1))


def _of(rows: list[dict], arm: str) -> list[dict]:
    return sorted((r for r in rows if r["arm"] == arm), key=lambda r: (r["n_qubits"], r.get("blocks") or 0))


def table(rows: list[dict]) -> list[dict]:
    """Variances at each size and for each number of blocks."""
    return [
        {
            "arm": arm,
            "n": row["n_qubits"],
            "layers": row.get("n_layers"),
            "blocks": row.get("blocks"),
            "variance": row["variance"],
            "low": row["variance"] and row["variance"] * math.exp(-1.96 * row["error"]),
            "high": row["variance"] and row["variance"] * math.exp(1.96 * row["error"]),
            "of_uniform": _of_uniform(rows, row),
            "squared_norm": row.get("norm"),
            "norm_at_least": light_cone_bound(row["n_layers"]) if arm == "gaussian" else None,
            "variance_is_below": row.get("below") if row["variance"] is None else None,
            "roads_std_errors_apart": round(row["furthest"], 1) if row.get("furthest") else None,
        }
        for arm in (*STARTS, *BLOCKS)
        for row in _of(rows, arm)
    ]


def _of_uniform(rows: list[dict], row: dict) -> float | None:
    """The variance in units of that of uniform angles in the same circuit, where both are seen."""
    arm = "uniform_blocks" if row["arm"] in BLOCKS else "uniform"
    shape = [row.get(key) for key in ("n_qubits", "n_layers", "blocks")]
    same = [other for other in _of(rows, arm) if [other.get(key) for key in ("n_qubits", "n_layers", "blocks")] == shape]
    return row["variance"] / same[0]["variance"] if same and same[0]["variance"] and row["variance"] else None


def verdict(rows: list[dict]) -> str:
    """How each start's gradients go with the size, whether Zhang's bound holds, what the number of blocks does."""
    return " ".join(
        word
        for word in (*(_start(rows, arm) for arm in STARTS), _bound(rows), _grant(rows), _grown(rows), _roads(rows))
        if word
    )


def _deep(rows: list[dict], arm: str) -> list[dict]:
    """The rows whose depth is their size."""
    return [row for row in _of(rows, arm) if row["n_qubits"] == row["n_layers"]]


def _start(rows: list[dict], arm: str) -> str:
    chosen = [row for row in _deep(rows, arm) if row["variance"]]
    hidden = [row for row in _deep(rows, arm) if not row["variance"]]
    if len(chosen) < 3:
        return ""
    law = decay(*([row[key] for row in chosen] for key in ("n_qubits", "variance", "error")))
    end = f", and at {hidden[-1]['n_qubits']} qubits stays below {hidden[-1]['below']:.1g}" if hidden else ""
    if arm == "uniform":
        falls = law.exponential.high < 0
        end += ", falling as the control must" if falls else ", and does not fall as the control must: do not trust this run"
    return f"{arm.replace('_', ' ').capitalize()}: the variance {law}{end}."


def _bound(rows: list[dict]) -> str:
    chosen = [row for row in _of(rows, "gaussian") if row["norm"]]
    broken = [row["n_qubits"] for row in chosen if row["norm"] < light_cone_bound(row["n_layers"])]
    if not chosen:
        return ""
    if broken:
        return f"The bound on the Gaussian start's squared norm does not hold at {', '.join(map(str, broken))} qubits."
    least, widest = min(row["norm"] / light_cone_bound(row["n_layers"]) for row in chosen), chosen[-1]
    weaker = [light_cone_bound(row["n_layers"]) / quoted_bound(row["n_layers"]) for row in chosen]
    return (
        f"The Gaussian start's squared norm is at least {least:.3g} times the light cone's bound, at every size up to "
        f"{widest['n_qubits']} qubits with {widest['n_layers']} layers; that bound is {min(weaker):.3g} to "
        f"{max(weaker):.3g} times the one remembered of Zhang et al., which so holds as well."
    )


def _grant(rows: list[dict]) -> str:
    identity, control = (_numbered(rows, arm) for arm in BLOCKS)
    if len(identity) < 2:
        return ""
    ratios = [row["variance"] / identity[0]["variance"] for row in identity]
    does = "does not depend on" if max(abs(ratio - 1) for ratio in ratios) <= SAME else "DEPENDS on"
    off, stuck = (max(row[key] for row in identity) for key in ("off", "of_eigenstate"))
    falls = control[-1]["variance"] / control[0]["variance"]
    return (
        f"With identity blocks the loss starts within {off:.0e} of <0|O|0> and the first block's variance {does} the number "
        f"of blocks (the same draws, ratios {min(ratios):.2f} to {max(ratios):.2f}, from {identity[0]['blocks']} to "
        f"{identity[-1]['blocks']}); with uniform angles it goes to {falls:.2g} of its value. On an eigenstate of the "
        f"observable identity blocks have no gradient (mean square {stuck:.0e})."
    )


def _numbered(rows: list[dict], arm: str) -> list[dict]:
    """The rows at one size, by their number of blocks."""
    return [row for row in _of(rows, arm) if row["n_qubits"] == BLOCK_QUBITS]


def _sized(rows: list[dict], arm: str) -> list[dict]:
    """The rows at the middle number of blocks, by their size."""
    numbers = sorted({row["blocks"] for row in _of(rows, arm)})
    return [row for row in _of(rows, arm) if row["blocks"] == numbers[len(numbers) // 2]]


def _grown(rows: list[dict]) -> str:
    chosen = {arm: _sized(rows, arm) for arm in BLOCKS}
    if min(map(len, chosen.values())) < 3:
        return ""
    laws = [decay(*([row[key] for row in found] for key in ("n_qubits", "variance", "error"))) for found in chosen.values()]
    first, *_, last = chosen["identity_blocks"]
    return (
        f"At {last['blocks']} blocks their first block's mean square {laws[0]}, that of uniform angles {laws[1]}: it is "
        f"{_of_uniform(rows, first):.2g} times as large at {first['n_qubits']} qubits, {_of_uniform(rows, last):.2g} times "
        f"at {last['n_qubits']}."
    )


def _roads(rows: list[dict]) -> str:
    furthest = max((row["furthest"] for row in rows if row.get("furthest")), default=0.0)
    if furthest > AGREEMENT:
        return f"State vectors and walks differ by {furthest:.1f} standard errors: do not trust this run."
    return f"State vectors and walks agree within {math.ceil(10 * furthest) / 10:.1f} standard errors for every component."


def figure(rows: list[dict]):
    """The variance against the size for each start, and for blocks against the size and against their number."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(12.6, 5.4))
    left, middle, right = drawing.subplots(1, 3, width_ratios=(4, 3, 3))
    for number, arm in enumerate(STARTS):
        _series(left, number, arm, "n_qubits", _deep(rows, arm))
    for number, arm in enumerate(BLOCKS, len(STARTS)):
        _series(middle, number, arm, "n_qubits", _sized(rows, arm))
        _series(right, number, arm, "blocks", _numbered(rows, arm))
    depths = sorted({row["n_qubits"] for arm in STARTS for row in _deep(rows, arm)})
    look = {"color": COLOURS[STARTS.index("gaussian")], "ls": "--", "lw": 1.2}
    left.plot(depths, [_one_component(depth) for depth in depths], label="gaussian: light-cone bound", **look)
    left.set(xscale="log", yscale="log", xlabel="qubits and layers", ylabel="variance, first RX of a middle qubit")
    left.set_title("A narrow start keeps gradients")
    sized, numbered = _sized(rows, BLOCKS[0]), _numbered(rows, BLOCKS[0])
    middle.set(yscale="log", xlabel="number of qubits", ylabel="mean square, first block")
    middle.set_title(f"{sized[0]['blocks']} blocks")
    right.set(xscale="log", ylim=(0, None), xlabel="number of blocks", title=f"{BLOCK_QUBITS} qubits")
    sizes = (depths, [row["n_qubits"] for row in sized], [row["blocks"] for row in numbered])
    for axes, ticks in zip((left, middle, right), sizes):
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2 if axes is left else 1, fontsize=9)
    return drawing


def _series(axes, number: int, arm: str, key: str, rows: list[dict]) -> None:
    rows = [row for row in rows if row["variance"]]
    value = np.array([row["variance"] for row in rows])
    reach = np.exp(1.96 * np.array([row["error"] for row in rows]))
    look = {"color": COLOURS[number], "marker": MARKERS[number], "ms": 6, "capsize": 2, "lw": 1}
    spans = [value - value / reach, value * reach - value]
    axes.errorbar([row[key] for row in rows], value, spans, label=arm.replace("_", " "), **look)
