"""Numbers as tensor cores see them: fewer bits behind the point, in float32's place."""

import numpy as np

from ..jit import compiled, kernel, prange

u4 = np.uint32


@compiled
def to_bf16(bits):
    """The bits of the nearest bfloat16, ties to even (IEEE 754; PTX ISA, cvt.rn.bf16.f32); NaN stays NaN."""
    if bits & u4(0x7FFFFFFF) > u4(0x7F800000):
        return u4(bits | u4(0x400000)) & u4(0xFFFF0000)
    return u4(bits + u4(0x7FFF) + ((bits >> u4(16)) & u4(1))) & u4(0xFFFF0000)


@compiled
def to_tf32(bits):
    """The bits of the nearest TensorFloat-32, ties away from zero (PTX ISA, cvt.rna.tf32.f32); infinity and NaN stay."""
    return bits if bits & u4(0x7F800000) == u4(0x7F800000) else u4(bits + u4(0x1000)) & u4(0xFFFFE000)


@kernel(flat=True)
def round_bf16(x, y):
    source, target = x.view(u4), y.view(u4)
    for i in prange(target.size):
        target[i] = to_bf16(source[i])


@kernel(flat=True)
def round_tf32(x, y):
    source, target = x.view(u4), y.view(u4)
    for i in prange(target.size):
        target[i] = to_tf32(source[i])


KERNELS = {"bf16": round_bf16, "tf32": round_tf32}
