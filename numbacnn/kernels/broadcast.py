"""Two arrays become one, element by element; axes of one element stretch. And back: sums over the stretched axes.

Where shapes differ, arrays come as views with four axes (`grouped`), so that one kernel serves every rank.
"""

from collections.abc import Callable

import numpy as np

from ..errors import ShapeError
from ..jit import Kernel, compiled, cuda, digest, factory, kernel, named, prange
from .gpu_columns import COLUMNS, FIRST, ROWS, across, down
from .gpu_places import advance, place

AXES = 4
LANES = 32  # channels of a job


def grouped(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Shapes of views with four axes of a, b and their union: neighbouring axes that stretch alike become one."""
    groups: list[list[int]] = []
    before = None
    for m, n in zip(a, b, strict=True):
        if m == n == 1:
            continue
        kind = (m == 1, n == 1)
        if kind == before:
            groups[-1] = [g * k for g, k in zip(groups[-1], (m, n, max(m, n)), strict=True)]
        else:
            groups.append([m, n, max(m, n)])
        before = kind
    if len(groups) > AXES:
        raise ShapeError(f"shapes {a} and {b} stretch in {len(groups)} groups of axes, at most {AXES} are possible: reshape them first")
    return tuple(zip(*([[1, 1, 1]] * (AXES - len(groups)) + groups), strict=True))


@factory
def equal(operation: Callable, name: str) -> Kernel:
    """Kernel y = operation(a, b, *fields) for arrays of one shape. `operation` is a compiled scalar function."""

    def run(a, b, fields, y):
        for i in prange(y.size):
            y[i] = operation(a[i], b[i], *fields)

    return Kernel(named(run, f"{name}_{digest(operation)[:12]}"), flat=True)


@factory
def stretched(operation: Callable, name: str) -> Kernel:
    """Kernel y = operation(a, b, *fields) for views with four axes, where axes of one element stretch."""

    def row(a, b, fields, y):
        if a.size == y.size and b.size == y.size:
            for i in range(y.size):
                y[i] = operation(a[i], b[i], *fields)
        elif a.size == y.size:
            for i in range(y.size):
                y[i] = operation(a[i], b[0], *fields)
        else:
            for i in range(y.size):
                y[i] = operation(a[0], b[i], *fields)

    row = compiled(named(row, f"{name}_row_{digest(operation)[:12]}"))

    def run(a, b, fields, y):
        for r in prange(y.shape[0] * y.shape[1] * y.shape[2]):
            i, j, k = r // (y.shape[1] * y.shape[2]), r // y.shape[2] % y.shape[1], r % y.shape[2]
            of_a = a[min(i, a.shape[0] - 1), min(j, a.shape[1] - 1), min(k, a.shape[2] - 1)]
            row(of_a, b[min(i, b.shape[0] - 1), min(j, b.shape[1] - 1), min(k, b.shape[2] - 1)], fields, y[i, j, k])

    def on_gpu(a, b, fields, y):
        """Neighbouring threads take neighbouring elements; no element needs a division to find its place."""
        i, j, k, c = place(cuda.grid(1), y.shape)
        steps = place(cuda.gridsize(1), y.shape)
        a0, a1, a2, a3 = min(a.shape[0] - 1, 1), min(a.shape[1] - 1, 1), min(a.shape[2] - 1, 1), min(a.shape[3] - 1, 1)  # 0 where it stretches
        b0, b1, b2, b3 = min(b.shape[0] - 1, 1), min(b.shape[1] - 1, 1), min(b.shape[2] - 1, 1), min(b.shape[3] - 1, 1)
        while i < y.shape[0]:
            y[i, j, k, c] = operation(a[i * a0, j * a1, k * a2, c * a3], b[i * b0, j * b1, k * b2, c * b3], *fields)
            i, j, k, c = advance(i, j, k, c, steps, y.shape)

    made = Kernel(named(run, f"{name}_stretched_{digest(operation)[:12]}"))
    made.cuda(named(on_gpu, f"{made.__name__}_on_gpu"))
    return made


@compiled
def _sum(x, i, j, k, first, y):
    """One block of y's last axis; float64, because a picture has thousands of terms."""
    di, dj, dk = x.shape[0] if y.shape[0] == 1 else 1, x.shape[1] if y.shape[1] == 1 else 1, x.shape[2] if y.shape[2] == 1 else 1
    count = min(LANES, y.shape[3] - first)
    sums = np.zeros(LANES)
    for p in range(i, i + di):
        for q in range(j, j + dj):
            for r in range(k, k + dk):
                if y.shape[3] == x.shape[3]:
                    row = x[p, q, r, first : first + count]
                    for c in range(count):
                        sums[c] += row[c]
                else:
                    row = x[p, q, r]
                    total = 0.0
                    for c in range(row.size):
                        total += row[c]
                    sums[0] += total
    for c in range(count):
        y[i, j, k, first + c] = sums[c]


@kernel(wide=True)
def sum_stretched(x, y):
    """y = x summed over the axes along which y has one element; both with four axes."""
    blocks = (y.shape[3] + LANES - 1) // LANES
    for job in prange(y.shape[0] * y.shape[1] * y.shape[2] * blocks):
        r = job // blocks
        i, j, k = r // (y.shape[1] * y.shape[2]), r // y.shape[2] % y.shape[1], r % y.shape[2]
        _sum(x, i, j, k, job % blocks * LANES, y)


@sum_stretched.cuda(threads=FIRST, blocks=lambda x, y: (y.shape[0] * y.shape[1] * y.shape[2], -(-y.shape[3] // COLUMNS)))
def _sum_stretched_on_gpu(x, y):
    """A block takes a row of y's last axis, COLUMNS of its elements, and sums down all places that were stretched to them."""
    scratch = cuda.shared.array((ROWS, COLUMNS), np.float64)
    row, first = cuda.blockIdx.x, cuda.blockIdx.y * COLUMNS + cuda.threadIdx.x
    i, j, k, _ = place(row, (y.shape[0], y.shape[1], y.shape[2], 1))
    di, dj, dk = x.shape[0] if y.shape[0] == 1 else 1, x.shape[1] if y.shape[1] == 1 else 1, x.shape[2] if y.shape[2] == 1 else 1
    whole = y.shape[3] < x.shape[3]  # the last axis is summed, too
    end, step, value = x.shape[3] if whole else min(first + 1, x.shape[3]), COLUMNS if whole else 1, 0.0
    shape = 1, di, dj, dk
    steps = place(ROWS, shape)
    done, p, q, r = place(cuda.threadIdx.y, shape)
    while done == 0:
        for c in range(first, end, step):
            value += x[i + p, j + q, k + r, c]
        done, p, q, r = advance(done, p, q, r, steps, shape)
    if whole:
        value = across(value)
    value = down(value, scratch)
    if cuda.threadIdx.y == 0 and first < y.shape[3]:
        y[i, j, k, first] = value


@kernel(flat=True)
def times(x, factor, y):
    """y = x * factor"""
    for i in prange(y.size):
        y[i] = x[i] * factor
