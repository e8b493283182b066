"""The Pauli walk: two roads to one variance, closed forms, published values, and what it refuses."""

import itertools
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import DensityMatrix, Kraus, SparsePauliOp, SuperOp

from circuits import ansatze
from circuits.errors import LabError, UnknownName, Unsupported
from circuits.lowering import lower
from circuits.observables import as_list, middle_pair
from studies import gradient_variance
from studies.exact import random_pauli_variance
from studies.light_cone import cone_bound
from studies.walk import estimate, program
from studies.walk.distributions import Angles
from studies.walk.estimate import walk_variances
from studies.walk.table import table_of

SIGMAS = 5
ROUNDED = 1e-12
LAWS = {"uniform": 1.0, "small_angle": 0.7, "gaussian": 0.5, "beta": 1.5}
SUM = "ZZII + 0.5*IXXI - 0.7*IIYZ + ZIII + 0.3*XZII"


def random_circuit(n_qubits: int, depth: int, seed: int) -> QuantumCircuit:
    """A product state, then rotations of one and two qubits by parameters of their own among Clifford gates."""
    generator = np.random.default_rng(seed)
    circuit, weights = QuantumCircuit(n_qubits), iter(ParameterVector("w", 2 * n_qubits * depth))
    for qubit in range(n_qubits):
        circuit.ry(generator.uniform(0, 3), qubit)
    for _ in range(depth):
        for qubit in range(n_qubits):
            getattr(circuit, generator.choice(["rx", "ry", "rz"]))(next(weights), qubit)
        for qubit in range(n_qubits - 1):
            name = generator.choice(["cx", "cz", "swap", "iswap", "h", "s", "sx", "rzz", "ryy", "rxx"])
            if name in ("h", "s", "sx"):
                getattr(circuit, name)(qubit)
            else:
                getattr(circuit, name)(*([next(weights)] if name.startswith("r") else []), qubit, qubit + 1)
    return circuit


def walks(circuit, observable, angles, exact, seed=1, most=1 << 21, **options):
    operator = as_list(observable, circuit.num_qubits)[0]
    return walk_variances(table_of(lower(circuit), **options), operator, angles, seed, 0.01, most, exact)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_walks_sampled_and_merged_agree_with_state_vectors(law, seed):
    circuit = random_circuit(4, 3, seed)
    states = gradient_variance(circuit, SUM, 4096, seed, law, width=LAWS[law])
    order = [states.parameters.index(parameter.name) for parameter in circuit.parameters]
    value, error = states.gradient.value[order], (states.gradient.log_error * states.gradient.value)[order]
    for exact in (True, False):
        found = walks(circuit, SUM, Angles(law, LAWS[law]), exact)
        assert (found.n_walks == 0) == exact
        # What the states' kurtosis misses of rare large gradients is a fifth of a per cent.
        room = SIGMAS * np.hypot(error, found.errors) + 0.002 * value
        assert (np.abs(found.gradient - value) <= room + 1e-15).all(), f"seed {seed}"
        assert abs(found.loss - states.loss.value) <= SIGMAS * math.hypot(
            states.loss.log_error * states.loss.value, found.loss_error
        )


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_product_circuit_has_the_closed_forms_of_global_and_local_cost(n):
    circuit, weights = QuantumCircuit(n), ParameterVector("w", n)
    for qubit in range(n):
        circuit.rx(weights[qubit], qubit)
    labels = ["".join(letters) for letters in itertools.product("IZ", repeat=n)]
    projector = SparsePauliOp(labels, np.full(2**n, 2.0**-n))
    local = SparsePauliOp.from_sparse_list([("Z", [q], 0.5 / n) for q in range(n)], n)
    whole, part = (walks(circuit, o, Angles(), True) for o in (projector, local))
    np.testing.assert_allclose(whole.gradient, 3 ** (n - 1) / 8**n, rtol=1e-10)
    np.testing.assert_allclose(whole.loss, (3 / 8) ** n - 4.0**-n, rtol=1e-10)
    np.testing.assert_allclose(part.gradient, 1 / (8 * n**2), rtol=1e-10)
    np.testing.assert_allclose(part.loss, 1 / (8 * n), rtol=1e-10)


@pytest.mark.parametrize("n, depth", [(2, 4), (4, 8), (5, 3)])
def test_random_axes_give_mccleans_circuit_by_all_roads(n, depth):
    circuit = ansatze.random_pauli(n, depth, seed=0)
    observable = SparsePauliOp.from_sparse_list([("ZZ", [0, 1], 1.0)], n)
    first = [parameter.name for parameter in circuit.parameters].index("w[0]")
    merged = walks(circuit, observable, Angles(), True, random_axes=True)
    assert merged.gradient[first] == pytest.approx(random_pauli_variance(n, depth), rel=1e-10)
    sampled = walks(circuit, observable, Angles(), False, random_axes=True)
    assert (np.abs(sampled.gradient - merged.gradient) <= SIGMAS * sampled.errors + 1e-15).all()
    states = gradient_variance(circuit, observable, 4096, 5, random_axes=True)
    order = [states.parameters.index(parameter.name) for parameter in circuit.parameters]
    value, errors, there = states.gradient.value[order], states.gradient.log_error[order], merged.gradient > 0
    assert (np.abs(np.log(value[there] / merged.gradient[there])) <= SIGMAS * errors[there]).all()
    np.testing.assert_array_equal(states.measured[order], there)  # what is zero lies at the floor of rounding


@pytest.mark.parametrize("shrink", [0.9, (0.95, 0.85, 0.9)])
@pytest.mark.parametrize("observable", ["ZZ", "ZZ + 0.5*XI - 0.3*IY"])
def test_noisy_walks_are_density_matrices_averaged_over_clifford_points(shrink, observable):
    circuit, weights = QuantumCircuit(2), ParameterVector("w", 5)
    circuit.h(0)
    circuit.ry(0.7, 1)
    circuit.rx(weights[0], 0)
    circuit.ry(weights[1], 1)
    circuit.cx(0, 1)
    circuit.rzz(weights[2], 0, 1)
    circuit.ry(weights[3], 0)
    circuit.rx(weights[4], 1)
    operator = as_list(observable, 2)[0]
    value = noisy_value(circuit, operator, shrink)
    points = np.array(list(itertools.product(range(4), repeat=5)))
    table = {tuple(point): value(point * math.pi / 2) for point in points}
    slopes = np.array(
        [[(table[tuple((p + e) % 4)] - table[tuple((p - e) % 4)]) / 2 for e in np.eye(5, dtype=int)] for p in points]
    )
    found = walks(circuit, observable, Angles(), True, noise=shrink)
    np.testing.assert_allclose(found.gradient, slopes.var(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.loss, np.var(list(table.values())), atol=1e-12)
    sampled = walks(circuit, observable, Angles(), False, noise=shrink)
    assert (np.abs(sampled.gradient - found.gradient) <= SIGMAS * sampled.errors + 1e-15).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("noise", [1.0, (0.95, 0.9, 0.92)])
def test_sampled_and_merged_walks_of_sums_agree_with_noise_in_every_law(law, noise):
    circuit, angles = random_circuit(4, 2, 21), Angles(law, LAWS[law])
    merged, sampled = (walks(circuit, SUM, angles, exact, noise=noise) for exact in (True, False))
    assert merged.n_walks == 0 < sampled.n_walks
    assert (np.abs(sampled.gradient - merged.gradient) <= SIGMAS * sampled.errors + 1e-15).all()
    assert abs(sampled.loss - merged.loss) <= SIGMAS * sampled.loss_error


@pytest.mark.parametrize("shrink", [0.9, (0.95, 0.85, 0.9)])
def test_noisy_narrow_walks_are_density_matrices_averaged_over_gaussian_angles(shrink):
    circuit, weights = QuantumCircuit(2), ParameterVector("w", 3)
    circuit.ry(0.7, 0)
    circuit.rx(weights[0], 0)
    circuit.cx(0, 1)
    circuit.ry(weights[1], 1)
    circuit.rzz(weights[2], 0, 1)
    operator, width = as_list("ZZ + 0.5*XI - 0.3*IZ + 0.2*YX", 2)[0], 0.6
    value = noisy_value(circuit, operator, shrink)
    nodes, chances = np.polynomial.hermite_e.hermegauss(12)  # exact to rounding for these trigonometric polynomials
    chances = chances / chances.sum()
    points = list(itertools.product(range(12), repeat=3))
    weight = np.array([math.prod(chances[list(point)]) for point in points])
    table = np.array([value(width * nodes[list(point)]) for point in points])
    found = walks(circuit, "ZZ + 0.5*XI - 0.3*IZ + 0.2*YX", Angles("gaussian", width), True, noise=shrink)
    assert found.loss == pytest.approx(weight @ table**2 - (weight @ table) ** 2, abs=1e-10)


def noisy_value(circuit, operator, shrink):
    """The observable's expectation value as a function of angles, a Pauli channel on each qubit after every gate."""
    qx, qy, qz = (shrink,) * 3 if isinstance(shrink, float) else shrink
    chances = np.array([1 + qx + qy + qz, 1 + qx - qy - qz, 1 - qx + qy - qz, 1 - qx - qy + qz]) / 4
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    channel = SuperOp(Kraus([math.sqrt(chance) * pauli for chance, pauli in zip(chances, paulis)]))
    places = [[circuit.find_bit(qubit).index for qubit in item.qubits] for item in circuit.data]
    after = [SuperOp(channel if len(where) == 1 else channel.tensor(channel)) for where in places]

    def value(angles):
        state = DensityMatrix.from_label("00")
        for item, where, noise in zip(circuit.assign_parameters(angles).data, places, after):
            state = state.evolve(item.operation, where).evolve(noise, where)
        return state.expectation_value(operator).real

    return value


def test_a_thousand_qubits_take_a_moment_and_zeros_are_exact():
    n, depth = 1000, 3
    circuit = ansatze.cz_line(n, depth)
    observable = SparsePauliOp.from_sparse_list([("ZZ", [499, 500], 1.0)], n)
    found = gradient_variance(circuit, observable, method="pauli_walk")
    assert found.gradient.samples == 0  # merged: exact
    by_name = dict(zip(found.parameters, found.gradient.value))
    assert by_name["w[0]"] == 0
    cut = gradient_variance(ansatze.cz_line(8, depth), "IIIZZIII", 4096, seed=3)
    same = {2 * q + r + 16 * d: 2 * (q + 496) + r + 2 * n * d for d in range(depth) for q in range(8) for r in (0, 1)}
    for name, value, error in zip(cut.parameters, cut.gradient.value, cut.gradient.log_error):
        expected = by_name[f"w[{same[int(name[2:-1])]}]"]
        assert value < 1e-25 if expected == 0 else abs(math.log(value / expected)) <= SIGMAS * error


def test_walks_do_not_depend_on_threads_or_on_how_far_they_go(monkeypatch):
    circuit = random_circuit(5, 3, 4)
    found = walks(circuit, "ZZIII", Angles(), False)

    def alone(work, units):
        for unit in reversed(list(units)):
            work(*unit)

    monkeypatch.setattr(estimate, "spread", alone)
    again = walks(circuit, "ZZIII", Angles(), False)
    np.testing.assert_array_equal(found.gradient, again.gradient)


def test_walks_refuse_what_their_moments_do_not_close_on_and_name_the_other_road():
    w = ParameterVector("w", 2)
    shared, controlled, fixed, offset = (QuantumCircuit(2) for _ in range(4))
    shared.rx(w[0], 0)
    shared.rx(w[0], 1)
    controlled.crx(w[0], 0, 1)
    fixed.rx(w[0], 0)
    fixed.t(0)
    offset.rx(w[0] + w[1], 0)
    for circuit in (shared, controlled, fixed, offset):
        with pytest.raises(Unsupported, match="state_vector"):
            gradient_variance(circuit, "ZZ", method="pauli_walk")
    shifted = QuantumCircuit(1)
    shifted.rx(w[0] + 0.3, 0)
    assert gradient_variance(shifted, "Z", method="pauli_walk").gradient.value == pytest.approx([0.5])
    with pytest.raises(Unsupported, match="symmetric"):
        gradient_variance(shifted, "Z", method="pauli_walk", distribution="gaussian", width=0.3)
    with pytest.raises(UnknownName, match="pauli_walk"):
        gradient_variance(shifted, "Z", method="pauli_wlk")
    for bad in ({"relative_error": 0.0}, {"n_samples": 3}, {"noise": 1.2}, {"width": -1.0}):
        with pytest.raises(LabError):
            gradient_variance(shifted, "Z", method="pauli_walk", **bad)


def test_sampling_goes_on_until_the_wanted_error():
    circuit = random_circuit(4, 2, 8)
    rough, fine = (gradient_variance(circuit, "ZIII", relative_error=error) for error in (0.2, 0.04))
    assert rough.gradient.samples < fine.gradient.samples
    errors = fine.gradient.log_error
    assert np.median(errors[errors > 0]) <= 0.04


def test_means_that_are_not_zero_are_subtracted():
    circuit, weights = QuantumCircuit(1), ParameterVector("w", 2)
    circuit.rx(weights[0], 0)
    circuit.rx(2 * weights[1], 0)
    width = 0.4
    found = walks(circuit, "Z", Angles("gaussian", width), True)
    one, two = (math.exp(-(width**2) * 5 * k**2 / 2) for k in (1, 2))  # E cos of the sum of angles, and of twice it
    assert found.loss == pytest.approx((1 + two) / 2 - one**2, rel=1e-12)
    np.testing.assert_allclose(found.gradient, np.array([1, 4]) * (1 - two) / 2, rtol=1e-12)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("seed", range(10))
def test_no_variance_is_below_its_bound(law, seed):
    circuit = random_circuit(4, 3, seed)
    letters = np.random.default_rng(seed).choice(list("IXYZ"), 4)
    label = "".join(letters) if set(letters) != {"I"} else "ZZZZ"
    observable = SparsePauliOp([label], [0.5])
    found = gradient_variance(circuit, observable, distribution=law, width=LAWS[law], method="pauli_walk")
    bound = cone_bound(circuit, observable, law, LAWS[law])
    assert found.gradient.samples == 0, "merged, so exact"
    assert (found.gradient.value >= bound.gradient * (1 - ROUNDED) - 1e-18).all(), f"seed {seed}"
    assert float(found.loss.value) >= bound.loss * (1 - ROUNDED) - 1e-18, f"seed {seed}"
    assert bound.parameters == found.parameters


def test_the_bound_says_something_for_most_circuits():
    met = [cone_bound(random_circuit(4, 3, seed), "ZZII").gradient.max() for seed in range(20)]
    assert np.mean(np.array(met) > 0) > 0.2


@pytest.mark.parametrize("law", LAWS)
def test_where_there_is_one_path_the_bound_is_the_variance(law):
    # One RX a qubit and Z on one: Z becomes cos Z + sin Y, and Y ends with nothing.
    circuit = ansatze.cz_line(3, 1, rotations=("rx",))
    found = gradient_variance(circuit, "IZI", distribution=law, width=LAWS[law], method="pauli_walk")
    bound = cone_bound(circuit, "IZI", law, LAWS[law])
    assert bound.gradient == pytest.approx(found.gradient.value, rel=1e-12)
    assert bound.loss == pytest.approx(float(found.loss.value), rel=1e-12)


@pytest.mark.parametrize("n", [4, 50, 200])
def test_log_depth_leaves_a_power_of_n_and_fixed_depth_a_constant(n):
    depth = math.ceil(math.log2(n))
    bound = cone_bound(ansatze.cz_line(n, depth), middle_pair(n))
    assert bound.turns == 2 * depth and bound.gradient.max() == 4.0**-depth > 1 / (4 * n**2)
    assert cone_bound(ansatze.cz_line(n, 5), middle_pair(n)).gradient.max() == 4.0**-5


def test_what_has_cross_terms_or_no_walk_is_refused():
    with pytest.raises(LabError, match="one Pauli string, got a sum of 2"):
        cone_bound(ansatze.cz_line(2, 1), "ZZ + XX")
    with pytest.raises(Unsupported, match="state_vector"):
        cone_bound(ansatze.hva_tfim(3, 2), "ZZI")


@pytest.mark.parametrize("seed", range(4))
def test_an_estimate_below_zero_has_room_above(seed):
    circuit = QuantumCircuit(40)
    for qubit, angle in enumerate(ParameterVector("w", 40)):
        circuit.rx(angle, qubit)
    found = gradient_variance(circuit, "Z" * 40, method="pauli_walk", distribution="small_angle", seed=seed).loss
    truth = (0.5 + np.sin(0.2) / 0.4) ** 40 - (np.sin(0.1) / 0.1) ** 80
    assert found.low <= 4 * truth and found.high > 0.2 * truth


def test_what_no_walk_hit_is_walked_on_and_has_room_above():
    circuit, most = ansatze.hardware_efficient(12, 60), 1 << 19
    found = gradient_variance(circuit, middle_pair(12), n_samples=most, method="pauli_walk")
    assert found.gradient.samples == most and found.loss.high > 0


def test_sums_of_many_strings_are_paired_in_blocks(monkeypatch):
    from studies.walk import estimate

    circuit, observable = ansatze.hardware_efficient(5, 2), "ZZIII + 0.5*IZZII - XIIII + 0.3*IIIXX + 1e-9*IIZII"
    whole = gradient_variance(circuit, observable, method="pauli_walk")
    monkeypatch.setattr(estimate, "PAIRED_LETTERS", 1)
    parts = gradient_variance(circuit, observable, method="pauli_walk")
    assert np.allclose(whole.gradient.value, parts.gradient.value, rtol=1e-12)
    assert whole.loss.value == pytest.approx(float(parts.loss.value), rel=1e-12)


@pytest.mark.parametrize("gate", ["u", "p", "shared", "factor", "sum"])
def test_random_axes_are_refused_where_both_roads_would_not_mean_the_same(gate):
    circuit, (a, b, c) = QuantumCircuit(2), ParameterVector("w", 3)
    circuit.rx(a, 0)
    if gate == "u":
        circuit.u(b, c, 0.1, 1)
    elif gate == "p":
        circuit.p(b, 1)
    elif gate == "shared":
        circuit.rzz(a, 0, 1)
    else:
        circuit.rx(2 * b if gate == "factor" else b + c, 1)
    with pytest.raises(Unsupported, match="random axes"):
        gradient_variance(circuit, "ZZ", 32, random_axes=True)


def test_noise_after_a_gate_that_is_several_here_is_refused():
    circuit = QuantumCircuit(1)
    circuit.u(*ParameterVector("w", 3), 0)
    with pytest.raises(Unsupported, match="u is 3 of them here"):
        gradient_variance(circuit, "Z", method="pauli_walk", noise=0.9)


@pytest.mark.parametrize("factor", [1e6, 1e-15])
def test_which_components_are_measured_does_not_depend_on_the_observable_s_size(factor):
    circuit = ansatze.hardware_efficient(3, 2)
    one, other = (gradient_variance(circuit, f"{size}*ZZI", 64) for size in (1, factor))
    assert np.array_equal(one.measured, other.measured) and one.measured.any() and not one.measured.all()


@pytest.mark.parametrize("width", [0.003, 0.02])
def test_narrow_angles_turn_seldom_and_are_sampled_all_the_same(width):
    circuit, angles = ansatze.cz_line(3, 12, rotations=("rx", "ry")), Angles("small_angle", width)
    truth = walks(circuit, "ZZI", angles, exact=True)
    found = walks(circuit, "ZZI", angles, exact=False, most=1 << 22)
    assert found.n_walks and truth.n_walks == 0
    assert (np.abs(found.gradient - truth.gradient) <= SIGMAS * found.errors + 3 * found.weight / found.n_walks).all()
    large = truth.gradient > 0.1 * truth.gradient.max()
    assert (found.errors[large] < 0.5 * truth.gradient[large]).all(), (found.errors / truth.gradient)[large]
    assert abs(found.loss - truth.loss) < SIGMAS * found.loss_error


def test_turns_that_no_walk_took_have_room_above(monkeypatch):
    monkeypatch.setattr(program, "FEWEST_TURNS", 0.0)
    circuit, angles = ansatze.cz_line(3, 12, rotations=("rx", "ry")), Angles("small_angle", 0.003)
    truth = walks(circuit, "ZZI", angles, exact=True).gradient
    found = walks(circuit, "ZZI", angles, exact=False, most=1 << 18)
    assert (found.errors < 0.05 * found.gradient).mean() > 0.5  # what was met is precise, and not the half of it
    assert (found.gradient + SIGMAS * found.errors < truth).any()
    assert (found.gradient + SIGMAS * found.errors + 3 * found.weight / found.n_walks >= truth).all()
