"""The path that never turns bounds every variance from below, and is the whole of it where there is no other path."""

import math

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from circuits import ansatze
from circuits.errors import LabError, Unsupported
from circuits.observables import middle_pair
from studies import gradient_variance
from studies.light_cone import cone_bound
from tests.test_pauli_walk import LAWS, random_circuit

ROUNDING = 1e-12


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
    assert (found.gradient.value >= bound.gradient * (1 - ROUNDING) - 1e-18).all(), f"seed {seed}"
    assert float(found.loss.value) >= bound.loss * (1 - ROUNDING) - 1e-18, f"seed {seed}"
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


@pytest.mark.parametrize("n", [4, 50, 1000])
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
