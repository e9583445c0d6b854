"""Launches of compiled kernels: bound once, replayed natively, their jobs dealt out to threads.

Each thread has its own part of a launch's jobs, the same in every launch, because what it worked on is still in its cache. Parts
are cut into shares, large ones first; who has none left takes over shares of others. So uneven jobs need no care, and a thread that a busy
neighbour keeps from its core holds nobody up (see native.py). Which thread does which job changes no bit of the result: jobs own
what they write.
"""

import ctypes
import functools
import os
import pickle
import threading
from collections.abc import Sequence

import numba
import numpy as np

from .machine_code import pack
from .native import LINE, SPINS, engine
from .share_loop import SHARED, WHOLE

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)  # see machine_code.py
SHARES = (8, 4, 2, 1, 1)  # how a thread's own part is cut


@functools.cache
def _cuts(threads: int) -> np.ndarray:
    """[thread, share]: where the shares of each thread's own part begin, and where the last ends."""
    ends = np.cumsum((0, *SHARES)) / sum(SHARES)
    return np.rint((np.arange(threads)[:, None] + ends) * WHOLE / threads).astype(np.int64)


def _lines(count: int) -> np.ndarray:
    """Zeros: lines of the cache."""
    memory = np.zeros(LINE * (count + 1), np.uint64)
    return memory[-memory.ctypes.data % 64 // 8 :][: LINE * count]


class Launch:
    """A kernel's entry bound to arguments; kind: as share_loop.py has it."""

    __slots__ = ("address", "args", "memory")

    def __init__(self, entry: int, kind: int, args: tuple):
        self.args = args  # the arrays must live
        self.memory = np.array([entry, kind, *pack(args)], np.uint64)
        self.address = self.memory.ctypes.data

    def alone(self) -> "Launch":
        """By one thread: for little work."""
        self.memory[1] &= ~np.uint64(SHARED)
        return self

    def share(self, first: int, last: int, rest: bool = False) -> None:
        """Do only the jobs between two parts of WHOLE, and what follows the loop where `rest` says so; for who wants to see what a share does."""
        failure = ctypes.c_void_p()
        entry = _ENTRY(int(self.memory[0]))
        if code := entry(self.memory.ctypes.data + 16, first, last, rest, ctypes.byref(failure)):
            raise _exception(code, failure.value or 0)

    def __call__(self) -> None:
        replay((self,), numba.get_num_threads() if int(self.memory[1]) & SHARED else 1)


class _Helper(threading.Thread):
    """A thread that takes part in launches while there are any, and sleeps after a while without."""

    def __init__(self, pool: "_Pool", number: int):
        super().__init__(name=f"numbacnn-{number}", daemon=True)
        self.pool, self.number, self.asleep, self.alarm = pool, number, False, threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        while True:
            calls = self.pool.calls
            engine().serve(self.pool.memory.ctypes.data, self.number, SPINS)
            self.asleep = True
            # Who called since then may have seen a helper that was awake, although it waited for Python's lock to fall asleep.
            if self.pool.calls == calls:
                self.alarm.acquire()
            self.asleep = False

    def wake(self) -> None:
        if self.asleep:
            self.asleep = False
            self.alarm.release()


class _Pool:
    """This process's helpers. One Python thread at a time has them; another that launches meanwhile does its work alone."""

    def __init__(self):
        self.memory, self.helpers, self.lock = _lines(5), [], threading.Lock()
        self.calls = 0  # of `wake`

    def wake(self, threads: int) -> None:
        """Have helpers for that many threads look for launches."""
        if len(self.helpers) < threads - 1:
            with self.lock:
                self.helpers += [_Helper(self, n) for n in range(len(self.helpers) + 1, threads)]
        self.calls += 1
        for helper in self.helpers[: threads - 1]:
            helper.wake()


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.__init__)  # threads do not live on in a child


class _State(threading.local):
    """What a Python thread gives to `replay`; made once for each number of threads."""

    def __init__(self):
        self.of: dict[int, np.ndarray] = {}

    def __call__(self, threads: int) -> np.ndarray:
        if threads not in self.of:
            self.of[threads] = _lines(threads + 1)
            self.of[threads][1:4] = _cuts(threads).ctypes.data, len(SHARES), threads
        return self.of[threads]


_state = _State()


def replay(launches: Sequence[Launch], threads: int) -> None:
    """Run launches one after the other."""
    addresses = np.array([launch.address for launch in launches], np.uint64)
    state = _state(threads)
    if threads > 1:
        _pool.wake(threads)
    done = engine().replay(_pool.memory.ctypes.data, state.ctypes.data, addresses.ctypes.data, len(launches), threads)
    if done < len(launches):
        code, exception = state[4:6].tolist()
        state[4:6] = 0
        error = _exception(code, exception)
        error.launch = launches[done]
        raise error


def _exception(code: int, info: int) -> BaseException:
    """What a kernel has raised: Numba keeps class and arguments pickled."""
    if not info:
        return RuntimeError(f"a kernel failed with Numba's code {code}")
    data, size = ctypes.c_void_p.from_address(info).value, ctypes.c_int32.from_address(info + 8).value
    cls, args, _ = pickle.loads(ctypes.string_at(data, size))
    return cls(*(args or ()))
