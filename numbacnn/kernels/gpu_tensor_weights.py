"""A convolution's gradient by its kernel and bias on tensor cores, as one matrix product.

Rows of the product are taps and input channels, in this order, columns output channels, and the sum runs over all output pixels. Both
factors lie in shared memory with a row for each pixel, as they lie in memory. The sum is cut into parts, the third axis of the launch's
grid; `add_parts` adds them up in order, so that the result is the same bits from run to run.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, kernel, named, prange
from .gpu_tensor import COPIES, DEPTH, LEAST, PITCH, ROUNDINGS, STAGES, WIDE, Tile, column, spread
from .ptx import cp_commit, cp_wait, divide, load1, load4, store1, store4

F4, U4 = np.float32, np.uint32
TAP = 3  # numbers that describe one (kernels/convolution.py, forward_taps)


@factory
def weight_gradient(precision: str, tile: Tile, unit: int) -> Kernel:
    """The kernel for a precision ("tf32", "bf16") and a tile; unit: 4 where the channels of x and dy come in fours that lie at multiples of 16
    bytes, else 1.

    x, dy (all of the images), taps (forward_taps', int32), dkernels [parts, taps, input channels, output channels], dbiases [parts, output
    channels]: one axis each. image: (rows, columns, channels) of x, result: of dy, each: pieces of DEPTH pixels in a part.
    """
    rows, columns, down, across = tile
    high, threads = tile.high, tile.threads
    pitch_a, pitch_b = rows + 8, columns + 4  # in banks of 4 bytes: neither 4 rows of 8 numbers nor 4 of 2 x 4 meet
    stage, behind = (pitch_a + pitch_b) * DEPTH, pitch_a * DEPTH
    ring = STAGES * stage
    early, late = STAGES - 1, STAGES - 2
    beside_a, beside_b = rows // unit, columns // unit  # threads beside each other along channels
    step_a, step_b = threads // beside_a, threads // beside_b  # pixels that they copy at once
    own_a, own_b = DEPTH // step_a, DEPTH // step_b
    pairs = high // 2
    wide_rows = rows // down
    copy = COPIES[unit]
    left, right, _, multiply, rounded = ROUNDINGS[precision]

    @device
    def finish(memory, at, row, places, n, lane, to, channels, dkernels):
        """16 rows of 32 columns go from shared memory at `at` to memory: their matrix' rows are row + 0, 4, …, 28 and row + 1, 5, …, 29."""
        if unit == 4:
            n += (lane & 7) << 2
            for r in range(lane >> 3, 16, 4):
                place = row + ((r & 7) << 2) + (r >> 3)
                if place < places and n < channels:
                    v = load4(memory, at + r * PITCH + ((lane & 7) << 2))
                    store4(dkernels, to + place * channels + n, v[0], v[1], v[2], v[3])
        else:
            n += lane
            for r in range(16):
                place = row + ((r & 7) << 2) + (r >> 3)
                if place < places and n < channels:
                    store1(dkernels, to + place * channels + n, load1(memory, at + r * PITCH + lane))

    def run(x, dy, taps, batch, image, result, strides, each, parts, dkernels, dbiases):
        height, width, depth = image
        below, beside, channels = result
        memory = cuda.shared.array(0, F4, alignment=16)
        thread = cuda.threadIdx.x
        lane, warp = thread & 31, thread >> 5
        g, t = lane >> 2, lane & 3
        row0, col0, part = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns, cuda.blockIdx.z
        places, pixels = (taps.size // TAP) * depth, batch * below * beside
        sums, a = cuda.local.array((high, 4, 4), F4), cuda.local.array((high, 8), U4)
        total = cuda.local.array(4, F4)
        for j in range(4):
            total[j] = F4(0)
        for i in range(high):
            for j in range(4):
                for k in range(4):
                    sums[i, j, k] = F4(0)
        sums_bias = cuda.blockIdx.y == 0 and warp // across == 0

        # what this thread copies of x: one unit of a row of the product, and every step_a-th pixel of the sum
        mine, line = thread % beside_a * unit, thread // beside_a
        tap, c = divide(row0 + mine, depth)
        u, v = 0, 0
        has_row = row0 + mine < places
        if has_row:
            u, v = load1(taps, TAP * tap), load1(taps, TAP * tap + 1)
        begin = part * each * DEPTH
        end = min(begin + each * DEPTH, pixels)
        pixel = begin + line
        rest, n = divide(pixel, below * beside)[1], divide(pixel, below * beside)[0]
        i0, j0 = divide(rest, beside)
        move_n, rest = divide(step_a, below * beside)
        move_i, move_j = divide(rest, beside)
        # and of dy
        other, across_line = thread % beside_b * unit, thread // beside_b
        has_column = col0 + other < channels

        steps = (end - begin + DEPTH - 1) // DEPTH
        into, start = 0, 0
        for count in range(early + steps):
            if count >= early:
                cp_wait(late)
                cuda.syncthreads()
            if count < steps:
                for i in range(own_a):
                    r, s = i0 * strides[0] + u, j0 * strides[1] + v
                    inside = has_row and pixel < end and r >= 0 and r < height and s >= 0 and s < width
                    copy(memory, into + (line + step_a * i) * pitch_a + mine, x, ((n * height + r) * width + s) * depth + c, inside)
                    pixel += step_a
                    j0 += move_j
                    i0 += move_i
                    n += move_n
                    if j0 >= beside:
                        j0, i0 = j0 - beside, i0 + 1
                    if i0 >= below:
                        i0, n = i0 - below, n + 1
                for i in range(own_b):
                    at = across_line + step_b * i
                    p = begin + count * DEPTH + at
                    copy(memory, into + behind + at * pitch_b + other, dy, p * channels + col0 + other, has_column and p < end)
                into += stage
                if into == ring:
                    into = 0
            cp_commit()
            if count >= early:
                at = start + t * pitch_a + warp // across * wide_rows + 4 * g
                for i in range(pairs):  # two mma results a time
                    p, q = load4(memory, at + 32 * i), load4(memory, at + 4 * pitch_a + 32 * i)
                    r, s = load4(memory, at + 8 * pitch_a + 32 * i), load4(memory, at + 12 * pitch_a + 32 * i)
                    left(a, 2 * i, (p[0], q[0], r[0], s[0]), (p[1], q[1], r[1], s[1]))
                    left(a, 2 * i + 1, (p[2], q[2], r[2], s[2]), (p[3], q[3], r[3], s[3]))
                at = start + behind + t * pitch_b + warp % across * WIDE + column(lane)
                p, q = load4(memory, at), load4(memory, at + 4 * pitch_b)
                r, s = load4(memory, at + 8 * pitch_b), load4(memory, at + 12 * pitch_b)
                b = right((p[0], q[0], r[0], s[0]))
                for i in range(high):
                    multiply(sums, a, i, 0, b)
                b = right((p[1], q[1], r[1], s[1]))
                for i in range(high):
                    multiply(sums, a, i, 1, b)
                b = right((p[2], q[2], r[2], s[2]))
                for i in range(high):
                    multiply(sums, a, i, 2, b)
                b = right((p[3], q[3], r[3], s[3]))
                for i in range(high):
                    multiply(sums, a, i, 3, b)
                if sums_bias:
                    total[0] += (rounded(p[0]) + rounded(q[0])) + (rounded(r[0]) + rounded(s[0]))
                    total[1] += (rounded(p[1]) + rounded(q[1])) + (rounded(r[1]) + rounded(s[1]))
                    total[2] += (rounded(p[2]) + rounded(q[2])) + (rounded(r[2]) + rounded(s[2]))
                    total[3] += (rounded(p[3]) + rounded(q[3])) + (rounded(r[3]) + rounded(s[3]))
                start += stage
                if start == ring:
                    start = 0
        cp_wait(0)
        cuda.syncthreads()
        to, n = part * places * channels, col0 + warp % across * WIDE
        at = warp * 16 * PITCH
        row = row0 + warp // across * wide_rows
        # written out: in a loop that LLVM keeps, the sums would have to lie in memory
        spread(memory, at, sums, 0, lane)
        cuda.syncwarp()
        finish(memory, at, row, places, n, lane, to, channels, dkernels)
        cuda.syncwarp()
        spread(memory, at, sums, 1, lane)
        cuda.syncwarp()
        finish(memory, at, row + 2, places, n, lane, to, channels, dkernels)
        if high > 2:
            cuda.syncwarp()
            spread(memory, at, sums, 2, lane)
            cuda.syncwarp()
            finish(memory, at, row + 32, places, n, lane, to, channels, dkernels)
            cuda.syncwarp()
            spread(memory, at, sums, 3, lane)
            cuda.syncwarp()
            finish(memory, at, row + 34, places, n, lane, to, channels, dkernels)
        if sums_bias:
            for j in range(4):
                total[j] += cuda.shfl_xor_sync(0xFFFFFFFF, total[j], 1)
                total[j] += cuda.shfl_xor_sync(0xFFFFFFFF, total[j], 2)
                n = col0 + warp % across * WIDE + column(lane) + j
                if t == 0 and n < channels:
                    store1(dbiases, part * channels + n, total[j])

    def blocks(x, dy, taps, batch, image, result, strides, each, parts, *_):
        return *tile.blocks(taps.size // TAP * image[2], result[2]), parts

    made = Kernel(named(run, f"tensor_weight_gradient_{precision}_{tile}_{unit}"))
    made.cuda(run, threads=threads, blocks=blocks, shared=lambda *_: 4 * ring, least=LEAST)
    return made


@kernel
def add_parts(parts, total):
    """total = the sum of parts [count * total.size], in order; both have one axis."""
    for i in prange(total.size):
        value = parts[i]
        for j in range(i + total.size, parts.size, total.size):
            value += parts[j]
        total[i] = value
