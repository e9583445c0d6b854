"""A kernel's Python function becomes object code that any number of threads may enter at once.

Numba's own parallel loops are compiled several times over (the loop's body apart from its function, each through all passes), and
their jobs are dealt out before the first has run. Here a kernel is compiled once, like any serial function, with three hidden
parameters: `for job in prange(n)` runs from n * first to n * last (in units of 1 / WHOLE), and what follows the loop runs only
with `rest`, when all jobs are done. What stands before the loop is done by every thread that joins: it may compute, not write.

The code is entered through `int32 entry(slots, first, last, rest, exception)`, where slots holds the arguments (see `pack`).
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from llvmlite import ir as llvm
from numba import prange, types
from numba.core import codegen, compiler, dispatcher, errors, ir
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.registry import cpu_target
from numba.core.untyped_passes import TranslateByteCode
from numba.extending import intrinsic, register_jitable

BITS = 20
WHOLE = 1 << BITS  # `first` and `last` count in parts of this
LINE = 64  # loops over many elements are cut at multiples of it, so that every cut leaves whole vectors
HIDDEN = ("share.first", "share.last", "share.rest")
_INT = llvm.IntType(64)


# ---- the loop


@register_jitable
def _cut(n, part):
    """Where `part` / WHOLE of n jobs end."""
    place = n * part >> BITS
    return place & -LINE if n >= LINE * LINE and part < WHOLE else place


@register_jitable
def _share(n, first, last):
    """The jobs of n that lie between two parts."""
    return range(_cut(n, first), _cut(n, last))


@intrinsic
def _natural(typingctx, job):
    """The job's number, of which LLVM shall know that it is not negative: without that, no loop over elements is vectorized."""

    def codegen(context, builder, signature, args):
        builder.assume(builder.icmp_signed(">=", args[0], args[0].type(0)))
        return args[0]

    return job(job), codegen


class _ManyLoops(Exception):
    """Several loops over prange, or one that is run several times."""


@register_pass(mutates_CFG=True, analysis_only=False)
class _ShareLoop(FunctionPass):
    """Gives a function the hidden parameters and its prange loop the jobs between them."""

    _name = "numbacnn_share_loop"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        func_ir = state.func_ir
        first_block = func_ir.blocks[min(func_ir.blocks)]
        loc = first_block.loc
        hidden = [ir.Var(first_block.scope, name, loc) for name in HIDDEN]
        for i, var in enumerate(hidden):
            first_block.body.insert(i, ir.Assign(ir.Arg(var.name, func_ir.arg_count + i, loc), var, loc))
        func_ir.arg_count += len(hidden)
        func_ir.arg_names = (*func_ir.arg_names, *HIDDEN)
        if not _has_one_loop(func_ir):
            raise _ManyLoops
        state.metadata["parallel"] = state.metadata["rest"] = False
        for block, call in _pranges(func_ir):
            call.value = ir.Expr.call(_insert_global(block, call, "share.jobs", _share), (*call.value.args, *hidden[:2]), (), loc)
            header, job = _header(func_ir, call.target)
            natural = _insert_global(header, job, "share.natural", _natural)
            raw = ir.Var(header.scope, "share.job", loc)
            header.body.insert(header.body.index(job), ir.Assign(job.value, raw, loc))
            job.value = ir.Expr.call(natural, (raw,), (), loc)
            state.metadata["parallel"] = True
            state.metadata["rest"] = _guard_rest(func_ir, header, hidden[2])
        return True


def _insert_global(block: Any, before: Any, name: str, value: Any) -> Any:
    """A variable that holds `value`, from the statement `before` on."""
    var = ir.Var(block.scope, name, block.loc)
    block.body.insert(block.body.index(before), ir.Assign(ir.Global(name, value, block.loc), var, block.loc))
    return var


def _pranges(func_ir: Any) -> list[tuple[Any, Any]]:
    """(block, assignment of the call) of every prange."""
    found = []
    for block in func_ir.blocks.values():
        for statement in block.find_insts(ir.Assign):
            call = statement.value
            if isinstance(call, ir.Expr) and call.op == "call":
                with suppress(errors.ConstantInferenceError, KeyError):  # no constant is called
                    if func_ir.infer_constant(call.func) is prange:
                        found.append((block, statement))
    return found


def _has_one_loop(func_ir: Any) -> bool:
    """Whether there is at most one prange, and that not in another loop."""
    places = [label for label, block in func_ir.blocks.items() for found, _ in _pranges(func_ir) if found is block]
    around = [loop.body for loop in compute_cfg_from_blocks(func_ir.blocks).loops().values()]
    return len(places) <= 1 and not any(label in body for label in places for body in around)


def _header(func_ir: Any, jobs: Any) -> tuple[Any, Any]:
    """(block that begins each turn of the loop over `jobs`, the assignment there that takes the next job)."""
    names, before = {jobs.name}, 0  # of the jobs, of the iterator over them, and their copies
    statements = [(block, s) for block in func_ir.blocks.values() for s in block.find_insts(ir.Assign)]
    while len(names) > before:
        before = len(names)
        names |= {s.target.name for _, s in statements if (isinstance(s.value, ir.Var) and s.value.name in names) or _is(s.value, "getiter", names)}
    header, turn = next((block, s) for block, s in statements if _is(s.value, "iternext", names))
    return header, next(s for s in header.find_insts(ir.Assign) if _is(s.value, "pair_first", {turn.target.name}))


def _guard_rest(func_ir: Any, header: Any, rest: Any) -> bool:
    """Let what follows the loop run only with `rest`; whether anything follows."""
    branch = header.terminator
    if _only_returns(func_ir, branch.falsebr):
        return False
    loc, scope, label = header.loc, header.scope, max(func_ir.blocks) + 1
    guard, end = ir.Block(scope, loc), ir.Block(scope, loc)
    nothing, value = ir.Var(scope, "share.none", loc), ir.Var(scope, "share.return", loc)
    guard.append(ir.Branch(rest, branch.falsebr, label + 1, loc))
    end.append(ir.Assign(ir.Const(None, loc), nothing, loc))
    end.append(ir.Assign(ir.Expr.cast(nothing, loc), value, loc))
    end.append(ir.Return(value, loc))
    func_ir.blocks[label], func_ir.blocks[label + 1] = guard, end
    header.body[-1] = ir.Branch(branch.cond, branch.truebr, label, branch.loc)
    return True


def _is(expression: Any, op: str, names: set[str]) -> bool:
    return isinstance(expression, ir.Expr) and expression.op == op and expression.value.name in names


def _only_returns(func_ir: Any, label: int) -> bool:
    *body, last = func_ir.blocks[label].body
    trivial = all(isinstance(s, (ir.Del, ir.PopBlock)) or (isinstance(s, ir.Assign) and _is_plain(s.value)) for s in body)
    return trivial and (isinstance(last, ir.Return) or (isinstance(last, ir.Jump) and _only_returns(func_ir, last.target)))


def _is_plain(value: Any) -> bool:
    return isinstance(value, (ir.Const, ir.Var)) or (isinstance(value, ir.Expr) and value.op == "cast")


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
        passes.add_pass_after(_ShareLoop, TranslateByteCode)
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


class _Library(codegen.JITCodeLibrary):
    """Becomes object code, in which only the entry can be seen: nothing is shared with what other kernels carry along."""

    entry, object_code = "", b""

    def _optimize_final_module(self) -> None:
        module = self._final_module
        for symbol in (*module.functions, *module.global_variables):
            if not symbol.is_declaration and symbol.name != self.entry:
                symbol.linkage = "internal"
        super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        self._verify_declare_only_symbols()
        self.object_code = self._codegen._tm.emit_object(self._final_module)
        self._finalized = True


def translate(func: Callable, signature: tuple, symbol: str, options: dict) -> tuple[bytes, bool, bool]:
    """(object code with an entry of that name, whether its loop can be shared out, whether something follows the loop).

    options: Numba's, such as fastmath. A kernel with several loops is left to Numba's own way of running them in parallel.
    """
    with global_compiler_lock:
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
        try:
            with _parts(cpu_target.target_context):
                return _translate(func, signature, symbol, options, _Pipeline, (types.int64, types.int64, types.boolean))
        except _ManyLoops:
            return _translate(func, signature, symbol, options | {"parallel": True}, compiler.Compiler, ())


def _translate(func: Callable, signature: tuple, symbol: str, options: dict, pipeline: type, hidden: tuple) -> tuple[bytes, bool, bool]:
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
    return library.object_code, result.metadata.get("parallel", False), result.metadata.get("rest", False)
