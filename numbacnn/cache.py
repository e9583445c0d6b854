"""Compiled kernels on disk. A file holds the object code for one kernel and signature, and is used only while nothing that the code depends on
has changed: the key is a digest of it all.

NUMBACNN_CACHE   folder for compiled kernels (default: the user's cache folder), read at each use
"""

import builtins
import functools
import hashlib
import os
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core import config
from numba.core.registry import cpu_target

FORMAT = 7  # of the files, and of how machine_code.py and share_loop.py translate
_TRUSTED = {"numba", "numpy", "math", "builtins", "operator", "llvmlite", "functools", "ctypes", "numbacnn.simulator"}


def cache_folder() -> Path:
    """Where compiled kernels are kept between processes."""
    return Path(os.environ.get("NUMBACNN_CACHE") or platformdirs.user_cache_path("numbacnn"))


# ---- digest: everything that the compiled code of a function depends on


def _is_trusted(module: str) -> bool:
    """Whether what a module holds only changes with a version that is part of the key already, or never reaches compiled code."""
    return module.partition(".")[0] in _TRUSTED or module in _TRUSTED


def _parts(value: object, seen: dict) -> Iterator[bytes]:
    value = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value  # dispatcher, intrinsic
    if id(value) in seen:
        return
    if isinstance(value, types.FunctionType):
        seen[id(value)] = value
        if _is_trusted(value.__module__ or ""):
            return
        yield (value.__module__ or "").encode()  # cached code looks its globals up in that module
        yield from _parts(getattr(value, "numbacnn_intrinsic", None), seen)
        yield from _code_parts(value.__code__, value, seen)
        for cell in value.__closure__ or ():
            yield from _parts(cell.cell_contents, seen)
        for default in value.__defaults__ or ():
            yield from _parts(default, seen)
    elif isinstance(value, np.ndarray):
        yield value.dtype.str.encode() + str(value.shape).encode() + value.tobytes()
    elif isinstance(value, (tuple, list)):
        yield f"{len(value)}".encode()
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield repr(key).encode()
            yield from _parts(item, seen)
    elif isinstance(value, (set, frozenset)):
        yield " ".join(sorted(map(repr, value))).encode()
    elif isinstance(value, (int, float, str, bytes, bool, type(None), np.generic, np.dtype, numba.types.Type)):
        yield repr(value).encode()
    else:
        yield f"{type(value).__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}".encode()


def _code_parts(code: types.CodeType, func: types.FunctionType, seen: dict) -> Iterator[bytes]:
    yield code.co_code
    yield " ".join((*code.co_names, *code.co_varnames, *code.co_freevars)).encode()
    for const in code.co_consts:
        yield from _code_parts(const, func, seen) if isinstance(const, types.CodeType) else _parts(const, seen)
    for name in code.co_names:
        value = func.__globals__.get(name, getattr(builtins, name, None))
        if isinstance(value, types.ModuleType):
            if not _is_trusted(value.__name__):
                for attribute in code.co_names:
                    yield from _parts(getattr(value, attribute, None), seen)
        elif name in func.__globals__:
            yield from _parts(value, seen)


def examine(func: Callable) -> tuple[str, int]:
    """(digest, number of bytes that it covers, which compile time grows with)."""
    parts = list(_parts(func, {}))
    return hashlib.sha256(b"\0".join(parts)).hexdigest(), sum(map(len, parts))


def digest(func: Callable) -> str:
    """A fingerprint of everything that a function's compiled code depends on: its code, constants, helpers and closures, transitively."""
    return examine(func)[0]


# ---- files


@functools.cache
def _machine() -> str:
    """What else decides on the code, but belongs to the machine and the settings."""
    cpu = cpu_target.target_context.codegen().magic_tuple()
    return repr((FORMAT, cpu, numba.__version__, llvmlite.__version__, int(config.OPT), config.BOUNDSCHECK))


class Entry:
    """Where the object code of a function for one signature is kept. An edit of the function replaces it."""

    def __init__(self, func: Callable, signature: tuple, stamp: str):
        place = f"{func.__code__.co_filename}:{func.__code__.co_firstlineno}:{signature}:{_machine()}"
        name = f"{func.__module__}.{func.__qualname__}".replace("<locals>.", "")[-100:]
        self.file = cache_folder() / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:16]}.kernel"
        self.key = hashlib.sha256(f"{stamp}:{place}".encode()).digest()

    def is_there(self) -> bool:
        """Whether the file is there and no older than the code."""
        try:
            with self.file.open("rb") as file:
                return file.read(len(self.key)) == self.key
        except OSError:
            return False

    def read(self) -> tuple[int, bytes] | None:
        """(kind, object code), or None where it is not there, out of date or damaged."""
        try:
            data = self.file.read_bytes()
        except OSError:
            return None
        key, check, content = data[:32], data[32:64], data[64:]
        if key != self.key or hashlib.sha256(content).digest() != check:
            return None
        return content[0], content[1:]

    def write(self, kind: int, object_code: bytes) -> None:
        """Keep it. Who reads meanwhile sees the old file or the new one."""
        content = bytes((kind,)) + object_code
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.file.with_suffix(f".{os.getpid()}.tmp")
            try:
                temporary.write_bytes(self.key + hashlib.sha256(content).digest() + content)
                os.replace(temporary, self.file)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(f"compiled kernels cannot be kept in {self.file.parent} ({error.strerror}): set NUMBACNN_CACHE to a folder of yours", stacklevel=2)
