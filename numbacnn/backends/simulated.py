"""A GPU that is acted out: memory of the host, and kernels by simulator.py, from the very parameters that a real one would be given.

NUMBACNN_SIMULATE=1 makes device="cuda" mean this one: for tests, and for who writes a CUDA twin where there is no GPU. It is thousands of
times slower than one.
"""

import ctypes
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np

from ..jit import Kernel


class Simulated:
    """As driver.Driver. backwards: threads and blocks run in reverse order, which shows what depends on it."""

    name, capability, processors = "simulated GPU", "90", 1

    def __init__(self, backwards: bool = False):
        self.backwards = backwards
        self.blocks: dict[int, np.ndarray] = {}
        self.total = 1 << 32
        self.uploads = None
        self.fetched: deque[tuple[int, bytes]] = deque()  # what goes to the host, and is there when that has waited for it
        self.arrived = 0  # how many have gone
        self.launches = 0
        self.lock = threading.RLock()

    def enter(self) -> None:
        pass

    def allocate(self, nbytes: int) -> int:
        raw = np.full(max(nbytes, 1) + 256, 255, np.uint8)
        address = raw.ctypes.data + -raw.ctypes.data % 256
        self.blocks[address] = raw
        return address

    def free(self, address: int) -> None:
        del self.blocks[address]

    def pin(self, nbytes: int) -> int:
        return self.allocate(nbytes)

    def unpin(self, address: int) -> None:
        self.wait()
        self.free(address)

    def fill(self, address: int, value: int, nbytes: int) -> None:
        ctypes.memset(address, value, nbytes)

    def send(self, address: int, source: int, nbytes: int, stream: Any = None) -> None:
        ctypes.memmove(address, source, nbytes)

    def fetch(self, target: int, address: int, nbytes: int) -> None:
        self.fetched.append((target, ctypes.string_at(address, nbytes)))

    def move(self, address: int, source: int, nbytes: int) -> None:
        ctypes.memmove(address, source, nbytes)

    def event(self) -> SimpleNamespace:
        return SimpleNamespace(after=0)

    def mark(self, event: SimpleNamespace, stream: Any = None) -> None:
        event.after = self.arrived + len(self.fetched)

    def after(self, event: Any, stream: Any = None) -> None:
        pass

    def wait(self, event: SimpleNamespace | None = None) -> None:
        with self.lock:  # backends wait for events without it
            while self.fetched and (event is None or self.arrived < event.after):
                target, values = self.fetched.popleft()
                ctypes.memmove(target, values, len(values))
                self.arrived += 1

    def refuses(self, kernel: Kernel) -> str | None:
        return None

    def prepare(self, kernel: Kernel, types: tuple) -> tuple:
        return kernel, types

    def allow(self, function: tuple, shared: int) -> None:
        pass

    def launch(self, function: tuple, blocks: tuple, threads: tuple, shared: int, pointers: int) -> None:
        kernel, types = function
        places = (ctypes.c_void_p * (1 << 16)).from_address(pointers)
        slots = (places[i] for i in range(1 << 16))
        kernel.on_gpu.simulate(tuple(_read(kind, slots) for kind in types), self.backwards)
        self.launches += 1

    def record(self, launches: Sequence[Callable]) -> Callable[[], None]:
        def replay() -> None:
            for call in launches:
                call()

        return replay


def _read(kind: Any, slots: Iterator[int]) -> Any:
    """One argument, from where its parameters lie."""
    if isinstance(kind, numba.types.BaseTuple):
        return tuple(_read(part, slots) for part in kind)
    if isinstance(kind, numba.types.Array):
        numbers = [ctypes.c_int64.from_address(next(slots)).value for _ in range(5 + 2 * kind.ndim)]
        size, item, address, *rest = numbers[2:]
        dtype, shape = numba.np.numpy_support.as_dtype(kind.dtype), tuple(rest[: kind.ndim])
        strides = tuple(item * math.prod(shape[i + 1 :]) for i in range(kind.ndim))
        assert (item, size, *rest[kind.ndim :]) == (dtype.itemsize, math.prod(shape), *strides), f"{kind}: parameters {numbers}"
        memory = (ctypes.c_uint8 * (size * item)).from_address(address)
        return np.frombuffer(memory, dtype, size).reshape(shape)
    dtype = np.dtype(np.uint8) if kind == numba.types.boolean else numba.np.numpy_support.as_dtype(kind)
    value = np.frombuffer((ctypes.c_uint8 * dtype.itemsize).from_address(next(slots)), dtype)[0]
    return bool(value) if kind == numba.types.boolean else int(value) if kind == numba.types.int64 else value
