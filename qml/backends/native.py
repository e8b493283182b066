"""The lab's own batched state-vector engine: exact, adjoint gradients, shots; on the CPU's threads."""

from functools import cached_property
from typing import Any

import numpy as np

from qml.backends.base import Backend, Compiled, Slots, check_memory, random_generators
from qml.native.fast import FastEngine
from qml.native.plain import PlainEngine, n_threads

MOST_FAST_QUBITS = 20  # a block holds eight states, or sixteen: above it one state at a time takes less memory


class NativeCircuit(Compiled):
    """A program on the native engine."""

    @cached_property
    def _fast(self) -> FastEngine:
        return FastEngine(self.program, self.observables, self.slots.inputs, self.slots.weights)

    @cached_property
    def _plain(self) -> PlainEngine:
        return PlainEngine(self.program, self.observables)

    def _is_fast(self, weights: np.ndarray) -> bool:
        if self.program.n_qubits > MOST_FAST_QUBITS:
            return False
        what = f"simulating {self.program.n_qubits} qubits and {len(self.program.gates)} gates"
        check_memory(self._fast.n_bytes(weights.dtype, weights.ndim == 2), what)
        return True

    def _angles(self, inputs: np.ndarray, weights: np.ndarray, states: int) -> np.ndarray:
        """Every slot for every sample, once it is sure that the plain engine's states fit."""
        lanes = min(len(inputs), n_threads()) or 1
        what = f"simulating {self.program.n_qubits} qubits"
        check_memory(states * lanes * 2 * weights.dtype.itemsize << self.program.n_qubits, what)
        return self.slots.join(inputs, weights)

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self._is_fast(weights):
            return self._fast.expectations(inputs, weights)
        return self._plain.expectations(self._angles(inputs, weights, 1))

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Any]:
        if not self._is_fast(weights):
            return self.expectations(inputs, weights), None
        prepared = self._fast.prepare(inputs, weights)
        return self._fast.values(prepared), prepared

    def vjp(self, inputs, weights, cotangents, kept: Any = None):
        if self._is_fast(weights):
            return self._fast.vjp(inputs, weights, cotangents, kept)[1:]
        _, gradients = self._plain.vjp(self._angles(inputs, weights, 2), cotangents)
        return self.slots.split(gradients, shared=weights.ndim == 1)

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        states = self._plain.states(self._angles(inputs, weights, 2 * len(inputs)))
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

        self._plain.run(angles, draw)
        return drawn


class NativeBackend(Backend):
    """Simulates a whole batch at once; the default."""

    name = "native"
    adjoint = True
    summary = "our own batched state-vector engine on the CPU"

    def compile(self, program, observables, slots=None) -> NativeCircuit:
        if program.n_qubits > 40:  # no machine holds it, and masks of more than 62 bits are never made
            check_memory(16 << program.n_qubits, f"simulating {program.n_qubits} qubits")
        return NativeCircuit(self, program, observables, slots or Slots((), tuple(range(len(program.slots)))))


BACKEND = NativeBackend
