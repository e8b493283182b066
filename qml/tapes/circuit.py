"""All tapes of one structure as one program: from their numbers to its angles, and from its derivatives to theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pennylane as qp
from qiskit.circuit import ParameterExpression, ParameterVector
from scipy.linalg import hadamard

from circuits.errors import Unsupported
from circuits.expressions import analyse
from circuits.interop import is_angled, parametric_circuit, places_of_wires
from circuits.lowering import lower
from circuits.program import Program, Rotation
from qml.backends.base import Backend, Compiled, Slots
from qml.tapes.readings import reading
from qml.tapes.structure import Numbers, begins_with_a_state

MOST_COMPLEX = 12  # wires of a complex state, whose phases are found with a matrix of 4^n signs


class TapeCircuit:
    """A tape's structure, compiled by a backend.

    Its columns are numbers that a tape gives: amplitudes of all basis states, then phases of the initial state, then the
    angles in the order of the operations' data. Slots are affine in columns.

    Args:
        backend: compiles it. tape, given: one of the tapes. wires: its wires, in the order of the qubits.

    Attributes:
        readings: of each measurement, or None for one that is computed from the state.
        columns_of: of each parameter of the tape: its angle's number, "state", or None for a constant.
    """

    def __init__(self, backend: Backend, tape: qp.tape.QuantumScript, given: Numbers, wires: Sequence):
        self.wires = qp.wires.Wires(wires)
        self.qubit_of = {wire: qubit for qubit, wire in enumerate(wires)}
        self.n_qubits = max(1, len(wires))
        has_state = begins_with_a_state(tape)
        operations = tape.operations[has_state:]
        circuit, angles = parametric_circuit(operations, self.qubit_of)
        prefix = self._prefix(tape.operations[0], given) if has_state else []
        self.program, columns = self._joined(lower(circuit), prefix, angles)
        self.n_columns = len(columns)
        free = [phase for phase in self.program.phases if isinstance(phase, ParameterExpression)]
        self._phase = sum(phase for phase in self.program.phases if not isinstance(phase, ParameterExpression))
        self._phases = analyse(free, columns)
        self._divide(given, columns)
        self.columns_of = ["state"] if has_state else []
        place = iter(range(len(angles)))
        self.columns_of += [next(place) if is_angled(op) else None for op in operations for _ in op.data]
        self.columns_of += [None for m in tape.measurements if m.obs is not None for _ in m.obs.data]
        self.readings = [] if tape.shots else [reading(m, self.qubit_of) for m in tape.measurements]
        read = [r for r in self.readings if r is not None]
        observables = [observable for r in read for observable in r.observables]
        self.compiled: Compiled = backend.compile(self.program, observables, self.slots)

    # --- the program --------------------------------------------------------------------------------------------------

    def _prefix(self, preparation: qp.StatePrep, given: Numbers) -> list[Rotation]:
        """The phases of complex amplitudes, as rotations about products of Z; their slots count from 0."""
        qubits = [self.qubit_of[w] for w in preparation.wires]
        self._state_places = places_of_wires(qubits)
        if not given.is_complex:
            return []
        if len(qubits) > MOST_COMPLEX:
            raise Unsupported(
                f"a complex state of {len(qubits)} wires takes 4^n numbers here, and {MOST_COMPLEX} are the most: prepare "
                "it by gates, or on default.qubit"
            )
        self._walsh = hadamard(len(self._state_places))
        subsets = range(1, len(self._state_places))  # bit j of a subset, as of a word, is the j-th last wire
        words = [[q for j, q in enumerate(reversed(qubits)) if subset >> j & 1] for subset in subsets]
        return [Rotation("Z" * len(word), tuple(word), slot=slot) for slot, word in enumerate(words)]

    def _joined(self, program: Program, prefix: list[Rotation], angles) -> tuple[Program, list]:
        """The program with its initial state, and the columns."""
        if not hasattr(self, "_state_places"):
            return program, list(angles)
        amplitudes = list(ParameterVector("a", 1 << self.n_qubits))
        phases = list(ParameterVector("p", len(prefix)))
        shift = len(amplitudes) + len(prefix)
        gates = [_moved(gate, len(amplitudes)) for gate in prefix] + [_moved(gate, shift) for gate in program.gates]
        slots = (*amplitudes, *phases, *program.slots)
        joined = Program(self.n_qubits, tuple(gates), slots, tuple(range(len(amplitudes))), (), program.phases)
        return joined, [*amplitudes, *phases, *angles]

    def _divide(self, given: Numbers, columns: list) -> None:
        """Which slots go with the samples, and the four matrices from columns to slots."""
        n_state = len(columns) - len(given.angles)
        self._varies = np.array([given.state is not None and given.state.ndim > 1] * n_state + [
            np.ndim(angle) > 0 for angle in given.angles
        ], bool)  # fmt: skip
        found = analyse(self.program.slots, columns)
        assert not found.places, "an operation's angles are affine in what it is given"
        matrix = found.matrix.tocsc()
        own = np.asarray(abs(matrix[:, self._varies]).sum(axis=1)).ravel() > 0
        own[list(self.program.amplitudes)] = True
        self.slots = Slots(tuple(np.flatnonzero(own).tolist()), tuple(np.flatnonzero(~own).tolist()))
        self._offsets = found.offset[own], found.offset[~own]
        self._of_inputs = matrix[:, self._varies][own], matrix[:, ~self._varies][own]
        self._of_weights = matrix[:, ~self._varies][~own]

    # --- numbers to angles --------------------------------------------------------------------------------------------

    def angles(self, several: Sequence[Numbers], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and weights of tapes, their samples one after another; weights are (n,) where there is one tape."""
        parts = [self._angles(given) for given in several]
        if len(parts) == 1:
            return tuple(part.astype(dtype) for part in parts[0])
        inputs = np.concatenate([part[0] for part in parts])
        weights = np.repeat([part[1] for part in parts], [len(part[0]) for part in parts], axis=0)
        return inputs.astype(dtype), weights.astype(dtype)

    def _angles(self, given: Numbers) -> tuple[np.ndarray, np.ndarray]:
        varying, shared = self._columns(given)
        of_inputs = (self._of_inputs[0] @ varying).T + self._of_inputs[1] @ shared + self._offsets[0]
        return of_inputs, self._of_weights @ shared + self._offsets[1]

    def _columns(self, given: Numbers) -> tuple[np.ndarray, np.ndarray]:
        """(n_varying, B) and (n_shared,)."""
        rows = given.rows
        state = self._state_columns(given)
        varying = [angle for angle in given.angles if np.ndim(angle)]
        shared = [angle for angle in given.angles if not np.ndim(angle)]
        varying = np.array(varying, float).reshape(len(varying), rows)
        shared = np.array(shared, float)
        if state is None:
            return varying, shared
        if state.ndim == 1:
            return varying, np.concatenate([state, shared])
        return np.concatenate([state.T, varying]), shared

    def _state_columns(self, given: Numbers) -> np.ndarray | None:
        """(..., 2^n + phases)."""
        if given.state is None:
            return None
        amplitudes = np.zeros((*given.state.shape[:-1], 1 << self.n_qubits))
        if not given.is_complex:
            amplitudes[..., self._state_places] = given.state.real
            return amplitudes
        amplitudes[..., self._state_places] = np.abs(given.state)
        turns = np.angle(given.state) @ self._walsh * (-2 / len(self._state_places))
        return np.concatenate([amplitudes, turns[..., 1:]], axis=-1)

    def global_phases(self, given: Numbers) -> np.ndarray:
        """(B,) factors that no gate of the program has."""
        rows = given.rows
        columns, (varying, shared) = np.empty((self.n_columns, rows)), self._columns(given)
        columns[self._varies], columns[~self._varies] = varying, shared[:, None]
        total = self._phase + (self._phases.matrix @ columns + self._phases.offset[:, None]).sum(axis=0)
        if given.is_complex:
            total = total - 2 * np.angle(given.state).mean(axis=-1)
        return np.broadcast_to(np.exp(-0.5j * total), rows)

    # --- derivatives back ---------------------------------------------------------------------------------------------

    def derivatives(self, d_inputs: np.ndarray, d_weights: np.ndarray, given: Numbers) -> Iterator[np.ndarray]:
        """By every parameter of one tape, in its shape, from those by its angles; None for a constant.

        Args:
            d_weights: (n,), summed over samples, or (B, n).
        """
        of_weights = d_weights if d_weights.ndim == 1 else d_weights.sum(axis=0)
        varying = self._of_inputs[0].T @ d_inputs.T
        shared = self._of_inputs[1].T @ d_inputs.sum(axis=0) + self._of_weights.T @ of_weights
        n_state = self.n_columns - len(given.angles)
        places = np.where(self._varies, np.cumsum(self._varies), np.cumsum(~self._varies)) - 1
        for column in self.columns_of:
            if column is None:
                yield None
            elif column == "state":
                of_state = varying[:n_state].T if self._varies[0] else shared[:n_state]
                yield of_state[..., self._state_places]
            else:
                column += n_state
                yield varying[places[column]] if self._varies[column] else shared[places[column]]

    @cached_property
    def spans(self) -> list[slice | None]:
        """Of each measurement: the columns of its expectation values."""
        found, start = [], 0
        for one in self.readings:
            size = 0 if one is None else len(one.observables)
            found.append(slice(start, start + size) if size else None)
            start += size
        return found


def _moved(gate, by: int):
    """The gate with its slot counted from further up."""
    return replace(gate, slot=gate.slot + by) if isinstance(gate, Rotation) and gate.slot is not None else gate
