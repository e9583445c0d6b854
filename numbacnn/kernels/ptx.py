"""Wide loads and stores for CUDA kernels: Numba's own are of one element each, and wrap negative indices around.

Each name is a plain function, which the simulator runs, and machine code behind it for kernels. Indices count elements; arrays have one axis
and their elements are contiguous. The four elements must start at a multiple of 16 bytes, as the hardware demands (checked in the simulator).
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic, overload

ALIGNED = 16  # bytes: what the hardware moves at once


def _place(context, builder, kind, array, index, index_kind):
    """The address of an element."""
    there = context.make_array(kind)(context, builder, array)
    return builder.gep(there.data, [context.cast(builder, index, index_kind, numba.types.intp)])


@intrinsic
def _load1(context, array, index):
    def code(context, builder, signature, args):
        return builder.load(_place(context, builder, array, args[0], args[1], index))

    return array.dtype(array, index), code


@intrinsic
def _load4(context, array, index):
    four = numba.types.UniTuple(array.dtype, 4)

    def code(context, builder, signature, args):
        place = _place(context, builder, array, args[0], args[1], index)
        vector = builder.load(builder.bitcast(place, ir.VectorType(place.type.pointee, 4).as_pointer()))
        vector.align = ALIGNED
        return context.make_tuple(builder, four, [builder.extract_element(vector, ir.Constant(ir.IntType(32), k)) for k in range(4)])

    return four(array, index), code


@intrinsic
def _store1(context, array, index, value):
    def code(context, builder, signature, args):
        place = _place(context, builder, array, args[0], args[1], index)
        builder.store(context.cast(builder, args[2], value, array.dtype), place)
        return context.get_dummy_value()

    return numba.types.void(array, index, value), code


@intrinsic
def _store4(context, array, index, a, b, c, d):
    kinds = (a, b, c, d)

    def code(context, builder, signature, args):
        place = _place(context, builder, array, args[0], args[1], index)
        vector = ir.Constant(ir.VectorType(place.type.pointee, 4), ir.Undefined)
        for k, kind in enumerate(kinds):
            vector = builder.insert_element(vector, context.cast(builder, args[2 + k], kind, array.dtype), ir.Constant(ir.IntType(32), k))
        builder.store(vector, builder.bitcast(place, vector.type.as_pointer())).align = ALIGNED
        return context.get_dummy_value()

    return numba.types.void(array, index, *kinds), code


def _check(array: np.ndarray, index: int, count: int) -> None:
    """What a GPU would not forgive."""
    if not 0 <= index <= array.size - count:
        raise IndexError(f"elements {index} to {index + count - 1} of an array of {array.size}")
    if count > 1 and index * array.itemsize % ALIGNED:
        raise ValueError(f"four elements from number {index} on don't start at a multiple of {ALIGNED} bytes")


def load1(array, index, _compiled=_load1):
    """array[index]; a negative index is an error."""
    _check(array, index, 1)
    return array[index]


def load4(array, index, _compiled=_load4):
    """(array[index], …, array[index + 3]) in one access."""
    _check(array, index, 4)
    return tuple(array[index : index + 4])


def store1(array, index, value, _compiled=_store1):
    """array[index] = value; a negative index is an error."""
    _check(array, index, 1)
    array[index] = value


def store4(array, index, a, b, c, d, _compiled=_store4):
    """array[index], …, array[index + 3] = a, b, c, d in one access."""
    _check(array, index, 4)
    array[index : index + 4] = a, b, c, d


overload(load1)(lambda array, index: lambda array, index: _load1(array, index))
overload(load4)(lambda array, index: lambda array, index: _load4(array, index))
overload(store1)(lambda array, index, value: lambda array, index, value: _store1(array, index, value))
overload(store4)(lambda array, index, a, b, c, d: lambda array, index, a, b, c, d: _store4(array, index, a, b, c, d))
