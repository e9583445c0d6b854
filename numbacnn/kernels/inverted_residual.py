"""A 1x1 convolution, a depthwise one and another 1x1 convolution in one pass (Sandler et al., MobileNetV2, 2018), at rest.

The images between them are the widest of such networks, and memory is what they wait for. Here a job goes down a part of an image, a
band of rows at a time: the wide rows that the band needs are made, convolved, and summed up, all within the second-level cache. Rows that the next
band needs, too, are moved there. Without the first convolution, the depthwise one reads the images.
"""

from typing import Any

import numpy as np
from numba import get_thread_id

from ..jit import compiled, kernel, prange
from .depthwise import band_of, first_and_last_row
from .gemm_multiply import ROWS, multiply_rows
from .tile import BYTES, V

CACHE = 320 << 10  # bytes of a band's wide rows
JOBS = 8  # parts that the images are cut into at least, where they have as many rows


def reach(rows: tuple[int, int, int, int], window: int, band: int) -> int:
    """Rows of the wide image that `band` rows of the depthwise convolution's result meet."""
    mul, _, _, step = rows
    return (band - 1) * mul + (window - 1) * step + 1


def band_rows(wide: tuple[int, ...], narrow: tuple[int, ...], window: int, rows: tuple[int, int, int, int], dtype: Any) -> int:
    """Rows that a job makes at a time of `narrow` (N, H', W', C), the depthwise convolution of `wide` (N, H, W, C)."""
    size, band = np.dtype(dtype).itemsize * wide[3], 1
    while band < narrow[1] and size * (reach(rows, window, band + 1) * wide[2] + (band + 1) * narrow[2]) <= CACHE:
        band += 1
    return band


@compiled
def _move(rows, first, count, size):
    """Row `first` and those behind it to the front."""
    flat = rows.reshape(-1)
    for i in range(count * size):
        flat[i] = flat[first * size + i]


@compiled
def _multiply(x, packed, bias, residual, lo, hi, y):
    """All rows of y, some at a time."""
    blocks = bias.size // (V * (BYTES // bias.itemsize))
    for p in range(0, y.shape[0], ROWS):
        multiply_rows(x, packed, bias, residual, lo, hi, y, p, min(p + ROWS, y.shape[0]), 0, blocks)


@kernel
def inverted_residual(x, packed, bias, low, high, filters, shift, lo, hi, window, rows, columns, wide, narrow, project, offset, residual, least, most, y):
    """y = clamp(clamp(depthwise(clamp(x @ packed + bias, low, high)) + shift, lo, hi) @ project + offset + residual, least, most).

    x [N, H, W, K]; packed, project as gemm_multiply.py has them, packed of size 0: the depthwise convolution reads x. filters [taps, C],
    window, rows, columns as in depthwise.py. residual [N * H' * W', K'] or (0, 0); y [N, H', W', K'].
    Workspaces: wide [threads, reach(…), W, C] and narrow [threads, band_rows(…), W', C].
    """
    images, height, across = y.shape[0], y.shape[1], y.shape[2]
    band, channels = narrow.shape[1], narrow.shape[3]
    bands = (height + band - 1) // band
    cuts = min(bands, (JOBS + images - 1) // images)
    nil, nothing = np.zeros(channels, x.dtype), np.zeros((0, 0), x.dtype)
    no_images, no_moments = np.zeros((0, 0, 0, 0), x.dtype), np.zeros((0, 3, channels), x.dtype)
    pixels, results = x.reshape(-1, x.shape[3]), y.reshape(-1, y.shape[3])
    h, w = x.shape[1], x.shape[2]
    for job in prange(images * cuts):
        b, part = np.int64(job) // cuts, np.int64(job) % cuts
        thread = get_thread_id()
        mine, made = wide[thread], narrow[thread]
        start, end = np.int64(0), np.int64(0)  # rows of the wide image that there are
        for step in range(bands * part // cuts, bands * (part + 1) // cuts):
            i0, i1 = step * band, min(step * band + band, height)
            place = b * height + i0
            count = (i1 - i0) * across
            out = made[: i1 - i0].reshape(1, i1 - i0, across, channels)
            if packed.size == 0:
                at = rows[0], rows[1], rows[2] + i0 * rows[0], rows[3]
                band_of(x[b : b + 1], filters, shift, no_images, lo, hi, window, at, columns, out, no_moments, 0, 0, 0, i1 - i0, nil)
            else:
                first, last = first_and_last_row(h, window[0], rows, i0, i1)
                last = max(last + 1, first)
                kept = max(end - first, 0)
                if kept > 0 and first > start:
                    _move(mine, first - start, kept, w * channels)
                fresh = mine[kept : last - first].reshape(-1, channels)
                source = (b * h + first + kept) * w
                _multiply(pixels[source : source + fresh.shape[0]], packed, bias, nothing, low, high, fresh)
                start, end = first, last
                at = rows[0], rows[1], rows[2] + i0 * rows[0] - first, rows[3]
                image = mine[: last - first].reshape(1, last - first, w, channels)
                band_of(image, filters, shift, no_images, lo, hi, window, at, columns, out, no_moments, 0, 0, 0, i1 - i0, nil)
            beside = residual[place * across : place * across + count] if residual.shape[0] > 0 else residual
            into = results[place * across : place * across + count]
            _multiply(made.reshape(-1, channels)[:count], project, offset, beside, least, most, into)
