"""Code for a GPU is linked and optimized by nvJitLink, which needs no driver: a cubin, and what a thread and a block need of the GPU.

nvJitLink comes with the extra [cuda] (package nvidia-nvjitlink, reached through cuda-bindings).
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .errors import DeviceError

OLDEST = 75  # compute capability of the oldest GPUs that code is made for: Turing, 2018
MOST_REGISTERS = 255
# Bytes of shared memory that a block may have, by architecture (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability")
MOST_SHARED = {"75": 64 << 10, "80": 163 << 10, "89": 99 << 10, "90": 227 << 10, "90a": 227 << 10, "120": 99 << 10}


@dataclass(frozen=True)
class Resources:
    """What a kernel needs: registers a thread, static shared memory a block in bytes, and bytes a thread spilled to memory or kept on its stack."""

    registers: int
    shared_bytes: int
    spill_bytes: int
    stack_bytes: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def architecture(capability: str) -> tuple:
    """("9", "0", "a") in Numba's form: "90a" -> (9, 0, "a")."""
    digits, letter = re.fullmatch(r"(\d+)([a-z]?)", capability).groups()
    return (int(digits[:-1]), int(digits[-1]), *letter)


def link(codes: Sequence[bytes], capability: str) -> tuple[bytes, str, Resources]:
    """(cubin, name of the kernel in it, what it needs) from pieces of LTO-IR that hold one kernel; capability such as "90a".

    Raises DeviceError with nvJitLink's words where it refuses.
    """
    nvjitlink = library()
    options = [f"-arch=sm_{capability}", "-lto", "-O3", "-verbose", "-Xptxas=-v"]
    handle = nvjitlink.create(len(options), options)
    try:
        try:
            for code in codes:
                nvjitlink.add_data(handle, nvjitlink.InputType.LTOIR, code, len(code), "numbacnn")
            nvjitlink.complete(handle)
        except nvjitlink.nvJitLinkError as error:
            raise DeviceError(f"nvJitLink made no code for sm_{capability}: {_log(nvjitlink, handle, 'error') or error}") from None
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
        log = _log(nvjitlink, handle, "info")
    finally:
        nvjitlink.destroy(handle)
    (name,) = set(re.findall(rb"\x00\.text\.([^\x00]+)\x00", bytes(cubin)))
    return bytes(cubin), name.decode(), _resources(log)


def library() -> Any:
    """cuda.bindings.nvjitlink; DeviceError where it is not installed."""
    try:
        from cuda.bindings import nvjitlink
    except ImportError as error:
        raise DeviceError(f"code for a GPU cannot be made: {error}: pip install 'numbacnn[cuda]'") from None
    return nvjitlink


def _log(nvjitlink: Any, handle: Any, kind: str) -> str:
    size = getattr(nvjitlink, f"get_{kind}_log_size")(handle)
    text = bytearray(size)
    if size > 1:
        getattr(nvjitlink, f"get_{kind}_log")(handle, text)
    return text.decode(errors="replace").replace("\0", "").strip()


def _resources(log: str) -> Resources:
    def number(pattern: str) -> int:
        return sum(map(int, re.findall(pattern, log)))

    return Resources(
        registers=number(r"Used (\d+) registers"),
        shared_bytes=number(r"(\d+)(?:\+\d+)? bytes smem"),
        spill_bytes=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        stack_bytes=number(r"(\d+) bytes stack frame"),
    )
