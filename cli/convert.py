"""`numbacnn convert`: from one format of model and weight files into another."""

import warnings
from pathlib import Path
from typing import Any

import click

from numbacnn.errors import ConfigError

from .architecture import OPTIONS, open_model
from .options import ModelOrFile, OneOf, Size, plain

FORMATS = ("numbacnn", "keras", "keras_h5", "weights_h5", "legacy_weights")  # store.recognize.Format without torch, known without an import


@click.command(short_help="Turn model and weight files into other formats.")
@click.argument("source", metavar="SRC", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", metavar="DST", type=click.Path(path_type=Path))
@click.option("--to", type=OneOf("format", *FORMATS), help="Format of DST. Default: keras for .keras, weights_h5 for .weights.h5, else numbacnn.")
@click.option("--model", type=ModelOrFile(), help="For an SRC that holds weights alone: the model that they belong to.")
@click.option("--by-name", is_flag=True, help="Weights go into the layers of --model that have the same name; others are left out.")
@click.option("--skip-mismatch", is_flag=True, help="Weights that do not fit --model are left out.")
@click.option("--size", type=Size(), default="224", help="Height and width of --model's input, for a registered architecture.")
@click.option("--color", type=OneOf("color", "rgb", "gray"), default="rgb", help="Channels of that input.")
@click.option("--classes", type=click.IntRange(min=1), default=1000, help="Outputs of that architecture.")
@click.option("--force", is_flag=True, help="Replace DST if it is there.")
@click.pass_context
def convert(ctx: click.Context, source: Path, target: Path, to: str | None, force: bool, **options: Any) -> None:
    """Turn SRC, a file of numbacnn, Keras or PyTorch, into DST.

    \b
    numbacnn        a model file of numbacnn
    keras           a .keras archive for Keras 3
    keras_h5        one .h5 file that Keras 3 and tf.keras 2 open
    weights_h5      Keras' .weights.h5, weights alone
    legacy_weights  Keras' older layout of weights in HDF5
    """
    import numbacnn as nn
    from numbacnn.store import files
    from numbacnn.store.recognize import recognize

    if target.exists() and (target.is_dir() or not force):
        raise ConfigError(f"{plain(target)} exists: choose another name" + ("" if target.is_dir() else ", or replace it with --force"))
    kind = files.format_of(target, to)
    if recognize(source).whole:
        if given := _given(ctx, "model", "by_name", "skip_mismatch", *OPTIONS):
            raise ConfigError(f"--{given[0].replace('_', '-')} is for files of weights alone; {plain(source)} holds a whole model")
        model = nn.load(source)
    else:
        model = _with_weights(ctx, source, **options)
    if kind.whole:
        model.save(target, kind)
    else:
        model.save_weights(target, kind)
    click.echo(f"{plain(target)}: {kind.title}, {len(model.handles)} layers, {model.count_params():,} parameters")


def _given(ctx: click.Context, *names: str) -> list[str]:
    return [n for n in names if ctx.get_parameter_source(n) is not click.core.ParameterSource.DEFAULT]


def _with_weights(ctx: click.Context, source: Path, model: str | Path | None, by_name: bool, skip_mismatch: bool, **architecture: Any) -> Any:
    if model is None:
        raise ConfigError(f"{plain(source)} holds weights alone: say with --model which model they belong to, a registered name or a model file")
    made = open_model(ctx, model, **architecture)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.load_weights(source, by_name=by_name, skip_mismatch=skip_mismatch)
    for warning in caught:
        click.echo(f"numbacnn: {warning.message}", err=True)
    return made
