"""A convolution on tensor cores as one matrix product, without its matrix in memory: forward, and the gradient by the input.

Rows of the product are output pixels, columns output channels, and the sum runs over taps and input channels, in this order and one after
the other: a unit of 4 (or 1) channels is copied at once, from where the tap falls in the image or as zeros.

The gradient by the input of a strided convolution falls apart into phases (kernels/convolution.py), the third axis of the launch's grid.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, kernel, named, prange
from .gpu_tensor import COPIES, DEPTH, LEAST, PITCH, ROUNDINGS, STAGES, WIDE, Tile, column, spread
from .ptx import cp_commit, cp_wait, divide, load1, load4, store1, store4
from .rounding import to_bf16, to_tf32

F4, I4, U4 = np.float32, np.int32, np.uint32
OUTSIDE = -(1 << 30)  # a row that lies in no image, whatever a tap adds to it
TAP, PHASE = 3, 8  # numbers that describe one (kernels/convolution.py, forward_taps)
TURN = 32  # rows and columns that a block turns round
BESIDE = TURN + 1  # so that a column of it lies in 32 banks


@device
def place_of(row, batch, height, width, first, second, down, right):
    """(image, row, column) in an image of height x width of place number `row` of a lattice with these first places and steps;
    image < 0: there is none."""
    across, below = (width - second + right - 1) // right, (height - first + down - 1) // down
    if row >= batch * across * below:
        return -1, 0, 0
    line, j = divide(row, across)
    image, i = divide(line, below)
    return image, i, j


@device
def bound(v, lo, hi):
    """The nearest number from lo to hi; NaN passes."""
    v = lo if v < lo else v
    return hi if v > hi else v


@factory
def product(precision: str, tile: Tile, unit: int) -> Kernel:
    """The kernel for a precision ("tf32", "bf16") and a tile; unit: 4 where channels come in fours that lie at multiples of 16 bytes, else 1.

    x (all of the source), packed (weights [tap, target channels, source channels], rounded), bias, scale, shift [target channels], residual
    like y or empty, taps, phases (forward_taps' or data_taps', int32): one axis each. most: pixels of the largest phase. source, target: (rows,
    columns, channels). fours: whether the target's channels come in fours, at multiples of 16 bytes in y and residual.
    y = clamp((product + bias) * scale + shift + residual).
    """
    rows, columns, down, across = tile
    high, threads = tile.high, tile.threads
    side = DEPTH // unit  # threads beside each other along the sum
    bits_of_side = side.bit_length() - 1
    step = threads // side  # rows that they copy at once
    own_rows, own_columns = rows // step, columns // step
    stage, behind = (rows + columns) * DEPTH, rows * DEPTH
    ring = STAGES * stage
    early = STAGES - 1
    late = STAGES - 2
    copy = COPIES[unit]
    left, _, right_ready, multiply, _ = ROUNDINGS[precision]
    wide_rows = rows // down
    own = down * across * 16 * PITCH  # behind the warps' results: which pixels the rows are

    @device
    def finish(memory, at, pixels, row, n, lane, y, bias, scale, shift, residual, lo, hi, channels, fours):
        """16 rows of 32 columns go from shared memory at `at` to the pixels that are told from `row` on, channels from n on."""
        if fours:
            n += (lane & 7) << 2
            if n < channels:
                b = load1(bias, n), load1(bias, n + 1), load1(bias, n + 2), load1(bias, n + 3)  # weights lie anywhere
                s = load1(scale, n), load1(scale, n + 1), load1(scale, n + 2), load1(scale, n + 3)
                t = load1(shift, n), load1(shift, n + 1), load1(shift, n + 2), load1(shift, n + 3)
                for r in range(lane >> 3, 16, 4):
                    pixel = load1(pixels, row + r)
                    if pixel >= 0:
                        v, to = load4(memory, at + r * PITCH + ((lane & 7) << 2)), pixel * channels + n
                        v0, v1, v2, v3 = (v[0] + b[0]) * s[0] + t[0], (v[1] + b[1]) * s[1] + t[1], (v[2] + b[2]) * s[2] + t[2], (v[3] + b[3]) * s[3] + t[3]
                        if residual.size > 0:
                            e = load4(residual, to)
                            v0, v1, v2, v3 = v0 + e[0], v1 + e[1], v2 + e[2], v3 + e[3]
                        store4(y, to, bound(v0, lo, hi), bound(v1, lo, hi), bound(v2, lo, hi), bound(v3, lo, hi))
        elif n + lane < channels:
            n += lane
            b, s, t = load1(bias, n), load1(scale, n), load1(shift, n)
            for r in range(16):
                pixel = load1(pixels, row + r)
                if pixel >= 0:
                    v, to = (load1(memory, at + r * PITCH + lane) + b) * s + t, pixel * channels + n
                    if residual.size > 0:
                        v += load1(residual, to)
                    store1(y, to, bound(v, lo, hi))

    def run(x, packed, bias, scale, shift, residual, taps, phases, batch, most, source, target, fours, lo, hi, y):
        height, width, depth = source
        out_height, out_width, channels = target
        phase = cuda.blockIdx.z * PHASE
        first, second, tap, last = load1(phases, phase), load1(phases, phase + 1), load1(phases, phase + 2), load1(phases, phase + 3)
        move, aside, leap, skip = load1(phases, phase + 4), load1(phases, phase + 5), load1(phases, phase + 6), load1(phases, phase + 7)
        row0, col0 = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns
        if place_of(row0, batch, out_height, out_width, first, second, leap, skip)[0] < 0:
            return
        memory = cuda.shared.array(0, F4, alignment=16)
        pixels = cuda.shared.array(0, I4, alignment=16)  # the same memory, when the factors are done with
        thread = cuda.threadIdx.x
        lane, warp = thread & 31, thread >> 5
        sums, a = cuda.local.array((high, 4, 4), F4), cuda.local.array((high, 8), U4)
        for i in range(high):
            for j in range(4):
                for k in range(4):
                    sums[i, j, k] = F4(0)

        # what this thread copies: one unit of the sum, some rows, some columns
        mine, line = thread & (side - 1), thread >> bits_of_side
        top, side0, base = cuda.local.array(own_rows, I4), cuda.local.array(own_rows, I4), cuda.local.array(own_rows, np.int64)
        for i in range(own_rows):
            image, r, c = place_of(row0 + line + step * i, batch, out_height, out_width, first, second, leap, skip)
            top[i], side0[i] = (r * move if image >= 0 else OUTSIDE), c * aside
            base[i] = ((image * height + r * move) * width + c * aside) * depth if image >= 0 else 0
        steps = ((last - tap) * depth + DEPTH - 1) // DEPTH
        c = mine * unit
        while c >= depth and tap < last:
            c, tap = c - depth, tap + 1

        into, start = 0, 0
        for count in range(early + steps):
            if count >= early:
                cp_wait(late)
                cuda.syncthreads()
            if count < steps:
                there = tap < last
                u, v, w = 0, 0, 0
                if there:
                    u, v, w = load1(taps, TAP * tap), load1(taps, TAP * tap + 1), load1(taps, TAP * tap + 2)
                at, offset = into + line * DEPTH + mine * unit, (u * width + v) * depth + c
                for i in range(own_rows):
                    r, s = top[i] + u, side0[i] + v
                    inside = there and r >= 0 and r < height and s >= 0 and s < width
                    copy(memory, at + step * DEPTH * i, x, base[i] + offset, inside)
                for i in range(own_columns):
                    n = line + step * i
                    place = into + behind + (n ^ ((n >> 4) & 1)) * DEPTH + mine * unit
                    copy(memory, place, packed, (w * channels + col0 + n) * depth + c, there and col0 + n < channels)
                into += stage
                if into == ring:
                    into = 0
                c += DEPTH
                while c >= depth and tap < last:
                    c, tap = c - depth, tap + 1
            cp_commit()
            if count >= early:
                at = start + ((warp // across) * wide_rows + (lane >> 2)) * DEPTH + ((lane & 3) << 2)
                for i in range(high):
                    left(a, i, load4(memory, at + 16 * DEPTH * i), load4(memory, at + 16 * DEPTH * i + 8 * DEPTH))
                n = (warp % across) * WIDE + column(lane)
                turn = (n >> 4) & 1
                at = start + behind + ((lane & 3) << 2)
                for j in range(4):
                    b = right_ready(load4(memory, at + ((n + j) ^ turn) * DEPTH))
                    for i in range(high):
                        multiply(sums, a, i, j, b)
                start += stage
                if start == ring:
                    start = 0
        cp_wait(0)
        cuda.syncthreads()
        for i in range(thread, rows, threads):
            image, r, c = place_of(row0 + i, batch, out_height, out_width, first, second, leap, skip)
            pixels[own + i] = (image * out_height + first + r * leap) * out_width + second + c * skip if image >= 0 else -1
        cuda.syncthreads()
        row, col, at = warp // across * wide_rows, col0 + warp % across * WIDE, warp * 16 * PITCH
        row += own
        # written out: in a loop that LLVM keeps, the sums would have to lie in memory
        spread(memory, at, sums, 0, lane)
        cuda.syncwarp()
        finish(memory, at, pixels, row, col, lane, y, bias, scale, shift, residual, lo, hi, channels, fours)
        cuda.syncwarp()
        spread(memory, at, sums, 1, lane)
        cuda.syncwarp()
        finish(memory, at, pixels, row + 16, col, lane, y, bias, scale, shift, residual, lo, hi, channels, fours)
        if high > 2:
            cuda.syncwarp()
            spread(memory, at, sums, 2, lane)
            cuda.syncwarp()
            finish(memory, at, pixels, row + 32, col, lane, y, bias, scale, shift, residual, lo, hi, channels, fours)
            cuda.syncwarp()
            spread(memory, at, sums, 3, lane)
            cuda.syncwarp()
            finish(memory, at, pixels, row + 48, col, lane, y, bias, scale, shift, residual, lo, hi, channels, fours)

    def blocks(x, packed, bias, scale, shift, residual, taps, phases, batch, most, source, target, *_):
        return *tile.blocks(most, target[2]), phases.size // PHASE

    made = Kernel(named(run, f"tensor_product_{precision}_{tile}_{unit}"))
    made.cuda(run, threads=threads, blocks=blocks, shared=lambda *_: 4 * ring, least=LEAST)
    return made


@kernel
def pack(weights, bf16, packed):
    """packed [tap, out, in] = weights [tap, in, out], rounded to bfloat16 (bf16 1) or TensorFloat-32 (0)."""
    taps, outputs, inputs = packed.shape
    source, target = weights.view(U4), packed.view(U4)
    for job in prange(taps * outputs):
        t, n = job // outputs, job % outputs
        for c in range(inputs):
            value = source[t, c, n]
            target[t, n, c] = to_bf16(value) if bf16 else to_tf32(value)


@pack.cuda(
    threads=(TURN, 8),
    blocks=lambda weights, bf16, packed: (-(-packed.shape[1] // TURN), -(-packed.shape[2] // TURN), packed.shape[0]),
)
def turn_round(weights, bf16, packed):
    """A block turns a square round in shared memory, so that neighbouring threads read and write neighbours."""
    square = cuda.shared.array((TURN, BESIDE), U4)
    _, outputs, inputs = packed.shape
    source, target = weights.view(U4), packed.view(U4)
    t, n0, c0 = cuda.blockIdx.z, cuda.blockIdx.x * TURN, cuda.blockIdx.y * TURN
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    for i in range(y, TURN, 8):
        if c0 + i < inputs and n0 + x < outputs:
            square[i, x] = source[t, c0 + i, n0 + x]
    cuda.syncthreads()
    for i in range(y, TURN, 8):
        if n0 + i < outputs and c0 + x < inputs:
            value = square[x, i]
            target[t, n0 + i, c0 + x] = to_bf16(value) if bf16 else to_tf32(value)
