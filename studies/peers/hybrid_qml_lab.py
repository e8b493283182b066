"""Our QuantumLayer on backend native, torch included."""

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qml import QuantumLayer
from studies.peers.base import Workload

REQUIRES = ()
DTYPES = ("float32", "float64")


def layer(workload: Workload, backend="native") -> QuantumLayer:
    """The layer at the workload's weights, which are zeros where each sample has its own."""
    n = workload.n_qubits
    angles = {"x": ParameterVector("x", n), "w": ParameterVector("w", workload.n_weights)}
    circuit = QuantumCircuit(n)
    for gate in workload.gates:
        arguments = [angles[gate.source][gate.place]] if gate.source else []
        getattr(circuit, gate.name)(*arguments, *gate.qubits)
    observables = [
        SparsePauliOp.from_sparse_list([(letters, list(qubits), 1.0) for letters, qubits in terms], n)
        for terms in workload.observables
    ]
    weights = workload.numbers[1]
    init = np.zeros(workload.n_weights) if workload.per_sample else weights
    return QuantumLayer(circuit, observables, backend=backend, init={"w": init}, dtype=getattr(torch, workload.dtype))


def build(workload: Workload):
    """A training step's forward and backward."""
    made = layer(workload)
    inputs, weights, cotangents = (torch.tensor(array) for array in workload.numbers)
    inputs.requires_grad_()
    weights = weights.requires_grad_() if workload.per_sample else made.w

    def step():
        inputs.grad = weights.grad = None
        values = made.evaluate(inputs, weights) if workload.per_sample else made(inputs)
        values.backward(cotangents)
        return values.detach().numpy(), inputs.grad.numpy(), weights.grad.numpy()

    return step


def build_forward(workload: Workload):
    """The forward pass alone, with nothing kept for a gradient."""
    made = layer(workload)
    inputs = torch.tensor(workload.numbers[0])

    def step():
        with torch.no_grad():
            return made(inputs)

    return step
