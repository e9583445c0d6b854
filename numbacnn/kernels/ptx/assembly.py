"""What the instructions' files share: code for LLVM, and how a kernel gets it."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError

I32, I64, F32, VOID = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.VoidType()


def compiles_to(intrinsic: Any) -> Callable:
    """Decorator: where a kernel for a GPU calls this function, it gets the intrinsic's code (jit.py puts it there)."""

    def mark(function: Callable) -> Callable:
        function.numbacnn_intrinsic = intrinsic
        return function

    return mark


def assembly(builder: Any, result: Any, args: list, text: str, constraints: str, effect: bool = True) -> Any:
    """One PTX instruction; effect: it does more than its result says, and stays where it stands."""
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(ir.InlineAsm(kind, text, constraints, side_effect=effect), args)


def element(context: Any, builder: Any, kind: Any, array: Any, index: Any, index_kind: Any) -> Any:
    """Pointer to an element of an array with one axis; no bounds, no counting from the end."""
    place = context.cast(builder, index, index_kind, types.intp)
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def check_array(array: Any, what: str) -> None:
    """Raise TypingError unless it is a contiguous array with one axis."""
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C":
        raise TypingError(f"{what} takes contiguous arrays with one axis, not {array}")
