"""The one place that says njit: the house's flags, kernels and their CUDA twins.

Environment, read once at import:
  NUMBACNN_SERIAL  1: launch on one thread only (tests that don't concern threads)
"""

import functools
import importlib
import inspect
import operator
import os
import threading
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

# Our own threads run kernels (launch.py), but libgomp's those with several loops. They spin while they wait for the next, and without a
# limit a step took minutes beside another busy job; libgomp reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "300000")

import numba
import numpy as np
from numba import prange
from numba.core import config

from . import launch, machine_code, native, share_loop
from .cache import Entry, cache_folder, digest, examine

__all__ = ["INTERPRETED", "Kernel", "cache_folder", "compiled", "digest", "factory", "kernel", "named", "prange", "set_threads", "statistics"]

# Never nnan / ninf (they delete NaN checks), nor arcp / afn (results would depend on the number of threads).
FASTMATH = {"nsz", "contract", "reassoc"}
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
SERIAL = os.environ.get("NUMBACNN_SERIAL", "0") not in ("", "0")
INTERPRETED = bool(config.DISABLE_JIT)


def compiled(func: Callable, **flags) -> Callable:
    """`numba.njit` with the house's flags: for helpers that kernels call."""
    return numba.njit(**OPTIONS, **flags)(func)


class Statistics:
    """What compiling cost this process so far."""

    def __init__(self):
        self.compiled, self.loaded, self.seconds = 0, 0, 0.0
        self.ready = 0  # kernels and signatures that this process can launch


statistics = Statistics()
_compiling = threading.RLock()


# ---- kernels


class Kernel:
    """A plain function of arrays and scalars, compiled when it is first bound; its CUDA twin hangs on it.

    flat      arrays arrive as one axis, and the first output may share an input's memory
    in_place  the first output may share the memory of any input, or of those inputs that are named
    parallel  loops over `prange` are spread over threads
    """

    def __init__(self, func: Callable, parallel: bool = True, flat: bool = False, in_place: bool | tuple[str, ...] = False):
        functools.update_wrapper(self, func)
        self.func, self.parallel, self.flat, self._in_place = func, parallel, flat, flat or in_place
        self.twin: Callable | None = None
        self.recipe: tuple | None = None
        self.codes: dict[tuple, tuple[int, int]] = {}

    def __reduce__(self):
        """How another process finds the same kernel: by its module and name, or made anew by its factory."""
        return self.recipe or (_find_kernel, (self.__module__, self.__qualname__))

    def __repr__(self):
        return f"<kernel {self.__name__}>"

    def overwrites(self, position: int) -> bool:
        """Whether the first output may share the memory of the input at that position."""
        if isinstance(self._in_place, bool):
            return self._in_place
        return tuple(inspect.signature(self.func).parameters)[position] in self._in_place

    @functools.cached_property
    def source(self) -> tuple[str, int]:
        """What the compiled code depends on, in short, and how much that is."""
        return examine(self.func)

    def signature(self, args: tuple) -> tuple:
        """The types for which `args` need compiled code."""
        return tuple(map(numba.typeof, self._seen(args)))

    def compile(self, signature: tuple) -> tuple[int, int]:
        """(address of the machine code for one signature, its kind as launch.py wants it), from the cache where it is there."""
        with _compiling:
            if signature not in self.codes:
                start = time.perf_counter()
                self.codes[signature] = self._compile(signature)
                statistics.ready += 1
                statistics.seconds += time.perf_counter() - start
            return self.codes[signature]

    def _compile(self, signature: tuple) -> tuple[int, int]:
        entry = Entry(self.func, signature, self.source[0])
        symbol = f"numbacnn_{entry.key.hex()}"
        found = entry.read()
        if found:
            statistics.loaded += 1
        else:
            found = machine_code.translate(self.func, signature, symbol, OPTIONS)
            entry.write(*found)
            statistics.compiled += 1
        kind, object_code = found
        if kind & machine_code.LAYER:
            _check_layer()
        return native.engine().load(object_code, symbol), kind

    def is_ready(self, signature: tuple) -> bool:
        """Whether machine code for a signature is in this process or in the cache."""
        return INTERPRETED or signature in self.codes or Entry(self.func, signature, self.source[0]).is_there()

    def bind(self, *args) -> Callable[[], None]:
        """A call without arguments and without dispatch: what a plan records."""
        args = self._seen(args)
        if INTERPRETED:
            return functools.partial(self.func, *args)
        entry, kind = self.compile(tuple(map(numba.typeof, args)))
        return launch.Launch(entry, kind if self.parallel and not SERIAL else kind & ~share_loop.SHARED, args)

    def __call__(self, *args):
        self.bind(*args)()

    def _seen(self, args: tuple) -> tuple:
        return tuple(a.reshape(-1) if isinstance(a, np.ndarray) else a for a in args) if self.flat else args

    def cuda(self, func: Callable) -> Callable:
        """Decorator: `func` does on the GPU what this kernel does on the CPU, with the same parameters."""
        mine, other = (tuple(inspect.signature(f).parameters) for f in (self.func, func))
        if mine != other:
            raise TypeError(f"{func.__qualname__}{other} is no twin of {self.func.__qualname__}{mine}: give it the same parameters")
        self.twin = func
        return func


def _find_kernel(module: str, name: str) -> Kernel:
    return operator.attrgetter(name)(importlib.import_module(module))


def factory(make: Callable[..., Kernel]) -> Callable[..., Kernel]:
    """Decorator for a module-level function that makes a kernel: calls are remembered, and the kernel can be pickled by its recipe."""
    cached = functools.cache(make)

    @functools.wraps(make)
    def made(*args):
        kernel = cached(*args)
        kernel.recipe = (made, args)
        return kernel

    return made


def kernel(func: Callable | None = None, **flags) -> Kernel:
    """Decorator: a function of arrays and scalars, inputs first, outputs last, becomes a Kernel. `flags` as for Kernel."""
    return Kernel(func, **flags) if func else functools.partial(Kernel, **flags)


def named(func: types.FunctionType, name: str) -> types.FunctionType:
    """The same function under a name of its own: two closures over different functions must not share symbols."""
    func.__name__ = func.__qualname__ = name
    return func


# ---- threads


def available_threads() -> int:
    """Cores that this process may use: affinity and cgroup quota respected."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2, or no limit ("max")
    return max(1, min(cores, config.NUMBA_NUM_THREADS))


def set_threads(count: int | None = None) -> int:
    """Use `count` threads (default: all that this process may use) for kernels launched from this Python thread."""
    count = max(1, min(count or available_threads(), config.NUMBA_NUM_THREADS))
    numba.set_num_threads(count)
    return count


class ThreadingWarning(UserWarning):
    """Threads work, but not as well as they could."""


@functools.cache
def _check_layer() -> None:
    if numba.config.NUMBA_NUM_THREADS > 1 and numba.threading_layer() == "workqueue":
        remedy = "Debian and Ubuntu: apt install libgomp1; Fedora: dnf install libgomp; Alpine: apk add libgomp; or pip install tbb"
        warnings.warn(f"neither OpenMP nor TBB was found: kernels with several loops start slowly ({remedy})", ThreadingWarning, stacklevel=5)


@functools.cache
def threads_may_enter_together() -> bool:
    """Whether two Python threads may launch kernels at once: workqueue aborts the process, omp and tbb don't care."""
    return not SERIAL and not INTERPRETED and numba.threading_layer() != "workqueue"
