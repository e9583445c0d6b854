"""What tile.py's operations do, in NumPy: they take their place with NUMBA_DISABLE_JIT=1, so that kernels run without a compiler."""

import ctypes

import numpy as np

from .width import lanes


def _at(address, count, dtype):
    """The `count` elements at an address, as an array without a copy."""
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(int(address)), dtype)


def zero(x, m, v):
    return np.zeros((m, v * lanes(x.dtype)), x.dtype)


def address(x, j):
    return x.ctypes.data + int(j) * x.itemsize


def gather(table, i, m):
    return table.reshape(-1)[i : i + m].copy()


def spread(x, j, step, m):
    return address(x, j) + np.arange(m) * int(step) * x.itemsize


def madd(acc, rows, k, w, j):
    a = np.array([_at(r + k * acc.itemsize, 1, acc.dtype)[0] for r in rows])
    return acc + a[:, None] * w.reshape(-1)[j : j + acc.shape[1]]


def vmadd(acc, rows, k, w, j):
    return acc + fetch(acc, rows, k) * w.reshape(-1)[j : j + acc.shape[1]]


def fetch(acc, rows, j):
    return np.array([_at(r + j * acc.itemsize, acc.shape[1], acc.dtype) for r in rows])


def plus(acc, rows, j):
    return acc + fetch(acc, rows, j)


def square(x, j, stride):
    return load(zero(x, lanes(x.dtype), 1), x, j, stride).T.copy()


def mix(program):
    steps, lines = program

    def apply(acc):
        rows = list(acc)
        for i, c, j in steps:
            rows.append(rows[i] + acc.dtype.type(c) * rows[j])
        return np.array([sum(acc.dtype.type(c) * rows[i] for i, c in line) for line in lines], acc.dtype)

    return apply


def put(acc, rows, j):
    for r, line in zip(rows, acc, strict=True):
        _at(r + j * acc.itemsize, len(line), acc.dtype)[:] = line


def load(acc, y, j, stride):
    return fetch(acc, spread(y, j, stride, len(acc)), 0)


def store(acc, y, j, stride):
    put(acc, spread(y, j, stride, len(acc)), 0)


def clamp(acc, bias, j, lo, hi):
    return np.minimum(np.maximum(acc + bias.reshape(-1)[j : j + acc.shape[1]], lo), hi)
