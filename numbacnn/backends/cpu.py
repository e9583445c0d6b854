"""The CPU: arrays are NumPy arrays, weights are used where the model keeps them, a launch is a bound call."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numba
import numpy as np

from .. import jit, launch
from ..errors import ConfigError
from .compilers import compile_ahead
from .derived import Derived

_one_at_a_time = threading.RLock()  # workqueue aborts the process when two Python threads launch at once

SMALL = 1 << 16  # bytes that a launch touches below which it is sooner done by one thread than shared out
AT_ONCE = 64  # launches between which Ctrl-C is heard


class CPU:
    """threads: how many each launch uses (default: all cores that this process may use)."""

    name = "cpu"
    separate = False  # plans work in the model's memory
    ahead = 0  # runs that may be under way when the next one is started

    def __init__(self, threads: int | None = None):
        if threads is not None and threads < 0:
            raise ConfigError(f"threads={threads} must be at least 1 (0 or None: all cores)")
        self.threads = min(threads or jit.available_threads(), numba.config.NUMBA_NUM_THREADS)
        self.workspaces = numba.config.NUMBA_NUM_THREADS  # numba.get_thread_id() stays below this

    def allocate(self, nbytes: int) -> np.ndarray:
        """Bytes aligned to 64. With NUMBACNN_POISON=1 they are NaN, so that a buffer that nobody wrote is seen at once."""
        raw = np.empty(nbytes + 64, np.uint8)
        start = -raw.ctypes.data % 64
        memory = raw[start : start + nbytes]
        if os.environ.get("NUMBACNN_POISON", "0") not in ("", "0"):
            memory.fill(255)
        return memory

    def clear(self, array: np.ndarray) -> None:
        array[...] = 0

    def view(self, memory: np.ndarray, offset: int, shape: tuple, dtype: np.dtype) -> np.ndarray:
        """An array in memory from `allocate`."""
        return memory[offset : offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))].view(dtype).reshape(shape)

    def adopt(self, array: np.ndarray) -> np.ndarray:
        """A host array as the device sees it: here, itself."""
        return array

    constant = adopt  # one that will not change

    def written(self, arrays: Sequence[np.ndarray]) -> None:
        """A plan has changed these weights: here, the model's own memory."""

    pull = push = release = lambda self: None  # weights have one place only

    def upload(self, pairs: Sequence[tuple[np.ndarray, Any]]) -> None:
        """(array, values) for the launches that come next."""
        for array, values in pairs:
            if isinstance(values, Derived):
                values.into(array)
            else:
                np.copyto(array, values)

    def download(self, array: np.ndarray) -> np.ndarray:
        """A copy that is the caller's own."""
        return array.copy()

    def fetching(self, arrays: Sequence[np.ndarray]) -> Callable[[], Callable[[], list[np.ndarray]]]:
        """A call that copies arrays as they are after the launches so far; what it returns gives the copies."""

        def fetch() -> Callable[[], list[np.ndarray]]:
            copies = [a.copy() for a in arrays]
            return lambda: copies

        return fetch

    def refuses(self, kernel: jit.Kernel) -> str | None:
        """Why a kernel cannot run here."""
        return None

    def compile(self, launches: Sequence[tuple[jit.Kernel, Sequence[Any]]], progress: Callable[[int, int, str], None] | None = None) -> None:
        """Machine code for (kernel, arguments) pairs, made by several processes where much is missing."""
        compile_ahead([(kernel, kernel.signature(tuple(args))) for kernel, args in launches], progress)

    def bind(self, kernel: jit.Kernel, args: Sequence[Any]) -> Callable[[], None]:
        call = kernel.bind(*args)
        small = sum(a.nbytes for a in args if isinstance(a, np.ndarray)) < SMALL
        return call.alone() if small and not jit.INTERPRETED else call

    def run(self, calls: Sequence[Callable[[], None]]) -> None:
        """Replay bound launches."""
        if jit.INTERPRETED:
            for call in calls:
                call()
            return
        if numba.get_num_threads() != self.threads:
            numba.set_num_threads(self.threads)  # for kernels with several loops, which Numba runs in parallel
        with nullcontext() if jit.threads_may_enter_together() else _one_at_a_time:
            for i in range(0, len(calls), AT_ONCE):
                launch.replay(calls[i : i + AT_ONCE], 1 if jit.SERIAL else self.threads)

    def replay(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """A call that runs bound launches in order."""
        return functools.partial(self.run, calls)
