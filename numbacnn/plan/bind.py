"""Pass: promises get memory, kernels get compiled, launches become calls without arguments."""

from collections.abc import Callable
from typing import Any

from ..errors import DeviceError
from .arena import ALIGNMENT
from .buffer import Buffer, Launch

Progress = Callable[[int, int, str], None]  # done, of how many, the kernel that comes next


def give_memory(backend: Any, launches: list[Launch], others: list[Buffer], places: dict[Buffer, int], nbytes: int) -> None:
    """One block for the arena, one for everything else that has no memory yet."""
    block = backend.allocate(nbytes)
    for root, offset in places.items():
        root.array = backend.view(block, offset, root.shape, root.dtype)
    rest = {b.root for b in others} | {r for launch in launches for r in launch.roots}
    for root in rest:
        if root.kind == "constant" and root.array is not None:
            root.array = backend.constant(root.array)
        elif root.array is None:
            memory = backend.allocate(max(root.nbytes, ALIGNMENT))
            root.array = backend.view(memory, 0, root.shape, root.dtype)
            backend.clear(root.array)


def bind(backend: Any, launches: list[Launch], progress: Progress | None = None) -> list[Callable[[], None]]:
    """Bound calls, in order. `progress` hears of each kernel before it is compiled (or loaded from the cache)."""
    if refused := {f"{launch.node} ({launch.kernel.__name__}: {why})" for launch in launches if (why := backend.refuses(launch.kernel))}:
        raise DeviceError(f"device {backend.name!r} cannot run: " + ", ".join(sorted(refused)))
    real = [(launch.kernel, [a.real() if isinstance(a, Buffer) else a for a in (*launch.args, *launch.out)]) for launch in launches]
    backend.compile(real, progress)
    calls = []
    for i, (kernel, args) in enumerate(real):
        if progress:
            progress(i, len(real), kernel.__name__)
        calls.append(backend.bind(kernel, args))
    if progress:
        progress(len(real), len(real), "")
    return calls
