"""Every kernel, in every precision, compiled for every GPU architecture, without a GPU: `make ptx`.

The kernels are those that plans launch: of every layer's examples, of every loss, optimizer and augmentation, and of some networks. Each is
linked to a cubin by nvJitLink, which says how many registers a thread and how much shared memory a block needs. Nothing may spill,
limits must hold, and nothing may be worse than in the committed baseline (tools/ptx_baseline.json; --accept writes it anew).

    python tools/ptx.py [--layer NAME …] [--arch 90 …] [--precision float32 …] [--accept]

build/ptx.json gets a list of {kernel, arch, precision, registers, shared_bytes, spill_bytes}. Needs the extra [cuda].
"""

import argparse
import concurrent.futures
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from numbacnn import cubin, jit, registry
from numbacnn.backends.cuda import CUDA
from numbacnn.backends.simulated import Simulated
from numbacnn.errors import NumbacnnError
from numbacnn.graph import Graph
from numbacnn.plan import Flat, Layout, Plan
from numbacnn.plan.expand import expand
from numbacnn.simulator import MOST_THREADS, Dim3
from numbacnn.testing.layers import draw_weights, graph_of

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tools" / "ptx_baseline.json"
ARCHITECTURES = ("75", "80", "89", "90", "90a", "120")
PRECISIONS = {"float64": np.float64, "float32": np.float32, "tf32": np.float32, "bf16": np.float32}
NETWORKS = (("resnet18", (64, 64, 3)), ("mobilenet_v2", (64, 64, 3)), ("small", (32, 32, 3)))
FUNCTIONS_BEHIND = (  # that apply an elementwise layer themselves: tiles, small ones, a sum in parts, and the two for groups
    (registry.layers["Conv2D"](128, 3, padding="same"), (32, 32, 64), 64),
    (registry.layers["Conv2D"](17, 1), (8, 8, 3), 2),
    (registry.layers["Dense"](19), (300,), 2),
    (registry.layers["DepthwiseConv2D"](3), (16, 16, 32), 2),
    (registry.layers["Conv2D"](8, 3, groups=2), (8, 8, 8), 2),
)
WIDE = (128, 64)  # filters of convolutions that fill a GPU, and so get the largest tiles
SLACK = 8  # registers by which another version of the compiler may differ


class Collector(Simulated):
    """Notes what would be launched and runs nothing."""

    def __init__(self):
        super().__init__()
        self.wanted: dict[tuple, None] = {}

    def prepare(self, kernel: Any, types: tuple) -> tuple:
        self.wanted[kernel, types] = None
        return super().prepare(kernel, types)


def collect(precision: str, only: list[str]) -> dict[tuple, None]:
    """(kernel, types) pairs of all plans in one precision."""
    driver = Collector()
    backend, options = CUDA(driver), {"dtype": PRECISIONS[precision], "precision": precision}
    generator = np.random.default_rng(0)
    for layer, shapes in layers(only):
        for training in (False, True):
            weights = draw_weights(layer, shapes, generator, PRECISIONS[precision])
            trainable = frozenset({"layer"} if training else ())
            Plan(graph_of(layer, *shapes), 2, weights, backend, training=training, trainable=trainable, **options)
    if not only:
        others(backend, options)
    return driver.wanted


def layers(only: list[str]) -> Iterator[tuple]:
    for name in registry.layers:
        cls = registry.layers[name]
        if cls.__name__ == name != "Input" and (not only or name in only):
            yield from ((layer, shapes) for layer, *shapes in cls.examples())


def others(backend: CUDA, options: dict) -> None:
    """Losses, optimizers and networks."""
    dense = registry.layers["Dense"](4)
    graph = graph_of(dense, (5,))
    weights = {f"layer/{n}": np.zeros(spec.shape, options["dtype"]) for n, spec in dense.weights((5,)).items()}
    for name in registry.losses:
        for loss, shape in registry.losses[name].examples():
            positions = registry.layers["Dense"](shape[-1] if shape else 1)
            own = {f"layer/{n}": np.zeros(s.shape, options["dtype"]) for n, s in positions.weights((*shape[:-1], 5)).items()}
            Plan(graph_of(positions, (*shape[:-1], 5)), 2, own, backend, training=True, trainable=frozenset({"layer"}), losses=[loss], **options)
    for name in registry.optimizers:
        for optimizer in registry.optimizers[name].examples():
            for gathering in (False, True):
                trained(graph, weights, frozenset({"layer"}), optimizer, 2, backend, gathering=gathering, **options)
    for filters in WIDE:
        convolution = registry.layers["Conv2D"](filters, 3, padding="same")
        own = {f"layer/{n}": np.zeros(s.shape, options["dtype"]) for n, s in convolution.weights((32, 32, 64)).items()}
        Plan(graph_of(convolution, (32, 32, 64)), 64, own, backend, training=True, trainable=frozenset({"layer"}), **options)
    import numbacnn as nn

    for layer, shape, batch in FUNCTIONS_BEHIND:
        model = nn.Sequential([nn.Input(shape), layer, nn.Mish()])
        Plan(model.graph, batch, {path: w.astype(options["dtype"]) for path, w in model.network.weights().items()}, backend, **options)
    for name, shape in NETWORKS:
        model = nn.build(name, classes=10, input_shape=shape)
        arrays = {path: array.astype(options["dtype"]) for path, array in model.network.weights().items()}
        Plan(model.graph, 16, arrays, backend, shapes=dict.fromkeys(model.graph.inputs, shape), **options)
        trained(model.graph, arrays, model.network.trainable(), registry.optimizers["SGD"](momentum=0.9), 16, backend, **options)


def trained(graph: Graph, weights: dict, trainable: frozenset[str], optimizer: Any, batch: int, backend: CUDA, **options: Any) -> None:
    """A plan of training steps with an update."""
    owners = {n.weight_path(w): (n.owner, spec) for n in expand(graph).nodes for w, spec in n.layer.weights(*(graph.shapes()[i] for i in n.inputs)).items()}
    layout = Layout.of([(path, weights[path].shape, 0, True) for path, (owner, spec) in owners.items() if owner in trainable and spec.trainable], 1)
    flat = Flat(layout, optimizer.slots, options["dtype"])
    own = weights | {s.path: flat.view(s) for s in layout.segments}
    loss = registry.losses["cross_entropy"]()
    Plan(graph, batch, own, backend, training=True, trainable=trainable, losses=[loss], optimizer=optimizer, flat=flat, **options)


def compile_one(job: tuple) -> list[dict] | str:
    """The rows of one kernel, or what went wrong."""
    kernel, types, precision, architectures = job
    rows = []
    try:
        for arch in architectures:
            if kernel.on_gpu.least and int(arch.rstrip("a")) < kernel.on_gpu.least:
                continue
            found = jit.binary(kernel.on_gpu, types, arch).resources
            signature = ", ".join(map(str, types))
            threads = math.prod(Dim3.of(kernel.on_gpu.threads))
            rows.append({"kernel": kernel.__qualname__, "arch": arch, "precision": precision, **found.to_json(), "threads": threads, "signature": signature})
    except NumbacnnError as error:
        return f"{kernel.__qualname__} ({precision}, {', '.join(map(str, types))}): {error}"
    return rows


def faults(row: dict, baseline: dict[str, dict]) -> list[str]:
    """What is wrong with one kernel."""
    found = []
    if row["spill_bytes"]:
        found.append(f"{row['spill_bytes']} bytes are spilled")
    if row["registers"] > cubin.MOST_REGISTERS:
        found.append(f"{row['registers']} registers, more than {cubin.MOST_REGISTERS}")
    if row["threads"] > MOST_THREADS:
        found.append(f"blocks of {row['threads']} threads, more than {MOST_THREADS}")
    if row["shared_bytes"] > cubin.MOST_SHARED[row["arch"]]:
        found.append(f"{row['shared_bytes']} bytes of shared memory, more than {cubin.MOST_SHARED[row['arch']]}")
    before = baseline.get(key(row))
    if before and row["registers"] > before["registers"] + SLACK:
        found.append(f"{row['registers']} registers, {before['registers']} in the baseline")
    more = [name for name in ("shared_bytes", "stack_bytes") if before and row[name] > before[name]]
    return found + [f"{row[name]} {name.replace('_', ' ')}, {before[name]} in the baseline" for name in more]


def key(row: dict) -> str:
    """By what a kernel is found in the baseline: names of elementwise kernels end in a digest of their functions, which may change."""
    return f"{row['kernel']} {row['arch']} {row['precision']} {row['signature']}"


def shortened(rows: list[dict]) -> dict[str, dict]:
    return {key(row): {n: row[n] for n in ("registers", "shared_bytes", "stack_bytes")} for row in rows}


def table(rows: list[dict]) -> Table:
    """One line a kernel: the most of all its signatures and architectures."""
    shown = Table("kernel", "precision", "registers", "shared bytes", "spilled", "stack", "threads", title="largest over architectures and signatures")
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["kernel"], row["precision"]), []).append(row)
    for (kernel, precision), found in sorted(groups.items()):
        most = [str(max(row[n] for row in found)) for n in ("registers", "shared_bytes", "spill_bytes", "stack_bytes", "threads")]
        shown.add_row(kernel, precision, *most)
    return shown


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--layer", action="append", default=[], help="only this layer's kernels")
    options.add_argument("--arch", action="append", default=[], choices=ARCHITECTURES)
    options.add_argument("--precision", action="append", default=[], choices=list(PRECISIONS))
    options.add_argument("--accept", action="store_true", help="what was found becomes the baseline")
    options.add_argument("--jobs", type=int, default=jit.available_threads())
    given = options.parse_args()
    console, start = Console(), time.perf_counter()
    cubin.library()
    wanted: dict[tuple, str] = {}
    for precision in given.precision or PRECISIONS:
        for pair in collect(precision, given.layer):
            wanted.setdefault(pair, precision)
    console.print(f"{len(wanted)} kernels and signatures were found in {time.perf_counter() - start:.0f} s")
    jobs = [(kernel, types, precision, tuple(given.arch or ARCHITECTURES)) for (kernel, types), precision in wanted.items()]
    rows, wrong = [], []
    with concurrent.futures.ProcessPoolExecutor(given.jobs, multiprocessing.get_context("fork")) as pool:
        for i, result in enumerate(pool.map(compile_one, jobs, chunksize=1), 1):
            if isinstance(result, str):
                wrong.append(result)
            else:
                rows += result
            if i % 50 == 0:
                console.print(f"{i} of {len(jobs)}, {time.perf_counter() - start:.0f} s")
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() and not given.accept else {}
    wrong += [f"{key(row)}: {fault}" for row in rows for fault in faults(row, baseline)]
    (ROOT / "build").mkdir(exist_ok=True)
    names = ("kernel", "arch", "precision", "registers", "shared_bytes", "spill_bytes", "stack_bytes", "threads", "signature")
    (ROOT / "build" / "ptx.json").write_text(json.dumps([{n: row[n] for n in names} for row in rows], indent=0) + "\n")
    console.print(table(rows))
    console.print(f"{len(rows)} cubins in {time.perf_counter() - start:.0f} s, {sum(os.times()[:4]):.0f} s of CPU time")
    if given.accept:
        BASELINE.write_text(json.dumps(shortened(rows), indent=0, sort_keys=True) + "\n")
    for line in wrong:
        console.print(line, style="red", soft_wrap=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
