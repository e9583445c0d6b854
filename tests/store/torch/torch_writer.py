"""Files as torch.save writes them, made without PyTorch: a small writer of pickles, and of both containers."""

import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
KINDS = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char", "u1": "Byte", "b1": "Bool"}


@dataclass(frozen=True)
class Name:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A global called with arguments."""

    function: Any
    arguments: tuple


@dataclass(frozen=True)
class Persistent:
    """What lies outside of the pickle."""

    key: Any


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    code: bytes


def pickled(value: Any) -> bytes:
    """A pickle of protocol 2."""
    return b"\x80\x02" + _code(value) + b"."


def _code(value: Any) -> bytes:
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return _code(value.function) + _code(value.arguments) + b"R"
    if isinstance(value, Persistent):
        return _code(value.key) + b"Q"
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_code, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(_code, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_code(k) + _code(v) for k, v in value.items()) + b"u"
    raise TypeError(value)


def ordered(items: dict) -> Raw:
    """An OrderedDict as state_dict() gives it, with the attribute _metadata."""
    made = _code(Call(Name("collections", "OrderedDict"), ()))
    items = b"(" + b"".join(_code(k) + _code(v) for k, v in items.items()) + b"u"
    return Raw(made + items + _code({"_metadata": Raw(_code(Call(Name("collections", "OrderedDict"), ())))}) + b"b")


class Storages:
    """The storages of a file: `tensor` puts an array among them and gives what stands for it in the pickle."""

    def __init__(self, legacy: bool = False, order: str = "<"):
        self.legacy, self.order = legacy, order
        self.arrays: list[np.ndarray] = []

    def storage(self, array: np.ndarray, kind: str | None = None, count: int | None = None, view: Any = None) -> Persistent:
        array = np.ascontiguousarray(array).ravel()
        self.arrays.append(array)
        name = kind or KINDS[array.dtype.str[1:]]
        return self.again(len(self.arrays) - 1, name, array.size if count is None else count, view)

    def again(self, number: int, kind: str, count: int, view: Any = None) -> Persistent:
        tail = (view,) if self.legacy else ()
        return Persistent(("storage", Name("torch", f"{kind}Storage"), str(number), "cpu", count, *tail))

    def tensor(self, array: np.ndarray) -> Call:
        array = np.asarray(array)
        strides = tuple(s // array.itemsize for s in np.empty(array.shape, array.dtype).strides)
        return tensor(self.storage(array), 0, array.shape, strides)

    def bytes(self, number: int) -> bytes:
        array = self.arrays[number]
        return array.astype(array.dtype.newbyteorder(self.order)).tobytes()


def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> Call:
    """torch._utils._rebuild_tensor_v2's call."""
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), (storage, offset, shape, strides, False, Call(Name("collections", "OrderedDict"), ()), *more))


def write_zip(path: Any, value: Any, storages: Storages, order: bytes | None = b"little", folder: str = "archive", **members: bytes) -> None:
    """The zip layout."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(f"{folder}/data.pkl", value if isinstance(value, bytes) else pickled(value))
        if order:
            file.writestr(f"{folder}/byteorder", order)
        for number in range(len(storages.arrays)):
            file.writestr(f"{folder}/data/{number}", storages.bytes(number))
        file.writestr(f"{folder}/version", b"3\n")
        for name, data in members.items():
            file.writestr(name, data)


def write_stream(path: Any, value: Any, storages: Storages, keys: list | None = None) -> None:
    """The layout before PyTorch 1.6."""
    keys = [str(n) for n in range(len(storages.arrays))] if keys is None else keys
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(path, "wb") as file:
        file.write(MAGIC + pickled(1001) + pickled(facts) + (value if isinstance(value, bytes) else pickled(value)) + pickled(keys))
        for number, array in enumerate(storages.arrays):
            file.write(struct.pack("<q", array.size) + storages.bytes(number))


def write(layout: str, path: Any, value: Any, storages: Storages) -> None:
    (write_stream if layout == "stream" else write_zip)(path, value, storages)
