"""`glassformer info`: what a model is, read without loading its weights."""

from __future__ import annotations

from collections.abc import Iterator

import click

from glassformer.cli import terminal
from glassformer.cli.model_description import Description, describe_model
from glassformer.cli.options import common_options, json_option, model_option


@click.command("info", short_help="Show a model's architecture, sizes and tensors.")
@click.argument("name", required=False, metavar="[FOLDER|NAME]")
@model_option
@click.option("--no-tensors", is_flag=True, help="Leave out the list of tensors.")
@json_option
@common_options
def command(name: str | None, model: str | None, no_tensors: bool, as_json: bool) -> None:
    """Show a model's architecture, its parameters and bytes, and its tensors with element types and shapes.

    \b
    glassformer info
    glassformer info --json ./gpt2

    The object of --json has model, weights, architecture, packed, parameters, bytes, dtypes, config and tensors.
    """
    if name is not None and model is not None:
        raise click.UsageError("the model is there twice, as an argument and as --model; give one of them")
    description = describe_model(name if name is not None else model)
    if as_json:
        terminal.write_json(description.as_json(with_tensors=not no_tensors))
    else:
        terminal.write("".join(line + "\n" for line in _lines(description, with_tensors=not no_tensors)))


def _lines(model: Description, with_tensors: bool) -> Iterator[str]:
    """The description for people, names at the left edge."""
    rows = {
        "model": model.name,
        "weights": model.weights,
        "architecture": model.architecture or "unknown (no config.json beside the weights)",
        **({"packed": model.packed} if model.packed else {}),
        "parameters": f"{model.parameters:,}",
        "bytes": f"{model.bytes:,} ({', '.join(f'{count} {dtype}' for dtype, count in model.dtypes.items())})",
        **{key: str(value) for key, value in model.config.items()},
    }
    width = max(map(len, rows))
    yield from (f"{key:{width}}  {value}" for key, value in rows.items())
    if with_tensors:
        yield ""
        width = max((len(tensor.name) for tensor in model.tensors), default=0)
        for tensor in model.tensors:
            yield f"{tensor.name:{width}}  {tensor.dtype:5} {list(tensor.shape)}"
