"""A convolution's gradient by its kernel and bias on tensor cores, as one matrix product.

Rows of the product are taps and input channels, in this order, columns output channels, and the sum runs over all output pixels. Both
factors lie in shared memory with a row for each pixel, as they lie in memory. The sum is cut into parts, the third axis of the launch's
grid; `add_parts` adds them up in order, so that the result is the same bits from run to run.
"""

import numpy as np

from ..jit import Kernel, cuda, device, factory, kernel, named, prange
from .gpu_tensor import COPIES, DEPTH, LEAST, ROUNDINGS, STAGES, Tile, column, spread
from .ptx import cp_commit, cp_wait, divide, load1, load4, store1, store4

F4, I4, U4 = np.float32, np.int32, np.uint32
TAP = 3  # numbers that describe one (kernels/convolution.py, forward_taps)


@factory
def weight_gradient(precision: str, tile: Tile, unit: int) -> Kernel:
    """The kernel for a precision ("tf32", "bf16") and a tile; unit: 4 where the channels of x and dy come in fours that lie at multiples of 16
    bytes, else 1.

    x, dy (all of the images), taps (forward_taps', int32), dkernels [parts, taps, input channels, output channels], dbiases [parts, output
    channels]: one axis each. image: (rows, columns, channels) of x, result: of dy, each: pieces of DEPTH pixels in a part.
    """
    rows, columns, _, across = tile
    high, broad, pitch, threads = tile.high, tile.broad, tile.pitch, tile.threads
    pitch_a, pitch_b = rows + 8, columns + 4  # in banks of 4 bytes: neither 4 rows of 8 numbers nor 4 of 2 x 4 meet
    stage, behind = (pitch_a + pitch_b) * DEPTH, pitch_a * DEPTH
    ring, early, late = STAGES * stage, STAGES - 1, STAGES - 2
    beside_a, beside_b = rows // unit, columns // unit  # threads beside each other along channels
    step_a, step_b = max(1, threads // beside_a), max(1, threads // beside_b)  # pixels that they copy at once
    own_a, own_b = DEPTH // step_a, DEPTH // step_b
    pairs, groups, wide, high_rows = high // 2, broad // 4, 8 * broad, 16 * high
    beside = broad * 2  # lanes for a row on its way to memory
    bits_of_beside = beside.bit_length() - 1
    step_back = 32 // beside
    copy = COPIES[unit]
    left, right, _, multiply, rounded = ROUNDINGS[precision]

    @device
    def finish(memory, at, row, places, n, lane, to, channels, dkernels):
        """16 rows of a warp go from shared memory at `at` to memory: their matrix' rows are row + 0, 4, …, 28 and row + 1, 5, …, 29."""
        if unit == 4:
            c = (lane & (beside - 1)) << 2
            for r in range(lane >> bits_of_beside, 16, step_back):
                place = row + ((r & 7) << 2) + (r >> 3)
                if place < places and n + c < channels:
                    v = load4(memory, at + r * pitch + c)
                    store4(dkernels, to + place * channels + n + c, v[0], v[1], v[2], v[3])
        else:
            for c in range(lane, wide, 32):
                for r in range(16):
                    place = row + ((r & 7) << 2) + (r >> 3)
                    if place < places and n + c < channels:
                        store1(dkernels, to + place * channels + n + c, load1(memory, at + r * pitch + c))

    @device
    def gather(memory, at, sums, i, lane):
        """The warp's results in row i of its mma's, in shared memory."""
        cuda.syncwarp()
        spread(memory, at, pitch, sums, i, 0, lane)
        if broad > 4:
            spread(memory, at + 32, pitch, sums, i, 4, lane)
        cuda.syncwarp()

    @device
    def add_four(total, k, p, q, r, s):
        total[k] += (rounded(p[0]) + rounded(q[0])) + (rounded(r[0]) + rounded(s[0]))
        total[k + 1] += (rounded(p[1]) + rounded(q[1])) + (rounded(r[1]) + rounded(s[1]))
        total[k + 2] += (rounded(p[2]) + rounded(q[2])) + (rounded(r[2]) + rounded(s[2]))
        total[k + 3] += (rounded(p[3]) + rounded(q[3])) + (rounded(r[3]) + rounded(s[3]))

    def run(x, dy, taps, batch, image, result, strides, each, parts, dkernels, dbiases):
        height, width, depth = I4(image[0]), I4(image[1]), I4(image[2])
        below, across_image, channels = I4(result[0]), I4(result[1]), I4(result[2])
        leap, skip = I4(strides[0]), I4(strides[1])
        memory = cuda.shared.array(0, F4, alignment=16)
        thread = cuda.threadIdx.x
        lane, warp = thread & 31, thread >> 5
        g, t = lane >> 2, lane & 3
        row0, col0, part = cuda.blockIdx.y * rows, cuda.blockIdx.x * columns, cuda.blockIdx.z
        places, pixels = (taps.size // TAP) * depth, batch * below * across_image
        sums, a = cuda.local.array((high, broad, 4), F4), cuda.local.array((high, 8), U4)
        total = cuda.local.array(broad, F4)
        for j in range(broad):
            total[j] = F4(0)
        for i in range(high):
            for j in range(broad):
                for k in range(4):
                    sums[i, j, k] = F4(0)
        sums_bias = cuda.blockIdx.y == 0 and warp // across == 0

        # What this thread copies of x: one unit of a row of the product, and every step_a-th pixel of the sum. In 32 bits, as in the product.
        mine, line = thread % beside_a * unit, thread // beside_a
        tap, c = divide(row0 + mine, depth)
        u, v = I4(0), I4(0)
        has_row = row0 + mine < places
        if has_row:
            u, v = I4(load1(taps, TAP * tap)), I4(load1(taps, TAP * tap + 1))
        begin = part * each * DEPTH
        end = I4(min(begin + each * DEPTH, pixels))
        pixel = I4(begin + line)
        n, rest = divide(pixel, below * across_image)
        i0, j0 = divide(rest, across_image)
        n, i0, j0 = I4(n), I4(i0 * leap + u), I4(j0 * skip + v)  # image, row and column in it; they may lie outside
        move_n, rest = divide(step_a, below * across_image)
        move_i, move_j = divide(rest, across_image)
        move_n, move_i, move_j = I4(move_n), I4(move_i * leap), I4(move_j * skip)
        most_i, most_j, back_i, back_j = I4(below * leap + u), I4(across_image * skip + v), I4(below * leap), I4(across_image * skip)
        # and of dy
        other, other_line = thread % beside_b * unit, thread // beside_b
        has_column = col0 + other < channels
        pixel_dy, offset_dy = I4(begin + other_line), I4((begin + other_line) * channels + col0 + other)

        steps = (end - begin + DEPTH - 1) // DEPTH
        place_a, place_b = I4(line * pitch_a + mine), I4(behind + other_line * pitch_b + other)
        into, out = I4(0), I4(0)
        for count in range(early + steps):
            if count >= early:
                cp_wait(late)
                cuda.syncthreads()
            if count < steps:
                for i in range(own_a):
                    inside = has_row and pixel < end and U4(i0) < U4(height) and U4(j0) < U4(width)
                    copy(memory, I4(into + place_a + step_a * pitch_a * i), x, I4(((n * height + i0) * width + j0) * depth + c), inside)
                    pixel, n, i0, j0 = I4(pixel + step_a), I4(n + move_n), I4(i0 + move_i), I4(j0 + move_j)
                    if j0 >= most_j:
                        j0, i0 = I4(j0 - back_j), I4(i0 + leap)
                    if i0 >= most_i:
                        i0, n = I4(i0 - back_i), I4(n + 1)
                for i in range(own_b):
                    there = has_column and pixel_dy < end
                    copy(memory, I4(into + place_b + step_b * pitch_b * i), dy, offset_dy, there)
                    pixel_dy, offset_dy = I4(pixel_dy + step_b), I4(offset_dy + step_b * channels)
                into = I4(into + stage)
                if into == ring:
                    into = I4(0)
            cp_commit()
            if count >= early:
                at = I4(out + t * pitch_a + warp // across * high_rows + 4 * g)
                for i in range(pairs):  # two mma results a time
                    p, q = load4(memory, at + 32 * i), load4(memory, at + 4 * pitch_a + 32 * i)
                    r, s = load4(memory, at + 8 * pitch_a + 32 * i), load4(memory, at + 12 * pitch_a + 32 * i)
                    left(a, 2 * i, (p[0], q[0], r[0], s[0]), (p[1], q[1], r[1], s[1]))
                    left(a, 2 * i + 1, (p[2], q[2], r[2], s[2]), (p[3], q[3], r[3], s[3]))
                at = I4(out + behind + t * pitch_b + warp % across * wide + column(lane))
                for k in range(groups):
                    p, q = load4(memory, at + 32 * k), load4(memory, at + 4 * pitch_b + 32 * k)
                    r, s = load4(memory, at + 8 * pitch_b + 32 * k), load4(memory, at + 12 * pitch_b + 32 * k)
                    b = right((p[0], q[0], r[0], s[0]))
                    for i in range(high):
                        multiply(sums, a, i, 4 * k, b)
                    b = right((p[1], q[1], r[1], s[1]))
                    for i in range(high):
                        multiply(sums, a, i, 4 * k + 1, b)
                    b = right((p[2], q[2], r[2], s[2]))
                    for i in range(high):
                        multiply(sums, a, i, 4 * k + 2, b)
                    b = right((p[3], q[3], r[3], s[3]))
                    for i in range(high):
                        multiply(sums, a, i, 4 * k + 3, b)
                    if sums_bias:
                        add_four(total, 4 * k, p, q, r, s)
                out = I4(out + stage)
                if out == ring:
                    out = I4(0)
        cp_wait(0)
        cuda.syncthreads()
        to, col, at = part * places * channels, col0 + warp % across * wide, warp * 16 * pitch
        row = row0 + warp // across * high_rows
        # written out: in a loop that LLVM keeps, the sums would have to lie in memory
        gather(memory, at, sums, 0, lane)
        finish(memory, at, row, places, col, lane, to, channels, dkernels)
        gather(memory, at, sums, 1, lane)
        finish(memory, at, row + 2, places, col, lane, to, channels, dkernels)
        if high > 2:
            gather(memory, at, sums, 2, lane)
            finish(memory, at, row + 32, places, col, lane, to, channels, dkernels)
            gather(memory, at, sums, 3, lane)
            finish(memory, at, row + 34, places, col, lane, to, channels, dkernels)
        if sums_bias:
            for j in range(broad):
                total[j] += cuda.shfl_xor_sync(0xFFFFFFFF, total[j], 1)
                total[j] += cuda.shfl_xor_sync(0xFFFFFFFF, total[j], 2)
                n = col + ((j >> 2) << 5) + column(lane) + (j & 3)
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
