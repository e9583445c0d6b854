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
from ...plan.buffer import Launch
from .launches import arguments, float32_plans


def no_float64(cls: type[Layer]) -> str:
    """Every kernel that the layer runs in float32, forward and backward. Raises AssertionError with kernel and line."""
    if jit.INTERPRETED:
        return "kernels are interpreted (NUMBA_DISABLE_JIT)"
    meant, kernels = set(), set()
    for plan in float32_plans(cls):
        for launch in (*plan.prologue, *plan.launches):
            kernels.add(launch.kernel)
            if _is_wide(launch):
                meant.add(launch.kernel.__name__)
    return f"{len(kernels)} kernels" + (f"; on purpose in {', '.join(sorted(meant))}" if meant else "")


def _is_wide(launch: Launch) -> bool:
    """Whether its kernel computes with float64, on purpose; AssertionError where it does without."""
    kernel, signature = launch.kernel, launch.kernel.signature(arguments(launch))
    if not kernel.compile(signature)[1] & machine_code.WIDE:
        return False
    meant = kernel.wide or any(types.float64 in _floats(kind) for kind in signature)
    assert meant, (
        f"kernel {kernel.__name__} computes with float64 where its arguments are float32{_first_line(kernel, signature)}: write "
        "x.dtype.type(0.5) instead of 0.5 (an integer beside a float32 makes float64, too), or @kernel(wide=True) where it is meant"
    )
    return True


def _floats(kind: types.Type) -> set[types.Type]:
    return set().union(*map(_floats, kind)) if isinstance(kind, types.BaseTuple) else {getattr(kind, "dtype", kind)}


def _first_line(kernel: jit.Kernel, signature: tuple) -> str:
    """Where the first float64 arises, by Numba's type inference: of all functions that it types, the first line outside of numba."""
    with _noting_lines() as lines:
        machine_code.translate(kernel.func, signature, "numbacnn_examined", jit.OPTIONS)
    if not lines:
        return ""
    file, line = min(lines, key=lambda place: (place[0] != kernel.func.__code__.co_filename, place))
    return f" ({Path(file).name}, line {line}: {linecache.getline(file, line).strip()})"


@contextmanager
def _noting_lines() -> Iterator[list[tuple[str, int]]]:
    """Meanwhile: (file, line) of every variable that is typed float64."""
    lines: list[tuple[str, int]] = []
    library, start = str(Path(numba.__file__).parent), TypeAnnotation.__init__

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        for block in self.blocks.values():
            for statement in block.body:
                name = getattr(getattr(statement, "target", None), "name", None)
                if self.typemap.get(name) == types.float64 and not statement.loc.filename.startswith(library):
                    lines.append((statement.loc.filename, statement.loc.line))

    TypeAnnotation.__init__ = noting
    try:
        yield lines
    finally:
        TypeAnnotation.__init__ = start
