"""A pickle machine that can do less than Python's: it makes plain values and the records of allowed.py, and nothing else.

Reference: the opcodes' description in the standard library's pickletools. Opcodes that protocols 2 to 5 write for such values are
there; the others, text opcodes and extension codes among them, are refused. What a pickle may cost is bounded: bytes, opcodes,
height of the stack, open marks. Sets become lists, so that nothing is hashed but the keys of dicts (allowed.put).
"""

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from .allowed import GLOBALS, Global, put
from .opcodes import ACTIONS
from .records import Damaged, Tensor

BYTES = 64 << 20  # of a pickle: a state dict needs some 200 a tensor
_STEPS = 2_000_000  # opcodes: some 40 a tensor
_STACK = 200_000
_MARKS = 1_000
_LINE = 400  # characters of a global's module or name
_INTEGER = 255  # bytes of an integer

_HINTS = {
    "torch._utils._rebuild_qtensor": "a quantized tensor: save it dequantized, tensor.dequantize()",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor: save it dense, tensor.to_dense()",
    "torch._utils._rebuild_nested_tensor": "a nested tensor: save its parts",
}


class Machine:
    """Runs pickles that lie one behind another in `source`.

    persistent: makes a value from a persistent id, a tuple of plain values (storages are named so).
    limit: bytes that may be read, all pickles together.
    """

    def __init__(self, source: BinaryIO, persistent: Callable[[tuple], Any], limit: int = BYTES):
        self.source, self.persistent = source, persistent
        self.left, self.steps = limit, _STEPS
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The next pickle's value. Raises Damaged."""
        self.stack, self.marks, self.memo = [], [], {}
        while True:
            code = self.take(1)
            self.steps -= 1
            self._within_bounds()
            if code == b".":
                value = self.pop()
                if self.stack or self.marks:
                    raise Damaged("its pickle leaves values behind: the file is damaged")
                return value
            action = ACTIONS.get(code)
            if action is None:
                raise Damaged(f"its pickle has the opcode {code!r}, which no PyTorch file has")
            action(self)

    def _within_bounds(self) -> None:
        if self.steps < 0 or len(self.stack) > _STACK or len(self.marks) > _MARKS:
            raise Damaged("its pickle is far longer or deeper than weights need: it is refused")

    # ---- bytes

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise Damaged("its pickle ends too early, or is far larger than weights need: the file is truncated or damaged; take another copy")
        data = self.source.read(count)
        if len(data) != count:
            raise Damaged("its pickle ends too early: the file is truncated; take another copy")
        self.left -= count
        return data

    def number(self, form: str) -> int:
        """A number in struct's notation."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to the end of the line."""
        data = self.source.readline(min(_LINE, self.left))
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise Damaged("its pickle holds a name without an end: the file is truncated or damaged; take another copy")
        return data[:-1].decode("utf-8", "replace")

    def text(self, count: int) -> str:
        """A text of so many bytes."""
        return self.take(count).decode("utf-8", "surrogatepass")

    def old_text(self, count: int) -> str | bytes:
        """A text of Python 2, where texts and bytes were one."""
        data = self.take(count)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def integer(self, count: int) -> int:
        """An integer of so many bytes."""
        if count > _INTEGER:
            raise Damaged(f"its pickle holds an integer of {count} bytes")
        return int.from_bytes(self.take(count), "little", signed=True)

    # ---- stack

    def push(self, value: Any) -> None:
        """Lay a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the top value, none from below the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Damaged("its pickle takes more from the stack than lies there: the file is damaged")
        return self.stack.pop()

    def top(self) -> Any:
        """The top value, which stays."""
        value = self.pop()
        self.push(value)
        return value

    def mark(self) -> None:
        """Remember how high the stack is."""
        self.marks.append(len(self.stack))

    def items(self) -> list[Any]:
        """Take what was pushed since the last mark."""
        if not self.marks:
            raise Damaged("its pickle closes what it did not open: the file is damaged")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def pack(self, count: int) -> None:
        """Make a tuple of the top values."""
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    # ---- values

    def extend(self, items: list[Any]) -> None:
        """Append to the list on top."""
        target = self.top()
        if type(target) is not list:
            raise Damaged("its pickle appends to something that is no list: the file is damaged")
        target.extend(items)

    def put(self, items: list[Any]) -> None:
        """Set items, key value key value …, of the dict on top."""
        target = self.top()
        if type(target) is not dict or len(items) % 2:
            raise Damaged("its pickle sets items of something that is no dict: the file is damaged")
        put(target, zip(items[::2], items[1::2], strict=True))

    def remember(self, index: int) -> None:
        """Keep the top value under a number."""
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Lay what was kept on the stack."""
        if index not in self.memo:
            raise Damaged("its pickle recalls a value that it did not keep: the file is damaged")
        self.push(self.memo[index])

    def name(self, module: Any, name: Any) -> None:
        """A global: one of the list, or the end."""
        whole = f"{module}.{name}" if type(module) is type(name) is str else "a name that is no text"
        if whole in GLOBALS:
            return self.push(GLOBALS[whole])
        whole = whole[:120]
        if whole in _HINTS:
            raise Damaged(f"{whole} stands for {_HINTS[whole]}")
        if whole.startswith("torch.") and whole.endswith("Storage"):
            raise Damaged(f"{whole}: numbers of this kind are not supported; save them as float32, tensor.float()")
        raise Damaged(
            f"asks for {whole!r}, which is code, and numbacnn runs no code from files: a whole model or other objects were saved. "
            'In PyTorch, save the weights alone: torch.save(model.state_dict(), "weights.pth")'
        )

    def call(self) -> None:
        """Call a global with a tuple of arguments."""
        args, function = self.pop(), self.pop()
        if not isinstance(function, Global) or function.make is None or type(args) is not tuple:
            raise Damaged("its pickle calls something that cannot be called: the file is damaged")
        # The result may be a copy of the arguments: one that is called again and again must not multiply what the file holds.
        self.steps -= sum(len(a) // (64 if type(a) in (str, bytes) else 1) for a in args if type(a) in (str, bytes, list, tuple, dict))
        self._within_bounds()
        self.push(function.make(args))

    def build(self) -> None:
        """Attributes: an ordered dict has some (state_dict's _metadata), which are of no use here."""
        self.pop()
        if not isinstance(self.top(), (dict, Tensor)):
            raise Damaged("its pickle gives attributes to something that has none: the file is damaged")

    def persist(self) -> None:
        """What a persistent id means."""
        key = self.pop()
        if type(key) is not tuple:
            raise Damaged("its pickle names a storage by something else than a tuple: the file is damaged")
        self.push(self.persistent(key))

    def protocol(self) -> None:
        """The pickle's first two bytes."""
        if (version := self.take(1)[0]) > 5:
            raise Damaged(f"its pickle has protocol {version}, this version reads protocols up to 5")
