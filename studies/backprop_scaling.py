"""Which ways to a gradient scale as backpropagation does, in time and in memory, and which only on a simulator?

Source: Abbas, King, Huang, Huggins, Movassagh, Gilboa, McClean, NeurIPS 36 (2023), arXiv:2305.13362: an estimate of the
gradient, right to epsilon in the largest component, has backpropagation scaling if TIME(gradient) <= c_t TIME(value) and
MEM(gradient) <= c_m MEM(value) with c_t, c_m = O(log P) for P weights. Bowles, Wierichs, Park, Quantum 9, 1873 (2025).

Expected: classical networks have it. The adjoint sweep has it where the state can be read, so only in simulation; autograd
through a state vector keeps every state and fails in memory. What runs circuits of its own for each angle fails in time,
and what runs few of them fails by its error. Gates that commute can be read together, so for a block of them it is had on
hardware; for P layers it is not.

Control: dense tanh networks, made wider and made deeper, which must have it, and parameter-shift, which must not.

Minutes: 0.5 with --quick, 5 in full, on two cores.

Every gradient method is run on two circuits that grow: layers of RY, RZ and CNOTs, and one block of rotations about products
of X, which all commute. Time is the ledger's gates, or floating-point operations, times the repeats whose mean has a
relative error of `error`, in the norm of the gradient, which lets more pass than the largest component would; exact methods
need one. Shots are not counted: expectation values are exact, and what is charged is the error that a method adds to theirs
(`gradient_precision` counts shots). Memory is states, or activations, with the weights, and for a gradient as many
derivatives; a method that takes shots needs no state, and its memory is counted in qubits. A ratio c is let pass where it
grows as (ln P)^b with b at most 1, is not where the whole interval of b lies above 1, and is not told in between. A state
kept for every gate costs 2^n numbers a weight: for P far above 2^n that factor, exponential in the qubits, no longer grows
with P.

What the paper offers for any circuit is not among the methods here: gentle measurements of O(n log^2 P / epsilon^4) copies,
in a quantum memory, and, as far as is known, a classical model exponential in n beside it. With a copy at a time it proves
that no method has it in general.
"""

import math
import time
from contextlib import suppress
from dataclasses import dataclass

from circuits.errors import LabError, Unsupported
from studies.decay import Growth, decay
from studies.drawing import COLOURS, MARKERS, NEUTRAL, label_ends

WORKERS = 1  # two at a time would measure each other
GROWTHS = {"layers": "layers", "block": "one commuting block"}
NETWORKS = {"wider": "wider network", "deeper": "deeper network"}
HIDDEN, WIDTH = 4, 2  # layers of a network that grows wider, width of one that grows deeper
DRAWS = 128  # gradients of a method that is random
LONGEST = 4.0  # times the longest step: where the draws stop
FEWEST = 4  # points for a law
HAS, SIMULATED, HAS_NOT, NOT_TOLD = "has it", "in simulation only", "has it not", "not told"


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        qubits: sizes; the verdict is that of the largest.
        weights: numbers of weights, each brought to whole layers, and for one block at most 2^(n-1).
        seconds: of a step, beyond which a method is followed no further.
        error: of the gradient, relative in its norm, to which random methods are repeated.
        seed: of weights and of methods' own draws.
    """

    qubits: tuple[int, ...] = (8, 12)
    weights: tuple[int, ...] = (10, 16, 32, 64, 128, 320, 1000, 2000)
    seconds: float = 8.0
    error: float = 0.5
    seed: int = 2305

    @classmethod
    def quick(cls) -> "Settings":
        """One size, fewer weights."""
        return cls(qubits=(8,), weights=(16, 32, 64, 128), seconds=1.0)

    def __post_init__(self):
        for name, least, most in (("qubits", 2, 16), ("weights", 2, 100_000)):
            values = getattr(self, name)
            if not values or min(values) < least or max(values) > most:
                shown = ",".join(map(str, values)) or "nothing"
                raise LabError(f"setting {name} takes numbers from {least} to {most}, got {shown}")
        if len(set(self.weights)) < FEWEST:
            raise LabError(f"setting weights takes {FEWEST} different numbers or more, got {sorted(set(self.weights))}")
        if not (0 < self.seconds < math.inf and 0 < self.error < 1 and self.seed >= 0):
            got = f"got {self.seconds:g}, {self.error:g} and {self.seed}"
            raise LabError(f"settings seconds, error and seed must be positive, between 0 and 1, and at least 0, {got}")


def cases(settings: Settings) -> list[dict]:
    """One case for each method and circuit that grows, and for each network; its sizes in ascending order."""
    from qml.gradients.base import names

    shared = {"seconds": settings.seconds, "error": settings.error, "seed": settings.seed}
    sizes = ",".join(map(str, sorted(set(settings.weights))))
    found = [{"method": name, "growth": "layers", "n_qubits": 0, "sizes": sizes, **shared} for name in NETWORKS]
    for growth in GROWTHS:
        for n in sorted(set(settings.qubits)):
            found += [{"method": m, "growth": growth, "n_qubits": n, "sizes": sizes, **shared} for m in names()]
    return found


def cost(case: dict) -> float:
    """Gates times amplitudes of one step, as often as it is run."""
    return 0.5 if case["method"] in NETWORKS else 1.0 + 2.0 ** (case["n_qubits"] - 10) * case["seconds"]


def run(case: dict) -> list[dict]:
    """One row for each number of weights: forward and backward, in gates or operations, bytes, qubits, seconds, error."""
    if case["method"] in NETWORKS:
        return [_classical(case, int(size)) for size in case["sizes"].split(",")]
    rows, spent = [], 0.0
    _warmed(case)
    for size in sorted({_fitted(case, int(size)) for size in case["sizes"].split(",")}):
        if spent > case["seconds"]:
            rows.append({"weights": size, "left_out": f"the size before took {spent:.2g} s"})
            continue
        started = time.perf_counter()
        rows.append({"weights": size, **_quantum(case, size)})
        spent = rows[-1].pop("step_seconds", time.perf_counter() - started)
    return rows


def _warmed(case: dict) -> None:
    """Kernels are loaded, so that no size is charged with it."""
    with suppress(Unsupported):  # each size says why
        _gradient(_layer(case, _fitted(case, 1), case["method"]))


def _fitted(case: dict, wanted: int) -> int:
    """The number of weights that the circuit can have."""
    n = case["n_qubits"]
    return 2 * n * max(1, round(wanted / (2 * n))) if case["growth"] == "layers" else min(wanted, 2 ** (n - 1))


def _circuit(case: dict, weights: int):
    """Layers, or rotations about X on 1, 3, 5, ... qubits: all of them commute and none with Z on all qubits."""
    from itertools import chain, combinations, islice

    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit.circuit.library import PauliEvolutionGate
    from qiskit.quantum_info import Pauli

    from circuits import ansatze

    n = case["n_qubits"]
    if case["growth"] == "layers":
        return ansatze.hardware_efficient(n, weights // (2 * n))
    circuit = QuantumCircuit(n)
    strings = chain.from_iterable(combinations(range(n), size) for size in range(1, n + 1, 2))
    for angle, qubits in zip(ParameterVector("w", weights), islice(strings, weights)):
        circuit.append(PauliEvolutionGate(Pauli("X" * len(qubits)), time=angle / 2), list(qubits))
    return circuit


def _layer(case: dict, weights: int, method: str, backend="native"):
    import torch

    from qml import QuantumLayer

    options = {"seed": case["seed"], "dtype": torch.float64}
    circuit, observable = _circuit(case, weights), "Z" * case["n_qubits"]
    return QuantumLayer(circuit, observable, [], backend=backend, diff_method=method, **options)


def _quantum(case: dict, weights: int) -> dict:
    from studies.step_costs import CountingBackend, counts_of, medians

    watched, reference = CountingBackend(), _layer(case, weights, "adjoint")
    started = time.perf_counter()
    try:
        layer = _layer(case, weights, case["method"], watched)
        layer.load_state_dict(reference.state_dict())
        row = counts_of(layer)
    except Unsupported as error:
        return {"left_out": str(error)}
    spent = time.perf_counter() - started
    row |= {"gradient_qubits": watched.most_qubits, "takes_shots": _takes_shots(layer)}
    row |= _error(layer, reference, LONGEST * case["seconds"])
    if spent < case["seconds"]:
        row |= medians(layer, lambda value: value.sum().backward(), 3)
    return row | {"step_seconds": spent}


def _takes_shots(layer) -> bool:
    """Whether the method works with what measurements give; one that reads the state refuses."""
    from qml.evaluation import Evaluation

    evaluation = layer._evaluation
    try:
        Evaluation(evaluation.compiled, evaluation.method, shots=1)
    except Unsupported:
        return False
    return True


def _error(layer, reference, longest: float) -> dict:
    """Mean square of the relative error of the gradient in hand and of more draws, and how well that is known."""
    import numpy as np

    exact, found, squares = _gradient(reference), layer.w.grad.numpy(), []
    started = time.perf_counter()
    for draw in range(DRAWS if layer._evaluation.method.is_random else 1):
        found = _gradient(layer) if draw else found
        squares.append(float((np.linalg.norm(found - exact) / np.linalg.norm(exact)) ** 2))
        if time.perf_counter() - started > longest:
            break
    spread = float(np.std(squares) / np.mean(squares) / len(squares) ** 0.5) if len(squares) > 1 else 0.0
    return {"square_error": float(np.mean(squares)), "square_error_spread": spread, "draws": len(squares)}


def _gradient(layer):
    layer.zero_grad()
    layer().sum().backward()
    return layer.w.grad.numpy().copy()


def _classical(case: dict, wanted: int) -> dict:
    """A network with about as many weights, at one sample."""
    import torch

    from studies.step_costs import counts_of_network, medians, tanh_network

    if case["method"] == "wider":
        shape = max(1, round((wanted / HIDDEN + 1) ** 0.5 - 1)), HIDDEN
    else:
        shape = WIDTH, max(1, round(wanted / (WIDTH**2 + WIDTH)))
    model, inputs = tanh_network(*shape, case["seed"]), torch.ones(1, shape[0], dtype=torch.float64)
    row = counts_of_network(model, inputs)
    seconds = medians(lambda: model(inputs), lambda value: value.sum().backward(), 3)
    return {"weights": row["own_weights"], "square_error": 0.0, **row, **seconds}


def _points(rows: list[dict], method: str, growth: str, n: int) -> list[dict]:
    chosen = [r for r in rows if (r["method"], r["growth"], r["n_qubits"]) == (method, growth, n) and "left_out" not in r]
    return sorted(chosen, key=lambda row: row["weights"])


def _repeats(row: dict) -> float:
    """How many estimates have a mean that is right to the wanted error; one where a single one is."""
    return max(1.0, row["square_error"] / row["error"] ** 2)


def _runs(row: dict) -> float:
    """Gates or operations of one estimate over those of a value."""
    return _over(row, "gates" if "forward_gates" in row else "flops")


def _over(row: dict, kind: str) -> float:
    return row[f"gradient_{kind}"] / row[f"forward_{kind}"]


def _memory(row: dict) -> float:
    """Of a gradient over that of a value: qubits where shots suffice, else bytes, those of the weights among them."""
    if row.get("takes_shots"):
        return row["gradient_qubits"] / row["n_qubits"]
    if row["method"] in NETWORKS:
        return _over(row, "bytes")
    held = max(row["gradient_bytes"], row["forward_bytes"])
    return (held + 16 * row["weights"]) / (row["forward_bytes"] + 8 * row["weights"])


MEASURES = {"gates": _runs, "repeats": _repeats, "memory": _memory, "seconds": lambda row: _over(row, "seconds")}


def grows(points: list[dict], measure: str) -> Growth | None:
    """The law of a measure over its points; None where they are too few."""
    if len({row["weights"] for row in points}) < FEWEST:
        return None
    values = [MEASURES[measure](row) for row in points]
    spread = [row.get("square_error_spread", 0.0) if measure == "repeats" and _repeats(row) > 1 else 0.0 for row in points]
    return Growth(decay([math.log(row["weights"]) for row in points], values, spread), tuple(values))


def answer(points: list[dict]) -> tuple[str, str]:
    """Whether backpropagation scaling is had, and why not."""
    words = {"gates": "gates go as {}", "repeats": "its error needs {} repeats", "memory": "memory goes as {}"}
    laws = {measure: grows(points, measure) for measure in words}  # seconds are a witness, not a judge
    if None in laws.values():
        return NOT_TOLD, f"fewer than {FEWEST} sizes"
    for passes, found in ((False, HAS_NOT), (None, NOT_TOLD)):
        if why := [words[measure].format(law) for measure, law in laws.items() if law.is_let_pass is passes]:
            return found, " and ".join(why)
    is_had = points[-1]["method"] in NETWORKS or points[-1]["takes_shots"]
    return (HAS, "") if is_had else (SIMULATED, "it reads the state")


def _keys(rows: list[dict]) -> list[tuple[str, str, int]]:
    return list(dict.fromkeys((row["method"], row["growth"], row["n_qubits"]) for row in rows))


def table(rows: list[dict]) -> list[dict]:
    """One line for each method, circuit and size, at the most weights that it got to."""
    lines = []
    for method, growth, n in _keys(rows):
        points = _points(rows, method, growth, n)
        line = {"method": NETWORKS.get(method, method), "grows": GROWTHS[growth] if n else "", "n": n or None}
        if points:
            line |= {"weights": points[-1]["weights"], "circuits": points[-1].get("gradient_circuits")}
            line |= {measure: _cell(points, measure) for measure in MEASURES}
        line |= {"answer": answer(points)[0]}
        left = [r for r in rows if (r["method"], r["growth"], r["n_qubits"]) == (method, growth, n) and "left_out" in r]
        lines.append(line | ({"left out": f"{left[0]['weights']} weights: {left[0]['left_out']}"} if left else {}))
    return lines


def _cell(points: list[dict], measure: str) -> str:
    points = [row for row in points if measure != "seconds" or "forward_seconds" in row]
    if not points:
        return ""
    value = MEASURES[measure](points[-1])
    shown = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return f"{shown}, {law}" if (law := grows(points, measure)) else shown


def verdict(rows: list[dict]) -> str:
    """Which have it, on hardware or in simulation only, and which have it not, for either way to grow."""
    words = [f"Backpropagation scaling, a gradient to a relative error of {rows[0]['error']:g}:"]
    words.append(_answers(rows, [key for key in _keys(rows) if key[0] in NETWORKS], "Classical networks"))
    n = max(row["n_qubits"] for row in rows)
    for growth, title in (("layers", f"Layers on {n} qubits"), ("block", f"One commuting block on {n} qubits")):
        words.append(_answers(rows, [key for key in _keys(rows) if key[1:] == (growth, n)], title))
    return " ".join([*words, _control(rows, n)])


def _control(rows: list[dict], n: int) -> str:
    """Whether networks have it and the shift rule in layers has it not."""
    found = {key: answer(_points(rows, *key))[0] for key in _keys(rows)}
    wrong = [NETWORKS[key[0]] for key, word in found.items() if key[0] in NETWORKS and word == HAS_NOT]
    wrong += ["parameter-shift"] * (found.get(("parameter-shift", "layers", n)) == HAS)
    return f"The control FAILS for {', '.join(wrong)}: do not trust this run." if wrong else "Neither control fails."


def _answers(rows: list[dict], keys: list[tuple], title: str) -> str:
    found: dict[str, list[str]] = {}
    for key in keys:
        word, why = answer(_points(rows, *key))
        name = NETWORKS.get(key[0], key[0])
        found.setdefault(word, []).append(f"{name} ({why})" if why and word != SIMULATED else name)
    order = [word for word in (HAS, SIMULATED, HAS_NOT, NOT_TOLD) if word in found]
    return f"{title}: " + "; ".join(f"{word}: {', '.join(found[word])}" for word in order) + "."


def figure(rows: list[dict]):
    """Time and memory of a gradient over those of a value, for layers and for one commuting block."""
    from matplotlib.figure import Figure

    n = max(row["n_qubits"] for row in rows)
    methods = [method for method in dict.fromkeys(row["method"] for row in rows) if method not in NETWORKS]
    drawing = Figure(figsize=(12.6, 9.6))
    grid = drawing.subplots(2, 2, sharex=True, sharey="col")
    ends = []
    for line, growth in zip(grid, GROWTHS):
        for axes, what, measure in zip(line, ("time", "memory"), (lambda r: _runs(r) * _repeats(r), _memory)):
            own = []
            for method in (*methods, *NETWORKS):
                key = (method, "layers", 0) if method in NETWORKS else (method, growth, n)
                points = [(row["weights"], measure(row)) for row in _points(rows, *key)]
                if points:
                    look = _look(methods, method)
                    axes.plot(*zip(*points), **look)
                    own.append((*points[-1], NETWORKS.get(method, method), look["color"]))
            axes.set(xscale="log", yscale="log", ylabel=f"{what} of a gradient / of a value")
            axes.set_title(f"{what.capitalize()}, {GROWTHS[growth]}", fontsize=11)
            ends.append((axes, own))
    for axes, own in ends:  # once the scales that they share are known
        label_ends(axes, own)
    for axes in grid[1]:
        axes.set_xlabel("weights P")
    drawing.suptitle(_title(rows, n), x=0.01, ha="left", fontsize=14)
    return drawing


def _look(methods: list[str], method: str) -> dict:
    if method in NETWORKS:
        return {"color": NEUTRAL, "lw": 2.5, "marker": "^" if method == "wider" else "v", "ms": 6}
    number = methods.index(method)
    again = number >= len(COLOURS)
    look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[(number + again) % len(MARKERS)]}
    return look | {"ls": "--" if again else "-", "ms": 5, "lw": 1.2}


def _title(rows: list[dict], n: int) -> str:
    """Which methods have it where shots are taken, for both circuits."""

    def those(growth: str) -> str:
        keys = [key for key in _keys(rows) if key[1:] == (growth, n)]
        return ", ".join(key[0] for key in keys if answer(_points(rows, *key))[0] == HAS) or "no method"

    layers, block = map(those, GROWTHS)
    return f"Backpropagation scaling on hardware, {n} qubits: {layers} for layers, {block} for one commuting block"
