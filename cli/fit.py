"""`numbacnn fit`: a folder of pictures becomes a model file and a report."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from numbacnn import registry
from numbacnn.errors import ConfigError, NotFiniteError

from . import out as runs
from .job import Job, Preparation, whole
from .options import AUTO, AutoOrModel, Number, OneOf, Rates, Registered, Size, known_models, plain, show_size

if TYPE_CHECKING:
    from rich.console import Console

_SETTINGS = "model weights size resize color freeze_epochs epochs batch_size optimizer lr domain loss augment valid labels seed"
SETTINGS = tuple(_SETTINGS.split())  # what a run keeps
SHOWN = 5  # skipped files that are named


@click.command(short_help="Train an image classifier on a folder of pictures.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="RUN", show_default="runs/<folder>-<n>", help="Folder for the results.")
@click.option(
    "--model",
    type=AutoOrModel(),
    default=AUTO,
    help=f"auto: efficientnet_lite0 with ImageNet weights where they are installed, else small. Or an architecture ({known_models()}) or a model file.",
)
@click.option("--weights", type=OneOf("weights", "imagenet", "none"), default="imagenet", help="What a registered architecture that has them begins with.")
@click.option("--size", type=Size(), show_default="the model's own, or 64", help="Height and width that pictures are resized to.")
@click.option(
    "--resize",
    type=OneOf("resize", AUTO, "stretch", "crop", "pad"),
    default=AUTO,
    help="How pictures become that size. auto: pad those on a white ground, else as ImageNet weights were trained (crop); stretch from scratch.",
)
@click.option("--color", type=OneOf("color", "rgb", "gray"), default="rgb", help="Channels of the network's input.")
@click.option(
    "--freeze-epochs",
    type=click.IntRange(min=0),
    show_default="2",
    help="With ImageNet weights, or a model file for other classes: epochs of the new head alone, first.",
)
@click.option("--epochs", type=click.IntRange(min=0), default=10, help="How often every picture is seen, by all layers.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, help="Pictures in a training step.")
@click.option("--optimizer", type=Registered(registry.optimizers), default="Adam", help="SGD, RMSprop, Adam, AdamW or a plugin's.")
@click.option(
    "--lr",
    type=Rates(),
    show_default="the optimizer's own; 2e-3 with a new head",
    help="Highest learning rate: up to it and down again (one cycle). For layer groups, from early layers to the head: 1e-5,1e-4,1e-3 or 1e-5:1e-3.",
)
@click.option(
    "--domain",
    type=OneOf("domain", AUTO, "near", "far"),
    default=AUTO,
    help="With a new head. far, for pictures unlike photographs (medical, telescopes, drawings): early layers learn faster. auto: far on a white ground.",
)
@click.option("--loss", type=Registered(registry.losses), default="cross_entropy", help="What training makes small (with --labels: binary_cross_entropy).")
@click.option("--augment", type=Registered(registry.augmentations), default="light", help="Random changes to pictures: none, light, full or a plugin's.")
@click.option("--valid", type=Number(0, 1, inclusive=True), default="0.2", help="Share of each class that is held out, where FOLDER has no valid/.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="TABLE.csv", help="Several labels a picture: columns file, labels (separated by ;).")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, help="Of the split, the weights, the order and the augmentation.")
@click.option("--device", type=OneOf("device", "auto", "cpu", "cuda"), default="auto", help="Where to train.")
@click.option("--threads", type=click.IntRange(min=1), show_default="all cores", help="CPU threads.")
@click.option("--resume", is_flag=True, help="Go on with RUN's checkpoint and its settings (without --out: with the last run on FOLDER).")
@click.option("--force", is_flag=True, help="Replace an earlier run in RUN.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def fit(ctx: click.Context, folder: Path, out: Path | None, resume: bool, force: bool, quiet: bool, device: str, threads: int | None, **chosen: Any) -> None:
    """Train an image classifier on FOLDER, which holds a folder of pictures for each class, or train/ and valid/ of those.

    With --labels, pictures may have any number of labels. The table, a CSV file here or in FOLDER, has the columns file (below FOLDER) and
    labels (separated by ";"), and perhaps is_valid (True or False), which then decides what is held out.

    RUN gets model.h5 (the best by validation), checkpoint.h5 (the last), history.csv and summary.json.
    """
    started = time.perf_counter()
    if resume and force:
        raise ConfigError("--resume goes on with a run and --force replaces it: give one of them")
    run = out or (runs.last_run(folder) if resume else runs.next_run(folder))
    given = {name for name in SETTINGS if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if resume:
        runs.check_resumable(run)
    else:
        runs.check_free(run, folder, force)

    from rich.console import Console

    from numbacnn.backends import open_backend
    from numbacnn.train.run_folder import RunFolder

    from .progress import Progress

    open_backend(device, threads)  # a device that is not there is refused before any file is read
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    live = not quiet and sys.stdout.isatty() and not console.is_dumb_terminal
    preparation = Preparation(folder, run, given, device, threads, _jsonable(chosen))
    try:
        job = preparation.resume() if resume else preparation.start()
    except KeyboardInterrupt:
        click.echo("numbacnn: stopped before training began", err=True)
        raise
    if job.epoch >= whole(job.settings):
        console.print(f"{plain(run)} has been trained for all of its {job.epoch} epochs: --epochs {job.settings['epochs'] + 1} or more goes on")
        return
    describe(folder, job, console)
    told = tell_skipped(job, quiet)
    if not resume:
        run = runs.create(run, folder, numbered=out is None)
    keeper, model = job.keeper or RunFolder(run, job.settings), job.model
    keeper.facts, keeper.started = job.facts(), started
    try:
        with Progress(console, live) as progress:
            model.network.progress = progress.on_compile
            job.fit([*([] if resume else [runs.Replacement(run)]), *job.callbacks(), keeper, *([] if quiet else [progress])], keeper.position)
    except KeyboardInterrupt:
        _say_how_to_go_on(folder, run)
        raise
    except NotFiniteError as error:
        kept = f" The last good model is {plain(run / 'model.h5')}." if keeper.best else ""
        raise NotFiniteError(f"{error}{kept}") from None
    finally:
        model.network.progress = None
        runs.discard_empty(run)
    if keeper.facts != job.facts():  # damage that only decoding found
        keeper.facts = job.facts()
        keeper.write_summary()
    tell_skipped(job, quiet, told)
    _report(run, console)


def describe(folder: Path, job: Job, console: "Console") -> None:
    """Say what will be trained on what."""
    held = f"{job.valid.images} to validate" if job.valid else "none to validate"
    form = f"{show_size(job.settings['size'])} {job.settings['color']}"
    kinds = "labels" if job.train.task == "multi_label" else "classes"
    console.print(f"{plain(folder)}: {len(job.train.classes)} {kinds}, {job.train.images} images to train, {held}; {form}")
    backend = job.model.network.backend
    cores = f", {backend.threads} thread{'s' * (backend.threads > 1)}" if backend.name == "cpu" else ""
    console.print(f"{plain(job.settings['model'])}: {job.model.count_params():,} parameters; {backend.name}{cores}")
    if job.note:
        console.print(job.note, markup=False)


def tell_skipped(job: Job, quiet: bool, told: int = 0) -> int:
    """Name the first files that were left out and were not told yet; returns how many are told."""
    news = job.skipped[told:]
    if news and not quiet:
        click.echo(f"skipped {len(news)} file{'s' * (len(news) > 1)}:", err=True)
        for path, reason in news[:SHOWN]:
            click.echo(f"  {plain(path)}: {reason}", err=True)
        if len(news) > SHOWN:
            click.echo(f"  … and {len(news) - SHOWN} more", err=True)
    return told + len(news)


def _jsonable(chosen: dict[str, Any]) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}


def _say_how_to_go_on(folder: Path, run: Path) -> None:
    if (run / runs.CHECKPOINT).is_file():
        command = shlex.join(["numbacnn", "fit", plain(folder), "--out", plain(run), "--resume"])
        click.echo(f"numbacnn: stopped; go on with: {command}", err=True)
    else:
        click.echo("numbacnn: stopped before there was anything to keep", err=True)


def _report(run: Path, console: "Console") -> None:
    best = json.loads((run / "summary.json").read_text())
    if best.get("valid_loss") is not None:
        measure = best["best_by"].removeprefix("valid_").replace("_", " ")
        console.print(f"best epoch: {best['best_epoch']}, valid {measure} {best[best['best_by']]:.4f}, valid loss {best['valid_loss']:.4f}")
    console.print(f"model.h5 (best), checkpoint.h5 (last), history.csv and summary.json are in {plain(run)}")
    console.print(f"try: {shlex.join(['numbacnn', 'predict', plain(run)])} IMAGE…")
