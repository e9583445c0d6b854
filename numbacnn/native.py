"""The few loops that run between kernels, in LLVM's language, and the engine that holds all machine code.

replay   runs a list of launches, one after the other, for one call from Python
serve    what the helpers do: they look for a launch that is open, and take shares of it

A launch is open from the moment it is announced until the thread that announced it finds no share left. It then waits for the
helpers that still work on a share, and for no other: one that a busy neighbour keeps from its core costs nothing. (A barrier, as OpenMP has
it, waits for all of them, and beside a busy neighbour most launches took a time slice.)
"""

import ctypes
import functools

import llvmlite.binding
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python
from numba.np.ufunc import parallel

from .share_loop import WHOLE

LINE = 8  # words of 64 bits in a line of the cache
SPINS = 20_000  # looks before a helper lets others have its core: about half a millisecond

PAUSES = {"x86": "call void @llvm.x86.sse2.pause()", "aarch64": "call void @llvm.aarch64.hint(i32 1)"}

# launch: entry, kind (1: shared out, 2: something follows the loop), then the arguments' slots
# state:  launch, cuts, shares a thread, threads, code, exception, -, -, then for each thread a line with its next share
# pool:   a line each for: number of the last launch | number of the launch that is open, or 0 | helpers at work |
#         its state, its threads | whether the pool is taken
_SOURCE = """
declare i32 @numbacnn_give_way()
declare ptr @numbacnn_get_mark(i32)
declare i32 @numbacnn_set_mark(i32, ptr)
declare i64 @numbacnn_numba_thread_id()

; The thread's number below the number of threads, as numba.get_thread_id() gives it to kernels; helpers are marked with theirs.
define i64 @get_thread_id() {
  %mine = call ptr @numbacnn_get_mark(i32 MARK)
  %id = ptrtoint ptr %mine to i64
  %helper = icmp ne i64 %id, 0
  br i1 %helper, label %known, label %ask
known:
  ret i64 %id
ask:
  %numba = call i64 @numbacnn_numba_thread_id()
  ret i64 %numba
}

define internal void @work(ptr %state, i64 %me) {
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
  br label %part
part:
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
  call void @enter(ptr %state, ptr %entry, ptr %slots, i64 %first, i64 %last, i64 0)
  br label %take
through:
  %helping = add i64 %helped, 1
  %others = icmp slt i64 %helping, %threads
  br i1 %others, label %part, label %end
end:
  ret void
}

define internal void @enter(ptr %state, ptr %entry, ptr %slots, i64 %first, i64 %last, i64 %rest) {
  %found = alloca ptr
  %short = call i32 %entry(ptr %slots, i64 %first, i64 %last, i64 %rest, ptr %found)
  %good = icmp eq i32 %short, 0
  br i1 %good, label %end, label %failed
failed:
  %code = sext i32 %short to i64
  %exception = load ptr, ptr %found
  %p1 = getelementptr i64, ptr %state, i64 5
  store ptr %exception, ptr %p1
  %p2 = getelementptr i64, ptr %state, i64 4
  store atomic i64 %code, ptr %p2 release, align 8
  br label %end
end:
  ret void
}

; Look for launches that are open and not yet seen, until nothing was replayed for `patience` looks.
define void @serve(ptr %pool, i64 %me, i64 %patience) {
  %open = getelementptr i64, ptr %pool, i64 8
  %active = getelementptr i64, ptr %pool, i64 16
  %p1 = getelementptr i64, ptr %pool, i64 24
  %p2 = getelementptr i64, ptr %pool, i64 25
  %taken = getelementptr i64, ptr %pool, i64 32
  %mine = inttoptr i64 %me to ptr
  %ok = call i32 @numbacnn_set_mark(i32 MARK, ptr %mine)
  br label %look
look:
  %seen = phi i64 [ 0, %0 ], [ %seen, %nothing ], [ %seen, %yield ], [ %number, %news ], [ %number, %leave ]
  %looks = phi i64 [ 0, %0 ], [ %looked, %nothing ], [ %often, %yield ], [ 0, %news ], [ 0, %leave ]
  %number = load atomic i64, ptr %pool acquire, align 8
  %same = icmp eq i64 %number, %seen
  br i1 %same, label %nothing, label %news
nothing:
  PAUSE
  %looked = add i64 %looks, 1
  %tired = icmp sgt i64 %looked, %patience
  br i1 %tired, label %idle, label %look
idle:
  %t1 = load atomic i64, ptr %taken monotonic, align 8
  %between = icmp ne i64 %t1, 0
  br i1 %between, label %yield, label %stop
yield:
  %gave = call i32 @numbacnn_give_way()
  %often = sub i64 %patience, 1000
  br label %look
news:
  %threads = load i64, ptr %p2
  %wanted = icmp slt i64 %me, %threads
  br i1 %wanted, label %join, label %look
join:
  %a1 = atomicrmw add ptr %active, i64 1 seq_cst
  %now = load atomic i64, ptr %open seq_cst, align 8
  %still = icmp eq i64 %now, %number
  br i1 %still, label %help, label %leave
help:
  %state = load ptr, ptr %p1
  call void @work(ptr %state, i64 %me)
  br label %leave
leave:
  %a2 = atomicrmw sub ptr %active, i64 1 seq_cst
  br label %look
stop:
  ret void
}

; How many of the launches were run: all, or up to the one that failed.
define i64 @replay(ptr %pool, ptr %state, ptr %launches, i64 %count, i64 %threads) {
  %open = getelementptr i64, ptr %pool, i64 8
  %active = getelementptr i64, ptr %pool, i64 16
  %p1 = getelementptr i64, ptr %pool, i64 24
  %p2 = getelementptr i64, ptr %pool, i64 25
  %taken = getelementptr i64, ptr %pool, i64 32
  %lines = getelementptr i64, ptr %state, i64 8
  %failure = getelementptr i64, ptr %state, i64 4
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %ask, label %begin
ask:
  %before = atomicrmw xchg ptr %taken, i64 1 acquire
  %free = icmp eq i64 %before, 0
  br label %begin
begin:
  %many = phi i1 [ false, %0 ], [ %free, %ask ]
  br label %loop
loop:
  %i = phi i64 [ 0, %begin ], [ %j, %done ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %do, label %end
do:
  %place = getelementptr ptr, ptr %launches, i64 %i
  %launch = load ptr, ptr %place
  store ptr %launch, ptr %state
  %entry = load ptr, ptr %launch
  %p3 = getelementptr i64, ptr %launch, i64 1
  %kind = load i64, ptr %p3
  %slots = getelementptr i64, ptr %launch, i64 2
  %b1 = and i64 %kind, 1
  %parallel = icmp ne i64 %b1, 0
  %share = and i1 %parallel, %many
  br i1 %share, label %reset, label %alone
reset:
  %t = phi i64 [ 0, %do ], [ %u, %reset ]
  %l1 = mul i64 %t, 8
  %next = getelementptr i64, ptr %lines, i64 %l1
  store i64 0, ptr %next
  %u = add i64 %t, 1
  %unset = icmp slt i64 %u, %threads
  br i1 %unset, label %reset, label %announce
announce:
  store ptr %state, ptr %p1
  store i64 %threads, ptr %p2
  %last = load atomic i64, ptr %pool monotonic, align 8
  %number = add i64 %last, 1
  store atomic i64 %number, ptr %open seq_cst, align 8
  store atomic i64 %number, ptr %pool seq_cst, align 8
  call void @work(ptr %state, i64 0)
  store atomic i64 0, ptr %open seq_cst, align 8
  br label %wait
wait:
  %waits = phi i64 [ 0, %announce ], [ %waited, %again ], [ %waited, %yield ]
  %busy = load atomic i64, ptr %active seq_cst, align 8
  %ready = icmp eq i64 %busy, 0
  br i1 %ready, label %close, label %pause
pause:
  %waited = add i64 %waits, 1
  PAUSE
  %long = icmp sgt i64 %waited, 1000
  br i1 %long, label %yield, label %again
again:
  br label %wait
yield:
  %gave = call i32 @numbacnn_give_way()
  br label %wait
close:
  %b2 = and i64 %kind, 2
  %follows = icmp ne i64 %b2, 0
  br i1 %follows, label %rest, label %done
rest:
  call void @enter(ptr %state, ptr %entry, ptr %slots, i64 WHOLE, i64 WHOLE, i64 1)
  br label %done
alone:
  call void @enter(ptr %state, ptr %entry, ptr %slots, i64 0, i64 WHOLE, i64 1)
  br label %done
done:
  %code = load i64, ptr %failure
  %good = icmp eq i64 %code, 0
  %j = add i64 %i, 1
  br i1 %good, label %loop, label %end
end:
  br i1 %many, label %release, label %out
release:
  store atomic i64 0, ptr %taken release, align 8
  br label %out
out:
  ret i64 %i
}
"""


def _system() -> tuple[int, dict[str, int]]:
    """(a key for marks of threads, addresses of what the loops want from the operating system)."""
    if hasattr(ctypes, "windll"):
        kernel = ctypes.windll.kernel32
        key, names = kernel.TlsAlloc(), ("SwitchToThread", "TlsGetValue", "TlsSetValue")
    else:
        kernel, number = ctypes.CDLL(None), ctypes.c_uint32()
        kernel.pthread_key_create(ctypes.byref(number), None)
        key, names = number.value, ("sched_yield", "pthread_getspecific", "pthread_setspecific")
    found = (ctypes.cast(getattr(kernel, name), ctypes.c_void_p).value for name in names)
    return key, dict(zip(("numbacnn_give_way", "numbacnn_get_mark", "numbacnn_set_mark"), found, strict=True))


class _Engine:
    """Object code in memory."""

    def __init__(self):
        parallel._launch_threads()  # names what kernels with several loops need
        key, symbols = _system()
        symbols["numbacnn_numba_thread_id"] = llvmlite.binding.address_of_symbol("get_thread_id")
        for name, address in _nrt_python.c_helpers.items():  # Numba itself names these when it compiles first
            symbols[name if name.startswith("_") else f"NRT_{name}"] = address
        for name, address in symbols.items():
            llvmlite.binding.add_symbol(name, address)
        target = llvmlite.binding.Target.from_default_triple()
        pause = next((call for name, call in PAUSES.items() if target.name.startswith(name)), "")
        declared = pause.replace("call", "declare").replace("i32 1", "i32")
        source = _SOURCE.replace("WHOLE", str(WHOLE)).replace("MARK", str(key)).replace("PAUSE", pause) + declared
        options: dict = {"opt": 2}
        cpu_target.target_context.codegen()._customize_tm_options(options)
        self.machine = target.create_target_machine(**options)
        self.engine = llvmlite.binding.create_mcjit_compiler(llvmlite.binding.parse_assembly(source), self.machine)
        self.engine.finalize_object()
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self.replay = ctypes.CFUNCTYPE(number, pointer, pointer, pointer, number, number)(self.engine.get_function_address("replay"))
        self.serve = ctypes.CFUNCTYPE(None, pointer, number, number)(self.engine.get_function_address("serve"))

    def load(self, object_code: bytes, symbol: str) -> int:
        """Address of a symbol in object code."""
        self.engine.add_object_file(llvmlite.binding.ObjectFileRef.from_data(object_code))
        self.engine.finalize_object()
        return self.engine.get_function_address(symbol)


@functools.cache
def engine() -> _Engine:
    """This process's."""
    return _Engine()
