"""Threads that read and decode, out of the way of the kernels."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ..jit import available_threads

NICENESS = 19


@contextlib.contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads of low priority, one a core; leaving drops what they have not begun and waits for the rest."""
    pool = ThreadPoolExecutor(available_threads(), "numbacnn-data", _yield_cores)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _yield_cores() -> None:
    """Lower this thread's priority: a fork-join kernel waits for its slowest thread, so whoever takes a core delays it as a whole."""
    if sys.platform == "linux":  # elsewhere this number would not be a thread's
        with contextlib.suppress(OSError):  # a sandbox may forbid it: slower then, not wrong
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
