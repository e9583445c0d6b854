"""Pass: on a device that works on while the host does something else, what outlives a step changes only while every loss so far was finite.

There the host sees a step's losses when the next one is under way. A permission in the device's memory (`Flat.permission`, one for the plans of
all batch sizes) is withdrawn by the first loss that is not finite, and all launches that change weights, optimizer state or running statistics
ask for it, until the host gives it anew: the weights stay those with which that loss was computed.
"""

from dataclasses import replace
from typing import Any

from ..jit import guarded
from . import kernels
from .buffer import Buffer, Launch


def guard(launches: list[Launch], at: int, seen: list[Buffer], dtype: Any) -> tuple[list[Launch], int, Buffer]:
    """(launches, where those that change something begin, the permission): before those at `at`, each of `seen` is looked at."""
    permission = Buffer((1,), dtype, "permission", "persistent")
    looks = [Launch("optimizer", kernels.withdraw, (values,), (permission,), phase="update") for values in seen]
    late = [launch if launch.kernel.no_gpu else replace(launch, kernel=guarded(launch.kernel), args=(permission, *launch.args)) for launch in launches[at:]]
    return [*launches[:at], *looks, *late], at + len(looks), permission
