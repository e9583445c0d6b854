"""PyTorch's state dicts, read without PyTorch: nothing in the file is run, and every size is checked before memory is taken."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FileError, NumbacnnError
from ..safe import check_there
from .archive import Archive, is_archive
from .records import Damaged, Tensor
from .stream import START, Stream
from .unwrap import unwrap

_SPARE = 16 << 20  # bytes that weights may take beyond eight times the file's


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The weights in a file of torch.save: name -> array, in the file's order, each array with memory of its own.

    Both layouts are read, the zip file of PyTorch 1.6 and later and the stream before it. A state dict within a checkpoint's dict
    ({"state_dict": …}, {"model": …}) is found; "module." and "_orig_mod." before all names are taken off. float16 and bfloat16
    become float32, other numbers stay what they are; shapes and layouts are PyTorch's (see names.to_weights for ours).

    Raises FileError naming the file: not there, not PyTorch's, truncated or damaged, holding code (a whole model, TorchScript), or
    claiming more than it has.
    """
    path = Path(path)

    def fail(reason: str) -> FileError:
        return FileError(f"{path}: {reason}")

    size = check_there(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
            file.seek(0)
            opened = _layout(start)(file, size)
            return _arrays(unwrap(opened.value), opened.read, opened.order, 8 * size + _SPARE)
    except NumbacnnError:
        raise
    except Damaged as error:
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}") from error
    except Exception as error:  # a value of another type or size than the format has, in a place that nobody looks at beforehand
        raise fail(f"cannot be read, the file is truncated or damaged: take another copy ({type(error).__name__})") from error


def is_torch(path: str | os.PathLike) -> bool:
    """Whether a file's content is that of torch.save, in either layout, by its first bytes and the zip file's directory."""
    with open(path, "rb") as file:
        start = file.read(512)
        return start[2:].startswith(START) or (start.startswith(b"PK\x03\x04") and is_archive(file))


def _layout(start: bytes) -> Callable[[Any, int], Any]:
    if start.startswith(b"PK\x03\x04"):
        return Archive
    if start[:1] == b"\x80":
        return Stream
    if start[257:262] == b"ustar":
        raise Damaged("has the tar format of PyTorch before 0.2: load it with PyTorch (torch.load(path, weights_only=False)) and save its state_dict() again")
    raise Damaged("is no file that torch.save wrote, or it is truncated")


def _arrays(tensors: dict[str, Tensor], read: Callable[[str], Any], order: str, limit: int) -> dict[str, np.ndarray]:
    """The tensors' values. Storages are read one at a time, each once."""
    claimed = sum(int(np.prod(t.shape, dtype=object)) * max(4, t.kind.stored.itemsize) for t in tensors.values())
    if claimed > limit:
        raise Damaged(f"its weights take {claimed:,} bytes, far more than the file has: it is refused")
    users: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        users.setdefault(tensor.storage.key, []).append(name)
    found: dict[str, np.ndarray] = dict.fromkeys(tensors, np.empty(0))
    for key, names in users.items():
        data = read(key)
        for name in names:
            found[name] = _array(tensors[name], data, order)
    return found


def _array(tensor: Tensor, data: Any, order: str) -> np.ndarray:
    """A tensor's values: C order, the machine's byte order. data: its storage's bytes."""
    kind, stored = tensor.kind, tensor.kind.stored
    if 0 in tensor.shape:
        values = np.zeros(tensor.shape, stored)
    else:
        start = tensor.storage.start * tensor.storage.kind.stored.itemsize + tensor.offset * stored.itemsize
        strides = tuple(s * stored.itemsize for s in tensor.strides)
        values = np.ndarray(tensor.shape, stored.newbyteorder(order), data, start, strides)
    if kind.name == "bool":
        return np.array(values != 0, order="C")
    if kind.name == "bfloat16":  # the upper half of a float32
        return np.asarray(values.astype(np.uint32) << 16, order="C").view(np.float32)
    target = np.float32 if kind.name == "float16" else stored
    return np.array(values, target, order="C")
