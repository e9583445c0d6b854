"""`numbacnn summary`: a model's layers, sizes and costs."""

from typing import Any

import click

from .architecture import model_argument, open_model


@click.command(short_help="Show a model's layers, sizes and costs.")
@model_argument
@click.option("--plan", is_flag=True, help="Also show the launches that a prediction consists of, their times, the algorithms chosen and why.")
@click.option("--allow-missing", is_flag=True, help="Show the rest of a model file whose plugins are not installed.")
@click.pass_context
def summary(ctx: click.Context, plan: bool, allow_missing: bool, **chosen: Any) -> None:
    """Show the layers of MODEL_OR_NAME, a model file, RUN folder or registered architecture: shapes, parameters, multiply-adds, memory."""
    open_model(ctx, **chosen, allow_missing=allow_missing).summary(plan=plan)
