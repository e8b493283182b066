"""Qulacs' ParametricQuantumCircuit with its own backpropagation in C++, sample by sample: it has no batches."""

import numpy as np

from studies.peers.base import Gate, Workload

REQUIRES = ("qulacs",)
DTYPES = ("float64",)


def build(workload: Workload):
    """A circuit for each sample; the observable is the cotangents' weighted sum."""
    import qulacs

    inputs, weights, cotangents = workload.numbers
    gates = _parametric(workload)
    single = {"rx": "add_parametric_RX_gate", "ry": "add_parametric_RY_gate", "rz": "add_parametric_RZ_gate"}

    def circuit(x, w):
        built = qulacs.ParametricQuantumCircuit(workload.n_qubits)
        for gate in gates:
            if not gate.source:
                getattr(built, {"cx": "add_CNOT_gate", "cz": "add_CZ_gate"}[gate.name])(*gate.qubits)
                continue
            angle = -gate.factor * float((x if gate.source == "x" else w)[gate.place])  # its rotations turn the other way
            if gate.name in single:
                getattr(built, single[gate.name])(gate.qubits[0], angle)
            else:
                letter = {"rxx": 1, "ryy": 2}[gate.name]
                built.add_parametric_multi_Pauli_rotation_gate(list(gate.qubits), [letter, letter], angle)
        return built

    observables = []
    for terms in workload.observables:
        observable = qulacs.Observable(workload.n_qubits)
        for letters, qubits in terms:
            observable.add_operator(1.0, " ".join(f"{letter} {q}" for letter, q in zip(letters, qubits)))
        observables.append(observable)
    turning = [gate for gate in gates if gate.source]

    def step():
        values = np.zeros((workload.batch, len(observables)))
        of_inputs, of_weights = np.zeros(inputs.shape), np.zeros(weights.shape)
        for b in range(workload.batch):
            w = weights[b] if workload.per_sample else weights
            built = circuit(inputs[b], w)
            state = qulacs.QuantumState(workload.n_qubits)
            built.update_quantum_state(state)
            values[b] = [observable.get_expectation_value(state) for observable in observables]
            whole = qulacs.Observable(workload.n_qubits)
            for weight, terms in zip(cotangents[b], workload.observables):
                for letters, qubits in terms:
                    whole.add_operator(float(weight), " ".join(f"{one} {q}" for one, q in zip(letters, qubits)))
            row = of_weights[b] if workload.per_sample else of_weights
            for gate, slope in zip(turning, built.backprop(whole)):
                target = of_inputs[b] if gate.source == "x" else row
                target[gate.place] -= gate.factor * slope
        return values, of_inputs, of_weights

    return step


def _parametric(workload: Workload) -> list[Gate]:
    """CRX as two half turns between CZs: it has no controlled gate with a parameter."""
    out: list[Gate] = []
    for gate in workload.gates:
        if gate.name != "crx":
            out.append(gate)
            continue
        target = (gate.qubits[1],)
        half = Gate("rx", target, gate.source, gate.place, 0.5)
        out += [half, Gate("cz", gate.qubits), Gate("rx", target, gate.source, gate.place, -0.5), Gate("cz", gate.qubits)]
    return out
