"""Statistics of channels, part by part: what a convolution hands to the batch normalization behind it.

`moments` [parts, 3, channels] holds for each part of the pixels and each channel their count, their mean, and the sum of the squared
deviations from that mean. A kernel that has just written a block of pixels takes their moments while the block lies in the cache.
A few pixels at a time join those before (kernels/tile_sums.py), so that nothing cancels however far the mean is from zero.
Parts are put together in kernels/normalize.py.
"""

from ..jit import compiled
from .tile import BYTES, address, gather, load, spread, store, zero
from .tile_sums import absorb

ROWS = 8  # pixels that join at a time


@compiled
def _clear(moments, part, c0, c1, count):
    moments[part, 0, c0:c1] = count
    moments[part, 1:, c0:c1] = 0


@compiled
def _join(y, rows, n, c0, c1, moments, part):
    """The pixels at these addresses join n others, as far as whole vectors of channels go."""
    mean, lanes, line = zero(y, 1, 1), BYTES // y.itemsize, moments.shape[2]
    share = y.dtype.type(len(rows)) / y.dtype.type(n + len(rows))
    weight, to = share * y.dtype.type(n), (3 * part + 1) * line
    for c in range(c0, c1 - lanes + 1, lanes):
        mean = load(mean, moments, to + c, 0)
        mean, squares = absorb(mean, load(mean, moments, to + line + c, 0), rows, c, share, weight)
        store(mean, moments, to + c, 0)
        store(squares, moments, to + line + c, 0)


@compiled
def _join_rest(row, n, mean, squares):
    """One pixel's channels behind the last whole vector join n others."""
    if n == 0:
        mean[:] = row
        return
    share = row.dtype.type(1) / row.dtype.type(n + 1)
    for c in range(row.size):
        d = row[c] - mean[c]
        mean[c] += d * share
        squares[c] += d * (d * (share * row.dtype.type(n)))


@compiled
def _rest(y, c0, c1):
    """The first channel behind the last whole vector."""
    return c1 - (c1 - c0) % (BYTES // y.itemsize)


@compiled
def join_pixels(y, channels, first, count, n, c0, c1, moments, part):
    """`count` pixels of y from number `first` on join the n that moments[part, :, c0:c1] tells of."""
    whole, rest = count // ROWS * ROWS, _rest(y, c0, c1)
    for i in range(0, whole, ROWS):
        _join(y, spread(y, (first + i) * channels, channels, ROWS), n + i, c0, c1, moments, part)
    for i in range(whole, count):
        _join(y, spread(y, (first + i) * channels, channels, 1), n + i, c0, c1, moments, part)
    if rest < c1:
        for i in range(count):
            at = (first + i) * channels
            _join_rest(y[at + rest : at + c1], n + i, moments[part, 1, rest:c1], moments[part, 2, rest:c1])


@compiled
def moments_of(y, channels, first, count, c0, c1, moments, part):
    """moments[part, :, c0:c1] = those of `count` pixels of y from number `first` on; y has one axis, of pixels times channels."""
    _clear(moments, part, c0, c1, count)
    join_pixels(y, channels, first, count, 0, c0, c1, moments, part)


@compiled
def _whole(places, i, count, nowhere):
    """Whether ROWS places from i on are there, none of them nowhere."""
    there = 0
    for k in range(i, min(i + ROWS, count)):
        there += places[k] != nowhere
    return there == ROWS


@compiled
def moments_of_places(y, places, count, c0, c1, moments, part, nowhere=0):
    """As moments_of, for the pixels whose addresses stand in places[:count] (int64, of their first channel, in y); those that equal
    `nowhere` are skipped."""
    n = 0
    for i in range(count):
        n += places[i] != nowhere
    _clear(moments, part, c0, c1, n)
    n = 0
    for i in range(0, count, ROWS):
        if _whole(places, i, count, nowhere):
            _join(y, gather(places, i, ROWS), n, c0, c1, moments, part)
            n += ROWS
            continue
        for k in range(i, min(i + ROWS, count)):
            if places[k] != nowhere:
                _join(y, gather(places, k, 1), n, c0, c1, moments, part)
                n += 1
    rest, start, n = _rest(y, c0, c1), address(y, 0), 0
    if rest < c1:
        for i in range(count):
            if places[i] != nowhere:
                at = (places[i] - start) // y.itemsize
                _join_rest(y[at + rest : at + c1], n, moments[part, 1, rest:c1], moments[part, 2, rest:c1])
                n += 1
