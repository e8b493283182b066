"""PyQTorch, a batched state vector in torch, backpropagation: faster at these sizes than its own adjoint mode."""

import torch

from studies.peers.base import Workload
from studies.peers.default_qubit import torch_step

REQUIRES = ("pyqtorch",)
DTYPES = ("float32", "float64")


def build(workload: Workload):
    """`QuantumCircuit.run` and inner products; RXX and RYY as H, S, CNOT and RZ, which it has."""
    import pyqtorch as pyq

    kind = torch.complex128 if workload.dtype == "float64" else torch.complex64
    fixed = {"h": pyq.H, "s": pyq.S, "sdg": pyq.SDagger, "cx": pyq.CNOT}
    turns = {"rx": pyq.RX, "ry": pyq.RY, "rz": pyq.RZ, "crx": pyq.CRX}
    operations = []
    for gate in workload.decomposed():
        if gate.source:
            operations.append(turns[gate.name](*gate.qubits, f"{gate.source}{gate.place}"))
        else:
            operations.append(fixed[gate.name](*gate.qubits))
    circuit = pyq.QuantumCircuit(workload.n_qubits, operations).to(kind)

    def word(letters, qubits):
        factors = [getattr(pyq, letter)(q) for letter, q in zip(letters, qubits)]
        return factors[0] if len(factors) == 1 else pyq.Sequence(factors)

    observables = [
        pyq.Observable([pyq.Add([word(*term) for term in terms])] if len(terms) > 1 else [word(*terms[0])]).to(kind)
        for terms in workload.observables
    ]

    def expectations(x, w):
        values = {f"x{i}": x[..., i] for i in range(x.shape[-1])} | {f"w{j}": w[..., j] for j in range(w.shape[-1])}
        state = circuit.run(state=circuit.init_state(workload.batch), values=values)
        return torch.stack([pyq.inner_prod(state, ob(state, values={})).real for ob in observables], dim=1)

    return torch_step(workload, expectations)
