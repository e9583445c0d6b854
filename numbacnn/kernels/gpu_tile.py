"""Tiles of a matrix product on a GPU: a block's share of the result, a thread's share of that, and what they pass through shared memory.

A block of threads makes m x n results. DEPTH terms of the sum at a time lie in shared memory, twice, so that the next ones arrive while
these are multiplied; both factors lie there with the sum's axis first. A warp makes 4 x 8 threads' tiles, in pieces of 4 x 4: a load of
four elements then asks for each address of shared memory once.

The plan of the loops is the one of NVIDIA's CUTLASS ("Efficient GEMM in CUDA", its documentation).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from ..jit import cuda, device
from .ptx import load1, load4, store1, store4

DEPTH = 8
PAD = 4  # elements behind each row of shared memory: rows then start in other banks, and still at multiples of 16 bytes


class Tile(NamedTuple):
    """Results of a block (m, n) and of a thread (tm, tn)."""

    m: int
    n: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        return self.m * self.n // (self.tm * self.tn)

    @property
    def resident(self) -> int:
        """Blocks that a processor should hold at once: with 128 registers a thread, or 160 where it has 64 results and loads from several rows."""
        return (384 if self.tm * self.tn == 64 and 2 * self.m > self.threads else 512) // self.threads

    def tiles(self, rows: int, columns: int) -> int:
        """How many cover a matrix."""
        return -(-rows // self.m) * -(-columns // self.n)

    def __str__(self):
        return f"{self.m}x{self.n}"


@functools.cache
def corner(tile: Tile) -> Callable:
    """Device function: thread -> (row, column) in the block's tile of the thread's first piece of 4 x 4."""
    warps, tm, tn = tile.n // (8 * tile.tn), tile.tm, tile.tn

    @device
    def first(thread):
        warp, lane = thread // 32, thread % 32
        return warp // warps * (4 * tm) + lane // 8 * 4, warp % warps * (8 * tn) + lane % 8 * 4

    return first


@functools.cache
def multiplier(tile: Tile) -> Callable:
    """Device function: acc [tm * tn] += the DEPTH products of what lies in shared memory from elements `at` and `bt` on."""
    tm, tn, pitch_a, pitch_b = tile.tm, tile.tn, tile.m + PAD, tile.n + PAD

    @device
    def one(sa, sb, at, bt, a, b, acc):
        for i in range(0, tm, 4):
            a[i], a[i + 1], a[i + 2], a[i + 3] = load4(sa, at + 4 * i)
        for j in range(0, tn, 4):
            b[j], b[j + 1], b[j + 2], b[j + 3] = load4(sb, bt + 8 * j)
        for i in range(tm):
            for j in range(tn):
                acc[i * tn + j] += a[i] * b[j]

    @device
    def multiply(sa, sb, at, bt, acc):
        a, b = cuda.local.array(tm, acc.dtype), cuda.local.array(tn, acc.dtype)
        one(sa, sb, at, bt, a, b, acc)  # written out: a loop would be kept, and its loads would not overlap
        one(sa, sb, at + pitch_a, bt + pitch_b, a, b, acc)
        one(sa, sb, at + 2 * pitch_a, bt + 2 * pitch_b, a, b, acc)
        one(sa, sb, at + 3 * pitch_a, bt + 3 * pitch_b, a, b, acc)
        one(sa, sb, at + 4 * pitch_a, bt + 4 * pitch_b, a, b, acc)
        one(sa, sb, at + 5 * pitch_a, bt + 5 * pitch_b, a, b, acc)
        one(sa, sb, at + 6 * pitch_a, bt + 6 * pitch_b, a, b, acc)
        one(sa, sb, at + 7 * pitch_a, bt + 7 * pitch_b, a, b, acc)

    return multiply


@functools.cache
def loader(unit: int) -> Callable:
    """Device function: out[place : place + unit] = array[index : index + unit], unit 4 or 1; out is the thread's own."""

    @device
    def load(array, index, out, place):
        if unit == 4:
            out[place], out[place + 1], out[place + 2], out[place + 3] = load4(array, index)
        else:
            out[place] = load1(array, index)

    return load


@functools.cache
def storer(unit: int) -> Callable:
    """Device function: array[index : index + unit] = values[place : place + unit], unit 4 or 1."""

    @device
    def store(array, index, values, place):
        if unit == 4:
            store4(array, index, values[place], values[place + 1], values[place + 2], values[place + 3])
        else:
            store1(array, index, values[place])

    return store


@functools.cache
def row_writer(unit: int) -> Callable:
    """Device function: a, b, c, d go to y from element `at` on, as far as `room` channels are there."""

    @device
    def write(y, at, room, a, b, c, d):
        if unit == 4:
            store4(y, at, a, b, c, d)
        else:
            store1(y, at, a)
            if room > 1:
                store1(y, at + 1, b)
            if room > 2:
                store1(y, at + 2, c)
            if room > 3:
                store1(y, at + 3, d)

    return write


@functools.cache
def row_reader(unit: int) -> Callable:
    """Device function: four elements of x from `at` on, as far as `room` channels are there."""

    @device
    def read(x, at, room):
        zero = x.dtype.type(0)
        if unit == 4:
            return load4(x, at)
        return (
            load1(x, at),
            load1(x, at + 1) if room > 1 else zero,
            load1(x, at + 2) if room > 2 else zero,
            load1(x, at + 3) if room > 3 else zero,
        )

    return read
