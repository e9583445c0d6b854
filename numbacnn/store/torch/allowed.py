"""GLOBALS: every name that a pickle in a PyTorch file may mention, and what we do where it is called. Nothing is imported by a name from a file.

The functions get what the file says: each checks what it is given, and raises Damaged (or whatever Python raises for a wrong value).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .records import KINDS, Damaged, Kind, Tensor, tensor

Make = Callable[[tuple], Any]


@dataclass(frozen=True)
class Global:
    """A name that a pickle may mention. make: what calling it with a tuple of arguments gives; None: it cannot be called."""

    name: str
    make: Make | None = None
    kind: Kind | None = None  # of storages and dtypes


def kind_of(value: Any) -> Kind:
    """The type of numbers that a storage class or a dtype stands for."""
    if not isinstance(value, Global) or value.kind is None:
        raise Damaged("its pickle has something else where a type of numbers belongs: the file is damaged")
    return value.kind


def put(target: dict, pairs: Iterable[tuple[Any, Any]]) -> None:
    """Add (key, value) pairs to a dict. Keys are plain and short, so that their hashes cost little and hardly collide."""
    for key, value in pairs:
        if type(key) not in (str, bytes, int, float, bool, type(None)) or (type(key) is int and abs(key) > 1 << 63):
            raise Damaged("a dict has a key that is neither text nor a number")
        target[key] = value


def _mapping(args: tuple) -> dict:
    """OrderedDict(), OrderedDict([[key, value], …]), Counter({…})"""
    made: dict = {}
    if args:
        put(made, args[0].items() if type(args[0]) is dict else args[0])
    return made


def _tensor(args: tuple) -> Tensor:
    """storage, offset, shape, strides"""
    block, offset, shape, strides = args
    return tensor(block, offset, shape, strides)


def _tensor_v2(args: tuple) -> Tensor:
    """storage, offset, shape, strides, requires_grad, hooks[, metadata]"""
    _plain(args[6:])
    return tensor(*args[:4])


def _tensor_v3(args: tuple) -> Tensor:
    """As v2, with a type of numbers before the metadata: the storage is one of bytes."""
    _plain(args[7:])
    return tensor(*args[:4], kind_of(args[6]))


def _plain(metadata: tuple) -> None:
    if any(m and (type(m) is not dict or any(m.values())) for m in metadata):
        raise Damaged("a tensor is a conjugate or negative view: save tensor.resolve_conj().resolve_neg() instead")


def _parameter(args: tuple) -> Tensor:
    """tensor, requires_grad, hooks[, attributes]"""
    if not isinstance(args[0], Tensor):
        raise Damaged("a parameter is no tensor")
    return args[0]


def _with_attributes(args: tuple) -> Tensor:
    """function, class, arguments, attributes: of plain tensors and parameters; the attributes are left out"""
    function, cls, inner, _ = args
    if not isinstance(cls, Global) or cls.name not in _CLASSES:
        raise Damaged("a tensor has a class of its own: save plain tensors")
    if not isinstance(function, Global) or function.make not in (_tensor_v2, _tensor_v3, _parameter):
        raise Damaged("a tensor with attributes is rebuilt by a function that numbacnn does not know")
    return function.make(inner)


def _encoded(args: tuple) -> bytes:
    """How protocol 2 holds bytes: text, and "latin1"."""
    text, encoding = args
    if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        raise Damaged("bytes are packed in a way that numbacnn does not know")
    return text.encode("latin-1")


def _items(args: tuple) -> tuple:
    """torch.Size, and sets and the like, which no weights are: nothing is hashed, the items stay as they are."""
    return tuple(args[0]) if args and type(args[0]) in (list, tuple) else args


_CLASSES = ("torch.Tensor", "torch.nn.parameter.Parameter")
_CALLED: dict[str, Make] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _with_attributes,
    "torch.Size": _items,
    "torch.device": _items,
    "_codecs.encode": _encoded,
    "builtins.set": _items,
    "__builtin__.set": _items,  # Python 2's name
    "builtins.bytearray": _items,
    "__builtin__.bytearray": _items,
}
_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}
_KINDS = {
    **{f"torch.{name}Storage": KINDS[kind] for name, kind in _STORAGES.items()},
    **dict.fromkeys(("torch.storage.UntypedStorage", "torch.storage._UntypedStorage", "torch.UntypedStorage"), KINDS["uint8"]),
    **{f"torch.{name}": kind for name, kind in KINDS.items()},
}
GLOBALS: dict[str, Global] = {
    **{name: Global(name, make) for name, make in _CALLED.items()},
    **{name: Global(name) for name in _CLASSES},
    **{name: Global(name, kind=kind) for name, kind in _KINDS.items()},
}
