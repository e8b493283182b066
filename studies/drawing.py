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


def label_ends(axes, ends: Sequence[tuple[float, float, str, str]], gap: float = 0.05) -> None:
    """Names lines beside the axes, near the height of their last points, each in its colour and tied to its point.

    Args:
        ends: last x, last y, name and colour of each line; the lines are drawn, and so are those of axes that share a scale.
        gap: height of a name, as a share of that of the axes.
    """
    axes.autoscale_view()
    scale = axes.yaxis.get_transform().transform
    low, high = scale(np.array(axes.get_ylim()))
    ends = sorted(ends, key=lambda end: (end[1], end[0]))
    heights = (scale(np.array([y for _, y, _, _ in ends])) - low) / (high - low)
    for place, (x, y, name, colour) in zip(_apart(heights, gap), ends):
        look = {"color": colour, "fontsize": 9, "va": "center", "annotation_clip": False}
        leader = {"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6, "shrinkB": 4, "relpos": (0, 0.5)}
        axes.annotate(name, (x, y), (1.04, place), textcoords="axes fraction", **look, arrowprops=leader)


def _apart(heights: np.ndarray, size: float) -> np.ndarray:
    """Ascending heights moved as little as it takes for things of this size not to overlap, and to stand between 0 and 1."""
    # Isotonic regression of what is left once the sizes below each are taken away: pools of neighbours share their mean.
    below = size * np.arange(len(heights))
    pools: list[tuple[float, int]] = []
    for height in heights - below:
        pools.append((float(height), 1))
        while len(pools) > 1 and pools[-1][0] < pools[-2][0]:
            (a, n), (b, m) = pools[-2:]
            pools[-2:] = [((a * n + b * m) / (n + m), n + m)]
    lowest, highest = size / 2, 1 + size / 2 - size * len(heights)
    return np.clip(np.repeat(*zip(*pools)), lowest, max(lowest, highest)) + below if pools else below
