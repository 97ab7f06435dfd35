"""Flags that several commands share."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from glassformer.cli.session import Session
from glassformer.runtime.cpus import MAX_THREADS

DTYPES = ("auto", "f32", "f16", "bf16", "bf16-dot", "q8", "q4")
CACHE_DTYPES = ("auto", "f32", "f16", "q8")

Function = TypeVar("Function", bound=Callable[..., Any])


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).debug = True


def _set_quiet(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).quiet = True


def common_options(function: Function) -> Function:
    """`--quiet` and `--debug`, which every command takes, before or after its name."""
    quiet = click.option("-q", "--quiet", is_flag=True, expose_value=False, is_eager=True, callback=_set_quiet,
                         help="Print results alone: no notes, no statistics.")  # fmt: skip
    debug = click.option("--debug", is_flag=True, expose_value=False, is_eager=True, callback=_set_debug,
                         help="Show the traceback of a failure.")  # fmt: skip
    return quiet(debug(function))


def json_option(function: Function) -> Function:
    """`--json`: one object on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


def _check_model(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("the name is empty; give a folder, a .safetensors file or a hub name, "
                                 "or leave --model out for the model inside the package")  # fmt: skip
    return value


def model_option(function: Function) -> Function:
    """`--model`: which model; nothing means the one inside the package."""
    return click.option("-m", "--model", metavar="FOLDER|NAME", callback=_check_model,
                        help="Model folder, .safetensors file or hub name "
                             "(default: the story model inside the package).")(function)  # fmt: skip


def threads_option(function: Function) -> Function:
    """`--threads`: how many threads compute."""
    text = "Worker threads (default: the processors that this process may use)."
    return click.option("--threads", type=click.IntRange(1, MAX_THREADS), metavar="N", help=text)(function)


def dtype_option(function: Function) -> Function:
    """`--dtype`: how the weights are held."""
    text = "How weights are held (default: as stored; q8, q4: in 8 or 4 bits; bf16-dot: activations in bf16 too)."
    kinds = click.Choice(DTYPES)
    return click.option("--dtype", type=kinds, default="auto", metavar="|".join(DTYPES), help=text)(function)


def cache_dtype_option(function: Function) -> Function:
    """`--cache-dtype`: how keys and values are held."""
    text = "How keys and values are held (default: q8 where weights are q8 or q4, else f32)."
    kinds = click.Choice(CACHE_DTYPES)
    return click.option("--cache-dtype", type=kinds, default="auto", metavar="|".join(CACHE_DTYPES), help=text)(
        function
    )


class Number(click.FloatRange):
    """A finite number within bounds: unlike click's, it lets neither `nan` nor `inf` through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
