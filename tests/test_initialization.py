"""Starts have the variances of their laws by both roads, identity blocks do not know their number, settings are checked."""

import numpy as np
import pytest

from circuits import initializers
from circuits.errors import LabError
from studies import initialization as study
from studies.walk.distributions import Angles

SIGMAS = 5


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """A small run."""
    settings = study.Settings(
        small=(2, 3, 4),
        large=(5,),
        wide=200,
        wide_layers=3,
        blocks=(1, 4),
        block_sizes=(4, 5, 6),
        samples=1024,
        walks=1 << 18,
    )
    return [{**case, **row} for case in study.cases(settings) for row in study.run(case)]


def test_both_roads_agree_for_every_start(rows):
    apart = [row["furthest"] for row in rows if row.get("furthest")]
    assert len(apart) == 3 * len(study.STARTS) and max(apart) < SIGMAS, "seed 2203"
    assert "State vectors and walks agree" in study.verdict(rows)


def test_the_gaussian_start_keeps_above_its_bound(rows):
    for row in rows:
        if row["arm"] == "gaussian":
            assert row["norm"] > study.light_cone_bound(row["n_layers"])
    assert "times the light cone's bound" in study.verdict(rows)


@pytest.mark.parametrize("n, depth", [(2, 1), (6, 4), (9, 20)])
def test_the_bound_is_the_light_cone_s_and_above_the_remembered_one(n, depth):
    from circuits.ansatze import cz_line
    from circuits.observables import middle_pair
    from studies.light_cone import cone_bound

    found = cone_bound(cz_line(n, depth, rotations=("rx", "ry")), middle_pair(n), "gaussian")
    assert found.gradient.sum() == pytest.approx(study.light_cone_bound(depth), rel=1e-12)
    assert found.gradient[2 * (n // 2)] == pytest.approx(study._one_component(depth), rel=1e-12)
    assert study.light_cone_bound(depth) > study.quoted_bound(depth) > 0


def test_identity_blocks_start_at_the_observable_s_value_and_do_not_know_their_number(rows):
    one, four = study._numbered(rows, "identity_blocks")
    assert max(one["off"], four["off"]) < 1e-10
    assert four["variance"] == pytest.approx(one["variance"], rel=study.SAME)
    assert one["of_eigenstate"] < 1e-25 < 1e-4 < one["variance"]
    control = study._numbered(rows, "uniform_blocks")
    assert control[1]["variance"] < 0.9 * control[0]["variance"]


@pytest.mark.parametrize("name", ["small_angle", "gaussian", "beta"])
def test_the_laws_of_walks_are_the_initializers(name):
    width = {"small_angle": 0.1, "gaussian": (4 * 1 * 3) ** -0.5, "beta": np.pi}[name]
    size, seed = 200_000, 3
    drawn = getattr(initializers, name)(size, seed)
    law = Angles(name, width)
    np.testing.assert_allclose(drawn, law.draw(size, np.random.SeedSequence(seed)), rtol=1e-12)
    for factor in (1, 2, 0.5):
        values = np.cos(factor * drawn)
        assert abs(values.mean() - law.cos(factor)) < SIGMAS * values.std() / size**0.5, f"seed {seed}"


def test_the_figure_has_all_panels(rows):
    left, _, right = study.figure(rows).axes
    assert left.get_yscale() == "log" and "blocks" in right.get_xlabel()
    assert len(study.table(rows)) == len(rows)


@pytest.mark.parametrize(
    "wrong",
    [{"small": ()}, {"small": (1,)}, {"large": (5000,)}, {"blocks": (0,)}, {"samples": 0}, {"walks": 0}, {"seed": -1}],
)
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)
