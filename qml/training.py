"""Training as a generator: each step of it is one epoch, so a caller shows progress or stops between any two.

Adam on the cross-entropy, the learning rate falling to zero along half a cosine. The order of the samples in epoch k is
drawn from (seed, "shuffle", k) and the noise on them from (seed, "noise", k), so going on after a stop needs no state of
a random generator.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from circuits.errors import LabError
from qml.checkpoints import Checkpoint
from qml.seeds import seed_for


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: epochs, samples per step, the first learning rate, the seed of order and noise."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    seed: int


class Epoch(NamedTuple):
    """One finished epoch: its number from 1, mean loss and accuracy of its batches as they came, seconds it took."""

    number: int
    loss: float
    accuracy: float
    seconds: float


def train(
    network: torch.nn.Module,
    features: torch.Tensor,
    labels: torch.Tensor,
    noise: torch.Tensor,
    schedule: Schedule,
    checkpoint: Checkpoint | None = None,
    after_backward: Callable[[torch.Tensor], None] | None = None,
) -> Iterator[Epoch]:
    """Train in place and yield each epoch when it is finished and saved.

    Epochs that a checkpoint already holds are yielded first, as they were. Stopped at any moment, by closing the
    generator or by a signal, a run with the same checkpoint ends in the same weights as one that was never stopped.

    Args:
        network: (batch, n_features) -> (batch, n_classes) logits.
        features: shape (n_samples, n_features).
        labels: class indices, shape (n_samples,).
        noise: standard deviation of the Gaussian noise that every step adds to each feature, shape (n_features,).
        after_backward: called with the loss of every step, when its gradients are there.

    Raises:
        LabError: the loss stopped being a finite number, or the checkpoint is another run's.

    Cost: a forward and a backward pass per step, ceil(n_samples / batch_size) steps an epoch.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    history = [Epoch(*epoch) for epoch in (checkpoint.restore(network, optimizer) if checkpoint else [])]
    yield from history
    for number in range(len(history) + 1, schedule.max_epochs + 1):
        started = time.perf_counter()
        with _one_torch_thread():
            loss, accuracy = _one_epoch(network, optimizer, features, labels, noise, schedule, number, after_backward)
        history.append(Epoch(number, loss, accuracy, time.perf_counter() - started))
        if checkpoint:
            checkpoint.save(network, optimizer, history)
        yield history[-1]


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """The linear maps are too small to share: on a busy machine, waiting for a second thread costs 25 times the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_epoch(
    network, optimizer, features, labels, noise, schedule: Schedule, number: int, after_backward
) -> tuple[float, float]:
    network.train()
    order = np.random.default_rng(seed_for(schedule.seed, "shuffle", number)).permutation(len(labels))
    generator = np.random.default_rng(seed_for(schedule.seed, "noise", number))
    batches = torch.as_tensor(order).split(schedule.batch_size)
    loss = hits = 0.0
    for step, batch in enumerate(batches):
        progress = (number - 1 + step / len(batches)) / schedule.max_epochs
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        drawn = torch.as_tensor(generator.standard_normal((len(batch), features.shape[1])))
        samples = features[batch] + noise * drawn
        batch_loss, batch_hits = _one_step(network, optimizer, samples, labels[batch], after_backward)
        loss, hits = loss + batch_loss * len(batch), hits + batch_hits
    if not math.isfinite(loss):
        raise LabError(
            f"the loss became {loss} in epoch {number} at learning_rate {schedule.learning_rate}: "
            f"use a smaller one, for instance {schedule.learning_rate / 10:g}"
        )
    return loss / len(labels), hits / len(labels)


def _one_step(network, optimizer, features, labels, after_backward) -> tuple[float, int]:
    optimizer.zero_grad()
    logits = network(features)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    if after_backward is not None:
        after_backward(loss)
    optimizer.step()
    return loss.item(), int((logits.argmax(dim=-1) == labels).sum())
