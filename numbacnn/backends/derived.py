"""Values for a plan's input that a kernel makes from something smaller, where the plan runs: images in bytes become an augmented, normalized batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import Kernel
from .device_array import DeviceArray, Memory, Pinned

ALIGNMENT = 256  # bytes, of the pieces that travel together


@dataclass(frozen=True, eq=False)
class Derived:
    """Stands for the float32 array (len(indices), *rest) that kernel(source, indices, *facts, array) makes from rows of `source`.

    NumPy may take it for that array. A device with memory of its own is sent those rows and the facts (arrays and numbers), and makes the
    values itself.
    """

    kernel: Kernel
    source: np.ndarray
    indices: np.ndarray
    facts: tuple
    rest: tuple[int, ...]

    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.indices), *self.rest

    @property
    def ndim(self) -> int:
        return 1 + len(self.rest)

    def __len__(self) -> int:
        return len(self.indices)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = np.empty(self.shape, self.dtype)
        self.kernel(self.source, self.indices, *self.facts, array)
        return array if dtype is None else array.astype(dtype, copy=False)

    def into(self, array: np.ndarray) -> None:
        """Make the values where they are wanted."""
        if array.dtype == self.dtype:
            self.kernel(self.source, self.indices, *self.facts, array)
        else:
            np.copyto(array, np.asarray(self))

    @property
    def pieces(self) -> list[tuple[tuple[int, ...], np.dtype]]:
        """(shape, type) of the arrays that travel: the rows, their numbers among themselves, and of the facts those that are arrays."""
        facts = [(f.shape, f.dtype) for f in self.facts if isinstance(f, np.ndarray)]
        return [((len(self), *self.source.shape[1:]), self.source.dtype), ((len(self),), np.dtype(np.int64)), *facts]


class DerivedWay:
    """The way of such values to a GPU: all pieces in one transfer on a stream of its own, into two landing places in turn, from where the kernel
    reads them. While kernels work on one batch, the bytes of the next one are on their way."""

    def __init__(self, backend: Any, array: DeviceArray, values: Derived):
        self.driver, self.turn = backend.driver, 0
        places, end = [], 0
        for shape, dtype in values.pieces:
            places.append((end, shape, dtype))
            end += -(-int(np.prod(shape)) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        self.nbytes = end
        self.pinned = [Pinned(self.driver, end) for _ in range(2)]
        self.landing = [Memory(self.driver, end) for _ in range(2)]
        self.host = [[_view(pinned.array, *place) for place in places] for pinned in self.pinned]
        self.launches = [backend.bind(values.kernel, [*_arguments(values, memory, places), array]) for memory in self.landing]
        self.sent, self.made = ([self.driver.event() for _ in range(2)] for _ in range(2))
        self.used = [False, False]

    def __call__(self, array: DeviceArray, values: Derived) -> None:
        i, self.turn = self.turn, 1 - self.turn
        driver = self.driver
        if self.used[i]:
            driver.wait(self.sent[i])  # the pinned memory is free again
            driver.after(self.made[i], driver.uploads)  # and so is the landing place
        rows, numbers, *facts = self.host[i]
        np.take(values.source, values.indices, axis=0, out=rows, mode="clip")  # "raise" would take a copy more
        numbers[:] = np.arange(len(values))
        for place, fact in zip(facts, (f for f in values.facts if isinstance(f, np.ndarray)), strict=True):
            place[...] = fact
        driver.send(self.landing[i].address, self.pinned[i].address, self.nbytes, driver.uploads)
        driver.mark(self.sent[i], driver.uploads)
        driver.after(self.sent[i])
        self.launches[i]()
        driver.mark(self.made[i])
        self.used[i] = True


def way_key(array: DeviceArray, values: Any) -> tuple:
    """By what a way is found again: where the values go, and in what form they travel."""
    form = (values.kernel, *values.pieces, *(f for f in values.facts if not isinstance(f, np.ndarray))) if isinstance(values, Derived) else ()
    return array.offset, array.nbytes, *form


def _view(memory: np.ndarray, start: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return memory[start : start + int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)


def _arguments(values: Derived, memory: Memory, places: list[tuple]) -> list:
    """The kernel's arguments but the last, as they lie where they land."""
    arrays = iter([DeviceArray(memory, start, shape, dtype) for start, shape, dtype in places])
    return [next(arrays), next(arrays), *(next(arrays) if isinstance(f, np.ndarray) else f for f in values.facts)]
