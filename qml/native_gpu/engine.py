"""One program with its observables on torch tensors of a GPU: values and adjoint gradients that never leave it.

Nothing here asks the GPU for a number, so a step can be captured in a CUDA graph; all work is on torch's current stream.
NaN angles give NaN values: to raise would mean to wait.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError, TooLarge
from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native_gpu import availability
from qml.native_gpu.launches import Launches
from qml.native_gpu.plan import Plan, plan_of, tables_of

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
        self._numbers: dict[tuple, int] = {}

    @cached_property
    def plan(self) -> Plan:
        """The program's passes over the state."""
        return plan_of(self.program, self._sums)

    @cached_property
    def dual_plan(self) -> Plan:
        """Those over the state and its derivative."""
        return plan_of(self.program, self._sums, is_dual=True)

    def launches(self, weights: torch.Tensor, needs: tuple[bool, bool], kind: type[Launches] = Launches) -> Launches:
        """The tables for weights of this shape, dtype and device; those of dual states by kind `DualLaunches`.

        Args:
            needs: whether derivatives by inputs and by weights are wanted.
        """
        per_sample = weights.dim() == 2
        key = kind, per_sample, needs, weights.dtype, weights.device
        if key not in self._launches:
            if availability.is_capturing(weights.device):
                raise LabError(
                    "the tables of this step are not on the GPU, and cannot be copied there while a CUDA graph is captured: "
                    "run the step with the same requires_grad, dtype and shape of the weights before capturing it"
                )
            columns = np.zeros(len(self.program.slots), np.int64)
            columns[self._inputs] = np.arange(len(self._inputs))
            places = np.arange(len(self._weights))
            columns[self._weights] = len(self._inputs) + places if per_sample else -1 - places
            needs = (needs[0] or (per_sample and needs[1]), needs[1])
            plan = self.plan if kind is Launches else self.dual_plan
            tables = tables_of(plan, columns, needs)
            n_own = len(self._inputs) + (len(self._weights) if per_sample else 0)
            self._launches[key] = kind(
                plan, tables, n_own, len(self._weights), self.n_observables, weights.dtype, weights.device
            )
        return self._launches[key]

    def samples(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """(B, n): what samples have of their own."""
        return torch.cat([inputs, weights], dim=1) if weights.dim() == 2 else inputs

    def start(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor | None:
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

    def n_bytes(self, batch: int, weights: torch.Tensor, gradient: bool, is_dual: bool = False) -> int:
        """Memory of a run: states, samples' angles, parts of values; with a gradient lambda and the parts of derivatives.

        Args:
            is_dual: of states with their derivatives; with a gradient, of lambda with its own too.
        """
        return batch * weights.element_size() * self._of_one(gradient, weights.dim() == 2, is_dual)

    def _of_one(self, gradient: bool, per_sample: bool, is_dual: bool) -> int:
        """Numbers that a sample needs in memory."""
        key = gradient, per_sample, is_dual
        if key not in self._numbers:
            plan = self.dual_plan if is_dual else self.plan
            slots = [angle.slot for angle in {operation.angle for operation in plan.operations} if angle.slot is not None]
            n_angles = len(slots) if per_sample else sum(slot in self._inputs for slot in slots)
            parts = max(len(plan.operations) * gradient, len(plan.terms) * (not plan.is_on_chip))
            self._numbers[key] = (
                (2 * _states_in_memory(plan, gradient, is_dual) << plan.n_qubits)
                + (parts << (plan.n_qubits - plan.tile_bits))
                + (3 + is_dual) * n_angles
                + (4 + 2 * is_dual) * len(self.program.amplitudes)  # given, derivatives by them, and both put in order
            )
        return self._numbers[key]

    def pieces(self, batch: int, weights: torch.Tensor, gradient: bool, is_dual: bool = False) -> Iterator[slice]:
        """Parts of the batch whose states fit, and the derivatives if there is to be a gradient."""
        size = max(1, batch)
        of_one = self.n_bytes(1, weights, gradient, is_dual)
        if batch * of_one > ALWAYS_THERE and weights.is_cuda and not availability.is_capturing(weights.device):
            what = "with second derivatives " if gradient and is_dual else "with a gradient " * gradient
            free = self.free_for(of_one, what, weights.device)
            size = max(1, min(batch, int(MEMORY_SHARE * free / of_one)))
        yield from (slice(first, min(first + size, batch)) for first in range(0, batch, size))

    def free_for(self, n_bytes: int, what: str, device: torch.device) -> int:
        """Bytes that are free on a GPU; raises `TooLarge` if these are fewer than needed."""
        free = _free(device)
        if n_bytes > free:
            raise TooLarge(
                f"simulating {self.program.n_qubits} qubits {what}needs {n_bytes:,} bytes "
                f"on {device} and {free:,} are free: use fewer of them, float32, or the CPU"
            )
        return free

    def forward(self, inputs: torch.Tensor, weights: torch.Tensor, keep: bool) -> tuple[torch.Tensor, Kept]:
        """(B, K) expectation values, and the final states where they are to be kept and fit."""
        inputs, weights = inputs.contiguous(), weights.contiguous()
        launches = self.launches(weights, (False, False))
        values = weights.new_empty(len(inputs), self.n_observables)
        pieces = list(self.pieces(len(inputs), weights, keep))
        kept, keep = Kept(), keep and len(pieces) == 1
        for piece in pieces:
            own = weights[piece] if weights.dim() == 2 else weights
            trigonometry, start, batch = self.prepared(launches, inputs[piece], own)
            states = launches.forward(trigonometry, start, batch, values[piece], keep)
            if keep:
                kept.trigonometry, kept.states = trigonometry, states
        return values, kept

    def prepared(self, launches: Launches, inputs: torch.Tensor, weights: torch.Tensor, trigonometry=None):
        """(trigonometry, initial amplitudes or None, samples) of a run."""
        if trigonometry is None:
            trigonometry = launches.trigonometry(self.samples(inputs, weights), weights)
        return trigonometry, self.start(inputs, weights), len(inputs)

    def vjp(
        self, inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor, kept: Kept | None, needs=(True, True)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Derivatives of sum_bk cotangents[b, k] <O_k>_b in the shapes of inputs and weights; zeros where not needed."""
        inputs, weights, cotangents = (tensor.contiguous() for tensor in (inputs, weights, cotangents))
        launches = self.launches(weights, tuple(bool(need) for need in needs))
        pieces, states, known = self._left(kept, len(inputs), weights)
        parts = []
        for piece in pieces:
            own = weights[piece] if weights.dim() == 2 else weights
            trigonometry, start, batch = self.prepared(launches, inputs[piece], own, known)
            if states is None:
                scratch = weights.new_empty(batch, self.n_observables)
                states = launches.forward(trigonometry, start, batch, scratch, True)
            rows, shared, of_start = launches.backward(trigonometry, batch, states, cotangents[piece], start is not None)
            states = None
            parts.append(self.with_start(rows, shared, of_start, inputs[piece]))
        return self.joined(parts, inputs, weights)

    def _left(self, kept: Kept | None, batch: int, weights: torch.Tensor):
        """(pieces of the batch, final states, trigonometry) for a gradient; states and trigonometry are of the whole batch.

        A second gradient computes the states again.
        """
        kept = kept or Kept()
        states, kept.states = kept.states, None
        # With the states there already, less is free than when it was settled that the batch fits in one piece.
        pieces = list(self.pieces(batch, weights, True)) if states is None else [slice(0, batch)]
        return pieces, states, kept.trigonometry if len(pieces) == 1 else None

    def with_start(self, rows, shared, of_start, inputs):
        """Derivatives by initial amplitudes put where their slots are."""
        if of_start is None:
            return rows, shared
        columns = self._amplitude_columns(rows.device)
        whole = rows.new_zeros(len(rows), len(self._inputs) + len(self._weights)).index_copy(1, columns, of_start)
        rows = rows + whole[:, : rows.shape[1]]
        if rows.shape[1] == inputs.shape[1]:
            shared = shared + whole[:, inputs.shape[1] :].sum(dim=0, dtype=torch.float64)
        return rows, shared

    def joined(self, parts: list[tuple[torch.Tensor, torch.Tensor]], inputs: torch.Tensor, weights: torch.Tensor):
        """Derivatives in the shapes of inputs and weights, from those by samples and by shared weights of pieces."""
        if not parts:
            return torch.zeros_like(inputs), torch.zeros_like(weights)
        of_samples, of_weights = zip(*parts)
        rows = of_samples[0] if len(parts) == 1 else torch.cat(of_samples)
        if weights.dim() == 1:
            return rows, reduce(torch.add, of_weights).to(weights.dtype)
        if weights.shape[1] == 0:
            return rows, torch.zeros_like(weights)
        return tuple(part.clone() for part in rows.split([inputs.shape[1], weights.shape[1]], dim=1))


def _states_in_memory(plan: Plan, gradient: bool, is_dual: bool) -> int:
    """Most states of one sample that are in memory at a time, lambda and derivatives counted."""
    if not is_dual:
        return 2 if gradient and not plan.is_on_chip else 1
    if gradient:
        return 0 if plan.is_on_chip else 4
    return 4  # tangents: two states; one of them as complex numbers, and again in the order of basis states


def _free(device: torch.device) -> int:
    """Bytes that torch can still take on the device, those it holds unused among them."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
