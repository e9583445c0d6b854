"""Rows on a GPU: as many threads as a row has work for go over it side by side and add what they found, in an order that its length decides.

A warp takes several short rows or one of up to 128 elements, a block of THREADS threads takes a longer one. A kernel's twin looks like this:

    scratch = cuda.shared.array(WARPS, x.dtype)
    lanes = lanes_of(columns)
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, rows, cuda.gridDim.x * many):  # all threads of a block go round equally often
        r = first + mine
        count = columns if r < rows else 0
        total = zero
        for c in range(lane, count, lanes):
            total += x[r, c]
        total = row_sum(total, lanes, scratch)  # the same bits in all threads of the row
"""

from ..jit import cuda, device
from ..twin import MOST_BLOCKS

THREADS = 128
WARP = 32
WARPS = THREADS // WARP
ALL = 0xFFFFFFFF


@device
def lanes_of(columns):
    """Threads of a row: 1, 2, 4, … 32, or the whole block."""
    lanes = 1
    while lanes < columns and lanes < WARP:
        lanes *= 2
    return THREADS if columns > THREADS else lanes


@device
def own_row(lanes):
    """(This thread's number among those of its row, its row's number among those of the block, how many rows a block has)."""
    x, shift = cuda.threadIdx.x, 0
    while (1 << shift) < lanes:
        shift += 1
    return x & (lanes - 1), x >> shift, THREADS >> shift


def blocks_of(rows: int, columns: int) -> int:
    """Blocks of a launch: for each row its threads, but not more than keep any GPU busy."""
    return min(-(-rows * lanes_of(columns) // THREADS), MOST_BLOCKS)


@device
def row_sum(value, lanes, scratch):
    """The sum over the threads of a row; scratch: WARPS elements of shared memory."""
    step = 1
    while step < lanes and step < WARP:
        value += cuda.shfl_xor_sync(ALL, value, step)
        step *= 2
    if lanes > WARP:
        if cuda.threadIdx.x % WARP == 0:
            scratch[cuda.threadIdx.x // WARP] = value
        cuda.syncthreads()
        value = (scratch[0] + scratch[1]) + (scratch[2] + scratch[3])
        cuda.syncthreads()
    return value


@device
def row_max(value, lanes, scratch):
    """The largest value of the threads of a row; NaN is passed over unless all are."""
    step = 1
    while step < lanes and step < WARP:
        other = cuda.shfl_xor_sync(ALL, value, step)
        value = other if other > value else value
        step *= 2
    if lanes > WARP:
        if cuda.threadIdx.x % WARP == 0:
            scratch[cuda.threadIdx.x // WARP] = value
        cuda.syncthreads()
        for w in range(WARPS):
            value = scratch[w] if scratch[w] > value else value
        cuda.syncthreads()
    return value
