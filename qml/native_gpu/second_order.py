"""Exact second derivatives and states' derivatives on a GPU: dual states carried through the engine's passes."""

import math

import torch

from qml.native_gpu.dual_launches import DualLaunches
from qml.native_gpu.engine import GpuEngine


class SecondOrder:
    """The engine's circuit on states with their derivatives."""

    def __init__(self, engine: GpuEngine):
        self._engine = engine

    def second(self, inputs, weights, cotangents, v_inputs, v_weights) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Derivatives of sum v . vjp(inputs, weights, cotangents) by inputs, weights and cotangents, in their shapes.

        Cost: by its sweeps, three gradients; no state in memory up to 11 qubits, four above.
        """
        engine, cotangents = self._engine, cotangents.contiguous()
        inputs, weights, v_inputs, v_weights = (t.contiguous() for t in (inputs, weights, v_inputs, v_weights))
        growth = torch.empty_like(cotangents)
        parts = []
        for piece in engine.pieces(len(inputs), weights, True, is_dual=True):
            launches, prepared = self._prepared(inputs, weights, v_inputs, v_weights, piece)
            rows, shared, of_start = launches.second(*prepared, cotangents[piece], growth[piece])
            parts.append(engine.with_start(rows, shared, of_start, inputs[piece]))
        return *engine.joined(parts, inputs, weights), growth

    def tangents(self, inputs, weights, v_inputs, v_weights) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 2^n) complex final states and their derivatives along v, but for phases (`qml.metric.tangents`).

        Raises:
            TooLarge: they do not fit beside one another.
        """
        engine, batch = self._engine, len(inputs)
        inputs, weights, v_inputs, v_weights = (t.contiguous() for t in (inputs, weights, v_inputs, v_weights))
        shape = 2, batch, 1 << engine.program.n_qubits
        if weights.is_cuda:
            engine.free_for(2 * weights.element_size() * math.prod(shape), f"of {batch:,} states ", weights.device)
        both = weights.new_empty(shape, dtype=weights.dtype.to_complex())
        for piece in engine.pieces(batch, weights, False, is_dual=True):
            launches, prepared = self._prepared(inputs, weights, v_inputs, v_weights, piece)
            for whole, part in zip(both, launches.tangents(*prepared)):
                torch.index_select(torch.complex(*part), 1, launches.logical_rows, out=whole[piece])
        return both[0], both[1]

    def _prepared(self, inputs, weights, v_inputs, v_weights, piece: slice) -> tuple[DualLaunches, tuple]:
        """The launches, and what they need of these samples: angles and amplitudes, with their rates."""
        engine = self._engine
        launches = engine.launches(weights, (True, True), DualLaunches)
        own, v_own = (tensor[piece] if weights.dim() == 2 else tensor for tensor in (weights, v_weights))
        trigonometry, start, batch = engine.prepared(launches, inputs[piece], own)
        rates = launches.rates(engine.samples(v_inputs[piece], v_own), v_own)
        return launches, (trigonometry, rates, start, engine.start(v_inputs[piece], v_own), batch)
