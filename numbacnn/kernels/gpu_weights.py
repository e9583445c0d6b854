"""A convolution's gradient by its kernel as one matrix product on a GPU.

Rows of the result are places of the kernel (tap, input channel), columns are output channels, and the sum runs over all output pixels. It is
cut into parts, in the second axis of the launch's grid: so many that a GPU is busy, which follows from the shapes alone. `add_parts` adds
them in order.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, kernel, named, prange
from .gpu_tile import DEPTH, PAD, Tile, corner, loader, multiplier, row_writer, storer
from .ptx import divide, load4

i4, u4 = np.int32, np.uint32
OUTSIDE = -(1 << 30)  # a row that lies in no image, whatever is added to it


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
    def fetch(x, dy, p, end, m, column, rows_of_result, tap, sizes, geometry, pixels, thread, a, b):
        """The thread's elements of the next DEPTH pixels, from number p on; `pixels` [loads, 3]: image, row and column of its own."""
        height, width, depth, outputs = sizes
        zero = x.dtype.type(0)
        for i in range(loads_a):
            for j in range(wide):
                a[i * wide + j] = zero
            mine = i4(p + thread // beside_a + i * step_a)
            if gathers:
                r, c = i4(pixels[i, 1] * geometry[5]), i4(pixels[i, 2] * geometry[6])
                row, there = i4(r + tap[0]), i4(c + tap[1])
                if mine < end and row >= 0 and row < height and there >= 0 and there < width:
                    load_x(x, i4(((pixels[i, 0] * height + r) * width + c) * depth + tap[2]), a, i * wide)
                image, line, place = i4(pixels[i, 0] + geometry[7]), i4(pixels[i, 1] + geometry[8]), i4(pixels[i, 2] + geometry[9])
                if place >= geometry[4]:
                    place, line = i4(place - geometry[4]), i4(line + 1)
                if line >= geometry[3]:
                    line, image = i4(line - geometry[3]), i4(image + 1)
                pixels[i, 0], pixels[i, 1], pixels[i, 2] = image, line, place
            elif mine < end and m < rows_of_result:
                load_x(x, i4(mine * depth + m), a, i * wide)
        for i in range(loads_b):
            for j in range(wide_out):
                b[i * wide_out + j] = zero
            mine = i4(p + thread // beside_b + i * step_b)
            if mine < end and column < outputs:
                load_dy(dy, i4(mine * outputs + column), b, i * wide_out)

    @device
    def put(sa, sb, half, thread, a, b):
        """They go into one half of shared memory."""
        at = half * size_a + thread // beside_a * pitch_a + thread % beside_a * wide
        for i in range(loads_a):
            store_x(sa, at + i * step_a * pitch_a, a, i * wide)
        at = half * size_b + thread // beside_b * pitch_b + thread % beside_b * wide_out
        for i in range(loads_b):
            store_dy(sb, at + i * step_b * pitch_b, b, i * wide_out)

    @device
    def line(i, acc, row, column, rows_of_result, outputs, before, y):
        """A row of the thread's results goes to memory."""
        m = i4(row + i // 4 * 16 + i % 4)
        if m < rows_of_result:
            for j in range(0, tn, 4):
                n, of = i4(column + j * 8), i * tn + j
                if n < outputs:
                    write(y, (before + m) * outputs + n, outputs - n, acc[of], acc[of + 1], acc[of + 2], acc[of + 3])

    def run(x, dy, table, count, rows_of_result, geometry, grid, y):
        count, rows_of_result, outputs, each, thread = i4(count), i4(rows_of_result), i4(geometry[10]), i4(geometry[11]), i4(cuda.threadIdx.x)
        sizes = i4(geometry[0]), i4(geometry[1]), i4(geometry[2]), outputs
        row0, col0 = divide(cuda.blockIdx.x, (outputs + bn - 1) // u4(bn))
        row0, col0 = i4(row0 * bm), i4(col0 * bn)
        sa, sb = cuda.shared.array(both_a, x.dtype, alignment=16), cuda.shared.array(both_b, x.dtype, alignment=16)
        acc = cuda.local.array(results, x.dtype)
        for i in range(results):
            acc[i] = x.dtype.type(0)
        begin = i4(cuda.blockIdx.y * each)
        end = i4(min(begin + each, count))
        m, column = i4(row0 + thread % beside_a * wide), i4(col0 + thread % beside_b * wide_out)
        tap, pixels = cuda.local.array(3, np.int32), cuda.local.array((loads_a, 3), np.int32)
        tap[0], tap[1], tap[2] = OUTSIDE, 0, 0
        if gathers:
            if m < rows_of_result:
                tap[0], tap[1], tap[2], _ = load4(table, m // u4(wide) * 4)
            for i in range(loads_a):
                pixels[i, 0], rest = divide(i4(begin + thread // beside_a + i * step_a), i4(geometry[3] * geometry[4]))
                pixels[i, 1], pixels[i, 2] = divide(rest, i4(geometry[4]))
        a, b = cuda.local.array(own_a, x.dtype), cuda.local.array(own_b, x.dtype)
        at, bt = first(thread)
        fetch(x, dy, begin, end, m, column, rows_of_result, tap, sizes, geometry, pixels, thread, a, b)
        put(sa, sb, 0, thread, a, b)
        cuda.syncthreads()
        half = i4(0)
        for p in range(i4(begin + DEPTH), end, i4(DEPTH)):
            fetch(x, dy, p, end, m, column, rows_of_result, tap, sizes, geometry, pixels, thread, a, b)
            multiply(sa, sb, half * size_a + at, half * size_b + bt, acc)
            half = i4(1 - half)
            put(sa, sb, half, thread, a, b)
            cuda.syncthreads()
        multiply(sa, sb, half * size_a + at, half * size_b + bt, acc)
        row, column, before = i4(row0 + at), i4(col0 + bt), np.int64(cuda.blockIdx.y) * rows_of_result
        line(0, acc, row, column, rows_of_result, outputs, before, y)
        line(1, acc, row, column, rows_of_result, outputs, before, y)
        line(2, acc, row, column, rows_of_result, outputs, before, y)
        line(3, acc, row, column, rows_of_result, outputs, before, y)
        if tm == 8:
            line(4, acc, row, column, rows_of_result, outputs, before, y)
            line(5, acc, row, column, rows_of_result, outputs, before, y)
            line(6, acc, row, column, rows_of_result, outputs, before, y)
            line(7, acc, row, column, rows_of_result, outputs, before, y)

    made = Kernel(named(run, f"weight_gradient_{tile}_{'gather' if gathers else 'matrix'}_{wide}_{wide_out}"))
    made.cuda(run, threads=threads, blocks=lambda *args: args[-2], resident=tile.resident if wide == 4 else tile.resident // 2)
    return made


@kernel
def add_parts(parts, y):
    """y = sum of parts [parts, elements of y], all with one axis, in order and in float64."""
    for i in prange(y.size):
        total = 0.0
        for p in range(i, parts.size, y.size):
            total += parts[p]
        y[i] = total
