"""The GPU, beside PyTorch with cuDNN where that is installed: `python benchmarks/gpu.py [--quick] [--json FILE]`

How fast: what a launch costs the host; how much of the time that sending a batch takes is hidden behind the kernels; convolutions forward,
by their input and by their kernel, in float32 (PyTorch with TensorFloat-32 off), tf32 and bf16; training of ResNet-50 in images a second;
the latency of one image. And whether it is right: the losses of ten steps of ResNet-18 on both, and every layer's outputs and gradients on
the GPU against the CPU. One JSON file (build/gpu.json), written after each part, and tables. `--only PART` does one part.

With NUMBACNN_SIMULATE=1 and --quick it runs on the simulated GPU, which shows that it works and nothing about speed.
"""

import argparse
import contextlib
import json
import platform
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from gpu_report import console, show

import numbacnn as nn
from numbacnn import registry
from numbacnn.backends.cuda import CUDA, simulating
from numbacnn.errors import NumbacnnError
from numbacnn.plan import Plan
from numbacnn.testing.layers import draw_weights, graph_of
from numbacnn.testing.twins import check_twin

ROOT = Path(__file__).resolve().parent.parent
PRECISIONS = ("float32", "tf32", "bf16")
CONVOLUTIONS = (  # batch, size, inputs, outputs, kernel, stride
    (32, 224, 3, 64, 7, 2),
    (32, 56, 64, 64, 3, 1),
    (32, 56, 64, 256, 1, 1),
    (32, 56, 128, 128, 3, 2),
    (32, 28, 128, 128, 3, 1),
    (32, 28, 512, 128, 1, 1),
    (32, 14, 256, 256, 3, 1),
    (32, 14, 1024, 256, 1, 1),
    (32, 7, 512, 512, 3, 1),
    (32, 7, 2048, 512, 1, 1),
)
PARTS = ("launch", "overlap", "resnet18", "convolutions", "training", "latency", "layers")


def peer() -> Any:
    """PyTorch, where it is installed and sees a GPU."""
    with contextlib.suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            return torch
    return None


# ---- right


def layers_agree(backend: CUDA, names: list[str]) -> dict:
    """The largest error of each layer, and what went wrong."""
    worst, wrong = {}, {}
    for name in names:
        for layer, *shapes in registry.layers[name].examples():
            try:
                worst[name] = max(worst.get(name, 0.0), check_twin(layer, *shapes, driver=backend.driver))
            except (AssertionError, NumbacnnError) as error:
                wrong[name] = str(error)[:300]
    return {"largest error": worst, "wrong": wrong}


def ten_steps(size: int, steps: int) -> dict:
    """Losses of ResNet-18 from the same weights on the same pictures."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((8, size, size, 3)).astype(np.float32), generator.integers(0, 10, 8)
    losses = {}
    for device in ("cpu", "cuda"):
        model = nn.build("resnet18", classes=10, input_shape=(size, size, 3), seed=1)
        model.compile(nn.SGD(0.01, momentum=0.9), "cross_entropy", device=device)
        losses[device] = model.fit(x, y, epochs=steps, batch_size=8, shuffle=False)["train_loss"]
    apart = float(np.max(np.abs(np.subtract(losses["cpu"], losses["cuda"])) / np.abs(losses["cpu"])))
    return losses | {"largest relative difference": apart}


# ---- fast


def seconds(run: Callable[[], None], wait: Callable[[], None], budget: float) -> float:
    """Of one run, when many follow each other: the smallest of five rounds."""
    for _ in range(3):
        run()
    wait()
    start = time.perf_counter()
    run()
    wait()
    count = max(1, int(budget / 5 / max(time.perf_counter() - start, 1e-6)))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            run()
        wait()
        best = min(best, (time.perf_counter() - start) / count)
    return best


def convolution(backend: CUDA, shape: tuple, precision: str, budget: float) -> dict[str, float]:
    """Seconds of the three directions of one layer."""
    batch, size, inputs, outputs, kernel, stride = shape
    layer = registry.layers["Conv2D"](outputs, kernel, stride, "same", use_bias=False)
    weights = {k: v.astype(np.float32) for k, v in draw_weights(layer, [(size, size, inputs)], np.random.default_rng(0)).items()}
    plan = Plan(graph_of(layer, (size, size, inputs)), batch, weights, backend, training=True, trainable=frozenset({"layer"}), precision=precision)
    parts: dict[str, list] = {"forward": [], "by input": [], "by kernel": []}
    for launch, call in zip(plan.launches, plan.calls[len(plan.calls) - len(plan.launches) :], strict=True):
        kind = "forward" if launch.phase == "forward" else "by kernel" if launch.choice and launch.choice.kind == "weights" else "by input"
        parts[kind].append(call)
    return {kind: seconds(backend.replay(calls), backend.driver.wait, budget) for kind, calls in parts.items() if calls}


def convolution_of_torch(torch: Any, shape: tuple, precision: str, budget: float) -> dict[str, float]:
    batch, size, inputs, outputs, kernel, stride = shape
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    side = -(-size // stride)
    total = max((side - 1) * stride + kernel - size, 0)
    given = {"device": "cuda", "dtype": dtype}
    x = torch.randn(batch, inputs, size + total, size + total, **given).contiguous(memory_format=torch.channels_last)
    w = torch.randn(outputs, inputs, kernel, kernel, **given).contiguous(memory_format=torch.channels_last)
    dy = torch.randn(batch, outputs, side, side, **given).contiguous(memory_format=torch.channels_last)

    def back(mask: tuple) -> Callable:
        return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, (stride,) * 2, (0, 0), (1, 1), False, (0, 0), 1, mask)

    runs = {"forward": lambda: torch.conv2d(x, w, stride=stride), "by input": back((True, False, False)), "by kernel": back((False, True, False))}
    return {kind: seconds(run, torch.cuda.synchronize, budget) for kind, run in runs.items()}


def convolutions(backend: CUDA, torch: Any, shapes: tuple, budget: float) -> list[dict]:
    rows = []
    for precision in PRECISIONS:
        for shape in shapes:
            batch, size, inputs, outputs, kernel, stride = shape
            work = 2 * batch * (-(-size // stride)) ** 2 * kernel**2 * inputs * outputs
            ours = convolution(backend, shape, precision, budget)
            theirs = convolution_of_torch(torch, shape, precision, budget) if torch else {}
            for kind, spent in ours.items():
                row = {"precision": precision, "shape": shape, "kind": kind, "seconds": spent, "teraflops": work / spent / 1e12}
                rows.append(row | ({"cudnn": theirs[kind], "ratio": theirs[kind] / spent} if kind in theirs else {}))
    return rows


def training(name: str, batch: int, size: int, precision: str, budget: float) -> float:
    """Images a second of whole steps: forward, backward, update, with the batch sent each time."""
    model = nn.build(name, classes=1000, input_shape=(size, size, 3), seed=1)
    model.compile(nn.SGD(0.01, momentum=0.9), "cross_entropy", device="cuda", precision=precision)
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((batch, size, size, 3)).astype(np.float32), generator.integers(0, 1000, batch)
    return batch / seconds(lambda: model.train_on_batch(x, y), model.network.backend.driver.wait, budget)


def trained(torch: Any, network: str, batch: int, size: int, precision: str, budget: float) -> dict[str, Any]:
    """Both sides' images a second."""
    ours = training(network, batch, size, precision, budget)
    theirs = training_of_torch(torch, network, batch, size, precision, budget) if torch else None
    return {"network": network, "batch": batch, "images a second": ours, "PyTorch": theirs}


def training_of_torch(torch: Any, name: str, batch: int, size: int, precision: str, budget: float) -> float | None:
    try:
        import torchvision
    except ImportError:
        return None
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    net = torchvision.models.get_model(name).cuda().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
    x, y = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last).pin_memory(), torch.randint(1000, (batch,)).pin_memory()

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(net(x.cuda(non_blocking=True)), y.cuda(non_blocking=True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return batch / seconds(step, torch.cuda.synchronize, budget)


def latency(name: str, size: int, budget: float) -> float:
    """Seconds from an image to its answer."""
    model = nn.build(name, classes=1000, input_shape=(size, size, 3), seed=1)
    model.network.use("cuda")
    x = np.zeros((1, size, size, 3), np.float32)
    return seconds(lambda: model.predict(x), lambda: None, budget)


def launch_cost(backend: CUDA) -> dict[str, float]:
    """Microseconds of the host for a launch: one by one, and in a graph of a hundred."""
    from numbacnn.plan.kernels import copy

    array = backend.constant(np.zeros(32, np.float32))
    call = backend.bind(copy, (array, backend.view(backend.allocate(128), 0, (32,), np.float32)))
    count, replay = 100, backend.replay([call] * 100)
    for _ in range(4):
        replay()
    backend.driver.wait()
    found = {}
    for name, run in (("one by one", lambda: [call() for _ in range(count)]), ("graph", replay)):
        start = time.perf_counter()
        for _ in range(10):
            run()
        found[name] = (time.perf_counter() - start) / 10 / count * 1e6
        backend.driver.wait()
    return found


def overlap(backend: CUDA, kilobytes: int) -> dict[str, float]:
    """Seconds of sending a batch, of kernels as long, and of both together: together = the longer one means that all is hidden."""
    from numbacnn.plan.kernels import copy

    n = kilobytes << 8
    values, target = np.zeros(n, np.float32), backend.view(backend.allocate(4 * n), 0, (n,), np.float32)
    x, y = (backend.view(backend.allocate(4 * n), 0, (n,), np.float32) for _ in range(2))
    call = backend.bind(copy, (x, y))
    wait = backend.driver.wait
    send = seconds(lambda: backend.upload([(target, values)]), wait, 0.5)
    one = seconds(call, wait, 0.2)
    kernels = backend.replay([call] * max(1, round(send / one)))

    def both() -> None:
        kernels()
        backend.upload([(target, values)])

    return {"send": send, "kernels": seconds(kernels, wait, 0.5), "together": seconds(both, wait, 0.5)}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a few layers, small shapes")
    options.add_argument("--json", type=Path, default=ROOT / "build" / "gpu.json")
    options.add_argument("--only", action="append", choices=PARTS, help="this part; again for more")
    given = options.parse_args()
    backend, torch = CUDA(), peer()
    names = [n for n in registry.layers if registry.layers[n].__name__ == n]
    names, budget = (["ReLU", "Conv2D"], 0.01) if given.quick else (names, 0.2)
    shapes = ((1, 6, 4, 8, 3, 1),) if given.quick else CONVOLUTIONS
    network, batch, size = ("small", 2, 16) if given.quick else ("resnet50", 64, 224)
    result: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "gpu": backend.driver.name,
        "simulated": simulating(),
        "python": platform.python_version(),
        "peer": f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}" if torch else None,
        "failed": {},
        "seconds": {},
    }
    parts = {
        "launch": lambda: launch_cost(backend),
        "overlap": lambda: overlap(backend, 8 if given.quick else 64 << 10),
        "resnet18": lambda: ten_steps(*((32, 10) if not given.quick else (8, 1))),
        "convolutions": lambda: convolutions(backend, torch, shapes, budget),
        "training": lambda: {p: trained(torch, network, batch, size, p, 20 * budget) for p in PRECISIONS},
        "latency": lambda: {network: latency(network, size, 10 * budget)},
        "layers": lambda: layers_agree(backend, names),
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    for name in given.only or parts:
        start = time.perf_counter()
        try:
            result[name] = parts[name]()
        except Exception as error:  # the other parts' figures are worth having
            result["failed"][name] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        result["seconds"][name] = time.perf_counter() - start
        given.json.write_text(json.dumps(result, indent=1) + "\n")  # what is there survives a limit of time
        console.print(f"{name}: {result['seconds'][name]:.1f} s")
    show(result)
    return bool(result["failed"] or result.get("layers", {}).get("wrong"))


if __name__ == "__main__":
    raise SystemExit(main())
