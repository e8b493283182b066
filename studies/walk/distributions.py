"""Laws of random angles, all symmetric about 0, by their moments and by draws."""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError, Unsupported


@dataclass(frozen=True)
class Angles:
    """The law of every angle.

    Attributes:
        name: "uniform" on the circle, "small_angle" (uniform within `width` of 0), "gaussian" (standard deviation `width`)
            or "beta" (a symmetric beta law with both exponents `shape`, stretched to `width` on either side of 0).
        width: in radians; of no meaning for "uniform".
    """

    name: str = "uniform"
    width: float = math.pi
    shape: float = 2.0

    def __post_init__(self):
        if self.name not in NAMES:
            from circuits.errors import UnknownName

            raise UnknownName("distribution", self.name, NAMES)
        for what, value in (("width", self.width), ("shape", self.shape)):
            if not (math.isfinite(value) and value > 0):
                raise LabError(f"the {what} of a distribution of angles must be positive, got {value!r}")

    def cos(self, factor: float) -> float:
        """E[cos(factor * angle)].

        Raises:
            Unsupported: angles on the whole circle times something that is no whole number, which is no angle on it.
        """
        if self.name == "uniform":
            if factor != round(factor):
                raise Unsupported(
                    f"an angle is {factor:g} times a parameter that is uniform on the circle, which is not symmetric: "
                    "use method='state_vector'"
                )
            return 0.0 if factor else 1.0
        stretch = abs(factor) * self.width
        if self.name == "gaussian":
            return math.exp(-(stretch**2) / 2)
        if self.name == "small_angle":
            return math.sin(stretch) / stretch if stretch else 1.0
        from scipy.special import hyp0f1

        return float(hyp0f1(self.shape + 0.5, -(stretch**2) / 4))

    def draw(self, size: int, seed: np.random.SeedSequence) -> np.ndarray:
        """(size,) independent angles."""
        generator = np.random.default_rng(seed)
        if self.name == "uniform":
            return generator.uniform(0, 2 * math.pi, size)
        if self.name == "small_angle":
            return generator.uniform(-self.width, self.width, size)
        if self.name == "gaussian":
            return generator.normal(0.0, self.width, size)
        return self.width * (2 * generator.beta(self.shape, self.shape, size) - 1)


NAMES = ("uniform", "small_angle", "gaussian", "beta")
