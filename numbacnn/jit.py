"""The one place that says njit: the house's flags, kernels and their CUDA twins.

A kernel runs on a GPU by its twin, a function in numba.cuda's words (`cuda` from here), or by its own source where that is plain enough: the jobs
of its one loop over prange are then dealt out to the GPU's threads.

Environment, read once at import:
  NUMBACNN_SERIAL  1: launch on one thread only (tests that don't concern threads)
"""

import functools
import importlib
import importlib.metadata
import inspect
import math
import operator
import os
import re
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Our own threads run kernels (launch.py), but libgomp's those with several loops. They spin while they wait for the next, and without a
# limit a step took minutes beside another busy job; libgomp reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "300000")

import numba
import numpy as np
from numba import prange
from numba.core import config

from . import cubin, launch, machine_code, native, share_loop
from . import simulator as cuda
from .cache import Entry, cache_folder, digest, examine
from .errors import DeviceError
from .rebuild import Rebuild
from .twin import Binary, Twin, one_block, own_jobs, permitted

__all__ = [
    "INTERPRETED",
    "Kernel",
    "cache_folder",
    "compiled",
    "cuda",
    "device",
    "digest",
    "factory",
    "guarded",
    "kernel",
    "named",
    "prange",
    "set_threads",
    "statistics",
]

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
    parallel  loops over `prange` are spread over threads; False: on a GPU only, because a CPU has done it before another thread wakes up
    vector    its source is made of the CPU's vectors: only a twin brings it to a GPU
    wide      computes with float64 on purpose, also where no argument is float64 (`numbacnn plugins check` asks)
    """

    def __init__(
        self,
        func: Callable,
        parallel: bool = True,
        flat: bool = False,
        in_place: bool | tuple[str, ...] = False,
        vector: bool = False,
        wide: bool = False,
    ):
        functools.update_wrapper(self, func)
        self.vector, self.wide = vector, wide
        self.func, self.parallel, self.flat, self._in_place = func, parallel, flat, flat or in_place
        self.twin: Twin | None = None
        self.recipe: tuple | None = None
        self.codes: dict[tuple, tuple[int, int]] = {}

    def __reduce__(self):
        """How another process finds the same kernel: by its module and name, or made anew by its factory."""
        return self.recipe or (_find_kernel, (self.__module__, self.__qualname__))

    def __repr__(self):
        return f"<kernel {self.__name__}>"

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of inputs and outputs."""
        return tuple(inspect.signature(self.func).parameters)

    def overwrites(self, position: int) -> bool:
        """Whether the first output may share the memory of the input at that position."""
        return self._in_place if isinstance(self._in_place, bool) else self.parameters[position] in self._in_place

    @functools.cached_property
    def source(self) -> tuple[str, int]:
        """What the compiled code depends on, in short, and how much that is."""
        return examine(self.func)

    def signature(self, args: tuple) -> tuple:
        """The types for which `args` need compiled code."""
        return tuple(map(numba.typeof, self.seen(args)))

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
            with _plain_functions_told(f"kernel {self.__name__}"):
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
        args = self.seen(args)
        if INTERPRETED:
            return functools.partial(self.func, *args)
        entry, kind = self.compile(tuple(map(numba.typeof, args)))
        return launch.Launch(entry, kind if self.parallel and not SERIAL else kind & ~share_loop.SHARED, args)

    def __call__(self, *args):
        self.bind(*args)()

    def seen(self, args: Sequence[Any]) -> tuple:
        """Arguments as the kernel's function gets them: arrays, of whichever device, as one axis where it is flat."""
        return tuple(a.reshape(-1) if self.flat and hasattr(a, "shape") and not isinstance(a, np.generic) else a for a in args)

    def cuda(self, func: Callable | None = None, **geometry: Any) -> Callable:
        """Decorator: `func` does on the GPU what this kernel does on the CPU, with the same parameters; geometry as for Twin."""
        if func is None:
            return functools.partial(self.cuda, **geometry)
        mine, other = (tuple(inspect.signature(f).parameters) for f in (self.func, func))
        if mine != other:
            raise TypeError(f"{func.__qualname__}{other} is no twin of {self.func.__qualname__}{mine}: give it the same parameters")
        self.twin = Twin(func, **geometry)
        return func

    @property
    def no_gpu(self) -> str | None:
        """Why the kernel does not run on a GPU."""
        return "it is made of the CPU's vectors and has no CUDA twin" if self.vector and self.twin is None else None

    @functools.cached_property
    def on_gpu(self) -> Twin:
        """The twin, or what the kernel's own source makes one."""
        if self.twin is not None:
            return self.twin
        return Twin(self.func) if share_loop.is_all_jobs(self.func) else Twin(self.func, threads=1, blocks=one_block)


_PLAIN = re.compile(r"name '(\w+)': Cannot determine Numba type of <class 'function'>")


@contextmanager
def _plain_functions_told(caller: str) -> Iterator[None]:
    """Around a compiler that says much where a helper lacks its decorator."""
    try:
        yield
    except numba.core.errors.NumbaError as error:
        if found := _PLAIN.search(str(error)):
            raise TypeError(f"{caller} calls {found[1]}, a plain function: decorate it with numbacnn.jit.compiled") from None
        raise


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


@factory
def guarded(of: Kernel) -> Kernel:
    """A kernel for GPUs alone, with one parameter more in front: it does the other's work where that array's first element is not 0."""
    twin = permitted(of.on_gpu, f"{of.__name__}_guarded")
    made = Kernel(twin.func, flat=of.flat, vector=True, wide=of.wide)
    made.twin = twin
    return made


def kernel(func: Callable | None = None, **flags) -> Kernel:
    """Decorator: a function of arrays and scalars, inputs first, outputs last, becomes a Kernel. `flags` as for Kernel."""
    return Kernel(func, **flags) if func else functools.partial(Kernel, **flags)


def named(func: types.FunctionType, name: str) -> types.FunctionType:
    """The same function under a name of its own: two closures over different functions must not share symbols."""
    func.__name__ = func.__qualname__ = name
    return func


# ---- the GPU

device = cuda.device  # decorator: a function that twins may call, and that uses `cuda` or calls others that do
_binaries: dict[tuple, Binary] = {}


def binary(twin: Twin, signature: tuple, capability: str) -> Binary:
    """Code for GPUs of a capability, such as "80", from the cache where it is there. Needs no GPU, but the extra [cuda]."""
    key = (twin, signature, capability)
    with _compiling:
        if key not in _binaries:
            start = time.perf_counter()
            entry = Entry(twin.func, (*signature, twin.threads, twin.resident, capability, _gpu_versions()), examine(twin.func)[0])
            found = entry.read()
            if found:
                _binaries[key] = Binary.unpack(found[1])
                statistics.loaded += 1
            else:
                _binaries[key] = Binary(*cubin.link(_pieces(twin, signature), capability))
                entry.write(0, _binaries[key].pack())
                statistics.compiled += 1
            statistics.ready += 1
            statistics.seconds += time.perf_counter() - start
        return _binaries[key]


@functools.cache
def _numba_cuda() -> Any:
    """numba.cuda of the package numba-cuda; DeviceError where it is not installed."""
    try:
        import numba_cuda  # noqa: F401
        from numba import cuda as real
    except ImportError as error:
        raise DeviceError(f"code for a GPU cannot be made: {error}: pip install 'numbacnn[cuda]'") from None
    if getattr(real, "implementation", "") != "NVIDIA":
        raise DeviceError("code for a GPU cannot be made: numba.cuda is Numba's own, not numba-cuda's: install numbacnn[cuda] without --target")
    return real


@functools.cache
def _gpu_versions() -> str:
    """What else decides on the code for a GPU."""
    return f"numba-cuda {importlib.metadata.version('numba-cuda')}, nvJitLink {cubin.library().version()}"


def ptx(twin: Twin, signature: tuple) -> str:
    """The kernel in the GPU's assembly language, for who wants to look at it."""
    return "\n".join(piece.decode() for piece in _pieces(twin, signature, "ptx"))


@functools.cache
def _pieces(twin: Twin, signature: tuple, output: str = "ltoir") -> tuple[bytes, ...]:
    """The kernel for the oldest GPUs that can run it, as LTO-IR: nvJitLink makes code for newer ones of it, too."""
    real = _numba_cuda()
    with _asking_no_driver(cubin.architecture(str(twin.least or cubin.OLDEST))) as architecture, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _plain_functions_told(twin.func.__qualname__):
                codes, _ = real.compile_all(
                    _for_gpu()(twin.func),
                    numba.types.void(*signature),
                    device=False,
                    abi="numba",
                    cc=architecture,
                    output=output,
                    launch_bounds=(math.prod(cuda.Dim3.of(twin.threads)), twin.resident),
                )
        except Exception as error:  # of whatever numba-cuda does not know
            raise DeviceError(f"kernel {twin.func.__qualname__} cannot be compiled for a GPU: {type(error).__name__}: {error}") from error
    pieces = [getattr(code, "code", code) for code in codes]
    return tuple(p.encode() if isinstance(p, str) else p for p in pieces)


@contextmanager
def _asking_no_driver(architecture: tuple) -> Iterator[tuple]:
    """numba-cuda asks the driver for which GPU helpers are to be compiled: tell it."""
    from numba.cuda import dispatcher

    before = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: types.SimpleNamespace(compute_capability=architecture)
    try:
        yield architecture
    finally:
        dispatcher.get_current_device = before


@functools.cache
def _for_gpu() -> Rebuild:
    """numba.cuda's names where `cuda` stands, its device functions for helpers, the code of kernels/ptx, and a GPU's share of the jobs for prange."""
    real = _numba_cuda()

    @functools.cache
    def helper(func: Callable) -> Any:
        return real.jit(device=True)(rebuild(func))

    def swap(value: Any, rebuild: Rebuild) -> Any:
        if value is cuda:
            return real
        if value is prange:
            return helper(own_jobs)
        if isinstance(value, numba.core.dispatcher.Dispatcher):
            return helper(value.py_func)
        return helper(value) if cuda.is_device(value) else getattr(value, "numbacnn_intrinsic", value)

    rebuild = Rebuild(swap)
    return rebuild


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
