"""The lab's own batched state-vector engine: exact, adjoint gradients, shots; on the CPU's threads."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from qml.backends.base import Backend, Compiled, Slots, check_memory, random_generators
from qml.native.fast import FastEngine
from qml.native.plain import PlainEngine
from qml.native.threads import n_threads

MOST_FAST_QUBITS = 20  # a block holds eight states, or sixteen: above it one state at a time takes less memory


class NativeCircuit(Compiled):
    """A program on the native engine."""

    @cached_property
    def _fast(self) -> FastEngine:
        return FastEngine(self.program, self.observables, self.slots.inputs, self.slots.weights)

    @cached_property
    def _plain(self) -> PlainEngine:
        return PlainEngine(self.program, self.observables)

    def _is_fast(self, inputs, weights: np.ndarray) -> bool:
        what = f"simulating {self.program.n_qubits} qubits"
        check_memory(self._fast.n_bytes(len(inputs), weights.dtype, weights.ndim == 2), what)
        return True

    def _angles(self, inputs: np.ndarray, weights: np.ndarray, states: int) -> np.ndarray:
        """Every slot for every sample, once it is sure that the plain engine's states fit."""
        lanes = min(len(inputs), n_threads()) or 1
        what = f"simulating {self.program.n_qubits} qubits"
        check_memory(states * lanes * 2 * weights.dtype.itemsize << self.program.n_qubits, what)
        return self.slots.join(inputs, weights)

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self._is_fast(inputs, weights):
            return self._fast.expectations(inputs, weights)
        return self._plain.expectations(self._angles(inputs, weights, 1))

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Any]:
        if not self._is_fast(inputs, weights):
            return self.expectations(inputs, weights), None
        return self._fast.forward(inputs, weights)

    def vjp(self, inputs, weights, cotangents, kept: Any = None):
        if self._is_fast(inputs, weights):
            return self._fast.vjp(inputs, weights, cotangents, kept)
        _, gradients = self._plain.vjp(self._angles(inputs, weights, 2), cotangents)
        return self.slots.split(gradients, shared=weights.ndim == 1)

    def _distributions(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, samples) probabilities, unnormalised where amplitudes are."""
        if self._is_fast(inputs, weights):
            yield from self._fast.probabilities(inputs, weights)
            return
        angles = self._angles(inputs, weights, 3)
        for sample in range(len(inputs)):
            one = slice(sample, sample + 1)
            ((re, im),) = self._plain.run(angles[:, one], lambda samples, re, im, cos, sin: (re, im))
            yield one, re**2 + im**2

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        size = len(inputs) << self.program.n_qubits
        check_memory(2 * size * weights.dtype.itemsize, f"the probabilities of {self.program.n_qubits} qubits")
        out = np.empty((len(inputs), 1 << self.program.n_qubits), weights.dtype)
        for samples, columns in self._distributions(inputs, weights):
            out[samples] = columns.T
        return out

    def sample(self, inputs, weights, shots, seed) -> np.ndarray:
        generators = random_generators(seed, len(inputs))
        drawn = np.empty((len(inputs), shots), np.int64)
        for samples, columns in self._distributions(inputs, weights):
            for sample, column in zip(range(samples.start, samples.stop), columns.T):
                cumulative = np.cumsum(column, dtype=float)
                points = generators[sample].random(shots) * cumulative[-1]
                drawn[sample] = np.searchsorted(cumulative, points, side="right")
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
