"""The plain engine: programs as tables, samples in blocks of lanes, blocks on threads.

It is the reference that faster engines are held against: every step is one short kernel of `kernels.py`. It alone runs
programs with an `Evolution`, whose matrix each sample has its own of.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.evolution import Evolution
from circuits.paulis import PauliSums, masks
from circuits.program import Gate, Program, Rotation
from qml.native import kernels
from qml.native.threads import n_threads, spread

BLOCK_BYTES = 1 << 20  # of one state block: it and its lambda stay in a core's second-level cache
WIDEST_BLOCK = 64


class PlainEngine:
    """One program with its observables, ready to run on any batch of angles.

    Angles are (n_slots, B): row s is the angle of slot s for each sample. Amplitude slots hold amplitudes instead.
    """

    def __init__(self, program: Program, observables: Sequence[SparsePauliOp]):
        self.program = program
        self.n_observables = len(observables)
        sums = PauliSums.of(observables, program.n_qubits)
        self._terms = np.ascontiguousarray(np.stack([sums.x, sums.z, sums.n_y % 4, sums.owner], axis=1))
        self._coefficients = sums.coefficients
        self._constants: list[float] = []
        self._bits: list[int] = []
        self._entries: list[np.ndarray] = []
        self._evolutions: list[tuple[Evolution, slice]] = []  # and where their entries are
        n_slots = len(program.slots)
        rows = [self._row(gate, n_slots) for gate in program.gates]
        self._table = np.array(rows, np.int64).reshape(-1, kernels.COLUMNS)

    def _row(self, gate: Gate, n_slots: int) -> list[int]:
        row = [0] * kernels.COLUMNS
        row[kernels.CONTROLS] = sum(1 << q for q in gate.controls)
        row[kernels.STATE] = sum(1 << q for j, q in enumerate(gate.controls) if gate.control_state >> j & 1)
        if isinstance(gate, Rotation):
            row[kernels.KIND] = kernels.ROTATION
            row[kernels.X], row[kernels.Z], n_y = masks(gate.pauli, gate.qubits)
            row[kernels.NY] = n_y % 4
            row[kernels.GRADIENT] = -1 if gate.slot is None else gate.slot
            row[kernels.ANGLE] = self._constant(gate.angle, n_slots) if gate.slot is None else gate.slot
        elif isinstance(gate, Evolution):
            start = self._evolutions[-1][1].stop if self._evolutions else 0
            row[kernels.KIND], row[kernels.SIZE], row[kernels.MATRIX] = kernels.OWN, len(gate.qubits), start
            row[kernels.TARGETS] = self._targets(gate)
            self._evolutions.append((gate, slice(start, start + (1 << 2 * len(gate.qubits)))))
        elif gate.name == "x":
            row[kernels.KIND], row[kernels.X] = kernels.FLIP, 1 << gate.qubits[0]
        else:
            row[kernels.KIND], row[kernels.SIZE] = kernels.DENSE, len(gate.qubits)
            row[kernels.TARGETS], row[kernels.MATRIX] = self._targets(gate), sum(e.size for e in self._entries)
            self._entries.append(gate.matrix.ravel())
        return row

    def _targets(self, gate: Gate) -> int:
        """Where the bits of the gate's qubits start."""
        self._bits.extend(1 << q for q in gate.qubits)
        return len(self._bits) - len(gate.qubits)

    def _constant(self, angle: float, n_slots: int) -> int:
        if angle not in self._constants:
            self._constants.append(angle)
        return n_slots + self._constants.index(angle)

    @cached_property
    def _fixed(self) -> dict[np.dtype, tuple]:
        """Bits, matrix entries and coefficients in each precision."""
        entries = np.concatenate([*self._entries, np.zeros(1)]).astype(complex)
        bits = np.array([*self._bits, 0], np.int64)
        return {
            np.dtype(t): (bits, entries.real.astype(t), entries.imag.astype(t), self._coefficients.astype(t))
            for t in (np.float32, np.float64)
        }

    def run(self, angles: np.ndarray, finish: Callable) -> list:
        """`finish(samples, re, im, cos, sin, own)` of every block after its forward run, in order of the samples."""
        batch = angles.shape[1]
        lanes = self._lanes(batch, angles.dtype)
        blocks = [slice(start, min(start + lanes, batch)) for start in range(0, batch, lanes)]

        def one(place, samples):
            re, im = self._start(angles[:, samples])
            cos, sin = self._trigonometry(angles[:, samples])
            bits, entries_re, entries_im, _ = self._fixed[angles.dtype]
            own = self._own(angles[:, samples])
            kernels.forward(re, im, self._table, cos, sin, bits, entries_re, entries_im, *own)
            results[place] = finish(samples, re, im, cos, sin, own)

        results = [None] * len(blocks)
        spread(one, enumerate(blocks))
        return results

    def _lanes(self, batch: int, dtype: np.dtype) -> int:
        state = 2 * dtype.itemsize << self.program.n_qubits
        fitting = max(8, min(WIDEST_BLOCK, BLOCK_BYTES // state)) if state < BLOCK_BYTES * 16 else 1
        return max(1, min(fitting, -(-batch // n_threads())))

    def block_bytes(self, batch: int, dtype: np.dtype) -> int:
        """Memory of a block of states and of its samples' own matrices."""
        size = self._evolutions[-1][1].stop if self._evolutions else 0
        return 2 * dtype.itemsize * self._lanes(batch, dtype) * ((1 << self.program.n_qubits) + size)

    def _start(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (2**self.program.n_qubits, angles.shape[1])
        im = np.zeros(shape, angles.dtype)
        if self.program.amplitudes:
            return np.ascontiguousarray(angles[list(self.program.amplitudes)]), im
        re = np.zeros(shape, angles.dtype)
        re[0] = 1
        return re, im

    def _trigonometry(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        constants = np.array(self._constants, angles.dtype)[:, None]
        rows = np.concatenate([angles, np.broadcast_to(constants, (len(constants), angles.shape[1]))])
        rows *= 0.5
        return np.cos(rows), np.sin(rows)

    def _own(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(entries, lanes), real and imaginary: the matrices of all evolutions."""
        size = self._evolutions[-1][1].stop if self._evolutions else 0
        re, im = np.empty((size, angles.shape[1]), angles.dtype), np.empty((size, angles.shape[1]), angles.dtype)
        for gate, where in self._evolutions:
            matrices = gate.matrices(gate.values(angles))
            entries = matrices.reshape(len(matrices), -1).T
            re[where], im[where] = entries.real, entries.imag
        return re, im

    def states(self, angles: np.ndarray) -> np.ndarray:
        """(B, 2^n) complex final states."""
        blocks = self.run(angles, lambda samples, re, im, *_: (re + 1j * im).T)
        return np.concatenate(blocks) if blocks else np.zeros((0, 2**self.program.n_qubits), complex)

    def expectations(self, angles: np.ndarray) -> np.ndarray:
        """(B, K) expectation values."""
        out = np.zeros((angles.shape[1], self.n_observables), angles.dtype)

        def finish(samples, re, im, *_):
            values = np.zeros((self.n_observables, re.shape[1]), re.dtype)
            kernels.expectations(re, im, self._terms, self._fixed[re.dtype][3], values)
            out[samples] = values.T

        self.run(angles, finish)
        return out

    def vjp(self, angles: np.ndarray, cotangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) expectation values, and (n_slots, B) derivatives of sum_k cotangents[b, k] <O_k>_b by each slot.

        Cost: one forward and one backward sweep, two states a sample, whatever the number of slots.
        Source: Jones and Gacon, arXiv:2009.02823 (the adjoint method).
        """
        out = np.zeros((angles.shape[1], self.n_observables), angles.dtype)
        gradients = np.zeros(angles.shape, angles.dtype)

        def finish(samples, re, im, cos, sin, own):
            bits, entries_re, entries_im, coefficients = self._fixed[re.dtype]
            values = np.zeros((self.n_observables, re.shape[1]), re.dtype)
            kernels.expectations(re, im, self._terms, coefficients, values)
            out[samples] = values.T
            bra_re, bra_im = np.empty_like(re), np.empty_like(im)
            weights = np.ascontiguousarray(cotangents[samples].T)
            kernels.apply_observables(re, im, bra_re, bra_im, self._terms, coefficients, weights)
            block = np.zeros((len(angles), re.shape[1]), re.dtype)
            outer_re, outer_im = np.zeros_like(own[0]), np.zeros_like(own[1])
            kernels.backward(
                re, im, bra_re, bra_im, self._table, cos, sin, bits, entries_re, entries_im, *own, block, outer_re, outer_im
            )
            self._of_evolutions(angles[:, samples], outer_re + 1j * outer_im, block)
            if self.program.amplitudes:
                block[list(self.program.amplitudes)] = 2 * bra_re
            gradients[:, samples] = block

        self.run(angles, finish)
        return out, gradients

    def _of_evolutions(self, angles: np.ndarray, outer: np.ndarray, gradients: np.ndarray) -> None:
        """Put in the derivatives by the coefficients of evolutions."""
        for gate, where in self._evolutions:
            size = 1 << len(gate.qubits)
            slopes = gate.slopes(gate.values(angles), outer[where].T.reshape(-1, size, size))
            for slot, slope in zip(gate.slots, slopes):
                if slot is not None:
                    gradients[slot] = slope
