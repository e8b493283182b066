"""McClean's study in PennyLane, written as well as it goes, beside ours: seconds for all derivatives of one sample.

default.qubit differentiates a batch by backpropagation where its intermediate states fit, with RX, RY and RZ at every site
as ours has them; else, as lightning.qubit's adjoint always does, it takes one sample after another, each a circuit of its
own with one rotation at every site.
"""

import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from studies.mcclean import angles, derivatives

MOST_BYTES = 2 << 30  # of states that backpropagation keeps
COPIES = 3  # of a state that it keeps for each gate
TOLERANCE = 1e-6  # lightning.qubit rounds its derivatives to about 1e-8
DEVICES = ("default.qubit", "lightning.qubit")


def compared(n_qubits: int, samples: int, n_layers: int, rounds: int, budget: float) -> list[dict]:
    """One row for ours and one for each device: the median seconds a sample, in turns, and how many times ours it is."""
    everything = range(samples)
    ours = derivatives(1, "random", n_qubits, n_layers, everything)  # the first call plans and compiles
    rows = [{"name": "hybrid_qml_lab", "status": "right", "step": _seconds(lambda: _ours(n_qubits, n_layers, everything))}]
    for device in DEVICES:
        rows.append({"name": f"pennylane {device}", **_row(device, ours, everything, rounds, budget)})
    rows[0]["step"] = median([rows[0]["step"], *(row["ours"] for row in rows[1:] if "ours" in row)])
    return [{**row, "step": row["step"] / samples} if row["name"] == "hybrid_qml_lab" else row for row in rows]


def _ours(n_qubits: int, n_layers: int, samples: range) -> np.ndarray:
    return derivatives(1, "random", n_qubits, n_layers, samples)


def _row(device: str, ours: np.ndarray, samples: range, rounds: int, budget: float) -> dict:
    _, n_layers, n_qubits = ours.shape
    try:
        step, count = _step(device, n_qubits, n_layers, len(samples))
        found = step()
    except ImportError as error:
        return {"status": f"not installed: {error.name}"}
    except Exception as error:  # whatever a peer raises is a finding about it, not an end of the study
        return {"status": f"raised {type(error).__name__}: {str(error)[:100]}"}
    if np.abs(found - ours[:count]).max() > TOLERANCE:
        return {"status": "wrong: derivatives"}
    pairs, until = [], time.perf_counter() + budget
    while len(pairs) < rounds and (not pairs or time.perf_counter() < until):
        own = _seconds(lambda: _ours(n_qubits, n_layers, samples))
        pairs.append((own, _seconds(step)))
    return {
        "status": "right",
        "at_once": count,
        "step": median(theirs for _, theirs in pairs) / count,
        "ours": median(own for own, _ in pairs),
        "ratio": median((theirs / count) / (own / len(samples)) for own, theirs in pairs),
        "pairs": len(pairs),
    }


def _seconds(work: Callable) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _step(device: str, n_qubits: int, n_layers: int, samples: int) -> tuple[Callable[[], np.ndarray], int]:
    """A function that returns (count, n_layers, n_qubits) derivatives, and its count of samples."""
    kept = COPIES * 3 * n_qubits * n_layers * (16 << n_qubits)
    count = min(samples, MOST_BYTES // kept) if device == "default.qubit" else 0
    if count > 1:
        return _batched(n_qubits, n_layers, count), count
    method = "adjoint" if device == "lightning.qubit" else "backprop"
    return _one_by_one(device, method, n_qubits, n_layers), 1


def _batched(n_qubits: int, n_layers: int, count: int) -> Callable[[], np.ndarray]:
    import pennylane as qp
    import torch

    draws = [angles(1, "random", n_qubits, n_layers, sample) for sample in range(count)]
    axes, turns = (np.stack(values).reshape(count, n_layers, n_qubits) for values in zip(*draws))
    sites = np.zeros((count, n_layers, n_qubits, 3))
    np.put_along_axis(sites, axes[..., None], turns[..., None], axis=-1)

    @qp.qnode(qp.device("default.qubit", wires=n_qubits), interface="torch", diff_method="backprop")
    def circuit(weights):
        _start(qp, n_qubits)
        for layer in range(n_layers):
            for qubit in range(n_qubits):
                for axis, kind in enumerate((qp.RX, qp.RY, qp.RZ)):
                    kind(weights[:, layer, qubit, axis], wires=qubit)
            _ladder(qp, n_qubits)
        return qp.expval(qp.PauliZ(0) @ qp.PauliZ(1))

    def step() -> np.ndarray:
        weights = torch.tensor(sites, requires_grad=True)
        circuit(weights).sum().backward()
        return np.take_along_axis(weights.grad.numpy(), axes[..., None], axis=-1)[..., 0]

    return step


def _one_by_one(device: str, method: str, n_qubits: int, n_layers: int) -> Callable[[], np.ndarray]:
    import pennylane as qp
    import torch

    drawn, turns = angles(1, "random", n_qubits, n_layers, 0)
    kinds = [(qp.RX, qp.RY, qp.RZ)[axis] for axis in drawn]

    @qp.qnode(qp.device(device, wires=n_qubits), interface="torch", diff_method=method)
    def circuit(weights):
        _start(qp, n_qubits)
        for layer in range(n_layers):
            for qubit in range(n_qubits):
                site = layer * n_qubits + qubit
                kinds[site](weights[site], wires=qubit)
            _ladder(qp, n_qubits)
        return qp.expval(qp.PauliZ(0) @ qp.PauliZ(1))

    def step() -> np.ndarray:
        weights = torch.tensor(turns, requires_grad=True)
        circuit(weights).backward()
        return weights.grad.numpy().reshape(1, n_layers, n_qubits)

    return step


def _start(qp, n_qubits: int) -> None:
    for qubit in range(n_qubits):
        qp.RY(math.pi / 4, wires=qubit)


def _ladder(qp, n_qubits: int) -> None:
    for qubit in range(n_qubits - 1):
        qp.CZ(wires=[qubit, qubit + 1])
