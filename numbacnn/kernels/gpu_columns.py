"""Columns on a GPU: sums down the lines of an array whose neighbouring elements belong to neighbouring channels.

First pass: a block of COLUMNS x ROWS threads takes COLUMNS neighbours of a part's lines; a warp reads whole cache lines, and the threads' sums are
added down the block in order. Second pass, over the parts: a block of FEW x DEEP threads takes FEW columns, a sector of memory, and adds in a tree.
"""

from ..jit import cuda, device
from .gpu_places import quotient

COLUMNS, ROWS = 32, 8
FIRST = (COLUMNS, ROWS)  # threads of a block of the first pass
FEW, DEEP = 8, 32
SECOND = (FEW, DEEP)
CELLS = FEW * DEEP


@device
def down(value, scratch):
    """The sum over the threads of a column of a first block, for its first thread; scratch [ROWS, COLUMNS]: shared memory."""
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    scratch[y, x] = value
    cuda.syncthreads()
    if y == 0:
        for r in range(1, ROWS):
            value += scratch[r, x]
    cuda.syncthreads()
    return value


@device
def across(value):
    """The sum over the threads of a line of a first block, which is a warp; for all of them."""
    step = 1
    while step < COLUMNS:
        value += cuda.shfl_xor_sync(0xFFFFFFFF, value, step)
        step *= 2
    return value


@device
def deep(value, scratch):
    """The sum over the threads of a column of a second block, for all of them; scratch [CELLS]: shared memory."""
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    scratch[y * FEW + x] = value
    rows = DEEP // 2
    while rows > 0:
        cuda.syncthreads()
        if y < rows:
            scratch[y * FEW + x] += scratch[(y + rows) * FEW + x]
        rows //= 2
    cuda.syncthreads()
    value = scratch[x]
    cuda.syncthreads()
    return value


@device
def share_of(depth):
    """Channels of a second block where `depth` neighbours belong together."""
    share = depth
    while share + depth <= FEW:
        share += depth
    return share


@device
def together(value, depth, scratch):
    """What `deep` gave, summed over the neighbours that belong together (all columns of the block where depth > FEW)."""
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    if depth == 1:
        return value
    if y == 0:
        scratch[x] = value
    cuda.syncthreads()
    start = quotient(x, depth) * depth
    value = scratch[start]
    for c in range(start + 1, min(start + depth, FEW)):
        value += scratch[c]
    cuda.syncthreads()
    return value
