"""The kernels of SqueezeExcite, and their CUDA twins.

On a CPU an image is one job, so that the number of threads changes no bit. On a GPU a kernel over pixels gives a block LANES channels of an
image and lets ROWS lines of threads share the pixels, in an order that does not change either. A kernel without a twin runs on a GPU from
its own source, one job a thread.
"""

import math

from numbacnn.jit import cuda, device, kernel, prange

LANES, ROWS = 32, 8  # threads of a block: neighbouring channels, parts of the sum
UNITS = 128  # threads of a block for one image's units


def channels_of_images(*args):
    """Blocks for the last argument (N, C): an image and LANES channels each."""
    n, channels = args[-1].shape
    return n, -(-channels // LANES)


@device
def whole(part, scratch):
    """The sum of the parts that the lines of a block's threads hold for a channel, added in order."""
    scratch[cuda.threadIdx.y, cuda.threadIdx.x] = part
    cuda.syncthreads()
    total = scratch[0, cuda.threadIdx.x]
    for row in range(1, ROWS):
        total += scratch[row, cuda.threadIdx.x]
    return total


# ---- squeeze


@kernel
def pixel_means(x, share, means):
    """means[n, c] = share * the sum of x[n, :, :, c]; share = 1 / (height * width)."""
    for n in prange(x.shape[0]):
        total = means[n]
        for c in range(total.size):
            total[c] = 0
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                pixel = x[n, h, w]
                for c in range(total.size):
                    total[c] += pixel[c]
        for c in range(total.size):
            total[c] *= share


@pixel_means.cuda(threads=(LANES, ROWS), blocks=channels_of_images)
def pixel_means_on_gpu(x, share, means):
    scratch = cuda.shared.array((ROWS, LANES), means.dtype)
    n, c, part = cuda.blockIdx.x, cuda.blockIdx.y * LANES + cuda.threadIdx.x, means.dtype.type(0)
    if c < means.shape[1]:
        for h in range(cuda.threadIdx.y, x.shape[1], ROWS):
            for w in range(x.shape[2]):
                part += x[n, h, w, c]
    total = whole(part, scratch)  # every thread of the block comes here: it holds a barrier
    if cuda.threadIdx.y == 0 and c < means.shape[1]:
        means[n, c] = total * share


# ---- excite


@kernel
def excite(means, reduce, reduce_bias, expand, expand_bias, hidden, gates):
    """hidden = relu(means @ reduce + reduce_bias), gates = sigmoid(hidden @ expand + expand_bias), for each image."""
    one, zero = gates.dtype.type(1), gates.dtype.type(0)
    for n in prange(means.shape[0]):
        units, values = hidden[n], gates[n]
        for r in range(units.size):
            units[r] = reduce_bias[r]
        for c in range(values.size):
            for r in range(units.size):
                units[r] += means[n, c] * reduce[c, r]
        for r in range(units.size):
            units[r] = zero if units[r] < zero else units[r]  # so written, NaN stays
        for c in range(values.size):
            values[c] = expand_bias[c]
        for r in range(units.size):
            for c in range(values.size):
                values[c] += units[r] * expand[r, c]
        for c in range(values.size):
            values[c] = one / (one + math.exp(-values[c]))


@excite.cuda(threads=UNITS, blocks=lambda means, *_: means.shape[0])
def excite_on_gpu(means, reduce, reduce_bias, expand, expand_bias, hidden, gates):
    one, zero, n = gates.dtype.type(1), gates.dtype.type(0), cuda.blockIdx.x
    for r in range(cuda.threadIdx.x, hidden.shape[1], UNITS):
        total = reduce_bias[r]
        for c in range(means.shape[1]):
            total += means[n, c] * reduce[c, r]
        hidden[n, r] = zero if total < zero else total
    cuda.syncthreads()  # an image's hidden units are all there
    for c in range(cuda.threadIdx.x, gates.shape[1], UNITS):
        total = expand_bias[c]
        for r in range(hidden.shape[1]):
            total += hidden[n, r] * expand[r, c]
        gates[n, c] = one / (one + math.exp(-total))


@kernel(in_place=("x",))
def scale(x, gates, y):
    """y = x * gates"""
    for n in prange(x.shape[0]):
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                pixel, out = x[n, h, w], y[n, h, w]
                for c in range(out.size):
                    out[c] = pixel[c] * gates[n, c]


@scale.cuda(threads=(LANES, ROWS), blocks=lambda x, gates, y: (y.shape[0] * y.shape[1], -(-y.shape[3] // LANES)))
def scale_on_gpu(x, gates, y):
    n, h, c = cuda.blockIdx.x // y.shape[1], cuda.blockIdx.x % y.shape[1], cuda.blockIdx.y * LANES + cuda.threadIdx.x
    if c < y.shape[3]:
        for w in range(cuda.threadIdx.y, y.shape[2], ROWS):
            y[n, h, w, c] = x[n, h, w, c] * gates[n, c]


# ---- the way back


@kernel
def gate_gradients(x, dy, gates, dgates):
    """The gradient by what the sigmoid takes: dgates[n, c] = gates * (1 - gates) * the sum of dy * x over the pixels."""
    one = gates.dtype.type(1)
    for n in prange(x.shape[0]):
        total = dgates[n]
        for c in range(total.size):
            total[c] = 0
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                pixel, slope = x[n, h, w], dy[n, h, w]
                for c in range(total.size):
                    total[c] += pixel[c] * slope[c]
        for c in range(total.size):
            total[c] *= gates[n, c] * (one - gates[n, c])


@gate_gradients.cuda(threads=(LANES, ROWS), blocks=channels_of_images)
def gate_gradients_on_gpu(x, dy, gates, dgates):
    scratch = cuda.shared.array((ROWS, LANES), dgates.dtype)
    n, c, part = cuda.blockIdx.x, cuda.blockIdx.y * LANES + cuda.threadIdx.x, dgates.dtype.type(0)
    if c < dgates.shape[1]:
        for h in range(cuda.threadIdx.y, x.shape[1], ROWS):
            for w in range(x.shape[2]):
                part += x[n, h, w, c] * dy[n, h, w, c]
    total = whole(part, scratch)
    if cuda.threadIdx.y == 0 and c < dgates.shape[1]:
        dgates[n, c] = total * gates[n, c] * (gates.dtype.type(1) - gates[n, c])


@kernel
def unexcite(dgates, hidden, reduce, expand, share, dhidden, dmeans):
    """dhidden: by what the ReLU takes; dmeans: by each pixel of a channel, share = 1 / (height * width) of what the mean gets."""
    zero = dhidden.dtype.type(0)
    for n in prange(dgates.shape[0]):
        for r in range(dhidden.shape[1]):
            total = zero
            for c in range(dgates.shape[1]):
                total += dgates[n, c] * expand[r, c]
            dhidden[n, r] = total if hidden[n, r] > zero else zero
        for c in range(dmeans.shape[1]):
            total = zero
            for r in range(dhidden.shape[1]):
                total += dhidden[n, r] * reduce[c, r]
            dmeans[n, c] = total * share


@unexcite.cuda(threads=UNITS, blocks=lambda dgates, *_: dgates.shape[0])
def unexcite_on_gpu(dgates, hidden, reduce, expand, share, dhidden, dmeans):
    zero, n = dhidden.dtype.type(0), cuda.blockIdx.x
    for r in range(cuda.threadIdx.x, dhidden.shape[1], UNITS):
        total = zero
        for c in range(dgates.shape[1]):
            total += dgates[n, c] * expand[r, c]
        dhidden[n, r] = total if hidden[n, r] > zero else zero
    cuda.syncthreads()
    for c in range(cuda.threadIdx.x, dmeans.shape[1], UNITS):
        total = zero
        for r in range(dhidden.shape[1]):
            total += dhidden[n, r] * reduce[c, r]
        dmeans[n, c] = total * share


@kernel(in_place=("dy",))
def input_gradient(dy, gates, dmeans, dx):
    """dx = dy * gates + dmeans"""
    for n in prange(dy.shape[0]):
        for h in range(dy.shape[1]):
            for w in range(dy.shape[2]):
                slope, out = dy[n, h, w], dx[n, h, w]
                for c in range(out.size):
                    out[c] = slope[c] * gates[n, c] + dmeans[n, c]


@input_gradient.cuda(threads=(LANES, ROWS), blocks=lambda dy, gates, dmeans, dx: (dx.shape[0] * dx.shape[1], -(-dx.shape[3] // LANES)))
def input_gradient_on_gpu(dy, gates, dmeans, dx):
    n, h, c = cuda.blockIdx.x // dx.shape[1], cuda.blockIdx.x % dx.shape[1], cuda.blockIdx.y * LANES + cuda.threadIdx.x
    if c < dx.shape[3]:
        for w in range(cuda.threadIdx.y, dx.shape[2], ROWS):
            dx[n, h, w, c] = dy[n, h, w, c] * gates[n, c] + dmeans[n, c]


@kernel
def weight_gradients(a, b, dkernel, dbias):
    """dkernel = aᵀ @ b and dbias = the sum of b's rows, over the batch in order; a row of dkernel is one job, the bias another."""
    rows = dkernel.shape[0]
    for i in prange(rows + 1):
        total = dkernel[i] if i < rows else dbias
        for k in range(total.size):
            total[k] = 0
        for n in range(a.shape[0]):
            factor = a[n, i] if i < rows else a.dtype.type(1)
            for k in range(total.size):
                total[k] += factor * b[n, k]


@weight_gradients.cuda(threads=UNITS, blocks=lambda a, b, dkernel, dbias: (dkernel.shape[0] + 1, -(-dbias.size // UNITS)))
def weight_gradients_on_gpu(a, b, dkernel, dbias):
    i, k, total = cuda.blockIdx.x, cuda.blockIdx.y * UNITS + cuda.threadIdx.x, dbias.dtype.type(0)
    if k < dbias.size:
        for n in range(a.shape[0]):
            total += a[n, i] * b[n, k] if i < dkernel.shape[0] else b[n, k]
        if i < dkernel.shape[0]:
            dkernel[i, k] = total
        else:
            dbias[k] = total
