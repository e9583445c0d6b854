"""What the instructions' files share: code for LLVM, and how a Python function gets it."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import overload

I32, I64, F32, VOID = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.VoidType()


def compiles_to(function: Callable, code: Callable) -> None:
    """Compiled for a GPU, a call of `function` is `code`, a function that numba-cuda can compile and that calls an intrinsic."""
    overload(function, strict=False)(lambda *_: code)


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
