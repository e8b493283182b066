"""What a `PlateauWatch` concludes from what it measured: the rule, and the words."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HALF = 0.5  # a plateau has a signal-to-noise ratio below it: four times the shots would not resolve it either
SIGMAS = 3  # by which outputs stand out from those at redrawn weights


@dataclass(frozen=True)
class Group:
    """Some of the weights over the recent steps.

    Attributes:
        variance: mean square of the loss's derivatives. snr: its root over the standard error that the shift rule has at the
            watch's shots. shots_needed: for a ratio of one.
        is_bound: whether the gradients' own shots hide it: then variance and snr are at most, shots_needed is at least this.
    """

    name: str
    variance: float
    snr: float
    shots_needed: float
    is_bound: bool = False

    def needed(self) -> str:
        """How many shots resolve the gradient, in words."""
        if not math.isfinite(self.shots_needed):
            return "more shots than any"
        number = max(1.0, self.shots_needed)
        shots = f"{round(number):,}" if number < 1e6 else f"{number:.1e}"
        return f"{'more than ' if self.is_bound else ''}{shots} shot{'' if shots == '1' else 's'}"


@dataclass(frozen=True)
class Reading:
    """What a watch sees.

    Attributes:
        says: "training", "plateau", "minimum", "zero gradient" or "cannot tell".
        reason: why, in words.
        groups: the weights by group, and all of them as the last one.
        here, redrawn: mean square of a random output's derivatives, at these weights and typically at random ones.
        noise: what shots add to it.
        losses: the first and the last.
    """

    says: str
    reason: str
    groups: tuple[Group, ...]
    shots: int
    here: float
    redrawn: float
    noise: float
    losses: tuple[float, float]

    def __str__(self) -> str:
        everything, first, last = self.groups[-1], *self.losses
        at_most = "at most " if everything.is_bound else ""
        ratio = f"The gradient's signal-to-noise ratio is {at_most}{everything.snr:.2g} at {self.shots} shots"
        signal = f"{ratio}; {everything.needed()} would resolve it."
        reason = self.reason[0].upper() + self.reason[1:]
        if self.says == "training":
            return f"The gradient can be seen. {signal}"
        if self.says == "plateau":
            return f"A barren plateau. {signal} {reason}. Fewer layers, a local observable or a narrow start help."
        if self.says == "minimum":
            return f"A minimum, not a plateau. {signal} But {self.reason}. The loss went from {first:.3g} to {last:.3g}."
        if self.says == "zero gradient":
            return f"The gradient is zero: {self.reason}."
        return f"Cannot tell: {self.reason}. {signal}"


class Evidence(NamedTuple):
    """What the rule looks at.

    Attributes:
        gradient: of the loss, by all watched weights.
        here, redrawn: mean square derivatives of a sum of outputs, the latter at each redrawn point; noise: what shots add.
        smallest: mean square derivative that rounding can make of zero.
        stands_out: whether the outputs here are none that random weights give.
        fell: whether the loss did, by more than its noise.
    """

    gradient: Group
    shots: int
    here: float
    redrawn: np.ndarray
    noise: float
    smallest: float
    stands_out: bool
    fell: bool
    steps: int
    window: int


def verdict(seen: Evidence) -> tuple[str, str]:
    """What it is, and why; `PlateauWatch` states the rule."""
    gradient, redrawn, line = seen.gradient, float(np.median(seen.redrawn)), HALF**2 * seen.noise
    if gradient.snr >= 1:
        if not gradient.is_bound:
            return "training", "the gradient stands clear of the noise"
        return "cannot tell", f"the layer's own shots hide the gradient in {seen.steps} steps: take more, or a wider window"
    if max(seen.here, *seen.redrawn) <= seen.smallest:
        return "zero gradient", "no output depends on these weights, here or at redrawn ones"
    if seen.steps < seen.window and max(seen.redrawn) >= line:
        return "cannot tell", f"only {seen.steps} of the window's {seen.window} steps were seen"
    against = f"({redrawn:.2g} against {seen.noise:.2g})"
    if redrawn >= seen.noise:
        clear = f"at redrawn weights an output's derivatives stand clear of the noise {against}"
        return ("minimum", clear) if seen.fell else ("cannot tell", f"{clear}, and the loss has not fallen")
    if redrawn >= line:
        return "cannot tell", f"at redrawn weights an output's derivatives are about as large as the noise {against}"
    if seen.stands_out:
        apart = "the outputs are none that redrawn weights give, whose derivatives are lost in the noise"
        settled = seen.fell and seen.steps == seen.window
        return (
            ("minimum", f"{apart}: a narrow gorge") if settled else ("cannot tell", f"{apart}, so this is no typical point")
        )
    if seen.here >= line:
        return "cannot tell", f"an output's derivatives are lost at redrawn weights {against} but not here ({seen.here:.2g})"
    if gradient.snr >= HALF:
        return "cannot tell", f"shots of the order of the {seen.shots} in use resolve the gradient"
    return "plateau", (
        f"at redrawn weights an output's derivatives have the variance {redrawn:.2g}, below the {seen.noise:.2g} that "
        f"{seen.shots} shots add"
    )
