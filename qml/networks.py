"""The networks of the classifier: scaling, Linear, a quantum layer, Linear; and the same with a dense tanh layer.

Both are plain `nn.Module`s in float64 whose linear maps are drawn from a seed of their own, never from PyTorch's global
generator, so building one changes nothing else in the program.
"""

import inspect
import math

import torch
from torch import nn

from circuits import ansatze, encodings
from qml.layer import QuantumLayer
from qml.seeds import seed_for

CLIP = 3.0  # standard deviations: a pixel that is nearly always black would otherwise turn an angle many times round
GAIN = 5.0  # expectation values of a random circuit are small; the readout learns slowly without it
GATES = 0  # the seed of an ansatz that draws its gates
TOLERANCE = 0.05  # how far a twin's number of parameters may be from its original's


def circuit_of(n_qubits: int, n_layers: int, encoding: str, ansatz: str):
    """The encoding followed by `n_layers` of the ansatz; an encoding that has layers of its own gets both settings.

    An ansatz that draws its gates, such as random_pauli, draws the same ones each time: saved weights belong to them.

    Returns:
        A Qiskit `QuantumCircuit` with inputs `x` and weights `w`.

    Raises:
        UnknownName: no encoding or ansatz of that name; the message gives the nearest one.
    """
    encode = encodings.by_name(encoding)
    if "n_layers" in inspect.signature(encode).parameters:
        return encode(n_qubits, n_layers=n_layers, ansatz=ansatz, seed=GATES)
    return encode(n_qubits).compose(ansatze.build(ansatz, n_qubits, n_layers, GATES))


class Dressed(nn.Module):
    """Features are scaled, mapped linearly to the core's inputs, and the core's outputs linearly to the logits.

    Args:
        core: the module in the middle, (batch, n_inputs) -> (batch, n_outputs).
        n_inputs, n_outputs: its widths.
        mean, scale: of each feature in the training data, shape (n_features,); kept as buffers. Features further
            than `CLIP` scales from the mean are moved to that distance.
        n_classes: number of logits.
        seed: of the two linear maps, drawn as PyTorch's `nn.Linear` draws them.

    Source: the dressed quantum circuit of Mari et al., Quantum 4, 340 (2020).
    """

    def __init__(self, core: nn.Module, n_inputs: int, n_outputs: int, mean, scale, n_classes: int, seed: int):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float64))
        self.first = linear(len(self.mean), n_inputs, seed_for(seed, "first"))
        self.core = core
        self.last = linear(n_outputs, n_classes, seed_for(seed, "last"))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scaled = ((features - self.mean) / self.scale).clamp(-CLIP, CLIP)
        return self.last(GAIN * self.core(self.first(scaled)))


def linear(n_inputs: int, n_outputs: int, seed: int, bias: bool = True) -> nn.Linear:
    """An `nn.Linear` in float64, drawn uniformly on +-1/sqrt(n_inputs) (PyTorch's default) from `seed`."""
    layer = nn.utils.skip_init(nn.Linear, n_inputs, n_outputs, bias=bias, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(n_inputs)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def hybrid(mean, scale, n_classes: int, seed: int, layer: dict) -> Dressed:
    """A quantum layer between two linear maps.

    Args:
        layer: `n_qubits`, `n_layers`, `encoding` and `ansatz`, and what else `QuantumLayer` takes.
    """
    shape = {name: layer[name] for name in ("n_qubits", "n_layers", "encoding", "ansatz")}
    options = {name: value for name, value in layer.items() if name not in shape}
    core = QuantumLayer(circuit_of(**shape), seed=seed_for(seed, "weights"), dtype=torch.float64, **options)
    return Dressed(core, core.n_inputs, core.n_outputs, mean, scale, n_classes, seed)


def classical_twin(network: Dressed, seed: int) -> Dressed:
    """The same network with its core replaced by Linear(k, m) and tanh of as many parameters, within 5 %.

    Of all (k, m), with and without a bias, whose count is within 5 % of the core's, those that keep the whole network
    within 5 % come first, and of these the one nearest to the core's own widths. A narrow circuit on few features may
    have no such pair; then the whole network deviates more, which `n_parameters` of both shows.
    """
    n_features, n_classes = network.first.in_features, network.last.out_features
    n_inputs, n_outputs = network.first.out_features, network.last.in_features
    k, m, bias = twin_shape(n_parameters(network.core), n_inputs, n_outputs, n_features, n_classes)
    core = nn.Sequential(linear(k, m, seed_for(seed, "twin"), bias), nn.Tanh())
    return Dressed(core, k, m, network.mean, network.scale, n_classes, seed)


def twin_shape(n_weights: int, n_inputs: int, n_outputs: int, n_features: int, n_classes: int) -> tuple[int, int, bool]:
    """(k, m, bias) of the dense layer that stands in for a core of `n_weights` parameters; see `classical_twin`."""
    around = (n_features + 1) * n_inputs + (n_outputs + 1) * n_classes

    def rank(shape):
        k, m, bias = shape
        total = (n_features + 1) * k + (k + bias) * m + (m + 1) * n_classes
        excess = abs(total / (around + n_weights) - 1)
        distance = abs(math.log(k / n_inputs)) + abs(math.log(m / n_outputs))
        bottleneck = min(k, m) == 1 < min(n_inputs, n_outputs)  # one number cannot tell classes apart: no fair control
        return bottleneck, max(excess, TOLERANCE), distance, not bias, k

    low, high = math.ceil(n_weights * (1 - TOLERANCE)), math.floor(n_weights * (1 + TOLERANCE))
    shapes = [
        (count // m - bias, m, bool(bias))
        for count in range(low, high + 1)
        for m in range(1, count + 1)
        for bias in (0, 1)
        if count % m == 0 and count // m > bias
    ]
    return min(shapes, key=rank)


def n_parameters(module: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
