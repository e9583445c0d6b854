"""`numbacnn warmup`: compiles ahead what training and predicting with a model needs."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from numbacnn import registry
from numbacnn.errors import ConfigError

from .architecture import model_argument, open_model
from .options import Registered

PREDICTED = (1, 32)  # images at once, as `numbacnn predict` and the first picture of many take them


@click.command(short_help="Compile a model's kernels ahead, so that training starts at once.")
@model_argument
@click.option("--batch-size", type=click.IntRange(min=1), default=32, help="Images in a training step.")
@click.option("--optimizer", type=Registered(registry.optimizers), default="Adam", help="SGD, RMSprop, Adam, AdamW or a plugin's.")
@click.option("--loss", type=Registered(registry.losses), default="cross_entropy", help="What training will make small.")
@click.option("--augment", type=Registered(registry.augmentations), default="light", help="Random changes to pictures: none, light, full or a plugin's.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def warmup(ctx: click.Context, batch_size: int, optimizer: str, loss: str, augment: str, quiet: bool, **chosen: Any) -> None:
    """Compile what training and predicting with MODEL_OR_NAME needs, a model file, RUN folder or registered architecture.

    Compiled kernels are kept (in the folder NUMBACNN_CACHE, where that is set): `numbacnn fit` with the same options then finds
    them. Only what is missing is compiled.
    """
    started = time.perf_counter()
    from rich.console import Console

    from numbacnn import jit

    from .progress import Progress

    before = jit.statistics.compiled

    model = open_model(ctx, **chosen)
    if len(model.graph.inputs) > 1:
        raise ConfigError(f"the model has {len(model.graph.inputs)} inputs: warmup is for models of pictures, which have one")
    model.compile(optimizer=registry.optimizers[optimizer](), loss=registry.losses[loss](), metrics=["accuracy"])
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    with Progress(console, not quiet and sys.stdout.isatty() and not console.is_dumb_terminal) as progress:
        model.network.progress = progress.on_compile
        _compile(model, batch_size)
        _compile_pictures(model, batch_size, augment)
    compiled = jit.statistics.compiled - before
    there = jit.statistics.ready - compiled
    say = f"{compiled} kernel{'s' * (compiled != 1)} compiled, {there} already there"
    console.print(f"{say}, {time.perf_counter() - started:.1f} s; they are kept in {jit.cache_folder()}")


def _compile(model: Any, batch_size: int) -> None:
    """The plans that fit, evaluate and predict will want; nothing is run."""
    import numpy as np

    shape = model.graph[model.graph.inputs[0]].layer.shape
    if None in shape:
        raise ConfigError(f"the model takes pictures of any size {shape}: warmup needs a model with a size")
    session, network = model.session, model.network
    session.warm((batch_size, *shape))
    network.plan("evaluate", [np.zeros((batch_size, *shape), np.float32)], losses=session.losses)
    for count in PREDICTED:
        network.plan("predict", [np.zeros((count, *shape), np.float32)])


def _compile_pictures(model: Any, batch_size: int, augment: str) -> None:
    """What turns pictures into batches, by reading some."""
    from PIL import Image

    import numbacnn as nn

    height, width, channels = model.graph[model.graph.inputs[0]].layer.shape
    preprocess = model.preprocess or nn.Preprocess((height, width), "gray" if channels == 1 else "rgb")
    with tempfile.TemporaryDirectory() as folder:
        for label in ("dark", "bright"):
            (Path(folder) / label).mkdir()
            for i in range(2):
                Image.new("RGB", (8, 8), (40 * i,) * 3).save(Path(folder) / label / f"{i}.png")
        for data in nn.image_folder(Path(folder), preprocess=preprocess, batch_size=batch_size, augment=augment, valid=0.5, seed=0):
            next(iter(data.epoch(0)))
