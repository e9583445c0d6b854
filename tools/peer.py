"""A Python with Keras that works on jobs while tools/parity.py does something else."""

import json
import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

SIDE = Path(__file__).with_name("keras_side.py")


class Peer:
    """A Python with Keras at work on jobs, in the order in which they are given (tools/keras_side.py)."""

    def __init__(self, python: str, folder: Path):
        command = [python, str(SIDE), str((folder / "compiled").resolve())]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**clean, "KERAS_BACKEND": "jax"})
        self.turns = ThreadPoolExecutor(1)

    def ask(self, job: dict[str, Any]) -> "Future[dict[str, Any]]":
        """The answer to come: {"refused": {ending: reason}, "seconds": …}."""
        return self.turns.submit(self._ask, json.dumps(job))

    def _ask(self, job: str) -> dict[str, Any]:
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"Keras stopped at {job[:200]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.turns.shutdown()
