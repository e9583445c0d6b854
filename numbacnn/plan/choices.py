"""Which algorithm a shape gets, as measured on this machine: kept in the user's cache folder, one set a kind of CPU."""

import json
import os
from contextlib import suppress
from pathlib import Path

import llvmlite.binding as llvm

from .. import jit


def tuned_file() -> Path:
    """Where measured choices are kept."""
    return jit.cache_folder() / "tuned.json"


def machine() -> str:
    """What measured choices hold for: the CPU and the vector width that kernels are compiled for."""
    from ..kernels.width import BYTES

    return f"{llvm.get_host_cpu_name()}, {8 * BYTES} bits"


def _read() -> dict[str, dict[str, str]]:
    with suppress(OSError, ValueError):  # none yet, or damaged: measured again when somebody tunes
        stored = json.loads(tuned_file().read_text())
        if isinstance(stored, dict) and all(isinstance(v, dict) for v in stored.values()):
            return stored
    return {}


def tuned() -> dict[str, str]:
    """{key of a problem: name of the fastest algorithm} on this kind of machine."""
    return _read().get(machine(), {})


def keep(choices: dict[str, str]) -> Path:
    """Add measured choices to those that are kept; returns the file."""
    stored = _read()
    stored[machine()] = stored.get(machine(), {}) | choices
    file = tuned_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(stored, indent=1))
    os.replace(temporary, file)
    return file
