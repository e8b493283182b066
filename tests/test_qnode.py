"""A PennyLane QNode becomes a layer that computes the same numbers."""

import numpy as np
import pennylane as qp
import pytest
import scipy.linalg
import torch

from circuits.errors import LabError, Unsupported
from qml import QuantumLayer

DEVICE = qp.device("default.qubit", wires=4)
SHAPES = {"weights": (2, 4, 3)}


def templates(inputs, weights):
    qp.AngleEmbedding(inputs, wires=range(4))
    qp.StronglyEntanglingLayers(weights, wires=range(4))
    return [qp.expval(qp.Z(i)) for i in range(4)]


def gates(inputs, weights):
    for wire in range(4):
        qp.RX(inputs[wire] * 2 + 1, wires=wire)
    qp.RY(weights[0, 0, 0] ** 2, wires=1)
    qp.CRX(weights[0, 0, 1], wires=[0, 2])
    qp.Rot(*weights[1, 1], wires=3)
    qp.ctrl(qp.RZ, control=0, control_values=[0])(weights[0, 1, 1], wires=1)
    qp.adjoint(lambda: qp.RX(weights[0, 1, 2], wires=1))()
    qp.PauliRot(weights[0, 2, 0], "XYZ", wires=[3, 1, 2])
    qp.IsingXY(weights[0, 2, 1], wires=[0, 1])
    qp.MultiRZ(weights[0, 2, 2], wires=[0, 1, 3])
    qp.Toffoli(wires=[2, 0, 3])
    qp.QubitUnitary(qp.matrix(qp.CNOT([0, 1])) @ qp.matrix(qp.RX(0.3, 0) @ qp.RY(0.2, 1), wire_order=[0, 1]), wires=[3, 1])
    return qp.expval(qp.Z(0) @ qp.X(1) + 0.3 * qp.Y(2)), qp.expval(qp.Hamiltonian([0.5], [qp.Z(3)]))


def functions(inputs, weights):
    qp.RX(qp.math.sin(inputs[0]), wires=0)
    qp.RY(qp.numpy.pi * inputs[1] * weights[0, 0, 0], wires=0)
    return qp.expval(qp.Z(0))


def written_for_batches(inputs, weights):
    qp.RX(inputs[:, 0], wires=0)
    qp.RY(inputs[:, 1] * weights[0, 0, 0], wires=1)
    qp.CNOT(wires=[0, 1])
    return qp.expval(qp.Z(1))


def roots_and_u2(inputs, weights):
    qp.RX(qp.math.sqrt(inputs[0] + 2), wires=0)
    qp.U2(weights[0, 0, 0], inputs[1], wires=1)
    qp.CNOT(wires=[1, 0])
    return qp.expval(qp.X(0) @ qp.Y(1)), qp.expval(qp.Z(0))


@pytest.mark.parametrize(
    "function", [templates, gates, functions, roots_and_u2, written_for_batches], ids=lambda f: f.__name__
)
def test_a_layer_from_a_qnode_is_pennylanes_torch_layer(function):
    qnode = qp.QNode(function, DEVICE, interface="torch", diff_method="backprop")
    theirs = qp.qnn.TorchLayer(qnode, SHAPES).double()
    ours = QuantumLayer.from_qnode(qnode, SHAPES, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(3, ours.n_inputs, dtype=torch.float64)
    rows = x[:, None] if function is written_for_batches else x
    wanted = torch.stack([theirs(row).reshape(-1) for row in rows])
    assert torch.allclose(ours(x), wanted, atol=1e-12)
    ours(x).sum().backward()
    wanted.sum().backward()
    assert torch.allclose(ours.weights.grad, theirs.weights.grad, atol=1e-12)


def test_wires_keep_their_order_whatever_they_are_called():
    @qp.qnode(qp.device("default.qubit", wires=["b", "a"]))
    def qnode(inputs):
        qp.RX(inputs[0], wires="a")
        qp.RY(inputs[1], wires="b")
        qp.CNOT(wires=["a", "b"])
        return qp.expval(qp.Z("a")), qp.expval(qp.Z("b"))

    layer = QuantumLayer.from_qnode(qnode, {}, dtype=torch.float64)
    x = torch.tensor([0.3, 0.9], dtype=torch.float64)
    assert torch.allclose(layer(x), torch.stack(qnode(x)).double(), atol=1e-12)


def test_the_number_of_inputs_can_be_said_and_devices_may_have_no_wires():
    @qp.qnode(qp.device("default.qubit"))
    def qnode(inputs, w):
        qp.AngleEmbedding(inputs, wires=range(3))
        qp.RY(w, wires=0)
        return qp.expval(qp.Z(0))

    assert QuantumLayer.from_qnode(qnode, {"w": ()}).n_inputs == 3
    assert QuantumLayer.from_qnode(qnode, {"w": 1}, n_inputs=2).n_inputs == 2

    @qp.qnode(qp.device("default.qubit"))
    def as_many_as_given(inputs):
        qp.AngleEmbedding(inputs, wires=range(len(inputs)))
        return qp.expval(qp.Z(0))

    assert QuantumLayer.from_qnode(as_many_as_given, {}, n_inputs=5).n_inputs == 5
    with pytest.raises(Unsupported, match="n_inputs="):
        QuantumLayer.from_qnode(as_many_as_given, {})


def test_what_does_not_convert_is_named():
    @qp.qnode(DEVICE)
    def probabilities(inputs):
        qp.RX(inputs[0], wires=0)
        return qp.probs(wires=0)

    @qp.qnode(DEVICE)
    def amplitudes(inputs):
        qp.AmplitudeEmbedding(inputs, wires=[0, 1], normalize=True)
        return qp.expval(qp.Z(0))

    with pytest.raises(Unsupported, match="expectation values"):
        QuantumLayer.from_qnode(probabilities, {})
    with pytest.raises(Unsupported, match=r"encodings\.amplitude"):
        QuantumLayer.from_qnode(amplitudes, {})
    with pytest.raises(LabError, match="weight_shapes"):
        QuantumLayer.from_qnode(probabilities, {"w": 3})

    @qp.qnode(DEVICE)
    def powers(inputs):
        qp.RX(2 ** inputs[0], wires=0)
        return qp.expval(qp.Z(0))

    with pytest.raises(Unsupported, match="exp and log"):
        QuantumLayer.from_qnode(powers, {})
    with pytest.raises(LabError, match="QNode"):
        QuantumLayer.from_qnode(lambda inputs: None, {})


def test_a_function_that_reads_slices_says_how_many_inputs():
    @qp.qnode(qp.device("default.qubit", wires=2))
    def sliced(inputs, w):
        for wire, value in enumerate(inputs[:2]):
            qp.RX(value, wires=wire)
        qp.RY(w[0], wires=0)
        for wire, value in enumerate(inputs[2:]):
            qp.RZ(value, wires=wire)
        return qp.expval(qp.Z(0))

    with pytest.raises(Unsupported, match="takes 2 inputs, and reads more where it is given more: say n_inputs="):
        QuantumLayer.from_qnode(sliced, {"w": 1})
    assert QuantumLayer.from_qnode(sliced, {"w": 1}, n_inputs=4).n_inputs == 4


def test_transforms_of_a_qnode_are_refused_by_name():
    @qp.transform
    def twice(tape):
        return [tape.copy(ops=[*tape.operations, *tape.operations])], lambda results: results[0]

    @twice
    @qp.qnode(qp.device("default.qubit", wires=1))
    def turned(inputs):
        qp.RX(inputs[0], wires=0)
        return qp.expval(qp.Z(0))

    with pytest.raises(Unsupported, match="has transforms, which a layer does not apply"):
        QuantumLayer.from_qnode(turned, {})


def test_shots_are_those_of_the_qnode_unless_others_are_given():
    @qp.qnode(qp.device("default.qubit", wires=1))
    def circuit(w):
        qp.RX(w[0], wires=0)
        return qp.expval(qp.Z(0))

    shapes = {"w": (1,)}
    assert QuantumLayer.from_qnode(circuit, shapes).shots is None
    sampled = qp.set_shots(circuit, 100)
    assert QuantumLayer.from_qnode(sampled, shapes).shots == 100
    assert QuantumLayer.from_qnode(sampled, shapes, shots=None).shots is None


def test_a_unitary_in_single_precision_is_one():
    matrix = scipy.linalg.expm(-1j * np.array([[0.3, 1.1 - 0.4j], [1.1 + 0.4j, -0.8]])).astype(np.complex64)

    @qp.qnode(qp.device("default.qubit", wires=1))
    def circuit(w):
        qp.QubitUnitary(matrix, wires=0)
        qp.RX(w[0], wires=0)
        return qp.expval(qp.Z(0))

    layer = QuantumLayer.from_qnode(circuit, {"w": (1,)})
    assert layer().item() == pytest.approx(float(circuit(layer.w.detach().numpy())), abs=1e-6)
