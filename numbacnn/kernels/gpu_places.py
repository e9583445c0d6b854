"""Places in arrays, for a GPU's threads.

Numbers are 64 bits wide in compiled Python, but a GPU divides 32 in a quarter of the time: what lies below 2**32, as rows, channels and numbers
of threads do, goes through `quotient` and `remainder`.
"""

import numpy as np

from ..jit import compiled


@compiled
def quotient(a, b):
    """a // b for numbers from 0 to 2**32 - 1."""
    return np.int64(np.uint32(a) // np.uint32(b))


@compiled
def remainder(a, b):
    """a % b for numbers from 0 to 2**32 - 1."""
    return np.int64(np.uint32(a) % np.uint32(b))


@compiled
def place(n, shape):
    """The four indices of element n (below 2**32); the first may lie behind the end."""
    n, c = quotient(n, shape[3]), remainder(n, shape[3])
    n, k = quotient(n, shape[2]), remainder(n, shape[2])
    return quotient(n, shape[1]), remainder(n, shape[1]), k, c


@compiled
def advance(i, j, k, c, steps, shape):
    """The place that lies `steps` (a place, too) behind i, j, k, c: an addition digit by digit, for threads that take every n-th element."""
    i, j, k, c = i + steps[0], j + steps[1], k + steps[2], c + steps[3]
    if c >= shape[3]:
        c, k = c - shape[3], k + 1
    if k >= shape[2]:
        k, j = k - shape[2], j + 1
    if j >= shape[1]:
        j, i = j - shape[1], i + 1
    return i, j, k, c
