"""The real cuda-bindings on a libcuda that computes nothing (stub_cuda.c), in processes of their own: every call is taken as it is meant,
nothing is left behind, and the parameters of kernels lie as compiled code expects them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numbacnn.backends.device_array import DeviceArray, Memory, parameters
from numbacnn.backends.simulated import Simulated
from numbacnn.jit import kernel, prange, ptx
from numbacnn.twin import gpu_type

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="the extra [cuda] is not installed")
SOURCE = Path(__file__).with_name("stub_cuda.c")
HEAD = """
import ctypes, gc, threading
import numpy as np
import numbacnn as nn
from numbacnn.plan.kernels import copy
stub = ctypes.CDLL("libcuda.so.1")
count = lambda what: stub.stub_count(what.encode())
def model():
    made = nn.Sequential([nn.Input((3,)), nn.Dense(2, activation="softmax")])
    made.compile("sgd", "cross_entropy", device="cuda")
    return made
x, y = np.ones((6, 3), np.float32), np.arange(6) % 2
"""


@pytest.fixture(scope="module")
def libcuda(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler for the stub of libcuda.so.1")
    folder = tmp_path_factory.mktemp("stub")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(folder / "libcuda.so.1"), str(SOURCE), "-ldl"], check=True, timeout=120)
    return folder


@pytest.fixture
def run(libcuda):
    """Run a script on the stub; what it prints."""

    def run_(script, **environment):
        here = {k: v for k, v in os.environ.items() if k not in ("NUMBACNN_SIMULATE", "NUMBACNN_POISON")} | {"LD_LIBRARY_PATH": str(libcuda)} | environment
        done = subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", HEAD + script], capture_output=True, text=True, timeout=600, env=here)
        assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
        return done.stdout

    return run_


def test_a_model_trains_and_leaves_nothing_behind(run):
    script = """
m = model()
m.fit(x, y, epochs=3, batch_size=2)
assert m.predict(x).shape == (6, 2)
assert m.network.backend.driver.name == "Stub"
assert count("launches") and count("replayed") > count("captured") > 0, "no graph was replayed"
assert (count("graphs"), count("streams")) == (0, 2) and count("executables")
del m
gc.collect()
print(*map(count, ("blocks", "pinned", "events", "executables")))
"""
    assert run(script) == "0 0 0 0\n"


def test_memory_goes_back_from_any_thread_also_while_a_graph_is_recorded(run):
    script = """
m = model()
b = m.network.backend
memory = [b.allocate(8), b.allocate(8)]
a = [b.view(b.allocate(128), 0, (32,), np.float32) for _ in range(2)]
call, before = b.bind(copy, a), count("blocks")
thread = threading.Thread(target=memory.pop)
thread.start(); thread.join()
assert count("blocks") == before - 1
replay = b.replay([call, lambda: memory.clear()])
for _ in range(2): replay()
memory.append(b.allocate(8))
replay()
assert count("captured") == 1 and count("blocks") == before - 2
seen = threading.Event()
replay = b.replay([call, lambda: (seen.set(), other.join(0.1))])
other = threading.Thread(target=lambda: (seen.wait(), b.constant(x)))
for _ in range(2): b.driver.enter(), call()
replay.times = 2
other.start(); replay(); other.join()
assert count("captured") == 1
"""
    assert run(script) == ""


def test_what_the_driver_refuses_is_said(run):
    script = """
from numbacnn.backends import survey
print(survey.devices()[1].what)
b = model().network.backend
for bad in (lambda: b.allocate(1 << 40), lambda: b.driver("cuModuleLoadData", b"text"), lambda: b.driver.send(1, x.ctypes.data, 8)):
    try: bad()
    except nn.DeviceError as error: print(error)
"""
    what, room, image, address = run(script).splitlines()
    assert what == "Stub, 2 GiB, compute capability 9.0, 132 multiprocessors, driver for CUDA 13.5"
    assert room.startswith("Stub has no room for 1,048,576 MiB: 1,024 of 2,048 MiB are free")
    assert image.startswith("cuModuleLoadData: CUDA_ERROR_INVALID_IMAGE (the stub's words): the driver (CUDA 13.5) is older than the compiler")
    assert address == "cuMemcpyHtoDAsync: CUDA_ERROR_INVALID_VALUE (the stub's words)"


def test_a_forked_process_is_told(run):
    script = """
import os
m = model(); m.predict(x)
if (child := os.fork()) == 0:
    try: m.predict(x)
    except nn.DeviceError as error: print(error, flush=True)
    del m; gc.collect()
    os._exit(0)
os.waitpid(child, 0)
m.predict(x)
"""
    assert "cannot be used in a process that was forked from one that uses it" in run(script)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({"STUB_VERSION": "12080"}, "the NVIDIA driver is for CUDA 12.8, and the compiler"), ({"STUB_NO_GPU": "1"}, "the NVIDIA driver is there, but no GPU")],
)
def test_why_there_is_no_gpu(run, environment, reason):
    script = """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    made = nn.Sequential([nn.Input((3,)), nn.Dense(2)])
print(made.network.backend.name, seen[0].message)
"""
    out = run(script, **environment)
    assert out.startswith("cpu running on the CPU: ")
    assert reason in out


@kernel
def anything(value, y):
    for i in prange(y.size):
        y[i] = 0


def _array(shape, dtype=np.float32):
    return DeviceArray(Memory(Simulated(), 64), 0, shape, np.dtype(dtype))


BYTES = {"8": 1, "16": 2, "32": 4, "64": 8}


@pytest.mark.parametrize(
    "value",
    [
        (),
        (1, np.float32(2)),
        ((True, np.float32(2)), ()),
        True,
        np.bool_(False),
        np.float32(1),
        1.5,
        -3,
        1 << 63,
        np.uint64(3),
        np.int32(3),
        np.uint8(3),
        _array(()),
        _array((2, 3)),
        _array((2,), np.uint8),
        (_array((1, 2, 3), np.uint64), np.float32(1)),
    ],
    ids=lambda value: re.sub(r"memory=[^>]*>, ", "", str(value)),
)
def test_parameters_are_those_of_the_compiled_code(value):
    args = value, _array((4,))
    code = ptx(anything.on_gpu, tuple(map(gpu_type, args)))
    declared = re.findall(r"\.param \.[a-z](\d+)", re.search(r"\.entry[^(]*\(([^)]*)\)", code).group(1))
    assert [BYTES[bits] for bits in declared] == [p.nbytes for p in parameters(args)]
