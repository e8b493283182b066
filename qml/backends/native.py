"""The lab's own batched state-vector engine: exact, adjoint gradients, shots; on the CPU's threads, or a GPU's tensors."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from circuits.errors import Unsupported
from circuits.evolution import NO_SECOND_DERIVATIVES
from qml.backends.base import ALWAYS_THERE, Backend, Compiled, Slots, check_memory, random_generators
from qml.native.evolving import EvolvingEngine
from qml.native.fast import FastEngine
from qml.native.second_order import SecondOrder


class NativeCircuit(Compiled):
    """A program on the native engine."""

    has_second = True

    @cached_property
    def checks_angles(self) -> bool:
        return not self.program.is_evolving

    @cached_property
    def _fast(self) -> FastEngine | EvolvingEngine:
        engine = EvolvingEngine if self.program.is_evolving else FastEngine
        return engine(self.program, self.observables, self.slots.inputs, self.slots.weights)

    @cached_property
    def _on_tensors(self):
        from qml.native_gpu.tensors import OnTensors

        return OnTensors(self)

    def on_tensors(self):
        if self.program.is_evolving:
            raise Unsupported("the GPU kernels have no evolution by a sum that does not commute: move tensors to the CPU")
        return self._on_tensors

    @cached_property
    def _small(self) -> set[tuple]:
        """Runs whose states and angles need no look at the memory."""
        return set()

    @cached_property
    def second_order(self) -> SecondOrder:
        """The circuit on dual states."""
        if self.program.is_evolving:
            raise Unsupported(NO_SECOND_DERIVATIVES)
        return SecondOrder(self._fast)

    def _check(self, n_bytes: int) -> None:
        check_memory(n_bytes, f"simulating {self.program.n_qubits} qubits")

    def _fitting(
        self, inputs: np.ndarray, weights: np.ndarray, gradient: bool = True, kept: Any = None
    ) -> FastEngine | EvolvingEngine:
        """The engine, once it is sure that its states and angles fit.

        Args:
            gradient: whether there is to be one, which needs lambda. kept: what a forward run holds of them already.
        """
        key = weights.shape[:-1], len(inputs), weights.dtype.char, gradient
        if key not in self._small:
            states = getattr(kept, "states", None)  # looked at once: another thread may use them up
            held = 0 if states is None else states.nbytes
            n_bytes = self._fast.n_bytes(len(inputs), weights.dtype, gradient)
            self._check(n_bytes - held)  # before a plan, which may be large itself
            n_bytes += self._fast.angle_bytes(len(inputs), weights.ndim == 2, weights.dtype)
            self._check(n_bytes - held)
            if n_bytes < ALWAYS_THERE:
                self._small.add(key)
        return self._fast

    def _expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self._fitting(inputs, weights, gradient=False).expectations(inputs, weights)

    def _forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Any]:
        return self._fitting(inputs, weights).forward(inputs, weights)

    def _vjp(self, inputs, weights, cotangents, kept: Any):
        return self._fitting(inputs, weights, kept=kept).vjp(inputs, weights, cotangents, kept)

    def _second(self, inputs, weights, cotangents, v_inputs, v_weights):
        self._check(self.second_order.n_bytes(len(inputs), weights.dtype))
        return self.second_order.second(inputs, weights, cotangents, v_inputs, v_weights)

    def tangents(self, inputs, weights, v_inputs, v_weights) -> tuple[np.ndarray, np.ndarray]:
        """(B, 2^n) final states, and their derivatives along v, but for phases (`qml.metric.tangents`)."""
        self._check(6 * len(inputs) * 16 << self.program.n_qubits)
        with self._entered(inputs, weights, sweeps=2):
            return self.second_order.tangents(inputs, weights, v_inputs, v_weights)

    def n_bytes(self, batch: int, dtype: np.dtype, gradient: bool = True) -> int:
        return self._fast.n_bytes(batch, np.dtype(dtype), gradient)

    def passes(self, batch: int, dtype: np.dtype) -> int:
        return self._fast.passes(batch, np.dtype(dtype))

    def _holds_states(self, kept: Any) -> bool:
        return kept is not None and kept.states is not None

    def _distributions(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, samples) probabilities, unnormalised where amplitudes are."""
        fast = self._fitting(inputs, weights, gradient=False)
        a_row = 16 + 2 * weights.dtype.itemsize  # where it lies, its probability twice, their running sum
        self._check(fast.n_bytes(len(inputs), weights.dtype, False) + (a_row << self.program.n_qubits))
        yield from fast.probabilities(inputs, weights)

    def _probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        size = len(inputs) << self.program.n_qubits
        check_memory(2 * size * weights.dtype.itemsize, f"the probabilities of {self.program.n_qubits} qubits")
        out = np.empty((len(inputs), 1 << self.program.n_qubits), weights.dtype)
        for samples, columns in self._distributions(inputs, weights):
            out[samples] = columns.T
        return out

    def _sample(self, inputs, weights, shots, seed) -> np.ndarray:
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
    summary = "our own batched state-vector engine on the CPU, and on a GPU where the tensors are there"

    def compile(self, program, observables, slots=None) -> NativeCircuit:
        if program.n_qubits > 40:  # no machine holds it, and masks of more than 62 bits are never made
            check_memory(16 << program.n_qubits, f"simulating {program.n_qubits} qubits")
        return NativeCircuit(self, program, observables, slots or Slots((), tuple(range(len(program.slots)))))


BACKEND = NativeBackend
