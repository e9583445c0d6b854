"""A kernel's loop over prange becomes one that any number of threads may enter: a pass over Numba's representation of the function.

The function gets three hidden parameters. `for job in prange(n)` runs from n * first to n * last (in units of 1 / WHOLE), and what
follows the loop runs only with `rest`, when all jobs are done. What stands before the loop is done by every thread that joins: it
may compute, but what it writes, all write.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import prange, types
from numba.core import errors, ir
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.compiler import run_frontend
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.extending import intrinsic, register_jitable

BITS = 20
WHOLE = 1 << BITS  # `first` and `last` count in parts of this
LINE = 64  # loops over many elements are cut at multiples of it, so that every cut leaves whole vectors
SHARED, REST = 1, 2  # kinds, added: jobs can be shared out; something follows the loop
HIDDEN = {"share.first": types.int64, "share.last": types.int64, "share.rest": types.boolean}


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


class ManyLoops(Exception):
    """Several loops over prange, or one that is run several times."""


@register_pass(mutates_CFG=True, analysis_only=False)
class ShareLoop(FunctionPass):
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
            raise ManyLoops
        state.metadata["kind"] = 0
        for block, call in _pranges(func_ir):
            call.value = ir.Expr.call(_insert_global(block, call, "share.jobs", _share), (*call.value.args, *hidden[:2]), (), loc)
            header, job = _header(func_ir, call.target)
            natural = _insert_global(header, job, "share.natural", _natural)
            raw = ir.Var(header.scope, "share.job", loc)
            header.body.insert(header.body.index(job), ir.Assign(job.value, raw, loc))
            job.value = ir.Expr.call(natural, (raw,), (), loc)
            state.metadata["kind"] = SHARED + REST * _guard_rest(func_ir, header, hidden[2])
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


def is_all_jobs(func: Callable) -> bool:
    """Whether a kernel is one loop over prange and nothing behind it: whoever has a job can do it without the others."""
    func_ir = run_frontend(func)
    loops = _pranges(func_ir)
    if len(loops) != 1 or not _has_one_loop(func_ir):
        return False
    header, _ = _header(func_ir, loops[0][1].target)
    return _only_returns(func_ir, header.terminator.falsebr)


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
