"""The kernels of BlurPool2D, and their CUDA twins: a blur along one axis, and its gradient.

The blur of an image is one down its rows and then one along them. Both are the same on arrays [outer, axis, inner]: rows are
[N, H, W * C], columns [N * H, W, C]. On a CPU a line of `inner` numbers of the result is one job: its thread alone writes it, in the same
order for any number of threads. On a GPU a thread has one number of the result. Both find the places by the same helpers.
"""

from numbacnn.jit import compiled, cuda, device, kernel, prange

LINE = 128  # threads of a block: neighbouring numbers


@compiled
def mirrored(i, n):
    """The pixel of 0..n-1 that stands at place i of the row mirrored at its ends, the outermost pixels not repeated."""
    if n == 1:
        return 0
    while i < 0 or i >= n:  # more than once where the row is shorter than the blur
        i = -i if i < 0 else 2 * (n - 1) - i
    return i


@compiled
def whole_windows(n, k, stride, low, count):
    """(first, behind the last) of the `count` windows of k pixels that lie inside the row of n; the others see mirrored pixels."""
    first = min((low + stride - 1) // stride, count)
    return first, min(max(first, (n - k + low) // stride + 1), count)


@compiled
def seeing(h, k, stride, low, first, last):
    """(first, behind the last) of the windows in first..last-1, all inside the row, that see pixel h."""
    begin = min(max(first, (h + low - k) // stride + 1), last)
    return begin, max(begin, min(last, (h + low) // stride + 1))


@compiled
def candidate(t, first, begin, end, last):
    """The t-th window that may see a pixel: those that stand out at the low end, the ones that see it plainly, those at the high end."""
    if t < first:
        return t
    t += begin - first
    return t if t < end else t + last - end


@compiled
def add(x, factor, total):
    for c in range(total.size):
        total[c] += x[c] * factor


@compiled
def clear(x):
    for c in range(x.size):
        x[c] = 0


@kernel
def blur(x, taps, stride, low, y):
    """y[a, o] = the sum of taps[i] * x[a, o * stride - low + i], mirrored at the ends."""
    places = y.shape[1]
    for p in prange(y.shape[0] * places):
        a, o = p // places, p % places
        clear(y[a, o])
        for i in range(taps.size):
            add(x[a, mirrored(o * stride - low + i, x.shape[1])], taps[i], y[a, o])


@kernel
def blur_backward(dy, taps, stride, low, dx):
    """dx[a, h] = the sum over all windows o that see place h, plainly or in the mirror."""
    size, windows, k = dx.shape[1], dy.shape[1], taps.size
    first, last = whole_windows(size, k, stride, low, windows)
    for p in prange(dx.shape[0] * size):
        a, h = p // size, p % size
        clear(dx[a, h])
        begin, end = seeing(h, k, stride, low, first, last)
        for t in range(first + end - begin + windows - last):
            o = candidate(t, first, begin, end, last)
            for i in range(k):
                if mirrored(o * stride - low + i, size) == h:
                    add(dy[a, o], taps[i], dx[a, h])


# ---- on a GPU


def blocks_of(*args):
    """Blocks of LINE threads for the numbers of the last argument [outer, axis, inner]; no block spans two of `outer`."""
    outer, axis, inner = args[-1].shape
    return outer * -(-axis * inner // LINE)


@device
def own_number(y):
    """(outer, axis, inner) of this thread in y; the axis' place may lie behind its end."""
    blocks = (y.shape[1] * y.shape[2] + LINE - 1) // LINE
    number = cuda.blockIdx.x % blocks * LINE + cuda.threadIdx.x
    return cuda.blockIdx.x // blocks, number // y.shape[2], number % y.shape[2]


@blur.cuda(threads=LINE, blocks=blocks_of)
def blur_on_gpu(x, taps, stride, low, y):
    a, o, b = own_number(y)
    if o < y.shape[1]:
        total = y.dtype.type(0)
        for i in range(taps.size):
            total += x[a, mirrored(o * stride - low + i, x.shape[1]), b] * taps[i]
        y[a, o, b] = total


@blur_backward.cuda(threads=LINE, blocks=blocks_of)
def blur_backward_on_gpu(dy, taps, stride, low, dx):
    size, windows, k = dx.shape[1], dy.shape[1], taps.size
    a, h, b = own_number(dx)
    if h < size:
        total = dx.dtype.type(0)
        first, last = whole_windows(size, k, stride, low, windows)
        begin, end = seeing(h, k, stride, low, first, last)
        for t in range(first + end - begin + windows - last):
            o = candidate(t, first, begin, end, last)
            for i in range(k):
                if mirrored(o * stride - low + i, size) == h:
                    total += dy[a, o, b] * taps[i]
        dx[a, h, b] = total
