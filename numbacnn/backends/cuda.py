"""A GPU: weights live in its memory while it trains, and come home when the host asks for them.

Numba only compiles; launches are bound once to raw addresses and, where they come again, replayed as one CUDA graph.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..jit import Kernel
from ..twin import gpu_type
from .derived import Derived, DerivedWay, way_key
from .device_array import DeviceArray, Memory, parameters
from .way import Together, Way, WaysBack

ALIGNMENT = 16  # bytes, at least, of every array
PLAIN = 2  # replays that are launched one by one, before they are worth a graph


def simulating() -> bool:
    """Whether device="cuda" means the simulated GPU."""
    return os.environ.get("NUMBACNN_SIMULATE", "0") not in ("", "0")


class CUDA:
    """driver: a Driver or Simulated (default: the first GPU, or what NUMBACNN_SIMULATE says)."""

    name = "cuda"
    separate = True  # weights are copied there and back
    ahead = 1  # while the host looks at a run's results, the GPU has the next one to do
    workspaces = 1  # twins have shared memory instead
    threads = 1

    def __init__(self, driver: Any = None):
        if driver is None and simulating():
            from .simulated import Simulated

            driver = Simulated()
        elif driver is None:
            from .driver import first_gpu

            driver = first_gpu()
        self.driver = driver
        self.lock = threading.RLock()
        self.homes: dict[int, tuple[np.ndarray, Memory]] = {}  # by the address of host arrays that have a copy there
        self.starts: dict[Memory, int] = {}  # those addresses, by the copies
        self.changed: set[int] = set()  # of those, which the GPU has written since

    @property
    def capability(self) -> int:
        """Compute capability, such as 80 for 8.0."""
        return int(self.driver.capability)

    # ---- memory

    def allocate(self, nbytes: int) -> Memory:
        """Zeroed memory. With NUMBACNN_POISON=1 it is NaN, so that a buffer that nobody wrote is seen at once."""
        self.driver.enter()
        with self.driver.lock:
            memory = Memory(self.driver, nbytes)
            self.driver.fill(memory.address, 255 if os.environ.get("NUMBACNN_POISON", "0") not in ("", "0") else 0, nbytes)
        return memory

    def clear(self, array: DeviceArray) -> None:
        """Zeros."""
        self.driver.enter()
        with self.driver.lock:
            self.driver.fill(array.address, 0, array.nbytes)

    def view(self, memory: Memory, offset: int, shape: tuple, dtype: np.dtype) -> DeviceArray:
        """An array in memory from `allocate`."""
        return DeviceArray(memory, offset, tuple(shape), np.dtype(dtype))

    def constant(self, array: np.ndarray) -> DeviceArray:
        """A copy of a host array that will not change."""
        copy = self.view(self.allocate(max(array.nbytes, 1)), 0, array.shape, array.dtype)
        self._send(copy.address, array)
        return copy

    def adopt(self, array: np.ndarray) -> DeviceArray:
        """A weight's place on the GPU: one for each host array, whichever plans use it or a part of it."""
        if not array.flags.c_contiguous:
            raise ValueError(f"an array of shape {array.shape} and strides {array.strides} is not contiguous")
        owner = array if array.base is None or not isinstance(array.base, np.ndarray) else array.base
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if not owner.flags.c_contiguous or (array.ctypes.data - owner.ctypes.data) % ALIGNMENT:
            owner = array  # kernels load four numbers at a time, from rows one behind the other: it gets a home of its own
        start = owner.ctypes.data
        with self.lock:
            if start not in self.homes:
                memory = self.allocate(max(owner.nbytes, 1))
                self._send(memory.address, owner)
                self.homes[start], self.starts[memory] = (owner, memory), start
            return self.view(self.homes[start][1], array.ctypes.data - start, array.shape, array.dtype)

    def written(self, arrays: Sequence[DeviceArray]) -> None:
        """A plan has changed these; the host's copies are old from now on."""
        self.changed |= {self.starts[a.memory] for a in arrays}

    def pull(self) -> None:
        """Bring home what the GPU has changed."""
        with self.lock:
            if self.changed:
                self._fetch([(self.homes[start][0], self.homes[start][1].address) for start in self.changed])
            self.changed.clear()

    def push(self) -> None:
        """The host has changed weights: send them all."""
        with self.lock:
            self.driver.enter()
            for owner, memory in self.homes.values():
                self._send(memory.address, owner)

    def release(self) -> None:
        """Bring home what has changed and forget all weights: no plan uses them any more."""
        self.pull()
        self.homes.clear()
        self.starts.clear()

    def _send(self, address: int, array: np.ndarray) -> None:
        if array.nbytes:
            array = np.ascontiguousarray(array)
            with self.driver.lock:
                self.driver.send(address, array.ctypes.data, array.nbytes)
                self.driver.wait()  # before anybody changes the array, or it is gone

    def _fetch(self, pairs: Sequence[tuple[np.ndarray, int]]) -> None:
        """Host arrays from addresses, waiting once."""
        self.driver.enter()
        with self.driver.lock:
            for array, address in pairs:
                if array.nbytes:
                    self.driver.fetch(array.ctypes.data, address, array.nbytes)
            self.driver.wait()

    def upload(self, pairs: Sequence[tuple[DeviceArray, Any]]) -> None:
        """(array, values) for the launches that come next; those that were launched before still see what was there."""
        self.driver.enter()
        with self.driver.lock:
            plain = [(array, values) for array, values in pairs if array.nbytes and not isinstance(values, Derived)]
            if plain:
                arrays, values = zip(*plain, strict=True)
                key = tuple((array.address, array.shape) for array in arrays)
                self._way(arrays[0], key, lambda: Together(self.driver, [(a.shape, a.dtype) for a in arrays]))(arrays, values)
            for array, derived in pairs:
                if array.nbytes and isinstance(derived, Derived):
                    self._way(array, way_key(array, derived), lambda array=array, derived=derived: DerivedWay(self, array, derived))(array, derived)

    @staticmethod
    def _way(array: DeviceArray, key: tuple, make: Callable[[], Way]) -> Way:
        """The way to an array, which lives as long as its memory."""
        ways = array.memory.ways
        if key not in ways:
            ways[key] = make()
        return ways[key]

    def download(self, array: DeviceArray) -> np.ndarray:
        """A copy that is the caller's own."""
        copy = np.empty(array.shape, array.dtype)
        self._fetch([(copy, array.address)])
        return copy

    def fetching(self, arrays: Sequence[DeviceArray]) -> Callable[[], Callable[[], list[np.ndarray]]]:
        """A call that starts to copy arrays as they are after the launches so far; what it returns waits for the copies."""
        return WaysBack(self.driver, arrays)

    # ---- kernels

    def refuses(self, kernel: Kernel) -> str | None:
        """Why a kernel cannot run here."""
        return kernel.no_gpu or self.driver.refuses(kernel)

    def compile(self, launches: Sequence[tuple[Kernel, Sequence[Any]]], progress: Callable[[int, int, str], None] | None = None) -> None:
        """Code for (kernel, arguments) pairs, loaded into the GPU."""
        self.driver.enter()
        wanted = dict.fromkeys((kernel, tuple(map(gpu_type, kernel.seen(args)))) for kernel, args in launches)
        for i, (kernel, types) in enumerate(wanted):
            if progress:
                progress(i, len(wanted), kernel.__name__)
            self.driver.prepare(kernel, types)

    def bind(self, kernel: Kernel, args: Sequence[Any]) -> "_Launch":
        self.driver.enter()
        return _Launch(self.driver, kernel, kernel.seen(args))

    def run(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run bound launches, one by one, and wait for them."""
        self.driver.enter()
        with self.driver.lock:
            for call in calls:
                call()
            self.driver.wait()

    def replay(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """A call that runs bound launches in order."""
        return _Replay(self.driver, calls)


class _Launch:
    """A kernel bound to arguments: its parameters lie ready in memory."""

    def __init__(self, driver: Any, kernel: Kernel, args: tuple):
        self.args, self.driver = args, driver  # the arrays must live
        self.blocks, self.threads, self.shared = kernel.on_gpu.geometry(args)
        self.function = driver.prepare(kernel, tuple(map(gpu_type, args)))
        if self.shared:
            driver.allow(self.function, self.shared)
        values = parameters(args)
        self.memory = np.zeros(len(values), np.uint64)
        self.pointers = self.memory.ctypes.data + 8 * np.arange(len(values), dtype=np.uint64)
        for slot, value in zip(self.memory.view(np.uint8).reshape(-1, 8), values, strict=True):
            slot[: value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)
        self.place = self.pointers.ctypes.data
        self.empty = not all(self.blocks)

    def __call__(self) -> None:
        if not self.empty:
            self.driver.launch(self.function, self.blocks, self.threads, self.shared, self.place)


class _Replay:
    """Launches that come again and again: at first one by one, then as a graph."""

    def __init__(self, driver: Any, calls: Sequence[Callable[[], None]]):
        self.driver, self.calls, self.times = driver, calls, 0
        self.graph: Callable[[], None] | None = None

    def __call__(self) -> None:
        self.driver.enter()
        with self.driver.lock:
            if self.graph is None and self.times >= PLAIN and self.calls:
                self.graph = self.driver.record(self.calls)
            if self.graph is not None:
                self.graph()
                return
            self.times += 1
            for call in self.calls:
                call()
