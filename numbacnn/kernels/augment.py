"""Kernels between decoded images and a network's input: uint8 -> normalized float32."""

import numpy as np

from ..jit import compiled, cuda, kernel, prange
from ..twin import MOST_BLOCKS
from .gpu import LINE, by_rows, in_row, parted
from .ptx import divide
from .random import uniform

f4, index = np.float32, np.uintp

ROW = 18  # numbers that describe one image's augmentation, see augment


@kernel
def convert(images, indices, table, source, y):
    """y[n, h, w, c] = table[c, images[indices[n], h, w, source[c]]]: normalization alone."""
    height, width, channels = y.shape[1:]
    for job in prange(y.shape[0] * height):
        n, h = job // height, job % height
        image = images[indices[n]]
        for w in range(width):
            for c in range(channels):
                y[n, h, w, c] = table[c, image[h, w, source[c]]]


@convert.cuda(threads=LINE, blocks=by_rows)
def _convert(images, indices, table, source, y):
    n, h, e = in_row(y)
    if e < y.shape[2] * y.shape[3]:
        w, c = divide(e, y.shape[3])
        y[n, h, w, c] = table[c, images[indices[n], h, w, source[c]]]


@kernel
def augment(images, indices, rows, source, scale, shift, y):
    """Image indices[n] seen through the map and the colors of rows[n], times scale plus shift (both per channel).

    A row holds 6 + 12 numbers: a 2x3 matrix from places in the result to places in the image, (x, y, 1), measured in pixels from
    the center, its third column in widths and heights; and a 3x4 matrix (r, g, b, 255) -> (r, g, b), whose result is cut off at
    0 and 255; gray images use its first line. Sampling is bilinear; pixels at the edge are repeated outside.
    """
    height = y.shape[1]
    for job in prange(y.shape[0] * height):
        n, h = job // height, job % height
        _augment_line(images[indices[n]], h, rows[n], source, scale, shift, 0, y.shape[2], y[n, h])


@augment.cuda(threads=LINE, blocks=lambda *args: (args[-1].shape[0] * args[-1].shape[1], -(-args[-1].shape[2] // LINE)))
def _augment(images, indices, rows, source, scale, shift, y):
    n, h = divide(cuda.blockIdx.x, y.shape[1])
    w = cuda.blockIdx.y * LINE + cuda.threadIdx.x
    if w < y.shape[2]:
        _augment_line(images[indices[n]], h, rows[n], source, scale, shift, w, w + 1, y[n, h])


@compiled
def _augment_line(image, h, row, source, scale, shift, begin, end, line):
    """Pixels begin .. end - 1 of the line."""
    height, width, channels = image.shape
    half = f4(0.5)
    center_x, center_y = f4(width - 1) * half, f4(height - 1) * half
    dy = f4(h) - center_y
    step_x, step_y = row[0], row[3]
    start_x = row[1] * dy + row[2] * f4(width) + center_x - step_x * center_x
    start_y = row[4] * dy + row[5] * f4(height) + center_y - step_y * center_x
    far_x, far_y = f4(width - 1), f4(height - 1)
    last = channels - 1
    one, two, three = _line_of(row, source[0]), _line_of(row, source[min(1, last)]), _line_of(row, source[last])
    for w in range(begin, end):
        x = min(max(step_x * f4(w) + start_x, f4(0)), far_x)
        y = min(max(step_y * f4(w) + start_y, f4(0)), far_y)
        whole_x, whole_y = np.int64(x), np.int64(y)
        fx, fy = x - f4(whole_x), y - f4(whole_y)
        left, top = index(whole_x), index(whole_y)  # unsigned, so that numba does not look for negative ones
        right, bottom = index(min(whole_x + 1, width - 1)), index(min(whole_y + 1, height - 1))
        ex, ey = f4(1) - fx, f4(1) - fy
        weights = ex * ey, fx * ey, ex * fy, fx * fy
        if channels == 3:
            r = _sample(image, top, left, bottom, right, index(0), weights)
            g = _sample(image, top, left, bottom, right, index(1), weights)
            b = _sample(image, top, left, bottom, right, index(2), weights)
            line[w, 0] = _color(one, r, g, b) * scale[0] + shift[0]
            line[w, 1] = _color(two, r, g, b) * scale[1] + shift[1]
            line[w, 2] = _color(three, r, g, b) * scale[2] + shift[2]
        else:
            v = _sample(image, top, left, bottom, right, index(0), weights)
            line[w, 0] = _color(one, v, v, v) * scale[0] + shift[0]


@compiled
def _sample(image, top, left, bottom, right, c, weights):
    upper = weights[0] * f4(image[top, left, c]) + weights[1] * f4(image[top, right, c])
    return upper + (weights[2] * f4(image[bottom, left, c]) + weights[3] * f4(image[bottom, right, c]))


@compiled
def _line_of(row, c):
    k = 6 + 4 * c
    return row[k], row[k + 1], row[k + 2], row[k + 3] * f4(255)


@compiled
def _color(line, r, g, b):
    return min(max(line[0] * r + line[1] * g + line[2] * b + line[3], f4(0)), f4(255))


@kernel(parallel=False)
def draw(indices, clock, stream, numbers):
    """numbers[n, k]: the k-th random number in [0, 1) of indices[n], the same whatever else is drawn with it. clock: (seed, step)."""
    count = numbers.shape[1]
    for n in range(indices.size):
        for k in range(count):
            numbers[n, k] = uniform(indices[n] * count + k, stream, clock[1], clock[0])


@draw.cuda(blocks=lambda indices, clock, stream, numbers: min(-(-numbers.size // 256), MOST_BLOCKS))
def _draw(indices, clock, stream, numbers):
    count = numbers.shape[1]
    for i in range(cuda.grid(1), numbers.size, cuda.gridsize(1)):
        n, k = parted(i, count)
        numbers[n, k] = uniform(indices[n] * count + k, stream, clock[1], clock[0])
