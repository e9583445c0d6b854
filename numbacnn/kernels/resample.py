"""Images of other sizes on a GPU: which pixels an output pixel mixes, in whole numbers, and the gradient of that.

Pixel centres lie at halves: output pixel o of `length` looks at ((2 o + 1) size - length) / (2 length) of `size` input pixels. Repeating
pixels is the same with the nearest one.
"""

from ..jit import device
from .gpu import in_row
from .ptx import divide


@device
def between(o, size, length, bilinear):
    """(first, second, share, whole): output pixel o mixes two input pixels, the second one by share / whole."""
    if bilinear == 0:
        nearest = min(divide((2 * o + 1) * size, 2 * length)[0], size - 1)
        return nearest, nearest, 0, 1
    place = (2 * o + 1) * size - length
    if place < 0:
        return 0, 0, 0, 1
    low, share = divide(place, 2 * length)
    return low, min(low + 1, size - 1), share, 2 * length


@device
def mix(x, bilinear, y):
    """This thread's element of y (N, H', W', C) from x (N, H, W, C)."""
    n, h, e = in_row(y)
    if e < y.shape[2] * y.shape[3]:
        w, c = divide(e, y.shape[3])
        top, bottom, share, whole = between(h, x.shape[1], y.shape[1], bilinear)
        one, down = x.dtype.type(1), x.dtype.type(share) / x.dtype.type(whole)
        left, right, share, whole = between(w, x.shape[2], y.shape[2], bilinear)
        aside = x.dtype.type(share) / x.dtype.type(whole)
        above = x[n, top, left, c] * (one - aside) + x[n, top, right, c] * aside
        below = x[n, bottom, left, c] * (one - aside) + x[n, bottom, right, c] * aside
        y[n, h, w, c] = above * (one - down) + below * down


@device
def reached(i, size, length):
    """First and behind-the-last of the output pixels that may mix input pixel i in."""
    first = 0 if i == 0 else max(divide((2 * i - 1) * length, 2 * size)[0] - 1, 0)
    return first, length if i == size - 1 else min(divide((2 * i + 3) * length, 2 * size)[0] + 2, length)


@device
def weight(i, o, size, length, bilinear, one):
    """Of input pixel i in output pixel o, in the type of `one`."""
    first, second, share, whole = between(o, size, length, bilinear)
    part = type(one)(share) / type(one)(whole)
    zero = one - one
    return (one - part if first == i else zero) + (part if second == i else zero)


@device
def collect(dy, bilinear, dx):
    """This thread's element of the gradient: what the output pixels give back to theirs."""
    n, h, e = in_row(dx)
    height, width, channels = dx.shape[1], dx.shape[2], dx.shape[3]
    if e < width * channels:
        w, c = divide(e, channels)
        one, total = dy.dtype.type(1), dy.dtype.type(0)
        top, bottom = reached(h, height, dy.shape[1])
        left, right = reached(w, width, dy.shape[2])
        for i in range(top, bottom):
            down = weight(h, i, height, dy.shape[1], bilinear, one)
            if down > total - total:
                for j in range(left, right):
                    total += dy[n, i, j, c] * (down * weight(w, j, width, dy.shape[2], bilinear, one))
        dx[n, h, w, c] = total
