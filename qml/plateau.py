"""Watches a layer while it trains: can its gradient be seen, and if not, is it a barren plateau or a minimum?"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from circuits.errors import LabError
from qml.layer import QuantumLayer
from qml.shift_noise import ShiftNoise

DEFAULT_SHOTS = 1000  # at which an exact layer is judged
MOST_SAMPLES = 16  # of the last batch, at the redrawn weights
FAR = 4.0  # times the shots that would still show the gradient: less is no plateau
MOST_SHIFTED = 4096  # circuits of the shift rule: with many weights it looks at fewer samples, at least at one


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
        needed = (
            f"{_shown(everything.shots_needed)} shots" if math.isfinite(everything.shots_needed) else "more shots than any"
        )
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
    parameter-shift rule has at `shots` shots a circuit. If it stands clear, the model trains. If not, the outputs' own
    derivatives are looked at, at the present weights and at `n_redrawn` points drawn from the whole circle: where four
    times the shots would not show these either, it is a plateau; where they stand clear and the loss lies below its first
    value by more than shots would add to it, the gradient is small because this is a minimum (or a saddle on the way); else
    it cannot tell.

    Angles are watched; weights that are only coefficients of observables are not. Shots that the layer's own gradients were
    made of are subtracted from their mean square. What shots do to the loss's derivatives by the outputs is not counted.

    Args:
        model: a module with one `QuantumLayer` in it, or that layer; None: `following` will say.
        shots: a circuit's; None: the layer's own, or 1,000 where it is exact.
        groups: None: one for each weight vector; a number: so many equal slices, such as one for each layer of the ansatz.
        window: steps that are averaged over.
        n_redrawn: points; their median counts.
        seed: of the redrawn weights.

    Raises:
        LabError: no quantum layer in the model, or several; groups or window that cannot be; sampled gradients that are not
            of the shift rule, whose noise is another.

    Cost: a step copies the gradient; `read` is n_redrawn + 1 exact gradients and one of the shift rule, on at most 16
        samples (the latter on fewer where that is more than 4,096 circuits). Neither draws from the layer's stream of shots
        nor changes its weights.
    Source: McClean et al., Nat. Commun. 9, 4812 (2018), for weights on the whole circle; the noise is `qml.shift_noise`'s.
    """

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        shots: int | None = None,
        groups: int | None = None,
        window: int = 20,
        n_redrawn: int = 16,
        seed: int = 0,
    ):
        for name, value in (("window", window), ("n_redrawn", n_redrawn), ("shots", shots), ("groups", groups)):
            optional = value is None and name in ("shots", "groups")
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise LabError(f"{name} must be a whole number of at least 1, got {value!r}")
        self._asked, self._n_groups, self._window = shots, groups, window
        self._n_redrawn, self._seed = n_redrawn, seed
        self._history: deque[_Step] = deque(maxlen=window)
        self.layer: QuantumLayer | None = None
        if model is not None:
            self._follow(model)

    @contextmanager
    def following(self, model: torch.nn.Module) -> Iterator[Callable]:
        """Follow this model anew as long as the context lasts; gives `step`. What was seen can be read afterwards."""
        hook = self._follow(model)
        try:
            yield self.step
        finally:
            hook.remove()

    def _follow(self, model: torch.nn.Module):
        self.layer = _checked(_only_layer(model))
        self.shots = self._asked or self.layer.shots or DEFAULT_SHOTS
        self._slices = _slices(self.layer, self._n_groups)
        self._history.clear()
        self._first: _Step | None = None
        self._batch: _Batch | None = None
        return self.layer.register_forward_hook(self._ran)

    def _ran(self, layer, arguments, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(partial(self._returned, arguments[0].detach() if arguments and layer.n_inputs else None))

    def _returned(self, inputs: torch.Tensor | None, cotangents: torch.Tensor) -> None:
        cotangents = cotangents.detach().reshape(-1, self.layer.n_outputs)
        if inputs is None:  # one circuit, whatever its value was copied to
            cotangents = cotangents.sum(dim=0, keepdim=True)
            inputs = cotangents.new_zeros(1, 0)
        else:
            inputs = inputs.reshape(-1, inputs.shape[-1])
        square = float(cotangents.to(torch.float64).square().sum())
        self._batch = _Batch(inputs[:MOST_SAMPLES].clone(), cotangents[:MOST_SAMPLES].clone(), square)

    @property
    def has_seen(self) -> bool:
        """Whether there was a step, and so something to read."""
        return bool(self._history)

    def step(self, loss) -> None:
        """Take note of the gradients that a backward pass left in the layer's weights.

        Raises:
            LabError: there are none.
        """
        gradients = [getattr(self.layer, name).grad for name in _angle_vectors(self.layer)] if self.layer else [None]
        if any(gradient is None for gradient in gradients) or self._batch is None:
            raise LabError("no gradients to look at: call watch.step(loss) after loss.backward(), before zero_grad()")
        gradient = torch.cat([g.detach().reshape(-1).to(torch.float64) for g in gradients])
        loss = float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
        self._history.append(_Step(loss, gradient.square().numpy(force=True), self._batch))
        self._first = self._first or self._history[-1]

    def read(self) -> Reading:
        """What it is, by the rule above.

        Raises:
            LabError: no step was taken yet.
        """
        if not self._history:
            raise LabError("the watch has seen no step yet: call watch.step(loss) after loss.backward()")
        shift_noise, weights = ShiftNoise(self.layer), _weights(self.layer)
        noise = self._noise(shift_noise, weights)
        square = np.mean([step.squares for step in self._history], axis=0)
        if self.layer._evaluation.is_random:
            square = square - noise / self.layer.shots
        groups = tuple(self._group(name, square[part], noise[part]) for name, part in self._slices.items())
        here, unit = self._sensitivity(shift_noise, weights)
        redrawn = float(np.median([self._sensitivity(shift_noise, point)[0] for point in self._redrawn(weights)]))
        losses = self._first.loss, self._history[-1].loss
        fell = losses[0] - float(np.mean([step.loss for step in self._history])) > self._loss_noise(shift_noise, weights)
        says = _verdict(groups[-1].snr, here, redrawn, unit, fell)
        return Reading(says, groups, self.shots, here, redrawn, unit, losses)

    def _noise(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> np.ndarray:
        """Variance at one shot by each angle: the last step's, as large as the window's derivatives by the outputs were."""
        inputs, cotangents, _ = self._history[-1].batch
        samples = max(1, MOST_SHIFTED // (2 * len(weights)))
        inputs, cotangents = inputs[:samples], cotangents[:samples]
        kept = float(cotangents.to(torch.float64).square().sum())
        mean = float(np.mean([step.batch.square for step in self._history]))
        found = shift_noise.variances(inputs, weights, cotangents)[_is_angle(self.layer)]
        return found * (mean / kept if kept else 0.0)

    def _loss_noise(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> float:
        """Standard error that shots would have added to the first loss."""
        first = self._first.batch
        kept = float(first.cotangents.to(torch.float64).square().sum())
        at_one = shift_noise.typical_value_variance(first.inputs, weights, first.cotangents)
        return math.sqrt(at_one * first.square / kept / self.shots) if kept else 0.0

    def _group(self, name: str, square: np.ndarray, noise: np.ndarray) -> Group:
        variance, at_one = max(0.0, float(square.mean())), float(noise.mean())
        needed = at_one / variance if variance else math.inf
        snr = math.sqrt(variance * self.shots / at_one) if at_one else (math.inf if variance else 0.0)
        return Group(name, variance, snr, needed)

    def _redrawn(self, weights: torch.Tensor) -> Iterator[torch.Tensor]:
        """The present weights with new angles, uniform on the circle."""
        is_angle = _is_angle(self.layer)
        for k in range(self._n_redrawn):
            point = weights.clone()
            drawn = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(k,)))
            point[is_angle] = torch.as_tensor(drawn.uniform(0, 2 * math.pi, int(is_angle.sum()))).to(point)
            yield point

    def _sensitivity(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> tuple[float, float]:
        """Mean square derivative by angles of a sum of outputs, of random signs and norm one, and its typical noise."""
        inputs = self._history[-1].batch.inputs
        weights = weights.clone().requires_grad_()
        values = shift_noise.values(inputs, weights)
        signs = np.random.default_rng(self._seed).choice([-1.0, 1.0], tuple(values.shape)) / math.sqrt(values.numel())
        signs, is_angle = torch.as_tensor(signs).to(values), _is_angle(self.layer)
        (gradient,) = torch.autograd.grad((values * signs).sum(), weights)
        noise = shift_noise.typical_variances(inputs, weights.detach(), signs)[is_angle].mean() / self.shots
        return float(gradient.to(torch.float64)[is_angle].square().mean()), float(noise)


class _Batch(NamedTuple):
    """Some samples of a batch with the loss's derivatives by their outputs, and the sum of all squares of these."""

    inputs: torch.Tensor
    cotangents: torch.Tensor
    square: float


class _Step(NamedTuple):
    """A step's loss, squared derivatives by each angle, and batch."""

    loss: float
    squares: np.ndarray
    batch: _Batch


def _verdict(snr: float, here: float, redrawn: float, noise: float, fell: bool) -> str:
    if snr >= 1:
        return "training"
    if redrawn < noise:
        return "plateau" if max(here, redrawn) * FAR < noise else "cannot tell"
    return "minimum" if fell else "cannot tell"


def _shown(shots: float) -> str:
    """Two digits: 220, 14,000, 3.1e+12."""
    if shots >= 1e7:
        return f"{shots:.2g}"
    return f"{float(f'{shots:.2g}'):,.0f}" if shots >= 10 else f"{shots:.2g}"


def _weights(layer: QuantumLayer) -> torch.Tensor:
    return layer._flat_weights().detach().clone()


def _angle_vectors(layer: QuantumLayer) -> dict[str, int]:
    return {name: size for name, size in layer._vectors.items() if name not in layer._coefficients}


def _is_angle(layer: QuantumLayer) -> np.ndarray:
    """(n_weights,) whether a weight turns anything."""
    return np.repeat([name not in layer._coefficients for name in layer._vectors], list(layer._vectors.values()))


def _checked(layer: QuantumLayer) -> QuantumLayer:
    if not _angle_vectors(layer):
        raise LabError("the layer has no weights that are angles: there is no gradient to watch")
    evaluation = layer._evaluation
    if evaluation.is_random and layer.method != "parameter-shift":
        raise LabError(f"the noise of {layer.method!r} is not the shift rule's: watch with diff_method='parameter-shift'")
    return layer


def _only_layer(model: torch.nn.Module) -> QuantumLayer:
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    if len(layers) != 1:
        raise LabError(f"a watch follows one QuantumLayer, the model has {len(layers)}: pass the layer itself")
    return layers[0]


def _slices(layer: QuantumLayer, groups: int | None) -> dict[str, slice]:
    """Parts of the angles by name, all of them at last."""
    vectors = _angle_vectors(layer)
    size = sum(vectors.values())
    if groups is None:
        ends = np.cumsum(list(vectors.values()))
        found = {name: slice(int(end - length), int(end)) for (name, length), end in zip(vectors.items(), ends)}
    else:
        if groups > size:
            raise LabError(f"groups must be at most the number of weights, {size}, got {groups}")
        edges = np.linspace(0, size, groups + 1).round().astype(int)
        found = {f"part {k + 1}": slice(int(a), int(b)) for k, (a, b) in enumerate(pairwise(edges))}
    return found | {"all weights": slice(0, size)}
