"""The runner's side of a contestant: a process, and requests to it (see worker.py)."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent


class NotThere(SystemExit):
    """There is no environment with the peers: ends a benchmark with its message."""


class Refused(RuntimeError):
    """A contestant cannot do what it was asked; the message is its traceback."""


def peers_python() -> Path:
    """The Python that has the peers: NUMBACNN_PEERS (an environment's folder or its Python), else .venv-peers."""
    given = Path(os.environ.get("NUMBACNN_PEERS") or ROOT / ".venv-peers")
    python = given / "bin" / "python" if given.is_dir() else given
    if not python.is_file():
        raise NotThere(f"no Python with the peers at {python}: run `make peers`, or set NUMBACNN_PEERS to an environment with benchmarks/requirements.txt")
    return python


class Contestant:
    """One process that runs a module of benchmarks/, restricted to `threads` threads. Use as a context."""

    def __init__(self, name: str, module: str, python: Path | None = None, threads: int = 2, environment: dict[str, str] | None = None):
        self.name, self.threads = name, threads
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (__exit__ closes it)
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "CONTEST_THREADS"), str(threads))
        self.process = subprocess.Popen(
            [python or sys.executable, "-m", module],
            cwd=HERE,
            env={**os.environ, **counts, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    @classmethod
    def ours(cls, name: str = "numbacnn", threads: int = 2) -> "Contestant":
        return cls(name, "contest.ours", threads=threads)

    @classmethod
    def peer(cls, name: str, module: str, threads: int = 2) -> "Contestant":
        return cls(name, f"peers.{module}", peers_python(), threads)

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):  # it may have died
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def ask(self, do: str, **request: Any) -> dict:
        """The answer to one request; Refused where it fails."""
        with suppress(BrokenPipeError):  # if the process is gone, the empty answer below says so
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise Refused(f"{self.name} ended with status {self.process.wait()} on {do} {request}:\n{self.log.read()[-4000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(f"{self.name}: {answer['error']}")
        return answer

    def prepare(self, key: str, kind: str, **spec: Any) -> str:
        """Make a case; returns its note."""
        return self.ask("prepare", key=key, kind=kind, spec=spec)["note"]

    def show(self, key: str) -> dict[str, np.ndarray]:
        """What a case computes."""
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "shown.npz")
            self.ask("show", key=key, file=file)
            with np.load(file) as arrays:
                return dict(arrays)

    def times(self, key: str, part: str | None = None, steps: int = 1) -> list[float]:
        """Seconds of each step."""
        return self.ask("run", key=key, part=part, steps=steps)["times"]

    def drop(self, key: str) -> None:
        self.ask("drop", key=key)
