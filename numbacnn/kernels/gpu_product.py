"""A convolution as one matrix product on a GPU, without its matrix in memory: forward, and the gradient by the input.

Rows of the result are output pixels, columns are output channels, and the sum runs over taps and input channels. A table says for each
place k of the sum, or for each four of them that lie side by side, where the factors lie:

    table [K, 4], int32: rows and columns from a pixel's origin in the source, elements from there in the source, elements in the kernel

and what lies outside of the source is zero. The gradient by the input falls apart into phases (kernels/convolution.py), each with its own
taps; all are made by one launch:

    phases [P, 10], int32: first row and column in the target, rows and columns of the lattice there, first place of the table, K,
                           steps of a place of the lattice in the source, and in the target (rows, columns)

Where few blocks would be busy the sum is cut into parts, in the third axis of the launch's grid, and `finish_parts` adds them up.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, named, prange
from ..jit import kernel as launched
from .gpu_tile import DEPTH, PAD, Tile, corner, loader, multiplier, row_writer, storer
from .ptx import ALIGNMENT, load4

OUTSIDE = -(1 << 20)  # a row that lies in no image, whatever a tap adds to it
PHASE = 10  # numbers of a phase


@factory
def product(tile: Tile, gathers: bool, turned: bool, wide: int, wide_out: int, partial: bool) -> Kernel:
    """The kernel for a tile.

    gathers: by the table; else x is a matrix [rows, K] (a 1x1 convolution)
    turned: the kernel's innermost axis belongs to the sum (the gradient by the input), else to the result
    wide: elements that neighbour each other along the sum and are loaded at once, 4 or 1; wide_out: the same along the result's channels
    partial: y [parts, …] gets parts of the sum, without bias, scale and so on
    """
    bm, bn, tm, tn, threads = *tile, tile.threads
    pitch_a, pitch_b = bm + PAD, bn + PAD
    size_a, size_b = DEPTH * pitch_a, DEPTH * pitch_b
    both_a, both_b = 2 * size_a, 2 * size_b
    across = DEPTH // wide  # threads beside each other along the sum
    loads_a, step_a = bm * across // threads, threads // across
    own_a = loads_a * wide
    if turned:
        loads_b, step_b, unit_b = bn * across // threads, threads // across, wide
    else:
        loads_b, step_b, unit_b = DEPTH * bn // (threads * wide_out), threads * wide_out // bn, wide_out
    own_b, beside = loads_b * unit_b, bn // wide_out
    results = tm * tn
    first, multiply = corner(tile), multiplier(tile)
    load_x, load_kernel, store, write = loader(wide), loader(unit_b), storer(wide_out), row_writer(wide_out)

    @device
    def locate(place, batch, phases, at, height, width, depth):
        """Row and column in the source, and the element there, of the origin of an output pixel."""
        rows, columns = phases[at + 2], phases[at + 3]
        image, rest = place // (rows * columns), place % (rows * columns)
        row, column = rest // columns * phases[at + 6], rest % columns * phases[at + 7]
        inside = image < batch
        return row if inside else OUTSIDE, column, ((image * height + row) * width + column) * depth

    @device
    def target(place, phases, at, height, width):
        """The number of the pixel that a place of a lattice is."""
        rows, columns = phases[at + 2], phases[at + 3]
        image, rest = place // (rows * columns), place % (rows * columns)
        row, column = phases[at] + rest // columns * phases[at + 8], phases[at + 1] + rest % columns * phases[at + 9]
        return (image * height + row) * width + column

    @device
    def fetch(x, kernel, table, k, end, entry, rows, columns, bases, height, width, depth, col0, outputs, thread, a, b):
        """The thread's elements of the next DEPTH terms, from place k on."""
        zero = x.dtype.type(0)
        mine = k + thread % across * wide
        down, right, there, weight = 0, 0, mine, mine
        if gathers:
            down, right, there, weight = load4(table, (entry + mine // wide) * 4)
        for i in range(loads_a):
            for j in range(wide):
                a[i * wide + j] = zero
            if gathers:
                r, c = np.int32(rows[i] + down), np.int32(columns[i] + right)
                if r >= 0 and r < height and c >= 0 and c < width:
                    load_x(x, bases[i] + there, a, i * wide)
            elif rows[i] >= 0 and mine < end:
                load_x(x, bases[i] + there, a, i * wide)
        for i in range(loads_b):
            for j in range(unit_b):
                b[i * unit_b + j] = zero
            if turned:
                n = col0 + thread // across + i * step_b
                if n < outputs and mine < end:
                    load_kernel(kernel, weight + n * depth, b, i * wide)
            else:
                n, at = col0 + thread % beside * wide_out, k + thread // beside + i * step_b
                if n < outputs and at < end:
                    load_kernel(kernel, at * outputs + n, b, i * wide_out)

    @device
    def put(sa, sb, half, thread, a, b):
        """They go into one half of shared memory."""
        at = half * size_a + thread % across * (wide * pitch_a) + thread // across
        for i in range(loads_a):
            for j in range(wide):
                sa[at + j * pitch_a + i * step_a] = a[i * wide + j]
        if turned:
            at = half * size_b + thread % across * (wide * pitch_b) + thread // across
            for i in range(loads_b):
                for j in range(wide):
                    sb[at + j * pitch_b + i * step_b] = b[i * wide + j]
        else:
            at = half * size_b + thread // beside * pitch_b + thread % beside * wide_out
            for i in range(loads_b):
                store(sb, at + i * step_b * pitch_b, b, i * wide_out)

    def run(x, kernel, table, phases, bias, scale, shift, residual, lo, hi, geometry, grid, y):
        height, width, depth, batch, target_height, target_width, outputs, each = geometry
        thread, blocks_n = cuda.threadIdx.x, (outputs + bn - 1) // bn
        row0, col0, at = cuda.blockIdx.x // blocks_n * bm, cuda.blockIdx.x % blocks_n * bn, cuda.blockIdx.z * PHASE
        count = batch * phases[at + 2] * phases[at + 3]
        if row0 >= count:
            return
        sa, sb = cuda.shared.array(both_a, x.dtype, ALIGNMENT), cuda.shared.array(both_b, x.dtype, ALIGNMENT)
        acc = cuda.local.array(results, x.dtype)
        for i in range(results):
            acc[i] = x.dtype.type(0)
        rows, columns, bases = cuda.local.array(loads_a, np.int32), cuda.local.array(loads_a, np.int32), cuda.local.array(loads_a, np.int64)
        for i in range(loads_a):
            place = row0 + thread // across + i * step_a
            if gathers:
                rows[i], columns[i], bases[i] = locate(place, batch, phases, at, height, width, depth)
            else:
                rows[i], columns[i], bases[i] = 0 if place < count else OUTSIDE, 0, place * depth
        a, b = cuda.local.array(own_a, x.dtype), cuda.local.array(own_b, x.dtype)
        entry, begin, end = phases[at + 4], cuda.blockIdx.y * each, phases[at + 5]
        last = min(begin + each, end)
        down, right = first(thread)
        if begin < last:
            fetch(x, kernel, table, begin, end, entry, rows, columns, bases, height, width, depth, col0, outputs, thread, a, b)
            put(sa, sb, 0, thread, a, b)
        cuda.syncthreads()
        half = 0
        for k in range(begin + DEPTH, last, DEPTH):
            fetch(x, kernel, table, k, end, entry, rows, columns, bases, height, width, depth, col0, outputs, thread, a, b)
            multiply(sa, sb, half * size_a + down, half * size_b + right, acc)
            half = 1 - half
            put(sa, sb, half, thread, a, b)
            cuda.syncthreads()
        if begin < last:
            multiply(sa, sb, half * size_a + down, half * size_b + right, acc)
        everywhere = phases[at + 8] == 1 and phases[at + 9] == 1
        finish(acc, row0 + down, col0 + right, count, everywhere, phases, at, target_height, target_width, outputs, batch, bias, scale, shift, residual, lo, hi, y)

    @device
    def finish(acc, row, column, count, everywhere, phases, at, height, width, outputs, batch, bias, scale, shift, residual, lo, hi, y):
        """The thread's results go to memory."""
        factors, terms = cuda.local.array(tn, acc.dtype), cuda.local.array(tn, acc.dtype)
        if not partial:
            for j in range(tn):
                n = column + j // 4 * 32 + j % 4
                if n < outputs:
                    factors[j] = scale[n]
                    terms[j] = bias[n] * scale[n] + shift[n]
        for i in range(tm):
            place = row + i // 4 * 16 + i % 4
            if place < count:
                pixel = place if everywhere else target(place, phases, at, height, width)
                if partial:
                    pixel += cuda.blockIdx.y * (batch * height * width)
                for j in range(0, tn, 4):
                    n = column + j * 8
                    if n < outputs:
                        to = pixel * outputs + n
                        if not partial:
                            for l in range(j, j + 4):
                                v = acc[i * tn + l] * factors[l] + terms[l]
                                if residual.size > 0 and n + l - j < outputs:
                                    v += residual[to + l - j]
                                v = lo if v < lo else v  # comparisons let NaN pass
                                acc[i * tn + l] = hi if v > hi else v
                        write(y, to, outputs - n, acc, i * tn + j)

    name = f"product_{tile}_{'gather' if gathers else 'matrix'}{'_turned' if turned else ''}_{wide}_{wide_out}{'_part' if partial else ''}"
    made = Kernel(named(run, name))
    made.cuda(run, threads=threads, blocks=lambda *args: args[-2])
    return made


@launched
def finish_parts(parts, bias, scale, shift, residual, lo, hi, outputs, y):
    """y = clamp((sum of parts + bias) * scale + shift + residual); parts [parts, elements of y], all with one axis."""
    for i in prange(y.size):
        n, v = i % outputs, parts[i]
        for p in range(i + y.size, parts.size, y.size):
            v += parts[p]
        v = v * scale[n] + (bias[n] * scale[n] + shift[n])
        if residual.size > 0:
            v += residual[i]
        v = lo if v < lo else v
        y[i] = hi if v > hi else v
