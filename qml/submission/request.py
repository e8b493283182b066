"""What is asked for: checked before anything is stored or run, and written as the job's row."""

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Measure
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError
from circuits.measurements import without_idle_bits, without_lookalikes
from circuits.observables import as_list
from qml.backends.base import Backend, check_shots, resolve
from qml.circuit_files import check_circuit
from qml.noise import as_dict, as_model, is_plain
from qml.store import now
from qml.submission import fingerprint
from qml.submission.objects import called, token, told
from qml.submission.owners import this_process
from qml.submission.packing import packed

PLAIN = (str, int, float, bool, dict, list, type(None))
LARGEST_SEED = 2**63 - 1  # what SQLite's integers hold


@dataclass(frozen=True)
class Prepared:
    """A circuit that runs, and the operators to estimate (None: counts)."""

    circuit: QuantumCircuit
    operators: list[SparsePauliOp] | None


@dataclass(frozen=True)
class Request:
    """Settings that all circuits of a submission share.

    Attributes:
        backend: ready to run. options: what it was given, as JSON holds it.
        objects: backend, device and noise that were given as objects, which no other process can make.
    """

    backend: Backend
    options: dict
    objects: tuple
    shots: int | None
    observables: Any
    time_limit: float | None

    @classmethod
    def of(cls, backend, shots, seed, observables, noise, time_limit, options: dict) -> "Request":
        """The settings once they are checked; LabError says what is wrong with them."""
        _check(shots, seed, observables)
        resolved = resolve(backend, noise=as_model(noise), **options)
        given = [backend, *options.values(), *([] if is_plain(noise) else [noise])]
        objects = tuple(value for value in given if not isinstance(value, PLAIN))
        shots = None if shots is None else int(shots)
        return cls(resolved, _described(options, noise), objects, shots, observables, checked_limit(time_limit))

    @property
    def is_named(self) -> bool:
        """Whether name and options are enough for another process to make the same backend."""
        return not self.objects

    @cached_property
    def _answering(self) -> tuple[list, list]:
        """What is said of the objects, and what tells them apart: once for all circuits."""
        return [told(thing) for thing in self.objects], [token(thing) for thing in self.objects]

    def prepared(self, circuit: Any) -> Prepared:
        """The circuit with measurements where it counts outcomes, without where it estimates."""
        if not isinstance(circuit, QuantumCircuit):
            raise LabError(f"a job is a qiskit QuantumCircuit, got {type(circuit).__name__}")
        check_circuit(circuit, f"circuit {circuit.name!r}")
        circuit = without_lookalikes(circuit)
        if self.observables is None:
            return Prepared(circuit if _measures(circuit) else _measured(circuit), None)
        operators = as_list(self.observables, circuit.num_qubits)
        return Prepared(circuit.remove_final_measurements(inplace=False), operators)

    def record(self, prepared: Prepared, seed: int) -> dict:
        """The row of a new job."""
        circuit = prepared.circuit
        texts = None if prepared.operators is None else [_text(operator) for operator in prepared.operators]
        name, asked = self.backend.name, fingerprint.of_circuit(circuit)
        return {
            "id": secrets.token_hex(6),
            "created": now(),
            "state": "queued",
            "name": circuit.name,
            "n_qubits": circuit.num_qubits,
            "backend": name,
            "options": self.options,
            "shots": self.shots,
            "seed": seed,
            "observables": texts,
            "circuit": packed(circuit),
            "owner": this_process(),
            "fingerprint": fingerprint.of_request(asked, name, self.options, self.shots, texts, *self._answering),
            "time_limit": self.time_limit,
            "named": int(self.is_named),
        }


def drawn_seed() -> int:
    """A seed of 31 bits, drawn from the system's randomness."""
    return int(np.random.SeedSequence().generate_state(1)[0] >> 1)


def seed_of(seed: int, number: int) -> int:
    """The seed of one circuit of a list: 31 bits, which every simulator takes; of a million, some 230 pairs are alike."""
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0] >> 1)


def checked_limit(seconds: Any) -> float | None:
    """The time limit, once it is one."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number and 0 < seconds < float("inf")):
        raise LabError(f"timeout must be a number of seconds above 0, or None for no limit, got {seconds!r}")
    return None if seconds is None else float(seconds)


def _check(shots: Any, seed: Any, observables: Any) -> None:
    if shots is None and observables is None:
        raise LabError("shots=None means exact expectation values: give observables, or a number of shots for counts")
    if shots is not None:
        check_shots(shots)
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if seed is not None and not (whole and 0 <= seed <= LARGEST_SEED):
        raise LabError(f"seed must be a whole number from 0 to 2^63 - 1, or None to draw one, got {seed!r}")


def _described(options: dict, noise: Any) -> dict:
    noise = as_dict(noise) if is_plain(noise) else noise
    given = {key: value for key, value in {**options, "noise": noise}.items() if value is not None}
    return {key: value if isinstance(value, PLAIN) else called(value) for key, value in given.items()}


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    """A copy with every qubit measured at its end."""
    # Classical bits that nothing was measured into would only pad every outcome with zeros.
    return without_idle_bits(circuit).measure_all(inplace=False)


def _measures(circuit: QuantumCircuit) -> bool:
    for operation in (instruction.operation for instruction in circuit.data):
        if isinstance(operation, Measure):
            return True
        inside = operation.blocks if isinstance(operation, ControlFlowOp) else [getattr(operation, "definition", None)]
        # A gate is unitary: looking into its definition would find nothing, slowly.
        if operation.num_clbits and any(block is not None and _measures(block) for block in inside):
            return True
    return False


def _text(operator: SparsePauliOp) -> str:
    """The sum as `circuits.observables.parse` reads it, every coefficient exact."""
    words = []
    for label, coefficient in zip(operator.paulis.to_labels(), operator.coeffs.real.tolist()):
        size = "" if abs(coefficient) == 1 else f"{abs(coefficient)!r}*"
        words.append(f"{'-' if coefficient < 0 else '+'} {size}{label}")
    return " ".join(words).removeprefix("+ ")
