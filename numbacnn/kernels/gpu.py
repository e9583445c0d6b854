"""What kernels for GPUs share: shapes of blocks and launches, whole divisions, the way of a result to memory, sums of parts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..jit import Kernel, compiled, cuda, device, kernel
from .ptx import divide

LANES, ROWS = 32, 8  # threads of a block: neighbouring channels, and rows of an image or parts of a sum
PARTS = 16  # threads that add parts of one sum
SLOTS = LANES * PARTS
LINE = 128  # threads of a block for neighbouring elements

index = np.uintp  # of arrays: without a sign, so that Numba does not look for places counted from the end


def gpu_kernel(**geometry: Any) -> Callable[[Callable], Kernel]:
    """Decorator: a kernel in numba.cuda's words that no CPU ever runs; geometry as for Twin."""

    def made(func: Callable) -> Kernel:
        found = kernel(func, vector=True)
        found.cuda(func, **geometry)
        return found

    return made


@compiled
def parted(a, b):
    """(a // b, a % b) of any numbers from 0 on."""
    whole = np.int64(np.uint64(a) // np.uint64(b))
    return whole, a - whole * b


def by_rows(*args: Any) -> tuple[int, int]:
    """Blocks of LINE threads for the rows of the last argument's images (N, H, W, C): a thread has one element, found by `in_row`."""
    n, h, w, c = args[-1].shape
    return n * h, -(-w * c // LINE)


@device
def in_row(y):
    """(image, row, element of the row) of this thread in y (N, H, W, C). The element may lie behind the row's end."""
    n, h = divide(cuda.blockIdx.x, y.shape[1])
    return n, h, cuda.blockIdx.y * LINE + cuda.threadIdx.x


def by_channels(*args: Any) -> int:
    """Blocks of LANES x PARTS threads for the last argument's images (N, rows, C): a block has LANES channels, found by `in_channels`."""
    n, _, c = args[-1].shape
    return n * -(-c // LANES)


@device
def in_channels(channels):
    """(image, channel) of this thread. The channel may lie behind the last."""
    n, block = divide(cuda.blockIdx.x, (channels + LANES - 1) // LANES)
    return n, block * LANES + cuda.threadIdx.x


@gpu_kernel(threads=(LANES, PARTS), blocks=lambda parts, others, first, second: -(-(first.size + second.size) // LANES))
def add_parts(parts, others, first, second):
    """first [A] = the sum of the rows of parts [P, A], second [B] = that of others [P, B], in a fixed order."""
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    i, border = cuda.blockIdx.x * LANES + tx, first.size
    whole = border + second.size
    shares = cuda.shared.array(SLOTS, parts.dtype)
    share = parts.dtype.type(0)
    if i < border:
        for p in range(ty, parts.shape[0], PARTS):
            share += parts[p, i]
    elif i < whole:
        for p in range(ty, others.shape[0], PARTS):
            share += others[p, i - border]
    shares[ty * LANES + tx] = share
    cuda.syncthreads()
    if ty == 0 and i < whole:
        for q in range(1, PARTS):
            share += shares[q * LANES + tx]
        if i < border:
            first[i] = share
        else:
            second[i - border] = share
