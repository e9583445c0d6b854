"""Depthwise convolution on a GPU: a thread makes some neighbouring pixels of one channel, or sums up one channel's weight gradient.

Threads beside each other have neighbouring channels, so that memory is read and written in whole lines (NHWC). What a row of the kernel
needs of the image is loaded into registers once and serves all pixels of the thread. A block's ROWS rows read the same lines of the image,
which the first-level cache keeps: no shared memory is needed for that. convolutions/gpu_grouped.py notes the launches.
"""

from ..jit import Kernel, compiled, cuda, factory, named
from .finish import Function, label
from .gpu import LANES, ROWS, gpu_kernel, index
from .gpu_finish import finishing
from .ptx import divide

MOST_BLOCKS = 1024  # that a weight gradient is worth; never derived from the GPU, so that all give the same bits
SLOTS = LANES * ROWS


@compiled
def read(x, at, step, start, width, window):
    """window[k] = x[at + k * step], or 0 where start + k lies outside of 0 .. width - 1: a part of a row of one channel."""
    zero = x.dtype.type(0)
    if start >= 0 and start + window.size <= width:
        for k in range(window.size):
            window[k] = x[index(at)]
            at += step
    else:
        for k in range(window.size):
            window[k] = x[index(at)] if 0 <= start + k < width else zero
            at += step


def _blocks(x, kernel, bias, scale, shift, residual, lo, hi, image, result, low, flip, columns, y):
    return result[0] * -(-result[1] // ROWS) * -(-result[2] // columns) * -(-result[3] // LANES)


@factory
def tile(kh: int, kw: int, sh: int, sw: int, pixels: int, function: Function | None) -> Kernel:
    """The kernel for windows of kh x kw, strides sh and sw, and so many `pixels` a thread. Its arguments:

    x [N * H * W * C], kernel [kh * kw * C'], bias, scale, shift [C']; residual like y, or empty; lo, hi; image (H, W, C);
    result (N, H', W', C'), C' a multiple of C; low (rows, columns) of zeros before the image; flip 1: the taps are turned around, as the
    gradient by the input has them; columns = pixels; y [N * H' * W' * C'] = clamp((convolution + bias) * scale + shift + residual), or function
    in the clamp's place (gpu_finish.py).
    """
    finish = finishing(function)
    span = (pixels - 1) * sw + kw

    def run(x, kernel, bias, scale, shift, residual, lo, hi, image, result, low, flip, columns, y):
        height, width, channels = image
        rows, across, outputs = result[1], result[2], result[3]
        rest, block = divide(cuda.blockIdx.x, (outputs + LANES - 1) // LANES)
        rest, strip = divide(rest, (across + pixels - 1) // pixels)
        n, band = divide(rest, (rows + ROWS - 1) // ROWS)
        c, i, first = block * LANES + cuda.threadIdx.x, band * ROWS + cuda.threadIdx.y, strip * pixels
        if c >= outputs or i >= rows:
            return
        zero = x.dtype.type(0)
        source = c if outputs == channels else divide(c, divide(outputs, channels)[0])[0]
        tap, step = (kh * kw - 1, -1) if flip > 0 else (0, 1)
        sums, window = cuda.local.array(pixels, x.dtype), cuda.local.array(span, x.dtype)
        for p in range(pixels):
            sums[p] = zero
        for u in range(kh):
            r = i * sh + u - low[0]
            if 0 <= r < height:
                start = first * sw - low[1]
                read(x, ((n * height + r) * width + start) * channels + source, channels, start, width, window)
                for v in range(kw):
                    w = kernel[index((tap + step * (u * kw + v)) * outputs + c)]
                    for p in range(pixels):
                        sums[p] += window[p * sw + v] * w
        add, factor, shifted = bias[c], scale[c], shift[c]
        place, stride = index(((n * rows + i) * across + first) * outputs + c), index(outputs)
        for p in range(pixels):
            if first + p < across:
                finish((sums[p] + add) * factor + shifted, residual, lo, hi, c, place, y)
            place += stride

    return gpu_kernel(threads=(LANES, ROWS), blocks=_blocks)(named(run, f"gpu_depthwise_{kh}x{kw}_strides_{sh}x{sw}_pixels_{pixels}{label(function)}"))


def parts_of(result: tuple[int, ...], kh: int) -> int:
    """Into how many parts the rows of all images are cut for the weight gradient of kh rows of taps, for a result of shape (N, H', W', C')."""
    others = -(-result[3] // LANES) * kh
    return max(1, min(-(-result[0] * result[1] // ROWS), MOST_BLOCKS // others))


def _weight_blocks(x, dy, image, result, low, kh, sums, biases):
    return kh * sums.shape[0], -(-result[3] // LANES)


@factory
def weights_tile(kw: int, sh: int, sw: int, pixels: int) -> Kernel:
    """The weight gradient's kernel for windows kw wide, so many `pixels` at a time. A block takes one row of taps, and its neighbours the others:
    what it reads they find in the second-level cache, and no sum has to leave the registers. Its arguments:

    x [N * H * W * C], dy [N * H' * W' * C'], image (H, W, C), result (N, H', W', C'), low as above; kh rows of taps; sums [parts, kh * kw, C']
    and biases [parts, C']: the gradient by the kernel and the bias of each part of the images' rows.
    """
    span, totals = (pixels - 1) * sw + kw, kw + 1

    def run(x, dy, image, result, low, kh, sums, biases):
        height, width, channels = image
        images, rows, across, outputs = result
        tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
        part, u = divide(cuda.blockIdx.x, kh)
        c, zero = cuda.blockIdx.y * LANES + tx, x.dtype.type(0)
        total, window, grads = cuda.local.array(totals, x.dtype), cuda.local.array(span, x.dtype), cuda.local.array(pixels, x.dtype)
        for t in range(totals):
            total[t] = zero
        if c < outputs:
            source = c if outputs == channels else divide(c, divide(outputs, channels)[0])[0]
            lines, parts = images * rows, sums.shape[0]
            for line in range(part * lines // parts + ty, (part + 1) * lines // parts, ROWS):
                n, i = divide(line, rows)
                r = i * sh + u - low[0]
                inside, place = 0 <= r < height, (n * height + r) * width
                for first in range(0, across, pixels):
                    read(dy, (line * across + first) * outputs + c, outputs, first, across, grads)
                    for p in range(pixels):
                        total[kw] += grads[p]
                    if inside:
                        start = first * sw - low[1]
                        read(x, (place + start) * channels + source, channels, start, width, window)
                        for v in range(kw):
                            for p in range(pixels):
                                total[v] += window[p * sw + v] * grads[p]
        shares = cuda.shared.array(SLOTS, x.dtype)
        for t in range(totals):
            shares[ty * LANES + tx] = total[t]
            cuda.syncthreads()
            if ty == 0 and c < outputs:
                whole = shares[tx]
                for q in range(1, ROWS):
                    whole += shares[q * LANES + tx]
                if t < kw:
                    sums[part, u * kw + t, c] = whole
                elif u == 0:
                    biases[part, c] = whole
            cuda.syncthreads()

    return gpu_kernel(threads=(LANES, ROWS), blocks=_weight_blocks)(named(run, f"gpu_depthwise_weights_{kw}_strides_{sh}x{sw}_pixels_{pixels}"))
