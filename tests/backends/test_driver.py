"""What is asked of NVIDIA's driver, call by call, of something that answers in its place; its signatures are those of cuda-bindings."""

import enum
import gc
import inspect
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import numbacnn as nn
from numbacnn.backends import driver as module
from numbacnn.backends.cuda import CUDA
from numbacnn.backends.device_array import Memory
from numbacnn.backends.driver import Driver
from numbacnn.jit import kernel, prange

SIGNATURES = {
    "cuInit": "Flags",
    "cuDriverGetVersion": "",
    "cuDeviceGetCount": "",
    "cuDeviceGet": "ordinal",
    "cuDeviceGetName": "length dev",
    "cuDeviceTotalMem": "dev",
    "cuDeviceGetAttribute": "attrib dev",
    "cuDevicePrimaryCtxRetain": "dev",
    "cuCtxSetCurrent": "ctx",
    "cuCtxPushCurrent": "ctx",
    "cuCtxPopCurrent": "",
    "cuMemGetInfo": "",
    "cuMemAlloc": "bytesize",
    "cuMemFree": "dptr",
    "cuMemHostAlloc": "bytesize Flags",
    "cuMemFreeHost": "p",
    "cuMemsetD8Async": "dstDevice uc N hStream",
    "cuMemcpyHtoDAsync": "dstDevice srcHost ByteCount hStream",
    "cuMemcpyDtoHAsync": "dstHost srcDevice ByteCount hStream",
    "cuMemcpyDtoDAsync": "dstDevice srcDevice ByteCount hStream",
    "cuStreamCreate": "Flags",
    "cuStreamSynchronize": "hStream",
    "cuStreamWaitEvent": "hStream hEvent Flags",
    "cuEventCreate": "Flags",
    "cuEventRecord": "hEvent hStream",
    "cuEventSynchronize": "hEvent",
    "cuEventDestroy": "hEvent",
    "cuModuleLoadData": "image",
    "cuModuleGetFunction": "hmod name",
    "cuFuncSetAttribute": "hfunc attrib value",
    "cuLaunchKernel": "f gridDimX gridDimY gridDimZ blockDimX blockDimY blockDimZ sharedMemBytes hStream kernelParams extra",
    "cuStreamBeginCapture": "hStream mode",
    "cuStreamEndCapture": "hStream",
    "cuGraphInstantiate": "hGraph flags",
    "cuGraphDestroy": "hGraph",
    "cuGraphLaunch": "hGraphExec hStream",
    "cuGraphExecDestroy": "hGraphExec",
    "cuGetErrorString": "error",
}
NUMBERS = {
    "CUresult": {
        "CUDA_SUCCESS": 0,
        "CUDA_ERROR_OUT_OF_MEMORY": 2,
        "CUDA_ERROR_NO_DEVICE": 100,
        "CUDA_ERROR_INVALID_IMAGE": 200,
        "CUDA_ERROR_NO_BINARY_FOR_GPU": 209,
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": 222,
        "CUDA_ERROR_ILLEGAL_ADDRESS": 700,
    },
    "CUdevice_attribute": {
        "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": 16,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": 75,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": 76,
        "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": 97,
    },
    "CUstream_flags": {"CU_STREAM_NON_BLOCKING": 1},
    "CUevent_flags": {"CU_EVENT_DISABLE_TIMING": 2},
    "CUfunction_attribute": {"CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES": 8},
    "CUstreamCaptureMode": {"CU_STREAM_CAPTURE_MODE_RELAXED": 2},
}


class Api:
    """Stands for cuda.bindings.driver. Answers are made up, or those given by name: a result, or an error of CUresult."""

    def __init__(self, **answers):
        self.answers = {
            "cuDriverGetVersion": 13000,
            "cuDeviceGetCount": 1,
            "cuDeviceGetName": b"H100".ljust(256, b"\0"),
            "cuDeviceTotalMem": 80 << 30,
            "cuMemGetInfo": (1 << 30, 80 << 30),
            "cuGetErrorString": b"in words",
            "attributes": {16: 132, 75: 9, 76: 0, 97: 227 << 10},
        } | answers
        self.calls, self.handle = [], 1000
        for name, members in NUMBERS.items():
            setattr(self, name, enum.IntEnum(name, members))

    def __getattr__(self, name):
        names = SIGNATURES[name].split()

        def call(*args):
            assert len(args) == len(names), f"{name}{args}: {names}"
            self.calls.append((name, *args))
            answer = self.answers.get(name)
            if name == "cuDeviceGetAttribute":
                answer = self.answers["attributes"][args[0]]
            elif name in ("cuMemsetD8Async", "cuLaunchKernel", "cuFuncSetAttribute") and answer is None:
                return (self.CUresult.CUDA_SUCCESS,)
            if callable(answer):
                answer = answer()
            if isinstance(answer, str):
                return self.CUresult[answer], None
            if answer is None:
                self.handle += 1
                answer = self.handle
            return self.CUresult.CUDA_SUCCESS, *(answer if isinstance(answer, tuple) else (answer,))

        return call

    def since(self, start=0):
        return [c for c in self.calls[start:] if c[0] != "cuCtxSetCurrent"]


def opened(**answers):
    api = Api(**answers)
    driver = Driver(api=api)
    api.calls.clear()
    return driver, api


@pytest.fixture(scope="module")
def bindings():
    return pytest.importorskip("cuda.bindings.driver", reason="the extra [cuda] is not installed")


def test_signatures_are_those_of_cuda_bindings(bindings):
    assert {name: " ".join(inspect.signature(getattr(bindings, name)).parameters) for name in SIGNATURES} == SIGNATURES


def test_numbers_are_those_of_cuda_bindings(bindings):
    for name, members in NUMBERS.items():
        assert {m: int(getattr(getattr(bindings, name), m)) for m in members} == members


def test_facts_need_no_context():
    api = Api()
    driver = Driver(use=False, api=api)
    assert (driver.name, driver.capability, driver.processors, driver.total, driver.shared) == ("H100", "90", 132, 80 << 30, 227 << 10)
    assert not any("Ctx" in name or "Stream" in name for name, *_ in api.calls)


@pytest.mark.parametrize(
    ("number", "answers", "message"),
    [
        (0, {"cuInit": "CUDA_ERROR_NO_DEVICE"}, "the NVIDIA driver is there, but no GPU"),
        (0, {"cuDeviceGetCount": 0}, "the NVIDIA driver is there, but no GPU"),
        (0, {"cuInit": "CUDA_ERROR_ILLEGAL_ADDRESS"}, r"cuInit: CUDA_ERROR_ILLEGAL_ADDRESS \(in words\)"),
        (1, {}, "there is no GPU 1: there are 1"),
        (0, {"attributes": {16: 20, 75: 6, 76: 1, 97: 49152}}, r"H100 has compute capability 6.1: 7.5 or newer is needed"),
    ],
)
def test_why_a_gpu_cannot_be_used(number, answers, message):
    with pytest.raises(nn.DeviceError, match=message):
        Driver(number, api=Api(**answers))


@pytest.mark.parametrize(("version", "reason"), [(13000, None), (13020, None), (12090, "is for CUDA 12.9, and the compiler makes code for CUDA 13.0 or newer")])
def test_a_driver_that_is_older_than_the_compiler(monkeypatch, version, reason):
    pytest.importorskip("cuda.bindings.driver", reason="the extra [cuda] is not installed")
    monkeypatch.setattr(module, "has_driver", lambda: True)
    monkeypatch.setattr(module, "driver_version", lambda: version)
    monkeypatch.setattr(module.cubin, "library", lambda: SimpleNamespace(version=lambda: (13, 0)))
    assert module.absent() is None if reason is None else reason in module.absent()


def test_memory():
    driver, api = opened()
    address = driver.allocate(0)
    driver.fill(address, 255, 8)
    driver.fill(address, 255, 0)
    driver.send(address, 77, 8, driver.uploads)
    driver.move(address, 78, 8)
    driver.fetch(79, address, 8)
    driver.wait()
    driver.free(address)
    assert api.calls == [
        ("cuMemAlloc", 1),
        ("cuMemsetD8Async", address, 255, 8, driver.stream),
        ("cuMemcpyHtoDAsync", address, 77, 8, driver.uploads),
        ("cuMemcpyDtoDAsync", address, 78, 8, driver.stream),
        ("cuMemcpyDtoHAsync", 79, address, 8, driver.stream),
        ("cuStreamSynchronize", driver.stream),
        ("cuCtxPushCurrent", driver.context),
        ("cuMemFree", address),
        ("cuCtxPopCurrent",),
    ]


def test_pinned_memory_is_given_back_when_all_was_sent():
    driver, api = opened()
    address = driver.pin(8)
    driver.unpin(address)
    assert [c for c in api.calls if "Ctx" not in c[0]] == [
        ("cuMemHostAlloc", 8, 0),
        ("cuStreamSynchronize", driver.uploads),
        ("cuStreamSynchronize", driver.stream),
        ("cuMemFreeHost", address),
    ]


def test_out_of_memory_says_how_much_there_is():
    driver, api = opened(cuMemAlloc="CUDA_ERROR_OUT_OF_MEMORY")
    with pytest.raises(nn.DeviceError, match="H100 has no room for 2,048 MiB: 1,024 of 81,920 MiB are free"):
        driver.allocate(2 << 30)
    assert api.calls[-1] == ("cuMemGetInfo",)


def test_memory_of_models_that_are_gone_makes_room():
    driver, api = opened()
    old = [Memory(driver, 8)]
    freed = "cuMemFree", old[0].address
    old.append(old)  # only the garbage collector finds it
    gc.disable()
    try:
        del old
        api.answers["cuMemAlloc"] = lambda: 77 if freed in api.calls else "CUDA_ERROR_OUT_OF_MEMORY"
        assert freed not in api.calls
        assert driver.allocate(8) == 77
    finally:
        gc.enable()


def test_errors_are_named():
    driver, _ = opened(cuStreamSynchronize="CUDA_ERROR_ILLEGAL_ADDRESS", cuModuleLoadData="CUDA_ERROR_INVALID_IMAGE")
    with pytest.raises(nn.DeviceError, match=r"cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS \(in words\)$"):
        driver.wait()
    with pytest.raises(nn.DeviceError, match=r"the driver \(CUDA 13.0\) is older than the compiler"):
        driver("cuModuleLoadData", b"")


def test_events_order_streams_and_are_destroyed():
    driver, api = opened()
    event = driver.event()
    handle = event.handle
    driver.mark(event, driver.uploads)
    driver.after(event)
    driver.wait(event)
    del event
    assert [c for c in api.calls if "Ctx" not in c[0]] == [
        ("cuEventCreate", 2),
        ("cuEventRecord", handle, driver.uploads),
        ("cuStreamWaitEvent", driver.stream, handle, 0),
        ("cuEventSynchronize", handle),
        ("cuEventDestroy", handle),
    ]


def test_a_graph_is_recorded_replayed_and_destroyed():
    driver, api = opened(cuStreamEndCapture=55, cuGraphInstantiate=66)
    replay = driver.record([lambda: driver.launch(9, (1, 2, 3), (4, 5, 6), 7, 8)] * 2)
    replay()
    del replay
    launch = ("cuLaunchKernel", 9, 1, 2, 3, 4, 5, 6, 7, driver.stream, 8, 0)
    expected = [("cuStreamBeginCapture", driver.stream, 2), launch, launch, ("cuStreamEndCapture", driver.stream), ("cuGraphInstantiate", 55, 0)]
    expected += [("cuGraphDestroy", 55), ("cuGraphLaunch", 66, driver.stream), ("cuGraphExecDestroy", 66)]
    assert [c for c in api.calls if "Ctx" not in c[0]] == expected


def test_garbage_does_not_disturb_a_recording():
    driver, api = opened()
    driver.record([lambda: driver.free(5)])
    names = [name for name, *_ in api.calls]
    assert names.index("cuMemFree") > names.index("cuStreamEndCapture")


def test_another_thread_gives_nothing_back_while_somebody_may_be_about_to_record():
    driver, api = opened()
    with driver.lock:
        thread = threading.Thread(target=driver.free, args=(5,))
        thread.start()
        thread.join()
        assert not api.calls
    driver.free(6)
    assert [c for c in api.calls if "Ctx" not in c[0]] == [("cuMemFree", 5), ("cuMemFree", 6)]


def test_a_recording_that_fails_ends():
    driver, api = opened()

    def broken():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        driver.record([broken])
    assert [name for name, *_ in api.calls if "Ctx" not in name] == ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphDestroy"]
    assert not driver.recording


def test_dynamic_shared_memory_is_never_less_than_another_launch_needs():
    driver, api = opened()
    for bytes_ in (90 << 10, 60 << 10, 100 << 10):
        driver.allow(9, bytes_)
    assert api.calls == [("cuFuncSetAttribute", 9, 8, 90 << 10), ("cuFuncSetAttribute", 9, 8, 100 << 10)]
    with pytest.raises(nn.DeviceError, match=r"a kernel needs 228.0 KiB of shared memory a block, H100 has 227.0 KiB"):
        driver.allow(9, 228 << 10)


def test_a_forked_process_is_told(monkeypatch):
    driver, api = opened()
    monkeypatch.setattr(os, "getpid", lambda: driver.process + 1)
    with pytest.raises(nn.DeviceError, match="forked from one that uses it: start processes by multiprocessing's 'spawn'"):
        driver.enter()
    driver.free(5)
    assert not api.calls


@kernel
def doubled(x, y):
    for i in prange(y.size):
        y[i] = 2 * x[i]


@pytest.fixture
def backend(monkeypatch):
    """A CUDA backend whose kernels are not compiled."""
    driver, api = opened(cuMemcpyHtoDAsync=0, cuMemcpyDtoHAsync=0)
    monkeypatch.setattr(module.jit, "binary", lambda *_: SimpleNamespace(code=b"code", symbol="name"))
    return CUDA(driver), api


def test_a_kernel_is_loaded_once_and_launched(backend):
    backend, api = backend
    x, y = (backend.view(backend.allocate(1200), 0, (300,), np.float32) for _ in range(2))
    start = len(api.calls)
    calls = [backend.bind(doubled, (x, y)) for _ in range(2)]
    backend.run(calls)
    load, function, first, second, wait = api.since(start)
    assert load == ("cuModuleLoadData", b"code")
    assert function[0::2] == ("cuModuleGetFunction", b"name")
    assert first[:9] == ("cuLaunchKernel", calls[0].function, 2, 1, 1, 256, 1, 1, 0)
    assert first[9::2] == (backend.driver.stream, 0)
    assert (first[10], second[10]) == tuple(int(c.pointers.ctypes.data) for c in calls)
    assert wait == ("cuStreamSynchronize", backend.driver.stream)


def test_an_upload_goes_beside_the_kernels(backend, monkeypatch):
    backend, api = backend
    arrays, pinned = backend.view(backend.allocate(16), 0, (4,), np.float32), []

    def pin(nbytes):
        pinned.append(np.zeros(nbytes, np.uint8))
        return pinned[-1].ctypes.data

    monkeypatch.setattr(backend.driver, "pin", pin)
    uploads, kernels = backend.driver.uploads, backend.driver.stream
    backend.upload([(arrays, np.arange(4))])
    backend.upload([(arrays, np.arange(4))])
    start = len(api.calls)
    backend.upload([(arrays, np.arange(4, 8))])
    waited, moved, sent, arrived, ordered, taken, done = api.since(start)
    assert waited[0] == "cuEventSynchronize"  # the pinned memory is free
    assert moved[:2] == ("cuStreamWaitEvent", uploads)  # and the landing place
    assert (sent[0], sent[2:]) == ("cuMemcpyHtoDAsync", (pinned[0].ctypes.data, 16, uploads))
    assert arrived == ("cuEventRecord", waited[1], uploads)
    assert ordered == ("cuStreamWaitEvent", kernels, waited[1], 0)
    assert taken == ("cuMemcpyDtoDAsync", arrays.address, sent[1], 16, kernels)
    assert done == ("cuEventRecord", moved[2], kernels)
    assert pinned[0].view(np.float32).tolist() == [4, 5, 6, 7]


def test_results_come_back_while_the_next_run_is_under_way(backend, monkeypatch):
    backend, api = backend
    memory = []

    def pin(nbytes):
        memory.append(np.zeros(nbytes, np.uint8))
        return memory[-1].ctypes.data

    monkeypatch.setattr(backend.driver, "pin", pin)
    arrays = [backend.view(backend.allocate(16), 0, (n,), np.float32) for n in (4, 1)]
    start = len(api.calls)
    fetch = backend.fetching(arrays)
    first, second = fetch(), fetch()
    names = [name for name, *_ in api.since(start)]
    assert names.count("cuMemcpyDtoHAsync") == 4 and "cuEventSynchronize" not in names and "cuStreamSynchronize" not in names
    start = len(api.calls)
    memory[0].view(np.float32)[:4] = range(4)
    memory[1].view(np.float32)[:4] = 7
    values = first()
    assert [name for name, *_ in api.since(start)] == ["cuEventSynchronize"]
    assert [a.tolist() for a in values] == [[0, 1, 2, 3], [0]]
    third = fetch()  # on the first one's way
    memory[0].fill(0)
    assert second()[0].tolist() == [7] * 4 and values[0].tolist() == [0, 1, 2, 3]
    assert third()[0].tolist() == [0] * 4 and len(memory) == 2


def test_what_is_sent_from_memory_that_is_not_pinned_is_waited_for(backend):
    backend, api = backend
    kept = []
    for send in (lambda: backend.constant(np.ones(3)), lambda: backend.adopt(np.ones(3)), backend.push):
        start = len(api.calls)
        kept.append(send())
        names = [name for name, *_ in api.since(start)]
        assert names[-2:] == ["cuMemcpyHtoDAsync", "cuStreamSynchronize"]


def test_another_thread_stays_out_of_a_recording(backend):
    """Its memory would be cleared in the graph, again and again."""
    backend, api = backend
    inside, made = threading.Event(), []
    other = threading.Thread(target=lambda: (inside.wait(), made.append(backend.allocate(8))))

    def call():
        inside.set()
        other.join(0.2)

    other.start()
    with backend.driver.lock:
        backend.driver.record([call])
    other.join()
    names = [name for name, *_ in api.calls]
    assert made
    assert names.index("cuMemsetD8Async") > names.index("cuStreamEndCapture")


def test_memory_is_freed_by_a_thread_that_knows_nothing_of_the_gpu(backend):
    backend, api = backend
    memory = [backend.allocate(8)]
    start = len(api.calls)
    thread = threading.Thread(target=memory.clear)
    thread.start()
    thread.join()
    assert [name for name, *_ in api.calls[start:]] == ["cuCtxPushCurrent", "cuMemFree", "cuCtxPopCurrent"]


def test_an_array_that_is_not_contiguous_is_no_weight(backend):
    backend, _ = backend
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and strides \(8, 16\) is not contiguous"):
        backend.adopt(np.zeros((3, 2)).T)
    array = np.asfortranarray(np.zeros((3, 2))).T  # contiguous, though its owner is not
    backend.adopt(array)
    assert backend.homes[array.ctypes.data][0] is array
