"""Exact second derivatives and states' derivatives on a GPU: dual states carried through the engine's passes."""

import torch

from qml.native_gpu.dual_launches import DualLaunches
from qml.native_gpu.engine import GpuEngine


class SecondOrder:
    """The engine's circuit on states with their derivatives."""

    def __init__(self, engine: GpuEngine):
        self._engine = engine

    def second(self, inputs, weights, cotangents, v_inputs, v_weights) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Derivatives of sum v . vjp(inputs, weights, cotangents) by inputs, weights and cotangents, in their shapes.

        Cost: about three gradients; on chip one launch, else four states in memory.
        """
        engine, cotangents = self._engine, cotangents.contiguous()
        inputs, weights, v_inputs, v_weights = (t.contiguous() for t in (inputs, weights, v_inputs, v_weights))
        growth = torch.empty_like(cotangents)
        of_samples, of_weights = [], None
        for piece in engine.pieces(len(inputs), weights, True, is_dual=True):
            launches, prepared = self._prepared(inputs, weights, v_inputs, v_weights, piece)
            rows, shared, of_start = launches.second(*prepared, cotangents[piece], growth[piece])
            rows, shared = engine.with_start(rows, shared, of_start, inputs[piece])
            of_samples.append(rows)
            of_weights = shared if of_weights is None else of_weights + shared
        return *engine.split(of_samples, of_weights, inputs, weights), growth

    def tangents(self, inputs, weights, v_inputs, v_weights) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 2^n) complex final states and their derivatives along v, up to one sign for both of a sample."""
        engine = self._engine
        inputs, weights, v_inputs, v_weights = (t.contiguous() for t in (inputs, weights, v_inputs, v_weights))
        where = torch.as_tensor(engine.dual_plan.form.logical_rows()).to(weights.device)
        found = [
            [torch.complex(*part).index_select(1, where) for part in launches.tangents(*prepared)]
            for launches, prepared in (
                self._prepared(inputs, weights, v_inputs, v_weights, piece)
                for piece in engine.pieces(len(inputs), weights, False, is_dual=True)
            )
        ]
        states, derivatives = (torch.cat(parts) for parts in zip(*found))
        return states, derivatives

    def _prepared(self, inputs, weights, v_inputs, v_weights, piece: slice) -> tuple[DualLaunches, tuple]:
        """The launches, and what they need of these samples: angles and amplitudes, with their rates."""
        engine = self._engine
        launches = engine.launches(weights, (True, True), DualLaunches)
        own, v_own = (tensor[piece] if weights.dim() == 2 else tensor for tensor in (weights, v_weights))
        trigonometry, start, batch = engine.prepared(launches, inputs[piece], own)
        rates = launches.rates(engine.samples(v_inputs[piece], v_own), v_own)
        return launches, (trigonometry, rates, start, engine.start(v_inputs[piece], v_own), batch)
