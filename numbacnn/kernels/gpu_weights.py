"""A convolution's gradient by its kernel as one matrix product on a GPU.

Rows of the result are places of the kernel (tap, input channel), columns are output channels, and the sum runs over all output pixels. It is
cut into parts, in the second axis of the launch's grid: so many that a GPU is busy, which follows from the shapes alone. `add_parts` adds
them in order.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, kernel, named, prange
from .gpu_tile import DEPTH, PAD, Tile, corner, loader, multiplier, row_writer, storer
from .ptx import ALIGNMENT, load4

OUTSIDE = -(1 << 20)


@factory
def weight_gradient(tile: Tile, gathers: bool, wide: int, wide_out: int) -> Kernel:
    """The kernel for a tile.

    gathers: by the table (gpu_product.py); else x is a matrix [pixels, rows of the result] (a 1x1 convolution)
    wide: input channels that are loaded at once, 4 or 1; wide_out: output channels
    """
    bm, bn, tm, tn, threads = *tile, tile.threads
    pitch_a, pitch_b, results = bm + PAD, bn + PAD, tm * tn
    size_a, size_b = DEPTH * pitch_a, DEPTH * pitch_b
    both_a, both_b = 2 * size_a, 2 * size_b
    beside_a, beside_b = bm // wide, bn // wide_out  # threads beside each other in a row
    step_a, step_b = threads // beside_a, threads // beside_b
    loads_a, loads_b = DEPTH // step_a, DEPTH // step_b
    own_a, own_b = loads_a * wide, loads_b * wide_out
    first, multiply = corner(tile), multiplier(tile)
    load_x, load_dy, store_x, store_dy, write = loader(wide), loader(wide_out), storer(wide), storer(wide_out), row_writer(wide_out)

    @device
    def fetch(x, dy, p, end, m, column, rows_of_result, tap, geometry, pixels, thread, a, b):
        """The thread's elements of the next DEPTH pixels, from number p on; `pixels` [loads, 3]: image, row and column of its own."""
        height, width, depth, result_height, result_width, down, right, images, lines, places, outputs, _ = geometry
        zero = x.dtype.type(0)
        for i in range(loads_a):
            for j in range(wide):
                a[i * wide + j] = zero
            mine = p + thread // beside_a + i * step_a
            if gathers:
                image, line, place = pixels[i, 0], pixels[i, 1], pixels[i, 2]
                r, c = np.int32(line * down), np.int32(place * right)
                row, there = np.int32(r + tap[0]), np.int32(c + tap[1])
                if mine < end and row >= 0 and row < height and there >= 0 and there < width:
                    load_x(x, ((image * height + r) * width + c) * depth + tap[2], a, i * wide)
                place, line, image = np.int32(place + places), np.int32(line + lines), np.int32(image + images)
                if place >= result_width:
                    place, line = np.int32(place - result_width), np.int32(line + 1)
                if line >= result_height:
                    line, image = np.int32(line - result_height), np.int32(image + 1)
                pixels[i, 0], pixels[i, 1], pixels[i, 2] = image, line, place
            elif mine < end and m < rows_of_result:
                load_x(x, mine * depth + m, a, i * wide)
        for i in range(loads_b):
            for j in range(wide_out):
                b[i * wide_out + j] = zero
            mine = p + thread // beside_b + i * step_b
            if mine < end and column < outputs:
                load_dy(dy, mine * outputs + column, b, i * wide_out)

    @device
    def put(sa, sb, half, thread, a, b):
        """They go into one half of shared memory."""
        at = half * size_a + thread // beside_a * pitch_a + thread % beside_a * wide
        for i in range(loads_a):
            store_x(sa, at + i * step_a * pitch_a, a, i * wide)
        at = half * size_b + thread // beside_b * pitch_b + thread % beside_b * wide_out
        for i in range(loads_b):
            store_dy(sb, at + i * step_b * pitch_b, b, i * wide_out)

    def run(x, dy, table, count, rows_of_result, geometry, grid, y):
        height, width, depth, result_height, result_width, down, right, images, lines, places, outputs, each = geometry
        thread, blocks_n = cuda.threadIdx.x, (outputs + bn - 1) // bn
        row0, col0 = cuda.blockIdx.x // blocks_n * bm, cuda.blockIdx.x % blocks_n * bn
        sa, sb = cuda.shared.array(both_a, x.dtype, ALIGNMENT), cuda.shared.array(both_b, x.dtype, ALIGNMENT)
        acc = cuda.local.array(results, x.dtype)
        for i in range(results):
            acc[i] = x.dtype.type(0)
        begin = cuda.blockIdx.y * each
        end = min(begin + each, count)
        m, column = row0 + thread % beside_a * wide, col0 + thread % beside_b * wide_out
        tap, pixels = cuda.local.array(3, np.int32), cuda.local.array((loads_a, 3), np.int32)
        tap[0], tap[1], tap[2] = OUTSIDE, 0, 0
        if gathers:
            if m < rows_of_result:
                tap[0], tap[1], tap[2], _ = load4(table, m // wide * 4)
            for i in range(loads_a):
                mine = begin + thread // beside_a + i * step_a
                pixels[i, 0], rest = mine // (result_height * result_width), mine % (result_height * result_width)
                pixels[i, 1], pixels[i, 2] = rest // result_width, rest % result_width
        a, b = cuda.local.array(own_a, x.dtype), cuda.local.array(own_b, x.dtype)
        at, bt = first(thread)
        fetch(x, dy, begin, end, m, column, rows_of_result, tap, geometry, pixels, thread, a, b)
        put(sa, sb, 0, thread, a, b)
        cuda.syncthreads()
        half = 0
        for p in range(begin + DEPTH, end, DEPTH):
            fetch(x, dy, p, end, m, column, rows_of_result, tap, geometry, pixels, thread, a, b)
            multiply(sa, sb, half * size_a + at, half * size_b + bt, acc)
            half = 1 - half
            put(sa, sb, half, thread, a, b)
            cuda.syncthreads()
        multiply(sa, sb, half * size_a + at, half * size_b + bt, acc)
        first_row = cuda.blockIdx.y * rows_of_result
        for i in range(tm):
            row = row0 + at + i // 4 * 16 + i % 4
            if row < rows_of_result:
                for j in range(0, tn, 4):
                    n = col0 + bt + j * 8
                    if n < outputs:
                        write(y, (first_row + row) * outputs + n, outputs - n, acc, i * tn + j)

    made = Kernel(named(run, f"weight_gradient_{tile}_{'gather' if gathers else 'matrix'}_{wide}_{wide_out}"))
    made.cuda(run, threads=threads, blocks=lambda *args: args[-2])
    return made


@kernel
def add_parts(parts, y):
    """y = sum of parts [parts, elements of y], all with one axis, in order and in float64."""
    for i in prange(y.size):
        total = 0.0
        for p in range(i, parts.size, y.size):
            total += parts[p]
        y[i] = total
