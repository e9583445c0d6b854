"""No float64 in the code of a float32 kernel, unless the kernel says that it means it: `@kernel(wide=True)`, or by a float64 argument.

A float literal in a kernel of one's own, or an integer in arithmetic with float32, makes float64 of it: half the speed of vector code, and other
results than float32's.
"""

import linecache
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba.core import types
from numba.core.annotations.type_annotations import TypeAnnotation

from ... import jit, machine_code
from ...layer import Layer
from .launches import arguments, float32_plans


def no_float64(cls: type[Layer]) -> str:
    """Every kernel that the layer runs in float32, forward and backward. Raises AssertionError with all that are wrong and their lines."""
    if jit.INTERPRETED:
        return "kernels are interpreted (NUMBA_DISABLE_JIT)"
    meant, kernels, wrong = set(), set(), {}
    for plan in float32_plans(cls):
        for launch in (*plan.prologue, *plan.launches):
            kernel, signature = launch.kernel, launch.kernel.signature(arguments(launch))
            kernels.add(kernel)
            if not kernel.compile(signature)[1] & machine_code.WIDE:
                continue
            if kernel.wide or any(types.float64 in _floats(kind) for kind in signature):
                meant.add(kernel.__name__)
            elif kernel not in wrong:
                wrong[kernel] = f"kernel {kernel.__name__}{_origins(kernel, signature)}"
    assert not wrong, (  # the way out first: what is long is cut
        "float64 beside float32: write x.dtype.type(0.5) instead of 0.5, x.dtype.type(x.size) instead of x.size (integers make float64, too), "
        f"or @kernel(wide=True) where it is meant: {'; '.join(wrong.values())}"
    )
    return f"{len(kernels)} kernels" + (f"; on purpose in {', '.join(sorted(meant))}" if meant else "")


def _floats(kind: types.Type) -> set[types.Type]:
    return set().union(*map(_floats, kind)) if isinstance(kind, types.BaseTuple) else {getattr(kind, "dtype", kind)}


def _origins(kernel: jit.Kernel, signature: tuple) -> str:
    """Where float64 arises, by Numba's type inference: the lines of the kernel or, if it has none, the first of a function that it calls."""
    with _noting_lines() as lines:
        machine_code.translate(kernel.func, signature, "numbacnn_examined", jit.OPTIONS)
    own = sorted({place for place in lines if place[0] == kernel.func.__code__.co_filename}) or sorted(set(lines))[:1]
    told = [f"line {line}: {linecache.getline(file, line).strip()}" for file, line in own]
    return f" ({Path(own[0][0]).name}, {'; '.join(told)})" if told else ""


@contextmanager
def _noting_lines() -> Iterator[list[tuple[str, int]]]:
    """Meanwhile: (file, line) of every variable that is float64 and is made of none that is."""
    lines: list[tuple[str, int]] = []
    library, start = str(Path(numba.__file__).parent), TypeAnnotation.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        for block in self.blocks.values():
            for statement in block.body:
                name, value = getattr(getattr(statement, "target", None), "name", None), getattr(statement, "value", None)
                made_of = {v.name for v in value.list_vars()} if hasattr(value, "list_vars") else set()
                wide = self.typemap.get(name) == types.float64 and not any(self.typemap.get(n) == types.float64 for n in made_of)
                if wide and not statement.loc.filename.startswith(library):
                    lines.append((statement.loc.filename, statement.loc.line))

    TypeAnnotation.__init__ = noting
    try:
        yield lines
    finally:
        TypeAnnotation.__init__ = start
