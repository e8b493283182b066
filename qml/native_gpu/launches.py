"""A plan's tables on one device in one precision, and the launches of kernels over them."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch

from qml.native_gpu import kernels
from qml.native_gpu.plan import TERM_OWNER, Pass, Plan, Tables, by_column

ENTRIES_OF_A_PROGRAM = 128  # samples of few qubits share a program until it has as many amplitudes
ENTRIES_OF_A_WARP = 256  # amplitudes, of two numbers in float32, that a warp holds
MOST_WARPS = 16
ENTRIES_COLLECTED = 1024
# Phases of a tile of so many bits are added up before they turn anything; in float64 the sines of every entry cost more.
FEWEST_BITS_WIDE = {torch.float32: 7, torch.float64: 99}
FUSED = {"enable_fp_fusion": True}  # said, since Triton's default is about to change


def _power_of_two(at_least: int) -> int:
    return 1 << max(0, at_least - 1).bit_length()


class Launches:
    """What `GpuEngine` asks the GPU to do for one division of a program's slots.

    Args:
        n_own: columns of what samples have of their own. n_weights: weights that they share, if n_own does not count them.
    """

    def __init__(
        self, plan: Plan, tables: Tables, n_own: int, n_weights: int, n_observables: int, dtype: torch.dtype, device
    ):  # fmt: skip
        self.plan, self.n_own, self.n_observables = plan, n_own, n_observables
        self.dtype, self.device, self.n_weights = dtype, device, n_weights
        arrays = tables.operations.ravel(), tables.reads, tables.stages.ravel()
        self._program, self._n_stages = [self._there(array) for array in arrays], len(tables.stages)
        self._constants = torch.as_tensor(tables.constants, dtype=dtype).to(device)
        self._shared, self._own = (
            (torch.as_tensor(columns).to(device), torch.as_tensor(half, dtype=dtype).to(device))
            for columns, half in (tables.shared, tables.own)
        )
        self._terms, self._coefficients = self._there(plan.terms.ravel()), self._there(plan.coefficients, dtype)
        self._n_terms, self._n_gradients = len(plan.terms), len(tables.gradient_columns)
        own = by_column(tables.gradient_columns, tables.gradient_factors, n_own)
        shared = by_column(-1 - tables.gradient_columns, tables.gradient_factors, n_weights)
        terms = by_column(plan.terms[:, TERM_OWNER], plan.coefficients, n_observables)
        self._of_own, self._of_shared, self._of_terms = (
            [self._there(array) for array in csr] for csr in (own, shared, terms)
        )
        self._passes = self._tiled(plan.passes, tables.ends)
        n_terms = [len(one.operations) for one in plan.readings]
        self._readings = self._tiled(plan.readings, np.cumsum(n_terms).tolist())

    def _there(self, array: np.ndarray, kind: torch.dtype | None = None) -> torch.Tensor:
        padded = array if array.size else np.zeros(1, array.dtype)  # kernels want an address
        return torch.as_tensor(np.ascontiguousarray(padded), dtype=kind).to(self.device)

    def _tiled(self, passes: Sequence[Pass], ends: Sequence[int]) -> list[tuple]:
        """(first, last, basis, outside, n_outside) of passes over stages, or readings of terms, which end at `ends`."""
        shapes = [[self._there(np.array(vectors, np.int64)) for vectors in (one.basis, one.outside)] for one in passes]
        return [(*place, *shape, len(one.outside)) for one, *place, shape in zip(passes, (0, *ends), ends, shapes)]

    def _on_device(self):
        """Triton launches on the current device, whatever its arguments are on."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    @property
    def _tiles(self) -> int:
        return 1 << (self.plan.n_qubits - self.plan.tile_bits)

    def _samples_of_a_program(self) -> int:
        return max(1, ENTRIES_OF_A_PROGRAM >> self.plan.n_qubits)

    def _warps(self, backward: bool, n_states: int = 1) -> int:
        """So many that a tile's amplitudes stay in registers."""
        entries = max(ENTRIES_OF_A_PROGRAM, 1 << self.plan.tile_bits) * n_states * (2 if backward else 1)
        entries *= 2 if self.dtype == torch.float64 else 1
        return min(MOST_WARPS, _power_of_two(entries // ENTRIES_OF_A_WARP))

    @property
    def _wide(self) -> int:
        """The kernels' WIDE."""
        bits = self.plan.tile_bits
        is_wide = bits >= FEWEST_BITS_WIDE[self.dtype] and (self._samples_of_a_program() == 1 or not self.plan.is_on_chip)
        return bits if is_wide else 0

    def _laid_out(self, constants: torch.Tensor, samples: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Constants, halves of what samples share, then a row for each sample, and a number that is there to be read."""
        parts = [constants]
        for (columns, half), values in ((self._shared, weights), (self._own, samples)):
            if len(columns):
                parts.append((values.index_select(-1, columns) * half).reshape(-1))
        return torch.cat([*parts, constants.new_zeros(1)])

    def trigonometry(self, samples: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Half of all angles, their cosines and sines."""
        angles = self._laid_out(self._constants, samples, weights)
        return angles, torch.cos(angles), torch.sin(angles)

    def forward(self, trigonometry, start, batch: int, values: torch.Tensor, keep: bool) -> torch.Tensor | None:
        """Fills `values`, (B, K); (2, B, 2^n) final states if they are to be kept."""
        if batch == 0:
            return None
        with self._on_device():
            if self.plan.is_on_chip:
                return self._run(trigonometry, start, batch, values, keep)
            held = self._pass_all(kernels.one_pass, trigonometry, (start,), batch)
            self._measure(kernels.measure, held, batch, values)
            return held[0] if keep else None

    def _states(self, batch: int) -> torch.Tensor:
        return torch.empty(2, batch, 1 << self.plan.n_qubits, dtype=self.dtype, device=self.device)

    def _run(self, trigonometry, start, batch: int, values: torch.Tensor, keep: bool) -> torch.Tensor | None:
        samples = self._samples_of_a_program()
        states = self._states(batch) if keep else values
        if self._n_terms == 0 or self.n_observables == 0:
            values.zero_()
        kernels.run[(-(-batch // samples),)](
            *self._program, self._n_stages, *trigonometry, values if start is None else start, values,
            states, self._terms, self._coefficients, self._n_terms, self.n_observables, batch,
            QUBITS=self.plan.n_qubits, SAMPLES=samples, HAS_START=start is not None, KEEP=keep, WIDE=self._wide,
            num_warps=self._warps(False), **FUSED,
        )  # fmt: skip
        return states if keep else None

    def _pass_all(self, kernel, angles, starts: Sequence[torch.Tensor | None], batch: int) -> list[torch.Tensor]:
        """Final states, (2, B, 2^n) for each of the starts, which are None or initial amplitudes."""
        held = [self._states(batch) for _ in starts]
        for states, start in zip(held, starts):
            if start is not None:
                states[0], states[1] = start, 0
        for k, (first, last, *shape) in enumerate(self._passes):
            kernel[(batch * self._tiles,)](
                *self._program, first, last, *angles, *held, batch, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, IS_FIRST=k == 0 and starts[0] is None, WIDE=self._wide,
                num_warps=self._warps(False, len(held)), **FUSED,
            )  # fmt: skip
        return held

    def _measure(self, kernel, held: Sequence[torch.Tensor], batch: int, values: torch.Tensor) -> None:
        """Fills `values`, (B, K), with what the kernel finds in states."""
        partial = values.new_empty(max(1, self._n_terms), batch * self._tiles)
        for first, last, *shape in self._readings:
            kernel[(batch * self._tiles,)](
                *held, partial, self._terms, first, last, batch, self._tiles, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, num_warps=self._warps(False, len(held)), **FUSED,
            )  # fmt: skip
        self._collect(partial, self._of_terms, values, batch, self._tiles)

    def _weighed(self, states: torch.Tensor, batch: int, cotangents: torch.Tensor) -> torch.Tensor:
        """lambda, (2, B, 2^n): the observables, weighed with cotangents, on states."""
        bras = torch.empty_like(states)
        for k, (first, last, *shape) in enumerate(self._readings):
            kernels.weigh[(batch * self._tiles,)](
                states, bras, cotangents, self._terms, self._coefficients, first, last, self.n_observables, batch, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, IS_FIRST=k == 0, num_warps=self._warps(True), **FUSED,
            )  # fmt: skip
        return bras

    def _collect(self, partial: torch.Tensor, csr: list[torch.Tensor], out: torch.Tensor, batch: int, tiles: int) -> None:
        """Fills out, (batch, columns), with sums of parts (rows, batch * tiles)."""
        if out.shape[1] == 0:
            return
        parts = min(_power_of_two(tiles), ENTRIES_COLLECTED)
        rows = min(_power_of_two(batch), ENTRIES_COLLECTED // parts)
        kernels.collect[(out.shape[1], -(-batch // rows))](
            partial, *csr, out, out.shape[1], batch, tiles, ROWS=rows, PARTS=parts, num_warps=4, **FUSED
        )

    def backward(self, trigonometry, batch: int, states: torch.Tensor, cotangents: torch.Tensor, has_start: bool):
        """Derivatives by what samples have of their own, (B, n_own), by shared weights, (n,) float64, and by amplitudes.

        The states are used up.
        """
        gradients = self._room_of_gradients(batch)
        with self._on_device():
            if self.plan.is_on_chip:
                of_start = self._run_back(trigonometry, batch, states, cotangents, gradients, has_start)
            else:
                held = states, self._weighed(states, batch, cotangents)
                of_start = self._pass_all_back(kernels.one_pass_back, trigonometry, held, batch, gradients, has_start)
            return *self._collected(gradients, batch), of_start

    def _room_of_gradients(self, batch: int) -> torch.Tensor:
        """(G, B * tiles): a derivative of each row of the tables from each tile."""
        return torch.empty(max(1, self._n_gradients), batch * self._tiles, dtype=self.dtype, device=self.device)

    def _collected(self, gradients: torch.Tensor, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Derivatives by what samples have of their own, (B, n_own), and by shared weights, (n,) float64."""
        of_own = torch.empty(batch, self.n_own, dtype=self.dtype, device=self.device)
        of_shared = torch.empty(1, self.n_weights, dtype=torch.float64, device=self.device)
        self._collect(gradients, self._of_own, of_own, batch, self._tiles)
        self._collect(gradients, self._of_shared, of_shared, 1, batch * self._tiles)
        return of_own, of_shared[0]

    def _run_back(self, trigonometry, batch: int, states, cotangents, gradients, has_start: bool) -> torch.Tensor | None:
        samples = self._samples_of_a_program()
        of_start = torch.empty_like(states[0]) if has_start else None
        kernels.run_back[(-(-batch // samples),)](
            *self._program, self._n_stages, *trigonometry, states, cotangents, gradients,
            of_start if has_start else gradients, self._terms, self._coefficients, self._n_terms, self.n_observables, batch,
            QUBITS=self.plan.n_qubits, SAMPLES=samples, HAS_START=has_start, WIDE=self._wide,
            num_warps=self._warps(True), **FUSED,
        )  # fmt: skip
        return of_start

    def _pass_all_back(self, kernel, angles, held: Sequence[torch.Tensor], batch: int, gradients, has_start: bool):
        """Fills `gradients` from states and lambdas, which are used up; derivatives by amplitudes, from the last of them."""
        for k, (first, last, *shape) in reversed(list(enumerate(self._passes))):
            store = 2 if k else int(has_start)  # before the first pass, only real parts are read, and by amplitudes alone
            kernel[(batch * self._tiles,)](
                *self._program, first, last, *angles, *held, gradients, batch, self._tiles, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, STORE=store, WIDE=self._wide,
                num_warps=self._warps(True, len(held) // 2), **FUSED,
            )  # fmt: skip
        return 2 * held[-1][0] if has_start else None
