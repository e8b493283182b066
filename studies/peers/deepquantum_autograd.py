"""DeepQuantum, a state vector in torch, its own batching of encoded data, backpropagation."""

import torch

from studies.peers.base import Workload

REQUIRES = ("deepquantum",)
DTYPES = ("float32", "float64")


def build(workload: Workload):
    """A `QubitCircuit` whose inputs are encoded data and whose weights are its parameters."""
    import deepquantum as dq

    if workload.per_sample:
        raise NotImplementedError("its weights cannot carry the batch axis")
    if workload.circuit == "two_qubit":
        raise NotImplementedError("its sum of Pauli strings is not one observable")
    inputs, weights, cotangents = workload.numbers
    circuit = dq.QubitCircuit(workload.n_qubits)
    for gate in workload.gates:
        if gate.name == "cx":
            circuit.cnot(*gate.qubits)
        elif gate.source == "x":
            getattr(circuit, gate.name)(gate.qubits[0], encode=True)
        else:
            getattr(circuit, gate.name)(gate.qubits[0])
    for q in range(workload.n_qubits):
        circuit.observable(q)
    circuit.to(getattr(torch, workload.dtype))
    parameters = list(circuit.parameters())
    with torch.no_grad():
        for parameter, gate in zip(parameters, [gate for gate in workload.gates if gate.source == "w"]):
            parameter.fill_(float(weights[gate.place]))
    encoded = [gate.place for gate in workload.gates if gate.source == "x"]
    trained = [gate.place for gate in workload.gates if gate.source == "w"]
    order = torch.tensor(trained).argsort()
    x, cotangent = torch.tensor(inputs, requires_grad=True), torch.tensor(cotangents)

    def step():
        x.grad = None
        for parameter in parameters:
            parameter.grad = None
        circuit(data=x[:, encoded])
        values = circuit.expectation()
        values.backward(cotangent.to(values.dtype))
        of_weights = torch.cat([parameter.grad.reshape(-1) for parameter in parameters])[order]
        return values.detach().numpy(), x.grad.numpy(), of_weights.numpy()

    return step
