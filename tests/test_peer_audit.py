"""The audit recomputes what it says: closed forms by enumeration, prints by replay, and a verdict that rows decide."""

import itertools
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from circuits.errors import LabError
from studies import peer_audit as study
from studies.audit import entangling, lie_algebras, paddle_quantum, pennylane_plateau, projector, tensorflow_quantum
from studies.exact import random_pauli_variance, two_design_variance
from studies.statistics import variance

SIGMAS = 5
SEED = 11


def layer(axes, angles) -> QuantumCircuit:
    """The tutorials' circuit with numbers for angles."""
    circuit = QuantumCircuit(len(axes))
    circuit.ry(math.pi / 4, range(len(axes)))
    for qubit, (axis, angle) in enumerate(zip(axes, angles)):
        getattr(circuit, ("rx", "ry", "rz")[axis])(angle, qubit)
    for qubit in range(len(axes) - 1):
        circuit.cz(qubit, qubit + 1)
    return circuit


def shifted(axes, angles, qubit) -> list[QuantumCircuit]:
    """With one angle a quarter turn further, and less far."""
    return [layer(axes, angles + sign * math.pi / 2 * np.eye(len(angles))[qubit]) for sign in (1, -1)]


@pytest.mark.parametrize("qubit", [0, 2])
def test_the_product_s_gradients_are_those_of_qiskit_s_states(qubit):
    axes, angles = projector.sample(3, 2 * math.pi, 6, np.random.SeedSequence(SEED))
    for one, theta, found in zip(axes, angles, projector.gradients(axes, angles, qubit)):
        up, down = (abs(Statevector(circuit).data[0]) ** 2 for circuit in shifted(one, theta, qubit))
        assert found == pytest.approx((up - down) / 2, abs=1e-12), f"seed {SEED}"


def test_the_closed_form_is_the_quadrature_and_the_mean_over_a_grid():
    grid = np.arange(4) * math.pi / 2
    axes = np.array([pair for pair in itertools.product(range(3), repeat=2) for _ in range(16)])
    angles = np.array(list(itertools.product(grid, repeat=2)) * 9)
    assert projector.closed_form(2) == pytest.approx(projector.gradients(axes, angles, 0).var(), rel=1e-12)
    for n in (2, 3, 6):
        assert projector.closed_form(n) == pytest.approx(projector.exact_variance(n, 2 * math.pi), rel=1e-12)
        assert projector.closed_form(n) == pytest.approx(0.0625 * 0.4720178 ** (n - 1), rel=1e-6)


def test_half_the_circle_has_its_own_variances_and_slope():
    published = {2: 0.018177, 3: 0.007895, 4: 0.003334, 5: 0.001383, 6: 0.000566}
    found = {n: projector.exact_variance(n, math.pi) for n in published}
    for n, value in published.items():
        assert found[n] == pytest.approx(value, abs=6e-7)
    assert np.polyfit(list(found), np.log(list(found.values())), 1)[0] == pytest.approx(-0.868, abs=5e-4)
    assert math.log(projector.PRODUCT) == pytest.approx(-0.75074, abs=5e-6)


@pytest.mark.parametrize("reach", [math.pi, 2 * math.pi])
def test_sampled_variances_are_the_exact_ones(reach):
    found = variance(projector.gradients(*projector.sample(3, reach, 20_000, np.random.SeedSequence(SEED)), -1))
    assert abs(found.sigmas(projector.exact_variance(3, reach))) < SIGMAS, f"seed {SEED}"


def test_pennylane_s_printed_mean_is_replayed_to_the_last_digits():
    first, plotted = pennylane_plateau.replay()
    assert first.mean() == pytest.approx(pennylane_plateau.PRINTED_MEAN, rel=1e-12)
    assert first.var() == pytest.approx(0.005681513693, rel=1e-9)
    assert np.polyfit(pennylane_plateau.SIZES, np.log(plotted), 1)[0] == pytest.approx(-0.8173, abs=1e-4)


def test_paddle_s_older_print_is_replayed_and_its_newer_ones_come_from_a_vector():
    found = paddle_quantum.replayed()
    assert found.var() == pytest.approx(0.028249053148446363, rel=1e-12)
    assert found.mean() == pytest.approx(0.005925709445960606, rel=1e-12)
    assert paddle_quantum.vector_variance() == pytest.approx(0.10972397591454282, rel=1e-12)
    axes, angles = projector.sample(2, 2 * math.pi, 20_000, np.random.SeedSequence(SEED))
    drawn = variance(paddle_quantum.vector_gradients(axes, angles))
    assert abs(drawn.sigmas(paddle_quantum.vector_variance())) < SIGMAS, f"seed {SEED}"
    for claim in paddle_quantum.CLAIMS[1:]:
        row = {"published": claim.published, "rounding": 0.0, **vars(paddle_quantum.recompute(claim, 2000, SEED))}
        row["published"] = claim.published
        assert study.is_explained(row) and not study.is_right(row)


def test_the_product_with_a_vector_is_as_in_the_tutorial():
    axes, angles = projector.sample(2, 2 * math.pi, 5, np.random.SeedSequence(SEED))
    for one, theta, found in zip(axes, angles, paddle_quantum.vector_gradients(axes, angles)):
        vector, ends = np.eye(4)[0], []
        for circuit in shifted(one, theta, 0):
            unitary = Operator(circuit.reverse_bits()).data  # there the first qubit is the most significant
            ends.append((unitary.conj().T @ vector @ unitary)[0].real)
        assert found == pytest.approx((ends[0] - ends[1]) / 2, abs=1e-12), f"seed {SEED}"


def test_tensorflow_s_circuits_are_mccleans_and_its_depth_is_too_small_for_twelve_qubits():
    for n in (4, 6):
        found = variance(tensorflow_quantum._gradients(*tensorflow_quantum._drawn(n, 1000, SEED)))
        assert abs(found.sigmas(random_pauli_variance(n, tensorflow_quantum.DEPTH))) < SIGMAS, f"seed {SEED}"
    assert random_pauli_variance(12, 50) / two_design_variance(12) == pytest.approx(29.6, abs=0.1)
    assert random_pauli_variance(4, 50) / two_design_variance(4) == pytest.approx(1.01, abs=0.005)


def test_tensorflow_s_draws_are_in_the_notebook_s_order():
    axes, angles = tensorflow_quantum._circuit(np.random.RandomState(SEED), 2, 2)
    generator, expected = np.random.RandomState(SEED), []
    for site in range(4):
        kind = generator.uniform()
        angle = generator.uniform() * 2.0 * np.pi if site else 0.0
        expected.append((2 if kind > 2 / 3 else 1 if kind > 1 / 3 else 0, angle))
    assert list(zip(axes.tolist(), angles.tolist())) == expected


def test_closures_of_strings_have_known_dimensions():
    so, su, sp = lie_algebras.so, lie_algebras.su, lie_algebras.sp
    known = {("XX", "Z"): [so(6), so(8), so(10)], ("XX", "XZ"): [so(5), so(7), so(9)], ("XX", "YZ"): [10, 40, 136]}
    known |= {("XY", "YZ"): [10, 30, 120], ("XX", "YZ", "ZY"): [su(4), 4 * su(4), su(16)]}
    known |= {("XX", "Z", "X"): [su(8), su(16), su(32)], ("XY", "XZ"): [sp(4), sp(8), sp(16)]}
    for letters, dimensions in known.items():
        assert [len(lie_algebras.closure(lie_algebras.chain(letters, n, False))) for n in (3, 4, 5)] == dimensions
    for n in (3, 4, 5):
        assert len(lie_algebras.closure(lie_algebras.chain(("XX", "Z"), n, True))) == 2 * so(2 * n)


@pytest.mark.parametrize("claim", lie_algebras.CLAIMS, ids=lambda claim: claim.key)
def test_pennylane_closes_algebras_to_the_same_size(claim):
    found = lie_algebras.recompute(claim, 0, 0)
    assert found.value == found.exact
    assert (found.exact == claim.published) == (claim.key in ("ising-2", "ising-new", "ising-closed", "a8", "a14"))


def test_circuit_2_entangles_by_159_over_256():
    two, nine = (entangling.recompute(claim, 4000, SEED) for claim in entangling.CLAIMS)
    assert two.exact == pytest.approx(159 / 256, rel=1e-12) and nine.exact == pytest.approx(1, rel=1e-12)
    assert abs(two.value - two.exact) < SIGMAS * (two.high - two.low) / (2 * 1.96), f"seed {SEED}"


def made_up(**fields) -> dict:
    row = {"claim": "sim-2", "peer": "Someone", "quantity": "a number", "found": "printed", "published": 1.0, "exact": 1.0}
    row |= {"value": 1.01, "low": 0.98, "high": 1.04, "spread": 0.1, "rounding": 0.0, "replay": None, "cause": None}
    return {**row, "cause_spread": 0.0, "why": "half is missing", "mended": "", "provenance": {}, **fields}


def test_the_verdict_counts_what_is_right_and_says_why_the_rest_is_not():
    words = study.verdict([made_up(), made_up(published=0.5, cause=0.48, cause_spread=0.02, claim="sim-9")])
    assert words.startswith("Not all: 1 of 2 published numbers are right, 1 is wrong.")
    assert "one number is 0.50 times the exact value (half is missing, which gives the published numbers)" in words
    assert "do not trust" not in words and study.verdict([made_up()]).startswith("Yes, all: 1 of 1")


def test_a_number_that_was_put_right_since_is_not_called_wrong():
    rows = [made_up(), made_up(published=0.5, claim="sim-9", mended="a later commit")]
    words = study.verdict(rows)
    assert "1 of 2 published numbers are right, 1 was wrong and is mended." in words and "mended since" in words
    assert study.table(rows)[1]["verdict"] == "was wrong, mended" and "is wrong" not in words
    assert [key for key, (claim, _) in study.CLAIMS.items() if claim.mended] == ["ising-old"]


def test_a_number_of_ours_or_a_replay_that_disagrees_is_not_trusted():
    for fields in ({"value": 2.0, "low": 1.97, "high": 2.03}, {"replay": 1.001}):
        assert "disagree at sim-2: do not trust this run" in study.verdict([made_up(**fields)])


def test_the_figure_draws_every_claim_and_its_title_counts():
    rows = [made_up(), made_up(published=0.5, claim="sim-9")]
    drawing = study.figure(rows)
    assert "1 of 2 published numbers are right" in drawing.get_suptitle()
    assert len(drawing.axes[0].get_yticklabels()) == 2
    assert [line["verdict"] for line in study.table(rows)] == ["right", "wrong"]


def test_rows_hold_the_claim_and_its_source():
    (row,) = study.run({"claim": "a3", "samples": 100, "seed": 0})
    assert row["published"] == 30 and row["exact"] == 40 and "commit f39ea90" in row["source"]
    assert all("commit" in claim.source or "arXiv" in claim.source for claim, _ in study.CLAIMS.values())


@pytest.mark.parametrize("wrong", [{"samples": 3}, {"circuits": 7}, {"circuits": -1}, {"seed": -1}])
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        study.Settings(**wrong)
