"""`glassformer profile`: where the time of a generation goes."""

from __future__ import annotations

from pathlib import Path

import click

from glassformer.cli import terminal
from glassformer.cli.model_files import load_model
from glassformer.cli.options import common_options, dtype_option, json_option, model_option, threads_option

MOST_TOKENS = 10**6


@click.command("profile", short_help="Show where the time of a generation goes.")
@model_option
@click.option("-p", "--prompt-tokens", type=click.IntRange(1, MOST_TOKENS), default=128, show_default=True,
              metavar="N", help="Length of the prompt.")  # fmt: skip
@click.option("-n", "--new-tokens", type=click.IntRange(1, MOST_TOKENS), default=64, show_default=True,
              metavar="N", help="Tokens to decode after it.")  # fmt: skip
@click.option("--trace", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a trace for ui.perfetto.dev.")  # fmt: skip
@dtype_option
@threads_option
@json_option
@common_options
def command(
    model: str | None, prompt_tokens: int, new_tokens: int, trace: Path | None, dtype: str, threads: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Read a prompt and decode, and show the time of each operation, layer and thread.

    Beside each operation stand the bytes and operations that it takes at least, as shares of what this machine can read
    and compute, which is measured in the same process. Everything is warm: kernels compiled, plans recorded.

    \b
    glassformer profile
    glassformer profile -m ./gpt2 --dtype q8 -p 512 -n 64 --trace trace.json

    The object of --json has prefill and decode, each with threads, target, machine, calls, tokens, seconds, operations,
    layers, thread_times and memory; times in seconds.
    """
    from glassformer.generation.profile import profile_generation

    found = profile_generation(load_model(model, dtype, threads), prompt_tokens, new_tokens)
    if trace is not None:
        from glassformer.runtime.chrome_trace import write_trace

        write_trace(found, trace)
    if as_json:
        terminal.write_json({"prefill": found.prefill.as_json(), "decode": found.decode.as_json()})
        return
    from glassformer.cli.profile_report import report

    report(found)
