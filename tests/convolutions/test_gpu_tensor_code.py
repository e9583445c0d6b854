"""What code numba-cuda and nvJitLink make of the tensor-core kernels: without the extra [cuda] there is none to look at."""

import importlib.util
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from numbacnn import jit
from numbacnn.kernels.gpu_tensor import LARGE, SMALL
from numbacnn.kernels.gpu_tensor_product import pack, product
from numbacnn.kernels.gpu_tensor_weights import add_parts, weight_gradient
from numbacnn.twin import gpu_type

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="the extra [cuda] is not installed: nothing compiles for GPUs")

X, TABLE, SHAPE = np.zeros(16, np.float32), np.zeros(8, np.int32), (4, 4, 4)
PRODUCT = (X, X, X, X, X, X, TABLE, TABLE, 2, 32, SHAPE, SHAPE, True, np.float32(0), np.float32(1), X)
WEIGHTS = (X, X, TABLE, 2, SHAPE, SHAPE, (1, 1), 3, 2, X, X)
CASES = [
    (product("tf32", LARGE, 4), PRODUCT, "80"),
    (product("bf16", LARGE, 4), PRODUCT, "90a"),
    (product("bf16", SMALL, 1), PRODUCT, "120"),
    (weight_gradient("tf32", LARGE, 4), WEIGHTS, "90"),
    (weight_gradient("bf16", SMALL, 4), WEIGHTS, "89"),
]


def instructions(code, folder):
    """The machine code in words; a skip where nvdisasm is not installed."""
    package = importlib.util.find_spec("nvidia")
    found = [path for place in package.submodule_search_locations for path in Path(place).glob("*/bin/nvdisasm")] if package else []
    if not found:
        pytest.skip("nvdisasm (package nvidia-cuda-nvdisasm) is not installed")
    file = folder / "kernel.cubin"
    file.write_bytes(code)
    return subprocess.run([found[0], "-c", file], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("kernel, args, capability", CASES, ids=[f"{kernel.__name__}-{capability}" for kernel, _, capability in CASES])
def test_registers_suffice_and_the_instructions_are_there(kernel, args, capability, tmp_path):
    binary = jit.binary(kernel.on_gpu, tuple(map(gpu_type, args)), capability)
    found = binary.resources
    assert found.registers <= 255 and not found.spill_bytes and not found.stack_bytes and not found.shared_bytes
    assert kernel.on_gpu.least == 80 and kernel.on_gpu.geometry(args)[2] <= 99 << 10
    text = instructions(binary.code, tmp_path)
    tile, unit, tf32 = LARGE if "128x128" in kernel.__name__ else SMALL, int(kernel.__name__[-1]), "tf32" in kernel.__name__
    products = re.findall(r"\bHMMA\.(\S+?)\.F32\.(TF32|BF16)", text)
    assert set(products) == {("1688", "TF32") if tf32 else ("16816", "BF16")}
    assert len(products) == tile.high * tile.broad * (2 if tf32 else 1), "the loop over 16 places of the sum is not written out once"
    assert ("LDGSTS.E.BYPASS.128" in text) == (unit == 4) and "LDGSTS.E" in text and "LDS.128" in text
    assert "STL" not in text and "LDL" not in text


@pytest.mark.parametrize("capability", ["80", "120"])
def test_small_kernels_compile(capability):
    for kernel, args in ((pack, (np.zeros((2, 3, 4), np.float32), 1, np.zeros((2, 4, 3), np.float32))), (add_parts, (X, X))):
        found = jit.binary(kernel.on_gpu, tuple(map(gpu_type, args)), capability).resources
        assert not found.spill_bytes and not found.stack_bytes
