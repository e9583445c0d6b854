"""Vector width of the CPU that Numba compiles for, and the tile size that suits its registers."""

import llvmlite.binding as llvm
import numpy as np
from numba.core.registry import cpu_target


def vector_bytes() -> int:
    """Bytes of the widest vector register: Numba's own answer, so that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are honoured."""
    features = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
    if "+avx512f" in features:
        return 64
    return 32 if {"+avx2", "+fma"} <= features else 16  # 16: SSE2, NEON


BYTES = vector_bytes()
V = 2  # vectors in a row of a tile
# Rows of a tile: M * V accumulators, V loads and a broadcast fit into the registers (16; 32 with AVX-512 and on ARM).
M = {64: 8, 32: 6, 16: 8 if "aarch64" in llvm.get_default_triple() else 4}[BYTES]


def lanes(dtype: np.dtype | type) -> int:
    """Numbers in one vector register. Compiled code writes BYTES // x.itemsize."""
    return BYTES // np.dtype(dtype).itemsize
