"""A published number, and what it is when computed again."""

import math
from dataclasses import dataclass

import numpy as np

from studies.statistics import Variance, normal_quantile

STATED = "stated"  # the text or the code gives a formula
PRINTED = "printed"  # a stored output
REPLAYED = "replayed"  # a plot, computed again from the seed in its code


@dataclass(frozen=True)
class Claim:
    """What was published.

    Attributes:
        key: short and unique. peer: who published it. quantity: what it is said to be.
        source: repository, file and commit. found: one of "stated", "printed", "replayed".
        published: the number, None where it is replayed.
        samples: of the published run, 0 for a formula. rounding: half a unit of the last published digit.
        mended: where its publisher has put it right since, "" where that is not known.
    """

    key: str
    peer: str
    quantity: str
    source: str
    found: str
    published: float | None = None
    samples: int = 0
    rounding: float = 0.0
    mended: str = ""


@dataclass(frozen=True)
class Recomputed:
    """The stated quantity, computed again.

    Attributes:
        exact: from a closed form or an enumeration. value, low, high: by sampling with a 95 % interval, or by a second road.
        spread: standard deviation that a run of the published size has about the exact value.
        published: where the claim is replayed. replay: the printed number computed again from its seed, where it has one.
        cause: the exact value of what was computed instead; cause_spread: of a run of the published size about it.
        why: in a few words.
    """

    exact: float
    value: float
    low: float
    high: float
    spread: float = 0.0
    published: float | None = None
    replay: float | None = None
    cause: float | None = None
    cause_spread: float = 0.0
    why: str = ""


def run_spread(found: Variance, exact: float, samples: int) -> float:
    """What a variance from so many samples deviates from the exact one, by the kurtosis of a larger sample."""
    return exact * float(found.log_error) * math.sqrt(found.samples / samples)


def mean_interval(samples: np.ndarray) -> tuple[float, float, float]:
    """A mean and the ends of its 95 % interval."""
    half = normal_quantile(0.95) * samples.std(ddof=1) / math.sqrt(len(samples))
    return float(samples.mean()), float(samples.mean() - half), float(samples.mean() + half)
