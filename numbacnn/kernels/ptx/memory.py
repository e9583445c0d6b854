"""Loads and stores of one or four neighbouring numbers. Places are counted from 0 and not checked on a GPU; the emulation checks them."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ...simulator import SimulationError
from .assembly import I32, check_array, compiles_to, element

ALIGNMENT = 16  # bytes that one instruction moves at most, and their alignment


def check_place(array: np.ndarray, index: int, count: int, what: str, moved: int = 0) -> None:
    """Raise SimulationError unless the `count` elements from `index` on are there and aligned to what is moved at once (PTX ISA, "Addresses as
    Operands"): to the size of `moved` elements, if that is more than count."""
    if array.ndim != 1:
        raise SimulationError(f"{what}: an array of shape {array.shape} has more than one axis")
    if not 0 <= index <= array.size - count:
        raise SimulationError(f"{what}: elements {index} to {index + count - 1} of an array of {array.size}")
    unit = min(max(count, moved) * array.itemsize, ALIGNMENT)
    if (array.__array_interface__["data"][0] + array.itemsize * int(index)) % unit:
        raise SimulationError(f"{what}: element {index} does not lie at a multiple of {unit} bytes (shared arrays: say alignment={ALIGNMENT})")


@intrinsic
def _load1(context, array, index):
    check_array(array, "load1")

    def code(context, builder, signature, args):
        return builder.load(element(context, builder, array, args[0], args[1], index))

    return array.dtype(array, index), code


@intrinsic
def _store1(context, array, index, value):
    check_array(array, "store1")

    def code(context, builder, signature, args):
        value_ = context.cast(builder, args[2], value, array.dtype)
        builder.store(value_, element(context, builder, array, args[0], args[1], index))
        return context.get_dummy_value()

    return types.void(array, index, value), code


@intrinsic
def _load4(context, array, index):
    check_array(array, "load4")
    result = types.UniTuple(array.dtype, 4)

    def code(context, builder, signature, args):
        place = element(context, builder, array, args[0], args[1], index)
        vector = builder.load(builder.bitcast(place, ir.VectorType(place.type.pointee, 4).as_pointer(place.type.addrspace)))
        vector.align = ALIGNMENT
        return context.make_tuple(builder, result, [builder.extract_element(vector, I32(k)) for k in range(4)])

    return result(array, index), code


@intrinsic
def _store4(context, array, index, a, b, c, d):
    check_array(array, "store4")

    def code(context, builder, signature, args):
        place = element(context, builder, array, args[0], args[1], index)
        kind = ir.VectorType(place.type.pointee, 4)
        vector = ir.Constant(kind, ir.Undefined)
        for k, given in enumerate((a, b, c, d)):
            vector = builder.insert_element(vector, context.cast(builder, args[2 + k], given, array.dtype), I32(k))
        builder.store(vector, builder.bitcast(place, kind.as_pointer(place.type.addrspace))).align = ALIGNMENT
        return context.get_dummy_value()

    return types.void(array, index, a, b, c, d), code


@compiles_to(_load1)
def load1(array: Any, index: int) -> Any:
    """array[index], without counting from the end."""
    check_place(array, index, 1, "load1")
    return int(array[index]) if array.dtype.kind == "i" else array[index]  # Numba counts on with 64 bits


@compiles_to(_store1)
def store1(array: Any, index: int, value: Any) -> None:
    """array[index] = value, without counting from the end."""
    check_place(array, index, 1, "store1")
    array[index] = value


@compiles_to(_load4)
def load4(array: Any, index: int) -> tuple:
    """array[index : index + 4] in one instruction (ld.v4; two where an element has 8 bytes)."""
    check_place(array, index, 4, "load4")
    return array[index], array[index + 1], array[index + 2], array[index + 3]


@compiles_to(_store4)
def store4(array: Any, index: int, a: Any, b: Any, c: Any, d: Any) -> None:
    """array[index : index + 4] = a, b, c, d in one instruction (st.v4)."""
    check_place(array, index, 4, "store4")
    array[index : index + 4] = a, b, c, d
