"""`qp.device("qml.aer")`: Qiskit Aer, with the lab's adjoint gradients in two runs for a whole batch."""

from pathlib import Path

import numpy as np

from qml.backends.base import Backend, resolve
from qml.pennylane_devices.base import LabDevice, finished


@finished
class AerDevice(LabDevice):
    """Qiskit Aer's state-vector simulator.

    Args:
        device: "CPU" or "GPU".
        options: of `qiskit_aer.AerSimulator`, such as `max_parallel_threads`.
    """

    name = "qml.aer"
    config_filepath = Path(__file__).with_suffix(".toml")

    def __init__(self, wires=None, shots=None, seed=None, c_dtype=np.complex128, device: str = "CPU", **options) -> None:
        self._options = {"device": device, **options}
        super().__init__(wires, shots, seed, c_dtype)

    def _made_backend(self) -> Backend:
        return resolve("aer", **self._options)

    def _states(self, compiled, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if weights.ndim == 1:
            return np.concatenate(compiled.forward(inputs, weights)[1])
        rows = [compiled.forward(inputs[[j]], weights[j])[1][0] for j in range(len(inputs))]
        return np.concatenate(rows)


DEVICE = AerDevice
