"""Lie algebras are the published ones and PennyLane's; they split as matrices do; they predict sampled variances."""

import itertools
import math

import numpy as np
import pytest
from qiskit.quantum_info import PauliList, SparsePauliOp

from circuits import ansatze
from circuits.errors import LabError, TooLarge
from studies import gradient_variance, lie_algebra
from studies.lie.depth import variance_at_depth
from studies.lie.families import CHAINS, SUMS, chain
from studies.lie.ideals import Algebra
from studies.lie.prediction import loss_variance, matchgate_variance, zero_state
from studies.lie.strings import Strings, closure
from studies.lie.sums import closure_of_sums

SIGMAS = 5


def words(labels) -> list:
    """Labels as PennyLane's operators; the order of qubits does not matter to a dimension."""
    import pennylane as qp

    return [qp.pauli.string_to_pauli_word(label) for label in labels]


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_have_pennylanes_dimensions(name, closed):
    import pennylane as qp

    n = 3
    labels = CHAINS[name].generators(n, closed)
    assert len(closure(labels)) == len(qp.lie_closure([word.pauli_rep for word in words(labels)], pauli=True))


@pytest.mark.parametrize("name", ["a1", "a14"])
def test_two_chains_of_six_qubits_have_pennylanes_dimensions(name):
    import pennylane as qp

    labels = CHAINS[name].generators(6, False)
    assert len(closure(labels)) == len(qp.lie_closure([word.pauli_rep for word in words(labels)], pauli=True))


@pytest.mark.parametrize("n", [3, 4, 5, 6])
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_chains_have_the_published_algebras(closed, n):
    for name, family in CHAINS.items():
        law, algebra = family.published(n, closed), Algebra.of(family.generators(n, closed))
        if law:
            assert (algebra.dimension, len(algebra.centre), algebra.ideals) == (law.dimension, law.centre, law.ideals), name


def test_the_ising_chain_of_64_qubits_has_the_dimension_of_so_128():
    assert len(closure(chain("ZZ", 64) + chain("X", 64))) == 64 * 127
    with pytest.raises(TooLarge):
        closure(chain("ZZ", 12) + chain("X", 12) + chain("Z", 12))
    with pytest.raises(LabError, match="64 qubits"):
        closure(["Z" * 65])
    with pytest.raises(LabError, match="at least one generator"):
        closure(Strings.of(PauliList(["XX"]))[:0])


@pytest.mark.parametrize("name", SUMS)
def test_summed_generators_have_pennylanes_and_the_published_dimensions(name):
    import pennylane as qp

    family = SUMS[name]
    for n in [n for n in family.sizes if n <= 6 and not (name.startswith(("LTFIM", "XXZ")) and n > 4)]:
        generators = family.generators(n)
        found = closure_of_sums(generators).dimension
        assert family.published(n) in (None, found)
        if n <= 3:
            sums = [
                qp.pauli.PauliSentence(
                    {
                        w.pauli_rep and next(iter(w.pauli_rep)): float(c.real)
                        for w, c in zip(words(g.paulis.to_labels()), g.coeffs)
                    }
                )
                for g in generators
            ]
            assert found == len(qp.lie_closure(sums, pauli=True))


def test_sums_need_whole_coefficients():
    with pytest.raises(LabError, match="whole"):
        closure_of_sums([SparsePauliOp(["XX", "ZZ"], [0.5, 0.3])])


@pytest.mark.parametrize("name", ["a0", "a2", "a4", "a8", "a14", "b2", "b3"])
def test_ideals_are_closed_commute_and_are_simple_as_matrices(name):
    n = 3
    algebra = Algebra.of(CHAINS[name].generators(n, False))
    for component in algebra.components:
        for other in algebra.components:
            if other is not component:
                table = [component.strings.anticommute(other.strings[j : j + 1]) for j in range(len(other.strings))]
                assert not np.any(table)
        # The adjoint representation's commutant has one dimension for each simple ideal.
        matrices = [SparsePauliOp(label).to_matrix() for label in component.strings.labels()]
        adjoint = np.array(
            [[[np.trace(c @ (a @ b - b @ a)).imag / 2**n for b in matrices] for c in matrices] for a in matrices]
        )
        mixed = np.tensordot(np.random.default_rng(1).normal(size=(3, len(matrices))), adjoint, axes=1)
        identity = np.eye(len(matrices))
        equations = np.concatenate([np.kron(a, identity) - np.kron(identity, a.T) for a in mixed])
        assert equations.shape[1] - np.linalg.matrix_rank(equations, tol=1e-8) == component.n_ideals


def test_the_law_is_the_exact_variance_of_deep_circuits():
    for words_, n in itertools.product((("XX", "Z"), ("XX", "Z", "X"), ("XY", "YX")), (3, 4)):
        layer = [label for word in words_ for label in chain(word, n)]
        algebra = Algebra.of(layer)
        for label in algebra.strings.labels()[::5]:
            law = loss_variance(algebra, SparsePauliOp(label))
            deep = variance_at_depth(Strings.of(layer), Strings.of([label]), 150)
            assert law == pytest.approx(deep, abs=1e-9), (words_, n, label)


def test_the_law_of_a_sum_is_the_sampled_variance():
    seed, n = 5, 4
    algebra = Algebra.of(chain("ZZ", n) + chain("X", n))
    observable = SparsePauliOp.from_list([("IIIX", 1.0), ("IIZZ", 0.7), ("IZXZ", -0.5)])
    circuit = _ising(n, 60)
    found = gradient_variance(circuit, observable, 2048, seed).loss
    assert abs(math.log(found.value / loss_variance(algebra, observable))) < SIGMAS * found.log_error, f"seed {seed}"


def _ising(n: int, depth: int):
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    circuit, weights = QuantumCircuit(n), iter(ParameterVector("w", (2 * n - 1) * depth))
    for _ in range(depth):
        for qubit in range(n - 1):
            circuit.rzz(next(weights), qubit, qubit + 1)
        for qubit in range(n):
            circuit.rx(next(weights), qubit)
    return circuit


@pytest.mark.parametrize("n", [3, 4, 6])
def test_matchgates_have_their_closed_form(n):
    layer = Strings.of(chain("XX", n) + chain("Z", n))
    for weight in range(1, n):
        label = ("Z" * weight).rjust(n, "I")
        assert matchgate_variance(n, weight) == pytest.approx(variance_at_depth(layer, Strings.of([label]), 400), rel=1e-6)
    assert matchgate_variance(n, 1) == pytest.approx(1 / (2 * n - 1))
    assert loss_variance(Algebra.of(chain("XX", n) + chain("Z", n)), SparsePauliOp("Z".rjust(n, "I"))) == pytest.approx(
        1 / (2 * n - 1)
    )


def test_the_variance_at_a_depth_is_that_of_pauli_walks():
    n, depth = 4, 3
    layer = Strings.of(chain("ZZ", n) + chain("X", n))
    found = gradient_variance(_ising(n, depth), "IIZZ", method="pauli_walk").loss
    assert float(found.value) == pytest.approx(variance_at_depth(layer, Strings.of(["IIZZ"]), depth), rel=1e-12)


def test_what_the_law_does_not_cover_is_refused():
    algebra = Algebra.of(chain("XX", 3) + chain("Z", 3))
    with pytest.raises(LabError, match="in the algebra"):
        loss_variance(algebra, SparsePauliOp("IZZ"))
    with pytest.raises(LabError, match="3 qubits"):
        loss_variance(algebra, SparsePauliOp("ZZ"))
    with pytest.raises(LabError, match="Hermitian"):
        loss_variance(algebra, SparsePauliOp("IIZ", 1j))
    with pytest.raises(LabError, match="bloch"):
        loss_variance(algebra, SparsePauliOp("IIZ"), 2 * zero_state(3))
    with pytest.raises(LabError, match="weight"):
        matchgate_variance(4, 4)


def test_the_equivariant_ansatz_has_the_equivariant_algebra():
    generators = SUMS["S_n-equivariant"].generators(4)
    assert closure_of_sums(generators).dimension == 33
    assert len(ansatze.permutation_equivariant(4, 1).parameters) == len(generators)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """A small run of the study."""
    settings = lie_algebra.Settings(chain_qubits=(3, 4), largest_sum=4, qubits=(3, 4), samples=512)
    return [{**case, **row} for case in lie_algebra.cases(settings) for row in lie_algebra.run(case)]


def test_the_study_finds_the_law_and_every_published_algebra(rows):
    said = lie_algebra.verdict(rows)
    assert "algebras of which a formula was published are found as published" in said, said
    assert all(abs(float(point.measured.sigmas(point.law))) < SIGMAS for point in lie_algebra.points(rows)), "seed 2309"
    assert len(lie_algebra.table(rows)) == 6 + len(CHAINS) * 2 + len(SUMS)
    left, right = lie_algebra.figure(rows).axes
    assert left.get_yscale() == right.get_yscale() == "log"


@pytest.mark.parametrize(
    "wrong",
    [{"chain_qubits": ()}, {"chain_qubits": (2,)}, {"qubits": (4,)}, {"largest_sum": 20}, {"samples": 3}, {"seed": -1}],
)
def test_settings_that_cannot_work_are_refused_by_name(wrong):
    with pytest.raises(LabError, match=f"setting {next(iter(wrong))}"):
        lie_algebra.Settings(**wrong)
