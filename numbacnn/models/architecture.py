"""Architecture: a registered model as a function, with the facts that training and published weights need."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..data.preprocess import Preprocess
from ..functional import Symbol, collect
from ..graph import Graph


class Published(Protocol):
    """Weights that somebody trained and published. `Packaged` is one kind; a plugin may bring others."""

    key: str  # letters and digits, another one whenever the weights change: names the converted file
    classes: tuple[str, ...]  # in the order of the outputs

    def source(self) -> Path:
        """The file that holds them. Raises ConfigError saying what to install where it is not there, FileError where it is not the right one."""

    def read(self, path: Path, graph: Graph) -> dict[str, np.ndarray]:
        """{path of a weight of ours: array} for the architecture's graph."""


@dataclass(frozen=True)
class Architecture:
    """A function (symbol, classes, **options) -> symbol of logits, and what is known about the network that it makes. Call it like the function.

    function    makes the layers
    splits      prefixes of names of layers: where learning-rate groups begin, the first left out. ("block4a", "predictions") makes three groups,
                stem and early layers, late layers, head
    pool        name of the layer that makes a vector of the last feature map: a new head starts from what it reads, or from what it gives
    preprocess  how published weights want their images; its size is that of the published network
    weights     {name of published weights, usually "imagenet": where they come from}
    contract    of a plugin's: the version of numbacnn's contract that it was written for (numbacnn/contract.py)
    """

    function: Callable[..., Symbol]
    splits: tuple[str, ...] = ()
    pool: str = ""
    preprocess: Preprocess | None = None
    weights: Mapping[str, Published] = field(default_factory=dict, hash=False)
    contract: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "__doc__", inspect.getdoc(self.function))
        object.__setattr__(self, "__wrapped__", self.function)  # inspect.signature then shows the function's options

    def __call__(self, x: Symbol, classes: int, **options: Any) -> Symbol:
        return self.function(x, classes, **options)

    def splits_in(self, names: Any) -> tuple[str, ...]:
        """Those splits that a model with layers of these names has: options may have left some out."""
        return tuple(s for s in self.splits if any(name.startswith(s) for name in names))


def architecture(**facts: Any) -> Callable[[Callable[..., Symbol]], Architecture]:
    """Decorator: `@architecture(splits=…, pool=…)` makes an Architecture of a function."""
    return lambda function: Architecture(function, **facts)


def as_architecture(model: Any) -> Architecture:
    """What is registered as a model: an Architecture as it is, a plain function as one of which no more is known."""
    return model if isinstance(model, Architecture) else Architecture(model)


def graph_of(source: Symbol, output: Symbol) -> Graph:
    """The graph between two symbols, without weights."""
    return collect([source], [output])[0]
