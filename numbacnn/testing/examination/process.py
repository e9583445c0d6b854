"""The other process of an examination, seen from this one: what it says, and how it ended."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress

START = 120.0  # seconds that it may take to import numbacnn and the plugin, at least
_COMMAND = "from numbacnn.testing.examination.worker import work; work()"


class Process:
    """A worker (worker.py) with its order. environment: variables that it gets beside ours."""

    def __init__(self, order: dict, environment: Mapping[str, str]):
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)
        given = {**os.environ, "PYTHONPATH": path, "NUMBACNN_POISON": "1", **environment}
        given.setdefault("NUMBA_NUM_THREADS", str(max(4, os.cpu_count() or 1)))
        given.pop("NUMBACNN_SERIAL", None)
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=given, text=True, encoding="utf-8"
        )
        self.errors: list[str] = []
        self.ended = self.late = False
        self._lines: queue.SimpleQueue = queue.SimpleQueue()
        self._readers = [threading.Thread(target=f, daemon=True) for f in (self._read, self._read_errors)]
        for thread in self._readers:
            thread.start()
        with suppress(OSError):  # it died at once; `end` tells how
            self.popen.stdin.write(json.dumps(order))
            self.popen.stdin.close()

    def _read(self) -> None:
        for line in self.popen.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in self.popen.stderr:
            self.errors = [*self.errors[-20:], line.strip()]

    def lines(self, timeout: float) -> Iterator[dict]:
        """What it answers, until it ends or says nothing for too long."""
        wait = max(timeout, START)
        while True:
            try:
                line = self._lines.get(timeout=wait)
            except queue.Empty:
                self.late = True
                return
            if line is None:
                self.ended = True
                return
            yield json.loads(line)
            wait = timeout

    def end(self) -> str:
        """How it ended, "" where all is well."""
        if not self.ended:  # it hangs, or nobody wants to know more
            self.popen.kill()
        code = self.popen.wait()
        for thread in self._readers:
            thread.join()
        self.popen.stdout.close()
        self.popen.stderr.close()
        if self.late:
            return "was ended: the check took too long (--timeout)"
        if code == 0:
            return ""
        last = f": {self.errors[-1]}" if self.errors and self.errors[-1] else ""
        if code < 0:
            name = signal.Signals(-code).name
            return f"died of {name}{', as after a write far out of bounds' if name in ('SIGSEGV', 'SIGBUS', 'SIGABRT') else ''}{last}"
        return f"ended with status {code}{last}"
