"""One program with its observables on torch tensors of a GPU: values and adjoint gradients that never leave it.

Nothing here asks the GPU for a number, so a step can be captured in a CUDA graph; all work is on torch's current stream.
NaN angles give NaN values: to raise would mean to wait.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import TooLarge
from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native_gpu import availability
from qml.native_gpu.launches import Launches
from qml.native_gpu.plan import plan_of, tables_of

MEMORY_SHARE = 0.5  # of what is free, for the states and derivatives of a piece of the batch
ALWAYS_THERE = 1 << 28  # bytes that are taken without asking the driver what is free


@dataclass
class Kept:
    """What a gradient can use of a forward run that was done in one piece.

    Attributes:
        trigonometry: half angles, their cosines and sines.
        states: (2, B, 2^n) final ones, for one gradient, which uses them up.
    """

    trigonometry: tuple[torch.Tensor, ...] | None = None
    states: torch.Tensor | None = None


class GpuEngine:
    """A program ready to run on tensors.

    Args:
        inputs, weights: which slots are which, in the order of the tensors' columns.

    Angles are (B, n_inputs), and (n_weights,) for all samples or (B, n_weights); float32 or float64, on one device.
    """

    def __init__(
        self, program: Program, observables: Sequence[SparsePauliOp], inputs: Sequence[int], weights: Sequence[int]
    ):  # fmt: skip
        availability.check()
        self.program, self.n_observables = program, len(observables)
        self._sums = PauliSums.of(observables, program.n_qubits)
        self._inputs, self._weights = list(inputs), list(weights)
        self._launches: dict[tuple, Launches] = {}
        self._of_amplitudes: dict[torch.device, torch.Tensor] = {}

    @cached_property
    def plan(self):
        """The program's passes over the state."""
        return plan_of(self.program, self._sums)

    def _launch(self, weights: torch.Tensor, needs: tuple[bool, bool]) -> Launches:
        per_sample = weights.dim() == 2
        key = per_sample, needs, weights.dtype, weights.device
        if key not in self._launches:
            columns = np.zeros(len(self.program.slots), np.int64)
            columns[self._inputs] = np.arange(len(self._inputs))
            places = np.arange(len(self._weights))
            columns[self._weights] = len(self._inputs) + places if per_sample else -1 - places
            needs = (needs[0] or (per_sample and needs[1]), needs[1])
            tables = tables_of(self.plan, columns, needs)
            n_own = len(self._inputs) + (len(self._weights) if per_sample else 0)
            self._launches[key] = Launches(
                self.plan, tables, n_own, len(self._weights), self.n_observables, weights.dtype, weights.device
            )
        return self._launches[key]

    def _samples(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(B, n): what samples have of their own."""
        return torch.cat([inputs, weights], dim=1) if weights.dim() == 2 else inputs

    def _start(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor | None:
        """(B, 2^n) initial amplitudes, where they are among the angles."""
        if not self.program.amplitudes:
            return None
        rows = torch.cat([inputs, weights.expand(len(inputs), weights.shape[-1])], dim=1)
        return rows.index_select(1, self._amplitude_columns(rows.device))

    def _amplitude_columns(self, device: torch.device) -> torch.Tensor:
        if device not in self._of_amplitudes:
            place = {slot: j for j, slot in enumerate([*self._inputs, *self._weights])}
            self._of_amplitudes[device] = torch.tensor([place[slot] for slot in self.program.amplitudes], device=device)
        return self._of_amplitudes[device]

    def n_bytes(self, batch: int, itemsize: int, gradient: bool = True) -> int:
        """Memory of a run's states, and with a gradient of lambda and the parts of derivatives."""
        n_qubits = self.program.n_qubits
        states = 2 * itemsize << n_qubits
        if not gradient:
            return batch * states
        parts = len(self.plan.operations) << (n_qubits - self.plan.tile_bits)
        return batch * ((1 if self.plan.is_on_chip else 2) * states + itemsize * parts)

    def _pieces(self, batch: int, weights: torch.Tensor) -> Iterator[slice]:
        """Parts of the batch whose states and derivatives fit."""
        size = max(1, batch)
        of_one = self.n_bytes(1, weights.element_size())
        may_ask = weights.is_cuda and not torch.cuda.is_current_stream_capturing()
        if batch * of_one > ALWAYS_THERE and may_ask:
            free = MEMORY_SHARE * _free(weights.device)
            size = max(1, min(batch, int(free / of_one)))
            if of_one > free / MEMORY_SHARE:
                raise TooLarge(
                    f"simulating {self.program.n_qubits} qubits with a gradient needs {of_one:,} bytes on {weights.device} "
                    f"and {int(free / MEMORY_SHARE):,} are free: use fewer of them, float32, or the CPU"
                )
        yield from (slice(first, min(first + size, batch)) for first in range(0, batch, size))

    def forward(self, inputs: torch.Tensor, weights: torch.Tensor, keep: bool) -> tuple[torch.Tensor, Kept]:
        """(B, K) expectation values, and the final states where they are to be kept and fit."""
        inputs, weights = inputs.contiguous(), weights.contiguous()
        launch = self._launch(weights, (False, False))
        values = weights.new_empty(len(inputs), self.n_observables)
        pieces = list(self._pieces(len(inputs), weights))
        kept, keep = Kept(), keep and len(pieces) == 1
        for piece in pieces:
            own = weights[piece] if weights.dim() == 2 else weights
            trigonometry, start, batch = self._prepared(launch, inputs[piece], own)
            states = launch.forward(trigonometry, start, batch, values[piece], keep)
            if keep:
                kept.trigonometry, kept.states = trigonometry, states
        return values, kept

    def _prepared(self, launch: Launches, inputs: torch.Tensor, weights: torch.Tensor, kept: Kept | None = None):
        trigonometry = kept.trigonometry if kept is not None else None
        if trigonometry is None:
            trigonometry = launch.trigonometry(self._samples(inputs, weights), weights)
        return trigonometry, self._start(inputs, weights), len(inputs)

    def vjp(
        self, inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor, kept: Kept | None, needs=(True, True)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights; zeros where not needed."""
        inputs, weights, cotangents = (tensor.contiguous() for tensor in (inputs, weights, cotangents))
        launch = self._launch(weights, tuple(bool(need) for need in needs))
        states = None
        if kept is not None:  # a second gradient computes them again
            states, kept.states = kept.states, None
        of_samples, of_weights = [], None
        for piece in self._pieces(len(inputs), weights):
            own = weights[piece] if weights.dim() == 2 else weights
            trigonometry, start, batch = self._prepared(launch, inputs[piece], own, kept)
            if states is None:
                scratch = weights.new_empty(batch, self.n_observables)
                states = launch.forward(trigonometry, start, batch, scratch, True)
            rows, shared, of_start = launch.backward(trigonometry, batch, states, cotangents[piece], start is not None)
            states = None
            rows, shared = self._with_start(rows, shared, of_start, inputs[piece])
            of_samples.append(rows)
            of_weights = shared if of_weights is None else of_weights + shared
        return self._split(of_samples, of_weights, inputs, weights)

    def _with_start(self, rows, shared, of_start, inputs):
        """Derivatives by initial amplitudes put where their slots are."""
        if of_start is None:
            return rows, shared
        columns = self._amplitude_columns(rows.device)
        whole = rows.new_zeros(len(rows), len(self._inputs) + len(self._weights)).index_copy(1, columns, of_start)
        rows = rows + whole[:, : rows.shape[1]]
        if rows.shape[1] == inputs.shape[1]:
            shared = shared + whole[:, inputs.shape[1] :].sum(dim=0, dtype=torch.float64)
        return rows, shared

    def _split(self, of_samples: list, of_weights, inputs: torch.Tensor, weights: torch.Tensor):
        if not of_samples:
            return torch.zeros_like(inputs), torch.zeros_like(weights)
        rows = of_samples[0] if len(of_samples) == 1 else torch.cat(of_samples)
        if weights.dim() == 1:
            return rows, of_weights.to(weights.dtype)
        if weights.shape[1] == 0:
            return rows, torch.zeros_like(weights)
        return tuple(part.clone() for part in rows.split([inputs.shape[1], weights.shape[1]], dim=1))


def _free(device: torch.device) -> int:
    """Bytes that torch can still take on the device, those it holds unused among them."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
