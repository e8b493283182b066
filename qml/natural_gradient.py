"""Quantum natural gradient: steps measured by how far they move the state, as an optimiser with torch's interface."""

import weakref
from collections.abc import Callable, Iterable

import numpy as np
import torch

from circuits.errors import LabError, UnknownName
from qml.commuting_layers import layers_of_weights
from qml.layer import QuantumLayer
from qml.metric import metric_tensor, tangents

APPROXIMATIONS = ("full", "block-diagonal", "spsa")


class NaturalGradient(torch.optim.Optimizer):
    """Steps the weights of a `QuantumLayer` by -lr (g + damping)^-1 grad, g being the Fubini-Study metric tensor.

    With inputs, g is the mean over the samples of the last batch that the layer ran with gradients enabled. Every other
    parameter of the model, and a coefficient of an observable, is stepped by -lr grad; what has no gradient stays.

    Args:
        model: a module with one `QuantumLayer` in it, or that layer.
        lr: of the steps.
        approximation: "full"; "block-diagonal", the entries of g between weights of one block alone; or "spsa", a running
            mean of estimates from four overlaps of states each, whatever the number of weights.
        blocks: for "block-diagonal": sizes of consecutive blocks of `layer.weight_parameters`; None: weights of gates that
            commute, layer by layer of the circuit.
        damping: added to the diagonal; it bounds a step where g is singular.
        seed: of the directions of "spsa". step: their length in radians.

    Raises:
        LabError: no quantum layer in the model, or several; a number that cannot be; blocks that are not all weights.

    Cost: "full" and "block-diagonal": states' derivatives by all P weights for each sample, and P^3 operations; "spsa": four
        states for each sample.
    Source: Stokes, Izaac, Killoran, Carleo, Quantum 4, 269 (2020); Gacon, Zoufal, Carleo, Woerner, Quantum 5, 567 (2021).
    """

    def __init__(
        self,
        model: torch.nn.Module,
        lr: float = 0.05,
        approximation: str = "full",
        blocks: Iterable[int] | None = None,
        damping: float = 1e-3,
        seed: int = 0,
        step: float = 0.01,
    ):
        if approximation not in APPROXIMATIONS:
            raise UnknownName("approximation", approximation, APPROXIMATIONS)
        for name, value in (("lr", lr), ("step", step)):
            if not value > 0:
                raise LabError(f"{name} must be positive, got {value!r}")
        if not damping >= 0:
            raise LabError(f"damping must be at least 0, got {damping!r}")
        if not isinstance(model, torch.nn.Module):
            raise LabError(f"pass the model or the layer itself, not its parameters, got {type(model).__name__}")
        layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
        if len(layers) != 1:
            raise LabError(f"the natural gradient needs a model with one QuantumLayer, this one has {len(layers)}")
        self.layer = layers[0]
        self.approximation, self.damping, self._seed, self._length = approximation, damping, seed, step
        self._owners = self._checked_blocks(blocks, approximation == "block-diagonal")
        super().__init__(model.parameters(), {"lr": lr})
        self._quantum = [getattr(self.layer, name) for name in self.layer._vectors]
        turns = set(self.layer.circuit.parameters)
        self._is_angle = np.array([parameter in turns for parameter in self.layer.weight_parameters])
        self.state[self._quantum[0]] = {"steps": 0, "metric": torch.zeros(0)}
        self._listen()

    def _listen(self) -> None:
        """Have the layer note its inputs, for as long as this optimiser is there."""
        self._last = _LastInputs()
        weakref.finalize(self, self.layer.register_forward_hook(self._last, with_kwargs=True).remove)

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key not in ("_last", "step")}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._listen()

    def _checked_blocks(self, blocks: Iterable[int] | None, are_used: bool) -> np.ndarray | None:
        """(n_weights,): the block of each weight."""
        n_weights = len(self.layer.weight_parameters)
        if n_weights == 0:
            raise LabError("the circuit has no weights to step")
        if blocks is None:
            return layers_of_weights(self.layer._program, self.layer.weight_parameters) if are_used else None
        sizes = [int(size) for size in blocks]
        if sum(sizes) != n_weights or min(sizes) < 1:
            raise LabError(f"blocks must be sizes that add up to the {n_weights} weights, got {sizes}")
        return np.repeat(np.arange(len(sizes)), sizes)

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """One step from the gradients that `backward` left; the loss, if a closure computes it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        quantum = {id(parameter) for parameter in self._quantum}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and id(parameter) not in quantum:
                    parameter -= group["lr"] * parameter.grad
            if any(id(parameter) in quantum for parameter in group["params"]):
                self._step_quantum(group["lr"])
        return loss

    def _step_quantum(self, lr: float) -> None:
        moved = [parameter.grad is not None for parameter in self._quantum]
        if not any(moved) or self._last.is_empty:
            return
        parts = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in self._quantum]
        direction = torch.cat([part.reshape(-1) for part in parts])
        sizes = [parameter.numel() for parameter in self._quantum]
        angles = np.flatnonzero(self._is_angle & np.repeat(moved, sizes))
        chosen = torch.as_tensor(angles).to(direction.device)
        metric = self._metric().to(direction)[chosen][:, chosen]
        damped = metric + self.damping * torch.eye(len(chosen)).to(metric)
        direction[chosen] = torch.linalg.solve(damped, direction[chosen])
        for parameter, part, has_moved in zip(self._quantum, direction.split(sizes), moved):
            if has_moved:
                parameter -= lr * part.reshape(parameter.shape)

    def _metric(self) -> torch.Tensor:
        if self.approximation == "spsa":
            return self._estimated()
        metric = metric_tensor(self.layer, self._last.inputs)
        metric = metric if metric.dim() == 2 else metric.mean(dim=0)
        if self.approximation == "block-diagonal":
            metric = metric * torch.as_tensor(self._owners[:, None] == self._owners[None, :]).to(metric.device)
        return metric

    def _estimated(self) -> torch.Tensor:
        """The mean of all steps' estimates, the identity counted as the first, made positive by its absolute value."""
        state = self.state[self._quantum[0]]
        steps = int(state["steps"])
        found = spsa_metric(self.layer, self._last.inputs, np.random.SeedSequence([self._seed, steps]), self._length)
        before = state["metric"].to(found) if steps else torch.eye(len(found)).to(found)
        state["metric"] = (before * (steps + 1) + found) / (steps + 2)
        state["steps"] = steps + 1
        values, vectors = torch.linalg.eigh(state["metric"])
        return vectors @ torch.diag(values.abs()) @ vectors.T


class _LastInputs:
    """A forward hook that keeps the layer's last inputs; a copy of it belongs to no optimiser and takes itself off."""

    def __init__(self, is_used: bool = True):
        self.inputs: torch.Tensor | None = None
        self._is_used = is_used

    @property
    def is_empty(self) -> bool:
        """Whether the last batch had no samples."""
        return self.inputs is not None and len(self.inputs) == 0

    def __call__(self, layer: QuantumLayer, arguments: tuple, named: dict, values: torch.Tensor) -> None:
        if not self._is_used:
            for key in [key for key, hook in layer._forward_hooks.items() if hook is self]:
                del layer._forward_hooks[key]
                layer._forward_hooks_with_kwargs.pop(key, None)
        elif torch.is_grad_enabled():
            inputs = arguments[0] if arguments else named.get("inputs")
            self.inputs = inputs.detach().reshape(-1, layer.n_inputs) if layer.n_inputs else None

    def __reduce__(self):
        return _LastInputs, (False,)


def spsa_metric(
    layer: QuantumLayer, inputs: torch.Tensor | None, seed: np.random.SeedSequence, step: float = 0.01
) -> torch.Tensor:
    """(n_weights, n_weights): one estimate of the metric tensor's mean over the inputs, unbiased to the order of step^2.

    Args:
        inputs: (B, n_inputs), or None for a circuit without inputs.
        step: length of both random directions, whose entries are +-1, in radians.

    Cost: four overlaps of states for each sample, whatever the number of weights.
    Source: Gacon, Zoufal, Carleo, Woerner, Quantum 5, 567 (2021), eq. 12.
    """
    weights = layer._flat_weights().detach()
    generator = np.random.default_rng(seed)
    first, second = (torch.as_tensor(2.0 * generator.integers(0, 2, len(weights)) - 1).to(weights) for _ in range(2))
    moves = [step * (first + second), step * first, step * (second - first), -step * first]
    here = _states(layer, inputs, weights)
    overlaps = [(here.conj() * _states(layer, inputs, weights + move)).sum(dim=1).abs() ** 2 for move in moves]
    difference = float((overlaps[0] - overlaps[1] - overlaps[2] + overlaps[3]).mean())
    # The overlap falls as 1 - m.g.m for a small move m, and the four leave -4 step^2 first.g.second.
    product = torch.outer(first, second)
    return -difference / (8 * step**2) * (product + product.T)


def _states(layer: QuantumLayer, inputs: torch.Tensor | None, weights: torch.Tensor) -> torch.Tensor:
    """(B, 2^n), simulated exactly."""
    of_inputs, of_weights = layer._angles(weights.new_zeros(1, 0) if inputs is None else inputs, weights)
    return tangents(layer, of_inputs, of_weights, torch.zeros_like(of_inputs), torch.zeros_like(of_weights))[0]
