"""Kernels over the elements of arrays of one shape, from a compiled scalar function.

A job takes a piece of the arrays and writes first to scratch memory: a plan likes to put a result on its input's place, and LLVM would
leave such a loop scalar (6 times as long for most functions). On a GPU a thread takes elements far apart, so that neighbours are read together.
"""

from collections.abc import Callable

from ..jit import Kernel, compiled, cuda, digest, named, prange
from .scratch import scratch

PIECE = 256  # elements: a kilobyte of float32 stays in the first-level cache, and is worth a job


def over_elements(scalar: Callable, name: str, derivative: bool = False) -> Kernel:
    """Kernel run(x, fields, y): y = scalar(x, fields), or with `derivative` run(x, y, dy, fields, more, dx): dx = scalar(x, y, dy, fields, more)."""
    name = f"{name}_{digest(scalar)[:12]}"
    if derivative:

        def piece(x, y, dy, fields, more, first, count, dx):
            here = scratch(dx, PIECE)
            for i in range(count):
                here[i] = scalar(x[first + i], y[first + i], dy[first + i], fields, more)
            for i in range(count):
                dx[first + i] = here[i]

        piece = compiled(named(piece, f"{name}_piece"))

        def run(x, y, dy, fields, more, dx):
            for job in prange((dx.size + PIECE - 1) // PIECE):
                piece(x, y, dy, fields, more, job * PIECE, min(PIECE, dx.size - job * PIECE), dx)

        def on_gpu(x, y, dy, fields, more, dx):
            for i in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
                dx[i] = scalar(x[i], y[i], dy[i], fields, more)
    else:

        def piece(x, fields, first, count, y):
            here = scratch(y, PIECE)
            for i in range(count):
                here[i] = scalar(x[first + i], fields)
            for i in range(count):
                y[first + i] = here[i]

        piece = compiled(named(piece, f"{name}_piece"))

        def run(x, fields, y):
            for job in prange((y.size + PIECE - 1) // PIECE):
                piece(x, fields, job * PIECE, min(PIECE, y.size - job * PIECE), y)

        def on_gpu(x, fields, y):
            for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
                y[i] = scalar(x[i], fields)

    made = Kernel(named(run, name), flat=True)
    made.cuda(named(on_gpu, f"{name}_on_gpu"))
    return made
