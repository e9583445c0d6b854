"""What pooling kernels share: which pixels a window covers, which windows touch some rows, and what they do with a row of channels."""

from ..jit import compiled


@compiled
def covered(o, k, stride, low, n):
    """First and behind-the-last of the n real pixels that window o covers; `low` pixels of padding lie before the first."""
    first = o * stride - low
    return max(first, 0), min(first + k, n)


@compiled
def touching(first, end, k, stride, low, count):
    """First and behind-the-last of `count` windows that cover any of the pixels first..end-1."""
    return max((first + low - k) // stride + 1, 0), min((end - 1 + low) // stride + 1, count)


@compiled
def larger(x, best):
    """best = the larger of both, NaN if either is."""
    for c in range(best.size):  # written so that no lane keeps its old value: LLVM would make a masked store, 4x slower on Zen
        a = x[c]
        most = max(best[c], a)
        best[c] = most if a == a else a


@compiled
def give(x, y, rest, dx):
    """The pixel that made y takes what is left of dy: the first of equal ones, the first NaN. dx = dx + its share."""
    zero = rest.dtype.type(0)
    for c in range(rest.size):
        a, r = x[c], rest[c]
        share = r if (a == y[c]) | (a != a) else zero
        dx[c] += share
        rest[c] = r - share


@compiled
def skip(x, y, rest):
    """As `give`, for a pixel whose gradient somebody else writes."""
    zero = rest.dtype.type(0)
    for c in range(rest.size):
        a, r = x[c], rest[c]
        rest[c] = r - (r if (a == y[c]) | (a != a) else zero)


@compiled
def clear(x):
    """x = 0"""
    for c in range(x.size):
        x[c] = 0
