"""Small checks of what a configuration holds. Whatever is wrong becomes the error that names file, layer and value."""

import math
import reprlib
from collections.abc import Callable
from typing import Any

from ...errors import FileError

Fail = Callable[[str], FileError]  # reason -> the error to raise, which names the file

_SHOW = reprlib.Repr()
_SHOW.maxlevel, _SHOW.maxstring, _SHOW.maxother, _SHOW.maxlong = 3, 80, 80, 24
_CHANNELS = 1 << 16  # numbers in a vector
_WRAPPED = ("__numpy__", "__tensor__")


def within(fail: Fail, what: str) -> Fail:
    """`fail` for a thing inside: its errors begin with what the thing is."""
    return lambda reason: fail(f"{what}: {reason}")


def shown(value: Any) -> str:
    """A value for an error message: short, however large or deep it is."""
    return _SHOW.repr(value)


def plain(value: Any) -> Any:
    """The value that Keras wrapped: {"class_name": "__numpy__" or "__tensor__", "config": {"value": …}}, or NumPy's in older files."""
    if isinstance(value, dict):
        if value.get("class_name") in _WRAPPED and isinstance(value.get("config"), dict):
            return value["config"].get("value")
        if value.get("type") == "ndarray":
            return value.get("value")
    return value


def number(value: Any, fail: Fail, what: str) -> float:
    """A finite number."""
    value = plain(value)
    if type(value) not in (int, float) or (type(value) is int and abs(value) > 2**1000) or not math.isfinite(value):
        raise fail(f"{what}={shown(value)} is no finite number")
    return float(value)


def per_channel(value: Any, fail: Fail, what: str) -> float | tuple[float, ...]:
    """One number, or one a channel: a list, which may lie in lists of one (axes of length 1 before the channels)."""
    value = plain(value)
    for _ in range(8):
        if not isinstance(value, list) or len(value) != 1:
            break
        value = value[0]
    if not isinstance(value, list):
        return number(value, fail, what)
    if len(value) > _CHANNELS:
        raise fail(f"{what} holds {len(value):,} values, at most {_CHANNELS:,} are read")
    return tuple(number(v, fail, what) for v in value)


def text(value: Any, fail: Fail, what: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise fail(f"{what}={shown(value)} is no name")
    return value


def flag(value: Any, fail: Fail, what: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise fail(f"{what}={shown(value)} is neither true nor false")
    return value


def integer(value: Any, fail: Fail, what: str, low: int, high: int) -> int:
    """An integer from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise fail(f"{what}={shown(value)} is no integer from {low} to {high:,}")
    return value


def shape(value: Any, fail: Fail, what: str) -> tuple[int | None, ...]:
    """[batch, …] as a shape without the batch axis; null for any length."""
    value = plain(value)
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        raise fail(f"{what}={shown(value)} is no shape: a list of lengths, the batch first")
    return tuple(None if n is None else integer(n, fail, what, 1, 1 << 24) for n in value[1:])
