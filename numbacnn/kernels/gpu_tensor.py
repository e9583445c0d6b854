"""What products on tensor cores share: tiles, how they lie in shared memory, and a warp's part of them.

A block of threads makes a tile of rows x columns of a matrix, with sums over DEPTH places at a time. A warp owns 16 * `high` rows and 8 * `broad`
columns of it: `high` x `broad` results of an mma instruction. STAGES pieces of the factors lie in shared memory: one is multiplied while the others arrive.

A lane is g = lane // 4, t = lane % 4. In which order an mma's 16 rows, 8 columns and its places of the sum stand for those of the matrix
is ours to say; it is said here so that every access is 16 bytes wide and no two of a quarter warp meet in a bank:

  columns  column j of an mma's result number i is column 16 * (j % 2) + 4 * (j // 2) + i of 32, for i < 4, and of the next 32 from
           there on: a lane's 4 results make two groups of 4 neighbours, from 4t and 16 + 4t on
  sums     a lane takes places 4t to 4t+3 of 16 where places neighbour each other in shared memory, t, t+4, t+8, t+12 where rows do

Factors are rounded on the way to registers, unless they are already (`ready`); sums are float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..jit import device
from .ptx import bits, cp_async4, cp_async16, from_bits, mma_bf16, mma_tf32, pack_bf16, store4, to_tf32

DEPTH, STAGES, WARP = 16, 3, 32  # places of the sum in a piece, pieces, lanes
LEAST = 80  # compute capability from which on there are bfloat16, TensorFloat-32 and cp.async
F4, U4 = np.float32, np.uint32


class Tile(NamedTuple):
    """A block's rows and columns, and its warps along each."""

    rows: int
    columns: int
    down: int
    across: int

    @property
    def threads(self) -> int:
        return WARP * self.down * self.across

    @property
    def high(self) -> int:
        """mma results below each other of a warp."""
        return self.rows // self.down // 16

    @property
    def broad(self) -> int:
        """mma results beside each other."""
        return self.columns // self.across // 8

    @property
    def pitch(self) -> int:
        """Elements between a warp's rows on their way to memory through shared memory: two rows of 16 columns fill the banks."""
        return 8 * self.broad + 16

    def blocks(self, rows: int, columns: int) -> tuple[int, int]:
        """How many cover a matrix: (across, down)."""
        return -(-columns // self.columns), -(-rows // self.rows)

    def __str__(self):
        return f"{self.rows}x{self.columns}"


LARGE, MIDDLE, SMALL = Tile(128, 128, 2, 2), Tile(128, 64, 2, 2), Tile(64, 64, 2, 2)


class Rounding(NamedTuple):
    """A precision's device functions; places are four of the sum that a lane takes.

    left(a, i, v, w)            a [high, 8] of uint32 gets what mma number i wants of places v of its row g and w of row g + 8
    right(v)                    what an mma wants of places of column g; `ready` where they are rounded already
    multiply(sums, a, i, j, b)  sums [high, broad, 4][i, j] += rows i times columns j, b from right
    rounded(x)                  x as it takes part
    """

    left: Callable
    right: Callable
    ready: Callable
    multiply: Callable
    rounded: Callable


@device
def _left_tf32(a, i, v, w):
    a[i, 0], a[i, 1], a[i, 2], a[i, 3] = to_tf32(v[0]), to_tf32(w[0]), to_tf32(v[1]), to_tf32(w[1])
    a[i, 4], a[i, 5], a[i, 6], a[i, 7] = to_tf32(v[2]), to_tf32(w[2]), to_tf32(v[3]), to_tf32(w[3])


@device
def _right_tf32(v):
    return to_tf32(v[0]), to_tf32(v[1]), to_tf32(v[2]), to_tf32(v[3])


@device
def _ready_tf32(v):
    return bits(v[0]), bits(v[1]), bits(v[2]), bits(v[3])


@device
def _multiply_tf32(sums, a, i, j, b):
    c = sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3]
    c = mma_tf32((a[i, 0], a[i, 1], a[i, 2], a[i, 3]), (b[0], b[1]), c)
    sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3] = mma_tf32((a[i, 4], a[i, 5], a[i, 6], a[i, 7]), (b[2], b[3]), c)


@device
def _rounded_tf32(x):
    return from_bits(U4(to_tf32(x) & U4(0xFFFFE000)))


@device
def _left_bf16(a, i, v, w):
    a[i, 0], a[i, 1], a[i, 2], a[i, 3] = pack_bf16(v[0], v[1]), pack_bf16(w[0], w[1]), pack_bf16(v[2], v[3]), pack_bf16(w[2], w[3])


@device
def _right_bf16(v):
    return pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3])


@device
def _multiply_bf16(sums, a, i, j, b):
    c = sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3]
    sums[i, j, 0], sums[i, j, 1], sums[i, j, 2], sums[i, j, 3] = mma_bf16((a[i, 0], a[i, 1], a[i, 2], a[i, 3]), b, c)


@device
def _rounded_bf16(x):
    return from_bits(U4(pack_bf16(F4(0), x) & U4(0xFFFF0000)))


ROUNDINGS = {
    "tf32": Rounding(_left_tf32, _right_tf32, _ready_tf32, _multiply_tf32, _rounded_tf32),
    "bf16": Rounding(_left_bf16, _right_bf16, _right_bf16, _multiply_bf16, _rounded_bf16),
}


@device
def _copy4(tile, i, source, j, there):
    cp_async16(tile, i, source, j, 16 if there else 0)


@device
def _copy1(tile, i, source, j, there):
    cp_async4(tile, i, source, j, 4 if there else 0)


COPIES = {4: _copy4, 1: _copy1}  # start tile[i : i + n] = source[j : j + n], or zeros where nothing is there


@device
def column(lane):
    """The column of 32 that a lane's g stands for, in results 0; results i < 4 stand i columns further."""
    g = lane >> 2
    return ((g & 1) << 4) + ((g >> 1) << 2)


@device
def spread(memory, at, pitch, sums, i, j, lane):
    """A warp's results i, j to j + 3 go to shared memory from `at` on, as 16 rows of 32 columns with `pitch` elements between rows."""
    at += (lane >> 2) * pitch + ((lane & 3) << 2)
    store4(memory, at, sums[i, j, 0], sums[i, j + 1, 0], sums[i, j + 2, 0], sums[i, j + 3, 0])
    store4(memory, at + 16, sums[i, j, 1], sums[i, j + 1, 1], sums[i, j + 2, 1], sums[i, j + 3, 1])
    store4(memory, at + 8 * pitch, sums[i, j, 2], sums[i, j + 1, 2], sums[i, j + 2, 2], sums[i, j + 3, 2])
    store4(memory, at + 8 * pitch + 16, sums[i, j, 3], sums[i, j + 1, 3], sums[i, j + 2, 3], sums[i, j + 3, 3])
