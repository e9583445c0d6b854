"""Register tiles: a block of m x v SIMD registers, held as one Numba value.

Kernels keep their loops in Python; only these operations are written in LLVM IR:

    acc = zero(x, M, V)                   an M x (V * lanes) block of zeros of x's dtype
    rows = gather(table, i, M)            M addresses read from an int64 table
    rows = spread(x, j, step, M)          the addresses of x.flat[j + m * step]
    acc = madd(acc, rows, k, w, j)        acc[m, :] += rows[m][k] * w.flat[j : j + V * lanes]
    acc = vmadd(acc, rows, k, w, j)       acc[m, :] += rows[m][k : k + V * lanes] * w.flat[j : j + V * lanes]
    acc = clamp(acc, bias, j, lo, hi)     min(max(acc + bias.flat[j:], lo), hi), NaN stays NaN
    acc = load(acc, y, j, stride)         acc[m, :] = y.flat[j + m * stride :]
    store(acc, y, j, stride)              y.flat[j + m * stride :] = acc[m, :]
    acc = fetch(acc, rows, j)             acc[m, :] = rows[m][j :]
    put(acc, rows, j)                     rows[m][j :] = acc[m, :]
    acc = plus(acc, rows, j)              acc[m, :] += rows[m][j :]
    acc = square(x, j, stride)            lanes x 1 tile, acc[k, m] = x.flat[j + m * stride + k]: a transposed block
    acc = mix(program)(acc)               rows of acc combined with constants; mix makes the operation when a module is imported

Arrays are C-contiguous. Who holds only an address must keep the array alive with a later use. Nothing checks bounds.
The same source gives float32 and float64, AVX-512, AVX2, SSE2 and NEON; with NUMBA_DISABLE_JIT=1 the names are NumPy functions.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from ..jit import INTERPRETED
from .width import BYTES, M, V, lanes

__all__ = [
    "BYTES",
    "M",
    "V",
    "address",
    "clamp",
    "fetch",
    "gather",
    "lanes",
    "load",
    "madd",
    "mix",
    "plus",
    "put",
    "spread",
    "square",
    "store",
    "vmadd",
    "zero",
]

_INT = ir.IntType(64)


class Tile(types.Type):
    """The Numba type of a block of m rows of v vectors."""

    def __init__(self, dtype, m, v):
        self.dtype, self.m, self.v = dtype, m, v
        self.lanes = BYTES * 8 // dtype.bitwidth
        super().__init__(f"Tile({dtype}, {m}, {v}, {self.lanes})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, tile):
        scalar = ir.FloatType() if tile.dtype == types.float32 else ir.DoubleType()
        super().__init__(dmm, tile, ir.ArrayType(ir.VectorType(scalar, tile.lanes), tile.m * tile.v))


def _const(number):
    return ir.Constant(_INT, number)


def _pointer(context, builder, array_type, array, index):
    """Pointer to array.flat[index]."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _row(builder, rows, m, element, offset):
    """Pointer `offset` elements behind the m-th address."""
    return builder.gep(builder.inttoptr(builder.extract_value(rows, m), element.as_pointer()), [offset])


def _read(builder, pointer, vector, v):
    """The v-th vector behind a pointer that is aligned like one element only."""
    value = builder.load(builder.gep(builder.bitcast(pointer, vector.as_pointer()), [_const(v)]))
    value.align = 4
    return value


def _write(builder, value, pointer, v):
    builder.store(value, builder.gep(builder.bitcast(pointer, value.type.as_pointer()), [_const(v)])).align = 4


def _splat(builder, value, vector):
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _multiply_add(builder, a, b, c):
    """a * b + c; fmuladd and not fma, which is a library call where the CPU has none."""
    letter = "f32" if isinstance(a.type.element, ir.FloatType) else "f64"
    signature = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, f"llvm.fmuladd.v{a.type.count}{letter}"), (a, b, c))


def _barrier(builder):
    """An empty asm statement: LLVM then leaves the caller's loop alone. Unrolled, all loads are hoisted and accumulators spilled."""
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", (), True)


@intrinsic(prefer_literal=True)
def zero(typingctx, x, m, v):
    """A tile of zeros of x's dtype; m and v are constants."""
    tile = Tile(x.dtype, m.literal_value, v.literal_value)

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(x, m, v), codegen


@intrinsic(prefer_literal=True)
def gather(typingctx, table, i, m):
    """The m addresses table.flat[i : i + m]."""
    rows = types.UniTuple(types.int64, m.literal_value)

    def codegen(context, builder, sig, args):
        p = _pointer(context, builder, sig.args[0], args[0], args[1])
        return cgutils.pack_array(builder, [builder.load(builder.gep(p, [_const(n)])) for n in range(rows.count)])

    return rows(table, types.int64, m), codegen


@intrinsic
def address(typingctx, x, j):
    """Address of x.flat[j], signed: x.ctypes.data is unsigned, and with an int64 makes a float64."""

    def codegen(context, builder, sig, args):
        return builder.ptrtoint(_pointer(context, builder, sig.args[0], args[0], args[1]), _INT)

    return types.int64(x, types.int64), codegen


@intrinsic(prefer_literal=True)
def spread(typingctx, x, j, step, m):
    """The m addresses of x.flat[j + n * step]."""
    rows = types.UniTuple(types.int64, m.literal_value)

    def codegen(context, builder, sig, args):
        places = [builder.add(args[1], builder.mul(args[2], _const(n))) for n in range(rows.count)]
        return cgutils.pack_array(builder, [builder.ptrtoint(_pointer(context, builder, sig.args[0], args[0], p), _INT) for p in places])

    return rows(x, types.int64, types.int64, m), codegen


@intrinsic
def madd(typingctx, acc, rows, k, w, j):
    """acc[m, :] += rows[m][k] * w.flat[j:]."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        _barrier(builder)
        p = _pointer(context, builder, sig.args[3], args[3], args[4])
        b = [_read(builder, p, vector, v) for v in range(acc.v)]
        for m in range(acc.m):
            a = _splat(builder, builder.load(_row(builder, args[1], m, vector.element, args[2])), vector)
            for v in range(acc.v):
                n = m * acc.v + v
                tile = builder.insert_value(tile, _multiply_add(builder, a, b[v], builder.extract_value(tile, n)), n)
        return tile

    return acc(acc, rows, types.int64, w, types.int64), codegen


@intrinsic
def vmadd(typingctx, acc, rows, k, w, j):
    """acc[m, :] += rows[m][k:] * w.flat[j:], lane by lane (depthwise convolution)."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        _barrier(builder)
        p = _pointer(context, builder, sig.args[3], args[3], args[4])
        b = [_read(builder, p, vector, v) for v in range(acc.v)]
        for m in range(acc.m):
            q = _row(builder, args[1], m, vector.element, args[2])
            for v in range(acc.v):
                n = m * acc.v + v
                tile = builder.insert_value(tile, _multiply_add(builder, _read(builder, q, vector, v), b[v], builder.extract_value(tile, n)), n)
        return tile

    return acc(acc, rows, types.int64, w, types.int64), codegen


@intrinsic
def fetch(typingctx, acc, rows, j):
    """A tile like acc, read at the addresses rows[m] + j elements."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        for m in range(acc.m):
            p = _row(builder, args[1], m, vector.element, args[2])
            for v in range(acc.v):
                tile = builder.insert_value(tile, _read(builder, p, vector, v), m * acc.v + v)
        return tile

    return acc(acc, rows, types.int64), codegen


@intrinsic
def plus(typingctx, acc, rows, j):
    """acc[m, :] += rows[m][j:]."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        for m in range(acc.m):
            p = _row(builder, args[1], m, vector.element, args[2])
            for v in range(acc.v):
                n = m * acc.v + v
                tile = builder.insert_value(tile, builder.fadd(builder.extract_value(tile, n), _read(builder, p, vector, v)), n)
        return tile

    return acc(acc, rows, types.int64), codegen


@intrinsic
def square(typingctx, x, j, stride):
    """As many vectors as one has lanes, vector m from x.flat[j + m * stride:], transposed."""
    tile = Tile(x.dtype, BYTES * 8 // x.dtype.bitwidth, 1)

    def codegen(context, builder, sig, args):
        array = context.get_value_type(tile)
        vector, rows, j_ = array.element, [], args[1]
        for _ in range(tile.m):
            rows.append(_read(builder, _pointer(context, builder, sig.args[0], args[0], j_), vector, 0))
            j_ = builder.add(j_, args[2])
        half = tile.m // 2
        orders = [[i // 2 + (i % 2) * tile.m + start for i in range(tile.m)] for start in (0, half)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), tile.m), order) for order in orders]
        for _ in range(tile.m.bit_length() - 1):  # each round interleaves vectors half a block apart
            rows = [builder.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
        out = ir.Constant(array, ir.Undefined)
        for n, row in enumerate(rows):
            out = builder.insert_value(out, row, n)
        return out

    return tile(x, types.int64, types.int64), codegen


def mix(program):
    """The operation that multiplies a tile by a constant matrix from the left, given as (steps, rows).

    Each step (i, c, j) appends the row acc[i] + c * acc[j]; each row of the result is a sum of (i, c): c * acc[i].
    """
    steps, lines = program

    @intrinsic
    def apply(typingctx, acc):
        tile = Tile(acc.dtype, len(lines), acc.v)

        def codegen(context, builder, sig, args):
            rows = [[builder.extract_value(args[0], m * acc.v + v) for v in range(acc.v)] for m in range(acc.m)]
            for i, c, j in steps:
                rows.append([_combined(builder, ((a, 1.0), (b, c))) for a, b in zip(rows[i], rows[j], strict=True)])
            out = ir.Constant(context.get_value_type(tile), ir.Undefined)
            for m, line in enumerate(lines):
                for v in range(acc.v):
                    out = builder.insert_value(out, _combined(builder, [(rows[i][v], c) for i, c in line]), m * acc.v + v)
            return out

        return tile(acc), codegen

    return apply


def _combined(builder, terms):
    """Sum of c * a over the terms (a, c), begun with one that needs no multiplication if there is any."""
    total = None
    for a, c in sorted(terms, key=lambda term: term[1] != 1):
        factor = ir.Constant(a.type, [ir.Constant(a.type.element, c)] * a.type.count)
        if total is None:
            total = a if c == 1 else builder.fmul(a, factor)
        elif abs(c) == 1:
            total = (builder.fadd if c > 0 else builder.fsub)(total, a)
        else:
            total = _multiply_add(builder, a, factor, total)
    return total


@intrinsic
def put(typingctx, acc, rows, j):
    """Write acc[m, :] at the address rows[m] + j elements."""

    def codegen(context, builder, sig, args):
        for m in range(acc.m):
            p = _row(builder, args[1], m, args[0].type.element.element, args[2])
            for v in range(acc.v):
                _write(builder, builder.extract_value(args[0], m * acc.v + v), p, v)
        return context.get_dummy_value()

    return types.void(acc, rows, types.int64), codegen


@intrinsic
def load(typingctx, acc, y, j, stride):
    """A tile like acc, read from y.flat[j + m * stride:]."""

    def codegen(context, builder, sig, args):
        tile, y_, j_, stride_ = args
        for m in range(acc.m):
            p = _pointer(context, builder, sig.args[1], y_, j_)
            for v in range(acc.v):
                tile = builder.insert_value(tile, _read(builder, p, tile.type.element, v), m * acc.v + v)
            j_ = builder.add(j_, stride_)
        return tile

    return acc(acc, y, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, acc, y, j, stride):
    """Write acc[m, :] to y.flat[j + m * stride:]."""

    def codegen(context, builder, sig, args):
        tile, y_, j_, stride_ = args
        for m in range(acc.m):
            p = _pointer(context, builder, sig.args[1], y_, j_)
            for v in range(acc.v):
                _write(builder, builder.extract_value(tile, m * acc.v + v), p, v)
            j_ = builder.add(j_, stride_)
        return context.get_dummy_value()

    return types.void(acc, y, types.int64, types.int64), codegen


@intrinsic
def clamp(typingctx, acc, bias, j, lo, hi):
    """min(max(acc + bias.flat[j:], lo), hi); the comparisons are false for NaN, which therefore stays."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        p = _pointer(context, builder, sig.args[1], args[1], args[2])
        low, high = _splat(builder, args[3], vector), _splat(builder, args[4], vector)
        for v in range(acc.v):
            b = _read(builder, p, vector, v)
            for m in range(acc.m):
                n = m * acc.v + v
                c = builder.fadd(builder.extract_value(tile, n), b)
                c = builder.select(builder.fcmp_ordered("<", c, low), low, c)
                c = builder.select(builder.fcmp_ordered(">", c, high), high, c)
                tile = builder.insert_value(tile, c, n)
        return tile

    return acc(acc, bias, types.int64, acc.dtype, acc.dtype), codegen


if INTERPRETED:
    from .tile_interpreted import address, clamp, fetch, gather, load, madd, mix, plus, put, spread, square, store, vmadd, zero
