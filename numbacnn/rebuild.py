"""A Python function made anew with other things behind its names: how one source serves the CPU, the GPU and the simulator."""

import types
from collections.abc import Callable
from typing import Any


class Rebuild:
    """swap(value, self) says what stands in the place of a global or a closure's cell; it may call `self` for functions below.

    A function whose names all stay is not copied. Calls are remembered.
    """

    def __init__(self, swap: Callable[[Any, "Rebuild"], Any]):
        self.swap = swap
        self.done: dict[int, tuple[Any, Callable]] = {}  # the key keeps the original alive

    def __call__(self, func: types.FunctionType) -> types.FunctionType:
        if id(func) not in self.done:
            self.done[id(func)] = func, func  # for functions that call themselves
            self.done[id(func)] = func, self._anew(func)
        return self.done[id(func)][1]

    def _anew(self, func: types.FunctionType) -> types.FunctionType:
        used = {n: func.__globals__[n] for n in names(func.__code__) if n in func.__globals__}
        cells = [c.cell_contents for c in func.__closure__ or ()]
        there = {n: self.swap(v, self) for n, v in used.items()}, [self.swap(v, self) for v in cells]
        if all(a is b for a, b in zip((*used.values(), *cells), (*there[0].values(), *there[1]), strict=True)):
            return func
        made = types.FunctionType(
            func.__code__,
            func.__globals__ | there[0],
            func.__name__,
            func.__defaults__,
            tuple(map(types.CellType, there[1])) or None,
        )
        made.__qualname__, made.__module__ = func.__qualname__, func.__module__
        return made


def names(code: types.CodeType) -> set[str]:
    """The names that a function's code and the functions in it may look up."""
    return set(code.co_names).union(*(names(c) for c in code.co_consts if isinstance(c, types.CodeType)))
