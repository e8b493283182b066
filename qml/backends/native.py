"""The lab's own batched state-vector engine: exact, adjoint gradients, shots; on the CPU's threads."""

from typing import Any

import numpy as np

from qml.backends.base import Backend, Compiled, Slots, check_memory, random_generators
from qml.native.plain import PlainEngine, n_threads


class NativeCircuit(Compiled):
    """A program on the native engine."""

    def __init__(self, backend, program, observables, slots):
        super().__init__(backend, program, observables, slots)
        self._engine = PlainEngine(program, observables)

    def _angles(self, inputs: np.ndarray, weights: np.ndarray, states: int) -> np.ndarray:
        self._check_memory(weights.dtype, states, len(inputs))
        return self.slots.join(inputs, weights)

    def _check_memory(self, dtype: np.dtype, states: int, batch: int) -> None:
        lanes = min(batch, n_threads()) or 1
        what = f"simulating {self.program.n_qubits} qubits"
        check_memory(states * lanes * 2 * dtype.itemsize << self.program.n_qubits, what)

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self._engine.expectations(self._angles(inputs, weights, 1))

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        states = self._engine.states(self._angles(inputs, weights, 2 * len(inputs)))
        return states.real**2 + states.imag**2

    def sample(self, inputs, weights, shots, seed) -> np.ndarray:
        angles = self._angles(inputs, weights, 3)
        generators = random_generators(seed, len(inputs))
        drawn = np.empty((len(inputs), shots), np.int64)

        def draw(samples, re, im, cos, sin):
            cumulative = np.cumsum(re.astype(float) ** 2 + im.astype(float) ** 2, axis=0)
            for lane, sample in enumerate(range(samples.start, samples.stop)):
                points = generators[sample].random(shots) * cumulative[-1, lane]
                drawn[sample] = np.searchsorted(cumulative[:, lane], points, side="right")

        self._engine.run(angles, draw)
        return drawn

    def vjp(self, inputs, weights, cotangents, kept: Any = None):
        _, gradients = self._engine.vjp(self._angles(inputs, weights, 2), cotangents)
        return self.slots.split(gradients, shared=weights.ndim == 1)


class NativeBackend(Backend):
    """Simulates a whole batch at once; the default."""

    name = "native"
    adjoint = True
    summary = "our own batched state-vector engine on the CPU"

    def compile(self, program, observables, slots=None) -> NativeCircuit:
        _refuse_beyond_addresses(program.n_qubits)
        return NativeCircuit(self, program, observables, slots or Slots((), tuple(range(len(program.slots)))))


def _refuse_beyond_addresses(n_qubits: int) -> None:
    """A state that no machine holds is refused before masks of more than 62 bits are made."""
    if n_qubits > 40:
        check_memory(16 << n_qubits, f"simulating {n_qubits} qubits")


BACKEND = NativeBackend
