"""McClean's ensemble is drawn as published, its variance is the exact one, the verdict says what rows say."""

import itertools
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

import studies
from circuits import ansatze
from circuits.errors import LabError, TooLarge, UnknownName
from studies import barren_plateaus as study
from studies import mcclean
from studies.exact import CONTROL_VARIANCE, random_pauli_variance, two_design_variance

SIGMA = 5


def case(arm="random", n_qubits=3, n_layers=4, first_sample=0, samples=8, seed=7) -> dict:
    return {
        "arm": arm,
        "n_qubits": n_qubits,
        "n_layers": n_layers,
        "first_sample": first_sample,
        "samples": samples,
        "seed": seed,
    }


def gradients(**fields) -> list[float]:
    (row,) = study.run(case(**fields))
    return row["gradients"]


def drawn(n_qubits, axes, angles, entangled=True) -> QuantumCircuit:
    """The circuit as the paper draws it: one rotation at every site, its angle a number."""
    circuit = QuantumCircuit(n_qubits)
    circuit.ry(math.pi / 4, range(n_qubits))
    for layer in range(len(axes) // n_qubits):
        for qubit in range(n_qubits):
            site = layer * n_qubits + qubit
            getattr(circuit, ("rx", "ry", "rz")[axes[site]])(angles[site], qubit)
        for qubit in range(n_qubits - 1 if entangled else 0):
            circuit.cz(qubit, qubit + 1)
    return circuit


def by_shift(oracle, n_qubits, axes, angles, entangled=True) -> float:
    """The derivative by the first angle, from two state vectors of Qiskit's."""
    observable = SparsePauliOp.from_sparse_list([("ZZ", [0, 1], 1.0)], n_qubits)
    shifted = [np.concatenate([[angles[0] + shift], angles[1:]]) for shift in (math.pi / 2, -math.pi / 2)]
    up, down = (oracle.value_of_circuit(drawn(n_qubits, axes, values, entangled), observable) for values in shifted)
    return (up - down) / 2


@pytest.mark.parametrize("arm", study.ARMS)
def test_every_sample_is_a_circuit_of_mccleans_with_axes_and_angles_of_its_own(arm, oracle):
    found = gradients(arm=arm, samples=6)
    for sample, gradient in enumerate(found):
        axes, angles = mcclean.angles(7, arm, 3, 4, sample)
        expected = by_shift(oracle, 3, axes, angles, arm == "random")
        assert gradient == pytest.approx(expected, abs=1e-12)
    assert len(set(found)) == 6


def test_the_circuit_is_the_ansatz_random_pauli_when_the_axes_are_the_same():
    ansatz = ansatze.random_pauli(3, 2, seed=5)
    letters = [i.operation.name for i in ansatz.data if i.operation.name != "cz" and i.operation.params[0] != math.pi / 4]
    axes = [("rx", "ry", "rz").index(letter) for letter in letters]
    angles = np.linspace(0.1, 2, 6)
    assert drawn(3, axes, angles) == ansatz.assign_parameters(angles)


def test_a_sample_does_not_depend_on_the_batch_it_is_computed_in():
    whole = gradients(samples=64)
    parts = [gradients(first_sample=first, samples=count) for first, count in ((0, 7), (7, 1), (8, 56))]
    assert [value for part in parts for value in part] == whole


def test_axes_and_angles_are_uniform():
    draws = [mcclean.angles(0, "random", 4, 10, sample) for sample in range(500)]
    axes, angles = (np.concatenate(values) for values in zip(*draws))
    total = axes.size
    counts = np.bincount(axes, minlength=3)
    assert abs(counts - total / 3).max() < SIGMA * math.sqrt(total * 2 / 9)
    assert abs(np.exp(1j * angles).mean()) < SIGMA / math.sqrt(total)
    assert angles.min() >= 0 and angles.max() < 2 * math.pi


@pytest.mark.parametrize("entangled", [True, False])
def test_the_exact_variance_is_the_mean_over_all_axes_and_angles(entangled, oracle):
    # A squared derivative has degree 2 in each angle, so its mean over four equidistant angles is exact.
    quarters = np.arange(4) * math.pi / 2
    squares = [
        by_shift(oracle, 2, axes, np.array(angles), entangled) ** 2
        for axes in itertools.product(range(3), repeat=2)
        for angles in itertools.product(quarters, repeat=2)
    ]
    assert random_pauli_variance(2, 1, entangled) == pytest.approx(np.mean(squares), rel=1e-12)


@pytest.mark.parametrize(("n_qubits", "n_layers"), [(2, 3), (3, 2), (4, 6), (5, 4)])
@pytest.mark.parametrize("arm", study.ARMS)
def test_the_measured_variance_is_the_exact_one_at_any_depth(arm, n_qubits, n_layers):
    squares = np.square(gradients(arm=arm, n_qubits=n_qubits, n_layers=n_layers, samples=4000))
    exact = random_pauli_variance(n_qubits, n_layers, arm == "random")
    assert abs(squares.mean() - exact) < SIGMA * squares.std() / math.sqrt(len(squares))


def test_the_mean_gradient_is_zero():
    found = np.array(gradients(n_qubits=4, n_layers=6, samples=4000))
    assert abs(found.mean()) < SIGMA * found.std() / math.sqrt(len(found))


@pytest.mark.parametrize("n_qubits", [2, 4, 6, 8])
def test_deep_circuits_reach_the_2_design_and_shallow_ones_do_not(n_qubits):
    limit = two_design_variance(n_qubits)
    assert random_pauli_variance(n_qubits, 40 * n_qubits) == pytest.approx(limit, rel=1e-6)
    assert random_pauli_variance(n_qubits, 20 * n_qubits) == pytest.approx(limit, rel=1e-3)
    assert random_pauli_variance(n_qubits, 2 * n_qubits) > 1.02 * limit


def test_the_2_design_has_the_published_values_and_slope():
    published = {2: 0.088889, 4: 0.020915, 6: 0.0052096, 8: 0.0013021, 10: 3.2552e-4, 12: 8.138e-5}
    for n_qubits, value in published.items():
        assert two_design_variance(n_qubits) == pytest.approx(value, rel=5e-5)
    assert math.log(two_design_variance(31) / two_design_variance(30)) == pytest.approx(-math.log(2), rel=1e-9)


@pytest.mark.parametrize("n_qubits", [2, 5, 8])
def test_the_control_has_the_same_variance_at_every_size(n_qubits):
    assert random_pauli_variance(n_qubits, 60, entangled=False) == pytest.approx(CONTROL_VARIANCE, rel=1e-12)


def made_up(variance_of, depth_factor=20, samples=4096, sizes=(2, 4, 6, 8)) -> list[dict]:
    """Rows whose gradients are normal with a given variance for each arm and size."""
    rows = []
    for number, (arm, n) in enumerate(itertools.product(study.ARMS, sizes)):
        noise = np.random.default_rng([3, number]).standard_normal(samples)
        values = noise / noise.std() * math.sqrt(variance_of(arm, n))
        fields = case(arm, n, depth_factor * n, 0, samples)
        rows.append({**fields, "gradients": values.tolist(), "provenance": {}})
    return rows


def as_it_is(arm, n, depth_factor=20):
    return random_pauli_variance(n, depth_factor * n, arm == "random")


def test_the_verdict_says_yes_when_the_variance_falls_as_a_2_design_s_and_the_control_does_not():
    words = study.verdict(made_up(as_it_is))
    assert words.startswith("Yes: the variance falls by a factor 2.0")
    assert "95 % interval contains" in words and "The depth is enough" in words
    assert "is flat within chance, as it must be" in words and "do not trust" not in words


def test_the_verdict_says_when_the_depth_is_not_enough():
    words = study.verdict(made_up(lambda arm, n: as_it_is(arm, n, 3), depth_factor=3))
    assert "The depth is NOT enough" in words and "raise depth_factor" in words
    assert "does not contain" in words and "do not trust" not in words
    assert words.startswith("Not shown, it falls slower than 2-designs: the variance falls by a factor 1.")


def test_the_verdict_says_when_the_variance_falls_faster_than_a_2_design_s():
    words = study.verdict(made_up(lambda arm, n: as_it_is(arm, n) * (0.9**n if arm == "random" else 1.0)))
    assert words.startswith("Yes, and faster than 2-designs: the variance falls by a factor 2.2")


def test_the_verdict_is_not_shown_when_nothing_falls():
    words = study.verdict(made_up(lambda arm, n: 0.07))
    assert words.startswith("Not shown") and "do not trust this run" in words


def test_the_verdict_does_not_trust_a_run_whose_control_falls():
    words = study.verdict(made_up(lambda arm, n: as_it_is(arm, n) * (0.8**n if arm == "separable" else 1)))
    assert "has a slope, which it must not: do not trust this run" in words


def test_the_figure_s_title_is_the_finding_and_its_points_are_the_table_s():
    rows = made_up(as_it_is)
    drawing = study.figure(rows)
    top, bottom = drawing.axes
    assert top.get_title(loc="left") + top.get_title() == "The gradient's variance halves with every qubit"
    assert top.get_yscale() == "log" and "qubits" in bottom.get_xlabel()
    shown = top.containers[0].lines[0].get_ydata()
    measured = [line["variance"] for line in study.table(rows) if line["arm"] == "random"]
    np.testing.assert_array_equal(shown, measured)
    flat = study.figure(made_up(lambda arm, n: 0.07))
    assert "No fall" in flat.axes[0].get_title(loc="left") + flat.axes[0].get_title()


def test_the_quick_preset_keeps_the_sizes_and_the_depth_and_shares_its_cases_with_the_full_run():
    quick, full = study.Settings.quick(), study.Settings()
    assert (quick.qubits, quick.depth_factor) == (full.qubits, full.depth_factor)
    assert all(one in study.cases(full) for one in study.cases(quick))


def test_cases_cover_every_sample_once_and_a_larger_one_costs_more():
    cases = study.cases(study.Settings(qubits=(2, 5), depth_factor=3, samples=150))
    for arm, n in itertools.product(study.ARMS, (2, 5)):
        mine = [one for one in cases if (one["arm"], one["n_qubits"]) == (arm, n)]
        covered = [s for one in mine for s in range(one["first_sample"], one["first_sample"] + one["samples"])]
        assert sorted(covered) == list(range(150))
    assert study.cost(cases[-1]) < study.cost(case("separable", 5, 15, 0, 64))


@pytest.mark.parametrize(
    "wrong",
    [
        {"qubits": ()},
        {"qubits": (4,)},
        {"qubits": (4, 4)},
        {"qubits": (1, 2)},
        {"depth_factor": 0},
        {"samples": 3},
        {"seed": -1},
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)


def test_more_qubits_than_memory_holds_are_refused_before_anything_runs():
    with pytest.raises(TooLarge, match="bytes"):
        study.Settings(qubits=(2, 48))


def test_the_variances_of_a_circuit_of_one_s_own_are_those_of_the_closed_form():
    # Cerezo et al.: exp(-i t X / 2) on each of n qubits and the projector on |0...0>: (1/8) (3/8)^(n - 1).
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.rx(Parameter(f"t{qubit}"), qubit)
    labels = ["".join(letters) for letters in itertools.product("IZ", repeat=3)]
    found = studies.gradient_variance(circuit, SparsePauliOp(labels, np.full(8, 1 / 8)), n_samples=4000)
    assert sorted(found.parameters) == ["t0", "t1", "t2"]
    assert (abs(np.log(found.gradient.value / (1 / 8 * (3 / 8) ** 2))) < SIGMA * found.gradient.log_error).all()
    assert abs(math.log(found.loss.value / ((3 / 8) ** 3 - 4.0**-3))) < SIGMA * found.loss.log_error


def test_the_same_seed_gives_the_same_variances_and_more_samples_narrower_intervals():
    circuit = ansatze.hardware_efficient(2, 1)
    few, many = (studies.gradient_variance(circuit, "ZZ", n_samples=n, seed=3) for n in (100, 200))
    again = studies.gradient_variance(circuit, "ZZ", n_samples=100, seed=3)
    np.testing.assert_array_equal(few.gradient.value, again.gradient.value)
    assert (few.gradient.value != many.gradient.value).any()
    assert many.loss.log_error < few.loss.log_error
    assert many.gradient.log_error[1] < few.gradient.log_error[1]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"n_samples": 2}, LabError),
        ({"seed": -1}, LabError),
        ({"distribution": "small_angle", "width": 0.0}, LabError),
        ({"distribution": "unifrom"}, UnknownName),
        ({"circuit": QuantumCircuit(2)}, LabError),
        ({"observable": ["ZZ", "XXX"]}, LabError),
        ({"circuit": "ansatz.qasm"}, LabError),
        ({"observable": "ZZZ"}, LabError),
    ],
)
def test_what_gradient_variance_cannot_measure_is_refused(wrong, error):
    fields = {"circuit": ansatze.hardware_efficient(2, 1), "observable": "ZZ", **wrong}
    with pytest.raises(error):
        studies.gradient_variance(**fields)
