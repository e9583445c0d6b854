"""Kernels compiled by several processes at once: Numba compiles one at a time in a process.

A worker gets (kernel, signatures) by their recipes and compiles them into the cache, where this process then finds them. Whatever
a worker cannot do (a kernel from `__main__`, an error in a plugin's kernel) is left to this process, which then says why.

NUMBACNN_WORKERS  how many processes; 0: compile here (default: one a core)
"""

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .. import jit

FEWEST = 4  # kernels that are worth starting processes for: a worker takes a second or two to import Numba


def workers(missing: int) -> int:
    """How many processes to start for that many kernels."""
    wanted = int(os.environ.get("NUMBACNN_WORKERS") or jit.available_threads())
    return 0 if missing < FEWEST or wanted < 2 else min(wanted, missing // 2)


def compile_ahead(wanted: list[tuple[jit.Kernel, tuple]], progress: Callable[[int, int, str], None] | None = None) -> None:
    """Compile what is not in the cache yet. `progress` hears how many are done, of how many, and what comes next."""
    jobs: dict[int, tuple[jit.Kernel, list]] = {}
    for kernel, signature in dict.fromkeys(wanted):  # many launches share one; each look reads a file
        if not kernel.is_ready(signature):
            jobs.setdefault(id(kernel), (kernel, []))[1].append(signature)
    todo: queue.SimpleQueue = queue.SimpleQueue()
    total = 0
    for kernel, signatures in sorted(jobs.values(), key=lambda job: -job[0].source[1] * len(job[1])):  # the longest first
        if (packed := _pack(kernel, signatures)) is not None:
            todo.put((packed, kernel.__name__, len(signatures)))
            total += len(signatures)
    count = workers(total)
    if not count:
        return
    start, done, lock = time.perf_counter(), 0, threading.Lock()

    def feed() -> None:
        nonlocal done
        with _start() as process:
            while True:
                try:
                    packed, name, size = todo.get_nowait()
                    process.stdin.write(packed)
                    process.stdin.flush()
                    answer = process.stdout.readline()
                except (queue.Empty, OSError):  # all done, or the worker died: this process compiles what is left
                    break
                with lock:
                    done += size
                    jit.statistics.compiled += size * (answer == b"done\n")
                    if progress:
                        progress(done, total, name)
            with suppress(OSError):  # what a dead worker did not take
                process.stdin.close()

    threads = [threading.Thread(target=feed, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jit.statistics.seconds += time.perf_counter() - start


def _pack(kernel: jit.Kernel, signatures: list) -> bytes | None:
    try:
        return pickle.dumps((kernel, signatures))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None  # made inside a function: only this process knows it


def _start() -> subprocess.Popen:
    paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
    command = [sys.executable, "-c", "from numbacnn.backends.compilers import work; work()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths})


def work() -> None:
    """What a worker does: read pickled jobs from standard input, answer each with a line."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a plugin prints while it is imported is no answer
    while True:
        try:
            kernel, signatures = pickle.load(sys.stdin.buffer)
            for signature in signatures:
                kernel.compile(signature)
        except EOFError:
            return
        except Exception:
            answers.write(b"failed\n")  # the process that asked compiles it itself, and says why it cannot
        else:
            answers.write(b"done\n")
