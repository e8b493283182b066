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
        held = self._pass_all(dual_kernels.dual_pass, angles, (start, start_rates), batch)
        self._measure(dual_kernels.measure_growth, held, batch, growth)
        held += [self._weighed(states, batch, cotangents) for states in held]
        gradients, has_start = self._room_of_gradients(batch), start is not None
        return gradients, self._pass_all_back(dual_kernels.dual_pass_back, angles, held, batch, gradients, has_start)

    def tangents(self, trigonometry, rates, start, start_rates, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Final states and their derivatives, (2, B, 2^n) each, by row of the normal form."""
        with self._on_device():
            angles = *trigonometry, rates
            return tuple(self._pass_all(dual_kernels.dual_pass, angles, (start, start_rates), batch))
