"""The effective dimension is the published formula's, Fisher matrices are exact, the verdict says what rows say."""

import dataclasses
import math

import numpy as np
import pytest

from circuits.errors import LabError
from studies import effective_dimension as study
from studies.base import Study
from studies.fisher import MODELS, _probability, authors_draws, fisher, n_parameters
from studies.published import ABBAS_DIMENSIONS, ABBAS_SIZES

SIGMA = 5


def case(model="quantum", first_draw=0, draws=2, inputs=5, low=-1.0, high=1.0, seed=7) -> dict:
    drawn = {"inputs": inputs, "low": low, "high": high, "seed": seed}
    return {"model": model, "replay": False, "first_draw": first_draw, "draws": draws, **drawn}


def spectra(**fields) -> np.ndarray:
    (row,) = study.run(case(**fields))
    return np.array(row["eigenvalues"])


@pytest.fixture(scope="module")
def stored(reference_folder) -> str:
    """The file of the published Fisher matrices, where it is at hand."""
    path = reference_folder / "effective-dimension" / "qnn_fisher_100x40x40.npy"
    if not path.is_file():
        pytest.skip(f"no published Fisher matrices at {path}")
    return str(path)


def test_the_formula_is_right_for_matrices_done_by_hand():
    # kappa = n / (2 pi ln n); two diagonal matrices of mean trace 2 = d already.
    n = 5000
    kappa = n / (2 * math.pi * math.log(n))
    volumes = [math.sqrt((1 + kappa) * (1 + kappa)), math.sqrt((1 + 2 * kappa) * 1)]
    expected = 2 * math.log(sum(volumes) / 2) / math.log(kappa) / 2
    eigenvalues = np.array([[1.0, 1.0], [0.0, 2.0]])
    assert study.effective_dimension(eigenvalues, n) == pytest.approx(expected, rel=1e-13)
    assert study.effective_dimension(17 * eigenvalues, n) == pytest.approx(expected, rel=1e-13)


def test_flat_spectra_fill_all_dimensions_and_a_single_direction_one():
    flat, single = np.ones((3, 40)), np.eye(40)[:3]
    n = 1e300  # kappa is so large that the 1 in 1 + kappa F no longer counts
    assert study.effective_dimension(flat, n) == pytest.approx(1, abs=1e-3)
    assert study.effective_dimension(single, n) == pytest.approx(1 / 40, abs=1e-3)


def test_carrying_draws_are_all_of_equal_ones_and_one_of_a_single_large_one():
    assert study.carrying(np.ones((7, 4)), 1000) == pytest.approx(7)
    assert study.carrying(np.concatenate([np.ones((1, 40)), 1e-9 * np.ones((6, 40))]), 1e6) == pytest.approx(1, abs=1e-6)


def test_the_published_fishers_give_the_published_effective_dimensions(stored):
    matrices = np.load(stored)
    eigenvalues = np.linalg.eigvalsh(matrices)
    found = [study.effective_dimension(eigenvalues, n_data) for n_data in ABBAS_SIZES]
    np.testing.assert_allclose(found, ABBAS_DIMENSIONS["quantum"], atol=1e-5, rtol=0)
    parameters, inputs = authors_draws("quantum")
    first = fisher("quantum", parameters[0], inputs)
    ours = np.stack([fisher("quantum", values, inputs) for values in parameters[1:10]])
    np.testing.assert_allclose(first / ours[4], matrices[0] / matrices[5], rtol=1e-6)


def replayed() -> list[dict]:
    settings = study.Settings(draws=10, inputs=2)
    return [{**case, **row} for case in study.cases(settings) if case["replay"] for row in study.run(case)]


def test_the_authors_draws_give_all_their_published_numbers_and_the_classical_ones_are_of_28_parameters(monkeypatch):
    monkeypatch.setattr(study, "RESAMPLES", 10)
    found = {curve.model: curve for curve in study.curves(replayed())}
    assert len(ABBAS_SIZES) == 11 and set(ABBAS_DIMENSIONS) == {"quantum", "easy quantum", "classical 4-4-2-2"}
    for model, published in ABBAS_DIMENSIONS.items():
        values = [dimension.value for dimension in found[model].dimensions]
        np.testing.assert_allclose(values, published, atol=1e-5, rtol=0, err_msg=model)
    assert (n_parameters("classical 4-4-2-2"), n_parameters("classical")) == (28, 40)
    # What the authors' other file, of 40 parameters, gives through the same formula.
    ends = [found["classical"].dimensions[place].value for place in (0, -1)]
    assert ends == pytest.approx([0.54139, 0.53435], abs=1e-5)
    words = " ".join(study._replays(list(found.values())))
    assert "draws give the published values" in words and "has 0.541 to 0.534 at the same draws" in words
    wrong = dataclasses.replace(found["quantum"], published=tuple(value + 1e-4 for value in ABBAS_DIMENSIONS["quantum"]))
    assert "do NOT give" in study._replays([wrong])[0]


@pytest.mark.parametrize("model", MODELS)
def test_a_fisher_matrix_is_that_of_finite_differences_of_ln_p(model):
    print("seed 7")
    inputs, parameters = study._inputs(7, 3), study._parameters(7, model, 0, -1.0, 1.0)
    step = 1e-5
    d = n_parameters(model)
    expected = np.zeros((d, d))
    p = probabilities(model, parameters, inputs)
    shifted = [(probabilities(model, parameters + step * e, inputs), probabilities(model, parameters - step * e, inputs))
               for e in np.eye(d)]  # fmt: skip
    for sign in (0, 1):  # the other class has probability 1 - p
        weight = abs(sign - p)
        slopes = [(np.log(abs(sign - up)) - np.log(abs(sign - down))) / (2 * step) for up, down in shifted]
        expected += np.einsum("ib,jb,b->ij", slopes, slopes, weight) / len(inputs)
    np.testing.assert_allclose(fisher(model, parameters, inputs), expected, atol=1e-7)


def probabilities(model, parameters, inputs) -> np.ndarray:
    import torch

    rows = torch.from_numpy(np.tile(parameters, (len(inputs), 1)))
    return _probability(model)(torch.from_numpy(inputs), rows).numpy()


@pytest.mark.parametrize(("model", "entangled"), [("quantum", True), ("easy quantum", False)])
def test_the_quantum_models_are_qiskits_feature_maps_and_real_amplitudes_with_parity(model, entangled):
    from qiskit.circuit.library import real_amplitudes, z_feature_map, zz_feature_map
    from qiskit.quantum_info import Statevector

    inputs, parameters = study._inputs(3, 2), study._parameters(3, model, 0, -1.0, 1.0)
    feature_map = zz_feature_map(4, 2) if entangled else z_feature_map(4, 1)
    ansatz = real_amplitudes(4, "full", reps=9)  # what "reverse_linear", today's default, is the same unitary as
    even = [k for k in range(16) if k.bit_count() % 2 == 0]
    for values, found in zip(inputs, probabilities(model, parameters, inputs)):
        state = Statevector(feature_map.assign_parameters(values).compose(ansatz.assign_parameters(parameters)))
        assert found == pytest.approx(state.probabilities()[even].sum(), abs=1e-12)


def test_the_classical_network_is_torchs_with_these_layers():
    import torch

    inputs, parameters = study._inputs(3, 6), study._parameters(3, "classical", 0, -1.0, 1.0)
    network = torch.nn.Sequential(
        torch.nn.Linear(4, 4, bias=False), torch.nn.LeakyReLU(), torch.nn.Linear(4, 4, bias=False), torch.nn.LeakyReLU(),
        torch.nn.Linear(4, 2, bias=False), torch.nn.Tanh(), torch.nn.Softmax(dim=1),
    ).double()  # fmt: skip
    assert sum(weights.numel() for weights in network.parameters()) == 40
    torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters), network.parameters())
    expected = network(torch.from_numpy(inputs))[:, 0].detach().numpy()
    np.testing.assert_allclose(probabilities("classical", parameters, inputs), expected, atol=1e-14)


@pytest.mark.parametrize("model", MODELS)
def test_a_draw_does_not_depend_on_the_chunk_it_is_in_and_rank_is_that_of_the_inputs(model):
    whole = spectra(model=model, draws=3)
    parts = [spectra(model=model, draws=1), spectra(model=model, first_draw=1, draws=2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.shape == (3, n_parameters(model)) and ((whole > 1e-10).sum(axis=1) <= 5).all() and (whole >= 0).all()


def test_parameters_are_uniform_and_inputs_normal():
    drawn = np.concatenate([study._parameters(0, "classical", draw, -2.0, 2.0) for draw in range(100)])
    assert abs(drawn).max() <= 2 and abs(drawn.mean()) < SIGMA * 2 / math.sqrt(3 * drawn.size)
    inputs = study._inputs(0, 500)
    assert abs(inputs.mean()) < SIGMA / math.sqrt(inputs.size) and abs(inputs.var() - 1) < SIGMA * math.sqrt(2 / inputs.size)
    np.testing.assert_array_equal(inputs[:20], study._inputs(0, 20))


def made_up(spread=(0.5, 2.0, 4.0), draws=20) -> list[dict]:
    """Rows whose eigenvalues are spread over that many units of ln, model by model: the wider, the fewer count."""
    rows = []
    for number, (model, width) in enumerate(zip(study.COMPARED, spread)):
        values = np.exp(width * np.random.default_rng([3, number]).standard_normal((draws, 40)))
        rows.append({**case(model, 0, draws), "eigenvalues": np.sort(values, axis=1).tolist(), "provenance": {}})
    return rows


def test_the_verdict_says_yes_in_the_published_order_and_no_in_another():
    words = study.verdict(made_up())
    assert words.startswith("Yes: at 11 of 11") and "The values are in the published order" in words
    assert "below 0.001" in words and "of the quantum model's published values" in words.lower()
    turned = study.verdict(made_up((4.0, 2.0, 0.5)))
    assert turned.startswith("Not shown: at 0 of 11") and "NOT in the published order" in turned


def test_the_verdict_doubts_means_that_few_draws_carry():
    assert "hang on a few draws" in study.verdict(made_up())
    rows = made_up()
    for row in rows:
        row["eigenvalues"] = [row["eigenvalues"][0]] * 20
    assert "hang on a few draws" not in study.verdict(rows)


def test_table_and_figure_hold_every_model_and_number_of_data():
    rows = made_up()
    lines = study.table(rows)
    assert len(lines) == 33 and {line["model"] for line in lines} == set(study.COMPARED)
    assert all(line["low"] <= line["dimension / parameters"] <= line["high"] for line in lines)
    top, bottom = study.figure(rows).axes
    assert "largest effective dimension" in top.get_title(loc="left") + top.get_title()
    np.testing.assert_array_equal(
        top.lines[0].get_ydata(), [line["dimension / parameters"] for line in lines if line["model"] == "quantum"]
    )
    assert bottom.get_xscale() == "log"


@pytest.mark.parametrize("wrong", [{"draws": 3}, {"inputs": 0}, {"seed": -1}, {"low": 1.0}, {"low": -math.inf}])
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)


def test_settings_are_read_from_words():
    settings = Study("effective_dimension").settings(assignments=["low=-3.14", "replay=no"])
    assert settings.low == -3.14 and not any(case["replay"] for case in study.cases(settings))
