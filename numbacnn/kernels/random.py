"""Counter-based random numbers: a pure function of (counter, stream, step, seed), the same on any number of threads and any device.

Reference: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011 (Philox 4x32 with 10 rounds).
"""

import math

import numpy as np

from ..jit import compiled

u8 = np.uint64
LOW = u8(0xFFFFFFFF)
HALF = u8(32)


@compiled
def philox4x32(a, b, c, d, k, l):  # noqa: E741  counter and key as in the paper
    """The four 32-bit words (each as uint64) for counter words a, b, c, d and key words k, l (uint64 below 2^32)."""
    for _ in range(10):
        p, q = u8(0xD2511F53) * a, u8(0xCD9E8D57) * c
        a, b, c, d = (q >> HALF) ^ b ^ k, q & LOW, (p >> HALF) ^ d ^ l, p & LOW
        k, l = (k + u8(0x9E3779B9)) & LOW, (l + u8(0xBB67AE85)) & LOW  # noqa: E741
    return a, b, c, d


@compiled
def philox(counter, stream, step, seed):
    """32 random bits, as uint64: for the number `counter` (64 bits) of `stream` (32 bits) in `step` (32 bits), by `seed` (64 bits)."""
    return philox4(counter, stream, step, seed)[0]


@compiled
def philox4(counter, stream, step, seed):
    """Four times 32 random bits, as uint64, from one counter: for kernels that need many. `philox` is the first."""
    counter, seed = u8(counter), u8(seed)
    return philox4x32(counter & LOW, counter >> HALF, u8(stream) & LOW, u8(step) & LOW, seed & LOW, seed >> HALF)


@compiled
def uniform(counter, stream, step, seed):
    """A float32 in [0, 1) with 24 random bits."""
    return np.float32(philox(counter, stream, step, seed) >> u8(8)) * np.float32(2.0**-24)


@compiled
def normal(counter, stream, step, seed):
    """A float64 drawn from the standard normal distribution (Box and Muller, A note on the generation of random normal deviates, 1958)."""
    a, b, _, _ = philox4(counter, stream, step, seed)
    radius = math.sqrt(-2.0 * math.log((np.float64(a) + 0.5) * 2.0**-32))
    return radius * math.cos(2.0 * math.pi * (np.float64(b) * 2.0**-32))
