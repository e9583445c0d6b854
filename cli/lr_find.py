"""`numbacnn lr-find`: which learning rate to begin with, from one short run through rising rates."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from numbacnn import registry

from . import out as runs
from .job import Preparation
from .options import AUTO, AutoOrModel, Number, OneOf, Registered, Size, plain

UNUSED = {
    "lr": None,
    "epochs": 1,
    "freeze_epochs": None,
    "domain": "near",
    "weights": "imagenet",
    "labels": None,
    "resize": AUTO,
    "precision": "float32",
}  # settings of fit

if TYPE_CHECKING:
    from rich.console import Console


@click.command("lr-find", short_help="Find a learning rate for a folder of pictures.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", type=AutoOrModel(), default=AUTO, help="As for fit: auto, a registered architecture, or a model file to go on from.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", show_default="runs/<folder>-lr.png", help="The curve, as a picture or (.csv) a table.")
@click.option("--start", type=Number(0), default="1e-7", help="Lowest learning rate.")
@click.option("--end", type=Number(0), default="10", help="Highest learning rate.")
@click.option("--steps", type=click.IntRange(min=5), default=100, help="How many rates are tried, one a batch.")
@click.option("--size", type=Size(), show_default="the model's own, or 64", help="Height and width that pictures are resized to.")
@click.option("--color", type=OneOf("color", "rgb", "gray"), default="rgb", help="Channels of the network's input.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, help="Pictures in a training step.")
@click.option("--optimizer", type=Registered(registry.optimizers), default="Adam", help="SGD, RMSprop, Adam, AdamW or a plugin's.")
@click.option("--loss", type=Registered(registry.losses), default="cross_entropy", help="What training makes small.")
@click.option("--augment", type=Registered(registry.augmentations), default="light", help="Random changes to pictures: none, light, full or a plugin's.")
@click.option("--valid", type=Number(0, 1, inclusive=True), default="0.2", help="Share of each class that is held out, where FOLDER has no valid/.")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, help="Of the split, the weights, the order and the augmentation.")
@click.option("--device", type=OneOf("device", "auto", "cpu", "cuda"), default="auto", help="Where to train.")
@click.option("--threads", type=click.IntRange(min=1), show_default="all cores", help="CPU threads.")
@click.option("--quiet", is_flag=True, help="Print the suggestion only.")
@click.pass_context
def lr_find(
    ctx: click.Context,
    folder: Path,
    out: Path | None,
    start: float,
    end: float,
    steps: int,
    device: str,
    threads: int | None,
    quiet: bool,
    **chosen: Any,
) -> None:
    """Train a model on FOLDER for a few batches while the learning rate rises, and say which one to begin with.

    Give `numbacnn fit` the same options and --lr with the suggestion. Nothing of what was learned is kept.
    """
    import sys

    from rich.console import Console

    from numbacnn.backends import open_backend

    from .progress import Progress

    open_backend(device, threads)
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    given = {name for name in chosen if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    settings = {k: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}
    job = Preparation(folder, folder, given, device, threads, settings | UNUSED).start()
    with Progress(console, not quiet and sys.stdout.isatty() and not console.is_dumb_terminal) as progress:
        job.model.network.progress = progress.on_compile
        found = job.model.lr_find(job.train, start=start, end=end, steps=steps, seed=settings["seed"])
    if quiet:
        click.echo(f"{found.suggestion:.2g}")
    else:
        report(found, found.save(out or runs.RUNS / f"{folder.resolve().name}-lr.png"), console)


def report(found: Any, file: Path, console: "Console") -> None:
    """Say what was found and where the curve is."""
    console.print(f"{len(found.rates)} learning rates tried, from {found.rates[0]:.2g} to {found.rates[-1]:.2g}; the curve is in {plain(file)}")
    console.print(f"suggestion: {found.suggestion:.2g} (half way down the curve's descent); the loss falls the fastest at {found.steepest:.2g}")
