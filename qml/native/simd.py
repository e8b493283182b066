"""An explicit SIMD type for Numba: one register of lanes as one value, with the handful of operations the kernels need.

Loops over lanes written out cost the compiler's guesses; a value of this type is one register of the machine: 64 bytes
with AVX-512, 32 with AVX, 16 elsewhere (NEON, SSE). QML_LAB_VECTOR=32 or 16 asks for a narrower one than there is.
"""

import operator
import os

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from circuits.errors import LabError

WIDTHS = (64, 32, 16)


def _width(asked: str | None) -> int:
    if asked is not None:
        if asked not in map(str, WIDTHS):
            raise LabError(f"QML_LAB_VECTOR is the bytes of a vector, one of {', '.join(map(str, WIDTHS))}, got {asked!r}")
        return int(asked)
    features = binding.get_host_cpu_features() if numba.config.CPU_NAME is None else {}
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


WIDTH = _width(os.environ.get("QML_LAB_VECTOR"))  # bytes
HAS_PERMUTE = WIDTH == 64 and numba.config.CPU_NAME is None and bool(binding.get_host_cpu_features().get("avx512f"))


class Vector(types.Type):
    """The Numba type of `lanes` floats in one register."""

    def __init__(self, element: types.Float):
        self.element, self.lanes = element, WIDTH * 8 // element.bitwidth
        super().__init__(name=f"Vector({element}x{self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.element).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def lanes_of(dtype) -> int:
    """How many lanes of a NumPy float type one vector has."""
    return WIDTH // np.dtype(dtype).itemsize


class Pointer(types.Type):
    """The Numba type of the address of numbers that lie end to end.

    Kernels pass addresses rather than arrays: an array is seven values and a reference count, which a function of twenty
    tables is half a second longer to compile for. The caller keeps the memory and knows its size.
    """

    def __init__(self, element: types.Number):
        self.element = element
        super().__init__(name=f"Pointer({element})")


@register_model(Pointer)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager, pointer):
        element = manager.lookup(pointer.element).get_data_type()
        super().__init__(manager, pointer, ir.PointerType(element))


@intrinsic
def address(typingctx, array):
    """Where a contiguous array starts."""
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None

    def codegen(context, builder, signature, args):
        return cgutils.create_struct_proxy(array)(context, builder, args[0]).data

    return Pointer(array.dtype)(array), codegen


@intrinsic
def shift(typingctx, pointer, count):
    """The address `count` numbers further on."""
    if not (isinstance(pointer, Pointer) and isinstance(count, types.Integer)):
        return None

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [context.cast(builder, args[1], signature.args[1], types.intp)])

    return pointer(pointer, count), codegen


@intrinsic
def _get(typingctx, pointer, index):
    def codegen(context, builder, signature, args):
        at = builder.gep(args[0], [context.cast(builder, args[1], signature.args[1], types.intp)])
        return builder.load(at)

    return pointer.element(pointer, index), codegen


@intrinsic
def _set(typingctx, pointer, index, value):
    def codegen(context, builder, signature, args):
        at = builder.gep(args[0], [context.cast(builder, args[1], signature.args[1], types.intp)])
        builder.store(context.cast(builder, args[2], signature.args[2], pointer.element), at)
        return context.get_dummy_value()

    return types.void(pointer, index, value), codegen


@overload(operator.getitem)
def _getitem(pointer, index):
    if isinstance(pointer, Pointer):
        return lambda pointer, index: _get(pointer, index)


@overload(operator.setitem)
def _setitem(pointer, index, value):
    if isinstance(pointer, Pointer):
        return lambda pointer, index, value: _set(pointer, index, value)


def _vector_address(context, builder, signature, args, vector):
    at = builder.gep(args[0], [context.cast(builder, args[1], signature.args[1], types.intp)])
    return builder.bitcast(at, ir.PointerType(context.get_value_type(vector)))


@intrinsic
def load(typingctx, pointer, index):
    """The lanes that start at pointer[index], which must be aligned to whole vectors."""
    if not (isinstance(pointer, Pointer) and isinstance(index, types.Integer)):
        return None
    vector = Vector(pointer.element)

    def codegen(context, builder, signature, args):
        at = _vector_address(context, builder, signature, args, vector)
        return aligned_at(builder.load(at, typ=context.get_value_type(vector)))

    return vector(pointer, index), codegen


@intrinsic
def store(typingctx, pointer, index, value):
    """Write the lanes to where `load` would read them."""
    if not (isinstance(pointer, Pointer) and isinstance(index, types.Integer) and isinstance(value, Vector)):
        return None

    def codegen(context, builder, signature, args):
        aligned_at(builder.store(args[2], _vector_address(context, builder, signature, args, value)))
        return context.get_dummy_value()

    return types.void(pointer, index, value), codegen


@intrinsic
def equal_lanes(typingctx, pointer, number):
    """Every lane the number, as a vector of what the address points at."""
    if not (isinstance(pointer, Pointer) and isinstance(number, types.Number)):
        return None
    vector = Vector(pointer.element)

    def codegen(context, builder, signature, args):
        number = context.cast(builder, args[1], signature.args[1], pointer.element)
        return _spread(builder, number, context.get_value_type(vector))

    return vector(pointer, number), codegen


def _spread(builder, number, kind):
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


@intrinsic
def broadcast(typingctx, number):
    """Every lane the same number."""
    if not isinstance(number, types.Float):
        return None
    vector = Vector(number)

    def codegen(context, builder, signature, args):
        return _spread(builder, args[0], context.get_value_type(vector))

    return vector(number), codegen


def _binary(name: str, operation: str):
    @intrinsic
    def operate(typingctx, a, b):
        if not (isinstance(a, Vector) and a == b):
            return None

        def codegen(context, builder, signature, args):
            return getattr(builder, operation)(*args)

        return a(a, b), codegen

    operate.__doc__ = f"Lane by lane: {name}."
    return operate


add = _binary("a + b", "fadd")
sub = _binary("a - b", "fsub")
mul = _binary("a * b", "fmul")


@intrinsic
def fma(typingctx, a, b, c):
    """Lane by lane a * b + c, rounded once where the machine can."""
    if not (isinstance(a, Vector) and a == b == c):
        return None

    def codegen(context, builder, signature, args):
        kind = context.get_value_type(a)
        suffix = f"v{a.lanes}f{a.element.bitwidth}"
        # fmuladd is fma where the machine has one, and not a slow call of the C library where it has none
        name = f"llvm.fmuladd.{suffix}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, args)

    return a(a, b, c), codegen


@intrinsic
def negate(typingctx, a):
    """Every lane with its sign changed."""
    if not isinstance(a, Vector):
        return None

    def codegen(context, builder, signature, args):
        return builder.fneg(args[0])

    return a(a), codegen


def _permuted_by_index(builder, value, kind, vector, delta):
    """One instruction of AVX-512."""
    integer = ir.IntType(vector.element.bitwidth)
    indices = ir.VectorType(integer, vector.lanes)
    delta = builder.trunc(delta, integer) if integer.width < delta.type.width else delta
    order = builder.xor(_spread(builder, delta, indices), ir.Constant(indices, list(range(vector.lanes))))
    name = f"llvm.x86.avx512.permvar.{'df' if integer.width == 64 else 'sf'}.512"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind, indices]), name)
    return builder.call(function, [value, order])


def _permuted_by_bits(builder, value, kind, vector, delta):
    """A swap of neighbours, of pairs, of fours, ... wherever that bit of delta is set."""
    bit = 1
    while bit < vector.lanes:
        order = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [lane ^ bit for lane in range(vector.lanes)])
        moved = builder.shuffle_vector(value, ir.Constant(kind, ir.Undefined), order)
        asked = builder.icmp_signed("!=", builder.and_(delta, delta.type(bit)), delta.type(0))
        value = builder.select(asked, moved, value)
        bit *= 2
    return value


permuted = _permuted_by_index if HAS_PERMUTE else _permuted_by_bits


def aligned_at(instruction):
    """The load or store, told that its address is that of a whole vector."""
    instruction.align = WIDTH
    return instruction


@intrinsic
def exchange(typingctx, a, delta):
    """Lane l of the result is lane l ^ delta."""
    if not (isinstance(a, Vector) and isinstance(delta, types.Integer)):
        return None

    def codegen(context, builder, signature, args):
        delta = context.cast(builder, args[1], signature.args[1], types.intp)
        return permuted(builder, args[0], context.get_value_type(a), a, delta)

    return a(a, delta), codegen


@intrinsic
def total(typingctx, a):
    """The sum of the lanes, added pairwise."""
    if not isinstance(a, Vector):
        return None

    def codegen(context, builder, signature, args):
        value, lanes = args[0], a.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(start, start + lanes))) for start in (0, lanes)
            )
            value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return a.element(a), codegen


@intrinsic
def _as_integer(typingctx, pointer):
    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(pointer), codegen


@numba.njit(cache=True)
def _start(array):
    return _as_integer(address(array))


def aligned(dtype, *sizes: int) -> list[np.ndarray]:
    """Flat uninitialised arrays of these sizes in one allocation, each starting where a vector may be loaded."""
    lanes = lanes_of(dtype)
    raw = np.empty(sum(sizes) + (len(sizes) + 1) * lanes, dtype)
    start = -_start(raw) % WIDTH // raw.itemsize  # NumPy's own ways to ask for an address take ten times as long
    arrays = []
    for size in sizes:
        arrays.append(raw[start : start + size])
        start += -(-size // lanes) * lanes
    return arrays
