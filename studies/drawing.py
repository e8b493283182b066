"""How figures look: one style, colours that colour-blind readers tell apart, points with their intervals."""

from collections.abc import Sequence

import numpy as np

from studies.statistics import Interval, Variance

NEUTRAL = "#444444"
COLOURS = ("#1f5fa8", "#d9730d", "#2f8f5b", "#8a4f9e", "#b5303c", "#7a6a00")
MARKERS = "osD^vP"
STYLE = {
    "figure.figsize": (7.2, 4.8),
    "figure.dpi": 160,
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def errorbars(
    axes, number: int, x: np.ndarray, values: Sequence[Variance | Interval], units: Sequence[float] = (), label: str = ""
) -> None:
    """Draws estimates with their intervals, in the colour and marker of series `number`.

    Args:
        units: what each estimate is divided by; none means 1.
    """
    units = np.array(units or [1.0] * len(values))
    value, low, high = (np.array([float(getattr(v, end)) for v in values]) / units for end in ("value", "low", "high"))
    look = {"color": COLOURS[number], "fmt": MARKERS[number], "ms": 6, "capsize": 3, "zorder": 3}
    axes.errorbar(x, value, [value - low, high - value], label=label or None, **look)
