"""Hypothesis strategies: layers to examine, drawn from what they say of themselves."""

import math
import types
import typing
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Literal

from ..errors import ConfigError, ShapeError
from ..layer import Layer
from ..plan.expand import expand
from .layers import graph_of


def layers_of(cls: type[Layer]) -> Any:
    """A hypothesis strategy of (layer, input shapes): an example, with fields drawn from their ranges and other image sizes."""
    from hypothesis import assume
    from hypothesis import strategies as st

    examples = list(cls.examples())
    hints = typing.get_type_hints(cls)
    ranges = {f.name: s for f in fields(cls) if f.metadata.get("draw", False) and (s := _strategy(hints[f.name], f.metadata)) is not None}

    @st.composite
    def draw(pick: Callable) -> tuple[Layer, tuple]:
        layer, *shapes = pick(st.sampled_from(examples))
        changed = pick(st.sets(st.sampled_from(sorted(ranges)), max_size=3)) if ranges else set()
        sizes: dict[int, int] = {}

        def resized(shape: tuple) -> tuple:
            if len(shape) != 3:
                return shape
            return (*(sizes.setdefault(n, pick(st.integers(1, 7))) if n > 1 else n for n in shape[:2]), shape[2])

        shapes = tuple(map(resized, shapes))
        try:
            layer = replace(layer, **{name: pick(ranges[name]) for name in sorted(changed)})
            layer.weights(*shapes)
            shape = layer.output_shape(*shapes)
            graph_of(layer, *shapes).shapes()
            expand(graph_of(layer, *shapes)).shapes()
        except (ConfigError, ShapeError):
            assume(False)
        assume(0 < math.prod(shape) < 2000)
        return layer, shapes

    return draw()


def _strategy(kind: Any, meta: Any) -> Any:
    """Values for a field, from its annotation and the range in its metadata; None where nothing can be drawn."""
    from hypothesis import strategies as st

    if meta.get("values") is not None:
        return st.sampled_from(meta["values"])
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    low, high = meta.get("low"), meta.get("high")
    if kind is bool:
        return st.booleans()
    if origin is Literal:
        return st.sampled_from(args)
    if kind is int and low is not None and high is not None:
        return st.integers(int(low), int(high))
    if kind is float and low is not None and high is not None:
        return st.floats(low, high).map(lambda v: round(v, 3))
    if origin is tuple and Ellipsis not in args:
        parts = [_strategy(a, meta) for a in args]
        return None if None in parts else st.tuples(*parts)
    if origin in (typing.Union, types.UnionType):
        parts = [s for a in args if a is not type(None) and (s := _strategy(a, meta)) is not None]
        if parts and type(None) in args:
            parts.append(st.none())
        return st.one_of(parts) if parts else None
    return None
