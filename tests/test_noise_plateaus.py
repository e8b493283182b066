"""Noise-induced plateaus: walks with noise behind layers are density matrices, bounds hold, the verdict follows its rows."""

import itertools
import math

import numpy as np
import pytest
from qiskit.quantum_info import DensityMatrix, Kraus

from circuits.errors import LabError
from studies import noise_plateaus as study
from studies import noisy_circuits as noisy
from studies.statistics import variance

SIGMAS = 5
SEED = 5


def by_qiskit(n_qubits, n_layers, q, angles) -> float:
    """<Z0 Z1> from Qiskit's own density matrices, with Kraus operators after each layer."""
    paulis = np.array([np.eye(2), [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], np.diag([1, -1])])
    channel = Kraus([math.sqrt(c) * pauli for c, pauli in zip([(1 + 3 * q) / 4] + [(1 - q) / 4] * 3, paulis)])
    state, per_layer = DensityMatrix.from_label("0" * n_qubits), 2 * n_qubits
    for layer in range(n_layers):
        part = noisy.ansatz(n_qubits, 1)
        order = {f"w[{k}]": angles[layer * per_layer + k] for k in range(per_layer)}
        state = state.evolve(part.assign_parameters({p: order[p.name] for p in part.parameters}))
        for qubit in range(n_qubits):
            state = state.evolve(channel, [qubit])
    return state.expectation_value(noisy.observable(n_qubits)).real


def drawn(n_qubits, n_layers, samples) -> np.ndarray:
    return np.stack([noisy.angles(SEED, n_qubits, n_layers, sample) for sample in range(samples)])


def test_aer_s_density_matrices_are_qiskit_s():
    angles = drawn(3, 2, 4)
    found = noisy._values(noisy.noisy_ansatz(3, 2, "depolarising", 0.8), angles)
    np.testing.assert_allclose(found, [by_qiskit(3, 2, 0.8, one) for one in angles], atol=1e-12, err_msg=f"seed {SEED}")


def test_walks_are_density_matrices_averaged_over_clifford_points():
    points = np.array(list(itertools.product(range(4), repeat=6)))
    angles = np.zeros((len(points), 8))
    angles[:, [0, 1, 2, 3, 4, 6]] = points * math.pi / 2  # RZ of the last layer commutes with all that follows it
    values = noisy._values(noisy.noisy_ansatz(2, 2, "depolarising", 0.8), angles).reshape((4,) * 6)
    found = noisy.walk(2, 2, 0.8, SEED)
    assert found.n_walks == 0 and found.loss == pytest.approx(values.var(), rel=1e-9)
    slopes = [((np.roll(values, -1, axis) - np.roll(values, 1, axis)) / 2).var() for axis in range(6)]
    np.testing.assert_allclose(found.gradient[[0, 1, 2, 3, 4, 6]], slopes, atol=1e-12)
    np.testing.assert_array_equal(found.gradient[[5, 7]], 0)


@pytest.mark.parametrize("channel, q", [("none", 1.0), ("depolarising", 0.9)])
def test_sampled_gradients_have_the_walks_variances(channel, q):
    places = [0, 2, 24]
    samples = noisy.shifted_gradients(noisy.noisy_ansatz(3, 5, channel, q), drawn(3, 5, 400), places)
    exact = noisy.walk(3, 5, q, SEED).gradient[places]
    assert (np.abs(variance(samples.T).sigmas(exact)) < SIGMAS).all(), f"seed {SEED}"


@pytest.mark.parametrize("n, depth, q", [(2, 3, 0.9), (3, 7, 0.5), (4, 9, 0.99)])
def test_no_derivative_exceeds_the_bound(n, depth, q):
    clean, noise = (noisy.walk(n, depth, strength, SEED).gradient for strength in (1.0, q))
    assert (noise <= clean * q ** (2 * depth) * (1 + 1e-12)).all()
    assert ((noise > 0) == (clean > 0)).all()


def test_walks_that_are_sampled_agree_with_exact_ones(monkeypatch):
    exact = noisy.walk(5, 6, 0.95, SEED)
    monkeypatch.setattr(noisy, "EXACT", 1)
    found = noisy.walk(5, 6, 0.95, SEED)
    assert found.n_walks > 0
    assert (np.abs(found.gradient - exact.gradient) <= SIGMAS * found.errors + 1e-15).all(), f"seed {SEED}"


def test_noise_on_all_qubits_at_once_scales_gradients_exactly():
    (row,) = study.run({"arm": "global", "q": 0.9, "n_qubits": 3, "n_layers": 4, "samples": 3, "seed": SEED})
    assert row["deviation"] < 1e-12


def test_amplitude_damping_spares_the_last_layer_and_not_the_first():
    fields = {"arm": "density", "channel": "amplitude damping", "q": 0.8, "n_qubits": 2, "samples": 200, "seed": SEED}
    near, far = (study.run({**fields, "n_layers": depth}) for depth in (8, 24))
    first, last = ((one["variance"], two["variance"]) for one, two in zip(near, far))
    assert last[1] > 0.3 * last[0] and first[1] < 0.01 * first[0], f"seed {SEED}"


def made_up(rate=2.0, damped=0.0, clean=0.0, off=1.0, deviation=0.0) -> list[dict]:
    """Rows whose standard deviations fall by q^rate a layer; with damping at some other rate."""
    rows, fields = [], {"n_qubits": 4, "seed": 0, "provenance": {}}
    for arm, q, depth in itertools.product(("depth", "size"), (1.0, 0.9), (10, 20, 30, 40)):
        wiggle = 1 + 1e-3 * (depth % 20)
        value = wiggle * math.exp(2 * depth * (rate * math.log(q) + clean))
        rows.append({"arm": arm, "q": q, "n_layers": depth, "variance": value, "log_error": 0.0, "walks": 0, **fields})
    slopes = {"none": 0.0, "depolarising": rate * math.log(0.9), "amplitude damping": damped}
    for channel, place, depth in itertools.product(study.CHANNELS, study.PLACES, (10, 20, 30, 40)):
        value = (1 + 1e-3 * (depth % 20)) * math.exp(2 * depth * slopes[channel])
        rows.append({"arm": "density", "channel": channel, "place": place, "q": 0.9, "n_layers": depth, **fields})
        walk = None if channel == "amplitude damping" else value * off
        rows[-1] |= {"variance": value, "log_error": 0.05, "low": value, "high": value, "walk": walk}
    return [*rows, {"arm": "global", "q": 0.9, "n_layers": 6, "deviation": deviation, **fields}]


def test_the_verdict_says_yes_when_slopes_are_below_ln_q_and_damping_is_flat():
    words = study.verdict(made_up())
    assert words.startswith("Yes: at 4 qubits") and "all below ln q" in words and "do not trust" not in words
    assert "it does not fall, as it must" in words and "makes no plateau" in words and "exactly" in words


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"rate": 0.5}, "Not shown"),
        ({"rate": 0.5}, "ABOVE the bound"),
        ({"damped": -0.2}, "is not shown"),
        ({"clean": -0.3}, "falls, which it must not"),
        ({"off": 2.0}, "too far: do not trust this run"),
        ({"deviation": 1e-3}, "NOT exactly"),
    ],
)
def test_the_verdict_says_what_does_not_hold(fields, said):
    assert said in study.verdict(made_up(**fields))


def test_the_title_claims_no_more_than_the_verdict():
    assert "amplitude damping spares" in study._title(made_up())
    title = study._title(made_up(damped=-0.2))
    assert title.startswith("Depolarising noise flattens") and "damping" not in title


def test_variances_of_rounding_are_not_held_against_walks():
    rows = made_up(rate=10.0)
    for row in rows:
        if row["arm"] == "density" and row["variance"] < study.SEEN:
            row["variance"] *= 1e6
    assert "too far" not in study.verdict(rows)


def test_the_figure_s_title_is_the_finding_and_its_points_are_the_table_s():
    rows = made_up()
    assert "flattens all gradients exponentially" in study.figure(rows).get_suptitle()
    assert "not confirmed" in study.figure(made_up(rate=0.5)).get_suptitle()
    lines = study.table(rows)
    assert len(lines) == 4 + 6 and lines[1]["slope"] == pytest.approx(2 * math.log(0.9), rel=1e-3)
    shown = study.figure(rows).axes[0].lines[0].get_ydata()
    assert shown[0] ** 2 == pytest.approx(lines[0]["variance, fewest layers"]) and shown[-1] ** 2 == pytest.approx(
        lines[0]["most layers"]
    )


def test_the_quick_preset_shares_its_walks_with_the_full_run():
    quick, full = study.cases(study.Settings.quick()), study.cases(study.Settings())
    walks = [one for one in quick if one["arm"] in ("depth", "size") and one["n_layers"] in (8, 16, 24, 32, 48, 64)]
    assert walks and all(one in full for one in walks)


@pytest.mark.parametrize(
    "wrong",
    [
        {"depths": (4, 8)},
        {"qubits": (1, 2, 3)},
        {"density_depths": (4, 4, 8)},
        {"shrink": (0.9,)},
        {"shrink": (1.0, 1.2)},
        {"damping": 0.0},
        {"density_qubits": 9},
        {"samples": 3},
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)
