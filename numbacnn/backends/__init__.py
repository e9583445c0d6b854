"""Where a plan runs. A backend gives memory, moves arrays in and out, binds kernels and replays the bound launches.

Only plan/ and backends/ know which device it is.
"""

import ctypes
import functools
import sys
import warnings
from typing import Any

from ..errors import DeviceError

DEVICES = ("auto", "cpu", "cuda")
LIBRARY = {"win32": "nvcuda.dll", "darwin": "libcuda.dylib"}.get(sys.platform, "libcuda.so.1")


class DeviceWarning(UserWarning):
    """A GPU is there, but cannot be used."""


@functools.cache
def has_driver() -> bool:
    """Whether NVIDIA's driver is installed. Nothing of CUDA is imported to find out."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def open_backend(device: str = "auto", threads: int | None = None) -> Any:
    """The backend behind a device's name; "auto" takes a GPU where there is one that can be used, else the CPU.

    Raises DeviceError for a device that is not there, with the reason.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}: use one of {', '.join(DEVICES)}")
    if device == "cuda" or (device == "auto" and _gpu()):
        from .cuda import CUDA

        return CUDA()
    from .cpu import CPU

    return CPU(threads)


@functools.cache
def _gpu() -> bool:
    """Whether "auto" means a GPU; says once why not, where there is a driver."""
    from .driver import absent, first_gpu

    if not has_driver():
        return False
    try:
        if reason := absent():
            raise DeviceError(reason)
        first_gpu()
    except DeviceError as error:
        warnings.warn(f"running on the CPU: {error}", DeviceWarning, stacklevel=4)
        return False
    return True
