"""Watches a layer while it trains: can its gradient be seen, and if not, is it a barren plateau or a minimum?"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from circuits.errors import LabError
from qml.layer import QuantumLayer

DEFAULT_SHOTS = 1000  # at which an exact layer is judged
MOST_SAMPLES = 16  # of the last batch, at the redrawn weights


@dataclass(frozen=True)
class Group:
    """Some of the weights over the recent steps.

    Attributes:
        variance: mean square of the loss's derivatives. snr: its root over the standard error that the shift rule has at the
            watch's shots. shots_needed: for a ratio of one.
    """

    name: str
    variance: float
    snr: float
    shots_needed: float


@dataclass(frozen=True)
class Reading:
    """What a watch sees.

    Attributes:
        says: "training", "plateau", "minimum" or "cannot tell".
        groups: the weights by group, and all of them as the last one.
        here, redrawn: mean square of a random output's derivatives, at these weights and typically at random ones.
        noise: what shots add to it.
    """

    says: str
    groups: tuple[Group, ...]
    shots: int
    here: float
    redrawn: float
    noise: float
    losses: tuple[float, float]

    def __str__(self) -> str:
        everything, first, last = self.groups[-1], *self.losses
        needed = f"{everything.shots_needed:.2g} shots" if math.isfinite(everything.shots_needed) else "more shots than any"
        signal = f"signal-to-noise ratio {everything.snr:.2g} at {self.shots} shots, {needed} for a ratio of one"
        if self.says == "training":
            return f"The gradient can be seen: {signal}."
        if self.says == "plateau":
            return (
                f"A barren plateau: {signal}; at redrawn weights an output's derivatives have the variance "
                f"{self.redrawn:.2g}, below the {self.noise:.2g} that shots add. Fewer layers, a local observable or a "
                "narrow start help."
            )
        if self.says == "minimum":
            return (
                f"A minimum, not a plateau: {signal}, but at redrawn weights derivatives stand clear of the noise "
                f"({self.redrawn:.2g} against {self.noise:.2g}), and the loss went from {first:.3g} to {last:.3g}."
            )
        return (
            f"Cannot tell: {signal}; an output's derivatives have the variance {self.here:.2g} here, {self.redrawn:.2g} at "
            f"redrawn weights, and shots add {self.noise:.2g}."
        )


class PlateauWatch:
    """Follows a model's only `QuantumLayer`; call `step(loss)` after each backward pass, `read()` when you want to know.

    The rule: the gradient of the loss over the last `window` steps is held against the standard error that the
    parameter-shift rule would have at `shots` shots a circuit. If it stands clear, the model trains. If not, the outputs'
    own derivatives are looked at, at the present weights and at `n_redrawn` points drawn from the whole circle: where these
    are lost in the noise too, it is a plateau; where they stand clear and the loss is below its first value, the gradient
    is small because this is a minimum (or a saddle); else it cannot tell.

    Args:
        model: a module with one `QuantumLayer` in it, or that layer.
        shots: a circuit's; None: the layer's own, or 1,000 where it is exact.
        groups: None: one for each weight vector; a number: so many equal slices, such as one for each layer of the ansatz.
        window: steps that are averaged over.
        seed: of the redrawn weights.

    Raises:
        LabError: no quantum layer in the model, or several; groups or window that cannot be.

    Cost: a step copies the gradient; `read` is n_redrawn + 1 gradients on at most 16 samples.
    Source: the noise of the two-term rule is (Var+ + Var-) / (4 shots) for each gate, with Var = 1 - <O>^2 at most 1 for a
        Pauli string; the bound is taken, which on a plateau is the value. What shots do to the loss's own derivatives by the
        outputs is not counted.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        shots: int | None = None,
        groups: int | None = None,
        window: int = 20,
        n_redrawn: int = 16,
        seed: int = 0,
    ):
        self.layer = _only_layer(model)
        for name, value in (("window", window), ("n_redrawn", n_redrawn), ("shots", shots or 1), ("groups", groups or 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise LabError(f"{name} must be a whole number of at least 1, got {value!r}")
        self.shots = shots or self.layer.shots or DEFAULT_SHOTS
        self._slices = _slices(self.layer, groups)
        self._gates = torch.tensor(_gates_of_each_weight(self.layer), dtype=torch.float64)
        self._norms = torch.tensor([float(np.abs(o.coeffs).sum()) for o in self.layer.observables], dtype=torch.float64)
        self._n_redrawn, self._seed = n_redrawn, seed
        self._history: deque = deque(maxlen=window)
        self._first_loss: float | None = None
        self._inputs: torch.Tensor | None = None
        self._cotangents: torch.Tensor | None = None
        self.layer.register_forward_hook(self._ran)

    def _ran(self, layer, arguments, output: torch.Tensor) -> None:
        if output.requires_grad:
            inputs = arguments[0] if arguments else None
            self._inputs = None if inputs is None else inputs.detach().reshape(-1, inputs.shape[-1])[:MOST_SAMPLES]
            output.register_hook(self._returned)

    def _returned(self, cotangents: torch.Tensor) -> None:
        self._cotangents = cotangents.detach().to(torch.float64).reshape(-1, self.layer.n_outputs)

    @property
    def has_gradients(self) -> bool:
        """Whether a backward pass went through the layer since the watch began."""
        return self._cotangents is not None

    def step(self, loss) -> None:
        """Take note of the gradients that a backward pass left in the layer's weights.

        Raises:
            LabError: there are none.
        """
        gradients = [getattr(self.layer, name).grad for name in self.layer._vectors]
        if not self.has_gradients or any(gradient is None for gradient in gradients):
            raise LabError("no gradients to look at: call watch.step(loss) after loss.backward(), before zero_grad()")
        gradient = torch.cat([g.detach().reshape(-1).to(torch.float64) for g in gradients])
        noise = self._gates * (self._cotangents * self._norms).square().sum() / 2  # at one shot
        loss = float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
        self._first_loss = loss if self._first_loss is None else self._first_loss
        self._history.append((loss, gradient.square(), noise))

    def read(self) -> Reading:
        """What it is, by the rule above.

        Raises:
            LabError: no step was taken yet.
        """
        if not self._history:
            raise LabError("the watch has seen no step yet: call watch.step(loss) after loss.backward()")
        losses, squares, noises = zip(*self._history)
        square, noise = torch.stack(squares).mean(0), torch.stack(noises).mean(0)
        groups = tuple(self._group(name, square[part], noise[part]) for name, part in self._slices.items())
        here, redrawn = self._sensitivity(self._weights()), self._redrawn()
        unit = float((self._gates.mean() * self._norms.square().mean()) / (2 * self.shots))
        return Reading(
            self._says(groups[-1].snr, here, redrawn, unit, losses[-1]), groups, self.shots, here, redrawn, unit,
            (self._first_loss, losses[-1]),
        )  # fmt: skip

    def _group(self, name: str, square: torch.Tensor, noise: torch.Tensor) -> Group:
        variance, at_one = float(square.mean()), float(noise.mean())
        needed = at_one / variance if variance else math.inf
        snr = math.sqrt(variance * self.shots / at_one) if at_one else 0.0
        return Group(name, variance, snr, needed)

    def _says(self, snr: float, here: float, redrawn: float, noise: float, loss: float) -> str:
        if snr >= 1:
            return "training"
        if redrawn < noise:
            return "plateau" if here < noise else "cannot tell"
        return "minimum" if loss < self._first_loss else "cannot tell"

    def _weights(self) -> torch.Tensor:
        return torch.cat([getattr(self.layer, name).detach().reshape(-1) for name in self.layer._vectors])

    def _redrawn(self) -> float:
        """The median sensitivity at weights uniform on the circle."""
        generator = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(len(self._history),)))
        like = self._weights()
        draws = generator.uniform(0, 2 * math.pi, (self._n_redrawn, len(like)))
        return float(np.median([self._sensitivity(torch.as_tensor(draw).to(like)) for draw in draws]))

    def _sensitivity(self, weights: torch.Tensor) -> float:
        """Mean square derivative, by the weights, of a sum of outputs with random signs and coefficients of norm one."""
        weights = weights.clone().requires_grad_()
        values = self.layer.evaluate(self._inputs, weights)
        signs = np.random.default_rng(self._seed).choice([-1.0, 1.0], tuple(values.shape))
        (gradient,) = torch.autograd.grad((values * torch.as_tensor(signs).to(values)).sum(), weights)
        return float(gradient.to(torch.float64).square().mean()) / values.numel()


def watched(classifier, epochs: Iterator, watches: list[PlateauWatch], **options) -> Iterator:
    """The epochs of `classifier.fit_epochs(...)`, of which each but the first ends with a step of a watch.

    Args:
        watches: the watch is put here once the classifier has a network, which is after its first epoch.
        options: of `PlateauWatch`.
    """
    for epoch in epochs:
        if not watches:
            watches.append(PlateauWatch(classifier.network_, **options))
        elif watches[0].has_gradients:
            watches[0].step(epoch.loss)
        yield epoch


def _only_layer(model: torch.nn.Module) -> QuantumLayer:
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    if len(layers) != 1:
        raise LabError(f"a watch follows one QuantumLayer, the model has {len(layers)}: pass the layer itself")
    if not layers[0].weight_parameters:
        raise LabError("the layer has no weights: there is no gradient to watch")
    return layers[0]


def _slices(layer: QuantumLayer, groups: int | None) -> dict[str, slice]:
    """Parts of the flat weights by name, all of them at last."""
    size = len(layer.weight_parameters)
    if groups is None:
        ends = np.cumsum(list(layer._vectors.values()))
        found = {name: slice(int(end - length), int(end)) for (name, length), end in zip(layer._vectors.items(), ends)}
    else:
        if groups > size:
            raise LabError(f"groups must be at most the number of weights, {size}, got {groups}")
        edges = np.linspace(0, size, groups + 1).round().astype(int)
        found = {f"part {k + 1}": slice(int(a), int(b)) for k, (a, b) in enumerate(pairwise(edges))}
    return found | {"all weights": slice(0, size)}


def _gates_of_each_weight(layer: QuantumLayer) -> list[int]:
    """How many gates each weight turns: the shift rule runs two circuits for each, and adds their noise."""
    counts = dict.fromkeys(layer.weight_parameters, 0)
    for slot in layer._program.slots:
        for parameter in slot.parameters:
            if parameter in counts:
                counts[parameter] += 1
    return [max(1, count) for count in counts.values()]
