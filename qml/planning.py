"""What a training step will cost, told before it is run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from circuits.errors import LabError
from qml.evaluation import CHUNK_ROWS
from qml.layer import QuantumLayer
from qml.wording import counted, duration, size

PROBE = 0.05  # seconds that a trial should take to be believed
MUCH = 2.0
TRIALS = 3


@dataclass(frozen=True)
class Plan:
    """The cost of training steps, before the first.

    Attributes:
        circuits, shots: of values and derivatives, exact; an adjoint gradient of more states than are kept, 32 MiB of them,
            prepares each once more, which a ledger counts and this does not.
        peak_bytes: of states at one time.
        seconds: from short trials on this machine, to within a factor of two on an idle one.
        once: those of them in which the method prepares circuits of its own, before the first gradient only.
    """

    circuits: int
    shots: int
    peak_bytes: int
    seconds: float
    once: float = 0.0

    def __str__(self) -> str:
        return (
            f"{counted(self.circuits, 'circuit')}, {counted(self.shots, 'shot')}, {size(self.peak_bytes)} of states, "
            f"{duration(self.seconds)}"
        )


def plan(layer: QuantumLayer, batch_size: int = 1, n_steps: int = 1, input_gradients: bool = True) -> Plan:
    """What `n_steps` steps, each a value and a gradient of a batch, will cost; only short trials are run.

    A circuit without parameters has values alone.

    Args:
        input_gradients: whether derivatives by inputs are needed too, as they are behind another layer that learns.

    Raises:
        LabError: a number that is not a whole one of at least one.
        TooLarge: the states do not fit the memory.

    Cost: a twentieth of a second of runs with few samples, or two circuits where that takes longer.
    """
    if not isinstance(layer, QuantumLayer):
        raise LabError(f"a plan is made for a QuantumLayer, got {type(layer).__name__}: pass the layer inside the model")
    for name, value in (("batch_size", batch_size), ("n_steps", n_steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise LabError(f"{name} must be a whole number of at least 1, got {value!r}")
    evaluation = layer._evaluation
    binding = layer._binding
    needs = (input_gradients and layer.n_inputs > 0) or binding.mixes_weights, bool(binding.slots.weights)
    of_values = batch_size * evaluation.n_bases
    of_gradient = evaluation.method.circuits(evaluation, batch_size, needs)
    circuits = n_steps * (of_values + of_gradient)
    rows = of_gradient // max(1, evaluation.n_bases)
    at_once = max(batch_size, min(rows, CHUNK_ROWS // batch_size * batch_size))
    is_sweep = rows == 0 and any(needs)  # a gradient that is no circuit
    n_bytes = evaluation.compiled.n_bytes(at_once, _dtype(layer), gradient=is_sweep)
    seconds = n_steps * _seconds(layer, batch_size, rows, at_once, is_sweep)
    once = evaluation.method.programs(evaluation, needs) * _compiling(layer)
    return Plan(circuits, circuits * (layer.shots or 0), n_bytes, seconds + once, once)


def _dtype(layer: QuantumLayer) -> np.dtype:
    return np.dtype(str(layer._flat_weights().dtype).removeprefix("torch."))


def _seconds(layer: QuantumLayer, batch_size: int, rows: int, at_once: int, is_sweep: bool) -> float:
    """Of one step."""
    if is_sweep:  # so the trial is a step of its own kind
        return _tried(lambda count: _step(layer, count), batch_size)
    forward = _tried(lambda count: _values(layer, count), batch_size)
    if rows == 0:
        return forward
    chunks = max(1, round(rows / at_once))
    return forward + chunks * _tried(lambda count: _values(layer, count), min(rows, at_once))


def _compiling(layer: QuantumLayer) -> float:
    """Of one program like the layer's, until its first value is there."""
    compiled = layer._evaluation.compiled
    angles = [part.detach().numpy(force=True) for part in layer._angles(*_numbers(layer, 1))]
    started = time.perf_counter()
    again = layer.backend.compile(compiled.program, compiled.observables, compiled.slots)
    again.expectations(*angles)
    between = time.perf_counter()
    again.expectations(*angles)
    return max(0.0, 2 * between - started - time.perf_counter())


def _tried(run: Callable[[int], None], wanted: int) -> float:
    """Seconds of `run(wanted)`, from the largest power of two of samples that a short trial allows."""
    # The first run may compile kernels, for many seconds: only the second tells how long a run is.
    if _seconds_of(run, 1) > MUCH and (again := _seconds_of(run, 1)) > MUCH:
        return again * wanted
    count = 1
    while True:
        spent = _seconds_of(run, count)
        for _ in range(TRIALS - 1 if spent <= PROBE else 0):
            spent = min(spent, _seconds_of(run, count))
        if count == wanted or spent > PROBE:
            return spent * wanted / count
        count = min(wanted, 4 * count)
        run(count)


def _seconds_of(run: Callable[[int], None], count: int) -> float:
    started = time.perf_counter()
    run(count)
    return time.perf_counter() - started


def _numbers(layer: QuantumLayer, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    weights = layer._flat_weights().detach()
    inputs = torch.as_tensor(generator.uniform(-np.pi, np.pi, (count, layer.n_inputs)))
    return inputs.to(weights), weights


def _values(layer: QuantumLayer, count: int) -> None:
    with torch.no_grad():
        angles = [part.numpy(force=True) for part in layer._angles(*_numbers(layer, count))]
    layer._evaluation.values(angles[0], angles[1], np.random.SeedSequence(0))


def _step(layer: QuantumLayer, count: int) -> None:
    inputs, weights = (part.requires_grad_() for part in _numbers(layer, count))
    values = layer.evaluate(inputs if layer.n_inputs else None, weights)
    torch.autograd.grad(values.sum(), [weights, inputs] if layer.n_inputs else [weights], allow_unused=True)
