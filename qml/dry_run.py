"""What a submission to a device would send: circuits in its gates, on its qubits, and how long they would hold it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from circuits.errors import Unsupported
from circuits.lowering import lower
from circuits.observables import as_list
from qml.backends.base import check_bound, check_shots, resolve
from qml.backends.qiskit import QiskitBackend
from qml.submission.sweep import Sweep
from qml.wording import counted

NOTE = "nothing was sent"


@dataclass(frozen=True)
class Sent:
    """One circuit as the device would get it.

    Attributes:
        name: of the circuit it was made of, with the measured basis where observables are estimated.
        qubits: of the device, in the order of the circuit's own.
        gates: how many of each.
        depth, two_qubit_gates: of the transpiled circuit.
        shots: runs.
        seconds: of all shots, by the device's gate times, without the pauses between shots; None where it tells no times.
    """

    name: str
    qubits: list[int]
    gates: dict[str, int]
    depth: int
    two_qubit_gates: int
    shots: int
    seconds: float | None


@dataclass(frozen=True)
class DryRun:
    """A submission that was prepared and not sent."""

    backend: str
    n_qubits: int
    primitive: str
    circuits: list[Sent]
    shots: int
    seconds: float | None
    note: str = NOTE

    def as_dict(self) -> dict:
        """As JSON holds it."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.primitive} on {self.backend} ({self.n_qubits} qubits): {self.note}"]
        for sent in self.circuits:
            gates = ", ".join(f"{number} {name}" for name, number in sorted(sent.gates.items()))
            lines.append(
                f"  {sent.name}: qubits {' '.join(map(str, sent.qubits))}; {gates}; depth {sent.depth}, "
                f"{sent.two_qubit_gates} on two qubits; {counted(sent.shots, 'shot')}{_seconds(sent.seconds)}"
            )
        lines.append(
            f"in all {counted(len(self.circuits), 'circuit')}, {counted(self.shots, 'shot')}{_seconds(self.seconds)}"
        )
        return "\n".join(lines)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f", {seconds:.3g} s of gates and readout"


def dry_run(circuits: Sequence[QuantumCircuit], backend: QiskitBackend, shots: int | None, observables=None) -> DryRun:
    """What `qml.submit` would send for these circuits, without sending it.

    Args:
        circuits: no free parameters; one that measures nothing is measured on all its qubits.
        backend: with a device.

    Raises:
        Unsupported: the backend has no device to transpile to.
        LabError: what is wrong with a circuit, the shots or the observables.
    """
    if shots is None:
        raise Unsupported("a device has no exact values: leave --exact out, and give a number of shots")
    check_shots(shots)
    if not isinstance(backend, QiskitBackend) or backend.target_backend is None:
        raise Unsupported("a dry run tells what a device would get: name one, --backend qiskit --device fake_manila")
    if not backend.samples:
        raise Unsupported("an estimator chooses its own measurements: a dry run needs a backend or a sampler")
    target = backend.target_backend
    sent = [
        _sent(name, ready, shots, target)
        for circuit in circuits
        for name, ready in _prepared(circuit, backend, observables)
    ]  # fmt: skip
    times = [item.seconds for item in sent]
    return DryRun(
        backend=target.name,
        n_qubits=target.num_qubits,
        primitive=_primitive(backend),
        circuits=sent,
        shots=sum(item.shots for item in sent),
        seconds=None if None in times else sum(times),
    )


def _prepared(circuit: QuantumCircuit, backend: QiskitBackend, observables) -> Iterator[tuple[str, QuantumCircuit]]:
    check_bound(circuit)
    if observables is None:
        measured = circuit if any(item.clbits for item in circuit.data) else circuit.measure_all(inplace=False)
        yield circuit.name, backend.transpiled(measured)
        return
    bare = circuit.remove_final_measurements(inplace=False)
    compiled = backend.compile(lower(bare), as_list(observables, bare.num_qubits))
    for basis, measuring in compiled.measured().circuits():
        yield f"{circuit.name} in basis {basis}", measuring.for_shots


def _sent(name: str, ready: QuantumCircuit, shots: int, target) -> Sent:
    layout = ready.layout.final_index_layout() if ready.layout else list(range(ready.num_qubits))
    try:
        seconds = ready.estimate_duration(target.target, unit="s") * shots
    except Exception:  # the target tells no duration of some gate
        seconds = None
    gates = {str(name): int(number) for name, number in ready.count_ops().items() if name != "barrier"}
    pairs = sum(len(item.qubits) == 2 for item in ready.data if item.name != "barrier")
    return Sent(name, [int(q) for q in layout], gates, ready.depth(), pairs, int(shots), seconds)


def _primitive(backend: QiskitBackend) -> str:
    kind = type(backend.sampler(np.random.SeedSequence(0)))
    return f"{kind.__module__.split('.sampler')[0]}.{kind.__qualname__}"


def print_dry_run(
    circuits: list[QuantumCircuit], values: Any, backend: str, options: dict, shots: int | None, observables, as_json: bool
) -> None:
    """`qml submit FILE... --dry-run`: the report, or one JSON document.

    Args:
        values: of a sweep of the only circuit, else None.
    """
    if values is not None:
        circuits = Sweep.of(circuits[0], values).circuits()
    report = dry_run(circuits, resolve(backend, **options), shots, observables)
    print(json.dumps(report.as_dict(), indent=2) if as_json else report)
