"""MODEL as an argument: a registered architecture with the size that options give, or a model file with its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from numbacnn.errors import ConfigError

from .options import ModelOrFile, OneOf, Size, known_models

OPTIONS = ("size", "color", "classes")


def model_argument(command: Callable) -> Callable:
    """Decorator: adds MODEL_OR_NAME, --size, --color and --classes; `open_model` makes a model of them."""
    for add in (
        click.option("--classes", type=click.IntRange(min=1), default=1000, help="Outputs of a registered architecture."),
        click.option("--color", type=OneOf("color", "rgb", "gray"), default="rgb", help="Channels of a registered architecture's input."),
        click.option("--size", type=Size(), default="224", help="Height and width of a registered architecture's input."),
        click.argument("model", type=ModelOrFile(), metavar="MODEL_OR_NAME"),
    ):
        command = add(command)
    command.__doc__ = f"{command.__doc__}\n\n    Registered architectures: {known_models()}."
    return command


def open_model(ctx: click.Context, model: str | Path, size: tuple[int, int], color: str, classes: int, allow_missing: bool = False) -> Any:
    """The model that the arguments mean. Raises ConfigError for options that go with architectures only, or with files only."""
    import numbacnn as nn

    if not isinstance(model, Path):
        if allow_missing:
            raise ConfigError("--allow-missing is for model files, whose plugins may be missing")
        return nn.build(model, input_shape=(*size, 1 if color == "gray" else 3), classes=classes, seed=0)
    given = [n for n in OPTIONS if ctx.get_parameter_source(n) is not click.core.ParameterSource.DEFAULT]
    if given:
        raise ConfigError(f"--{given[0]} is for registered architectures; a model file has its own")
    return nn.load(model, allow_missing)
