"""`qp.device("qml.native")`: the lab's own batched engine."""

from pathlib import Path

import numpy as np

from qml.backends.native import NativeBackend
from qml.native.plain import PlainEngine
from qml.pennylane_devices.base import LabDevice, finished


@finished
class NativeDevice(LabDevice):
    """The native engine; a whole batch is one call, forward and back."""

    name = "qml.native"
    config_filepath = Path(__file__).with_suffix(".toml")

    def _made_backend(self) -> NativeBackend:
        return NativeBackend()

    def _states(self, compiled, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return PlainEngine(compiled.program, []).states(compiled.slots.join(inputs, weights))


DEVICE = NativeDevice
