"""Expectation values as a torch function with first and second derivatives.

Two roads to the same numbers. In eager mode an autograd Function calls the evaluation directly and hands what the
forward run kept to the gradient. While a `torch.func` transform is active or `torch.compile` traces, Functions with
`setup_context` and `vmap` call opaque custom operators; there a vmapped axis is folded into the engine's batch.

Gradients of gradients are exact; a third derivative raises.

Where `_gpu` finds an engine for the tensors, they stay on their GPU; all else goes by NumPy.
"""

import weakref

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from circuits.errors import Unsupported
from qml.evaluation import Evaluation
from qml.native_gpu import availability

_EVALUATIONS: "weakref.WeakValueDictionary[int, Evaluation]" = weakref.WeakValueDictionary()
NOTHING_DRAWN = np.random.SeedSequence(0)  # what exact methods are given
_handles = iter(range(1, 2**62))


def register(evaluation: Evaluation) -> int:
    """A number by which custom operators, whose arguments must be plain, find the evaluation while it lives."""
    handle = next(_handles)
    _EVALUATIONS[handle] = evaluation
    return handle


def expectation(
    evaluation: Evaluation, handle: int, seed: torch.Tensor, inputs: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """(B, K) expectation values of (B, n) input angles and (m,) or (B, m) weight angles.

    Args:
        handle: that of the evaluation, from `register`.
        seed: (2,) int64: the stream's entropy and the number of the draw.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _Traced.apply(inputs, weights, seed, handle)
    # Within a Function nothing says whether gradients are on where it was called.
    return _Eager.apply(evaluation, handle, seed, torch.is_grad_enabled(), inputs, weights)


def _is_batched(tensor: torch.Tensor) -> bool:
    """Whether vmap, of either kind that torch has, hides an axis of the tensor."""
    return torch._C._are_functorch_transforms_active() or torch._C._functorch.is_legacy_batchedtensor(tensor)


def _array(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.numpy(force=True)
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    out = torch.from_numpy(array if array.flags.c_contiguous else np.ascontiguousarray(array))
    return out if like.is_cpu else out.to(like.device)


def _tensors(like: torch.Tensor, *arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(_tensor(array, like) for array in arrays)


def _gpu(evaluation: Evaluation, tensor: torch.Tensor):
    """What runs on the tensor's own GPU, or None."""
    return evaluation.on_tensors() if availability.takes(tensor) else None


def _sequence(evaluation: Evaluation, seed: torch.Tensor) -> np.random.SeedSequence:
    if not evaluation.is_random:
        return NOTHING_DRAWN
    entropy, draw = (int(v) & (2**64 - 1) for v in seed.detach().cpu().reshape(2).tolist())
    return np.random.SeedSequence(entropy, spawn_key=(draw,))


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(ctx, evaluation, handle, seed, has_gradients, inputs, weights):
        ctx.evaluation, ctx.handle, ctx.seed = evaluation, handle, seed
        ctx.save_for_backward(inputs, weights)
        ctx.needs = needs = ctx.needs_input_grad[4:]
        keep = has_gradients and True in needs
        if (gpu := _gpu(evaluation, weights)) is not None:
            values, ctx.kept = gpu.forward(inputs, weights, keep)
            return values
        arrays = _array(inputs), _array(weights)
        values, ctx.kept = evaluation.forward(*arrays, _sequence(evaluation, seed), keep)
        return _tensor(values, weights)

    @staticmethod
    def backward(ctx, cotangents):
        inputs, weights = ctx.saved_tensors
        if _is_batched(cotangents):
            gradients = _TracedVjp.apply(inputs, weights, cotangents, ctx.seed, ctx.handle, *ctx.needs)
        elif torch.is_grad_enabled():  # create_graph: the gradient is to be differentiated again
            gradients = _EagerVjp.apply(ctx, inputs, weights, cotangents, ctx.seed)
        else:
            gradients = _vjp(ctx, inputs, weights, cotangents, ctx.seed)
        return None, None, None, None, *gradients


def _vjp(ctx, inputs, weights, cotangents, seed):
    if (gpu := _gpu(ctx.evaluation, weights)) is not None:
        return gpu.vjp(inputs, weights, cotangents, ctx.kept, ctx.needs)
    arrays = _array(inputs), _array(weights), _array(cotangents)
    gradients = ctx.evaluation.vjp(*arrays, _sequence(ctx.evaluation, seed), ctx.kept, ctx.needs)
    return _tensor(gradients[0], weights), _tensor(gradients[1], weights)


class _EagerVjp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, outer, inputs, weights, cotangents, seed):
        ctx.evaluation, ctx.seed = outer.evaluation, seed  # not saved: the stream may be set while the graph lives
        ctx.save_for_backward(inputs, weights, cotangents)
        return _vjp(outer, inputs, weights, cotangents, seed)

    @staticmethod
    @once_differentiable
    def backward(ctx, v_inputs, v_weights):
        inputs, weights, cotangents = ctx.saved_tensors
        if (gpu := _gpu(ctx.evaluation, weights)) is not None:
            return None, *gpu.second(inputs, weights, cotangents, v_inputs, v_weights), None
        arrays = [_array(t) for t in (inputs, weights, cotangents, v_inputs, v_weights)]
        return None, *_tensors(weights, *ctx.evaluation.second(*arrays, _sequence(ctx.evaluation, ctx.seed))), None


@torch.library.custom_op("qml_lab::expectation", mutates_args=())
def _op(inputs: torch.Tensor, weights: torch.Tensor, seed: torch.Tensor, handle: int) -> torch.Tensor:
    evaluation = _EVALUATIONS[handle]
    if (gpu := _gpu(evaluation, weights)) is not None:
        return gpu.forward(inputs, weights, False)[0]
    values = evaluation.values(_array(inputs), _array(weights), _sequence(evaluation, seed))
    return _tensor(values, weights)


@_op.register_fake
def _(inputs, weights, seed, handle):
    return weights.new_empty(inputs.shape[0], _EVALUATIONS[handle].n_outputs)


@torch.library.custom_op("qml_lab::vjp", mutates_args=())
def _vjp_op(
    inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor, seed: torch.Tensor,
    handle: int, needs_inputs: bool, needs_weights: bool,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    needs = needs_inputs, needs_weights
    evaluation = _EVALUATIONS[handle]
    if (gpu := _gpu(evaluation, weights)) is not None:
        return gpu.vjp(inputs, weights, cotangents, None, needs)
    arrays = [_array(t) for t in (inputs, weights, cotangents)]
    return _tensors(weights, *evaluation.vjp(*arrays, _sequence(evaluation, seed), needs=needs))


@_vjp_op.register_fake
def _(inputs, weights, cotangents, seed, handle, needs_inputs, needs_weights):
    return inputs.new_empty(inputs.shape), weights.new_empty(weights.shape)


@torch.library.custom_op("qml_lab::second", mutates_args=())
def _second_op(
    inputs: torch.Tensor, weights: torch.Tensor, cotangents: torch.Tensor,
    v_inputs: torch.Tensor, v_weights: torch.Tensor, seed: torch.Tensor, handle: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    evaluation = _EVALUATIONS[handle]
    if (gpu := _gpu(evaluation, weights)) is not None:
        return gpu.second(inputs, weights, cotangents, v_inputs, v_weights)
    arrays = [_array(t) for t in (inputs, weights, cotangents, v_inputs, v_weights)]
    return _tensors(weights, *evaluation.second(*arrays, _sequence(evaluation, seed)))


@_second_op.register_fake
def _(inputs, weights, cotangents, v_inputs, v_weights, seed, handle):
    return tuple(t.new_empty(t.shape) for t in (inputs, weights, cotangents))


def _hold(ctx) -> None:
    """The evaluation lives as long as the graph; a compiled one is kept by its layer."""
    if not torch.compiler.is_compiling():
        ctx.evaluation = _EVALUATIONS[ctx.handle]


class _Traced(torch.autograd.Function):
    @staticmethod
    def forward(inputs, weights, seed, handle):
        return _op(inputs, weights, seed, handle)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.handle = inputs
        _hold(ctx)
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, cotangents):
        inputs, weights, seed = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        return *_TracedVjp.apply(inputs, weights, cotangents, seed, ctx.handle, *needs), None, None

    @staticmethod
    def vmap(info, in_dims, inputs, weights, seed, handle):
        fold, seed = _Fold(info.batch_size, in_dims[0], in_dims[1], inputs, weights), _first(seed, in_dims[2])
        return fold.out(_Traced.apply(fold.inputs, fold.weights, seed, handle)), 0


class _TracedVjp(torch.autograd.Function):
    @staticmethod
    def forward(inputs, weights, cotangents, seed, handle, needs_inputs, needs_weights):
        return _vjp_op(inputs, weights, cotangents, seed, handle, needs_inputs, needs_weights)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.handle, _, _ = inputs
        _hold(ctx)
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, v_inputs, v_weights):
        inputs, weights, cotangents, seed = ctx.saved_tensors
        return *_TracedSecond.apply(inputs, weights, cotangents, v_inputs, v_weights, seed, ctx.handle), *[None] * 4

    @staticmethod
    def vmap(info, in_dims, inputs, weights, cotangents, seed, handle, needs_inputs, needs_weights):
        fold, seed = _Fold(info.batch_size, in_dims[0], in_dims[1], inputs, weights), _first(seed, in_dims[3])
        rows = fold.rows(cotangents, in_dims[2])
        gradients = _TracedVjp.apply(fold.inputs, fold.weights, rows, seed, handle, needs_inputs, needs_weights)
        return (fold.out(gradients[0]), fold.of_weights(gradients[1])), (0, 0)


class _TracedSecond(torch.autograd.Function):
    @staticmethod
    def forward(inputs, weights, cotangents, v_inputs, v_weights, seed, handle):
        return _second_op(inputs, weights, cotangents, v_inputs, v_weights, seed, handle)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *_):
        raise Unsupported("third derivatives are not there: differentiate at most twice")

    @staticmethod
    def vmap(info, in_dims, inputs, weights, cotangents, v_inputs, v_weights, seed, handle):
        fold, seed = _Fold(info.batch_size, in_dims[0], in_dims[1], inputs, weights), _first(seed, in_dims[5])
        rows = fold.rows(cotangents, in_dims[2]), fold.rows(v_inputs, in_dims[3])
        along = fold.weight_rows(v_weights, in_dims[4])
        of_inputs, of_weights, of_cotangents = _TracedSecond.apply(fold.inputs, fold.weights, *rows, along, seed, handle)
        return (fold.out(of_inputs), fold.of_weights(of_weights), fold.out(of_cotangents)), (0, 0, 0)


def _first(seed: torch.Tensor, dim: int | None) -> torch.Tensor:
    """Of seeds along a vmapped axis; each row of the folded batch draws anew from one."""
    return seed if dim is None else seed.select(dim, 0)


class _Fold:
    """A vmapped axis of size V folded into the batch: every row gets weights of its own."""

    def __init__(self, size, inputs_dim, weights_dim, inputs, weights):
        self.size = size
        self.per_sample = weights.dim() - (weights_dim is not None) == 2
        self.batch = inputs.shape[-2] if inputs_dim is None else inputs.movedim(inputs_dim, 0).shape[1]
        self.inputs = self.rows(inputs, inputs_dim)
        self.weights = self.weight_rows(weights, weights_dim)

    def _front(self, tensor, dim):
        return tensor.expand(self.size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)

    def rows(self, tensor, dim):
        front = self._front(tensor, dim)
        return front.reshape(self.size * self.batch, front.shape[-1])

    def weight_rows(self, tensor, dim):
        tensor = self._front(tensor, dim)
        if not self.per_sample:
            tensor = tensor.unsqueeze(1).expand(self.size, self.batch, tensor.shape[-1])
        return tensor.reshape(self.size * self.batch, tensor.shape[-1])

    def out(self, tensor):
        return tensor.reshape(self.size, self.batch, *tensor.shape[1:])

    def of_weights(self, tensor):
        rows = self.out(tensor)
        return rows if self.per_sample else rows.sum(dim=1)
