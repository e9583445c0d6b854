"""cp.async: copies from global to shared memory that go on while the thread computes (PTX ISA, "Data Movement and Conversion Instructions:
Asynchronous copy"; compute capability 8.0).

The emulation makes data late: where a copy is to arrive there is NaN (or 255) until the thread waits for it, and only then is the
source read. Other threads must wait for a barrier too. A copy that was never committed never arrives.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ...simulator import SimulationError, current, is_shared
from .assembly import I32, I64, VOID, assembly, check_array, compiles_to, element
from .memory import check_place


def _copy(mode: str, nbytes: int) -> Any:
    """The intrinsic of one width; mode ca: through L1, cg: past it."""

    @intrinsic
    def copy(context, destination, i, source, j, size):
        for array in (destination, source):
            check_array(array, f"cp_async{nbytes}")
            if array.dtype.bitwidth != 32:
                raise TypingError(f"cp_async{nbytes} takes arrays of 4-byte numbers, not {array}")

        def code(context, builder, signature, args):
            to = element(context, builder, destination, args[0], args[1], i)
            if to.type.addrspace != 3:
                to = builder.addrspacecast(to, ir.PointerType(to.type.pointee, 3))
            start = element(context, builder, source, args[2], args[3], j)
            if start.type.addrspace != 1:
                start = builder.addrspacecast(start, ir.PointerType(start.type.pointee, 1))
            given = [builder.ptrtoint(to, I32), builder.ptrtoint(start, I64), context.cast(builder, args[4], size, types.int32)]
            assembly(builder, VOID, given, f"cp.async.{mode}.shared.global [$0], [$1], {nbytes}, $2;", "r,l,r,~{memory}")
            return context.get_dummy_value()

        return types.void(destination, i, source, j, size), code

    return copy


_copy16, _copy4 = _copy("cg", 16), _copy("ca", 4)


@intrinsic
def _commit(context):
    def code(context, builder, signature, args):
        assembly(builder, VOID, [], "cp.async.commit_group;", "~{memory}")
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def _wait(context, count):
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError("cp_wait takes a constant")

    def code(context, builder, signature, args):
        assembly(builder, VOID, [], f"cp.async.wait_group {count.literal_value};", "~{memory}")
        return context.get_dummy_value()

    return types.void(count), code


def _note(destination: np.ndarray, i: int, source: np.ndarray, j: int, size: int, count: int) -> None:
    what = f"cp_async{4 * count}"
    check_place(destination, i, count, f"{what}'s destination")
    if not is_shared(destination):
        raise SimulationError(f"{what}: its destination is no shared memory")
    if not 0 <= size <= 4 * count or size % 4:
        raise SimulationError(f"{what}: {size} bytes of {4 * count}")
    if size:
        check_place(source, j, size // 4, f"{what}'s source", count)
    target = destination[i : i + count]
    target.view(np.uint8).fill(255)
    current().copies[-1].append((target, source[j : j + size // 4] if size else source[:0]))


@compiles_to(_copy16)
def cp_async16(destination: Any, i: int, source: Any, j: int, size: int) -> None:
    """Start destination[i : i + 4] = source[j : j + 4], both aligned to 16 bytes (cp.async.cg); behind the first `size` bytes come zeros.

    destination is shared, source global. With size=0 nothing is read, wherever j points.
    """
    _note(destination, i, source, j, size, 4)


@compiles_to(_copy4)
def cp_async4(destination: Any, i: int, source: Any, j: int, size: int) -> None:
    """Start destination[i] = source[j], or 0 with size=0 (cp.async.ca)."""
    _note(destination, i, source, j, size, 1)


@compiles_to(_commit)
def cp_commit() -> None:
    """The copies that this thread has started since the last time are a group (cp.async.commit_group)."""
    current().copies.append([])


@compiles_to(_wait)
def cp_wait(count: int) -> None:
    """Wait until at most the `count` newest groups of this thread are under way (cp.async.wait_group); a constant."""
    copies = current().copies
    while len(copies) > count + 1:
        for target, source in copies.pop(0):
            target[: source.size] = source.view(target.dtype)  # bits are copied, whatever the types
            target[source.size :] = 0
