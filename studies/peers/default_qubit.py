"""PennyLane default.qubit, torch interface, backpropagation, the batch by parameter broadcasting."""

import torch

from studies.peers.base import Workload

REQUIRES = ("pennylane",)
DTYPES = ("float64",)  # its states are complex128 whatever the parameters are


def build(workload: Workload):
    """Forward through a QNode, backward through torch."""
    import pennylane as qp

    return build_on(workload, qp.device("default.qubit", wires=workload.n_qubits), "backprop")


def build_on(workload: Workload, device, diff_method: str):
    """A step of the workload as a QNode of a device."""
    return torch_step(workload, expectations_on(workload, device, diff_method))


def expectations_on(workload: Workload, device, diff_method: str):
    """The workload as a QNode of a device: a torch function (inputs, weights) -> (B, K)."""
    import pennylane as qp

    operations = {
        "rx": qp.RX, "ry": qp.RY, "rz": qp.RZ, "cx": qp.CNOT, "rxx": qp.IsingXX, "ryy": qp.IsingYY, "crx": qp.CRX,
    }  # fmt: skip

    def observable(terms):
        words = [
            qp.prod(*[getattr(qp, f"Pauli{letter}")(q) for letter, q in zip(letters, qubits)])
            if len(qubits) > 1
            else getattr(qp, f"Pauli{letters}")(qubits[0])
            for letters, qubits in terms
        ]
        return words[0] if len(words) == 1 else qp.Hamiltonian([1.0] * len(words), words)

    observables = [observable(terms) for terms in workload.observables]

    @qp.qnode(device, interface="torch", diff_method=diff_method)
    def circuit(x, w):
        for gate in workload.gates:
            angle = {"x": x, "w": w}.get(gate.source)
            arguments = [] if angle is None else [angle[..., gate.place]]
            operations[gate.name](*arguments, wires=gate.qubits)
        return [qp.expval(term) for term in observables]

    return lambda x, w: torch.stack(list(circuit(x, w)), dim=-1)


def torch_step(workload: Workload, expectations):
    """Forward and backward of a torch function (inputs, weights) -> (B, K)."""
    inputs, weights, cotangents = (torch.tensor(array) for array in workload.numbers)
    inputs.requires_grad_()
    weights.requires_grad_()

    def step():
        inputs.grad = weights.grad = None
        values = expectations(inputs, weights)
        values.backward(cotangents.to(values.dtype))
        return values.detach().numpy(), inputs.grad.numpy(), weights.grad.numpy()

    return step
