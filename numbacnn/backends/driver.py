"""NVIDIA's driver, through cuda-bindings: what the CUDA backend asks of a GPU, and nothing else. Every error becomes a DeviceError.

Reference: CUDA Driver API (docs.nvidia.com/cuda/cuda-driver-api).
"""

import functools
import sys
import threading
from collections.abc import Sequence
from typing import Any

from .. import jit
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
    except ImportError as error:
        return f"device 'cuda' cannot be used: the driver is there, but not the compiler ({error}): pip install 'numbacnn[cuda]'"
    return None


class Driver:
    """One GPU with a stream for kernels and one for what is sent to it."""

    def __init__(self, number: int = 0):
        if reason := absent():
            raise DeviceError(reason)
        from cuda.bindings import driver

        self.api = driver
        self("cuInit", 0)
        count = self("cuDeviceGetCount")
        if not count:
            raise DeviceError("the NVIDIA driver is there, but no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use device='cpu'")
        if not 0 <= number < count:
            raise DeviceError(f"there is no GPU {number}: there are {count}, counted from 0")
        self.device = self("cuDeviceGet", number)
        self.name = self("cuDeviceGetName", 256, self.device).split(b"\0")[0].decode()
        attribute = driver.CUdevice_attribute
        major = self("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, self.device)
        minor = self("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, self.device)
        self.processors = self("cuDeviceGetAttribute", attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, self.device)
        self.capability = f"{major}{minor}"
        if major * 10 + minor < OLDEST:
            raise DeviceError(f"{self.name} has compute capability {major}.{minor}: {OLDEST // 10}.{OLDEST % 10} or newer is needed; use device='cpu'")
        self.version = self("cuDriverGetVersion")
        self.context = self("cuDevicePrimaryCtxRetain", self.device)
        self.enter()
        self.total = self("cuMemGetInfo")[1]
        flags = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        self.stream, self.uploads = self("cuStreamCreate", flags), self("cuStreamCreate", flags)
        self.functions: dict[tuple, Any] = {}
        self.lock = threading.RLock()  # one stream for all: a graph that is recorded must not get somebody else's launches

    def __call__(self, name: str, *args: Any) -> Any:
        """A call of the driver; its results without the status."""
        status, *results = getattr(self.api, name)(*args)
        if status != self.api.CUresult.CUDA_SUCCESS:
            raise DeviceError(f"{name}: {self._say(status)}")
        return results[0] if len(results) == 1 else tuple(results) or None

    def _say(self, status: Any) -> str:
        _, text = self.api.cuGetErrorString(status)
        reason = f"{getattr(status, 'name', status)} ({text.decode() if text else 'no text'})"
        if status == self.api.CUresult.CUDA_ERROR_NO_BINARY_FOR_GPU or status == self.api.CUresult.CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
            reason += f": the driver (CUDA {self.version // 1000}.{self.version % 1000 // 10}) is older than the compiler: update it, or pip install the "
            reason += "'cuda-toolkit' and 'nvidia-nvjitlink' of its version"
        return reason

    def enter(self) -> None:
        """Make this GPU current for the Python thread."""
        self("cuCtxSetCurrent", self.context)

    # ---- memory

    def allocate(self, nbytes: int) -> int:
        """Address of a new block; DeviceError where there is not enough."""
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
        if not sys.is_finalizing():
            self.api.cuMemFree(address)

    def pin(self, nbytes: int) -> int:
        """Address of new host memory that the GPU reads and writes by itself."""
        return int(self("cuMemHostAlloc", max(nbytes, 1), 0))

    def unpin(self, address: int) -> None:
        """Give it back, when what was sent from it has arrived."""
        if not sys.is_finalizing():
            self.api.cuStreamSynchronize(self.uploads)
            self.api.cuMemFreeHost(address)

    def fill(self, address: int, value: int, nbytes: int) -> None:
        """Set bytes."""
        self("cuMemsetD8Async", address, value, nbytes, self.stream)

    def send(self, address: int, source: int, nbytes: int, stream: Any = None) -> None:
        """Host to GPU, in the stream's order; memory that is not pinned is copied before this returns."""
        self("cuMemcpyHtoDAsync", address, source, nbytes, stream or self.stream)

    def fetch(self, target: int, address: int, nbytes: int) -> None:
        """GPU to host, in the stream's order: there after `wait`."""
        self("cuMemcpyDtoHAsync", target, address, nbytes, self.stream)

    def move(self, address: int, source: int, nbytes: int) -> None:
        """Within the GPU, in the stream's order."""
        self("cuMemcpyDtoDAsync", address, source, nbytes, self.stream)

    # ---- order

    def event(self) -> Any:
        return self("cuEventCreate", self.api.CUevent_flags.CU_EVENT_DISABLE_TIMING)

    def mark(self, event: Any, stream: Any = None) -> None:
        """The event is when all is done that the stream holds now."""
        self("cuEventRecord", event, stream or self.stream)

    def after(self, event: Any, stream: Any = None) -> None:
        """What the stream gets from now on waits for the event."""
        self("cuStreamWaitEvent", stream or self.stream, event, 0)

    def wait(self, event: Any = None) -> None:
        """Block until an event, or until everything is done."""
        if event is None:
            self("cuStreamSynchronize", self.stream)
        else:
            self("cuEventSynchronize", event)

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
        """Permit that many bytes of dynamic shared memory."""
        attribute = self.api.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self("cuFuncSetAttribute", function, attribute, shared)

    def launch(self, function: Any, blocks: tuple, threads: tuple, shared: int, pointers: int) -> None:
        """Put a launch into the stream; pointers: address of the array of its parameters' addresses."""
        self("cuLaunchKernel", function, *blocks, *threads, shared, self.stream, pointers, 0)

    def record(self, launches: Sequence[Any]) -> Any:
        """Launches as one graph, which the GPU replays by itself (CUDA Programming Guide, "CUDA Graphs")."""
        mode = self.api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self("cuStreamBeginCapture", self.stream, mode)
        try:
            for call in launches:
                call()
        finally:
            graph = self("cuStreamEndCapture", self.stream)
        executable = self("cuGraphInstantiate", graph, 0)
        self("cuGraphDestroy", graph)
        return functools.partial(self, "cuGraphLaunch", executable, self.stream)


@functools.cache
def first_gpu() -> Driver:
    """The process's one Driver for GPU 0 (of those that CUDA_VISIBLE_DEVICES shows)."""
    return Driver()
