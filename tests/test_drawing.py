"""Names of lines stand where these end, and none over another."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.optimize import minimize

from studies.drawing import _apart, label_ends


@pytest.mark.parametrize(
    ("heights", "wanted"),
    [
        ([], []),
        ([0.5], [0.5]),
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.1, 0.5, 0.5, 0.5], [0.1, 0.4, 0.5, 0.6]),
        ([0.0, 0.0, 1.0], [0.05, 0.15, 0.95]),
    ],
)
def test_heights_move_no_further_than_they_must(heights, wanted):
    assert np.allclose(_apart(np.array(heights), 0.1), wanted)


def nearest(heights: np.ndarray, size: float) -> np.ndarray:
    """The places of least squares, by a general minimiser."""
    bounds = [(size / 2, 1 - size / 2)] * len(heights)
    apart = [{"type": "ineq", "fun": lambda places: np.diff(places) - size}] if len(heights) > 1 else []
    found = minimize(
        lambda places: ((places - heights) ** 2).sum(), np.linspace(*bounds[0], len(heights)),
        method="SLSQP", bounds=bounds, constraints=apart, options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert found.success
    return found.x


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_places_are_the_nearest_that_do_not_overlap_and_are_inside(count):
    rng = np.random.default_rng(7 + count)
    for _ in range(5):
        heights, size = np.sort(rng.uniform(-0.2, 1.2, count)), rng.uniform(0.01, 0.1)
        assert np.allclose(_apart(heights, size), nearest(heights, size), atol=1e-5)


def test_names_that_do_not_fit_stand_one_over_another_from_the_bottom():
    assert np.allclose(_apart(np.full(5, 0.5), 0.3), 0.15 + 0.3 * np.arange(5))


def test_names_have_their_lines_colours_and_stand_in_the_order_of_the_ends_even_where_these_meet():
    axes = Figure().subplots()
    ends = [(10, 100.0, "first", "red"), (10, 101.0, "second", "blue")]
    ends += [(10, 1.0, "low", "green"), (5, 1.0, "shorter", "black")]
    for x, y, _, colour in ends:
        axes.plot([1, x], [1, y], color=colour)
    axes.set(xscale="log", yscale="log")
    label_ends(axes, ends)
    texts = sorted(axes.texts, key=lambda text: text.get_position()[1])
    assert [(text.get_text(), text.get_color()) for text in texts] == [
        ("shorter", "black"), ("low", "green"), ("first", "red"), ("second", "blue"),
    ]  # fmt: skip
    heights = [text.get_position()[1] for text in texts]
    assert heights == pytest.approx([heights[0], heights[0] + 0.05, heights[2], heights[2] + 0.05])
