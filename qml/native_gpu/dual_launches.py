"""The launches of kernels on dual states, over the tables of a plan whose tiles leave room for derivatives."""

from functools import cached_property

import torch

from qml.native_gpu import dual_kernels
from qml.native_gpu.launches import FUSED, Launches


class DualLaunches(Launches):
    """Hessian-vector products, and states with their derivatives.

    `rates` are of half angles along a direction, laid out as these; `start_rates` those of initial amplitudes.
    """

    def rates(self, samples: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Of all half angles along a direction."""
        return self._laid_out(torch.zeros_like(self._constants), samples, weights)

    @cached_property
    def logical_rows(self) -> torch.Tensor:
        """(2^n,): the row of the normal form that holds each basis state."""
        return self._there(self.plan.form.logical_rows())

    def second(self, trigonometry, rates, start, start_rates, batch: int, cotangents: torch.Tensor, growth: torch.Tensor):
        """Derivatives of the gradient along the direction, as those that `backward` gives; fills growth, (B, K)."""
        run = self._on_chip if self.plan.is_on_chip else self._in_memory
        with self._on_device():
            gradients, of_start = run((*trigonometry, rates), start, start_rates, batch, cotangents, growth)
            return *self._collected(gradients, batch), of_start

    def _on_chip(self, angles, start, start_rates, batch: int, cotangents, growth):
        samples, has_start = self._samples_of_a_program(), start is not None
        gradients, of_start = self._room_of_gradients(batch), torch.empty_like(start) if has_start else None
        if self._n_terms == 0 or self.n_observables == 0:
            growth.zero_()
        starts = (start, start_rates) if has_start else (growth, growth)
        dual_kernels.second[(-(-batch // samples),)](
            *self._program, self._n_stages, *angles, *starts, cotangents, growth, gradients,
            of_start if has_start else gradients, self._terms, self._coefficients, self._n_terms, self.n_observables, batch,
            QUBITS=self.plan.n_qubits, SAMPLES=samples, HAS_START=has_start, WIDE=self._wide,
            num_warps=self._warps(True, 2), **FUSED,
        )  # fmt: skip
        return gradients, of_start

    def _in_memory(self, angles, start, start_rates, batch: int, cotangents, growth):
        states, derivatives = self._forward(angles, start, start_rates, batch)
        self._measure_growth(states, derivatives, batch, growth)
        gradients = self._room_of_gradients(batch)
        four = states, derivatives, *(self._weighed(given, batch, cotangents) for given in (states, derivatives))
        for k, (first, last, *shape) in reversed(list(enumerate(self._passes))):
            store = 2 if k else int(start is not None)
            dual_kernels.dual_pass_back[(batch * self._tiles,)](
                *self._program, first, last, *angles, *four, gradients, batch, self._tiles, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, STORE=store, WIDE=self._wide,
                num_warps=self._warps(True, 2), **FUSED,
            )  # fmt: skip
        return gradients, None if start is None else 2 * four[3][0]

    def tangents(self, trigonometry, rates, start, start_rates, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Final states and their derivatives, (2, B, 2^n) each, by row of the normal form."""
        with self._on_device():
            return self._forward((*trigonometry, rates), start, start_rates, batch)

    def _forward(self, angles, start, start_rates, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        states, derivatives = self._states(batch), self._states(batch)
        if start is not None:
            states[0], states[1] = start, 0
            derivatives[0], derivatives[1] = start_rates, 0
        for k, (first, last, *shape) in enumerate(self._passes):
            dual_kernels.dual_pass[(batch * self._tiles,)](
                *self._program, first, last, *angles, states, derivatives, batch, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, IS_FIRST=k == 0 and start is None, WIDE=self._wide,
                num_warps=self._warps(False, 2), **FUSED,
            )  # fmt: skip
        return states, derivatives

    def _measure_growth(self, states, derivatives, batch: int, growth: torch.Tensor) -> None:
        partial = states.new_empty(max(1, self._n_terms), batch * self._tiles)
        for first, last, *shape in self._readings:
            dual_kernels.measure_growth[(batch * self._tiles,)](
                states, derivatives, partial, self._terms, first, last, batch, self._tiles, *shape,
                QUBITS=self.plan.n_qubits, TILE=self.plan.tile_bits, num_warps=self._warps(False, 2), **FUSED,
            )  # fmt: skip
        self._collect(partial, self._of_terms, growth, batch, self._tiles)
