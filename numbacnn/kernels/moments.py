"""Statistics of channels, part by part: what a convolution hands to the batch normalization behind it.

`moments` [parts, 3, channels] holds for each part of the pixels and each channel their count, their mean, and the sum of the squared
deviations from that mean. A kernel that has just written a block of pixels takes their moments while the block lies in the cache.
A few pixels at a time join those before (kernels/tile_sums.py), so that nothing cancels however far the mean is from zero.
Parts are put together in kernels/normalize.py.
"""

from ..jit import compiled
from .tile import BYTES, address, gather, spread, store, zero
from .tile_sums import absorb

VECTORS = 1  # of a tile: channels that are taken at a time
ROWS = 8  # pixels that join at a time


@compiled
def _share(n, more, y):
    """Of `more` pixels among them and n others."""
    return y.dtype.type(more) / y.dtype.type(n + more)


@compiled
def _moments_of_tile(y, channels, at, count, moments, to):
    """moments.flat[to:] = those of one tile's channels; y.flat[at] is the first of them in the first pixel."""
    mean, squares = zero(y, 1, VECTORS), zero(y, 1, VECTORS)
    whole = count // ROWS * ROWS
    for i in range(0, whole, ROWS):
        share = _share(i, ROWS, y)
        mean, squares = absorb(mean, squares, spread(y, at + i * channels, channels, ROWS), 0, share, share * y.dtype.type(i))
    for i in range(whole, count):
        share = _share(i, 1, y)
        mean, squares = absorb(mean, squares, spread(y, at + i * channels, channels, 1), 0, share, share * y.dtype.type(i))
    store(mean, moments, to + moments.shape[2], 0)
    store(squares, moments, to + 2 * moments.shape[2], 0)


@compiled
def _join(row, n, mean, squares):
    """One pixel joins n others, without tiles: for fewer channels than a tile has."""
    share = _share(n, 1, row)
    weight = share * row.dtype.type(n)
    for c in range(mean.size):
        d = row[c] - mean[c]
        mean[c] += d * share
        squares[c] += d * d * weight


@compiled
def _clear(moments, part, c0, c1, count):
    moments[part, 0, c0:c1] = count
    moments[part, 1:, c0:c1] = 0


@compiled
def moments_of(y, channels, first, count, c0, c1, moments, part):
    """moments[part, :, c0:c1] = those of `count` pixels of y from number `first` on; y has one axis, of pixels times channels."""
    width = VECTORS * (BYTES // y.itemsize)
    _clear(moments, part, c0, c1, count)
    if c1 - c0 < width:
        for i in range(count):
            at = (first + i) * channels
            _join(y[at + c0 : at + c1], i, moments[part, 1, c0:c1], moments[part, 2, c0:c1])
    else:
        for n in range((c1 - c0 + width - 1) // width):
            c = min(c0 + n * width, c1 - width)  # the last tile may take channels of its neighbour again, to the same result
            _moments_of_tile(y, channels, first * channels + c, count, moments, part * 3 * moments.shape[2] + c)


@compiled
def _whole(places, i, nowhere):
    """Whether none of ROWS places is nowhere."""
    missing = 0
    for k in range(i, i + ROWS):
        missing += places[k] == nowhere
    return missing == 0


@compiled
def _moments_of_tile_places(y, places, count, nowhere, c, moments, to):
    mean, squares, n = zero(y, 1, VECTORS), zero(y, 1, VECTORS), 0
    for i in range(0, count, ROWS):
        if i + ROWS <= count and _whole(places, i, nowhere):
            share = _share(n, ROWS, y)
            mean, squares = absorb(mean, squares, gather(places, i, ROWS), c, share, share * y.dtype.type(n))
            n += ROWS
            continue
        for k in range(i, min(i + ROWS, count)):
            if places[k] != nowhere:
                share = _share(n, 1, y)
                mean, squares = absorb(mean, squares, gather(places, k, 1), c, share, share * y.dtype.type(n))
                n += 1
    store(mean, moments, to + moments.shape[2], 0)
    store(squares, moments, to + 2 * moments.shape[2], 0)


@compiled
def moments_of_places(y, places, count, c0, c1, moments, part, nowhere=0):
    """As moments_of, for the pixels whose addresses stand in places[:count] (int64, of their first channel, in y); those that equal
    `nowhere` are skipped."""
    width, real = VECTORS * (BYTES // y.itemsize), 0
    for i in range(count):
        real += places[i] != nowhere
    _clear(moments, part, c0, c1, real)
    if c1 - c0 < width:
        n, start = 0, address(y, 0)
        for i in range(count):
            if places[i] != nowhere:
                at = (places[i] - start) // y.itemsize
                _join(y[at + c0 : at + c1], n, moments[part, 1, c0:c1], moments[part, 2, c0:c1])
                n += 1
    else:
        for n in range((c1 - c0 + width - 1) // width):
            c = min(c0 + n * width, c1 - width)
            _moments_of_tile_places(y, places, count, nowhere, c, moments, part * 3 * moments.shape[2] + c)
