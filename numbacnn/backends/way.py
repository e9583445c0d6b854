"""The way of a batch to a device with memory of its own, and of results from there."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .device_array import DeviceArray, Memory, Pinned

ALIGNMENT = 256  # bytes, of the pieces that travel together
Kind = tuple[tuple[int, ...], np.dtype]  # shape and type of an array


def side_by_side(kinds: Sequence[Kind]) -> tuple[list[int], int]:
    """Where each of these arrays begins in a block that holds them all, and the block's size in bytes."""
    starts, end = [], 0
    for shape, dtype in kinds:
        starts.append(-(-end // ALIGNMENT) * ALIGNMENT)
        end = starts[-1] + math.prod(shape) * dtype.itemsize
    return starts, end


def part(memory: np.ndarray, start: int, kind: Kind) -> np.ndarray:
    """The array that begins there."""
    shape, dtype = kind
    return memory[start : start + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)


class Way:
    """Pinned memory, a stream beside the kernels', and two landing places in turn: while kernels work on one batch, the next is on its way.

    A kind of way says how its pinned memory is filled, and how what has landed comes to where the kernels read it.
    """

    def __init__(self, driver: Any, nbytes: int):
        self.driver, self.nbytes, self.turn = driver, nbytes, 0
        self.pinned = [Pinned(driver, nbytes) for _ in range(2)]
        self.landing = [Memory(driver, nbytes) for _ in range(2)]
        self.sent, self.arrived = ([driver.event() for _ in range(2)] for _ in range(2))
        self.used = [False, False]

    def fill(self, i: int, values: Any) -> None:
        """Put the values into pinned memory i."""
        raise NotImplementedError(f"{type(self).__name__} has no fill")

    def arrive(self, i: int, targets: Any) -> None:
        """Launch what takes them from landing place i to where the kernels read them."""
        raise NotImplementedError(f"{type(self).__name__} has no arrive")

    def __call__(self, targets: Any, values: Any) -> None:
        i, self.turn = self.turn, 1 - self.turn
        driver = self.driver
        if self.used[i]:
            driver.wait(self.sent[i])  # the pinned memory is free again
            driver.after(self.arrived[i], driver.uploads)  # and so is the landing place
        self.fill(i, values)
        driver.send(self.landing[i].address, self.pinned[i].address, self.nbytes, driver.uploads)
        driver.mark(self.sent[i], driver.uploads)
        driver.after(self.sent[i])
        self.arrive(i, targets)
        driver.mark(self.arrived[i])
        self.used[i] = True


class Together(Way):
    """Values for several arrays of these kinds in one transfer, because each costs the host as much as a launch."""

    def __init__(self, driver: Any, kinds: Sequence[Kind]):
        self.starts, nbytes = side_by_side(kinds)
        super().__init__(driver, nbytes)
        self.host = [[part(pinned.array, *place) for place in zip(self.starts, kinds, strict=True)] for pinned in self.pinned]

    def fill(self, i: int, values: Sequence[Any]) -> None:
        for place, value in zip(self.host[i], values, strict=True):
            np.copyto(place, value)

    def arrive(self, i: int, targets: Sequence[DeviceArray]) -> None:
        for array, start in zip(targets, self.starts, strict=True):
            self.driver.move(array.address, self.landing[i].address + start, array.nbytes)


class WaysBack:
    """The same arrays' way home, run after run: a call sends them off, behind what was launched before, and what it returns waits for copies.

    Each call that nobody has waited for yet has pinned memory of its own; it goes when whoever holds these ways does.
    """

    def __init__(self, driver: Any, arrays: Sequence[DeviceArray]):
        self.driver, self.arrays = driver, arrays
        self.spare: list[_WayBack] = []

    def __call__(self) -> Callable[[], list[np.ndarray]]:
        self.driver.enter()
        with self.driver.lock:
            way = self.spare.pop() if self.spare else _WayBack(self.driver, self.arrays)
            way.take(self.arrays)

        def wait() -> list[np.ndarray]:
            self.driver.enter()  # perhaps another thread than the one that started it
            copies = way.wait()
            self.spare.append(way)
            return copies

        return wait


class _WayBack:
    """Pinned memory that such arrays come home to."""

    def __init__(self, driver: Any, arrays: Sequence[DeviceArray]):
        kinds = [(a.shape, a.dtype) for a in arrays]
        starts, nbytes = side_by_side(kinds)
        self.driver, self.there, self.pinned = driver, driver.event(), Pinned(driver, nbytes)
        self.homes = [part(self.pinned.array, *place) for place in zip(starts, kinds, strict=True)]

    def take(self, arrays: Sequence[DeviceArray]) -> None:
        """Send them on their way."""
        for home, array in zip(self.homes, arrays, strict=True):
            if array.nbytes:
                self.driver.fetch(home.ctypes.data, array.address, array.nbytes)
        self.driver.mark(self.there)

    def wait(self) -> list[np.ndarray]:
        """Copies, when they have come."""
        self.driver.wait(self.there)
        return [home.copy() for home in self.homes]
