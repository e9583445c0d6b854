"""Types of options that several commands use. A wrong value is refused before any work is done, with the nearest right one."""

import math
import re
from pathlib import Path
from typing import Any

import click

from numbacnn import registry
from numbacnn.errors import UnknownNameError

AUTO = "auto"  # --model: what is there decides
NOT_FINITE = "the model answers NaN: its weights are spoilt; train it anew, with a smaller learning rate"


class OneOf(click.ParamType):
    """One of a few words."""

    def __init__(self, name: str, *values: str):
        self.name, self.values = name, values

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "[" + "|".join(self.values) + "]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.values:
            raise UnknownNameError(self.name, value, self.values)
        return value


class Registered(click.ParamType):
    """A name that a registry knows, in its registered spelling."""

    def __init__(self, known: registry.Registry):
        self.name, self.known = known.kind, known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self.known.resolve(value)


class ModelOrFile(click.ParamType):
    """A registered model's name, or the path of a model file or RUN folder."""

    name = "model"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "NAME|FILE.h5"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | Path:
        if isinstance(value, Path):
            return value
        if value in registry.models:
            return registry.models.resolve(value)
        path = Path(value)
        if path.exists():
            return path
        if path.suffix or len(path.parts) > 1:
            self.fail(f"there is no model file {value!r}", param, ctx)
        raise registry.models.unknown(value)


class AutoOrModel(ModelOrFile):
    """`auto` as well."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "auto|NAME|FILE.h5"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | Path:
        return AUTO if value == AUTO else super().convert(value, param, ctx)


class Rates(click.ParamType):
    """Learning rates: `1e-3`, one for each layer group `1e-5,1e-4,1e-3`, or a range over the groups `1e-5:1e-3`."""

    name = "rates"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "RATE|R,R,…|LOW:HIGH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from numbacnn.train.rates import parse

        parse(str(value))
        return str(value)


class FileOrModel(ModelOrFile):
    """The other way round: a model file or RUN folder wins over a registered model's name."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "FILE.h5|RUN|NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | Path:
        path = Path(value)
        return path if path.exists() else super().convert(value, param, ctx)


class Size(click.ParamType):
    """`64` or `HxW`: (height, width) in pixels."""

    name = "size"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "N|HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,4})(?:[xX×]([1-9]\d{0,4}))?", str(value).strip())
        if not match:
            self.fail(f"{value!r} is no size: give one number of pixels, such as 64, or height and width, such as 48x64", param, ctx)
        height, width = match.groups()
        return int(height), int(width or height)


class Number(click.ParamType):
    """A finite number above `low` (or `low` itself, where `inclusive`) and below `high`."""

    name = "number"

    def __init__(self, low: float = 0.0, high: float = math.inf, inclusive: bool = False):
        self.low, self.high, self.inclusive = low, high, inclusive

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (self.low < number < self.high or (self.inclusive and number == self.low)):
            limits = ("at least " if self.inclusive else "above ") + f"{self.low:g}" + (f" and below {self.high:g}" if self.high < math.inf else "")
            self.fail(f"{value!r} must be a number {limits}", param, ctx)
        return number


def show_size(size: tuple[int, int]) -> str:
    """As the option --size is written."""
    return f"{size[0]}x{size[1]}"


def plain(path: object) -> str:
    """A path that any terminal can show: bytes that are no UTF-8 are replaced."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def known_models() -> str:
    """The registered architectures, for help texts."""
    return ", ".join(registry.models)
