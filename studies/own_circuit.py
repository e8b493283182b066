"""How flat is the landscape of a circuit of one's own?

Source: the two roads of `studies.gradient_variance`.

Expected: a circuit as random as a 2-design has gradients of variance 4^n / (2 (4^n - 1) (2^n + 1)) for a Pauli string; a
shallow circuit with a local observable has larger ones.

Control: the other road. State vectors and Pauli walks share no code beyond the list of gates.

Minutes: 0.1 for small circuits; `studies run barren_plateaus --circuit FILE --observable TEXT`.
"""

import base64
import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuits.errors import LabError, UnknownName, Unsupported
from qml.wording import counted
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.exact import middle_variance
from studies.landscape import METHODS, gradient_variance

LARGEST_STATE = 20  # qubits, for one after another of a thousand samples
AGREEMENT = 4.0
MOST_LETTERS = 80  # of a file's name
MOST_NAMED = 32  # parameters that have room for their names on the axis
EXAMPLE = "OPENQASM 3.0;"  # stands for the circuit that is looked at when none is given


@dataclass(frozen=True)
class Settings:
    """What is looked at.

    Attributes:
        circuit: a file, OpenQASM 2 or 3 or QPY, whose parameters are drawn; nothing: a hardware-efficient ansatz.
        observable: such as ZZI + 0.5*XII; nothing: ZZ on the two middle qubits.
        samples: draws of all parameters, by state vectors. walks: at most, for each Pauli string.
        distribution, width: of the angles, as for `studies.gradient_variance`; width 0 is the distribution's own.
        roads: which to take; a road that is closed to the circuit says why.
        seed: of every draw.
    """

    circuit: str = ""
    observable: str = ""
    samples: int = 1024
    walks: int = 1 << 24
    distribution: str = "uniform"
    width: float = 0.0
    roads: tuple[str, ...] = METHODS
    seed: int = 1

    @classmethod
    def quick(cls) -> "Settings":
        """Pauli walks alone, or where the circuit is closed to them a few samples of state vectors."""
        return cls(samples=128, walks=1 << 20, roads=METHODS[1:])

    def __post_init__(self):
        from circuits.lowering import lower
        from circuits.observables import as_list
        from studies.walk.distributions import NAMES

        if self.distribution not in NAMES:
            raise UnknownName("distribution", self.distribution, NAMES)
        unknown = [road for road in self.roads if road not in METHODS]
        if unknown or not self.roads:
            raise LabError(f"setting roads takes {', '.join(METHODS)}, got {', '.join(self.roads) or 'nothing'}")
        for name, least in {"samples": 16, "walks": 16, "seed": 0, "width": 0}.items():
            if not getattr(self, name) >= least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")
        circuit = _circuit(_content(self.circuit), self.circuit)
        if not circuit.parameters:
            raise LabError(f"{self.circuit} has no free parameters: there is no gradient to measure")
        if any(parameter.name == "loss" for parameter in circuit.parameters):
            raise LabError(f"a parameter of {self.circuit} is called loss, as a row of the result is: rename it")
        lower(circuit)  # refuses what is not unitary
        if len(as_list(_observable(self.observable, circuit.num_qubits), circuit.num_qubits)) != 1:
            raise LabError(f"setting observable takes one observable, got {self.observable!r}")


def _content(path: str) -> str:
    """A file's bytes as text that JSON holds."""
    from qml.circuit_files import read

    return base64.b64encode(read(path) if path else EXAMPLE.encode()).decode()


def _circuit(content: str, name: str):
    from circuits.ansatze import hardware_efficient
    from qml.circuit_files import parse

    data = base64.b64decode(content)
    if data == EXAMPLE.encode():
        return hardware_efficient(6, 3, entanglement="linear")
    circuits = parse(data, name or "the circuit", parameters=True)
    if len(circuits) > 1:
        raise LabError(f"{name} holds {len(circuits)} circuits: write the one to look at to a file of its own")
    return circuits[0].remove_final_measurements(inplace=False)


def _observable(text: str, n_qubits: int):
    from circuits.observables import middle_pair

    return text or (middle_pair(n_qubits) if n_qubits > 1 else "Z")


def cases(settings: Settings) -> list[dict]:
    """One case for each road."""
    shared = {
        "circuit": _content(settings.circuit), "name": settings.circuit, "observable": settings.observable,
        "distribution": settings.distribution, "width": settings.width, "seed": settings.seed,
    }  # fmt: skip
    most = dict(zip(METHODS, (settings.samples, settings.walks)))
    otherwise = settings.samples if settings.roads == METHODS[1:] else 0  # draws, where walks alone are asked for and closed
    return [
        {"road": road, "samples": most[road], "otherwise": otherwise, **shared} for road in METHODS if road in settings.roads
    ]


def run(case: dict) -> list[dict]:
    """One row for each parameter and one for the loss, or one that says why the road is closed."""
    rows = _by(case["road"], case["samples"], case)
    if rows[0]["closed"] and case["otherwise"]:
        rows += _by(METHODS[0], case["otherwise"], case)
    return rows


def _by(road: str, samples: int, case: dict) -> list[dict]:
    circuit = _circuit(case["circuit"], case["name"])
    shared = {"n_qubits": circuit.num_qubits, "by": road}
    try:
        if road == METHODS[0] and circuit.num_qubits > LARGEST_STATE:
            raise Unsupported(f"{circuit.num_qubits} qubits are more than the {LARGEST_STATE} of this study's state vectors")
        found = gradient_variance(
            circuit, _observable(case["observable"], circuit.num_qubits), samples, case["seed"],
            case["distribution"], width=case["width"] or None, method=road,
        )  # fmt: skip
    except LabError as error:
        return [{**shared, "parameter": None, "closed": str(error)}]
    rows = [
        {
            "parameter": name,
            "variance": 0.0 if _says(found, j) == "zero" else float(found.gradient.value[j]),
            "low": float(found.gradient.low[j]),
            "high": float(found.gradient.high[j]),
            "error": _finite(found.gradient.log_error[j]),
            "says": _says(found, j),
        }
        for j, name in enumerate(found.parameters)
    ]
    loss = {"variance": float(found.loss.value), "low": float(found.loss.low), "high": float(found.loss.high)}
    rows.append({"parameter": "loss", **loss, "error": _finite(found.loss.log_error)})
    rows[-1]["says"] = "measured" if found.loss.value > 10 * found.floor else "zero"
    return [{**shared, "closed": "", "drawn": found.gradient.samples, **row} for row in rows]


def _says(found, j: int) -> str:
    """ "measured", "zero" at all angles as far as rounding tells, or "unsure": seldom seen, or not at all."""
    if found.measured[j]:
        return "measured"
    return "zero" if found.gradient.high[j] <= 100 * found.floor else "unsure"


def _finite(value) -> float | None:
    return float(value) if np.isfinite(value) else None


def label(rows: list[dict]) -> str:
    """The circuit's file, with a few digits of its content, the observable and the law of the angles; "" for the example."""
    row = rows[0]
    content = base64.b64decode(row["circuit"])
    parts = [] if content == EXAMPLE.encode() else [Path(row["name"]).stem, hashlib.sha256(content).hexdigest()[:6]]
    parts += [row["observable"]] if row["observable"] else []
    if row["distribution"] != "uniform":
        parts.append(row["distribution"] + (f"{row['width']:g}" if row["width"] else ""))
    text = re.sub(r"[^\w.+*-]+", "_", "-".join(parts))
    if len(text) <= MOST_LETTERS:
        return text
    return f"{text[: MOST_LETTERS - 7]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def is_of_the_file(rows: list[dict]) -> bool:
    """Whether the circuit's file, if it is still there, holds the circuit of these rows."""
    return not Path(rows[0]["name"]).is_file() or _content(rows[0]["name"]) == rows[0]["circuit"]


def table(rows: list[dict]) -> list[dict]:
    """One line for the loss and each parameter, its variance by both roads and how far they are apart."""
    names = list(dict.fromkeys(row["parameter"] for row in rows if not row["closed"]))
    by_road = {road: {r["parameter"]: r for r in rows if r["by"] == road and not r["closed"]} for road in METHODS}
    return [_line(name, *(by_road[road].get(name) for road in METHODS)) for name in sorted(names, key=lambda n: n != "loss")]


def _line(name: str, state: dict | None, walk: dict | None) -> dict:
    best = walk or state
    return {
        "parameter": name,
        "by_states": state["variance"] if state else None,
        "by_walks": walk["variance"] if walk else None,
        "low": best["low"],
        "high": best["high"],
        "variance_is": best["says"],
        "roads_std_errors_apart": _sigmas(state, walk),
    }


def _sigmas(state: dict | None, walk: dict | None) -> float | None:
    """How many standard errors the roads differ by, where both measure."""
    if not state or not walk or {state["says"], walk["says"]} != {"measured"}:
        return None
    error = math.hypot(state["error"] or 0.0, walk["error"] or 0.0)
    return round(math.log(state["variance"] / walk["variance"]) / error, 2) if error else 0.0


def _measured(rows: list[dict]) -> list[dict]:
    """The rows of the road that says more: walks where they are open."""
    for road in reversed(METHODS):
        chosen = [row for row in rows if row["by"] == road and not row["closed"]]
        if chosen:
            return chosen
    return []


def verdict(rows: list[dict]) -> str:
    """How large the variances are beside a 2-design's, and whether the two roads agree."""
    chosen = _measured(rows)
    closed = " ".join(f"No {row['by'].replace('_', ' ')}: {row['closed']}." for row in rows if row["closed"])
    if not chosen:
        return f"Not answered. {closed}"
    n, parts = chosen[0]["n_qubits"], [row for row in chosen if row["parameter"] != "loss"]
    seen = [row["variance"] for row in parts if row["says"] == "measured"]
    zeros = sum(row["says"] == "zero" for row in parts)
    if zeros == len(parts):
        return f"Flat: every derivative is zero at all angles, the observable never meets a parameter. {closed}".strip()
    if not seen:
        return f"Flat: none of {len(parts)} gradient components has a variance that could be measured. {closed}".strip()
    ratio = float(np.median(seen)) / _random(rows)
    more = "less flat" if ratio > 1 else "flatter"
    apart = f"{max(ratio, 1 / ratio):.3g} times {more} than a random state's of {n} qubits"
    flat = "as flat as a random state's" if 0.5 < ratio < 2 else apart
    unseen = len(parts) - len(seen) - zeros
    words = [
        f"{_named(rows)}: the landscape is {flat}. Of {len(seen)} gradient components that are measured the median variance "
        f"is {np.median(seen):.3g}, the smallest {min(seen):.3g}, the largest {max(seen):.3g}; a 2-design's would be "
        f"{_random(rows):.3g}.",
        f"{counted(zeros, 'component')} of {len(parts)} vanish at all angles: their gates are outside of the observable's "
        "light cone, or commute with what it has become there."
        if zeros
        else "",
        f"{counted(unseen, 'component')} are too small to be measured." if unseen else "",
        _agreement(rows),
        closed,
    ]
    return " ".join(word for word in words if word)


def _random(rows: list[dict]) -> float:
    """The variance of a derivative between 2-designs: every string but the identity adds its own, by its factor squared."""
    from circuits.observables import as_list

    n = rows[0]["n_qubits"]
    (operator,) = as_list(_observable(rows[0]["observable"], n), n)
    operator = operator.simplify(atol=0, rtol=0)
    has_letters = operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1)
    return float((operator.coeffs[has_letters].real ** 2).sum()) * middle_variance(n)


def _named(rows: list[dict]) -> str:
    """The circuit's file and the observable."""
    name = Path(rows[0]["name"]).name or "hardware_efficient on 6 qubits"
    return f"{name}, {rows[0]['observable'] or 'ZZ on the two middle qubits'}"


def _agreement(rows: list[dict]) -> str:
    lines = table(rows)
    apart = [abs(line["roads_std_errors_apart"]) for line in lines if line["roads_std_errors_apart"] is not None]
    if not apart:
        return ""
    furthest = max(apart)
    if furthest <= AGREEMENT + math.log10(len(apart)) / 2:
        return f"Both roads agree: {len(apart)} variances within {math.ceil(10 * furthest) / 10:.1f} standard errors."
    return f"The roads differ by {furthest:.1f} standard errors: do not trust this run."


def figure(rows: list[dict]):
    """Every parameter's variance by both roads, beside a 2-design's."""
    from matplotlib.figure import Figure

    drawing = Figure()
    axes = drawing.subplots()
    labels = {"state_vector": "state vectors", "pauli_walk": "Pauli walks"}
    for number, road in enumerate(METHODS):
        chosen = [
            r for r in rows if r["by"] == road and not r["closed"] and r["parameter"] != "loss" and r["says"] == "measured"
        ]
        if chosen:
            names = [r["parameter"] for r in rows if r["by"] == road and r["parameter"] not in (None, "loss")]
            at = np.array([names.index(r["parameter"]) for r in chosen])
            value, low, high = (np.array([r[key] for r in chosen]) for key in ("variance", "low", "high"))
            look = {"color": COLOURS[number], "fmt": MARKERS[number], "ms": 4, "capsize": 2}
            axes.errorbar(at + 0.2 * number, value, [value - low, high - value], label=labels[road], **look)
    n = rows[0]["n_qubits"]
    axes.axhline(_random(rows), color=NEUTRAL, lw=1.2, ls=":", label=f"2-design of {n} qubits")
    parameters = [r["parameter"] for r in _measured(rows) if r["parameter"] != "loss"]
    if len(parameters) <= MOST_NAMED:
        axes.set_xticks(range(len(parameters)), parameters, rotation=90, fontsize=8)
    axes.set(xlabel="parameter", ylabel="variance of the derivative", yscale="log")
    seen = [r["variance"] for r in _measured(rows) if r["says"] == "measured" and r["parameter"] != "loss"]
    share = f"{np.median(seen) / _random(rows):.2g} times a 2-design's" if seen else "too small to be measured"
    axes.set_title(f"{_named(rows)}:\nthe median variance of a derivative is {share}")
    axes.legend()
    return drawing
