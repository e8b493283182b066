"""PennyLane QNodes as layers, by the convention of `pennylane.qnn.TorchLayer`."""

from collections.abc import Mapping
from typing import Any

from circuits.errors import LabError


def layer_from_qnode(cls, qnode, weight_shapes: Mapping[str, Any], options: dict[str, Any]):
    """The `QuantumLayer` that computes what the QNode returns; the QNode's device is not used.

    Args:
        qnode: its argument `inputs` is the input, every other one a weight under its own name.
        options: of `QuantumLayer`, and `n_inputs` where the number of features cannot be seen from the code. Shots are those
            of the QNode unless others are given.
    """
    from circuits.interop import circuit_of_qnode

    if not hasattr(qnode, "func") or not hasattr(qnode, "device"):
        raise LabError(f"from_qnode needs a PennyLane QNode, got {type(qnode).__name__}: decorate it with @qp.qnode")
    n_inputs = options.pop("n_inputs", None)
    if shots := getattr(getattr(qnode, "shots", None), "total_shots", None):
        options.setdefault("shots", shots)
    circuit, observables, inputs, weights = circuit_of_qnode(qnode, weight_shapes, n_inputs)
    return cls(circuit, observables, inputs=inputs, weights=weights, weight_shapes=weight_shapes, **options)
