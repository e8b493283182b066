"""A state vector written out in torch as an expert would, on the device, the whole batch at once, backpropagation."""

import torch

from studies.gpu_peers.base import torch_step
from studies.peers.base import Workload

REQUIRES = ()
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = True
MOST_QUBITS = 30


def build(workload: Workload, device: torch.device):
    """Matrices of two rows and columns on an axis of two, one axis a qubit."""
    n, kind = workload.n_qubits, torch.complex128 if workload.dtype == "float64" else torch.complex64

    def on_one(state, matrix, qubit):
        """Matrix (2, 2) or one for each sample (B, 2, 2)."""
        shape = state.shape
        parts = state.reshape(shape[0], 1 << (n - 1 - qubit), 2, 1 << qubit)
        return torch.einsum("bij,bajc->baic", matrix.expand(shape[0], 2, 2), parts).reshape(shape)

    def rotation(name, angle):
        c, s = torch.cos(angle / 2).to(kind), torch.sin(angle / 2).to(kind)
        if name == "rx":
            rows = (c, -1j * s, -1j * s, c)
        elif name == "ry":
            rows = (c, -s, s, c)
        else:
            rows = (c - 1j * s, 0 * s, 0 * s, c + 1j * s)
        return torch.stack(rows, dim=-1).reshape(-1, 2, 2)

    index = torch.arange(1 << n, device=device)

    def bit(qubit):
        return index >> qubit & 1

    def on_string(state, letters, qubits):
        """A Pauli string of X and Z, or of Y, on the state."""
        flip = sum(1 << q for letter, q in zip(letters, qubits) if letter in "XY")
        sign = sum((bit(q) for letter, q in zip(letters, qubits) if letter in "ZY"), start=0 * index)
        factor = (-1j) ** letters.count("Y") * (1 - 2 * (sign % 2)).to(kind)  # of the row that is reached
        return state[:, index ^ flip] * factor

    def apply(state, gate, angle):
        if gate.name == "cx":
            control, target = gate.qubits
            return state[:, index ^ (bit(control) << target)]
        if gate.name == "crx":
            turned = on_one(state, rotation("rx", angle), gate.qubits[1])
            return torch.where(bit(gate.qubits[0]) == 1, turned, state)
        if gate.name in ("rxx", "ryy"):
            c, s = torch.cos(angle / 2).to(kind), torch.sin(angle / 2).to(kind)
            other = on_string(state, gate.name[1:].upper(), gate.qubits)
            return c.reshape(-1, 1) * state - 1j * s.reshape(-1, 1) * other
        return on_one(state, rotation(gate.name, angle), gate.qubits[0])

    def expectations(inputs, weights):
        state = torch.zeros(len(inputs), 1 << n, dtype=kind, device=device)
        state[:, 0] = 1
        for gate in workload.gates:
            angle = {"x": inputs, "w": weights}[gate.source][..., gate.place] * gate.factor if gate.source else None
            state = apply(state, gate, angle)
        sums = [sum(on_string(state, *term) for term in terms) for terms in workload.observables]
        return torch.stack([(state.conj() * one).sum(dim=1).real for one in sums], dim=1)

    return torch_step(workload, device, expectations)
