"""A convolution as one matrix product on a GPU, without its matrix in memory: forward, and the gradient by the input.

Rows of the result are output pixels, columns are output channels, and the sum runs over taps and input channels. A table says for each
place k of the sum, or for each four of them that lie side by side, where the factors lie:

    table [K, 4], int32: rows and columns from a pixel's origin in the source, elements from there in the source, elements in the kernel

and what lies outside of the source is zero. The gradient by the input falls apart into phases (kernels/convolution.py), each with its own
taps; all are made by one launch:

    phases [P, 10], int32: first row and column in the target, rows and columns of the lattice there, first place of the table, K,
                           steps of a place of the lattice in the source, and in the target (rows, columns)

Where few blocks would be busy the sum is cut into parts, which `finish_parts` adds up. A launch's grid has tiles, parts and phases.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, named, prange
from .finish import Function, label
from .gpu_finish import ending, finishing
from .gpu_tile import DEPTH, PAD, Tile, corner, loader, multiplier, row_reader, row_writer, storer
from .ptx import divide, load4, store1

i4, u4 = np.int32, np.uint32
OUTSIDE = -(1 << 30)  # a row that lies in no image, whatever a tap adds to it
PHASE = 10  # numbers of a phase


@factory
def product(tile: Tile, gathers: bool, turned: bool, scattered: bool, wide: int, wide_out: int, partial: bool, function: Function | None) -> Kernel:
    """The kernel for a tile.

    gathers: by the table; else x is a matrix [rows, K] (a 1x1 convolution)
    turned: the kernel's innermost axis belongs to the sum (the gradient by the input), else to the result
    scattered: a phase's pixels don't follow each other in the target
    wide: elements that neighbour each other along the sum and are loaded at once, 4 or 1; wide_out: the same along the result's channels
    partial: y [parts, …] gets parts of the sum, without bias, scale and so on
    function: what stands in the place of the clamp (kernels/gpu_finish.py)
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
    shift = wide // 2  # 2 or 0: places of the sum that a place of the table stands for
    results, many = tm * tn, bm if scattered else 1
    first, multiply = corner(tile), multiplier(tile)
    load_x, load_kernel, store = loader(wide), loader(unit_b), storer(wide_out)
    read, write, end = row_reader(wide_out), row_writer(wide_out), ending(function)

    @device
    def locate(place, phases, at):
        """Image, row and column in the source of the origin of an output pixel."""
        image, rest = divide(place, phases[at + 2] * phases[at + 3])
        row, column = divide(rest, phases[at + 3])
        return image, row * phases[at + 6], column * phases[at + 7]

    @device
    def target(place, phases, at, height, width):
        """The number of the pixel that a place of a lattice is."""
        image, rest = divide(place, phases[at + 2] * phases[at + 3])
        row, column = divide(rest, phases[at + 3])
        row, column = phases[at] + row * phases[at + 8], phases[at + 1] + column * phases[at + 9]
        return (image * height + row) * width + column

    @device
    def fetch(x, kernel, table, k, start, last, rows, columns, origins, height, width, depth, col0, outputs, thread, a, b):
        """The thread's elements of the next DEPTH terms, from place k on; the table's first is `start`."""
        zero = x.dtype.type(0)
        mine = i4(k + start)
        down, right, there, weight = i4(0), i4(0), mine, mine
        if gathers:
            down, right, there, weight = load4(table, i4(mine >> shift << 2))
        here = mine < last
        if gathers:
            here = down > OUTSIDE
        for i in range(loads_a):
            for j in range(wide):
                a[i * wide + j] = zero
            if gathers:
                r, c = i4(rows[i] + down), i4(columns[i] + right)
                if r >= 0 and r < height and c >= 0 and c < width:
                    load_x(x, i4(origins[i] + there), a, i * wide)
            elif here and origins[i] >= 0:
                load_x(x, i4(origins[i] + there), a, i * wide)
        for i in range(loads_b):
            for j in range(unit_b):
                b[i * unit_b + j] = zero
            if turned:
                n = i4(col0 + thread // across + i * step_b)
                if n < outputs and here:
                    load_kernel(kernel, i4(weight + n * depth), b, i * wide)
            else:
                n, at = i4(col0 + thread % beside * wide_out), i4(k + thread // beside + i * step_b)
                if n < outputs and at < last:
                    load_kernel(kernel, i4(at * outputs + n), b, i * wide_out)

    @device
    def put(sa, sb, half, thread, a, b):
        """They go into one half of shared memory."""
        at = half * size_a + thread % across * (wide * pitch_a) + thread // across
        for i in range(loads_a):
            for j in range(wide):
                store1(sa, at + j * pitch_a + i * step_a, a[i * wide + j])
        if turned:
            at = half * size_b + thread % across * (wide * pitch_b) + thread // across
            for i in range(loads_b):
                for j in range(wide):
                    store1(sb, at + j * pitch_b + i * step_b, b[i * wide + j])
        else:
            at = half * size_b + thread // beside * pitch_b + thread % beside * wide_out
            for i in range(loads_b):
                store(sb, at + i * step_b * pitch_b, b, i * wide_out)

    @device
    def piece(i, j, acc, row, column, count, places, outputs, before, factors, terms, residual, lo, hi, y):
        """Four results of a pixel go to memory."""
        place = i4(row + i // 4 * 16 + i % 4)
        if place < count and column < outputs:
            to = (before + (places[place % u4(bm)] if scattered else place)) * np.int64(outputs) + column
            of = i * tn + j
            a, b, c, d = acc[of], acc[of + 1], acc[of + 2], acc[of + 3]
            if not partial:
                a, b, c, d = a * factors[0] + terms[0], b * factors[1] + terms[1], c * factors[2] + terms[2], d * factors[3] + terms[3]
                if residual.size > 0:
                    ra, rb, rc, rd = read(residual, to, outputs - column)
                    a, b, c, d = a + ra, b + rb, c + rc, d + rd
                a, b, c, d = end(a, lo, hi, column), end(b, lo, hi, column + 1), end(c, lo, hi, column + 2), end(d, lo, hi, column + 3)
            write(y, to, outputs - column, a, b, c, d)

    @device
    def band(j, acc, row, column, count, places, outputs, before, bias, scale, shift, residual, lo, hi, y):
        """Four columns of the thread's results go to memory; written out, so that results stay in registers."""
        f, t = cuda.local.array(4, acc.dtype), cuda.local.array(4, acc.dtype)
        for i in range(4):
            f[i], t[i] = acc.dtype.type(0), acc.dtype.type(0)
            if not partial and column + i < outputs:
                f[i] = scale[column + i]
                t[i] = bias[column + i] * scale[column + i] + shift[column + i]
        piece(0, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
        piece(1, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
        piece(2, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
        piece(3, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
        if tm == 8:
            piece(4, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
            piece(5, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
            piece(6, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)
            piece(7, j, acc, row, column, count, places, outputs, before, f, t, residual, lo, hi, y)

    def run(x, kernel, table, phases, bias, scale, shift, residual, lo, hi, geometry, grid, y):
        height, width, depth, batch = i4(geometry[0]), i4(geometry[1]), i4(geometry[2]), i4(geometry[3])
        outputs, each, thread = i4(geometry[6]), i4(geometry[7]), i4(cuda.threadIdx.x)
        at = i4(cuda.blockIdx.z * PHASE)
        row0, col0 = divide(cuda.blockIdx.x, (outputs + bn - 1) // u4(bn))
        row0, col0 = i4(row0 * bm), i4(col0 * bn)
        count = i4(batch * phases[at + 2] * phases[at + 3])
        if row0 >= count:
            return
        sa, sb = cuda.shared.array(both_a, x.dtype, alignment=16), cuda.shared.array(both_b, x.dtype, alignment=16)
        acc = cuda.local.array(results, x.dtype)
        for i in range(results):
            acc[i] = x.dtype.type(0)
        rows, columns, origins = cuda.local.array(loads_a, np.int32), cuda.local.array(loads_a, np.int32), cuda.local.array(loads_a, np.int32)
        for i in range(loads_a):
            place = i4(row0 + thread // across + i * step_a)
            if gathers:
                image, row, column = locate(place, phases, at)
                rows[i], columns[i] = row if place < count else OUTSIDE, column
                origins[i] = ((image * height + row) * width + column) * depth if place < count else -1
            else:
                rows[i], columns[i], origins[i] = 0, 0, place * depth if place < count else -1
        places = cuda.shared.array(many, np.int32)
        if scattered and thread < bm:
            places[thread] = target(i4(row0 + thread), phases, at, i4(geometry[4]), i4(geometry[5]))
        a, b = cuda.local.array(own_a, x.dtype), cuda.local.array(own_b, x.dtype)
        start = i4(thread % across * wide + (phases[at + 4] * wide if turned else 0))
        begin = i4(cuda.blockIdx.y * each)
        last = i4(min(begin + each, phases[at + 5]))
        facts = cuda.shared.array(3, np.int32)  # what is not needed in the loop, whose registers are scarce
        if thread == 0:
            facts[0], facts[1], facts[2] = row0, col0, count
        down, right = first(thread)
        if begin < last:
            fetch(x, kernel, table, begin, start, last, rows, columns, origins, height, width, depth, col0, outputs, thread, a, b)
            put(sa, sb, 0, thread, a, b)
        cuda.syncthreads()
        half = i4(0)
        for k in range(i4(begin + DEPTH), last, i4(DEPTH)):
            fetch(x, kernel, table, k, start, last, rows, columns, origins, height, width, depth, col0, outputs, thread, a, b)
            multiply(sa, sb, half * size_a + down, half * size_b + right, acc)
            half = i4(1 - half)
            put(sa, sb, half, thread, a, b)
            cuda.syncthreads()
        if begin < last:
            multiply(sa, sb, half * size_a + down, half * size_b + right, acc)
        row, column, count = i4(facts[0] + down), i4(facts[1] + right), facts[2]
        before = np.int64(cuda.blockIdx.y) * (batch * geometry[4] * geometry[5]) if partial else 0
        band(0, acc, row, column, count, places, outputs, before, bias, scale, shift, residual, lo, hi, y)
        if tn == 8:
            band(4, acc, row, i4(column + 32), count, places, outputs, before, bias, scale, shift, residual, lo, hi, y)

    said = (("_gather", gathers), ("_turned", turned), ("_scattered", scattered), ("_part", partial))
    name = f"product_{tile}{''.join(word for word, true in said if true)}_{wide}_{wide_out}{label(function)}"
    made = Kernel(named(run, name))
    lean = wide == wide_out == 4 and not (scattered and partial)  # others spilled somewhere with as few registers
    made.cuda(run, threads=threads, blocks=lambda *args: args[-2], resident=tile.resident if lean else tile.resident // 2)
    return made


@factory
def finish_parts(function: Function | None) -> Kernel:
    """The kernel for y = clamp((sum of parts + bias) * scale + shift + residual), or functions in the clamp's place; parts [parts, elements of y], all
    with one axis."""
    finish = finishing(function)

    def run(parts, bias, scale, shift, residual, lo, hi, outputs, y):
        for i in prange(y.size):
            n, v = i % outputs, parts[i]
            for p in range(i + y.size, parts.size, y.size):
                v += parts[p]
            finish(v * scale[n] + (bias[n] * scale[n] + shift[n]), residual, lo, hi, n, i, y)

    return Kernel(named(run, f"finish_parts{label(function)}"))
