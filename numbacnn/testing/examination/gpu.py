"""A layer's kernels on a GPU, where there is none: simulated, and compiled."""

import contextlib
import importlib.util
import re

import numba

from ... import jit
from ...backends.cuda import CUDA
from ...backends.simulated import Simulated
from ...errors import DeviceError
from ...layer import Layer
from ...twin import gpu_type
from ..twins import check_twin
from .launches import arguments, float32_plans
from .mark import Skip

ARCHITECTURES = ("75", "80", "90")
_DOUBLE = re.compile(r"^\s*\w+(?:\.\w+)*\.f64\b.*$", re.MULTILINE)


def simulated(cls: type[Layer]) -> str:
    """Outputs and gradients of every example on a simulated GPU against the CPU's, threads in both orders."""
    if importlib.util.find_spec("greenlet") is None:
        raise Skip("the simulator needs greenlet: pip install greenlet")
    worst = max(check_twin(layer, *shapes) for layer, *shapes in cls.examples())
    return f"largest difference from the CPU {worst:.0e}"


def compiled(cls: type[Layer]) -> str:
    """Every kernel compiles for GPUs of several generations, without spilling, and without float64 in float32 kernels that don't mean it."""
    with contextlib.suppress(DeviceError):
        jit.cubin.library()
        return _compile(cls)
    raise Skip("needs the extra [cuda]: pip install 'numbacnn[cuda]'")


def _compile(cls: type[Layer]) -> str:
    most = 0
    kernels = {
        (launch.kernel, tuple(map(gpu_type, launch.kernel.seen(arguments(launch)))))
        for plan in float32_plans(cls, CUDA(Simulated()))
        for launch in (*plan.prologue, *plan.launches)
    }
    for kernel, types in kernels:
        twin = kernel.on_gpu
        for arch in ARCHITECTURES:
            if twin.least and int(arch) < twin.least:
                continue
            needs = jit.binary(twin, types, arch).resources
            assert not needs.spill_bytes, f"kernel {kernel.__name__} spills {needs.spill_bytes} bytes of registers on sm_{arch}: keep fewer values at a time"
            most = max(most, needs.registers)
        if not kernel.wide and not any(_has_float64(kind) for kind in types):
            found = _DOUBLE.search(jit.ptx(twin, types))
            assert not found, f"kernel {kernel.__name__} computes with float64 on a GPU ({found[0].strip()}): write x.dtype.type(0.5) instead of 0.5"
    return f"{len(kernels)} kernels, at most {most} registers"


def _has_float64(kind: numba.types.Type) -> bool:
    if isinstance(kind, numba.types.BaseTuple):
        return any(map(_has_float64, kind))
    return getattr(kind, "dtype", kind) == numba.types.float64
