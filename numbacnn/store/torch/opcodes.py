"""The opcodes that protocols 2 to 5 of pickle write for plain values, and what each does on a machine m (unpickle.Machine).

The names are in the standard library's pickletools. Text opcodes, extension codes, INST and OBJ are not there.
"""

from collections.abc import Callable
from typing import Any


def _pair(m: Any) -> list[Any]:
    value, key = m.pop(), m.pop()
    return [key, value]


def _stack_global(m: Any) -> None:
    name, module = m.pop(), m.pop()
    m.name(module, name)


ACTIONS: dict[bytes, Callable[[Any], Any]] = {
    b"\x80": lambda m: m.protocol(),
    b"\x95": lambda m: m.take(8),  # FRAME: a length, for readers that read ahead
    b"(": lambda m: m.mark(),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.items(),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.push(m.integer(m.number("<B"))),
    b"\x8b": lambda m: m.push(m.integer(m.number("<I"))),
    b"G": lambda m: m.push(m.number(">d")),
    b"U": lambda m: m.push(m.old_text(m.number("<B"))),
    b"T": lambda m: m.push(m.old_text(m.number("<I"))),
    b"C": lambda m: m.push(m.take(m.number("<B"))),
    b"B": lambda m: m.push(m.take(m.number("<I"))),
    b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    b"\x96": lambda m: m.push(m.take(m.number("<Q"))),
    b"X": lambda m: m.push(m.text(m.number("<I"))),
    b"\x8c": lambda m: m.push(m.text(m.number("<B"))),
    b"\x8d": lambda m: m.push(m.text(m.number("<Q"))),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.items())),
    b"\x85": lambda m: m.pack(1),
    b"\x86": lambda m: m.pack(2),
    b"\x87": lambda m: m.pack(3),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.items()),
    b"}": lambda m: m.push({}),
    b"s": lambda m: m.put(_pair(m)),
    b"u": lambda m: m.put(m.items()),
    b"\x8f": lambda m: m.push([]),  # a set
    b"\x90": lambda m: m.extend(m.items()),
    b"\x91": lambda m: m.push(m.items()),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": _stack_global,
    b"R": lambda m: m.call(),
    b"\x81": lambda m: m.call(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.persist(),
}
