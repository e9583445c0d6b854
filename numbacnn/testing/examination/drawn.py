"""Configurations and input shapes, drawn by hypothesis."""

from collections.abc import Callable

from ...layer import Layer
from ..draws import layers_of


def each_drawn(cls: type[Layer], count: int, check: Callable) -> int:
    """check(layer, shapes, batch, seed) for `count` draws; what it raises is raised for the smallest draw. Returns how many differed."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    seen = set()

    @settings(max_examples=count, database=None, derandomize=True, deadline=None, print_blob=False, suppress_health_check=list(HealthCheck))
    @given(layers_of(cls), st.integers(1, 3), st.integers(0, 99))
    def each(drawn: tuple, batch: int, seed: int) -> None:
        seen.add(repr(drawn))
        check(*drawn, batch, seed)

    each()
    return len(seen)


def drawn(cls: type[Layer], count: int) -> list[tuple[Layer, tuple]]:
    """Layers and input shapes."""
    found: dict[str, tuple] = {}
    each_drawn(cls, count, lambda layer, shapes, *_: found.setdefault(repr((layer, shapes)), (layer, shapes)))
    return list(found.values())
