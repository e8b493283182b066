"""Names of lines stand where these end, and none over another."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from studies.drawing import _apart, label_ends


@pytest.mark.parametrize(
    ("heights", "wanted"),
    [([], []), ([0.5], [0.5]), ([0.2, 0.8], [0.2, 0.8]), ([0.1, 0.5, 0.5, 0.5], [0.1, 0.4, 0.5, 0.6])],
)
def test_heights_move_no_further_than_they_must(heights, wanted):
    assert np.allclose(_apart(heights, [0.1] * len(heights)), wanted)


def test_no_two_names_overlap_whatever_their_sizes():
    rng = np.random.default_rng(7)
    for count in range(1, 20):
        heights, sizes = np.sort(rng.uniform(0, 1, count)), rng.uniform(0.01, 0.2, count)
        places = _apart(heights, sizes)
        assert (np.diff(places) >= (sizes[:-1] + sizes[1:]) / 2 - 1e-12).all()
        assert places.mean() == pytest.approx(heights.mean())


def test_lines_that_end_together_share_a_place_and_the_colour_on_top():
    axes = Figure().subplots()
    ends = [(10, 100.0, "first", "red"), (10, 101.0, "second", "blue")]
    ends += [(10, 1.0, "low", "green"), (5, 1.0, "shorter", "black")]
    for x, y, _, colour in ends:
        axes.plot([1, x], [1, y], color=colour)
    axes.set(xscale="log", yscale="log")
    label_ends(axes, ends)
    assert {(text.get_text(), text.get_color()) for text in axes.texts} == {
        ("second\nfirst", "blue"),
        ("low", "green"),
        ("shorter", "black"),
    }
