"""Where a plan runs. A backend gives memory, moves arrays in and out, binds kernels and replays the bound launches.

Only plan/ and backends/ know which device it is.
"""

from typing import Any

from ..errors import DeviceError

DEVICES = ("auto", "cpu", "cuda")


def open_backend(device: str = "auto", threads: int | None = None) -> Any:
    """The backend behind a device's name; "auto" takes a GPU where this version can use one, else the CPU.

    Raises DeviceError for a device that is not there.
    """
    if device in ("auto", "cpu"):
        from .cpu import CPU

        return CPU(threads)
    if device == "cuda":
        raise DeviceError("device 'cuda' cannot be used: this version of numbacnn has no CUDA backend yet; use 'cpu' or 'auto'")
    raise DeviceError(f"unknown device {device!r}: use one of {', '.join(DEVICES)}")
