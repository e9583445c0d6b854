"""NVIDIA's driver, through cuda-bindings: what the CUDA backend asks of a GPU, and nothing else. Every error becomes a DeviceError.

Reference: CUDA Driver API (docs.nvidia.com/cuda/cuda-driver-api).
"""

import contextlib
import ctypes
import functools
import gc
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from .. import cubin, jit
from ..cubin import OLDEST
from ..errors import DeviceError
from ..jit import Kernel
from . import LIBRARY, has_driver


def absent() -> str | None:
    """Why there is no GPU to be used, without importing anything of CUDA where there is no driver; None if there may be one."""
    if not has_driver():
        return f"device 'cuda' cannot be used: no NVIDIA driver was found ({LIBRARY}): install it, or use 'cpu' or 'auto'"
    try:
        import cuda.bindings.driver  # noqa: F401
        import numba_cuda  # noqa: F401

        compiler = cubin.library().version()[0]
    except (ImportError, RuntimeError) as error:  # RuntimeError: a library of CUDA's is not where its package should have put it
        return f"device 'cuda' cannot be used: the driver is there, but not the compiler ({error}): pip install 'numbacnn[cuda]'"
    version = driver_version()
    if version // 1000 < compiler:  # within a major version, older drivers load what newer compilers make
        return (
            f"device 'cuda' cannot be used: the NVIDIA driver is for CUDA {_dotted(version)}, and the compiler makes code for CUDA {compiler}.0 or newer: "
            "update the driver, or use 'cpu' or 'auto'"
        )
    return None


def driver_version() -> int:
    """The newest CUDA that the driver knows, such as 13020 for 13.2; asked without cuda-bindings, which does not load beside a driver that is too old."""
    version = ctypes.c_int()
    ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(version))
    return version.value


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


class Owned:
    """Something that the driver made, destroyed when nobody holds it any more."""

    def __init__(self, driver: "Driver", handle: Any, destroy: str):
        self.driver, self.handle, self.destroy = driver, handle, destroy

    def __del__(self):
        self.driver.discard((self.destroy, self.handle))


class Graph(Owned):
    """Launches that the GPU replays by itself."""

    def __init__(self, driver: "Driver", executable: Any):
        super().__init__(driver, executable, "cuGraphExecDestroy")

    def __call__(self) -> None:
        self.driver("cuGraphLaunch", self.handle, self.driver.stream)


class Driver:
    """One GPU with a stream for kernels and one for what is sent to it.

    use: False only looks at it, which takes none of its memory. api: what stands for cuda.bindings.driver.
    """

    def __init__(self, number: int = 0, use: bool = True, api: Any = None):
        if api is None:
            if reason := absent():
                raise DeviceError(reason)
            from cuda.bindings import driver as api
        self.api, self.process = api, os.getpid()
        self.lock = threading.RLock()  # one stream for all: a graph that is recorded must not get somebody else's launches
        self.recording, self.unwanted = False, deque()
        self.functions: dict[tuple, Any] = {}
        self.allowed: dict[int, int] = {}  # bytes of dynamic shared memory that a function may have
        status, *_ = api.cuInit(0)
        if status not in (api.CUresult.CUDA_SUCCESS, api.CUresult.CUDA_ERROR_NO_DEVICE):
            raise DeviceError(f"cuInit: {self._say(status)}")
        self.count = 0 if status == api.CUresult.CUDA_ERROR_NO_DEVICE else self("cuDeviceGetCount")
        if not self.count:
            raise DeviceError("the NVIDIA driver is there, but no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use device='cpu'")
        if not 0 <= number < self.count:
            raise DeviceError(f"there is no GPU {number}: there are {self.count}, counted from 0")
        self.version = self("cuDriverGetVersion")
        self.device = self("cuDeviceGet", number)
        self.name = self("cuDeviceGetName", 256, self.device).split(b"\0")[0].decode()
        self.total = self("cuDeviceTotalMem", self.device)
        major, minor = self._fact("COMPUTE_CAPABILITY_MAJOR"), self._fact("COMPUTE_CAPABILITY_MINOR")
        self.processors, self.shared = self._fact("MULTIPROCESSOR_COUNT"), self._fact("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN")
        self.capability = f"{major}{minor}"
        if major * 10 + minor < OLDEST:
            raise DeviceError(f"{self.name} has compute capability {major}.{minor}: {OLDEST // 10}.{OLDEST % 10} or newer is needed; use device='cpu'")
        if use:
            self.context = self("cuDevicePrimaryCtxRetain", self.device)
            self.enter()
            flags = api.CUstream_flags.CU_STREAM_NON_BLOCKING
            self.stream, self.uploads = self("cuStreamCreate", flags), self("cuStreamCreate", flags)

    def _fact(self, name: str) -> int:
        return self("cuDeviceGetAttribute", getattr(self.api.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}"), self.device)

    def __call__(self, name: str, *args: Any) -> Any:
        """A call of the driver; its results without the status."""
        status, *results = getattr(self.api, name)(*args)
        if status != self.api.CUresult.CUDA_SUCCESS:
            raise DeviceError(f"{name}: {self._say(status)}")
        return results[0] if len(results) == 1 else tuple(results) or None

    def _say(self, status: Any) -> str:
        _, text = self.api.cuGetErrorString(status)
        reason = f"{getattr(status, 'name', status)} ({text.decode() if text else 'no text'})"
        codes = self.api.CUresult
        if status in (codes.CUDA_ERROR_NO_BINARY_FOR_GPU, codes.CUDA_ERROR_UNSUPPORTED_PTX_VERSION, codes.CUDA_ERROR_INVALID_IMAGE):
            reason += f": the driver (CUDA {_dotted(self.version)}) is older than the compiler: update it, or pip install the "
            reason += "'cuda-toolkit' and 'nvidia-nvjitlink' of its version"
        return reason

    def enter(self) -> None:
        """Make this GPU current for the Python thread. DeviceError in a process that was forked from one that uses it."""
        if os.getpid() != self.process:
            raise DeviceError(
                f"{self.name} cannot be used in a process that was forked from one that uses it: "
                "start processes by multiprocessing's 'spawn', or use device='cpu'"
            )
        self("cuCtxSetCurrent", self.context)

    def discard(self, *calls: tuple[str, Any]) -> None:
        """Calls that give something back, from any thread at any moment: garbage is collected in threads that know nothing of the GPU, and
        while a graph is recorded, which must not be disturbed."""
        if sys.is_finalizing() or os.getpid() != self.process:
            return  # the process takes it with it, or it is the parent's
        self.unwanted.append(calls)
        if not self.recording and self.lock.acquire(blocking=False):  # else whoever has the lock may be about to record: for the next one
            try:
                self._give_back()
            finally:
                self.lock.release()

    def _give_back(self) -> None:
        if self.unwanted and not self.recording:
            self.api.cuCtxPushCurrent(self.context)
            with contextlib.suppress(IndexError):  # another thread was faster
                while True:
                    for name, what in self.unwanted.popleft():
                        getattr(self.api, name)(what)
            self.api.cuCtxPopCurrent()

    # ---- memory

    def allocate(self, nbytes: int) -> int:
        """Address of a new block; DeviceError where there is not enough."""
        status, address = self.api.cuMemAlloc(max(nbytes, 1))
        if status == self.api.CUresult.CUDA_ERROR_OUT_OF_MEMORY and (gc.collect() or self.unwanted):  # models that refer to themselves may hold some
            self._give_back()
            status, address = self.api.cuMemAlloc(max(nbytes, 1))
        if status == self.api.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            free, total = self("cuMemGetInfo")
            raise DeviceError(
                f"{self.name} has no room for {nbytes / 2**20:,.0f} MiB: {free / 2**20:,.0f} of {total / 2**20:,.0f} MiB are free. "
                "Use a smaller batch_size, compile(checkpointing=True), or device='cpu'"
            )
        if status != self.api.CUresult.CUDA_SUCCESS:
            raise DeviceError(f"cuMemAlloc: {self._say(status)}")
        return int(address)

    def free(self, address: int) -> None:
        """Give a block back, when the kernels that were launched so far are done with it."""
        self.discard(("cuMemFree", address))  # waits for them

    def pin(self, nbytes: int) -> int:
        """Address of new host memory that the GPU reads and writes by itself."""
        return int(self("cuMemHostAlloc", max(nbytes, 1), 0))

    def unpin(self, address: int) -> None:
        """Give it back, when what was sent from it, or to it, has arrived."""
        self.discard(("cuStreamSynchronize", self.uploads), ("cuStreamSynchronize", self.stream), ("cuMemFreeHost", address))

    def fill(self, address: int, value: int, nbytes: int) -> None:
        """Set bytes."""
        if nbytes:
            self("cuMemsetD8Async", address, value, nbytes, self.stream)

    def send(self, address: int, source: int, nbytes: int, stream: Any = None) -> None:
        """Host to GPU, in the stream's order: the source must stay as it is until the stream is there."""
        self("cuMemcpyHtoDAsync", address, source, nbytes, stream or self.stream)

    def fetch(self, target: int, address: int, nbytes: int) -> None:
        """GPU to host, in the stream's order: there after `wait`."""
        self("cuMemcpyDtoHAsync", target, address, nbytes, self.stream)

    def move(self, address: int, source: int, nbytes: int) -> None:
        """Within the GPU, in the stream's order."""
        self("cuMemcpyDtoDAsync", address, source, nbytes, self.stream)

    # ---- order

    def event(self) -> Owned:
        return Owned(self, self("cuEventCreate", self.api.CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventDestroy")

    def mark(self, event: Owned, stream: Any = None) -> None:
        """The event is when all is done that the stream holds now."""
        self("cuEventRecord", event.handle, stream or self.stream)

    def after(self, event: Owned, stream: Any = None) -> None:
        """What the stream gets from now on waits for the event."""
        self("cuStreamWaitEvent", stream or self.stream, event.handle, 0)

    def wait(self, event: Owned | None = None) -> None:
        """Block until an event, or until everything is done."""
        if event is None:
            self("cuStreamSynchronize", self.stream)
        else:
            self("cuEventSynchronize", event.handle)

    # ---- kernels

    def refuses(self, kernel: Kernel) -> str | None:
        """Why the kernel cannot run on this GPU."""
        least = kernel.on_gpu.least
        return f"it needs compute capability {least / 10}, {self.name} has {int(self.capability) / 10}" if least and int(self.capability) < least else None

    def prepare(self, kernel: Kernel, types: tuple) -> Any:
        """The kernel for arguments of these types, compiled and loaded."""
        key = (kernel.on_gpu, types)
        if key not in self.functions:
            binary = jit.binary(kernel.on_gpu, types, self.capability)
            library = self("cuModuleLoadData", binary.code)
            self.functions[key] = self("cuModuleGetFunction", library, binary.symbol.encode())
        return self.functions[key]

    def allow(self, function: Any, shared: int) -> None:
        """Permit that many bytes of dynamic shared memory, or more where another launch of the function has more; DeviceError if a block has less."""
        if shared > self.shared:
            raise DeviceError(f"a kernel needs {shared / 1024:.1f} KiB of shared memory a block, {self.name} has {self.shared / 1024:.1f} KiB")
        if shared > self.allowed.get(int(function), 0):
            self("cuFuncSetAttribute", function, self.api.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
            self.allowed[int(function)] = shared

    def launch(self, function: Any, blocks: tuple, threads: tuple, shared: int, pointers: int) -> None:
        """Put a launch into the stream; pointers: address of the array of its parameters' addresses."""
        self("cuLaunchKernel", function, *blocks, *threads, shared, self.stream, pointers, 0)

    def record(self, launches: Sequence[Any]) -> Graph:
        """Launches as one graph, which the GPU replays by itself (CUDA Programming Guide, "CUDA Graphs"). The caller holds the lock."""
        self.recording = True
        try:
            # Relaxed: what other libraries' finalizers do meanwhile in this thread must not spoil it
            self("cuStreamBeginCapture", self.stream, self.api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
            try:
                for call in launches:
                    call()
            finally:
                graph = self("cuStreamEndCapture", self.stream)
                self.discard(("cuGraphDestroy", graph))  # when this is over
            return Graph(self, self("cuGraphInstantiate", graph, 0))
        finally:
            self.recording = False
            self._give_back()


@functools.cache
def first_gpu() -> Driver:
    """The process's one Driver for GPU 0 (of those that CUDA_VISIBLE_DEVICES shows)."""
    return Driver()
