"""Winograd's minimal filtering F(m x m, r x r): its constant matrices, exact, and the transforms that apply them on SIMD vectors.

m outputs of a convolution with r taps need n = m + r - 1 multiplications along each axis instead of m * r:

    y = A [(G w Gt) * (B d Bt)] At        d: n x n pixels, w: r x r taps, y: m x m pixels, *: element by element
    dw = Gt [(B d Bt) * (At dy A)] G      the gradient by the taps

Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.
The matrices are Cook and Toom's: a product of polynomials is evaluated at n points, multiplied there, and interpolated; the
filter is the transposed algorithm. Points near one in size, with their inverses, give the smallest error (Barabasz et al., 2020).
"""

import functools
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from ..jit import compiled, named
from .tile import BYTES, fetch, gather, load, mix, put, store, zero
from .tile_edges import plus_some

Matrix = list[list[Fraction]]

# Finite points; infinity is the last one. Of all sets of small fractions these gave the smallest errors.
POINTS = {
    6: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2)),
    8: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-1, 2), Fraction(2), Fraction(-2)),
}


def _monic(roots: tuple[Fraction, ...]) -> list[Fraction]:
    """Coefficients of the product of (x - root), lowest first."""
    product = [Fraction(1)]
    for root in roots:
        product = [a - root * b for a, b in zip([Fraction(0), *product], [*product, Fraction(0)], strict=True)]
    return product


def _powers(n: int, count: int) -> Matrix:
    """Row i: the i-th point's powers 0 … count - 1; a polynomial's value at infinity is its highest coefficient."""
    return [[point**k for k in range(count)] for point in POINTS[n]] + [[Fraction(k == count - 1) for k in range(count)]]


def transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def matrices(m: int, r: int) -> tuple[Matrix, Matrix, Matrix]:
    """(A [m, n], B [n, n], G [n, r]) of F(m, r), n = m + r - 1."""
    n = m + r - 1
    points = POINTS[n]
    b, g = [], _powers(n, r)
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        norm = functools.reduce(lambda product, other: product * (point - other), others, Fraction(1))
        b.append([*_monic(others), Fraction(0)])
        g[i] = [value / norm for value in g[i]]
    b.append(_monic(points))
    return transposed(_powers(n, m)), b, g


# ---- a matrix as a short list of operations


def program(matrix: Matrix) -> tuple[tuple, tuple]:
    """(steps, rows) that multiply a vector x by a matrix with few operations, as `mix` wants them.

    Each step (i, c, j) appends x[i] + c * x[j] to x; each row lists the (index, coefficient) whose sum is one result.
    The sum of two terms that most rows share becomes a step, and so on until none is shared (Paar, 1997).
    """
    rows = [{i: c for i, c in enumerate(row) if c} for row in matrix]
    steps: list[tuple[int, Fraction, int]] = []
    while True:
        shared = Counter((i, row[j] / row[i], j) for row in rows for i in row for j in row if i < j)
        if not shared or max(shared.values()) == 1:
            break
        (i, ratio, j), _ = shared.most_common(1)[0]
        for row in rows:
            if i in row and j in row and row[j] == ratio * row[i]:
                row[len(matrix[0]) + len(steps)] = row.pop(i)
                del row[j]
        steps.append((i, ratio, j))
    return tuple((i, float(c), j) for i, c, j in steps), tuple(tuple((i, float(c)) for i, c in row.items()) for row in rows)


# ---- the same on blocks of vectors


@functools.cache
def mixer(matrix: str, m: int, r: int) -> Callable:
    """`mix` by one of F(m, r)'s matrices "A", "B", "G", "At", "Gt" ("B" has no use transposed)."""
    chosen = dict(zip("ABG", matrices(m, r), strict=True))[matrix[0]]
    return mix(program(transposed(chosen) if matrix.endswith("t") else chosen))


@functools.cache
def transform(matrix: str, m: int, r: int) -> Callable:
    """Compiled function run(x, src, dst, channels, scratch): block [b, b] = matrix @ block [a, a] @ matrix.T for each channel.

    x: an array of the dtype. src, dst: addresses of the blocks' elements in channel 0, int64; src column by column
    (src[column * a + row], as `grid` makes them), dst row by row. scratch: room(m, r) bytes, an array of x's dtype.
    The last vector of channels overlaps the one before; fewer channels than a vector are written as a whole one: each dst must
    have room for it. src and dst must not overlap.
    """
    turn = mixer(matrix, m, r)
    a, b = sides(matrix, m, r)

    def run(x, src, dst, channels, scratch):
        lanes = BYTES // x.itemsize
        for start in range(0, channels, lanes):
            c = max(0, min(start, channels - lanes))
            for i in range(a):
                rows = gather(src, i * a, a)
                acc = zero(x, a, 1)
                acc = fetch(acc, rows, c) if channels >= lanes else plus_some(acc, rows, 0, channels)
                store(turn(acc), scratch, i * lanes, a * lanes)
            for i in range(b):
                put(turn(load(zero(x, a, 1), scratch, i * a * lanes, lanes)), gather(dst, i * b, b), c)

    return compiled(named(run, f"transform_{matrix}_{m}_{r}"))


def sides(matrix: str, m: int, r: int) -> tuple[int, int]:
    """Sides of the block that a transform reads and of the one that it writes."""
    n = m + r - 1
    return {"A": (n, m), "B": (n, n), "G": (r, n), "At": (m, n), "Gt": (n, r)}[matrix]


def room(m: int, r: int) -> int:
    """Bytes that are enough for the scratch of any of these transforms."""
    n = m + r - 1
    return n * n * BYTES


@compiled
def grid(base, h, w, size, image, top, left, n, nil, out):
    """out[column * n + row] = address of pixel (top + row, left + column), `size` bytes each, of an image of h x w; nil outside or if image < 0."""
    for c in range(n):
        inside = (image >= 0) & (left + c >= 0) & (left + c < w)
        for r in range(n):
            place = base + ((image * h + top + r) * w + left + c) * size
            out[c * n + r] = place if inside & (top + r >= 0) & (top + r < h) else nil


@compiled
def steps(base, step, out):
    """out[i] = base + i * step."""
    for i in range(out.size):
        out[i] = base + i * step
