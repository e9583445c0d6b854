"""A kernel's Python function becomes object code that any number of threads may enter at once.

Numba's own parallel loops are compiled several times over: the loop's body apart from its function, each through all passes. Here a
kernel is compiled once, like any serial function, with hidden parameters that say which part of the jobs is to be done
(share_loop.py). Functions that it calls are optimized in it, and not before on their own.

The code is entered through `int32 entry(slots, first, last, rest, exception)`, where slots holds the arguments (see `pack`).
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core import codegen, compiler, dispatcher
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.untyped_passes import TranslateByteCode

from .share_loop import HIDDEN, ManyLoops, ShareLoop

LAYER, WIDE = 4, 8  # kinds, beside those of share_loop.py: Numba's threading layer runs the loops; float64 is computed with
_INT = llvm.IntType(64)


# ---- the arguments


def pack(values: tuple) -> list[int]:
    """The slots of 64 bits that hold a kernel's arguments: of an array its size, item size, address, shape and strides."""
    slots = []
    for value in values:
        if isinstance(value, np.ndarray):
            slots += [value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
        elif isinstance(value, tuple):
            slots += pack(value)
        elif isinstance(value, (float, np.floating)):
            slots.append(int(np.array(value).view(f"u{np.dtype(type(value)).itemsize}")))
        else:
            slots.append(int(value) & 0xFFFFFFFFFFFFFFFF)
    return slots


def _unpack(context: Any, builder: Any, kind: types.Type, slots: Iterator[Any]) -> Any:
    """The LLVM value of one argument."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder)
        null = llvm.Constant(llvm.IntType(8).as_pointer(), None)
        size, item, data, *rest = (next(slots) for _ in range(3 + 2 * kind.ndim))
        array.meminfo, array.parent, array.nitems, array.itemsize = null, null, size, item
        array.data = builder.inttoptr(data, array.data.type)
        array.shape, array.strides = (_array_of(builder, part) for part in (rest[: kind.ndim], rest[kind.ndim :]))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        return context.make_tuple(builder, kind, [_unpack(context, builder, t, slots) for t in kind])
    raw = next(slots)
    if isinstance(kind, types.Boolean):
        return builder.trunc(raw, llvm.IntType(1))
    if isinstance(kind, types.Float):
        return builder.bitcast(builder.trunc(raw, llvm.IntType(32)) if kind.bitwidth == 32 else raw, context.get_value_type(kind))
    if isinstance(kind, types.Integer):
        return builder.trunc(raw, llvm.IntType(kind.bitwidth)) if kind.bitwidth < 64 else raw
    raise TypeError(f"a kernel's arguments are arrays, numbers and tuples of numbers, not {kind}")


def _array_of(builder: Any, values: list) -> Any:
    array = llvm.Constant(llvm.ArrayType(_INT, len(values)), llvm.Undefined)
    for i, value in enumerate(values):
        array = builder.insert_value(array, value, i)
    return array


def _count(kind: types.Type) -> int:
    if isinstance(kind, types.Array):
        return 3 + 2 * kind.ndim
    return sum(map(_count, kind)) if isinstance(kind, types.BaseTuple) else 1


def _add_entry(library: Any, context: Any, fndesc: Any, signature: tuple, hidden: int, symbol: str) -> None:
    """int32 entry(int64 *slots, int64 first, int64 last, int64 rest, void **exception): 0, or Numba's code for what was raised."""
    module = library.create_ir_module(symbol)
    pointer = llvm.IntType(8).as_pointer()
    entry = llvm.Function(module, llvm.FunctionType(llvm.IntType(32), [_INT.as_pointer(), _INT, _INT, _INT, pointer.as_pointer()]), symbol)
    builder = llvm.IRBuilder(entry.append_basic_block())
    slots, first, last, rest, exception = entry.args
    raw = iter([builder.load(builder.gep(slots, [_INT(i)])) for i in range(sum(map(_count, signature)))])
    values = [_unpack(context, builder, kind, raw) for kind in signature]
    function = context.declare_function(module, fndesc)
    more = [first, last, builder.trunc(rest, llvm.IntType(1))][:hidden]
    status, _ = context.call_conv.call_function(builder, function, types.none, fndesc.argtypes, values + more)
    with builder.if_then(status.is_error, likely=False):
        builder.store(builder.bitcast(status.excinfoptr, pointer), exception)
    builder.ret(builder.select(status.is_error, status.code, llvm.IntType(32)(0)))
    library.add_ir_module(module)


# ---- the compiler


class _Pipeline(compiler.CompilerBase):
    def define_pipelines(self) -> list:
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(ShareLoop, TranslateByteCode)
        passes.finalize()
        return [passes]


class _Part(codegen.JITCodeLibrary):
    """A function that a kernel calls: optimized there, and machine code of its own only if Python calls it, too."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    @functools.cached_property
    def whole(self) -> codegen.JITCodeLibrary:
        with global_compiler_lock:
            library = codegen.JITCodeLibrary(self._codegen, self.name)
            library._final_module.link_in(self._final_module, preserve=True)
            library.finalize()
        return library

    def get_pointer_to_function(self, name: str) -> int:
        return self.whole.get_pointer_to_function(name)


class _Later:
    """Stands for a part where Python might call it: what dispatchers keep of it until then."""

    def __init__(self, context: Any, *about: Any):
        self.context, self.about = context, about  # library, description, environment
        self.known: Callable[[Any], None] = lambda _: None

    @functools.cached_property
    def entry(self) -> Any:
        library, *rest = self.about
        return type(self.context).get_executable(self.context, library.whole, *rest)

    def __call__(self, *args: Any) -> Any:
        self.known(self.entry)  # dispatchers borrow it: it lives as long as this
        return self.entry(*args)


def _add_overload(self: Any, result: Any) -> None:
    """Numba's, which takes an entry point's address; one that stands for it is called the slow way, once."""
    if isinstance(result.entry_point, _Later):
        args = tuple(result.signature.args)
        self.overloads[args] = result
        result.entry_point.known = lambda entry: self._insert([t._code for t in args], entry, result.objectmode)
    else:
        _add(self, result)


_add = dispatcher.Dispatcher.add_overload
dispatcher.Dispatcher.add_overload = _add_overload


@contextmanager
def _parts(context: Any) -> Iterator[None]:
    """Meanwhile Numba makes parts of all that it compiles."""
    code = context.codegen()
    code._library_class, context.get_executable = _Part, functools.partial(_Later, context)
    try:
        yield
    finally:
        del context.get_executable
        code._library_class = codegen.JITCodeLibrary


_DOUBLE = re.compile(r"^  .*\bdouble\b.*$", re.MULTILINE)  # an instruction, in optimized LLVM IR
_LENGTH = re.compile(r"= ([us]itofp|fcmp) ")  # alone they only compare sizes, of which one is unsigned
_DIGITS = re.compile(r"(%\S+) = .*@llvm\.log10\.f64\(double (%[^\s)]+)\)")  # of an integer, for an error's message


def computes_wide(code: str) -> bool:
    """Whether there is float64 in optimized LLVM IR; how Numba's own code compares sizes and writes messages is not meant."""
    return any(map(_function_computes_wide, code.split("\ndefine ")))


def _function_computes_wide(code: str) -> bool:
    lines = [line for line in _DOUBLE.findall(code) if not _LENGTH.search(line)]
    made = {line.split()[0] for line in lines}
    digits = {name for line in lines if (found := _DIGITS.search(line)) and found[2] not in made for name in found.groups()}
    digits |= {line.split()[0] for line in lines if "@llvm.floor.f64" in line and digits & _names(line)}
    return not all(digits & _names(line) for line in lines)


def _names(line: str) -> set[str]:
    return set(re.findall(r"%[^\s,)]+", line))


class _Library(codegen.JITCodeLibrary):
    """Becomes object code, in which only the entry can be seen: nothing is shared with what other kernels carry along."""

    entry, object_code, wide = "", b"", False

    def _optimize_final_module(self) -> None:
        module = self._final_module
        for symbol in (*module.functions, *module.global_variables):
            if not symbol.is_declaration and symbol.name != self.entry:
                symbol.linkage = "internal"
        super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        self._verify_declare_only_symbols()
        self.wide = computes_wide(str(self._final_module))
        self.object_code = self._codegen._tm.emit_object(self._final_module)
        self._finalized = True


def translate(func: Callable, signature: tuple, symbol: str, options: dict) -> tuple[int, bytes]:
    """(kind, object code with an entry of that name). options: Numba's, such as fastmath.

    A kernel with several loops is left to Numba's own way of running them in parallel.
    """
    with global_compiler_lock:
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
        try:
            with _parts(cpu_target.target_context):
                return _translate(func, signature, symbol, options, _Pipeline, tuple(HIDDEN.values()))
        except ManyLoops:
            return _translate(func, signature, symbol, options | {"parallel": True}, compiler.Compiler, ())


def _translate(func: Callable, signature: tuple, symbol: str, options: dict, pipeline: type, hidden: tuple) -> tuple[int, bytes]:
    flags = compiler.Flags()
    cpu_target.options.parse_as_flags(flags, {"nopython": True, "boundscheck": None, **options})
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    typing, context = cpu_target.typing_context, cpu_target.target_context
    library = _Library(context.codegen(), symbol)
    kinds = (*signature, *hidden)
    result = compiler.compile_extra(typing, context, func, kinds, types.none, flags, {}, library=library, pipeline_class=pipeline)
    library.entry = symbol
    _add_entry(library, context, result.fndesc, signature, len(hidden), symbol)
    library.finalize()
    return result.metadata.get("kind", LAYER) | WIDE * library.wide, library.object_code
