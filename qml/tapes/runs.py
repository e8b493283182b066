"""Many tapes at once: those of one structure are one run of a backend, whatever each is batched over."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pennylane as qp
from pennylane.devices.qubit import apply_operation

from circuits.errors import LabError
from circuits.interop import bits_of_wires, by_wires, marginal
from qml.backends.base import Backend, check_memory
from qml.seeds import child
from qml.tapes.circuit import TapeCircuit
from qml.tapes.readings import is_marginal
from qml.tapes.structure import Numbers, numbers, structure, wire_order

MOST_STRUCTURES = 128  # compiled circuits that are kept
MOST_RUNS = 4  # whose final states wait for a gradient
MOST_ROWS = 4096  # samples of one run, where it is several tapes


@dataclass
class Group:
    """Tapes of one structure, with their places among all.

    Attributes:
        starts: the first row of each tape, and one past the last row.
    """

    circuit: TapeCircuit
    places: list[int] = field(default_factory=list)
    tapes: list[qp.tape.QuantumScript] = field(default_factory=list)
    given: list[Numbers] = field(default_factory=list)

    @property
    def starts(self) -> np.ndarray:
        return np.cumsum([0, *(one.rows for one in self.given)])

    def each(self) -> Iterator[tuple[int, qp.tape.QuantumScript, Numbers, slice]]:
        """Place, tape, numbers and rows of each."""
        starts = self.starts
        for j, row in enumerate(zip(self.places, self.tapes, self.given)):
            yield *row, slice(starts[j], starts[j + 1])


class TapeRuns:
    """Runs tapes on a backend, and keeps what the next runs can use.

    Args:
        states: (B, 2^n) final states of a compiled circuit at some angles, up to the program's global phase.
        dtype: of angles and values.
    """

    def __init__(self, backend: Backend, states: Callable, wires: Sequence | None, dtype: np.dtype):
        self._backend, self._states, self._wires, self._dtype = backend, states, wires, np.dtype(dtype)
        self._circuits: OrderedDict = OrderedDict()
        self._kept: OrderedDict = OrderedDict()

    def _groups(self, tapes: Sequence[qp.tape.QuantumScript]) -> list[Group]:
        groups: dict = {}
        done = []
        for place, tape in enumerate(tapes):
            given = numbers(tape)
            shots = tape.shots.total_shots
            key = structure(tape, given), bool(shots)
            group = groups.get((key, shots))
            if group is not None and group.starts[-1] + given.rows > MOST_ROWS:
                done.append(groups.pop((key, shots)))
                group = None
            if group is None:
                group = groups[key, shots] = Group(self._circuit(key, tape, given))
            group.places.append(place)
            group.tapes.append(tape)
            group.given.append(given)
        return done + list(groups.values())

    def _circuit(self, key, tape: qp.tape.QuantumScript, given: Numbers) -> TapeCircuit:
        if key not in self._circuits:
            self._circuits[key] = TapeCircuit(self._backend, tape, given, wire_order(tape, self._wires))
            if len(self._circuits) > MOST_STRUCTURES:
                self._circuits.popitem(last=False)
        self._circuits.move_to_end(key)
        return self._circuits[key]

    def _angles(self, group: Group) -> tuple[np.ndarray, np.ndarray]:
        inputs, weights = group.circuit.angles(group.given, self._dtype)
        if not (np.isfinite(inputs).all() and np.isfinite(weights).all()):
            raise LabError("the circuit has an angle or amplitude that is NaN or infinite: clean the data before the QNode")
        return inputs, weights

    # --- values -------------------------------------------------------------------------------------------------------

    def execute(self, tapes: Sequence[qp.tape.QuantumScript], seed: np.random.SeedSequence, keep: bool) -> tuple:
        """The results of all tapes, in PennyLane's nesting.

        Args:
            keep: final states of tapes with trainable parameters, for `vjp`.
        """
        results = [None] * len(tapes)
        tapes = [measured_in_z(tape) if tape.shots else tape for tape in tapes]
        for number, group in enumerate(self._groups(tapes)):
            sampled = group.tapes[0].shots
            found = self._sampled(group, child(seed, number)) if sampled else self._exact(group, keep)
            for place, result in zip(group.places, found):
                results[place] = result
        return tuple(results)

    def _exact(self, group: Group, keep: bool) -> list:
        circuit, (inputs, weights) = group.circuit, self._angles(group)
        values = self._values(circuit, inputs, weights, keep and any(t.trainable_params for t in group.tapes))
        others = [m for m, one in zip(group.tapes[0].measurements, circuit.readings) if one is None]
        chances = states = None
        if others and not len(inputs):
            raise LabError("an empty batch has expectation values only: leave it out of the data")
        if any(is_marginal(m) for m in others):
            chances = circuit.compiled.probabilities(inputs, weights)
        if not all(is_marginal(m) for m in others):
            check_memory(32 * len(inputs) << circuit.n_qubits, f"{len(inputs)} state vectors of {circuit.n_qubits} qubits")
            states = self._states(circuit.compiled, inputs, weights)
        return [self._results(circuit, *each, values, chances, states) for _, *each in group.each()]

    def _results(self, circuit: TapeCircuit, tape, given: Numbers, rows: slice, values, chances, states):
        found = []
        for measurement, one, span in zip(tape.measurements, circuit.readings, circuit.spans):
            if one is not None:
                result = one.value(values[rows, span])
            elif is_marginal(measurement):
                result = marginal(chances[rows], [circuit.qubit_of[w] for w in measurement.wires or circuit.wires])
            else:
                found.append(self._of_state(circuit, measurement, given, states[rows]))
                continue
            found.append(result[0] if given.batch is None else result)
        return found[0] if len(found) == 1 else tuple(found)

    def _of_state(self, circuit: TapeCircuit, measurement, given: Numbers, states: np.ndarray):
        states = by_wires(states, range(circuit.n_qubits)) * circuit.global_phases(given)[:, None]
        for gate in measurement.diagonalizing_gates():
            table = states.reshape(-1, *[2] * circuit.n_qubits)
            states = apply_operation(gate.map_wires(circuit.qubit_of), table, is_state_batched=True).reshape(states.shape)
        return measurement.process_state(states[0] if given.batch is None else states, wire_order=circuit.wires)

    def _sampled(self, group: Group, seed: np.random.SeedSequence) -> list:
        circuit, shots = group.circuit, group.tapes[0].shots
        if not group.starts[-1]:
            raise LabError("an empty batch has no samples: leave it out of the data")
        outcomes = circuit.compiled.sample(*self._angles(group), shots.total_shots, seed)
        samples = bits_of_wires(outcomes, circuit.n_qubits)
        return [self._of_samples(circuit, tape, given, samples[rows]) for _, tape, given, rows in group.each()]

    def _of_samples(self, circuit: TapeCircuit, tape, given: Numbers, samples: np.ndarray):
        samples = samples[0] if given.batch is None else samples
        copies = []
        for first, last in tape.shots.bins():
            own = samples[..., first:last, :]
            found = tuple(m.process_samples(own, wire_order=circuit.wires) for m in tape.measurements)
            copies.append(found[0] if len(found) == 1 else found)
        return tuple(copies) if tape.shots.has_partitioned_shots else copies[0]

    def _values(self, circuit: TapeCircuit, inputs, weights, keep: bool) -> np.ndarray:
        """(B, K) expectation values, the run kept where it is to be."""
        if not any(circuit.spans) or not len(inputs):
            return np.zeros((len(inputs), len(circuit.compiled.observables)))
        if not keep:
            return circuit.compiled.expectations(inputs, weights)
        values, kept = circuit.compiled.forward(inputs, weights)
        self._kept[_address(circuit, inputs, weights)] = values, kept
        if len(self._kept) > MOST_RUNS:
            self._kept.popitem(last=False)
        return values

    # --- derivatives --------------------------------------------------------------------------------------------------

    def vjp(self, tapes: Sequence[qp.tape.QuantumScript], cotangents: Sequence) -> list[tuple[np.ndarray, ...]]:
        """Of each tape: derivatives of sum cotangents * results by its trainable parameters, in their shapes."""
        found = [()] * len(tapes)
        for group in self._groups(tapes):
            circuit, (inputs, weights) = group.circuit, self._angles(group)
            if not len(inputs):
                for place, tape, given, _ in group.each():
                    found[place] = _trainable(tape, circuit.derivatives(inputs, np.zeros_like(weights), given))
                continue
            kept = self._kept.pop(_address(circuit, inputs, weights), None)
            values, kept = kept or circuit.compiled.forward(inputs, weights)
            wanted = np.zeros_like(values)
            for place, _, _, rows in group.each():
                _add_cotangents(wanted[rows], circuit, cotangents[place], values[rows])
            d_inputs, d_weights = circuit.compiled.vjp(inputs, weights, wanted, kept)
            for place, tape, given, rows in group.each():
                own = d_weights if d_weights.ndim == 1 else d_weights[rows]
                found[place] = _trainable(tape, circuit.derivatives(d_inputs[rows], own, given))
        return found

    def jacobians(self, tapes: Sequence[qp.tape.QuantumScript]) -> list:
        """Of each tape, none of them batched: all results by all trainable parameters, nested as PennyLane's."""
        found = [None] * len(tapes)
        for group in self._groups(tapes):
            circuit, (inputs, weights) = group.circuit, self._angles(group)
            values = circuit.compiled.expectations(inputs, weights)
            weights = np.broadcast_to(weights, (len(inputs), weights.shape[-1]))
            shapes = [one.shape for one in circuit.readings]
            size = sum(int(np.prod(shape)) for shape in shapes)
            wanted = np.zeros((len(inputs), size, values.shape[1]), values.dtype)
            for row, part in enumerate(np.eye(size)):
                for j in range(len(inputs)):
                    _add_cotangents(wanted[j : j + 1, row], circuit, _nested(part, shapes), values[j : j + 1])
            repeated = (np.ascontiguousarray(np.repeat(part, size, axis=0)) for part in (inputs, weights))
            d_inputs, d_weights = circuit.compiled.vjp(*repeated, wanted.reshape(-1, values.shape[1]))
            for place, tape, given, rows in group.each():
                span = range(rows.start * size, rows.stop * size)
                parts = [_trainable(tape, circuit.derivatives(d_inputs[[r]], d_weights[[r]], given)) for r in span]
                found[place] = _jacobian(parts, shapes)
        return found


def _address(circuit: TapeCircuit, inputs: np.ndarray, weights: np.ndarray) -> tuple:
    return circuit, inputs.shape, weights.shape, inputs.tobytes(), weights.tobytes()


def _add_cotangents(wanted: np.ndarray, circuit: TapeCircuit, cotangents, values: np.ndarray) -> None:
    """Put what one tape's (B, K) expectation values weigh where its results weigh `cotangents`."""
    parts = [cotangents] if len(circuit.readings) == 1 else cotangents
    for part, one, span in zip(parts, circuit.readings, circuit.spans):
        part = np.asarray(part, float).reshape(len(values), *one.shape)
        wanted[:, span] += one.cotangents(part, values[:, span])


def _trainable(tape: qp.tape.QuantumScript, derivatives: Iterator[np.ndarray | None]) -> tuple[np.ndarray, ...]:
    every = list(derivatives)
    if any(every[j] is None for j in tape.trainable_params):
        raise LabError(
            "there is no adjoint derivative by a matrix or by an observable's coefficient: mark it as not trainable, or use "
            "diff_method='parameter-shift'"
        )
    return tuple(np.asarray(every[j], float) for j in tape.trainable_params)


def _nested(part: np.ndarray, shapes: list[tuple[int, ...]]):
    """A flat cotangent as PennyLane nests it."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    parts = [piece.reshape(shape) for piece, shape in zip(np.split(part, np.cumsum(sizes)[:-1]), shapes)]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _jacobian(parts: list[tuple[np.ndarray, ...]], shapes: list[tuple[int, ...]]):
    """Rows of the Jacobian, each a derivative by every parameter, nested by measurement and then by parameter."""
    found, start = [], 0
    for shape in shapes:
        stop = start + int(np.prod(shape))
        by_parameter = [np.stack(column).reshape((*shape, *np.shape(column[0]))) for column in zip(*parts[start:stop])]
        found.append(by_parameter[0] if len(by_parameter) == 1 else tuple(by_parameter))
        start = stop
    return found[0] if len(found) == 1 else tuple(found)


def measured_in_z(tape: qp.tape.QuantumScript) -> qp.tape.QuantumScript:
    """The same tape with what turns every measurement's basis into that of Z at its end."""
    rotations, measurements = qp.tape.tape.rotations_and_diagonal_measurements(tape)
    for measurement in measurements:
        if measurement.obs is not None:
            rotations = [*rotations, *measurement.diagonalizing_gates()]
    return tape.copy(ops=[*tape.operations, *rotations], measurements=measurements)
