"""A convolution on tensor cores as one matrix product, without its matrix in memory: forward, and the gradient by the input.

Rows of the product are output pixels, columns output channels, and the sum runs over taps and input channels, in this order and one after
the other: a unit of 4 (or 1) channels is copied at once, from where the tap falls in the image or as zeros.

The gradient by the input of a strided convolution falls apart into phases (kernels/convolution.py), the third axis of the launch's grid.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, kernel, named, prange
from .finish import Function, label
from .gpu_finish import ending
from .gpu_tensor import COPIES, DEPTH, LEAST, ROUNDINGS, STAGES, Tile, column, spread
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


@factory
def product(precision: str, tile: Tile, unit: int, function: Function | None = None) -> Kernel:
    """The kernel for a precision ("tf32", "bf16") and a tile; unit: 4 where channels come in fours that lie at multiples of 16 bytes, else 1.

    x (all of the source), packed (weights [tap, target channels, source channels], rounded), bias, scale, shift [target channels], residual
    like y or empty, taps, phases (forward_taps' or data_taps', int32): one axis each. most: pixels of the largest phase. source, target: (rows,
    columns, channels). fours: whether the target's channels come in fours, at multiples of 16 bytes in y and residual.
    y = clamp((product + bias) * scale + shift + residual), or function in the clamp's place (kernels/gpu_finish.py).
    """
    rows, columns, down, across = tile
    high, broad, pitch, threads = tile.high, tile.broad, tile.pitch, tile.threads
    side = DEPTH // unit  # threads beside each other along the sum
    bits_of_side = side.bit_length() - 1
    step = threads // side  # rows that they copy at once
    own_rows, own_columns = rows // step, columns // step
    even = step % 32 == 0
    stage, behind = (rows + columns) * DEPTH, rows * DEPTH
    ring, early, late = STAGES * stage, STAGES - 1, STAGES - 2
    wide, high_rows = 8 * broad, 16 * high
    own = down * across * 16 * pitch  # behind the warps' results: which pixels the rows are
    beside = broad * 2  # lanes for a row on its way to memory
    bits_of_beside = beside.bit_length() - 1
    step_back = 32 // beside
    copy, end = COPIES[unit], ending(function)
    left, _, right_ready, multiply, _ = ROUNDINGS[precision]

    @device
    def finish(memory, at, row, n, lane, pixels, y, bias, scale, shift, residual, lo, hi, channels, fours):
        """16 rows of a warp go from shared memory at `at` to the pixels that are told from `row` on, channels from n on."""
        if fours:
            c = (lane & (beside - 1)) << 2
            n += c
            if n < channels:
                b = load1(bias, n), load1(bias, n + 1), load1(bias, n + 2), load1(bias, n + 3)  # weights lie anywhere
                s = load1(scale, n), load1(scale, n + 1), load1(scale, n + 2), load1(scale, n + 3)
                t = load1(shift, n), load1(shift, n + 1), load1(shift, n + 2), load1(shift, n + 3)
                for r in range(lane >> bits_of_beside, 16, step_back):
                    pixel = load1(pixels, row + r)
                    if pixel >= 0:
                        v, to = load4(memory, at + r * pitch + c), pixel * channels + n
                        v0, v1, v2, v3 = (v[0] + b[0]) * s[0] + t[0], (v[1] + b[1]) * s[1] + t[1], (v[2] + b[2]) * s[2] + t[2], (v[3] + b[3]) * s[3] + t[3]
                        if residual.size > 0:
                            e = load4(residual, to)
                            v0, v1, v2, v3 = v0 + e[0], v1 + e[1], v2 + e[2], v3 + e[3]
                        store4(y, to, end(v0, lo, hi, n), end(v1, lo, hi, n + 1), end(v2, lo, hi, n + 2), end(v3, lo, hi, n + 3))
        else:
            for c in range(lane, wide, 32):
                if n + c < channels:
                    b, s, t = load1(bias, n + c), load1(scale, n + c), load1(shift, n + c)
                    for r in range(16):
                        pixel = load1(pixels, row + r)
                        if pixel >= 0:
                            v, to = (load1(memory, at + r * pitch + c) + b) * s + t, pixel * channels + n + c
                            if residual.size > 0:
                                v += load1(residual, to)
                            store1(y, to, end(v, lo, hi, n + c))

    @device
    def gather(memory, at, sums, i, lane):
        """The warp's results in row i of its mma's, in shared memory."""
        cuda.syncwarp()
        spread(memory, at, pitch, sums, i, 0, lane)
        if broad > 4:
            spread(memory, at + 32, pitch, sums, i, 4, lane)
        cuda.syncwarp()

    def run(x, packed, bias, scale, shift, residual, taps, phases, batch, most, source, target, fours, lo, hi, y):
        height, width, depth = I4(source[0]), I4(source[1]), I4(source[2])
        out_height, out_width, channels = I4(target[0]), I4(target[1]), I4(target[2])
        phase = cuda.blockIdx.z * PHASE
        first, second, tap, last = load1(phases, phase), load1(phases, phase + 1), I4(load1(phases, phase + 2)), I4(load1(phases, phase + 3))
        move, aside, leap, skip = load1(phases, phase + 4), load1(phases, phase + 5), load1(phases, phase + 6), load1(phases, phase + 7)
        row0, col0 = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns
        if place_of(row0, batch, out_height, out_width, first, second, leap, skip)[0] < 0:
            return
        memory = cuda.shared.array(0, F4, alignment=16)
        pixels = cuda.shared.array(0, I4, alignment=16)  # the same memory, when the factors are done with
        thread = cuda.threadIdx.x
        lane, warp = thread & 31, thread >> 5
        sums, a = cuda.local.array((high, broad, 4), F4), cuda.local.array((high, 8), U4)
        for i in range(high):
            for j in range(broad):
                for k in range(4):
                    sums[i, j, k] = F4(0)

        # What this thread copies: one unit of the sum, some rows, some columns. Counted in 32 bits, which takes half the instructions.
        mine, line = (thread & (side - 1)) * unit, thread >> bits_of_side
        top, start, base = cuda.local.array(own_rows, I4), cuda.local.array(own_rows, I4), cuda.local.array(own_rows, I4)
        for i in range(own_rows):
            image, r, c = place_of(row0 + line + step * i, batch, out_height, out_width, first, second, leap, skip)
            top[i], start[i] = I4(r * move if image >= 0 else OUTSIDE), I4(c * aside)
            base[i] = I4(((image * height + r * move) * width + c * aside) * depth if image >= 0 else 0)
        steps = ((last - tap) * depth + DEPTH - 1) // DEPTH
        c = I4(mine)
        while c >= depth and tap < last:
            c, tap = I4(c - depth), I4(tap + 1)
        u, v, w = I4(0), I4(0), I4(0)
        if tap < last:
            u, v, w = I4(load1(taps, TAP * tap)), I4(load1(taps, TAP * tap + 1)), I4(load1(taps, TAP * tap + 2))
        turned_line, room = I4(line ^ ((line >> 4) & 1)), I4(channels - col0)
        place, into, out = I4(line * DEPTH + mine), I4(0), I4(0)
        for count in range(early + steps):
            if count >= early:
                cp_wait(late)
                cuda.syncthreads()
            if count < steps:
                there = tap < last
                offset, at = I4((u * width + v) * depth + c), I4(into + place)
                for i in range(own_rows):
                    r, s = I4(top[i] + u), I4(start[i] + v)
                    inside = there and U4(r) < U4(height) and U4(s) < U4(width)
                    copy(memory, I4(at + step * DEPTH * i), x, I4(base[i] + offset), inside)
                # every other 16 columns of weights stand with their neighbour's place, so that the two that a lane's g takes lie in other banks
                offset, at = I4((w * channels + col0 + line) * depth + c), I4(into + behind + mine)
                for i in range(own_columns):
                    n = I4(line + step * i)
                    turned = step * i + turned_line if even else n ^ ((n >> 4) & 1)
                    copy(memory, I4(at + turned * DEPTH), packed, I4(offset + step * i * depth), there and n < room)
                into = I4(into + stage)
                if into == ring:
                    into = I4(0)
                c = I4(c + DEPTH)
                if c >= depth and there:
                    while c >= depth and tap < last:
                        c, tap = I4(c - depth), I4(tap + 1)
                    if tap < last:
                        u, v, w = I4(load1(taps, TAP * tap)), I4(load1(taps, TAP * tap + 1)), I4(load1(taps, TAP * tap + 2))
            cp_commit()
            if count >= early:
                at = I4(out + (warp // across * high_rows + (lane >> 2)) * DEPTH + ((lane & 3) << 2))
                for i in range(high):
                    left(a, i, load4(memory, at + 16 * DEPTH * i), load4(memory, at + 16 * DEPTH * i + 8 * DEPTH))
                n = warp % across * wide + column(lane)
                turn = (n >> 4) & 1
                at = I4(out + behind + (n + turn) * DEPTH + ((lane & 3) << 2))  # even columns; odd ones stand one further, or one before
                odd = I4(at + (1 - 2 * turn) * DEPTH)
                for j in range(0, broad, 2):
                    b = right_ready(load4(memory, at + ((j & 3) + ((j >> 2) << 5)) * DEPTH))
                    for i in range(high):
                        multiply(sums, a, i, j, b)
                    b = right_ready(load4(memory, odd + ((j & 3) + ((j >> 2) << 5)) * DEPTH))
                    for i in range(high):
                        multiply(sums, a, i, j + 1, b)
                out = I4(out + stage)
                if out == ring:
                    out = I4(0)
        cp_wait(0)
        cuda.syncthreads()
        for i in range(thread, rows, threads):
            image, r, c = place_of(row0 + i, batch, out_height, out_width, first, second, leap, skip)
            pixels[own + i] = (image * out_height + first + r * leap) * out_width + second + c * skip if image >= 0 else -1
        cuda.syncthreads()
        row, col, at = own + warp // across * high_rows, col0 + warp % across * wide, warp * 16 * pitch
        # written out: in a loop that LLVM keeps, the sums would have to lie in memory
        gather(memory, at, sums, 0, lane)
        finish(memory, at, row, col, lane, pixels, y, bias, scale, shift, residual, lo, hi, channels, fours)
        gather(memory, at, sums, 1, lane)
        finish(memory, at, row + 16, col, lane, pixels, y, bias, scale, shift, residual, lo, hi, channels, fours)
        if high > 2:
            gather(memory, at, sums, 2, lane)
            finish(memory, at, row + 32, col, lane, pixels, y, bias, scale, shift, residual, lo, hi, channels, fours)
            gather(memory, at, sums, 3, lane)
            finish(memory, at, row + 48, col, lane, pixels, y, bias, scale, shift, residual, lo, hi, channels, fours)

    def blocks(x, packed, bias, scale, shift, residual, taps, phases, batch, most, source, target, *_):
        return *tile.blocks(most, target[2]), phases.size // PHASE

    made = Kernel(named(run, f"tensor_product_{precision}_{tile}_{unit}{label(function)}"))
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
