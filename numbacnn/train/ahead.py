"""Work that a device does while the host goes on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_turn(started: Iterable[Callable[[], T]], ahead: int) -> Iterator[T]:
    """The results that these calls wait for, in order, each when `ahead` more have been started."""
    waiting: deque[Callable[[], T]] = deque()
    for wait in started:
        waiting.append(wait)
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
