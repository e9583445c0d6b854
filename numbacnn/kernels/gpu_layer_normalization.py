"""Twins of layers/layer_normalization.py: the threads of a row (gpu_rows.py) go over it together."""

import math

from ..jit import cuda
from .gpu_rows import THREADS, WARPS, lanes_of, own_row, row_sum


def normalize_rows(x, gamma, beta, epsilon, rows, y, mean, inverse):
    scratch = cuda.shared.array(WARPS, x.dtype)
    columns, kind = gamma.size, gamma.dtype.type
    lanes = lanes_of(columns)
    (lane, mine, many), zero, size = own_row(lanes), kind(0), kind(columns)
    for top in range(cuda.blockIdx.x * many, mean.size, cuda.gridDim.x * many):
        r = top + mine
        start, end = r * columns, (r + 1) * columns if r < mean.size else 0
        total = zero
        for i in range(start + lane, end, lanes):
            total += x[i]
        m, total = row_sum(total, lanes, scratch) / size, zero
        for i in range(start + lane, end, lanes):
            total += (x[i] - m) * (x[i] - m)
        s = kind(1) / math.sqrt(row_sum(total, lanes, scratch) / size + epsilon)
        if lane == 0 and r < mean.size:
            mean[r], inverse[r] = m, s
        for i in range(start + lane, end, lanes):
            y[i] = (x[i] - m) * s * gamma[i - start] + beta[i - start]


def rows_backward(x, dy, gamma, mean, inverse, rows, dx, dgamma, dbeta):
    """A block takes a job's rows. First the sums down the columns, because dx may overwrite dy or x."""
    scratch, others = cuda.shared.array(THREADS, x.dtype), cuda.shared.array(THREADS, x.dtype)
    columns, kind = gamma.size, gamma.dtype.type
    lanes = lanes_of(columns)
    (lane, mine, many), zero, size = own_row(lanes), kind(0), kind(columns)
    job, first, last = cuda.blockIdx.x, cuda.blockIdx.x * rows, min((cuda.blockIdx.x + 1) * rows, mean.size)
    for start in range(0, columns, lanes):
        j = start + lane
        total, product = zero, zero
        if j < columns:
            for r in range(first + mine, last, many):
                g = dy[r * columns + j]
                product += g * (x[r * columns + j] - mean[r]) * inverse[r]
                total += g
        scratch[cuda.threadIdx.x], others[cuda.threadIdx.x] = total, product
        half = THREADS // 2
        while half >= lanes:
            cuda.syncthreads()
            if cuda.threadIdx.x < half:
                scratch[cuda.threadIdx.x] += scratch[cuda.threadIdx.x + half]
                others[cuda.threadIdx.x] += others[cuda.threadIdx.x + half]
            half //= 2
        if mine == 0 and j < columns:
            dbeta[job * columns + j], dgamma[job * columns + j] = scratch[lane], others[lane]
        cuda.syncthreads()
    for top in range(first, last, many):
        r = top + mine
        start, end = r * columns, (r + 1) * columns if r < last else 0
        m, s = mean[min(r, last - 1)], inverse[min(r, last - 1)]
        total, product = zero, zero
        for i in range(start + lane, end, lanes):
            g = dy[i] * gamma[i - start]
            total += g
            product += g * (x[i] - m)
        total, product = row_sum(total, lanes, scratch) / size, row_sum(product, lanes, scratch) * (s * s / size)
        for i in range(start + lane, end, lanes):
            dx[i] = s * (dy[i] * gamma[i - start] - total - (x[i] - m) * product)
