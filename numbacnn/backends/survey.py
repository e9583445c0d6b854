"""Which devices there are, and why one cannot be used."""

import platform
from dataclasses import dataclass

from numba.core import config
from numba.core.registry import cpu_target

from .. import jit
from ..errors import DeviceError
from .cuda import simulating


@dataclass(frozen=True)
class Device:
    """name: what `device=` takes; reason: why it cannot be used, None if it can."""

    name: str
    what: str
    reason: str | None = None


def devices() -> list[Device]:
    """The CPU, and each GPU; where there is none, one entry that says why."""
    features = cpu_target.target_context.codegen()._get_host_cpu_features()
    vectors = next(
        (name for flag, name in (("+avx512f", "AVX-512"), ("+avx2", "AVX2"), ("+neon", "NEON"), ("+sse2", "SSE2")) if flag in features), "no vectors"
    )
    cpu = Device("cpu", f"{platform.processor() or platform.machine()}, {vectors}, {jit.available_threads()} of {config.NUMBA_NUM_THREADS} threads")
    return [cpu, *_gpus()]


def _gpus() -> list[Device]:
    if simulating():
        return [Device("cuda", "simulated GPU (NUMBACNN_SIMULATE=1): for tests, thousands of times slower than a real one")]
    from .driver import Driver

    found, number, count = [], 0, 1
    while number < count:
        try:
            driver = Driver(number, use=False)
        except DeviceError as error:
            return [*found, Device("cuda", f"GPU {number}" if found else "no GPU", str(error))]
        count = driver.count
        memory = f"{driver.total / 2**30:.0f} GiB, compute capability {driver.capability[:-1]}.{driver.capability[-1]}"
        versions = f"{driver.processors} multiprocessors, driver for CUDA {driver.version // 1000}.{driver.version % 1000 // 10}"
        reason = None if number == 0 else "numbacnn uses the first GPU: CUDA_VISIBLE_DEVICES says which one that is"
        found.append(Device("cuda", f"{driver.name}, {memory}, {versions}", reason))
        number += 1
    return found
