"""Has a quantum neural network a larger effective dimension than a classical one with as many parameters?

Source: Abbas, Sutter, Zoufal, Lucchi, Figalli, Woerner, Nat. Comput. Sci. 1, 403 (2021), arXiv:2011.00027, Fig. 3a.

Expected: over the number of parameters it is .82 for 1,000 data and .92 for a million, within .03 at all eleven published
numbers of data; that of the easy quantum model is below it, that of the classical network below both.

Control: the easy quantum model, the same ansatz after a feature map without entanglement, and the classical network, each
with published values of its own; the published Fisher matrices, where their file is given, through the same formula.

Minutes: 0.3 with --quick, 0.5 in full, on two cores.

All models have 40 parameters, 4 inputs and 2 classes. Quantum: Qiskit's ZZ feature map with two repetitions, real
amplitudes with nine; easy: the Z feature map, once. A class is the parity of the bits read, so the probability of the even
one is (1 + <Z...Z>) / 2. Classical: layers of 4, 4, 4 and 2 units without biases, leaky ReLU, tanh before the softmax.
The Fisher matrix at each of the drawn parameters is averaged over the same normal inputs, exactly over the classes.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
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

    sizes = [into * out for into, out in zip(UNITS, UNITS[1:])]
    matrices = [
        part.reshape(-1, out, into) for part, into, out in zip(parameters.split(sizes, dim=1), UNITS, UNITS[1:])
    ]
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

    draws, d = eigenvalues.shape[-2:]
    kappa = n_data / (2 * math.pi * math.log(n_data))
    traces = eigenvalues.sum(axis=-1).mean(axis=-1)[..., None, None]
    logs = np.log1p(kappa * d / traces * eigenvalues).sum(axis=-1) / 2
    return 2 * (logsumexp(logs, axis=-1) - math.log(draws)) / math.log(kappa) / d


@dataclass(frozen=True)
class Curve:
    """The effective dimensions of a model over its number of parameters.

    Attributes:
        spectrum: all eigenvalues of the Fisher matrices, normalised to a mean trace of the number of parameters.
        dimensions: by the numbers of data `ABBAS_SIZES`.
        published: likewise.
    """

    model: str
    draws: int
    spectrum: np.ndarray
    dimensions: tuple[Interval, ...]
    published: tuple[float, ...]

    @property
    def small(self) -> float:
        """The fraction of eigenvalues that hardly count."""
        return float((self.spectrum < SMALL).mean())

    @property
    def furthest(self) -> float:
        """The largest distance from a published value."""
        return max(abs(found.value - value) for found, value in zip(self.dimensions, self.published))


def curves(rows: list[dict]) -> list[Curve]:
    """One for each model, and for the published Fisher matrices where they are among the rows."""
    groups: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["first_draw"]):
        groups.setdefault(row["model"], []).append(row)
    return [_curve(model, groups[model]) for model in (*MODELS, STORED) if model in groups]


def _curve(model: str, rows: list[dict]) -> Curve:
    eigenvalues = np.concatenate([row["eigenvalues"] for row in rows])
    picks = np.random.default_rng(0).integers(0, len(eigenvalues), (RESAMPLES, len(eigenvalues)))
    resampled = eigenvalues[picks]
    dimensions = []
    for n_data in ABBAS_SIZES:
        low, high = np.quantile(effective_dimension(resampled, n_data), (0.025, 0.975))
        dimensions.append(Interval(float(effective_dimension(eigenvalues, n_data)), float(low), float(high)))
    spectrum = np.sort((eigenvalues * N_PARAMETERS / eigenvalues.sum(axis=1).mean()).ravel())
    return Curve(model, len(eigenvalues), spectrum, tuple(dimensions), ABBAS_DIMENSIONS.get(model, ABBAS_DIMENSIONS["quantum"]))
