"""The simulator: CUDA's names, barriers, exchanges, and what it refuses."""

import numpy as np
import pytest

from numbacnn import simulator
from numbacnn.jit import cuda, device, kernel
from numbacnn.simulator import SimulationError, launch

SIZE = 64


def test_places():
    out = np.zeros((2, 3, 4, 6), np.int64)

    def run(out):
        x, y = cuda.grid(2)
        out[cuda.blockIdx.y, cuda.blockIdx.x, cuda.threadIdx.y, cuda.threadIdx.x] = x + 100 * y
        assert (cuda.blockDim.x, cuda.blockDim.y, cuda.gridDim.x, cuda.gridsize(1)) == (6, 4, 3, 18)

    launch(run, (3, 2), (6, 4), (out,))
    x, y = np.meshgrid(np.arange(18), np.arange(8))
    assert np.array_equal(out.transpose(0, 2, 1, 3).reshape(8, 18), x + 100 * y)


def reverse(x, y):
    """Each block turns its part around, through shared memory."""
    part = cuda.shared.array(SIZE, x.dtype)
    t, start = cuda.threadIdx.x, cuda.blockIdx.x * SIZE
    part[t] = x[start + t]
    cuda.syncthreads()
    y[start + t] = part[SIZE - 1 - t]


@pytest.mark.parametrize("backwards", [False, True])
def test_shared_memory_and_barriers(backwards):
    x, y = np.arange(3.0 * SIZE), np.zeros(3 * SIZE)
    launch(reverse, 3, SIZE, (x, y), backwards=backwards)
    assert np.array_equal(y.reshape(3, SIZE), x.reshape(3, SIZE)[:, ::-1])


def test_a_missing_barrier_shows():
    def careless(x, y):
        part = cuda.shared.array(SIZE, x.dtype)
        t = cuda.threadIdx.x
        part[t] = x[t]
        y[t] = part[SIZE - 1 - t]

    x, y = np.arange(float(SIZE)), np.zeros(SIZE)
    launch(careless, 1, SIZE, (x, y))
    assert np.isnan(y).any()


def test_exchanges_within_a_warp():
    def run(x, total, before, bits):
        t = cuda.threadIdx.x
        value = x[t]
        for step in (16, 8, 4, 2, 1):
            value += cuda.shfl_xor_sync(0xFFFFFFFF, value, step)
        total[t] = value
        before[t] = cuda.shfl_up_sync(0xFFFFFFFF, x[t], 1)
        bits[t] = cuda.ballot_sync(0xFFFFFFFF, x[t] % 2 == 1)
        cuda.syncwarp()

    x = np.arange(64)
    total, before, bits = np.zeros(64, int), np.zeros(64, int), np.zeros(64, np.uint64)
    launch(run, 1, 64, (x, total, before, bits))
    assert np.array_equal(total, np.repeat(x.reshape(2, 32).sum(1), 32))
    assert np.array_equal(before, np.where(x % 32 == 0, x, x - 1))
    assert set(bits.tolist()) == {0xAAAAAAAA}


def test_what_a_gpu_would_not_forgive():
    def diverging(x):
        if cuda.threadIdx.x < 3:
            cuda.syncwarp()
        else:
            cuda.syncthreads()

    def greedy(x):
        cuda.shared.array(20_000, np.float32)

    with pytest.raises(SimulationError, match="not all threads of a warp"):
        launch(diverging, 1, 32, (np.zeros(1),))
    with pytest.raises(SimulationError, match="80000 bytes of shared memory"):
        launch(greedy, 1, 32, (np.zeros(1),))
    with pytest.raises(SimulationError, match="1 to 1024"):
        launch(greedy, 1, 1025, (np.zeros(1),))
    with pytest.raises(SimulationError, match="in a launch only"):
        simulator.grid(1)


def test_errors_name_the_thread():
    def outside(x):
        x[cuda.grid(1)] = 1

    with pytest.raises(IndexError) as caught:
        launch(outside, 2, 4, (np.zeros(6),))
    assert caught.value.__notes__ == ["in thread (2, 0, 0) of block (1, 0, 0)"]


def test_dynamic_shared_memory():
    def run(y):
        part = cuda.shared.array(0, y.dtype)
        t = cuda.threadIdx.x
        part[t] = t
        cuda.syncthreads()
        y[t] = part[(t + 1) % 8]

    y = np.zeros(8, np.float32)
    launch(run, 1, 8, (y,), dynamic=32)
    assert y.tolist() == [1, 2, 3, 4, 5, 6, 7, 0]


@device
def doubled(x):
    return x[cuda.grid(1)] * 2


def test_helpers_and_twins():
    @kernel(parallel=False)
    def double(x, y):
        for i in range(y.size):
            y[i] = x[i] * 2

    assert double.on_gpu.threads == 1  # its own source, by one thread

    @double.cuda(threads=4, blocks=lambda x, y: -(-y.size // 4))
    def twin(x, y):
        if cuda.grid(1) < y.size:
            y[cuda.grid(1)] = doubled(x)

    del double.__dict__["on_gpu"]
    x, y = np.arange(6.0), np.zeros(6)
    assert double.on_gpu.geometry((x, y)) == ((2, 1, 1), (4, 1, 1), 0)
    double.on_gpu.simulate((x, y))
    assert np.array_equal(y, 2 * x)
