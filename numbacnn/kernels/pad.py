"""Put images into larger ones, and cut them out again: each is the other's gradient.

Rows come as one axis (width times channels), so that pictures of 1 or 3 channels are copied as fast as others.
"""

from ..jit import cuda, kernel, prange
from .gpu import LINE
from .ptx import divide


@kernel
def pad(x, top, left, y):
    """y = zeros, with x from row `top` and element `left` on.  x (N, h, w·C), y (N, H, W·C)."""
    zero = x.dtype.type(0)
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        inside = top <= h < top + x.shape[1]
        first = left if inside else y.shape[2]
        last = left + x.shape[2] if inside else y.shape[2]
        to = y[n, h]  # rows are cut out first: with whole indices the loops below do not vectorize
        for i in range(first):
            to[i] = zero
        if inside:
            row, part = x[n, h - top], to[first:last]
            for i in range(part.size):
                part[i] = row[i]
        for i in range(last, to.size):
            to[i] = zero


def _lines(x, top, left, y):
    return y.shape[0] * y.shape[1], -(-y.shape[2] // LINE)


@pad.cuda(threads=LINE, blocks=_lines)
def _pad(x, top, left, y):
    n, h = divide(cuda.blockIdx.x, y.shape[1])
    i = cuda.blockIdx.y * LINE + cuda.threadIdx.x
    if i < y.shape[2]:
        inside = top <= h < top + x.shape[1] and left <= i < left + x.shape[2]
        y[n, h, i] = x[n, h - top, i - left] if inside else x.dtype.type(0)


@kernel
def crop(x, top, left, y):
    """y = the part of x from row `top` and element `left` on.  x (N, H, W·C), y (N, h, w·C)."""
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        to, row = y[n, h], x[n, h + top, left:]
        for i in range(to.size):
            to[i] = row[i]


@crop.cuda(threads=LINE, blocks=_lines)
def _crop(x, top, left, y):
    n, h = divide(cuda.blockIdx.x, y.shape[1])
    i = cuda.blockIdx.y * LINE + cuda.threadIdx.x
    if i < y.shape[2]:
        y[n, h, i] = x[n, h + top, i + left]
