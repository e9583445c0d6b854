"""Philox against Random123's known answers, and the statistics of what is made of it."""

import numpy as np

from numbacnn.jit import kernel
from numbacnn.kernels.random import philox, philox4, philox4x32, uniform

KNOWN = {  # counter and key -> words (Random123's kat_vectors, philox4x32 10)
    (0,) * 6: (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    (0xFFFFFFFF,) * 6: (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0): (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
}


@kernel(parallel=False)
def fill(stream, step, seed, words, numbers):
    for i in range(words.size):
        words[i] = philox(i, stream, step, seed)
        numbers[i] = uniform(i, stream, step, seed)


def test_known_answers():
    for given, wanted in KNOWN.items():
        assert tuple(map(int, philox4x32(*map(np.uint64, given)))) == wanted
        a, b, c, d, k, m = given
        counter, seed = np.uint64(a | b << 32), np.uint64(k | m << 32)
        assert tuple(map(int, philox4(counter, np.uint64(c), np.uint64(d), seed))) == wanted
        assert int(philox(counter, np.uint64(c), np.uint64(d), seed)) == wanted[0]


def test_uniform_in_kernels():
    n = 200_000
    words, numbers = np.empty(n, np.uint64), np.empty(n, np.float32)
    fill(1, 2, 3, words, numbers)
    assert words.max() < 2**32
    np.testing.assert_array_equal(numbers, (words >> np.uint64(8)).astype(np.float64) / 2**24)
    assert numbers.min() >= 0 and numbers.max() < 1
    counts, _ = np.histogram(numbers, 64, (0, 1))
    assert ((counts - n / 64) ** 2 / (n / 64)).sum() < 120  # chi squared, 63 degrees of freedom: 1 in 10 000 is above 114
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.01


def test_every_argument_counts():
    seen = []
    for stream, step, seed in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2**40)):
        words, numbers = np.empty(100, np.uint64), np.empty(100, np.float32)
        fill(stream, step, seed, words, numbers)
        seen.append(set(words.tolist()))
    assert len(set().union(*seen)) == 500
