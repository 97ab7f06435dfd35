"""`glassformer kernels`: the compute kernels, and what the compiler makes of them."""

from __future__ import annotations

import click

from glassformer.cli import terminal
from glassformer.cli.options import common_options, json_option


@click.command("kernels", short_help="Show the compute kernels, down to their machine code.")
@click.argument("name", required=False)
@json_option
@common_options
def command(name: str | None, as_json: bool) -> None:
    """List the kernels, or show one."""
    terminal.write("")
