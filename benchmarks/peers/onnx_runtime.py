"""ONNX Runtime as a contestant: `python -m peers.onnx_runtime`, in benchmarks/."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from contest.worker import serve

from .exported import Exported

THREADS = int(os.environ.get("CONTEST_THREADS", "2"))


def load(file: Path, x: np.ndarray) -> Callable[[], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def facts() -> dict:
    return {"versions": {"onnxruntime": onnxruntime.__version__}, "threads": THREADS}


if __name__ == "__main__":
    serve({"network": functools.partial(Exported, load)}, facts)
