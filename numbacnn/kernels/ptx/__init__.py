"""The GPU's own instructions, for CUDA twins: wide loads and stores, copies to shared memory that run beside the computation, tensor cores.

Compiled for a GPU, each name is the PTX instruction that its docstring names. Anywhere else it is an emulation on the host: what the PTX ISA
(Parallel Thread Execution ISA, NVIDIA) says of layouts, alignment and order, acted out in simulator.py's threads. It is no measurement of hardware.
"""

from .copies import cp_async4, cp_async16, cp_commit, cp_wait
from .integers import divide
from .memory import ALIGNMENT, load1, load4, store1, store4
from .tensor import bits, from_bits, mma_bf16, mma_tf32, pack_bf16, to_tf32

__all__ = [
    "ALIGNMENT",
    "bits",
    "cp_async4",
    "cp_async16",
    "cp_commit",
    "cp_wait",
    "divide",
    "from_bits",
    "load1",
    "load4",
    "mma_bf16",
    "mma_tf32",
    "pack_bf16",
    "store1",
    "store4",
    "to_tf32",
]
