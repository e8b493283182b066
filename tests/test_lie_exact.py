"""Lie algebras split as their adjoint representations do, and the predicted variance is an exact average."""

import math
from itertools import product

import numpy as np
import pytest
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp

from circuits.errors import LabError
from studies.lie.families import CHAINS, Published, chain, chain_family
from studies.lie.ideals import Algebra
from studies.lie.prediction import loss_variance, purities
from studies.lie.strings import Strings

MATCHGATES = ("XX", "Z")


def generators(words, n_qubits, closed=False) -> list[str]:
    return [label for word in words for label in chain(word, n_qubits, closed)]


def test_products_and_phases_of_strings_are_those_of_operators(rng):
    labels = ["".join(rng.choice(list("IXYZ"), 5)) for _ in range(60)]
    left, right = Strings.of(labels[:30]), Strings.of(labels[30:])
    for a, b, there, phase, odd in zip(
        labels[:30], labels[30:], left.times(right).labels(), left.phases(right), left.anticommute(right)
    ):
        assert np.allclose(Operator(Pauli(a)).data @ Operator(Pauli(b)).data, 1j**phase * Operator(Pauli(there)).data)
        assert odd == (phase % 2) == Pauli(a).anticommutes(Pauli(b))


def test_strings_are_found_where_they_are():
    strings = Strings.of(["XX", "ZI", "YZ"])
    assert strings.find(Strings.of(["YZ", "II", "XX", "YZ", "ZZ"])).tolist() == [2, -1, 0, 2, -1]
    assert Strings.of(["ZZ", "XX", "ZZ"]).distinct([strings]).labels() == ["ZZ"]


def roots_of_ideals(strings: Strings) -> list[int]:
    """How many roots each simple ideal has, from the adjoint representation of two random elements, numerically.

    Root vectors e_a, e_b with a - b a root are joined by a random element, and so are a and -a, by reality: what is not
    joined belongs to different ideals.
    """
    from scipy.sparse.csgraph import connected_components

    matrices = np.array([Operator(Pauli(label)).data for label in strings.labels()])
    size = len(matrices[0])
    draws = np.random.default_rng(5).standard_normal((2, len(matrices)))
    first, second = (
        np.einsum("kij,lji->kl", matrices, 1j * (element @ matrices - matrices @ element)).real / size
        for element in np.tensordot(draws, matrices, 1)
    )
    values, vectors = np.linalg.eigh(1j * first)
    roots = abs(values) > 1e-6
    joined = abs(vectors.conj().T @ second @ vectors) > 1e-8
    joined |= abs(values[:, None] + values) < 1e-9
    _, owner = connected_components(joined[np.ix_(roots, roots)], directed=False)
    return sorted(np.bincount(owner).tolist(), reverse=True) if roots.any() else []


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_the_ideals_are_those_of_the_adjoint_representation(name, closed):
    algebra = Algebra.of(chain_family(name).generators(3, closed))
    roots = roots_of_ideals(algebra.strings)
    assert len(roots) == len(algebra.ideals)
    # Of simple algebras of these sizes the dimension and the number of roots say the rank: 3 and 2, 10 and 8, 15 and 12.
    ranks = {3: 1, 10: 2, 15: 3, 21: 3, 28: 4, 35: 5, 36: 4, 63: 7}
    assert [d - ranks[d] for d in algebra.ideals] == roots


@pytest.mark.parametrize(("name", "closed"), [("a3", False), ("a4", True), ("a6", False), ("a14", True), ("b2", False)])
def test_the_ideals_are_those_of_the_adjoint_representation_on_four_qubits(name, closed):
    algebra = Algebra.of(chain_family(name).generators(4, closed))
    ranks = {3: 1, 10: 2, 15: 3, 28: 4, 36: 4}
    assert roots_of_ideals(algebra.strings) == [d - ranks[d] for d in algebra.ideals]


def test_components_are_sorted_by_orbits_and_dimensions_add_up():
    for name, closed in product(CHAINS, (False, True)):
        algebra = Algebra.of(chain_family(name).generators(4, closed))
        assert sum(algebra.ideals) + len(algebra.centre) == algebra.dimension == len(algebra.strings.distinct())
        for component in algebra.components:
            size = component.n_ideals
            for number in range(size):
                group = component.group[number : number + 1]
                assert not component.strings.anticommute(group).any()
                moved = component.strings[::size].times(group)
                assert (moved.x == component.strings.x[number::size]).all()
                assert (moved.z == component.strings.z[number::size]).all()


def test_the_ideals_of_a_component_share_its_whole_purity(rng):
    (component,) = Algebra.of(generators(("XX", "YZ"), 4)).components
    traces = rng.standard_normal(len(component.strings))
    assert component.n_ideals == 4
    assert purities(component, traces).sum() == pytest.approx((traces**2).sum() / 2**4)


def exact_variance(labels, observable: SparsePauliOp, state: np.ndarray, n_layers=400) -> float:
    """Of a deep circuit by dense matrices: the second moment, averaged gate by gate over four equidistant angles.

    The state's and the observable's coefficients have degree 2 together in each angle, so that average is exact.
    """
    n = observable.num_qubits
    basis = [Operator(Pauli("".join(letters))).data for letters in product("IXYZ", repeat=n)]
    flat = np.array([matrix.ravel() for matrix in basis])
    vector = (flat.conj() @ Operator(observable).data.ravel()).real / 2**n
    turns = []
    for label in labels:
        generator = Operator(Pauli(label)).data
        for quarter in range(4):
            half = quarter * math.pi / 4
            unitary = math.cos(half) * np.eye(2**n) - 1j * math.sin(half) * generator
            turned = np.array([(unitary.conj().T @ matrix @ unitary).ravel() for matrix in basis])
            turns.append((flat.conj() @ turned.T).real / 2**n)
    layer = [turns[k : k + 4] for k in range(0, len(turns), 4)]
    mean, moment = vector, np.outer(vector, vector)
    for _ in range(n_layers):
        before = moment
        for quarters in layer:
            mean = sum(turn @ mean for turn in quarters) / 4
            moment = sum(turn @ moment @ turn.T for turn in quarters) / 4
        if abs(moment - before).max() < 1e-12:
            break
    ends = (flat.conj() @ state.ravel()).real
    return float(ends @ moment @ ends - (mean @ ends) ** 2)


def product_state(bloch: np.ndarray) -> np.ndarray:
    state = np.eye(1)
    for x, y, z in bloch:
        state = np.kron(np.array([[1 + z, x - 1j * y], [x + 1j * y, 1 - z]]) / 2, state)
    return state


@pytest.mark.parametrize(
    ("words", "closed"),
    [(("XX", "Z"), False), (("XX", "Z"), True), (("XX", "YY"), False), (("XX", "YZ", "ZY"), True),
     (("XX", "YY", "Z"), False), (("X", "Y"), False), (("XX", "X", "XY", "XZ"), False)],
)  # fmt: skip
def test_the_predicted_variance_is_the_exact_one_for_sums_over_all_of_the_algebra(words, closed, rng):
    labels = generators(words, 3, closed)
    algebra = Algebra.of(labels)
    chosen = rng.choice(len(algebra.strings), min(12, len(algebra.strings)), replace=False)
    observable = SparsePauliOp(algebra.strings[np.sort(chosen)].labels(), rng.standard_normal(len(chosen)))
    bloch = rng.standard_normal((3, 3))
    bloch /= np.linalg.norm(bloch, axis=1)[:, None]
    predicted = loss_variance(algebra, observable + SparsePauliOp("III", 3.0), bloch)
    assert predicted == pytest.approx(exact_variance(labels, observable, product_state(bloch)), rel=1e-6)


def test_cross_terms_of_the_two_ideals_count():
    # The parity ZZZ maps so(6) + so(6) to itself: a string alone knows nothing of the two signs.
    algebra = Algebra.of(generators(MATCHGATES, 3, True))
    (component,) = algebra.components
    assert component.group.labels() == ["III", "ZZZ"]
    one = component.strings[:2]
    bloch = np.full((3, 3), 1 / math.sqrt(3))
    plus, minus = (loss_variance(algebra, SparsePauliOp(one.labels(), [1, sign]), bloch) for sign in (1, -1))
    assert plus != pytest.approx(minus, rel=1e-3)


def test_the_state_may_be_in_the_algebra_instead_of_the_observable():
    # One qubit pair with the whole su(4): any observable will do, and so will any state.
    labels = generators(("XX", "Z", "X"), 2)
    observable = SparsePauliOp(["ZZ", "XY"], [1.0, -2.0])
    assert loss_variance(Algebra.of(labels), observable) == pytest.approx(5 / 5)
    # On one qubit X alone spans its own centre: the maximally mixed state is in it, the observable Z is not.
    assert loss_variance(Algebra.of(["X"]), SparsePauliOp("Z"), np.zeros((1, 3))) == 0


def test_published_algebras_are_written_as_in_the_paper():
    assert str(Published("so", 8, 2)) == "2 so(8)" and Published("su", 4, 2, 1).dimension == 31
    assert str(Published("su", 2, 0, 3)) == "u(1)^3" and Published("so", 4).ideals == [3, 3]
    with pytest.raises(LabError, match="a14"):
        chain_family("a23")
