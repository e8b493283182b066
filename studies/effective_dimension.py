"""Has a quantum neural network a larger effective dimension than a classical one with as many parameters?

Source: Abbas, Sutter, Zoufal, Lucchi, Figalli, Woerner, Nat. Comput. Sci. 1, 403 (2021), arXiv:2011.00027, Fig. 3a.

Expected: over the number of parameters it is .82 for 1,000 data and .92 for a million, within .03 at all eleven published
numbers of data; that of the easy quantum model is below it, that of the classical network below both. From the authors'
own seeds all published values are found again to their five digits.

Control: the easy quantum model, the same ansatz after a feature map without entanglement, and the classical network; the
authors' draws, replayed.

Minutes: 0.1 with --quick, 0.3 in full, on two cores.

The models are those of `studies/fisher.py`, with 4 inputs, 2 classes and 40 parameters, uniform from 0 to 1 as in the
authors' program. The published classical curve is not that of the network with units 4, 4, 4, 2 and 40 parameters
which paper and file name, but of one with units 4, 4, 2, 2 and 28: both are here.
The Fisher matrix at each of the drawn parameters is averaged over the same normal inputs, exactly over the classes.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from circuits.errors import LabError
from studies.drawing import COLOURS, MARKERS, NEUTRAL
from studies.fisher import AUTHORS_DRAWS, MODELS, N_QUBITS, authors_draws, fisher, n_parameters
from studies.published import ABBAS_DIMENSIONS, ABBAS_SIZES
from studies.statistics import Interval

COMPARED = MODELS[:3]  # of 40 parameters each
PUBLISHED_AS = {"quantum": "quantum", "easy quantum": "easy quantum", MODELS[3]: "called classical 4-4-4-2"}
CHUNK = 25  # draws of parameters in a case
DIGITS = 8  # significant ones of the stored eigenvalues
SMALL = 1e-3  # eigenvalues below, of Fisher matrices normalised to a mean trace of d, are directions that do not count
AGREEMENT = 0.03  # of effective dimensions over the number of parameters, with published ones
REPRODUCED = 1e-5  # the same, at the authors' draws: published values have five digits
HANDFUL = 5.0  # draws: where fewer carry a mean, its interval is not to be believed
RESAMPLES = 1000


@dataclass(frozen=True)
class Settings:
    """What the study varies.

    Attributes:
        draws: of the parameters of each model.
        inputs: drawn from the normal law, the same for all parameters and models.
        low, high: parameters are uniform between them.
        replay: whether the authors' draws are taken as well.
        seed: of every draw of ours.
    """

    draws: int = 100
    inputs: int = 100
    low: float = 0.0
    high: float = 1.0
    replay: bool = True
    seed: int = 2021

    @classmethod
    def quick(cls) -> "Settings":
        """Fewer draws of parameters, on as many inputs: with fewer of these the Fisher matrices lose rank."""
        return cls(draws=50)

    def __post_init__(self):
        for name, least in {"draws": 10, "inputs": 1, "seed": 0}.items():
            if getattr(self, name) < least:
                raise LabError(f"setting {name} must be at least {least}, got {getattr(self, name)}")
        if not -math.inf < self.low < self.high < math.inf:
            raise LabError(f"setting low must be below high, such as low=-1 and high=1, got {self.low} and {self.high}")


def cases(settings: Settings) -> list[dict]:
    """One case for each model and chunk of draws, ours and the authors'."""
    ours = {"inputs": settings.inputs, "low": settings.low, "high": settings.high, "seed": settings.seed}
    kinds = [(False, settings.draws, ours)] + [(True, AUTHORS_DRAWS, {})] * settings.replay
    return [
        {"model": model, "replay": replay, "first_draw": first, "draws": min(CHUNK, draws - first), **fields}
        for replay, draws, fields in kinds
        for model in MODELS
        for first in range(0, draws, CHUNK)
    ]


def cost(case: dict) -> float:
    """Circuits are slower than matrices."""
    return case["draws"] * (1.0 if case["model"] in MODELS[:2] else 0.1)


def run(case: dict) -> list[dict]:
    """The eigenvalues of the Fisher matrix at each draw of the parameters, in ascending order."""
    draws = range(case["first_draw"], case["first_draw"] + case["draws"])
    if case["replay"]:
        parameters, inputs = authors_draws(case["model"])
        parameters = parameters[draws.start : draws.stop]
    else:
        inputs = _inputs(case["seed"], case["inputs"])
        parameters = [_parameters(case["seed"], case["model"], draw, case["low"], case["high"]) for draw in draws]
    matrices = np.stack([fisher(case["model"], values, inputs) for values in parameters])
    # A Fisher matrix has none below zero, only rounding errors.
    eigenvalues = np.maximum(np.linalg.eigvalsh(matrices), 0)
    return [{"eigenvalues": [[float(f"{value:.{DIGITS}g}") for value in draw] for draw in eigenvalues]}]


def _inputs(seed: int, count: int) -> np.ndarray:
    keys = (np.random.SeedSequence(seed, spawn_key=(0, number)) for number in range(count))
    return np.stack([np.random.default_rng(key).standard_normal(N_QUBITS) for key in keys])


def _parameters(seed: int, model: str, draw: int, low: float, high: float) -> np.ndarray:
    key = np.random.SeedSequence(seed, spawn_key=(1, MODELS.index(model), draw))
    return np.random.default_rng(key).uniform(low, high, n_parameters(model))


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
        replay: whether the draws are the authors'.
        spectrum: all eigenvalues of the Fisher matrices, normalised to a mean trace of the number of parameters.
        dimensions: by the numbers of data `ABBAS_SIZES`.
        carrying: likewise, how many of the draws carry the mean.
        published: likewise, empty where nothing is.
    """

    model: str
    replay: bool
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
    """One for each model, at our draws and then at the authors'."""
    groups: dict[tuple, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["first_draw"]):
        groups.setdefault((row["model"], row["replay"]), []).append(row)
    keys = [(model, replay) for replay in (False, True) for model in MODELS]
    return [_curve(*key, groups[key]) for key in keys if key in groups]


def _curve(model: str, replay: bool, rows: list[dict]) -> Curve:
    eigenvalues = np.concatenate([row["eigenvalues"] for row in rows])
    resampled = eigenvalues[np.random.default_rng(0).integers(0, len(eigenvalues), (RESAMPLES, len(eigenvalues)))]
    return Curve(
        model,
        replay,
        len(eigenvalues),
        np.sort((eigenvalues * eigenvalues.shape[1] / eigenvalues.sum(axis=1).mean()).ravel()),
        tuple(_dimension(eigenvalues, resampled, n_data) for n_data in ABBAS_SIZES),
        tuple(carrying(eigenvalues, n_data) for n_data in ABBAS_SIZES),
        ABBAS_DIMENSIONS.get(model, ()),
    )


def _dimension(eigenvalues: np.ndarray, resampled: np.ndarray, n_data: float) -> Interval:
    """With the basic bootstrap's 95 % interval over the draws of the parameters, which also turns its bias round.

    Of 100 intervals from 100 draws each, 97 and 94 held the quantum model's value of 1,500 draws (at 1,000 and a million
    data), 94 and 86 the easy one's, 56 and 62 the classical network's, parameters being uniform from -1 to 1.
    """
    value = float(effective_dimension(eigenvalues, n_data))
    low, high = np.quantile(effective_dimension(resampled, n_data), (0.025, 0.975))
    return Interval(value, 2 * value - float(high), 2 * value - float(low))


def table(rows: list[dict]) -> list[dict]:
    """The effective dimension of each model at each number of data, with its 95 % interval and the published one."""
    return [
        {
            "model": curve.model,
            "draws": "the authors'" if curve.replay else "ours",
            "data": n_data,
            "dimension / parameters": found.value,
            "low": found.low,
            "high": found.high,
            "published": published,
            "carrying draws": round(carriers, 1),
            f"eigenvalues < {SMALL:g}": curve.small,
        }
        for curve in curves(rows)
        for n_data, found, published, carriers in zip(
            ABBAS_SIZES, curve.dimensions, curve.published or [None] * len(ABBAS_SIZES), curve.carrying
        )
    ]


def verdict(rows: list[dict]) -> str:
    """Whether the models stand in the published order, which published values are found again, and what to doubt."""
    found = curves(rows)
    ours = [curve for curve in found if not curve.replay]
    compared = [curve for curve in ours if curve.model in COMPARED]
    comparisons = [_comparison(curve) for curve in ours if curve.published]
    replays = _replays([curve for curve in found if curve.replay])
    return " ".join([_answer(compared), *comparisons, _spectra(ours), *_doubts(ours), *replays])


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


def _replays(curves: list[Curve]) -> list[str]:
    """Whether the authors' draws give their values, and what the classical curve is then of."""
    known = [curve for curve in curves if curve.published]
    if not known:
        return []
    off = max(max(curve.distances) for curve in known)
    words = "give" if off <= REPRODUCED else "do NOT give"
    sentence = f"The authors' own draws {words} the published values: the largest difference is {off:.1e}"
    larger = [curve for curve in curves if curve.model == "classical"]
    if off > REPRODUCED or not larger:
        return [f"{sentence}."]
    ends = " to ".join(f"{larger[0].dimensions[place].value:.3f}" for place in (0, -1))
    return [
        f"{sentence}, where the classical network is taken to have units 4, 4, 2, 2 and 28 parameters; the one with units "
        f"4, 4, 4, 2 and 40 parameters, which is said to be shown, has {ends} at the same draws."
    ]


def figure(rows: list[dict]):
    """The effective dimensions beside the published ones, and what part of the Fisher eigenvalues is below a value."""
    from matplotlib.figure import Figure

    drawn = [curve for curve in curves(rows) if not curve.replay]
    drawing = Figure(figsize=(8.4, 7.8))
    top, bottom = drawing.subplots(2, 1, height_ratios=(3, 2))
    for colour, marker, curve in zip(COLOURS, MARKERS, drawn):
        value, low, high = ([getattr(found, end) for found in curve.dimensions] for end in ("value", "low", "high"))
        top.fill_between(ABBAS_SIZES, low, high, color=colour, alpha=0.25, lw=0)
        top.plot(ABBAS_SIZES, value, color=colour, label=f"{curve.model}, {n_parameters(curve.model)} parameters")
        if curve.published:
            look = {"color": colour, "marker": marker, "mfc": "none", "ls": ""}
            top.plot(ABBAS_SIZES, curve.published, label=f"published, {PUBLISHED_AS[curve.model]}", **look)
        share = np.arange(1, curve.spectrum.size + 1) / curve.spectrum.size
        bottom.plot(np.maximum(curve.spectrum, 1e-12), share, color=colour, label=f"{curve.model}: {curve.small:.1%}")
    top.set(title=_title(drawn), xscale="log", xlabel="number of data n", ylabel="effective dimension / parameters")
    handles, labels = top.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: labels[k].startswith("published"))  # columns: measured, published
    look = {"ncols": 2, "loc": "outside lower center", "fontsize": 10}
    drawing.legend([handles[k] for k in order], [labels[k] for k in order], **look)
    bottom.axvline(SMALL, color=NEUTRAL, lw=1.2, ls=":")
    bottom.set(
        xscale="log", xlabel="eigenvalue of the normalised Fisher matrix", ylabel="part of them below", xlim=(1e-9, 100)
    )
    bottom.legend(title=f"below {SMALL:g} (dotted)", loc="upper left", fontsize=10, alignment="left")
    return drawing


def _title(drawn: list[Curve]) -> str:
    compared = [curve for curve in drawn if curve.model in COMPARED]
    if not in_order(compared):
        return "The models' effective dimensions are not in the published order"
    found = "as published" if max(compared[0].distances) <= AGREEMENT else "but not the published one"
    return f"The quantum network has the largest effective dimension, {found}"
