"""Programs with an `Evolution` on the plain engine, behind the face of the fast one, whose normal form cannot hold them."""

from collections.abc import Iterator, Sequence

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.program import Program
from qml.backends.base import Slots
from qml.native.plain import PlainEngine
from qml.native.threads import n_threads

CHUNK = 64  # samples whose probabilities are held at once


class EvolvingEngine:
    """One program with its observables; takes and gives what `FastEngine` does, and keeps nothing of a forward run."""

    def __init__(
        self, program: Program, observables: Sequence[SparsePauliOp], inputs: Sequence[int], weights: Sequence[int]
    ):
        self._plain, self._slots = PlainEngine(program, observables), Slots(tuple(inputs), tuple(weights))

    def _angles(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self._slots.join(inputs, weights)

    def expectations(self, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K) expectation values; weights (n,) or (B, n)."""
        return self._plain.expectations(self._angles(inputs, weights))

    def forward(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, None]:
        """Expectation values, and nothing kept."""
        return self.expectations(inputs, weights), None

    def vjp(self, inputs, weights, cotangents: np.ndarray, kept: None = None) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights."""
        _, gradients = self._plain.vjp(self._angles(inputs, weights), cotangents)
        return self._slots.split(gradients, weights.ndim == 1)

    def probabilities(self, inputs: np.ndarray, weights: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of samples with their (2^n, samples) probabilities, unnormalised where amplitudes are."""
        angles = self._angles(inputs, weights)
        for start in range(0, len(inputs), CHUNK):
            samples = slice(start, min(start + CHUNK, len(inputs)))
            states = self._plain.states(angles[:, samples])
            yield samples, (states.real**2 + states.imag**2).T

    def n_bytes(self, batch: int, dtype: np.dtype, gradient: bool = True) -> int:
        """Memory of a run besides its inputs and outputs: states of every thread, and with a gradient lambda."""
        n_states = 2 if gradient else 1
        return n_states * self._plain.block_bytes(batch, np.dtype(dtype)) * min(n_threads(), batch)

    def angle_bytes(self, batch: int, per_sample: bool, dtype: np.dtype) -> int:
        """Memory of all angles, in the order of the slots."""
        return len(self._plain.program.slots) * batch * np.dtype(dtype).itemsize

    def passes(self, batch: int, dtype: np.dtype) -> int:
        """Sweeps over a state's memory in which it goes through all gates: one for each of them."""
        return max(1, len(self._plain.program.gates))
