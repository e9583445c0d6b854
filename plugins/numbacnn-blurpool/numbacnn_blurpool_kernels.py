"""The kernels of BlurPool2D, and their CUDA twins.

On a CPU a row of the result is one job: its thread alone writes it, in the same order for any number of threads. On a GPU a thread
has one number of the result. Both find the pixels by the same helpers.
"""

from numbacnn.jit import compiled, cuda, kernel, prange

LINE = 128  # threads of a block: neighbouring numbers of a row


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


@kernel
def blur(x, taps, sh, sw, low, y):
    """y[n, o, q] = the sum of taps[i] * taps[j] * x[n, o * sh - low + i, q * sw - low + j], mirrored at the borders."""
    rows = y.shape[1]
    for p in prange(y.shape[0] * rows):
        n, o = p // rows, p % rows
        for q in range(y.shape[2]):
            total = y[n, o, q]
            for c in range(total.size):
                total[c] = 0
            for i in range(taps.size):
                h = mirrored(o * sh - low + i, x.shape[1])
                for j in range(taps.size):
                    add(x[n, h, mirrored(q * sw - low + j, x.shape[2])], taps[i] * taps[j], total)


@kernel
def blur_backward(dy, taps, sh, sw, low, dx):
    """dx[n, h] = the sum over all windows o that see row h, plainly or in the mirror."""
    height, width, k = dx.shape[1], dx.shape[2], taps.size
    rows, columns = dy.shape[1], dy.shape[2]
    for p in prange(dx.shape[0] * height):
        n, h = p // height, p % height
        for w in range(width):
            out = dx[n, h, w]
            for c in range(out.size):
                out[c] = 0
        first, last = whole_windows(height, k, sh, low, rows)
        begin, end = seeing(h, k, sh, low, first, last)
        for t in range(first + end - begin + rows - last):
            o = candidate(t, first, begin, end, last)
            for i in range(k):
                if mirrored(o * sh - low + i, height) == h:
                    for q in range(columns):
                        for j in range(k):
                            add(dy[n, o, q], taps[i] * taps[j], dx[n, h, mirrored(q * sw - low + j, width)])


def rows_of(*args):
    """Blocks of LINE threads for the rows of the last argument's images (N, H, W, C)."""
    n, h, w, c = args[-1].shape
    return n * h, -(-w * c // LINE)


@blur.cuda(threads=LINE, blocks=rows_of)
def blur_on_gpu(x, taps, sh, sw, low, y):
    n, o = cuda.blockIdx.x // y.shape[1], cuda.blockIdx.x % y.shape[1]
    e = cuda.blockIdx.y * LINE + cuda.threadIdx.x
    if e < y.shape[2] * y.shape[3]:
        q, c, total = e // y.shape[3], e % y.shape[3], y.dtype.type(0)
        for i in range(taps.size):
            h = mirrored(o * sh - low + i, x.shape[1])
            for j in range(taps.size):
                total += x[n, h, mirrored(q * sw - low + j, x.shape[2]), c] * (taps[i] * taps[j])
        y[n, o, q, c] = total


@blur_backward.cuda(threads=LINE, blocks=rows_of)
def blur_backward_on_gpu(dy, taps, sh, sw, low, dx):
    height, width, k = dx.shape[1], dx.shape[2], taps.size
    rows, columns = dy.shape[1], dy.shape[2]
    n, h = cuda.blockIdx.x // height, cuda.blockIdx.x % height
    e = cuda.blockIdx.y * LINE + cuda.threadIdx.x
    if e < width * dx.shape[3]:
        w, c, total = e // dx.shape[3], e % dx.shape[3], dx.dtype.type(0)
        top, bottom = whole_windows(height, k, sh, low, rows)
        first_row, last_row = seeing(h, k, sh, low, top, bottom)
        left, right = whole_windows(width, k, sw, low, columns)
        first_column, last_column = seeing(w, k, sw, low, left, right)
        for t in range(top + last_row - first_row + rows - bottom):
            o = candidate(t, top, first_row, last_row, bottom)
            for i in range(k):
                if mirrored(o * sh - low + i, height) == h:
                    for u in range(left + last_column - first_column + columns - right):
                        q = candidate(u, left, first_column, last_column, right)
                        for j in range(k):
                            if mirrored(q * sw - low + j, width) == w:
                                total += dy[n, o, q, c] * (taps[i] * taps[j])
        dx[n, h, w, c] = total
