"""Promises of arrays, and launches that read and write them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


class Buffer:
    """A promise of an array. `root` owns the memory, of which this buffer is `shape` from element `offset` on.

    kind says who gives the memory: "temporary" (the arena), "persistent" (outlives a step: weights, inputs, counters),
    "constant" (fixed values), "workspace" (one launch's scratch memory, [threads, …]).
    """

    def __init__(self, shape: tuple, dtype: Any, name: str = "", kind: str = "temporary", base: "Buffer | None" = None, start: int = 0):
        self.shape, self.dtype, self.name, self.kind = tuple(int(n) for n in shape), np.dtype(dtype), name, kind
        self._base, self._start = base, start
        self.array: Any = None  # of a root, once it is bound

    @property
    def root(self) -> "Buffer":
        return self if self._base is None else self._base.root

    @property
    def offset(self) -> int:
        return 0 if self._base is None else self._base.offset + self._start

    def move_into(self, home: "Buffer") -> None:
        """Take the place of `home` from now on; views of this buffer come along."""
        self._base, self._start = home, 0

    def __getitem__(self, place: Any) -> Any:
        raise TypeError(f"{self} is the promise of an array, not one: index it in a kernel; reshape and part give views")

    def __add__(self, other: Any = None) -> Any:
        raise TypeError(f"{self} is the promise of an array, not one: compute with it in a kernel")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __neg__ = __add__

    def __repr__(self):
        return f"<{self.root.kind} {self.name} {self.shape} {self.dtype}>"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def persistent(self) -> bool:
        return self.root.kind in ("persistent", "constant")

    def reshape(self, *shape) -> "Buffer":
        """The same elements in another shape (one -1 is filled in)."""
        shape = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
        if -1 in shape:
            known = math.prod(n for n in shape if n != -1)
            shape[shape.index(-1)] = self.size // known if known else 0
        if math.prod(shape) != self.size:
            raise ValueError(f"{self} cannot be seen as {tuple(shape)}")
        return self.part(0, tuple(shape))

    def part(self, start: int, shape: tuple) -> "Buffer":
        """`shape` elements from `start` on."""
        return Buffer(shape, self.dtype, self.name, base=self, start=start)

    def real(self) -> Any:
        """The array behind the promise."""
        if self._base is None:
            return self.array
        return self.root.array.reshape(-1)[self.offset : self.offset + self.size].reshape(self.shape)


@dataclass(eq=False)
class Launch:
    """One call of a kernel: kernel(*args, *out), made for a node, and by the algorithm of a choice where there was one.

    joined: the launches whose work it does, where it took the place of several.
    """

    node: str
    kernel: Any
    args: tuple
    out: tuple
    choice: Any = None
    phase: str = "forward"  # "backward", "update"
    joined: "tuple[Launch, ...]" = ()

    @property
    def nbytes(self) -> int:
        """Bytes that the call reads and writes, scratch memory not counted."""
        return sum(b.nbytes for b in (*self.args, *self.out) if isinstance(b, Buffer) and b.root.kind != "workspace")

    @property
    def reads(self) -> set[Buffer]:
        return {b.root for b in self.args if isinstance(b, Buffer) and b.root.kind != "workspace"}

    @property
    def writes(self) -> set[Buffer]:
        return {b.root for b in self.out}

    @property
    def roots(self) -> set[Buffer]:
        """Everything that must have memory when the launch runs."""
        return {b.root for b in (*self.args, *self.out) if isinstance(b, Buffer)}
