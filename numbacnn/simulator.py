"""numba.cuda's names for kernels, acted out on the CPU: CUDA twins can be run, and their results looked at, where there is no GPU.

Kernels reach them as `from ..jit import cuda`. Compiled for a GPU, the same names mean numba.cuda's own. Each GPU thread is a greenlet: at a
barrier it hands over to the next one, so that a block of 256 threads costs no more than 256 function calls (Numba's own simulator starts as
many threads of the operating system). The threads of a block run in order between two barriers, and blocks one after the other; the
order can be reversed, which shows a missing barrier.

Not acted out: the memory model between barriers, alignment (kernels/ptx.py checks it), and limits of registers; shared memory and threads are counted.
"""

import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

MOST_THREADS = 1024  # of a block (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability")
MOST_SHARED = 48 * 1024  # bytes of a block that need no permission
WARP = 32
BLOCK, LANES = 1, 2  # what a thread waits for: all of its block, all of its warp


class Dim3(NamedTuple):
    """Three numbers, as CUDA has them."""

    x: int
    y: int
    z: int

    @classmethod
    def of(cls, value: Any) -> "Dim3":
        """From one number or up to three."""
        values = (value,) if isinstance(value, (int, np.integer)) else tuple(value)
        return cls(*map(int, values), *(1,) * (3 - len(values)))


class SimulationError(RuntimeError):
    """A kernel did what a GPU would not forgive."""


class _Thread:
    """One GPU thread, and what it shares with others."""

    def __init__(self, block: "_Block", number: int):
        x, rest = number % block.size.x, number // block.size.x
        self.block, self.number, self.place = block, number, Dim3(x, rest % block.size.y, rest // block.size.y)
        self.warp, self.lane = divmod(number, WARP)
        self.waits = 0
        self.copies: list[list] = [[]]  # groups of copies under way, the newest is still open (kernels/ptx)
        self.greenlet: Any = None


class _Block:
    def __init__(self, place: Dim3, size: Dim3, grid: Dim3, dynamic: int):
        self.place, self.size, self.grid = place, size, grid
        self.shared: dict[tuple, np.ndarray] = {}
        self.bytes, self.dynamic = dynamic, np.full(dynamic, 255, np.uint8)
        self.said: dict[int, dict[int, Any]] = {}  # warp -> lane -> what it exchanges


_now: _Thread | None = None  # the thread that runs


def _thread() -> _Thread:
    if _now is None:
        raise SimulationError("this is a name for CUDA kernels: it works in a launch only")
    return _now


def launch(func: Callable, blocks: Any, threads: Any, args: Iterable[Any], dynamic: int = 0, backwards: bool = False) -> None:
    """Run a kernel; `dynamic`: bytes of shared memory beside the arrays that it names. backwards: threads and blocks in reverse order."""
    import greenlet

    grid, size, args = Dim3.of(blocks), Dim3.of(threads), tuple(args)
    count = size.x * size.y * size.z
    if not 1 <= count <= MOST_THREADS:
        raise SimulationError(f"a block of {tuple(size)} threads: there must be 1 to {MOST_THREADS}")
    order = [Dim3(x, y, z) for z in range(grid.z) for y in range(grid.y) for x in range(grid.x)]
    with np.errstate(all="ignore"):
        for place in reversed(order) if backwards else order:
            block = _Block(place, size, grid, dynamic)
            _run(block, count, lambda: func(*args), greenlet, backwards)


def _run(block: _Block, count: int, work: Callable, greenlet: Any, backwards: bool) -> None:
    """All threads of a block: each runs to its next barrier, then the next one does."""
    global _now
    hub, live = greenlet.getcurrent(), [_Thread(block, n) for n in range(count)]
    for thread in live:
        thread.greenlet = greenlet.greenlet(work, hub)
    if backwards:
        live.reverse()
    try:
        while live:
            for thread in live:
                _resume(thread)
            live = [t for t in live if not t.greenlet.dead]
            while warp := _complete_warp(live):
                for thread in warp:
                    _resume(thread)
                live = [t for t in live if not t.greenlet.dead]
            if any(t.waits == LANES for t in live):
                raise SimulationError(f"block {tuple(block.place)}: not all threads of a warp came to the same exchange")
    finally:
        _now = None


def _resume(thread: _Thread) -> None:
    global _now
    _now = thread
    try:
        thread.greenlet.switch()
    except Exception as error:
        error.add_note(f"in thread {tuple(thread.place)} of block {tuple(thread.block.place)}")
        raise


def _complete_warp(live: list[_Thread]) -> list[_Thread]:
    """The threads of a warp of which all that live wait for each other; [] if there is none."""
    warps: dict[int, list[_Thread]] = {}
    for thread in live:
        warps.setdefault(thread.warp, []).append(thread)
    return next((warp for warp in warps.values() if all(t.waits == LANES for t in warp)), [])


def _wait(what: int) -> None:
    thread = _thread()
    thread.waits = what
    thread.greenlet.parent.switch()
    thread.waits = 0


def current() -> _Thread:
    """The thread that runs: for who acts out more of the GPU's instructions (kernels/ptx)."""
    return _thread()


def is_shared(array: np.ndarray) -> bool:
    """Whether an array lies in the shared memory of the block that runs."""
    block = _thread().block
    return any(np.may_share_memory(array, own) for own in (block.dynamic, *block.shared.values()))


# ---- the names


def device(func: Callable) -> Callable:
    """Decorator: kernels for a GPU may call this function, which uses these names itself."""
    func.numbacnn_device = True
    return func


def is_device(value: Any) -> bool:
    """Whether it is such a function."""
    return getattr(value, "numbacnn_device", False)


class _Index:
    """threadIdx and the like: x, y and z of whoever asks."""

    def __init__(self, of: Callable[[_Thread], Dim3]):
        self._of = of

    x = property(lambda self: self._of(_thread()).x)
    y = property(lambda self: self._of(_thread()).y)
    z = property(lambda self: self._of(_thread()).z)


threadIdx = _Index(lambda t: t.place)
blockIdx = _Index(lambda t: t.block.place)
blockDim = _Index(lambda t: t.block.size)
gridDim = _Index(lambda t: t.block.grid)


def grid(axes: int) -> Any:
    """The thread's place among all threads; a tuple for two or three axes."""
    thread = _thread()
    places = tuple(b * s + t for b, s, t in zip(thread.block.place, thread.block.size, thread.place, strict=True))
    return places[0] if axes == 1 else places[:axes]


def gridsize(axes: int) -> Any:
    """How many threads there are; a tuple for two or three axes."""
    thread = _thread()
    sizes = tuple(g * s for g, s in zip(thread.block.grid, thread.block.size, strict=True))
    return sizes[0] if axes == 1 else sizes[:axes]


def _numpy_type(dtype: Any) -> np.dtype:
    return np.dtype(str(dtype)) if type(dtype).__module__.startswith("numba") else np.dtype(dtype)


def _shared(shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray:
    """One array a block and place in the source; shape 0: the memory that the launch gives. Its content is NaN (or 255) at first."""
    block, caller = _thread().block, sys._getframe(1)
    kind = _numpy_type(dtype)
    if shape == 0:
        return block.dynamic.view(kind)
    key = (caller.f_code, caller.f_lasti)
    if key not in block.shared:
        array = _barely_aligned(shape, kind, alignment or kind.itemsize)
        block.shared[key] = array
        block.bytes += array.nbytes
        if block.bytes - block.dynamic.nbytes > MOST_SHARED:
            raise SimulationError(f"{block.bytes} bytes of shared memory: more than {MOST_SHARED} must be dynamic")
    return block.shared[key]


def _barely_aligned(shape: Any, kind: np.dtype, alignment: int) -> np.ndarray:
    """An array full of 255 that lies at a multiple of `alignment` bytes, and never by luck at one of twice as many."""
    nbytes = int(np.prod(shape)) * kind.itemsize
    raw = np.full(nbytes + 3 * alignment, 255, np.uint8)
    start = (alignment - raw.ctypes.data) % (2 * alignment)
    return raw[start : start + nbytes].view(kind).reshape(shape)


def _local(shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray:
    """A thread's own array, filled with NaN (or 255)."""
    array = np.empty(shape, _numpy_type(dtype))
    array.view(np.uint8).fill(255)
    return array


shared, local = SimpleNamespace(array=_shared), SimpleNamespace(array=_local)


def syncthreads() -> None:
    """Wait for all threads of the block."""
    _wait(BLOCK)


def exchange(value: Any) -> dict[int, Any]:
    """What each lane of the warp gives; all of them must come here."""
    thread = _thread()
    said = thread.block.said.setdefault(thread.warp, {})
    said[thread.lane] = value
    _wait(LANES)
    heard = dict(said)
    _wait(LANES)
    return heard


def syncwarp(mask: int = 0xFFFFFFFF) -> None:
    """Wait for all lanes of the warp."""
    exchange(None)


def shfl_sync(mask: int, value: Any, lane: int) -> Any:
    """Another lane's value."""
    return exchange(value).get(lane % WARP, value)


def shfl_xor_sync(mask: int, value: Any, lanes: int) -> Any:
    """The value of the lane whose number differs in these bits."""
    return exchange(value).get(_thread().lane ^ lanes, value)


def shfl_down_sync(mask: int, value: Any, delta: int) -> Any:
    """The value of the lane that stands `delta` further; the lane's own where there is none."""
    return exchange(value).get(_thread().lane + delta, value)


def shfl_up_sync(mask: int, value: Any, delta: int) -> Any:
    """The value of the lane that stands `delta` before; the lane's own where there is none."""
    return exchange(value).get(_thread().lane - delta, value)


def ballot_sync(mask: int, predicate: Any) -> int:
    """A bit for each lane whose predicate is true."""
    return sum(1 << lane for lane, value in exchange(predicate).items() if value)
