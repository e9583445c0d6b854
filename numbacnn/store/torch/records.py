"""Records of what a PyTorch file describes: storages and tensors. Each is checked when it is made, and takes no memory for its numbers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_LARGEST = 1 << 48  # of any size or stride: far above what fits in memory, far below where sums overflow
_AXES = 32


class Damaged(Exception):
    """What is wrong with a file, in words that go on after the file's name."""


@dataclass(frozen=True)
class Kind:
    """A type of numbers: PyTorch's name, and the type that the bytes have here. bfloat16 is kept as its 16 bits, bool as a byte."""

    name: str
    stored: np.dtype


_STORED = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}
KINDS = {name: Kind(name, np.dtype(stored)) for name, stored in _STORED.items()}


@dataclass(frozen=True)
class Storage:
    """A block of `count` numbers in the file, or a part of one that begins at number `start`."""

    key: str
    kind: Kind
    count: int
    start: int = 0


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides count numbers of `kind`."""

    storage: Storage
    kind: Kind
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def storage(key: Any, kind: Kind, count: Any, view: Any = None) -> Storage:
    """The storage behind a persistent id. view: None, or (key, offset, count) of the part that is meant."""
    key = key.decode("ascii", "replace") if isinstance(key, bytes) else key
    if type(key) is not str:
        raise Damaged("a storage's key is no text")
    whole = Storage(key, kind, _integer(count, f"the size of storage {key[:40]!r}"))
    if view is None:
        return whole
    if type(view) is not tuple or len(view) != 3:
        raise Damaged(f"the view of storage {key[:40]!r} is no triple")
    start, part = _integer(view[1], "the offset of a view"), _integer(view[2], "the size of a view")
    if start + part > whole.count:
        raise Damaged(f"a view reaches beyond storage {key[:40]!r}: {start} + {part} of {whole.count} numbers")
    return Storage(key, kind, part, start)


def tensor(block: Any, offset: Any, shape: Any, strides: Any, kind: Kind | None = None) -> Tensor:
    """A view that lies within its storage. kind: where it is not the storage's."""
    if not isinstance(block, Storage):
        raise Damaged("a tensor has no storage")
    kind, offset = kind or block.kind, _integer(offset, "a tensor's offset")
    shape, strides = _integers(shape, "a tensor's shape"), _integers(strides, "a tensor's strides")
    if len(shape) != len(strides):
        raise Damaged(f"a tensor of shape {shape} has {len(strides)} strides")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if math.prod(shape) and (last + 1) * kind.stored.itemsize > block.count * block.kind.stored.itemsize:
        raise Damaged(f"a tensor of shape {shape} reaches beyond its storage: to number {last} of {block.count}")
    return Tensor(block, kind, offset, shape, tuple(s if n > 1 else 0 for n, s in zip(shape, strides, strict=True)))


def _integer(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise Damaged(f"{what} is no integer between 0 and {_LARGEST}")
    return value


def _integers(values: Any, what: str) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > _AXES:
        raise Damaged(f"{what} is no tuple of at most {_AXES} integers")
    return tuple(_integer(v, what) for v in values)
