"""An unchanged PennyLane model, Linear, TorchLayer, Linear, on our device and on PennyLane's own: seconds of a step.

The name of the device is all that differs: `diff_method` is left to PennyLane, which takes adjoint on ours and on
lightning.qubit, and backpropagation on default.qubit. The circuit is AngleEmbedding and StronglyEntanglingLayers.
"""

import importlib.util
import time
from collections.abc import Callable
from statistics import median

import numpy as np

OURS = "hybrid_qml_lab"
DEVICE = "qml.native"
PEERS = ("lightning.qubit", "default.qubit")
FEATURES, CLASSES = 10, 2
REST = 0.05  # seconds in which the other framework's threads stop spinning
TOLERANCE = 1e-5  # a TorchLayer's weights are float32


def compared(n_qubits: int, batch: int, n_layers: int, rounds: int, budget: float) -> list[dict]:
    """One row for ours and one for each device: the median seconds of a step, in turns, and how many times ours it is."""
    ours = step(DEVICE, n_qubits, batch, n_layers)
    found = ours()  # the first call plans and compiles
    rows, size = [{"name": OURS, "status": "right", "step": _seconds(ours)}], (n_qubits, batch, n_layers)
    for device in PEERS:
        rows.append({"name": f"pennylane {device}", **_row(device, ours, found, size, rounds, budget)})
    rows[0]["step"] = median([rows[0]["step"], *(row["ours"] for row in rows[1:] if "ours" in row)])
    return rows


def _row(device: str, ours: Callable, reference: np.ndarray, size: tuple, rounds: int, budget: float) -> dict:
    if device.startswith("lightning") and importlib.util.find_spec("pennylane_lightning") is None:
        return {"status": "not installed: pennylane_lightning"}
    try:
        theirs = step(device, *size)
        found = theirs()
    except Exception as error:  # whatever a peer raises is a finding about it, not an end of the study
        return {"status": f"raised {type(error).__name__}: {str(error)[:100]}"}
    if np.abs(found - reference).max() > TOLERANCE:
        return {"status": "wrong: gradients"}
    pairs, until = [], time.perf_counter() + budget
    while len(pairs) < rounds and (not pairs or time.perf_counter() < until):
        pairs.append((_seconds(ours), _seconds(theirs)))
    return {
        "status": "right",
        "step": median(their for _, their in pairs),
        "ours": median(own for own, _ in pairs),
        "ratio": median(their / own for own, their in pairs),
        "pairs": len(pairs),
    }


def _seconds(work: Callable) -> float:
    """Of one call, after a rest and a call that finds caches cold, unless that one is long."""
    time.sleep(REST)
    for _ in range(2):
        started = time.perf_counter()
        work()
        spent = time.perf_counter() - started
        if spent > 1.0:
            break
    return spent


def step(device: str, n_qubits: int, batch: int, n_layers: int) -> Callable[[], np.ndarray]:
    """Forward and backward of the model on that device; it returns all gradients, one after another."""
    import pennylane as qp
    import torch

    wires = range(n_qubits)

    @qp.qnode(qp.device(device, wires=n_qubits))
    def circuit(inputs, weights):
        qp.AngleEmbedding(inputs, wires=wires)
        qp.StronglyEntanglingLayers(weights, wires=wires)
        return [qp.expval(qp.PauliZ(wire)) for wire in wires]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2026)
        layer = qp.qnn.TorchLayer(circuit, {"weights": (n_layers, n_qubits, 3)})
        model = torch.nn.Sequential(torch.nn.Linear(FEATURES, n_qubits), layer, torch.nn.Linear(n_qubits, CLASSES))
        inputs, labels = torch.rand(batch, FEATURES), torch.randint(CLASSES, (batch,))

    def work() -> np.ndarray:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        return torch.cat([parameter.grad.ravel() for parameter in model.parameters()]).numpy()

    return work
