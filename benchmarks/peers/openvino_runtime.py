"""OpenVINO as a contestant: `python -m peers.openvino_runtime`, in benchmarks/."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
from contest.worker import serve

from .exported import Exported

THREADS = int(os.environ.get("CONTEST_THREADS", "2"))
OPTIONS = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def load(file: Path, x: np.ndarray) -> Callable[[], np.ndarray]:
    compiled = openvino.Core().compile_model(file, "CPU", OPTIONS)
    return lambda: compiled({0: x}, share_inputs=True, share_outputs=True)[0]


def facts() -> dict:
    return {"versions": {"openvino": openvino.__version__}, "threads": THREADS}


if __name__ == "__main__":
    serve({"network": functools.partial(Exported, load)}, facts)
