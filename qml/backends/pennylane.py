"""Any PennyLane device, by name or as an object: exact values and shots; derivatives by shift rules."""

from typing import Any

import numpy as np

from circuits.errors import LabError, Unsupported
from qml.backends.base import Backend, Compiled, Slots, check_memory, random_generators


class PennyLaneCircuit(Compiled):
    """A program as one PennyLane tape per row of angles."""

    def _tapes(self, inputs: np.ndarray, weights: np.ndarray, measurements: list, shots: int | None = None):
        import pennylane as qp

        from circuits.interop import operation, state_preparation

        check_memory(32 << self.program.n_qubits, f"simulating {self.program.n_qubits} qubits on PennyLane")
        angles = self.slots.join(inputs, weights).astype(float)
        tapes, norms = [], np.ones(len(inputs))
        for row in range(len(inputs)):
            operations = []
            if self.program.amplitudes:
                start = angles[list(self.program.amplitudes), row]
                norms[row] = np.linalg.norm(start)
                operations.append(state_preparation(start / norms[row], self.program.n_qubits))
            operations += [operation(gate, angles[:, row]) for gate in self.program.gates]
            tapes.append(qp.tape.QuantumScript(operations, measurements, shots=shots))
        return tapes, norms

    def _run(self, tapes: list) -> tuple:
        import pennylane as qp

        return qp.execute(tapes, self.backend.device_for(self.program.n_qubits), diff_method=None)

    def _expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        import pennylane as qp

        from circuits.interop import pennylane_observable

        measurements = [qp.expval(pennylane_observable(operator)) for operator in self.observables]
        tapes, norms = self._tapes(inputs, weights, measurements)
        values = np.array(self._run(tapes), dtype=float).reshape(len(inputs), len(self.observables))
        return (values * norms[:, None] ** 2).astype(weights.dtype)

    def _probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        import pennylane as qp

        from circuits.interop import probability_wires

        tapes, _ = self._tapes(inputs, weights, [qp.probs(wires=probability_wires(self.program.n_qubits))])
        return np.array(self._run(tapes), dtype=float).reshape(len(inputs), -1).astype(weights.dtype)

    def _sample(self, inputs, weights, shots, seed) -> np.ndarray:
        """Drawn from the device's exact probabilities, since several devices ignore a seed (lightning#987)."""
        outcomes = []
        for row, generator in zip(self._probabilities(inputs, weights), random_generators(seed, len(inputs))):
            row = np.cumsum(row.astype(float))
            outcomes.append(np.searchsorted(row, generator.random(shots) * row[-1], side="right"))
        return np.stack(outcomes).astype(np.int64)


class PennyLaneBackend(Backend):
    """Runs on a PennyLane device, which is given a circuit's gates as they are lowered: noise by gates' names misses them.

    Args:
        device: a device's name, such as "lightning.qubit" or "default.qubit", or a device object.
        options: of `qp.device`.
    """

    name = "pennylane"
    requires = ("pennylane", "pip install pennylane")
    summary = "any PennyLane device, lightning.qubit unless another is named"

    def __init__(self, device: Any = "lightning.qubit", **options):
        self.device, self._options = device, options
        if isinstance(device, str):
            self._check_name(device)
        elif options:
            raise LabError(f"a PennyLane device keeps its own options, got {', '.join(options)}: give it to qp.device")

    def _check_name(self, device: str) -> None:
        import pennylane as qp

        try:
            qp.device(device, wires=1, **self._options)
        except Exception as error:
            raise LabError(
                f"PennyLane has no device {device!r} that works here ({' '.join(str(error).split())[:120]}): "
                "try 'lightning.qubit' or 'default.qubit'"
            ) from None

    def device_for(self, n_qubits: int):
        """The PennyLane device with wires 0 to n_qubits - 1."""
        import pennylane as qp

        if isinstance(self.device, str):
            return qp.device(self.device, wires=n_qubits, **self._options)
        wires = self.device.wires
        if wires and not set(range(n_qubits)) <= set(wires.tolist()):
            raise Unsupported(
                f"the PennyLane device has wires {wires.tolist()}, the circuit needs 0 to {n_qubits - 1}: "
                "make the device with wires=n_qubits"
            )
        return self.device

    def compile(self, program, observables, slots=None) -> PennyLaneCircuit:
        return PennyLaneCircuit(self, program, observables, slots or Slots((), tuple(range(len(program.slots)))))


def adopt(candidate, **options) -> PennyLaneBackend | None:
    """The backend around a PennyLane device, or None for anything else."""
    names = {cls.__module__.split(".")[0] for cls in type(candidate).__mro__}
    return PennyLaneBackend(candidate, **options) if "pennylane" in names else None


BACKEND = PennyLaneBackend
