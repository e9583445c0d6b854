"""Scalar functions that vectorize, for kernels and for the scalar functions of elementwise layers.

`exp`, `expm1`, `log`, `log1p`, `tanh`, `erf`, `sigmoid` and `softplus` give a result of their argument's type. For float32 they
are polynomials without branches or tables, which LLVM turns into vector code; for other types they are libm's. The largest
relative errors in the docstrings are measured against float64, over all float32 numbers (tests/kernels/test_scalar.py).

Method: exp and log split off a power of two and take a polynomial of the rest (Cody and Waite, Software Manual for the
Elementary Functions, 1980; Muller, Elementary Functions, 2016). The polynomials are minimax fits of our own.
"""

import dis
import functools
import itertools
import math
import types
from collections.abc import Callable

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ..jit import INTERPRETED

f4, i4 = np.float32, np.int32
INF, NAN, ONE, TWO = f4(np.inf), f4(np.nan), f4(1), f4(2)
MAGIC = f4(12582912)  # 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits

# No fastmath at all. "reassoc" would simplify (x + MAGIC) - MAGIC to x and merge the halves of ln 2, where the accuracy comes from.
# "contract" fuses one of the products in a*b + c*d, and not the same one in a loop's vector body and in its scalar rest: the result
# of an element would depend on the number of threads. What may be fused is said by `fma`.
_EXACT = {"error_model": "numpy", "fastmath": False}  # said out loud: else it is the caller's


def quiet(func: Callable) -> Callable:
    """Interpreted, NumPy's scalars warn of overflow and NaN; compiled code never does."""

    @functools.wraps(func)
    def run(*args):
        with np.errstate(all="ignore"):
            return func(*args)

    return run


def _scalar(wide: Callable, interpreted: Callable | None = None) -> Callable:
    """Decorator: the function below is for float32, `wide` for all other types; callable from kernels and from Python.

    interpreted: instead of `wide` in Python, where math's functions raise what NumPy's don't. (numba-cuda has only math's.)
    """

    def wrap(narrow: Callable) -> Callable:
        @functools.wraps(narrow)
        def function(x, _flags=_EXACT):  # a default, so that the kernels' digest sees it
            with np.errstate(all="ignore"):
                return narrow(x) if isinstance(x, np.float32) else (interpreted or wide)(x)

        overload(function, jit_options=_EXACT, strict=False)(lambda x: narrow if x == numba.types.float32 else wide)
        return function

    return wrap


def exact(func: Callable) -> Callable:
    """Decorator: a scalar function that kernels may call, of which nothing is reassociated or fused."""
    overload(func, jit_options=_EXACT, strict=False)(lambda *_: func)
    return func


# ---- pieces


@intrinsic
def _fmuladd(context, a, b, c):
    if not a == b == c == numba.types.float32:
        return None

    def code(context, builder, signature, args):
        kind = ir.FloatType()
        return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), "llvm.fmuladd.f32"), args)

    return a(a, b, c), code


def fma(a, b, c, _compiled=_fmuladd):
    """a * b + c, rounded once where the machine can do that fast."""
    return a * b + c


overload(fma, jit_options=_EXACT)(lambda a, b, c: lambda a, b, c: _fmuladd(a, b, c))


@exact
def bits(x):
    """A float32's bits as int32."""
    return f4(x).view(i4)


@exact
def from_bits(n):
    """The float32 with these bits."""
    return i4(n).view(f4)


@exact
def polynomial(x, coefficients):
    """Horner's scheme, highest power first."""
    p = coefficients[0]
    for c in coefficients[1:]:
        p = fma(p, x, c)
    return p


EXP = tuple(map(f4, (0.00139465546, 0.00836664394, 0.0416662806, 0.166665425, 0.5)))
LOG = tuple(map(f4, (-0.0763565613, 0.127633275, -0.131605823, 0.14201553, -0.166232984, 0.200012334, -0.250008227, 0.333333317)))
ERF = tuple(map(f4, (-0.000609036029, 0.00501196288, -0.026778909, 0.112821408, -0.376125233, 0.128379154)))
ERFC = tuple(map(f4, (-0.000200227965, 0.0030849088, -0.022391429, 0.104269183, 0.636802018, 1.12789868, 0.000142382762)))


@exact
def reduced(x):
    """(n, e^r - 1) with x = n * ln 2 + r and |r| ≤ ln(2) / 2."""
    z = fma(x, f4(1.44269504), MAGIC)
    n = z - MAGIC
    r = fma(n, f4(2.12194440e-4), fma(n, f4(-0.693359375), x))
    return i4(bits(z) - bits(MAGIC)), fma(polynomial(r, EXP), r * r, r)


@exact
def power(n):
    """2^n for -126 ≤ n ≤ 127."""
    return from_bits((n + i4(127)) << i4(23))


@exact
def log_of(m, k):
    """ln((1 + m) * 2^k) for m from sqrt(1/2) - 1 to sqrt(2) - 1."""
    z = m * m
    k = f4(k)
    y = fma(polynomial(m, LOG), m * z, k * f4(-2.12194440e-4))
    return fma(k, f4(0.693359375), fma(z, f4(-0.5), y) + m)


@exact
def exponent(v):
    """k with v / 2^k from sqrt(1/2) to sqrt(2)."""
    return i4(i4(bits(v) - i4(0x3F3504F3)) >> i4(23))


# ---- functions


@_scalar(lambda x: math.exp(x), np.exp)
def exp(x):
    """e^x; error ≤ 1.1e-7, or half of the smallest subnormal."""
    v = x if x > f4(-104) else f4(-104)
    n, e = reduced(v if v < f4(89) else f4(89))
    half = i4(n >> i4(1))  # in two steps: 2^128 and 2^-149 are no normal numbers
    y = (e + ONE) * power(half) * power(i4(n - half))
    return y if x == x else x


@_scalar(lambda x: math.expm1(x), np.expm1)
def expm1(x):
    """e^x - 1; error ≤ 2e-7."""
    v = x if x > f4(-30) else f4(-30)
    n, e = reduced(v if v < f4(89) else f4(89))
    half = i4(n >> i4(1))
    y = (e + (ONE - power(i4(-n) if n < i4(126) else i4(-126)))) * power(half) * power(i4(n - half))
    return y if x == x else x


@_scalar(lambda x: math.log(x), np.log)
def log(x):
    """Natural logarithm; error ≤ 1e-7. -inf of 0, NaN of negative numbers."""
    tiny = x < f4(1.17549435e-38)
    v = x * f4(8388608) if tiny else x
    k = exponent(v)
    y = log_of(from_bits(bits(v) - i4(k << i4(23))) - ONE, i4(k - i4(23)) if tiny else k)
    y = y if x < INF else x
    return y if x > f4(0) else -INF if x == f4(0) else NAN


@_scalar(lambda x: math.log1p(x), np.log1p)
def log1p(x):
    """ln(1 + x); error ≤ 2e-7. -inf of -1, NaN below."""
    u = ONE + x
    lost = ONE - (u - x) if x > ONE else x - (u - ONE)  # what rounding 1 + x lost
    k = exponent(u)
    m = from_bits(bits(u) - i4(k << i4(23))) - ONE
    y = log_of(fma(lost, power(i4(-k) if k < i4(126) else i4(-126)), m), k)
    y = y if x < INF else x
    return y if x > -ONE else -INF if x == -ONE else NAN


@_scalar(lambda x: math.tanh(x), np.tanh)
def tanh(x):
    """Hyperbolic tangent; error ≤ 3e-7."""
    v = TWO * abs(x)
    n, e = reduced(v if v < f4(20) else f4(20))
    scale = power(n)
    e = fma(e, scale, scale - ONE)
    y = f4(math.copysign(e / (e + TWO), x))
    return y if x == x else x


@_scalar(lambda x: math.erf(x))
def erf(x):
    """Error function; error ≤ 2e-7."""
    t = abs(x)
    s = x * x
    near = fma(x, polynomial(s, ERF), x)
    v = t if t < f4(4) else f4(4)
    n, e = reduced(-polynomial(v, ERFC))
    far = f4(math.copysign(ONE - (e + ONE) * power(n), x))
    y = near if t < f4(0.9) else far
    return y if x == x else x


@_scalar(lambda x: 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x)))
def sigmoid(x):
    """1 / (1 + e^-x), small values included; error ≤ 3e-7."""
    e = exp(-abs(x))
    s = ONE / (ONE + e)
    return s if x >= f4(0) else e * s


@_scalar(lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))))
def softplus(x):
    """ln(1 + e^x), small values included; error ≤ 3e-7."""
    e = exp(-abs(x))
    u = ONE + e  # log1p(e), without what it needs for e outside 0 … 1
    k = exponent(u)
    m = from_bits(bits(u) - i4(k << i4(23))) - ONE
    return (x if x > f4(0) else f4(0)) + log_of(fma(e - (u - ONE), power(i4(-k)), m), k)


# ---- layers' scalar functions

FUNCTIONS = {"exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "tanh": tanh, "erf": erf}  # what vectorizes
_OURS = {*FUNCTIONS.values(), sigmoid, softplus}
_KEEP = {"**", "**=", "<<", ">>", "&", "|", "^", "//"}  # operators whose integer operands stay integers


def _math_for(dtype: type) -> types.ModuleType:
    """`math` with functions that vectorize and constants of the dtype."""
    module = types.ModuleType(f"{__name__}.math_{np.dtype(dtype).name}")
    constants = {n: dtype(v) for n, v in vars(math).items() if isinstance(v, float)}
    module.__dict__.update({n: v for n, v in vars(math).items() if not n.startswith("__")} | constants | FUNCTIONS)
    return module


_math_for = functools.cache(_math_for)


def localize(func: Callable, dtype: type) -> Callable:
    """`func`, a plain function of scalars, for one dtype; kernels may call what comes back.

    Its float literals (and integer ones that take part in float arithmetic) become that dtype, and so do float globals, defaults and
    closure cells; `math` and functions imported from it become the functions above; plain helper functions come along. Nothing is
    reassociated or fused: an element's bits depend neither on the number of threads nor on where it stands in memory.
    """
    return _localize(func, dtype, {})


def _localize(func: types.FunctionType, dtype: type, done: dict) -> Callable:
    if id(func) in done:
        return done[id(func)]

    def swap(value):
        if value is math:
            return _math_for(dtype)
        if isinstance(value, types.BuiltinFunctionType) and value.__module__ == "math":
            return FUNCTIONS.get(value.__name__, value)
        if isinstance(value, types.FunctionType) and value not in _OURS:
            return _localize(value, dtype, done)
        return _narrow(value, dtype)

    code = _literals(func.__code__, dtype)
    used = {n: swap(func.__globals__[n]) for n in _names(code) if n in func.__globals__}
    cells = tuple(types.CellType(swap(c.cell_contents)) for c in func.__closure__ or ())
    defaults = tuple(map(swap, func.__defaults__)) if func.__defaults__ else None
    local = types.FunctionType(code, {"__name__": func.__module__, "__builtins__": __builtins__} | used, func.__name__, defaults, cells or None)
    done[id(func)] = exact(quiet(local) if INTERPRETED else local)
    return done[id(func)]


def _names(code: types.CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _narrow(value: object, dtype: type) -> object:
    if type(value) is float:
        return dtype(value)
    return tuple(_narrow(v, dtype) for v in value) if type(value) is tuple else value


def _literals(code: types.CodeType, dtype: type) -> types.CodeType:
    """Code with literals of a dtype. An integer in arithmetic would make float64 of float32; exponents and indices stay integers."""
    consts = [_literals(c, dtype) if isinstance(c, types.CodeType) else _narrow(c, dtype) for c in code.co_consts]
    consts.append(repr(_EXACT))  # so that the kernels' digest sees it
    bytecode = bytearray(code.co_code)
    steps = [s for s in dis.get_instructions(code) if s.opname != "CACHE"]
    if "range" not in code.co_names:
        for at, after in itertools.pairwise(steps):
            wanted = at.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and type(at.argval) is int and at.offset % 2 == 0
            if not wanted or after.argrepr in _KEEP or after.opname == "BINARY_SUBSCR" or after.argrepr == "[]":
                continue
            if len(consts) < 256:
                bytecode[at.offset : at.offset + 2] = dis.opmap["LOAD_CONST"], len(consts)
                consts.append(dtype(at.argval))
    return code.replace(co_code=bytes(bytecode), co_consts=tuple(consts))
