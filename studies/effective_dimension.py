"""Has a quantum neural network a larger effective dimension than a classical one with as many parameters?

Source: Abbas, Sutter, Zoufal, Lucchi, Figalli, Woerner, Nat. Comput. Sci. 1, 403 (2021), arXiv:2011.00027, Fig. 3a.

Expected: over the number of parameters it is .82 for 1,000 data and .92 for a million, within .03 at all eleven published
numbers of data; that of the easy quantum model is below it, that of the classical network below both.

Control: the easy quantum model, the same ansatz after a feature map without entanglement, and the classical network, each
with published values of its own; the published Fisher matrices, where their file is given, through the same formula.

Minutes: 0.1 with --quick, 0.2 in full, on two cores.

All models have 40 parameters, 4 inputs and 2 classes. Quantum: Qiskit's ZZ feature map with two repetitions, real
amplitudes with nine; easy: the Z feature map, once. A class is the parity of the bits read, so the probability of the even
one is (1 + <Z...Z>) / 2. Classical: layers of 4, 4, 4 and 2 units without biases, leaky ReLU, tanh before the softmax.
The Fisher matrix at each of the drawn parameters is averaged over the same normal inputs, exactly over the classes.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from circuits.errors import LabError
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.published import ABBAS_DIMENSIONS, ABBAS_SIZES
from studies.statistics import Interval

MODELS = ("quantum", "easy quantum", "classical")
STORED = "published Fishers"
N_QUBITS, N_PARAMETERS = 4, 40
UNITS = (4, 4, 4, 2)
CHUNK = 25  # draws of parameters in a case
DIGITS = 8  # significant ones of the stored eigenvalues
SMALL = 1e-3  # eigenvalues below, of Fisher matrices normalised to a mean trace of 40, are directions that do not count
AGREEMENT = 0.03  # of effective dimensions over the number of parameters, with published ones
REPRODUCED = 1e-5  # the same, of published Fisher matrices, whose published values have five digits
HANDFUL = 5.0  # draws: where fewer carry a mean, its interval is not to be believed
RESAMPLES = 1000


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        draws: of the parameters of each model.
        inputs: drawn from the normal law, the same for all parameters and models.
        width: parameters are uniform between -width and width.
        fishers: file of the published Fisher matrices, (draws, 40, 40) in NumPy's format; "" does without.
        seed: of every draw.
    """

    draws: int = 100
    inputs: int = 100
    width: float = 1.0
    fishers: str = ""
    seed: int = 2021

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer draws of parameters, on as many inputs: with fewer of these the Fisher matrices lose rank."""
        return cls(draws=50)

    def __post_init__(self):
        for name, least in {"draws": 10, "inputs": 1, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.width < math.inf:
            raise LabError(f"setting width must be a positive number, such as 1 or 3.14, got {self.width}")
        if self.fishers and _fishers(self.fishers).shape[1:] != (N_PARAMETERS, N_PARAMETERS):
            raise LabError(f"setting fishers must be a file of an array (draws, 40, 40), got {self.fishers!r}")


def cases(settings: Settings) -> list[dict]:
    """One case for each model and chunk of draws; one for the published matrices, known by their content."""
    drawn = [
        {
            "model": model,
            "first_draw": first,
            "draws": min(CHUNK, settings.draws - first),
            "inputs": settings.inputs,
            "width": settings.width,
            "seed": settings.seed,
        }
        for model in MODELS
        for first in range(0, settings.draws, CHUNK)
    ]
    if not settings.fishers:
        return drawn
    content = hashlib.sha256(Path(settings.fishers).read_bytes()).hexdigest()
    count = len(_fishers(settings.fishers))
    return [*drawn, {"model": STORED, "first_draw": 0, "draws": count, "fishers": settings.fishers, "content": content}]


def cost(case: dict) -> float:
    """Circuits are slower than matrices."""
    return case["draws"] * (1.0 if case["model"] in MODELS[:2] else 0.1)


def run(case: dict) -> list[dict]:
    """The eigenvalues of the Fisher matrix at each draw of the parameters, in ascending order."""
    if case["model"] == STORED:
        matrices = _fishers(case["fishers"])
    else:
        draws = range(case["first_draw"], case["first_draw"] + case["draws"])
        inputs = _inputs(case["seed"], case["inputs"])
        parameters = [_parameters(case["seed"], case["model"], draw, case["width"]) for draw in draws]
        matrices = np.stack([fisher(case["model"], values, inputs) for values in parameters])
    # A Fisher matrix has none below zero, only rounding errors.
    eigenvalues = np.maximum(np.linalg.eigvalsh(matrices), 0)
    return [{"eigenvalues": [[float(f"{value:.{DIGITS}g}") for value in draw] for draw in eigenvalues]}]


def _fishers(path: str) -> np.ndarray:
    try:
        return np.load(path)
    except (OSError, ValueError) as error:
        raise LabError(f"setting fishers must be a readable .npy file, got {path!r} ({error})") from None


def _inputs(seed: int, count: int) -> np.ndarray:
    keys = (np.random.SeedSequence(seed, spawn_key=(0, number)) for number in range(count))
    return np.stack([np.random.default_rng(key).standard_normal(N_QUBITS) for key in keys])


def _parameters(seed: int, model: str, draw: int, width: float) -> np.ndarray:
    key = np.random.SeedSequence(seed, spawn_key=(1, MODELS.index(model), draw))
    return np.random.default_rng(key).uniform(-width, width, N_PARAMETERS)


def fisher(model: str, parameters: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """(d, d) Fisher information of a model of two classes, averaged over (B, n) inputs and exactly over the classes.

    With p the probability of a class, sum_y p_y grad(ln p_y) grad(ln p_y)^T is grad(p) grad(p)^T / (p (1 - p)).

    Cost: one forward and one backward sweep for all inputs: each has a copy of the parameters to itself.
    """
    import torch

    copies = torch.from_numpy(np.tile(parameters, (len(inputs), 1))).requires_grad_()
    probabilities = _probability(model)(torch.from_numpy(inputs), copies)
    probabilities.sum().backward()
    p = probabilities.detach().numpy()
    slopes = copies.grad.numpy() / np.sqrt(p * (1 - p))[:, None]
    return slopes.T @ slopes / len(inputs)


@lru_cache
def _probability(model: str):
    """The probability of the first class (B,) as a function of inputs (B, 4) and parameters (B, 40)."""
    if model == "classical":
        return _network
    import torch
    from qiskit.circuit.library import real_amplitudes, z_feature_map, zz_feature_map

    from circuits.observables import z_string
    from qml import QuantumLayer

    feature_map = z_feature_map(N_QUBITS, reps=1) if model == "easy quantum" else zz_feature_map(N_QUBITS, reps=2)
    circuit = feature_map.compose(real_amplitudes(N_QUBITS, reps=9, parameter_prefix="w"))
    layer = QuantumLayer(circuit, z_string(N_QUBITS), dtype=torch.float64, seed=0)
    return lambda inputs, parameters: (1 + layer.evaluate(inputs, parameters)[:, 0]) / 2


def _network(inputs, parameters):
    import torch

    sizes = [into * out for into, out in pairwise(UNITS)]
    parts = zip(parameters.split(sizes, dim=1), pairwise(UNITS))
    matrices = [part.reshape(-1, out, into) for part, (into, out) in parts]
    values = inputs
    for matrix in matrices[:-1]:
        values = torch.nn.functional.leaky_relu(torch.einsum("boi,bi->bo", matrix, values))
    return torch.tanh(torch.einsum("boi,bi->bo", matrices[-1], values)).softmax(dim=1)[:, 0]


def effective_dimension(eigenvalues: np.ndarray, n_data: float) -> np.ndarray:
    """(...,) effective dimensions over the number of parameters, from Fisher eigenvalues (..., draws, d).

    Source: Abbas et al., Nat. Comput. Sci. 1, 403 (2021), eq. 2 with gamma = 1: with kappa = n / (2 pi ln n) and Fisher
    matrices F of mean trace d, it is 2 ln(mean of sqrt(det(1 + kappa F))) / ln(kappa).
    """
    from scipy.special import logsumexp

    volumes = _log_volumes(eigenvalues, n_data)
    draws, d = eigenvalues.shape[-2:]
    return 2 * (logsumexp(volumes, axis=-1) - math.log(draws)) / math.log(_kappa(n_data)) / d


def _kappa(n_data: float) -> float:
    return n_data / (2 * math.pi * math.log(n_data))


def _log_volumes(eigenvalues: np.ndarray, n_data: float) -> np.ndarray:
    """(..., draws) logarithms of sqrt(det(1 + kappa F))."""
    units = eigenvalues.shape[-1] / eigenvalues.sum(axis=-1).mean(axis=-1)[..., None, None]
    return np.log1p(_kappa(n_data) * units * eigenvalues).sum(axis=-1) / 2


def carrying(eigenvalues: np.ndarray, n_data: float) -> float:
    """How many of the draws carry the mean: (sum of volumes)^2 / sum of squares, from 1 to all of them.

    Where it is a handful, a larger volume is still to be drawn: the estimate is too small, its interval too narrow.

    Source: Kish's effective sample size, Survey Sampling (1965).
    """
    volumes = _log_volumes(eigenvalues, n_data)
    weights = np.exp(volumes - volumes.max())
    return float(weights.sum() ** 2 / (weights @ weights))


@dataclass(frozen=True)
class Curve:
    """The effective dimensions of a model over its number of parameters.

    Attributes:
        spectrum: all eigenvalues of the Fisher matrices, normalised to a mean trace of the number of parameters.
        dimensions: by the numbers of data `ABBAS_SIZES`.
        carrying: likewise, how many of the draws carry the mean.
        published: likewise.
    """

    model: str
    draws: int
    spectrum: np.ndarray
    dimensions: tuple[Interval, ...]
    carrying: tuple[float, ...]
    published: tuple[float, ...]

    @property
    def small(self) -> float:
        """The fraction of eigenvalues that hardly count."""
        return float((self.spectrum < SMALL).mean())

    @property
    def distances(self) -> list[float]:
        """From the published values, whatever their sign."""
        return [abs(found.value - value) for found, value in zip(self.dimensions, self.published)]


def curves(rows: list[dict]) -> list[Curve]:
    """One for each model, and for the published Fisher matrices where they are among the rows."""
    groups: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["first_draw"]):
        groups.setdefault(row["model"], []).append(row)
    return [_curve(model, groups[model]) for model in (*MODELS, STORED) if model in groups]


def _curve(model: str, rows: list[dict]) -> Curve:
    eigenvalues = np.concatenate([row["eigenvalues"] for row in rows])
    resampled = eigenvalues[np.random.default_rng(0).integers(0, len(eigenvalues), (RESAMPLES, len(eigenvalues)))]
    return Curve(
        model,
        len(eigenvalues),
        np.sort((eigenvalues * N_PARAMETERS / eigenvalues.sum(axis=1).mean()).ravel()),
        tuple(_dimension(eigenvalues, resampled, n_data) for n_data in ABBAS_SIZES),
        tuple(carrying(eigenvalues, n_data) for n_data in ABBAS_SIZES),
        ABBAS_DIMENSIONS.get(model, ABBAS_DIMENSIONS["quantum"]),
    )


def _dimension(eigenvalues: np.ndarray, resampled: np.ndarray, n_data: float) -> Interval:
    """With the basic bootstrap's 95 % interval over the draws of the parameters, which also turns its bias round.

    Of 100 intervals from 100 draws each, 97 and 94 held the quantum model's value of 1,500 draws (at 1,000 and a million
    data), 94 and 86 the easy one's, 56 and 62 the classical network's.
    """
    value = float(effective_dimension(eigenvalues, n_data))
    low, high = np.quantile(effective_dimension(resampled, n_data), (0.025, 0.975))
    return Interval(value, 2 * value - float(high), 2 * value - float(low))


def table(rows: list[dict]) -> list[dict]:
    """The effective dimension of each model at each number of data, with its 95 % interval and the published one."""
    return [
        {
            "model": curve.model,
            "data": n_data,
            "dimension / parameters": found.value,
            "low": found.low,
            "high": found.high,
            "published": published,
            "carrying draws": round(carriers, 1),
            f"eigenvalues < {SMALL:g}": curve.small,
        }
        for curve in curves(rows)
        for n_data, found, published, carriers in zip(ABBAS_SIZES, curve.dimensions, curve.published, curve.carrying)
    ]


def verdict(rows: list[dict]) -> str:
    """Whether the models stand in the published order, which published values are found again, and what to doubt."""
    found = curves(rows)
    drawn = [curve for curve in found if curve.model in MODELS]
    stored = [_reproduction(curve) for curve in found if curve.model == STORED]
    return " ".join([_answer(drawn), *[_comparison(curve) for curve in drawn], _spectra(drawn), *_doubts(drawn), *stored])


def apart(above: Curve, below: Curve) -> int:
    """At how many numbers of data one model lies above the other, with intervals apart."""
    return sum(one.low > other.high for one, other in zip(above.dimensions, below.dimensions))


def in_order(drawn: list[Curve]) -> bool:
    """Whether every model's values are above those of the next one at every number of data."""
    pairs = [pair for one, other in pairwise(drawn) for pair in zip(one.dimensions, other.dimensions)]
    return all(above.value > below.value for above, below in pairs)


def _answer(drawn: list[Curve]) -> str:
    quantum, easy, classical = drawn
    every = len(ABBAS_SIZES)
    larger = apart(quantum, classical)
    shown = "Yes" if larger == every else "Not shown"
    ends = [f"{curve.dimensions[0]} to {curve.dimensions[-1]}" for curve in (quantum, classical)]
    return (
        f"{shown}: at {larger} of {every} numbers of data the quantum network is above the classical one with 95 % "
        f"intervals apart (over {quantum.draws} draws of the parameters): from {ABBAS_SIZES[0]:,} to {ABBAS_SIZES[-1]:,} "
        f"data it goes from {ends[0]}, the classical one from {ends[1]} of the number of parameters. The values are "
        f"{'' if in_order(drawn) else 'NOT '}in the published order, quantum, easy quantum, classical; the easy model is "
        f"below the quantum one with intervals apart at {apart(quantum, easy)} and above the classical one at "
        f"{apart(easy, classical)} of {every}."
    )


def _comparison(curve: Curve) -> str:
    near = sum(distance <= AGREEMENT for distance in curve.distances)
    every = len(curve.distances)
    count = f"all {every}" if near == every else f"{near} of {every}"
    return (
        f"Of the {curve.model} model's published values ({curve.published[0]:.3f} to {curve.published[-1]:.3f}) {count} are "
        f"found within {AGREEMENT}; the largest difference is {max(curve.distances):.3f}."
    )


def _spectra(drawn: list[Curve]) -> str:
    parts = [f"{curve.small:.1%} ({curve.model})" for curve in drawn]
    return f"Of the normalised Fisher eigenvalues, {', '.join(parts)} are below {SMALL:g}."


def _doubts(drawn: list[Curve]) -> list[str]:
    """One sentence on the models whose mean is carried by a handful of draws, or none."""
    few = [curve for curve in drawn if min(curve.carrying) < HANDFUL]
    if not few:
        return []
    parts = [f"{min(curve.carrying):.1f} ({curve.model})" for curve in few]
    return [
        f"Of the {few[0].draws} draws no more than {', '.join(parts)} carry the mean at the worst number of data: such "
        "values hang on a few draws, are too small on average and have too narrow intervals; so have published ones of as "
        "many draws."
    ]


def _reproduction(curve: Curve) -> str:
    off = max(curve.distances)
    words = "give" if off <= REPRODUCED else "do NOT give"
    return f"The published Fisher matrices {words} the published values: the largest difference is {off:.1e}."


def figure(rows: list[dict]):
    """The effective dimensions beside the published ones, and what part of the Fisher eigenvalues is below a value."""
    from matplotlib.figure import Figure

    drawn = [curve for curve in curves(rows) if curve.model in MODELS]
    drawing = Figure(figsize=(8.4, 7.2))
    top, bottom = drawing.subplots(2, 1, height_ratios=(3, 2))
    for colour, marker, curve in zip(COLOURS, MARKERS, drawn):
        value, low, high = ([getattr(found, end) for found in curve.dimensions] for end in ("value", "low", "high"))
        top.fill_between(ABBAS_SIZES, low, high, color=colour, alpha=0.25, lw=0)
        top.plot(ABBAS_SIZES, value, color=colour, label=curve.model)
        top.plot(ABBAS_SIZES, curve.published, color=colour, marker=marker, mfc="none", ls="", label="published")
        share = np.arange(1, curve.spectrum.size + 1) / curve.spectrum.size
        bottom.plot(np.maximum(curve.spectrum, 1e-12), share, color=colour, label=f"{curve.model}: {curve.small:.1%}")
    top.set(title=_title(drawn), xscale="log", xlabel="number of data n", ylabel="effective dimension / parameters")
    top.set_ylim(top=1)
    handles, labels = top.get_legend_handles_labels()
    order = [*range(0, len(handles), 2), *range(1, len(handles), 2)]  # columns: measured, published
    top.legend([handles[k] for k in order], [labels[k] for k in order], ncols=2, loc="upper left", fontsize=10)
    bottom.axvline(SMALL, color=NEUTRAL, lw=1.2, ls=":")
    bottom.set(
        xscale="log", xlabel="eigenvalue of the normalised Fisher matrix", ylabel="part of them below", xlim=(1e-9, 100)
    )
    bottom.legend(title=f"below {SMALL:g} (dotted)", loc="upper left", fontsize=10, alignment="left")
    return drawing


def _title(drawn: list[Curve]) -> str:
    if not in_order(drawn):
        return "The models' effective dimensions are not in the published order"
    found = "as published" if max(drawn[0].distances) <= AGREEMENT else "but not the published one"
    return f"The quantum network has the largest effective dimension, {found}"
