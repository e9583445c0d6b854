"""Launches of compiled kernels: bound once, replayed natively, their jobs dealt out to threads as they come to ask.

Each thread of Numba's pool has its own part of a launch's jobs, the same in every launch, because what it worked on is still in its
cache. Parts are cut into shares, large ones first; who has none left takes over shares of others. So a thread that a busy neighbour
delays holds up the others for one small share at most, and uneven jobs need no care. Which thread does which job changes no bit of
the result: jobs own what they write.

The loop over launches and shares is written in LLVM's language: one call from Python replays a whole list.
"""

import ctypes
import functools
import pickle
import threading
import warnings
from collections.abc import Sequence

import llvmlite.binding
import numba
import numpy as np
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python
from numba.np.ufunc import parallel

from .machine_code import WHOLE, pack

SHARED, REST = 1, 2  # kinds: a launch that several threads may share; a kernel where something follows the loop

_SOURCE = """
declare void @numba_parallel_for(ptr, ptr, ptr, ptr, ptr, i64, i64, i32)

; launch: entry, kind, then the arguments' slots
; state:  launch, cuts, shares a thread, threads, code, exception, -, -, then for each thread a line of memory with its next share

define void @work(ptr %places, ptr %dimensions, ptr %steps, ptr %state) {
  %launch = load ptr, ptr %state
  %entry = load ptr, ptr %launch
  %slots = getelementptr i64, ptr %launch, i64 2
  %p1 = getelementptr i64, ptr %state, i64 1
  %cuts = load ptr, ptr %p1
  %p2 = getelementptr i64, ptr %state, i64 2
  %shares = load i64, ptr %p2
  %row = add i64 %shares, 1
  %p3 = getelementptr i64, ptr %state, i64 3
  %threads = load i64, ptr %p3
  %lines = getelementptr i64, ptr %state, i64 8
  %me = load i64, ptr %places
  br label %region
region:
  %helped = phi i64 [ 0, %0 ], [ %helping, %through ]
  %other = add i64 %me, %helped
  %whose = urem i64 %other, %threads
  %l1 = mul i64 %whose, 8
  %next = getelementptr i64, ptr %lines, i64 %l1
  %r1 = mul i64 %whose, %row
  %ends = getelementptr i64, ptr %cuts, i64 %r1
  br label %take
take:
  %share = atomicrmw add ptr %next, i64 1 monotonic
  %more = icmp slt i64 %share, %shares
  br i1 %more, label %do, label %through
do:
  %p4 = getelementptr i64, ptr %ends, i64 %share
  %first = load i64, ptr %p4
  %p5 = getelementptr i64, ptr %p4, i64 1
  %last = load i64, ptr %p5
  %code = call i64 @enter(ptr %state, ptr %entry, ptr %slots, i64 %first, i64 %last, i64 0)
  br label %take
through:
  %helping = add i64 %helped, 1
  %others = icmp slt i64 %helping, %threads
  br i1 %others, label %region, label %end
end:
  ret void
}

define internal i64 @enter(ptr %state, ptr %entry, ptr %slots, i64 %first, i64 %last, i64 %rest) {
  %found = alloca ptr
  %short = call i32 %entry(ptr %slots, i64 %first, i64 %last, i64 %rest, ptr %found)
  %code = sext i32 %short to i64
  %good = icmp eq i64 %code, 0
  br i1 %good, label %end, label %failed
failed:
  %exception = load ptr, ptr %found
  %p1 = getelementptr i64, ptr %state, i64 5
  store ptr %exception, ptr %p1
  %p2 = getelementptr i64, ptr %state, i64 4
  store atomic i64 %code, ptr %p2 release, align 8
  br label %end
end:
  ret i64 %code
}

define i64 @replay(ptr %state, ptr %launches, i64 %count, i64 %threads) {
  %dimensions = alloca i64
  %steps = alloca i64
  %places = alloca ptr
  store i64 %threads, ptr %dimensions
  store i64 1, ptr %steps
  store ptr null, ptr %places
  %pool = trunc i64 %threads to i32
  %lines = getelementptr i64, ptr %state, i64 8
  %failure = getelementptr i64, ptr %state, i64 4
  %many = icmp sgt i64 %threads, 1
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %j, %done ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %do, label %end
do:
  %place = getelementptr ptr, ptr %launches, i64 %i
  %launch = load ptr, ptr %place
  store ptr %launch, ptr %state
  %entry = load ptr, ptr %launch
  %p1 = getelementptr i64, ptr %launch, i64 1
  %kind = load i64, ptr %p1
  %slots = getelementptr i64, ptr %launch, i64 2
  %b1 = and i64 %kind, 1
  %parallel = icmp ne i64 %b1, 0
  %share = and i1 %parallel, %many
  br i1 %share, label %shared, label %alone
shared:
  %t = phi i64 [ 0, %do ], [ %u, %shared ]
  %l1 = mul i64 %t, 8
  %next = getelementptr i64, ptr %lines, i64 %l1
  store i64 0, ptr %next
  %u = add i64 %t, 1
  %unset = icmp slt i64 %u, %threads
  br i1 %unset, label %shared, label %fork
fork:
  call void @numba_parallel_for(ptr @work, ptr %places, ptr %dimensions, ptr %steps, ptr %state, i64 0, i64 1, i32 %pool)
  %b2 = and i64 %kind, 2
  %follows = icmp ne i64 %b2, 0
  br i1 %follows, label %rest, label %done
rest:
  %c1 = call i64 @enter(ptr %state, ptr %entry, ptr %slots, i64 WHOLE, i64 WHOLE, i64 1)
  br label %done
alone:
  %c2 = call i64 @enter(ptr %state, ptr %entry, ptr %slots, i64 0, i64 WHOLE, i64 1)
  br label %done
done:
  %code = load i64, ptr %failure
  %good = icmp eq i64 %code, 0
  %j = add i64 %i, 1
  br i1 %good, label %loop, label %end
end:
  ret i64 %i
}
"""


class ThreadingWarning(UserWarning):
    """Threads work, but worse than they could."""


REMEDY = "install GNU OpenMP (Debian and Ubuntu: apt install libgomp1; Fedora: dnf install libgomp; Alpine: apk add libgomp) or `pip install tbb`"


def _check_layer(layer: str) -> None:
    if layer == "workqueue" and numba.config.NUMBA_NUM_THREADS > 1:
        warnings.warn(f"kernels start slowly (50 µs each instead of 2): neither OpenMP nor TBB was found; {REMEDY}", ThreadingWarning, stacklevel=2)


class _Engine:
    """Object code in memory."""

    def __init__(self):
        parallel._launch_threads()  # names the pool's functions
        _check_layer(numba.threading_layer())
        for name, address in _nrt_python.c_helpers.items():  # Numba itself names these when it compiles first
            llvmlite.binding.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
        module = llvmlite.binding.parse_assembly(_SOURCE.replace("WHOLE", str(WHOLE)))
        options: dict = {"opt": 2}
        cpu_target.target_context.codegen()._customize_tm_options(options)
        self.machine = llvmlite.binding.Target.from_default_triple().create_target_machine(**options)
        self.engine = llvmlite.binding.create_mcjit_compiler(module, self.machine)
        self.engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.replay = prototype(self.engine.get_function_address("replay"))

    def load(self, object_code: bytes, symbol: str) -> int:
        """Address of a symbol in object code."""
        self.engine.add_object_file(llvmlite.binding.ObjectFileRef.from_data(object_code))
        self.engine.finalize_object()
        return self.engine.get_function_address(symbol)


@functools.cache
def engine() -> _Engine:
    """This process's."""
    return _Engine()


SHARES = (8, 4, 2, 1, 1)  # how a thread's own part is cut


@functools.cache
def _cuts(threads: int) -> np.ndarray:
    """[thread, share]: where the shares of each thread's own part begin, and where the last ends."""
    ends = np.cumsum((0, *SHARES)) / sum(SHARES)
    return np.rint((np.arange(threads)[:, None] + ends) * WHOLE / threads).astype(np.int64)


class Launch:
    """A kernel's entry bound to arguments; kind: SHARED and REST, added."""

    __slots__ = ("address", "args", "memory")

    def __init__(self, entry: int, kind: int, args: tuple):
        self.args = args  # the arrays must live
        self.memory = np.array([entry, kind, *pack(args)], np.uint64)
        self.address = self.memory.ctypes.data

    def alone(self) -> "Launch":
        """By one thread: for little work."""
        self.memory[1] &= ~np.uint64(SHARED)
        return self

    def __call__(self) -> None:
        replay((self,), numba.get_num_threads())


class _State(threading.local):
    """What a Python thread gives to `replay`; made once for each number of threads."""

    def __init__(self):
        self.of: dict[int, np.ndarray] = {}

    def __call__(self, threads: int) -> np.ndarray:
        if threads not in self.of:
            memory = np.zeros(8 * (threads + 2), np.uint64)
            memory = memory[-memory.ctypes.data % 64 // 8 :][: 8 * (threads + 1)]  # a line of the cache for each thread
            memory[1:4] = _cuts(threads).ctypes.data, len(SHARES), threads
            self.of[threads] = memory
        return self.of[threads]


_state = _State()


def replay(launches: Sequence[Launch], threads: int) -> None:
    """Run launches one after the other."""
    addresses = np.array([launch.address for launch in launches], np.uint64)
    state = _state(threads)
    done = engine().replay(state.ctypes.data, addresses.ctypes.data, len(launches), threads)
    if done < len(launches):
        code, exception = state[4:6].tolist()
        state[4:6] = 0
        raise _exception(code, exception)


def _exception(code: int, info: int) -> BaseException:
    """What a kernel has raised: Numba keeps class and arguments pickled."""
    if not info:
        return RuntimeError(f"a kernel failed with Numba's code {code}")
    data, size = ctypes.c_void_p.from_address(info).value, ctypes.c_int32.from_address(info + 8).value
    cls, args, _ = pickle.loads(ctypes.string_at(data, size))
    return cls(*(args or ()))
