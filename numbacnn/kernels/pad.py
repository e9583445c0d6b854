"""Put images into larger ones, and cut them out again: each is the other's gradient.

Rows come as one axis (width times channels), so that pictures of 1 or 3 channels are copied as fast as others.
"""

from ..jit import kernel, prange


@kernel
def pad(x, top, left, y):
    """y = zeros, with x from row `top` and element `left` on.  x (N, h, w·C), y (N, H, W·C)."""
    zero = x.dtype.type(0)
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        inside = top <= h < top + x.shape[1]
        first = left if inside else y.shape[2]
        last = left + x.shape[2] if inside else y.shape[2]
        for i in range(first):
            y[n, h, i] = zero
        for i in range(first, last):
            y[n, h, i] = x[n, h - top, i - left]
        for i in range(last, y.shape[2]):
            y[n, h, i] = zero


@kernel
def crop(x, top, left, y):
    """y = the part of x from row `top` and element `left` on.  x (N, H, W·C), y (N, h, w·C)."""
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        for i in range(y.shape[2]):
            y[n, h, i] = x[n, h + top, i + left]
