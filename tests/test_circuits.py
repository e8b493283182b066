"""Encodings, ansatze, initialisers and observables are what their docstrings say."""

import numpy as np
import pennylane as qp
import pytest
from qiskit.circuit.library import SwapGate
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, partial_trace

from circuits import ansatze, encodings, initializers, observables
from circuits.errors import LabError, UnknownName

ANSATZE = (
    "hardware_efficient",
    "separable",
    "strongly_entangling",
    "brickwork",
    "cz_line",
    "random_pauli",
    "hva_tfim",
    "hva_xxz",
    "permutation_equivariant",
    "convolutional",
    "identity_blocks",
)
ENCODINGS = ("angle", "iqp", "amplitude", "reuploading")


@pytest.mark.parametrize("name", ANSATZE)
@pytest.mark.parametrize("n_qubits", [1, 2, 5])
def test_every_ansatz_is_one_vector_of_weights_under_the_given_name(name, n_qubits):
    circuit = ansatze.by_name(name)(n_qubits, 2, name="theta")
    assert circuit.num_qubits == n_qubits
    assert {parameter.vector.name for parameter in circuit.parameters} == {"theta"}
    assert len(circuit.parameters) == len(circuit.parameters[0].vector)


@pytest.mark.parametrize("name", ANSATZE)
def test_two_ansatze_of_different_names_compose(name):
    build = ansatze.by_name(name)
    both = build(3, 1, name="a").compose(build(3, 1, name="b"))
    assert len(both.parameters) == 2 * len(build(3, 1).parameters)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_calls_its_inputs_x(name):
    circuit = encodings.by_name(name)(3)
    sizes = {"amplitude": 8}
    assert sum(parameter.vector.name == "x" for parameter in circuit.parameters) == sizes.get(name, 3)


@pytest.mark.parametrize(
    "family, wrong, right", [(ansatze, "hardware_eficient", "hardware_efficient"), (encodings, "angel", "angle")]
)
def test_a_misspelt_name_is_answered_with_the_nearest(family, wrong, right):
    with pytest.raises(UnknownName, match=f"did you mean '{right}'"):
        family.by_name(wrong)


@pytest.mark.parametrize("called, ours", [("ring", "circular"), ("chain", "linear"), ("circlar", "circular")])
def test_an_entanglement_by_another_name_is_answered_with_ours(called, ours):
    with pytest.raises(UnknownName, match=f"did you mean '{ours}'"):
        ansatze.hardware_efficient(4, 1, entanglement=called)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "3", True])
def test_sizes_that_are_no_positive_whole_numbers_are_refused(bad):
    with pytest.raises(LabError, match="whole number"):
        ansatze.hardware_efficient(bad)
    with pytest.raises(LabError, match="whole number"):
        encodings.angle(bad)


def test_the_separable_ansatz_entangles_nothing_and_the_others_do(rng):
    for name in ANSATZE:
        circuit = ansatze.by_name(name)(3, 3)
        state = Statevector(circuit.assign_parameters(rng.uniform(0, 6, len(circuit.parameters))))
        purity = partial_trace(state, [1, 2]).purity().real
        assert np.isclose(purity, 1, atol=1e-9) == (name == "separable")


def test_the_permutation_equivariant_circuit_commutes_with_every_exchange_of_qubits(rng):
    circuit = ansatze.permutation_equivariant(3, 2)
    matrix = Operator(circuit.assign_parameters(rng.uniform(0, 6, 6))).data
    for pair in ((0, 1), (1, 2)):
        swap = Operator(np.eye(8)).compose(SwapGate(), qargs=pair).data
        np.testing.assert_allclose(swap @ matrix, matrix @ swap, atol=1e-12)


def test_the_xxz_circuit_starts_in_singlets_and_keeps_the_magnetisation(rng):
    circuit = ansatze.hva_xxz(4, 3)
    singlet = Statevector(np.array([0, 1, -1, 0]) / np.sqrt(2))
    start = Statevector(circuit.assign_parameters(np.zeros(12)))
    assert np.isclose(abs(start.inner(singlet.tensor(singlet))), 1, atol=1e-12)
    state = Statevector(circuit.assign_parameters(rng.uniform(0, 6, 12)))
    ups = np.array([index.bit_count() for index in range(16)])
    assert np.isclose(state.probabilities()[ups == 2].sum(), 1, atol=1e-12)


@pytest.mark.parametrize("n_qubits", [1, 2, 4, 8])
def test_a_tree_has_as_many_bricks_and_halvings_as_it_has_to(n_qubits):
    circuit = ansatze.convolutional(n_qubits)
    assert (
        len(circuit.parameters) == 5 * (n_qubits - 1) + 2
    )  # n / 2 bricks of four and halvings of one, again with half of them, and two


def test_strongly_entangling_is_pennylanes(rng):
    weights = rng.uniform(0, 6, (3, 4, 3))
    ours = Statevector(ansatze.strongly_entangling(4, 3).assign_parameters(weights.ravel())).data
    theirs = qp.matrix(qp.StronglyEntanglingLayers(weights, range(4)), wire_order=range(4))[:, 0]
    reversed_order = theirs.reshape([2] * 4).transpose([3, 2, 1, 0]).ravel()
    assert np.isclose(abs(np.vdot(reversed_order, ours)), 1, atol=1e-12)


def test_the_iqp_encoding_is_pennylanes(rng):
    x = rng.uniform(-2, 2, 4)
    ours = Statevector(encodings.iqp(4, n_repeats=2).assign_parameters(x)).data
    theirs = qp.matrix(qp.IQPEmbedding(x, range(4), n_repeats=2), wire_order=range(4))[:, 0]
    assert np.isclose(abs(np.vdot(theirs.reshape([2] * 4).transpose([3, 2, 1, 0]).ravel(), ours)), 1, atol=1e-12)


def test_mcclean_axes_are_fixed_by_the_seed_and_uniform():
    drawn = [ansatze.random_pauli(30, 40, seed=s) for s in (1, 1, 2)]
    counts = [{axis: c.count_ops()[axis] for axis in ("rx", "rz")} for c in drawn]
    axes = [[item.operation.name for item in c.data] for c in drawn]
    assert axes[0] == axes[1] != axes[2]
    spread = np.sqrt(1200 * (1 / 3) * (2 / 3))
    assert all(abs(number - 400) < 5 * spread for count in counts for number in count.values())


@pytest.mark.parametrize("block", ["hardware_efficient", "strongly_entangling", "brickwork"])
def test_identity_blocks_are_the_identity_at_their_initial_weights(block):
    circuit = ansatze.identity_blocks(3, 3, block=block)
    weights = initializers.identity_block(3, 3, seed=4, block=block)
    assert np.allclose(Operator(circuit.assign_parameters(weights)).data, np.eye(8), atol=1e-12)
    assert np.ptp(weights) > 1


def test_initial_angles_have_the_distribution_they_name():
    size = 20_000
    uniform, small = initializers.uniform(size, 1), initializers.small_angle(size, 2, width=0.2)
    gaussian = initializers.gaussian(size, 3, n_layers=4, locality=2)
    assert uniform.min() >= 0 and uniform.max() < 2 * np.pi and np.abs(small).max() <= 0.2
    for sample, mean, variance in (
        (uniform, np.pi, (2 * np.pi) ** 2 / 12),
        (small, 0, 0.4**2 / 12),
        (gaussian, 0, 1 / (4 * 2 * 6)),
    ):
        assert abs(sample.mean() - mean) < 5 * np.sqrt(variance / size)
        fourth = ((sample - mean) ** 4).mean()
        assert abs(sample.var() - variance) < 5 * np.sqrt((fourth - variance**2) / size)


def test_an_amplitude_encoding_prepares_its_inputs(rng):
    x = rng.normal(size=8)
    state = Statevector(encodings.amplitude(3).assign_parameters(x).decompose(reps=6))
    assert np.allclose(state.data * np.sign(state.data[0].real * x[0]), x / np.linalg.norm(x), atol=1e-12)


def test_reuploading_writes_the_same_inputs_before_every_layer():
    counts = encodings.reuploading(2, 3).count_ops()
    assert counts["rx"] == 6 and counts["ry"] == 6


@pytest.mark.parametrize(
    "text, terms",
    [
        ("ZZI", {"ZZI": 1}),
        ("-XX", {"XX": -1}),
        ("0.5*ZZI + XII - 2*IIZ", {"ZZI": 0.5, "XII": 1, "IIZ": -2}),
        ("1e-2 ZI-IZ", {"ZI": 0.01, "IZ": -1}),
    ],
)
def test_sums_of_labels_are_read(text, terms):
    assert dict(observables.parse(text).to_list()) == terms


@pytest.mark.parametrize("text", ["", "ZZQ", "0.5*", "ZZ XX", "ZZ+Z", "abc", "1..2Z", "Z+", "0.5*Z+*X", "zz"])
def test_what_is_no_observable_is_refused_with_an_example(text):
    with pytest.raises(LabError, match="is not an observable"):
        observables.parse(text)


def test_named_observables_are_right():
    assert observables.tfim(3, 2.0, 0.5) == SparsePauliOp.from_list(
        [("IZZ", -2), ("ZZI", -2), ("IIX", -0.5), ("IXI", -0.5), ("XII", -0.5)]
    )
    assert len(observables.tfim(4, periodic=True)) == 8
    assert [op.paulis.to_labels()[0] for op in observables.z_each(3)] == ["IIZ", "IZI", "ZII"]
    assert observables.locality(observables.as_list(["ZIZ", "XXX + IIZ"], 3)) == 3
