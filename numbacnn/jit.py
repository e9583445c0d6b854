"""The one place that says njit: the house's flags, a cache that notices every change, kernels and their CUDA twins.

Environment, read once at import:
  NUMBACNN_CACHE   folder for compiled kernels (default: the user's cache folder)
  NUMBACNN_SERIAL  1: compile without threads, in a third of the time (tests that don't concern threads)
"""

import builtins
import functools
import hashlib
import importlib
import inspect
import operator
import os
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from pickle import UnpicklingError

# libgomp reads this when it is loaded. Its threads spin while they wait for the next launch: without a limit a step took minutes
# beside another busy job, without spinning each launch wakes a sleeping thread and steps take twice as long on an idle machine.
# This many turns (about a millisecond) cost at most a third more than the best choice with 0, 1 or 2 busy neighbours.
os.environ.setdefault("GOMP_SPINCOUNT", "300000")

import llvmlite.binding
import numba
import numpy as np
import platformdirs
from numba import prange
from numba.core import caching, codegen, config

# Never nnan / ninf (they delete NaN checks), nor arcp / afn (results would depend on the number of threads).
FASTMATH = {"nsz", "contract", "reassoc"}
SERIAL = os.environ.get("NUMBACNN_SERIAL", "0") not in ("", "0")
INTERPRETED = bool(config.DISABLE_JIT)
_TRUSTED = {"numba", "numpy", "math", "builtins", "operator", "llvmlite", "functools", "ctypes"}


def cache_folder() -> Path:
    """Where compiled kernels are kept between processes."""
    return Path(os.environ.get("NUMBACNN_CACHE") or platformdirs.user_cache_path("numbacnn"))


# ---- digest: everything that the compiled code of a function depends on


def _parts(value: object, seen: dict) -> Iterator[bytes]:
    value = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value  # dispatcher, intrinsic
    if id(value) in seen:
        return
    if isinstance(value, types.FunctionType):
        seen[id(value)] = value
        if (value.__module__ or "").partition(".")[0] in _TRUSTED:
            return
        yield (value.__module__ or "").encode()  # cached code looks its globals up in that module
        yield from _code_parts(value.__code__, value, seen)
        for cell in value.__closure__ or ():
            yield from _parts(cell.cell_contents, seen)
        for default in value.__defaults__ or ():
            yield from _parts(default, seen)
    elif isinstance(value, np.ndarray):
        yield value.dtype.str.encode() + str(value.shape).encode() + value.tobytes()
    elif isinstance(value, (tuple, list)):
        yield f"{len(value)}".encode()
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield repr(key).encode()
            yield from _parts(item, seen)
    elif isinstance(value, (set, frozenset)):
        yield " ".join(sorted(map(repr, value))).encode()
    elif isinstance(value, (int, float, str, bytes, bool, type(None), np.generic, np.dtype, numba.types.Type)):
        yield repr(value).encode()
    else:
        yield f"{type(value).__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}".encode()


def _code_parts(code: types.CodeType, func: types.FunctionType, seen: dict) -> Iterator[bytes]:
    yield code.co_code
    yield " ".join((*code.co_names, *code.co_varnames, *code.co_freevars)).encode()
    for const in code.co_consts:
        yield from _code_parts(const, func, seen) if isinstance(const, types.CodeType) else _parts(const, seen)
    for name in code.co_names:
        value = func.__globals__.get(name, getattr(builtins, name, None))
        if isinstance(value, types.ModuleType):
            if value.__name__.partition(".")[0] not in _TRUSTED:
                for attribute in code.co_names:
                    yield from _parts(getattr(value, attribute, None), seen)
        elif name in func.__globals__:
            yield from _parts(value, seen)


def digest(func: Callable) -> str:
    """A fingerprint of everything that a function's compiled code depends on: its code, constants, helpers and closures, transitively."""
    h = hashlib.sha256(repr((sorted(FASTMATH), config.BOUNDSCHECK, config.OPT, numba.__version__)).encode())
    for part in _parts(func, {}):
        h.update(part + b"\0")
    return h.hexdigest()


# ---- compiled functions and their cache

# Numba compiles a prange body in a library of its own and links a second, again optimized copy into the kernel's library. A process
# that compiles runs the first, one that loads the kernel from the cache the second; with `reassoc` their sums differ in the last bits.
# Private copies make both run the second (tests/test_jit.py compares a fresh and a cached process).
_finalize = codegen.JITCodeLibrary._finalize_final_module


def _finalize_with_own_copies(library):
    for function in library._final_module.functions:
        if not function.is_declaration and function.linkage == llvmlite.binding.Linkage.linkonce_odr:
            function.linkage = "internal"
    _finalize(library)


codegen.JITCodeLibrary._finalize_final_module = _finalize_with_own_copies


class _Locator(caching._CacheLocator):
    """Numba's cache looks at a kernel's own file only; ours at everything that it depends on."""

    def __init__(self, func: Callable, file: str):
        self.func, self._py_file, self._lineno = func, file, func.__code__.co_firstlineno

    @classmethod
    def from_function(cls, func, file):
        return cls(func, file)

    def get_cache_path(self):
        return str(cache_folder())

    @functools.cached_property
    def _stamp(self):
        return digest(self.func)

    def get_source_stamp(self):
        return self._stamp

    def get_disambiguator(self):  # one entry for each place in the source: an edit replaces the old one
        return hashlib.sha256(f"{self._py_file}:{bool(config.BOUNDSCHECK)}:{SERIAL}:{config.OPT}".encode()).hexdigest()[:10]


class _Impl(caching.CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Cache(caching.FunctionCache):
    _impl_class = _Impl

    def __init__(self, func: Callable, flags: dict):
        super().__init__(func)
        self._flags = repr(sorted(flags.items()))

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except (ImportError, AttributeError, EOFError, UnpicklingError):
            return None  # written by a module that is gone, or damaged: compile anew

    def _index_key(self, sig, codegen):  # the stamp covers code and closure already
        return sig, codegen.magic_tuple(), self._flags


def compiled(func: Callable, **flags) -> Callable:
    """`numba.njit` with the house's flags and cache: for helpers that kernels call."""
    dispatcher = numba.njit(fastmath=FASTMATH, error_model="numpy", nogil=True, **flags)(func)
    if not INTERPRETED:
        dispatcher._cache = _Cache(func, flags)
    return dispatcher


class Statistics:
    """What compiling cost this process so far."""

    def __init__(self):
        self.compiled, self.loaded, self.seconds = 0, 0, 0.0


statistics = Statistics()
_compiling = threading.RLock()


# ---- kernels


class Kernel:
    """A plain function of arrays and scalars, compiled when it is first bound; its CUDA twin hangs on it.

    flat      arrays arrive as one axis, and the first output may share an input's memory
    in_place  the first output may share the memory of any input, or of those inputs that are named
    parallel  loops over `prange` are spread over threads
    """

    def __init__(self, func: Callable, parallel: bool = True, flat: bool = False, in_place: bool | tuple[str, ...] = False, **flags):
        functools.update_wrapper(self, func)
        self.func, self.flat, self._in_place = func, flat, flat or in_place
        self.flags = {"parallel": parallel and not SERIAL, **flags}
        self.twin: Callable | None = None
        self.recipe: tuple | None = None

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
    def dispatcher(self):
        return compiled(self.func, **self.flags)

    def signature(self, args: tuple) -> tuple:
        """The types for which `args` need compiled code."""
        return tuple(map(numba.typeof, self._seen(args)))

    def compile(self, signature: tuple) -> Callable:
        """Machine code for one signature, from the cache where it is there."""
        if INTERPRETED:
            return self.func
        with _compiling:
            if signature in self.dispatcher.overloads:
                return self.dispatcher.overloads[signature].entry_point
            start, hits = time.perf_counter(), sum(self.dispatcher.stats.cache_hits.values())
            entry = self.dispatcher.compile(signature)
            if sum(self.dispatcher.stats.cache_hits.values()) > hits:
                statistics.loaded += 1
            else:
                statistics.compiled += 1
            statistics.seconds += time.perf_counter() - start
            return entry

    def is_ready(self, signature: tuple) -> bool:
        """Whether machine code for a signature is in this process or in the cache."""
        if INTERPRETED or signature in self.dispatcher.overloads:
            return True
        cache = self.dispatcher._cache
        return cache._index_key(signature, self.dispatcher.targetctx.codegen()) in cache._cache_file._load_index()

    def bind(self, *args) -> Callable[[], None]:
        """A call without arguments and without dispatch: what a plan records."""
        return functools.partial(self.compile(self.signature(args)), *self._seen(args))

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


def elementwise(scalar: Callable, name: str, derivative: bool = False) -> Kernel:
    """A kernel over flat arrays from a compiled scalar function.

    y = scalar(x, *fields), or with `derivative` dx = dy * scalar(x, y, *fields).
    """
    if derivative:

        def run(x, y, dy, fields, dx):
            for i in prange(dx.size):
                dx[i] = dy[i] * scalar(x[i], y[i], *fields)
    else:

        def run(x, fields, y):
            for i in prange(y.size):
                y[i] = scalar(x[i], *fields)

    return Kernel(named(run, f"{name}_{digest(scalar)[:12]}"), flat=True)


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


@functools.cache
def threads_may_enter_together() -> bool:
    """Whether two Python threads may launch kernels at once: workqueue aborts the process, omp and tbb don't care."""
    return not SERIAL and not INTERPRETED and numba.threading_layer() != "workqueue"
