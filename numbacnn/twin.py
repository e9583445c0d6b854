"""What a kernel is on a GPU: its function in numba.cuda's words, how many threads run it, and the code that was made of it."""

import inspect
import json
import math
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numba import prange

from . import cubin
from . import simulator as cuda
from .rebuild import Rebuild

MOST_BLOCKS = 2048


def one_block(*args: Any) -> int:
    """Blocks of a launch that a single one does."""
    return 1


@dataclass(frozen=True)
class Twin:
    """A kernel's work on a GPU.

    threads  of a block: a number, or up to three
    blocks   of a launch: function of the kernel's arguments (arrays have shape, size, dtype) -> a number, or up to three.
             Default: as many threads as the largest array has elements, but not more than keep any GPU busy; the twin must then loop over the rest
    shared   bytes of dynamic shared memory: function of the arguments (`cuda.shared.array(0, dtype)` is that memory)
    least    lowest compute capability that can run it, such as 80; None: any
    resident blocks that a processor should hold at once: the compiler saves registers for them
    """

    func: Callable
    threads: int | tuple[int, ...] = 256
    blocks: Callable[..., int | tuple[int, ...]] | None = None
    shared: Callable[..., int] | None = None
    least: int | None = None
    resident: int = 1

    def geometry(self, args: tuple) -> tuple[tuple[int, int, int], tuple[int, int, int], int]:
        """(blocks, threads of a block, bytes of dynamic shared memory) for a launch."""
        count = max((a.size for a in args if hasattr(a, "shape") and a.shape), default=1)
        blocks = self.blocks(*args) if self.blocks else min(-(-count // math.prod(cuda.Dim3.of(self.threads))), MOST_BLOCKS)
        return tuple(cuda.Dim3.of(blocks)), tuple(cuda.Dim3.of(self.threads)), self.shared(*args) if self.shared else 0

    def simulate(self, args: tuple, backwards: bool = False) -> None:
        """Act the launch out on NumPy arrays."""
        blocks, threads, shared = self.geometry(args)
        cuda.launch(_acted(self.func), blocks, threads, args, shared, backwards)


def permitted(twin: Twin, name: str) -> Twin:
    """The same work under another name, with one parameter more in front, an array: done only where its first element is not 0."""
    func = twin.func
    work = types.FunctionType(func.__code__, func.__globals__, func.__name__, func.__defaults__, func.__closure__)
    parameters = ", ".join(inspect.signature(func).parameters)
    space = {"work": cuda.device(work), "__name__": func.__module__}
    exec(f"def run(permission, {parameters}):\n    if permission[0] != 0:\n        work({parameters})\n", space)  # as many parameters as the kernel has
    run = space["run"]
    run.__code__ = run.__code__.replace(co_filename=func.__code__.co_filename, co_firstlineno=func.__code__.co_firstlineno)  # which the cache goes by
    run.__name__ = run.__qualname__ = name
    blocks, shared = (None if of is None else _without_first(of) for of in (twin.blocks, twin.shared))
    return replace(twin, func=run, blocks=blocks, shared=shared)


def _without_first(of: Callable) -> Callable:
    return lambda permission, *args: of(*args)


@dataclass(frozen=True)
class Binary:
    """Code for one GPU architecture, the kernel's name in it, and what it needs."""

    code: bytes
    symbol: str
    resources: cubin.Resources

    def pack(self) -> bytes:
        return json.dumps([self.symbol, self.resources.to_json()]).encode() + b"\0" + self.code

    @classmethod
    def unpack(cls, data: bytes) -> "Binary":
        head, _, code = data.partition(b"\0")
        symbol, resources = json.loads(head)
        return cls(code, symbol, cubin.Resources(**resources))


def gpu_type(value: Any) -> numba.types.Type:
    """The type of a launch's argument on the GPU: arrays are contiguous."""
    if isinstance(value, tuple):
        return numba.types.BaseTuple.from_types(tuple(map(gpu_type, value)))
    if hasattr(value, "shape") and not isinstance(value, np.generic):
        return numba.types.Array(numba.from_dtype(value.dtype), len(value.shape), "C")
    return numba.typeof(value)


def own_jobs(count):
    """The jobs of this thread."""
    return range(cuda.grid(1), count, cuda.gridsize(1))


def _act(value: Any, rebuild: Rebuild) -> Any:
    if value is prange:
        return own_jobs
    if isinstance(value, numba.core.dispatcher.Dispatcher):
        return rebuild(value.py_func)
    return rebuild(value) if cuda.is_device(value) else value


_acted = Rebuild(_act)
