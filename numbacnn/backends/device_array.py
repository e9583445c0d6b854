"""Memory of a device, and arrays in it: what a plan binds launches to. Nothing here computes."""

import ctypes
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


class Memory:
    """A block of device memory, given back when nobody holds it any more."""

    def __init__(self, driver: Any, nbytes: int):
        self.driver, self.nbytes = driver, nbytes
        self.ways: dict[tuple, Any] = {}  # by which arrays in it are filled from the host
        self.address = driver.allocate(nbytes)

    def __del__(self):
        if address := self.__dict__.get("address"):
            self.driver.free(address)


class Pinned:
    """Host memory that the device reads and writes by itself."""

    def __init__(self, driver: Any, nbytes: int):
        self.driver = driver
        self.address = driver.pin(nbytes)
        self.array = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(self.address))

    def __del__(self):
        if address := self.__dict__.get("address"):
            self.driver.unpin(address)


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A contiguous array in a block of device memory, `offset` bytes from its start."""

    memory: Memory
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def address(self) -> int:
        return self.memory.address + self.offset

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return tuple(self.itemsize * math.prod(self.shape[i + 1 :]) for i in range(self.ndim))

    def reshape(self, *shape: Any) -> "DeviceArray":
        """The same elements in another shape (one -1 is filled in)."""
        shape = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
        if -1 in shape:
            known = math.prod(n for n in shape if n != -1)
            shape[shape.index(-1)] = self.size // known if known else 0
        if math.prod(shape) != self.size:
            raise ValueError(f"{self.shape} has {self.size} elements, {tuple(shape)} has {math.prod(shape)}")
        return replace(self, shape=tuple(shape))

    def __getitem__(self, part: slice) -> "DeviceArray":
        """Neighbouring elements of the first axis."""
        start, stop, step = part.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"step {step}: elements must be neighbours")
        inner = self.shape[1:]
        return replace(self, offset=self.offset + start * math.prod(inner) * self.itemsize, shape=(max(stop - start, 0), *inner))


def parameters(args: tuple) -> list[np.generic]:
    """What a compiled kernel is given for its arguments, one by one, in numba-cuda's order.

    An array is two null pointers, the number of elements, their size in bytes, the address, the shape and the strides.
    """
    found: list[np.generic] = []
    for value in args:
        if isinstance(value, DeviceArray):
            found += map(np.int64, (0, 0, value.size, value.itemsize, value.address, *value.shape, *value.strides))
        elif isinstance(value, tuple):
            found += parameters(value)
        elif isinstance(value, (bool, np.bool_)):
            found.append(np.uint8(value))
        elif isinstance(value, np.generic):
            found.append(value)
        else:
            found.append((np.float64 if isinstance(value, float) else np.int64 if value < 1 << 63 else np.uint64)(value))
    return found
