"""Values for a plan's input that a kernel makes from something smaller, where the plan runs: images in bytes become an augmented, normalized batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import Kernel
from .device_array import DeviceArray
from .way import Way, part, side_by_side


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


class DerivedWay(Way):
    """All pieces of such values in one transfer; the kernel makes the array from where they land."""

    def __init__(self, backend: Any, array: DeviceArray, values: Derived):
        kinds = values.pieces
        starts, nbytes = side_by_side(kinds)
        super().__init__(backend.driver, nbytes)
        self.host = [[part(pinned.array, *place) for place in zip(starts, kinds, strict=True)] for pinned in self.pinned]
        self.launches = [
            backend.bind(values.kernel, [*_arguments(values, [DeviceArray(memory, start, *kind) for start, kind in zip(starts, kinds, strict=True)]), array])
            for memory in self.landing
        ]

    def fill(self, i: int, values: Derived) -> None:
        rows, numbers, *facts = self.host[i]
        np.take(values.source, values.indices, axis=0, out=rows, mode="clip")  # "raise" would take a copy more
        numbers[:] = np.arange(len(values))
        for place, fact in zip(facts, (f for f in values.facts if isinstance(f, np.ndarray)), strict=True):
            place[...] = fact

    def arrive(self, i: int, targets: DeviceArray) -> None:
        self.launches[i]()


def way_key(array: DeviceArray, values: Derived) -> tuple:
    """By what a way is found again: where the values go, and in what form they travel."""
    return array.offset, values.kernel, *values.pieces, *(f for f in values.facts if not isinstance(f, np.ndarray))


def _arguments(values: Derived, landed: list[DeviceArray]) -> list:
    """The kernel's arguments but the last, as they lie where they land."""
    arrays = iter(landed)
    return [next(arrays), next(arrays), *(next(arrays) if isinstance(f, np.ndarray) else f for f in values.facts)]
