"""Watches a layer while it trains: can its gradient be seen, and if not, is it a barren plateau or a minimum?"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from circuits.errors import LabError
from qml.layer import QuantumLayer
from qml.plateau_reading import SIGMAS, Evidence, Group, Reading, verdict
from qml.shift_noise import ShiftNoise

DEFAULT_SHOTS = 1000  # at which an exact layer is judged
MOST_SAMPLES = 16  # of a step, at the redrawn weights
MOST_SHIFTED = 4096  # circuits of the shift rule: with many weights it looks at fewer samples, at least at one
ROUNDING = 8  # units in the last place that a derivative may be off


class PlateauWatch:
    """Follows a model's only `QuantumLayer`; call `step(loss)` after each backward pass, `read()` when you want to know.

    The rule, by the signal-to-noise ratio: the gradient of the loss over the last `window` steps, against the standard error
    that the parameter-shift rule has at `shots` shots a circuit; and likewise the derivatives of the outputs themselves, at
    the present weights and at `n_redrawn` points drawn from the whole circle.

    - training: the gradient's ratio is one or more, after however few steps.
    - plateau: all three ratios are below one half, that of redrawn points typically (before the window is full: at each of
      them), so that four times the shots would not resolve the gradient; and the outputs are such as redrawn points give.
    - minimum (or a saddle on the way): the gradient's ratio is below one over a full window, the loss has fallen by more
      than two standard errors, and redrawn points have a ratio of one or more, or outputs unlike these.
    - zero gradient: no output depends on the weights. Cannot tell: everything else; the reading gives the reason.

    Angles are watched; weights that are only coefficients of observables are not. Shots that the layer's own gradients were
    made of are subtracted from their mean square; while the rest is less than three standard errors of it, three such are
    added, and the ratio is at most this. What shots do to the loss's derivatives by the outputs is not counted.

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
        samples (the latter on fewer where that is more than 4,096 circuits), and neither draws from the layer's stream of
        shots nor changes its weights.
    Source: McClean et al., Nat. Commun. 9, 4812 (2018), for weights on the whole circle; Arrasmith et al., Quantum Sci.
        Technol. 7, 045015 (2022), for outputs that concentrate on a plateau; the noise is `qml.shift_noise`'s.
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
        self._vectors = _watched(self.layer)
        names, sizes = zip(*self.layer._vectors.items())
        self._is_watched = np.repeat([name in self._vectors for name in names], sizes)  # (n_weights,)
        self._slices = _slices(self._vectors, self._n_groups)
        self._history.clear()
        self._first: _Step | None = None
        self._batch: _Batch | None = None
        return self.layer.register_forward_hook(self._ran, with_kwargs=True)

    def _ran(self, layer, arguments: tuple, named: dict, output: torch.Tensor) -> None:
        if output.requires_grad:
            inputs = arguments[0] if arguments else named.get("inputs")
            output.register_hook(partial(self._returned, inputs.detach() if layer.n_inputs else None))

    def _returned(self, inputs: torch.Tensor | None, cotangents: torch.Tensor) -> None:
        cotangents = cotangents.detach().reshape(-1, self.layer.n_outputs)
        if inputs is None:  # one circuit, whatever its value was copied to
            cotangents = cotangents.sum(dim=0, keepdim=True)
            inputs = cotangents.new_zeros(1, 0)
        else:
            inputs = inputs.reshape(-1, inputs.shape[-1])
        if not len(inputs):
            return
        square = float(cotangents.to(torch.float64).square().sum())
        if self._batch is not None:  # gradients add up, over parts of a batch or several calls in one loss
            inputs = torch.cat([self._batch.inputs, inputs])
            cotangents = torch.cat([self._batch.cotangents, cotangents])
            square += self._batch.square
        kept = torch.argsort(~cotangents.any(dim=1), stable=True)[:MOST_SAMPLES]  # first those that move the loss
        self._batch = _Batch(inputs[kept], cotangents[kept], square)

    @property
    def has_seen(self) -> bool:
        """Whether there was a step, and so something to read."""
        return bool(self._history)

    def step(self, loss) -> None:
        """Take note of the gradients that a backward pass left in the layer's weights.

        Raises:
            LabError: there are none since the last step, or they or the loss are not finite.
        """
        gradients = [getattr(self.layer, name).grad for name in self._vectors] if self.layer else [None]
        if any(gradient is None for gradient in gradients) or self._batch is None:
            raise LabError("no gradients to look at: call watch.step(loss) after loss.backward(), before zero_grad()")
        gradient = torch.cat([g.detach().reshape(-1).to(torch.float64) for g in gradients])
        loss = float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
        if not (math.isfinite(loss) and gradient.isfinite().all()):
            raise LabError(f"the loss, {loss}, or one of its derivatives is not finite: look for what made it so")
        self._history.append(_Step(loss, gradient.square().numpy(force=True), self._batch))
        self._first, self._batch = self._first or self._history[-1], None

    @torch.enable_grad()
    def read(self) -> Reading:
        """What it is, by the rule above.

        Raises:
            LabError: no step was taken yet.
        """
        if self.layer is not None:
            _checked(self.layer)  # its method and shots may have been set since
        if not self._history:
            raise LabError("the watch has seen no step yet: call watch.step(loss) after loss.backward()")
        shift_noise, weights = ShiftNoise(self.layer), _weights(self.layer)
        groups, last = self._groups(shift_noise, weights), self._history[-1].batch
        here = self._look(shift_noise, weights)
        redrawn = [self._look(shift_noise, point) for point in self._redrawn(weights)]
        derivative = shift_noise.typical_variances(last.inputs, weights, here.signs)[self._is_watched].mean()
        output = shift_noise.typical_value_variance(last.inputs, weights, here.signs) / self.shots
        seen = Evidence(
            gradient=groups[-1],
            shots=self.shots,
            here=here.square,
            redrawn=np.array([look.square for look in redrawn]),
            noise=float(derivative) / self.shots,
            smallest=_smallest(weights) * float(derivative),
            stands_out=_stands_out(here.values, np.array([look.values for look in redrawn]), output),
            fell=self._fell(shift_noise, weights),
            steps=len(self._history),
            window=self._window,
        )
        losses = self._first.loss, self._history[-1].loss
        return Reading(*verdict(seen), groups, self.shots, seen.here, float(np.median(seen.redrawn)), seen.noise, losses)

    def _weighing(self) -> "_Batch":
        """The newest batch with a kept sample that moves the loss: none does where all of them meet their margins."""
        return next((step.batch for step in reversed(self._history) if step.batch.cotangents.any()), self._history[-1].batch)

    def _groups(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> tuple[Group, ...]:
        inputs, cotangents, _ = self._weighing()
        scale, is_angle = self._growth(cotangents), self._is_watched
        typical = shift_noise.typical_variances(inputs, weights, cotangents)[is_angle] * scale
        noise, smallest = self._noise(shift_noise, weights), _smallest(weights) * typical
        square, own = np.mean([step.squares for step in self._history], axis=0), np.zeros_like(noise)
        if self.layer._evaluation.is_random:
            own = noise / self.layer.shots
        return tuple(
            self._group(name, square[part], noise[part], own[part], float(smallest[part].mean()))
            for name, part in self._slices.items()
        )

    def _noise(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> np.ndarray:
        """Variance at one shot by each angle: the last step's, as large as the window's derivatives by the outputs were."""
        inputs, cotangents, _ = self._weighing()
        samples = max(1, MOST_SHIFTED // (2 * len(weights)))
        inputs, cotangents = inputs[:samples], cotangents[:samples]
        found = shift_noise.variances(inputs, weights, cotangents)[self._is_watched]
        return found * self._growth(cotangents)

    def _growth(self, cotangents: torch.Tensor) -> float:
        """The window's mean square of derivatives by outputs, over that of these."""
        kept = float(cotangents.to(torch.float64).square().sum())
        return float(np.mean([step.batch.square for step in self._history])) / kept if kept else 0.0

    def _fell(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> bool:
        """Whether the loss did, by two standard errors: of the first one's shots and of what it does within the window."""
        first, losses = self._first.batch, [step.loss for step in self._history]
        kept = float(first.cotangents.to(torch.float64).square().sum())
        at_one = shift_noise.typical_value_variance(first.inputs, weights, first.cotangents)
        of_shots = at_one * first.square / kept / self.shots if kept else 0.0
        return bool(self._first.loss - np.mean(losses) > 2 * math.sqrt(of_shots + np.var(losses)))

    def _group(self, name: str, square: np.ndarray, noise: np.ndarray, own: np.ndarray, smallest: float) -> Group:
        """Args: own: variance that the gradients' own shots gave each; smallest: what rounding makes of zero."""
        excess = float((square - own).mean())
        error = math.sqrt(2 * float(np.square(own).sum()) / len(self._history)) / len(own)  # of a normal variable's square
        is_bound = error > 0 and excess < SIGMAS * error
        variance, at_one = max(0.0, excess) + (SIGMAS * error if is_bound else 0.0), float(noise.mean())
        if variance <= smallest:
            variance = 0.0
        needed = at_one / variance if variance else math.inf
        snr = math.sqrt(variance * self.shots / at_one) if at_one else (math.inf if variance else 0.0)
        return Group(name, variance, snr, needed, is_bound)

    def _redrawn(self, weights: torch.Tensor) -> Iterator[torch.Tensor]:
        """The present weights with new angles, uniform on the circle."""
        is_angle = self._is_watched
        for k in range(self._n_redrawn):
            point = weights.clone()
            drawn = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(k,)))
            point[is_angle] = torch.as_tensor(drawn.uniform(0, 2 * math.pi, int(is_angle.sum()))).to(point)
            yield point

    def _look(self, shift_noise: ShiftNoise, weights: torch.Tensor) -> "_Look":
        """The landscape at a point, by one sum of outputs of random signs and norm one."""
        inputs, weights = self._history[-1].batch.inputs, weights.clone().requires_grad_()
        values = shift_noise.values(inputs, weights)
        signs = np.random.default_rng(self._seed).choice([-1.0, 1.0], tuple(values.shape)) / math.sqrt(values.numel())
        signs = torch.as_tensor(signs).to(values)
        (gradient,) = torch.autograd.grad((values * signs).sum(), weights)
        square = gradient.to(torch.float64)[self._is_watched].square().mean()
        return _Look(float(square), values.detach().to(torch.float64).numpy(force=True), signs)


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


class _Look(NamedTuple):
    """Mean square derivative by angles of a sum of outputs, all the outputs, and the sum's factors."""

    square: float
    values: np.ndarray
    signs: torch.Tensor


def _stands_out(here: np.ndarray, redrawn: np.ndarray, noise: float) -> bool:
    """Whether outputs are further from those of redrawn points than these are apart and than shots move them."""
    distance = np.square(here - redrawn.mean(axis=0)).mean()
    return bool(distance > SIGMAS**2 * (redrawn.var(axis=0).mean() + noise))


def _smallest(weights: torch.Tensor) -> float:
    """The square of a derivative that rounding can make of zero, where outputs have a variance of one."""
    return (ROUNDING * torch.finfo(weights.dtype).eps) ** 2


def _weights(layer: QuantumLayer) -> torch.Tensor:
    return layer._flat_weights().detach().clone()


def _watched(layer: QuantumLayer) -> dict[str, int]:
    """Sizes of the vectors of angles that training may change."""
    free = {name for name in layer._vectors if getattr(layer, name).requires_grad}
    return {name: size for name, size in layer._vectors.items() if name in free and name not in layer._coefficients}


def _checked(layer: QuantumLayer) -> QuantumLayer:
    if not _watched(layer):
        raise LabError("the layer has no weights that are angles and require a gradient: there is none to watch")
    evaluation = layer._evaluation
    if evaluation.compiled.program.is_evolving:
        raise LabError("a watch needs shift rules, which an evolution by a sum that does not commute has not")
    if evaluation.is_random and layer.method != "parameter-shift":
        raise LabError(f"the noise of {layer.method!r} is not the shift rule's: watch with diff_method='parameter-shift'")
    return layer


def _only_layer(model: torch.nn.Module) -> QuantumLayer:
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    if len(layers) != 1:
        raise LabError(f"a watch follows one QuantumLayer, the model has {len(layers)}: pass the layer itself")
    return layers[0]


def _slices(vectors: dict[str, int], groups: int | None) -> dict[str, slice]:
    """Parts of the angles by name, all of them at last."""
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
