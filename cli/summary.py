"""`numbacnn summary`: a model's layers, sizes and costs."""

from pathlib import Path

import click

from numbacnn.errors import ConfigError

from .options import ModelOrFile, OneOf, Size


@click.command(short_help="Show a model's layers, sizes and costs.")
@click.argument("model", type=ModelOrFile(), metavar="MODEL_OR_NAME")
@click.option("--plan", is_flag=True, help="Also show the launches that a prediction consists of, the algorithms chosen and why.")
@click.option("--size", type=Size(), default="224", help="Height and width of a registered architecture's input.")
@click.option("--color", type=OneOf("color", "rgb", "gray"), default="rgb", help="Channels of a registered architecture's input.")
@click.option("--classes", type=click.IntRange(min=1), default=1000, help="Outputs of a registered architecture.")
@click.pass_context
def summary(ctx: click.Context, model: str | Path, plan: bool, size: tuple[int, int], color: str, classes: int) -> None:
    """Show the layers of MODEL_OR_NAME, a model file, RUN folder or registered architecture: shapes, parameters, multiply-adds, memory."""
    import numbacnn as nn

    if isinstance(model, Path):
        given = [n for n in ("size", "color", "classes") if ctx.get_parameter_source(n) is not click.core.ParameterSource.DEFAULT]
        if given:
            raise ConfigError(f"--{given[0]} is for registered architectures; a model file has its own")
        loaded = nn.load(model)
    else:
        loaded = nn.build(model, input_shape=(*size, 1 if color == "gray" else 3), classes=classes, seed=0)
    loaded.summary(plan=plan)
