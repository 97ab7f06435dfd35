"""`glassformer quantize`: write a model whose weights need no work at loading."""

from __future__ import annotations

import click

from glassformer.cli import terminal
from glassformer.cli.options import common_options, json_option, threads_option
from glassformer.cli.progress import shown_progress
from glassformer.cli.session import Session

KINDS = ("q8", "q4", "f16", "bf16", "f32")


@click.command("quantize", short_help="Write a model in 8 or 4 bits, ready to be mapped and used in place.")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--dtype", type=click.Choice(KINDS), default="q8", metavar="|".join(KINDS),
              help="How weights are held (default: q8; with q4, embedding and head are held in 8 bits).")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the model in a folder that is not empty.")
@threads_option
@json_option
@common_options
@click.pass_obj
def command(
    session: Session, /, source: str, target: str, dtype: str, force: bool, threads: int | None, as_json: bool
) -> None:
    """Write model IN (a folder, a .safetensors file or a hub name) to folder OUT with its weights in fewer bits.

    The weights are written in the layout of the kernels: loading OUT maps the file and uses it in place. Configuration
    and vocabulary are copied, so OUT is used like any other model.

    \b
    glassformer quantize ./gpt2 ./gpt2-q8
    glassformer generate --model ./gpt2-q8 "Once upon a time"

    The object of --json has folder, dtype, bytes_before and bytes_after (of the weights).
    """
    from glassformer.models.quantization import quantize

    with shown_progress("quantizing", "bytes") as progress:
        made = quantize(source, target, dtype=dtype, force=force, threads=threads, progress=progress)
    if as_json:
        terminal.write_json({"folder": str(made.folder), "dtype": made.dtype, "bytes_before": made.bytes_before,
                             "bytes_after": made.bytes_after})  # fmt: skip
        return
    terminal.write(f"{made.folder}\n")
    if not session.quiet:
        share = made.bytes_after / max(1, made.bytes_before)
        terminal.note(f"{made.dtype}: {made.bytes_before:,} -> {made.bytes_after:,} bytes ({share:.0%})")
