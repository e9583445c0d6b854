"""A CPU on which every array has memory of its own between guard zones, which are looked at after each launch.

So a write out of bounds is seen whoever makes it (a raw pointer, too), and told with the kernel and the array that was overrun.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backends.cpu import CPU
from ...jit import INTERPRETED, Kernel
from ...plan import Plan
from ...plan.buffer import Launch

GUARD = 4096  # bytes before and behind an array, at least; as many as the array itself has, where that is more
_NAN = 0xFFF00001  # words that are NaN as float32 and make a NaN of a float64: who reads a guard zone, sees it in the result


class Zone:
    """An array between two guard zones; its end borders on the second one."""

    def __init__(self, shape: tuple, dtype: np.dtype, number: int):
        self.nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self.guard = -(-max(GUARD, self.nbytes) // 64) * 64
        raw = np.empty(2 * self.guard + self.nbytes + 64, np.uint8)
        start = -raw.ctypes.data % 64
        self.memory = raw[start : start + 2 * self.guard + self.nbytes]
        words = _NAN + np.random.default_rng(number).integers(0, 1 << 19, 2 * self.guard // 4, np.uint32)
        self.words = words.astype(np.uint32).view(np.uint8)
        self.before, self.behind = self.memory[: self.guard], self.memory[self.guard + self.nbytes :]
        self.mend()
        self.array = self.memory[self.guard : self.guard + self.nbytes].view(dtype).reshape(shape)

    def mend(self) -> None:
        """Make the guard zones new."""
        self.before[...], self.behind[...] = self.words[: self.guard], self.words[self.guard :]

    def overrun(self) -> str | None:
        """Where something was written beside the array, told in bytes."""
        if (bad := np.flatnonzero(self.behind != self.words[self.guard :])).size:
            return f"up to {bad[-1] + 1} bytes behind its end"
        if (bad := np.flatnonzero(self.before != self.words[: self.guard])).size:
            return f"up to {self.guard - bad[0]} bytes before its beginning"
        return None


class GuardedCPU(CPU):
    """watch(launch, call), where it is given, runs each launch in place of calling it; plans are made with reuse=False."""

    def __init__(self) -> None:
        super().__init__(1)
        self.zones: list[Zone] = []
        self.watch: Callable[[Launch, Any], None] | None = None
        self._launches: dict[int, Launch] = {}
        self.kinds: dict[int, int] = {}  # id of a bound call -> its kernel's kind, as share_loop.py has it

    def _new(self, shape: tuple, dtype: np.dtype) -> np.ndarray:
        self.zones.append(Zone(tuple(shape), np.dtype(dtype), len(self.zones)))
        return self.zones[-1].array

    def view(self, memory: np.ndarray, offset: int, shape: tuple, dtype: np.dtype) -> np.ndarray:
        own = self._new(shape, dtype)
        own[...] = super().view(memory, offset, shape, dtype)
        return own

    def adopt(self, array: np.ndarray) -> np.ndarray:
        own = self._new(array.shape, array.dtype)
        own[...] = array
        return own

    def bind(self, kernel: Kernel, args: Sequence[Any]) -> Any:
        call = super().bind(kernel, args)
        self.kinds[id(call)] = 0 if INTERPRETED else kernel.compile(kernel.signature(tuple(args)))[1]
        return call

    def call(self, call: Any) -> None:
        """Run a bound call, unwatched."""
        super().run([call])

    def know(self, plan: Plan) -> None:
        """Whose launches will be run."""
        self._launches = dict(zip(map(id, (*plan.early, *plan.calls)), (*plan.prologue, *plan.launches), strict=True))

    def run(self, calls: Sequence[Any]) -> None:
        for call in calls:
            if self.watch is None:
                self.call(call)
            else:
                self.watch(self._launches[id(call)], call)
