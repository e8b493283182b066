"""Sim's circuits are drawn as published; divergence, floor and Q are right where they are known exactly."""

import math

import numpy as np
import pytest
from qiskit.quantum_info import Statevector, partial_trace

from circuits.errors import LabError
from circuits.sim_circuits import sim
from qml.wording import counted
from studies import ensembles, published
from studies import expressibility as study
from studies.statistics import Interval
from studies.words import numbered

SIGMA = 5
# The paper's Table III: weights of one layer on n qubits, those of circuit 10 with its first row.
WEIGHTS = {
    **dict.fromkeys((1, 2), lambda n: 2 * n),
    **dict.fromkeys((3, 4, 16, 17), lambda n: 3 * n - 1),
    **dict.fromkeys((5, 6), lambda n: n**2 + 3 * n),
    **dict.fromkeys((7, 8), lambda n: 5 * n - 1),
    9: lambda n: n,
    **dict.fromkeys((10, 15), lambda n: 2 * n),
    **dict.fromkeys((11, 12), lambda n: 4 * n - 4),
    **dict.fromkeys((13, 14), lambda n: 4 * n),
    **dict.fromkeys((18, 19), lambda n: 3 * n),
}
PAIRS_OF_4 = {
    2: "32 21 10",
    3: "32 21 10",
    4: "32 21 10",
    5: "32 31 30 23 21 20 13 12 10 03 02 01",
    6: "32 31 30 23 21 20 13 12 10 03 02 01",
    7: "10 32 21",
    8: "10 32 21",
    9: "32 21 10",
    10: "32 21 10 30",
    11: "10 32 21",
    12: "10 32 21",
    13: "30 23 12 01 32 03 10 21",
    14: "30 23 12 01 32 03 10 21",
    15: "30 23 12 01 32 03 10 21",
    16: "10 32 21",
    17: "10 32 21",
    18: "30 23 12 01",
    19: "30 23 12 01",
}


def case(circuit=2, n_layers=1, repeat=0, first_pair=0, pairs=200, n_qubits=4, bins=75, seed=7) -> dict:
    return {
        "circuit": circuit,
        "n_qubits": n_qubits,
        "n_layers": n_layers,
        "repeat": repeat,
        "first_pair": first_pair,
        "pairs": pairs,
        "bins": bins,
        "seed": seed,
    }


def rows(*cases: dict) -> list[dict]:
    return [{**one, **row, "provenance": {}} for one in cases for row in study.run(one)]


@pytest.mark.parametrize("number", range(1, 20))
@pytest.mark.parametrize("n_qubits", [2, 3, 4, 5])
def test_every_circuit_has_the_papers_number_of_weights_in_one_vector(number, n_qubits):
    circuit = sim(n_qubits, 2, number, name="theta")
    one = WEIGHTS[number](n_qubits)
    assert len(circuit.parameters) == 2 * one - (n_qubits if number == 10 else 0)
    assert {parameter.vector.name for parameter in circuit.parameters} == {"theta"}
    assert len(circuit.parameters[0].vector) == len(circuit.parameters)


@pytest.mark.parametrize("number", PAIRS_OF_4)
def test_the_two_qubit_gates_on_four_qubits_are_the_published_ones_in_their_order(number):
    circuit = sim(4, 1, number)
    pairs = ["".join(str(circuit.find_bit(q).index) for q in i.qubits) for i in circuit.data if len(i.qubits) == 2]
    assert " ".join(pairs) == PAIRS_OF_4[number]


@pytest.mark.parametrize("wrong", [{"n_qubits": 1}, {"number": 0}, {"number": 20}, {"number": 2.0}, {"n_layers": 0}])
def test_what_is_no_circuit_of_sims_is_refused(wrong):
    with pytest.raises(LabError, match=next(iter(wrong))):
        sim(**{"n_qubits": 4, "n_layers": 1, "number": 2, **wrong})


@pytest.mark.parametrize("number", [2, 6, 10, 13])
def test_the_states_are_those_of_qiskits_circuits_and_q_is_that_of_its_partial_traces(number):
    one = case(number, pairs=3)
    states = study._circuit_states(one)
    angles = np.concatenate([generator.uniform(0, 2 * math.pi, (2, len(sim(4, 1, number).parameters)))
                             for generator in study._generators(one)])  # fmt: skip
    expected = [Statevector(sim(4, 1, number).assign_parameters(values)) for values in angles]
    overlaps = [abs(np.vdot(state, other.data)) for state, other in zip(states, expected)]
    np.testing.assert_allclose(overlaps, 1, atol=1e-12)
    purities = [
        [partial_trace(state, [p for p in range(4) if p != q]).purity().real for q in range(4)] for state in expected
    ]
    np.testing.assert_allclose(ensembles.meyer_wallach(states), 2 * (1 - np.mean(purities, axis=1)), atol=1e-12)


def test_q_is_0_for_product_states_and_1_for_ghz_states(rng):
    factors = rng.normal(size=(5, 3, 2)) + 1j * rng.normal(size=(5, 3, 2))
    factors /= np.linalg.norm(factors, axis=2, keepdims=True)
    products = np.einsum("bi,bj,bk->bijk", *factors.transpose(1, 0, 2)).reshape(5, 8)
    np.testing.assert_allclose(ensembles.meyer_wallach(products), 0, atol=1e-14)
    ghz = np.zeros((1, 16), complex)
    ghz[0, [0, 15]] = math.sqrt(0.5)
    assert ensembles.meyer_wallach(ghz) == pytest.approx(1, abs=1e-14)


def test_circuit_1_entangles_nothing_and_circuit_9_everything():
    product, everything = (study.run(case(number, pairs=20))[0]["q_mean"] for number in (1, 9))
    assert product == pytest.approx(0, abs=1e-14) and everything == pytest.approx(1, abs=1e-12)


def test_circuit_2s_mean_q_is_159_over_256_exactly_and_in_samples():
    print("seed 7")
    (point,) = study.points(rows(case(2, pairs=4000)))
    error = (point.q.high - point.q.value) / 1.96
    assert error < 0.003 and abs(point.q.value - 159 / 256) < 4 * error
    # The purity of a qubit has frequencies up to 2 in every angle, so its mean over three equidistant ones is exact.
    grid = np.stack(np.meshgrid(*[2 * math.pi / 3 * np.arange(3)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    assert quadrature_of_circuit_2(grid) == pytest.approx(159 / 256, abs=1e-12)


def quadrature_of_circuit_2(grid) -> float:
    compiled, n_weights = study._compiled(4, 1, 2)
    angles = np.concatenate([np.repeat(grid, len(grid), axis=0), np.tile(grid, (len(grid), 1))], axis=1)
    none = np.empty((len(angles), 0))
    assert n_weights == angles.shape[1]
    return float(ensembles.meyer_wallach(compiled.tangents(none, angles, none, np.zeros_like(angles))[0]).mean())


def test_the_haar_law_scores_zero_against_itself_and_its_masses_add_up():
    masses = ensembles.haar_masses(4, 75)
    assert masses.sum() == pytest.approx(1, abs=1e-12) and (masses > 0).all()
    assert ensembles.divergence(masses * 1e9, masses).value == pytest.approx(0, abs=1e-12)
    # Two bins, one qubit: uniform fidelities. ln 2 is what all in one bin score.
    assert ensembles.divergence(np.array([40, 0]), ensembles.haar_masses(1, 2)).value == pytest.approx(math.log(2))


def test_the_expected_floor_is_the_mean_over_all_histograms():
    # Two bins of masses 1/4 and 3/4, two draws: (2, 0), (1, 1), (0, 2).
    masses = np.array([0.25, 0.75])
    by_hand = sum(
        probability * ensembles.divergence(np.array(counts), masses).value
        for counts, probability in (((2, 0), 1 / 16), ((1, 1), 6 / 16), ((0, 2), 9 / 16))
    )
    assert ensembles.expected_floor(masses, 2) == pytest.approx(by_hand, rel=1e-12)
    assert ensembles.expected_floor(ensembles.haar_masses(4, 75), 5000) == pytest.approx(0.0036, abs=0.0001)


def test_the_floor_is_found_and_the_interval_covers_where_the_truth_is_known(rng):
    masses, total = ensembles.haar_masses(4, 75), 5000
    found = [ensembles.divergence(counts, masses) for counts in rng.multinomial(total, masses, 400)]
    values = np.array([estimate.value for estimate in found])
    expected = ensembles.expected_floor(masses, total)
    assert abs(values.mean() - expected) < SIGMA * values.std() / 20
    assert np.mean([estimate.low <= expected <= estimate.high for estimate in found]) > 0.85
    skewed = np.exp(-np.arange(75) / 3)
    found = [ensembles.divergence(counts, masses) for counts in rng.multinomial(total, skewed / skewed.sum(), 400)]
    mean = np.mean([estimate.value for estimate in found])
    assert abs(np.mean([estimate.low <= mean <= estimate.high for estimate in found]) - 0.95) < SIGMA * 0.011


def test_haar_states_have_the_known_mean_q_and_score_the_floor():
    print("seed 7")
    (point,) = study.points(rows(case(study.HAAR, 0, pairs=2000)))
    assert abs(point.q.value - 14 / 17) < SIGMA * (point.q.high - point.q.value) / 1.96
    assert point.kl.low < ensembles.expected_floor(ensembles.haar_masses(4, 75), 2000) < point.kl.high


def test_a_pair_does_not_depend_on_the_chunk_it_is_drawn_in():
    (whole,) = study.points(rows(case(pairs=50)))
    (parts,) = study.points(rows(case(pairs=20), case(first_pair=20, pairs=30)))
    assert (whole.kl, whole.pairs) == (parts.kl, parts.pairs)
    np.testing.assert_allclose([parts.q.value, parts.q.low], [whole.q.value, whole.q.low], rtol=1e-12)


def made_up(factor=1.0, numbers=range(1, 20)) -> list[dict]:
    """Rows of 5000 pairs whose divergences are about the published ones times a factor, and repeats of Haar's law."""
    masses, made = ensembles.haar_masses(4, 75), []
    for number in numbers:
        wanted = factor * (published.sim(published.SIM_KL, number, 1) or 0.1)
        made.append({**case(number, pairs=5000), "counts": tilted(masses, wanted), "q_mean": 0.5, "q_squares": 100.0})
    for row, q_mean in zip(made, (0.0, study.ANCHOR)):
        row["q_mean"] = q_mean if numbers[0] == 1 else 0.5
    generator = np.random.default_rng(3)
    for repeat in range(10):
        counts = generator.multinomial(5000, masses).tolist()
        q_mean = 14 / 17 + 1e-3 * generator.standard_normal()
        made.append({**case(0, 0, repeat, pairs=5000), "counts": counts, "q_mean": q_mean, "q_squares": 50.0})
    return made


def tilted(masses: np.ndarray, wanted: float) -> list[int]:
    """5000 counts of masses^a, whose divergence is about the wanted one."""

    def counts(power):
        law = masses**power
        return np.round(5000 * law / law.sum()).astype(int)

    powers = np.linspace(1, 8, 400)
    off = [abs(ensembles.divergence(counts(power), masses).value - wanted) for power in powers]
    return counts(powers[int(np.argmin(off))]).tolist()


def test_the_verdict_names_floor_agreement_published_values_at_the_floor_and_the_anchor():
    words = study.verdict(made_up())
    assert "15 of 15 agree within 15% or 0.01: circuits 1 to 15." in words
    assert "floor at 5000 pairs and 75 bins is 0.003" in words
    assert "At the floor lie the published KL of circuit 6 (1 layer); circuits 5, 6, 11, 13, 14 (3 layers)" in words
    assert "159/256 = 0.6211" in words and "published 0.8104" in words and "do not trust" not in words


def test_the_verdict_says_which_published_values_are_not_found():
    words = study.verdict(made_up(2.0))
    assert "1 of 15 agree" in words and "circuits 1 to 5, 7 to 15 do not" in words
    assert "which chance does not explain" in words


def test_a_wrong_anchor_is_not_trusted():
    wrong = made_up()
    wrong[1]["q_mean"] = published.SIM_Q[1][1]
    assert "do not trust this run" in study.verdict(wrong)


def test_nothing_is_compared_with_published_values_of_another_estimator():
    other = [{**row, "pairs": 4000} for row in made_up()]
    words = study.verdict(other)
    assert "Of the published KL" not in words and "lie the published KL" not in words
    assert all(line["published KL"] is None for line in study.table(other))


def test_table_and_figure_show_the_floor_beside_the_values():
    made = made_up()
    lines = study.table(made)
    assert len(lines) == 20 and lines[-1]["circuit"] == "Haar-random"
    assert {line["floor"] for line in lines} == {lines[-1]["KL"]}
    assert [line["circuit"] for line in lines if line["at floor"] == "yes"] == ["6", "Haar-random"]
    drawing = study.figure(made)
    top = drawing.axes[0]
    assert top.get_yscale() == "log" and "15 of 15 published" in top.get_title(loc="left") + top.get_title()
    assert any("floor" in text.get_text() for text in drawing.legends[0].get_texts())
    shown = top.containers[0].lines[0].get_ydata()
    np.testing.assert_array_equal(shown, [line["KL"] for line in lines[:-1]])


def test_lists_of_circuits_and_intervals_are_said_in_words():
    assert numbered("circuit", [6]) == "circuit 6" and counted(1, "layer") == "1 layer" and counted(3, "layer") == "3 layers"
    assert numbered("circuit", (n for n in (11, 2, 3, 4, 9, 10, 15))) == "circuits 2 to 4, 9 to 11, 15"
    assert f"{Interval.normal(0.5, 0.1):.2f}" == "0.50 [0.30, 0.70]" == f"{Interval(0.5, 0.3, 0.7):.2f}"


def test_cases_cover_every_pair_once_and_the_quick_ones_are_among_them():
    settings = study.Settings(circuits=(2, 9), layers=(1, 3), pairs=2500, repeats=10)
    cases = study.cases(settings)
    assert len(cases) == (2 * 2 + 10) * 3
    assert sum(one["pairs"] for one in cases) == (2 * 2 + 10) * 2500
    quick, full = study.cases(study.Settings.quick()), study.cases(study.Settings())
    assert all(one in full for one in quick)


@pytest.mark.parametrize(
    "wrong",
    [
        {"circuits": ()},
        {"circuits": (0, 1)},
        {"circuits": (3, 3)},
        {"layers": (0,)},
        {"layers": (1, 2, 3, 4, 5, 6, 7)},
        {"n_qubits": 1},
        {"pairs": 5},
        {"bins": 1},
        {"repeats": 5},
        {"seed": -1},
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)


@pytest.mark.parametrize("n_qubits", [4, 8, 10])
def test_the_floor_is_a_number_where_the_last_bins_underflow(n_qubits):
    assert 0 < ensembles.expected_floor(ensembles.haar_masses(n_qubits, 75), 5000) < 0.1
