"""What our devices measure inside PennyLane: whole observables, probabilities of all wires, and what is refused."""

import numpy as np
import pennylane as qp
import pytest
from pennylane.exceptions import DeviceError, QuantumFunctionError

from circuits.errors import LabError, Unsupported

DEVICES = ("qml.native", "qml.aer")
HERMITIAN = np.array([[1.2, 0.3 - 0.4j], [0.3 + 0.4j, -0.5]])


def _large():
    return qp.expval(qp.Hermitian(np.eye(128), wires=range(7)))


def _one():
    return qp.expval(qp.Z(0))


REFUSED = {
    "observable": (_large, {}, DeviceError, "not supported"),
    "channel": (lambda: (qp.AmplitudeDamping(0.1, 0), qp.expval(qp.Z(0)))[1], {}, DeviceError, "not supported"),
    "shadow": (lambda: qp.classical_shadow(wires=[0]), {"shots": 10}, DeviceError, "not accepted"),
    "sample": (lambda: qp.sample(wires=0), {}, DeviceError, "not accepted"),
    "adjoint with shots": (_one, {"shots": 10, "diff_method": "adjoint"}, QuantumFunctionError, "adjoint"),
    "backprop": (_one, {"diff_method": "backprop"}, QuantumFunctionError, "backprop"),
    "tree-traversal": (_one, {"mcm_method": "tree-traversal"}, DeviceError, "deferred"),
    "variance of a large sum": (
        lambda: qp.var(qp.sum(*map(qp.X, range(7)))),
        {"shots": 10},
        DeviceError,
        "at most 6 wires",
    ),
    "not unitary": (
        lambda: (qp.ctrl(qp.QubitUnitary(np.diag([1.0, 0.0]), 0), 1), qp.expval(qp.Z(0)))[1],
        {},
        Unsupported,
        "block-diag",
    ),
    "not a number": (lambda: (qp.RX(np.nan, 0), qp.expval(qp.Z(0)))[1], {}, LabError, "NaN"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("name", DEVICES)
def test_what_cannot_work_says_so_in_one_line(name, what):
    function, options, kind, word = REFUSED[what]
    options = dict(options)
    shots = options.pop("shots", None)
    with pytest.raises(kind, match=word) as caught:
        qp.set_shots(qp.QNode(function, qp.device(name, wires=7), **options), shots)()
    assert "\n" not in str(caught.value)


def turned(*measurements):
    """A circuit whose wires first appear as b, then a."""

    def circuit(x):
        qp.RX(x, "b")
        qp.RY(1.4, "a")
        qp.CRY(0.5, ["b", "a"])
        return [measured() for measured in measurements]

    return circuit


@pytest.mark.parametrize("wires", [None, ["a", "b", "idle", "c"]], ids=["no_wires", "wires"])
@pytest.mark.parametrize("name", DEVICES)
def test_probabilities_that_name_no_wires_are_of_all_of_them(name, wires):
    function = turned(qp.probs, lambda: qp.expval(qp.X("c")))

    def loss(x, device):
        results = qp.QNode(function, qp.device(device, wires=wires))(x)
        return qp.math.dot(results[0], np.arange(float(len(results[0]))) ** 2) + results[1]

    x = qp.numpy.array(0.3)
    mine, other = (qp.QNode(function, qp.device(device, wires=wires))(x)[0] for device in (name, "default.qubit"))
    assert np.shape(mine) == np.shape(other) and np.allclose(mine, other, atol=1e-10)
    slope = qp.grad(loss, argnums=0)(x, name)
    assert abs(slope) > 0.1 and np.isclose(slope, qp.grad(loss, argnums=0)(x, "default.qubit"))
    sampled = qp.set_shots(qp.QNode(function, qp.device(name, wires=wires, seed=4)), 4000)(x)[0]
    assert np.shape(sampled) == np.shape(other) and np.abs(sampled - other).max() < 5 * 0.5 / 4000**0.5
    tape = qp.tape.QuantumScript([qp.RX(0.3, "b"), qp.RY(1.4, "a")], [qp.probs()])
    assert np.allclose(qp.device(name).execute(tape), [0.57191986, 0.40574838, 0.01306371, 0.00926805])


NOT_HERMITIAN = {
    "word": lambda: qp.prod(qp.X("a"), qp.Y("a")),
    "sum": lambda: qp.Z("b") + 0.5j * qp.Z("a"),
    "matrix": lambda: qp.Hermitian(np.array([[0, 1], [0, 0]]), "a"),
    "product": lambda: qp.prod(qp.Y("a"), qp.Hadamard("a")),
}


@pytest.mark.parametrize("shots", [None, 10])
@pytest.mark.parametrize("observable", NOT_HERMITIAN.values(), ids=NOT_HERMITIAN)
@pytest.mark.parametrize("name", DEVICES)
def test_an_observable_that_is_not_hermitian_is_refused(name, observable, shots):
    for kind in (qp.expval, qp.var):
        node = qp.set_shots(qp.QNode(turned(lambda kind=kind: kind(observable())), qp.device(name)), shots)
        with pytest.raises((DeviceError, LabError), match="is not Hermitian") as caught:
            node(0.3)
        assert "\n" not in str(caught.value)


WHOLE = {
    "zero matrix": lambda: qp.Hermitian(np.zeros((2, 2)), "a"),
    "anticommutator": lambda: qp.prod(qp.Y("a"), qp.Hadamard("a")) + qp.prod(qp.Hadamard("a"), qp.Y("a")),
    "commuting parts": lambda: qp.prod(qp.X("a"), qp.Hadamard("a")) + qp.prod(qp.Hadamard("a"), qp.X("a")),
    "two bases": lambda: qp.X("a") + qp.Z("a"),
    "identity": lambda: qp.Identity("a"),
    "with identity": lambda: qp.Z("b") + 2 * qp.Identity("a") + qp.X("a"),
    "nothing": lambda: 0.0 * qp.Z("a"),
    "with a matrix": lambda: qp.Hermitian(HERMITIAN, "b") + qp.Z("a"),
}


@pytest.mark.parametrize("observable", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("name", DEVICES)
def test_means_and_variances_of_whole_observables_are_default_qubits(name, observable):
    function, shots = turned(lambda: qp.expval(observable()), lambda: qp.var(observable())), 20000
    exact = [np.real(part) for part in qp.QNode(function, qp.device("default.qubit"))(0.3)]
    assert np.allclose(qp.QNode(function, qp.device(name))(0.3), exact, atol=1e-10)
    sampled = qp.set_shots(qp.QNode(function, qp.device(name, seed=7)), shots)(0.3)
    assert not np.iscomplexobj(sampled)
    # squares of values within 2 of the mean's spread: below 2.5^2 a sample
    assert np.abs(np.subtract(sampled, exact)).max() <= 5 * 2.5 * np.sqrt(max(exact[1], 1e-12) / shots)


EVEN = {"gate": lambda: qp.Hadamard(0), "state": lambda: qp.StatePrep(np.ones(2) / 2**0.5, wires=0)}


@pytest.mark.parametrize("start", EVEN.values(), ids=EVEN)
@pytest.mark.parametrize("name", DEVICES)
def test_parts_of_the_shots_are_samples_like_the_whole(name, start):
    def sampled(measured, shots):
        def circuit():
            start()
            return measured()

        return qp.set_shots(qp.QNode(circuit, qp.device(name, wires=1, seed=3)), shots)()

    assert np.abs(sampled(lambda: qp.expval(qp.Z(0)), [500, 500])).max() <= 5 / 500**0.5, "seed 3"
    bits = np.ravel(sampled(lambda: qp.sample(wires=0), 1000))
    # Each shot differs from the one before it or not: a coin.
    assert abs(np.count_nonzero(np.diff(bits)) - 999 / 2) <= 5 * (999 / 4) ** 0.5, "seed 3"
