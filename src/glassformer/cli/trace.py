"""`glassformer trace`: what a model expects at each token of a text, and layer by layer."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.edit_flags import edit_option, edited
from glassformer.cli.model_files import load_model
from glassformer.cli.options import common_options, dtype_option, json_option, model_option, threads_option
from glassformer.cli.score import style_of
from glassformer.cli.text_input import text_or_stdin

if TYPE_CHECKING:
    from glassformer.cli.traced import Candidate, Depths, Positions, Row, Traced

NUMBERS = re.compile(r"-?\d{1,9}(,-?\d{1,9})*")
RANGE = re.compile(r"(-?\d{1,9})?:(-?\d{1,9})?")


def _positions(ctx: click.Context, parameter: click.Parameter, value: str) -> Positions:
    """`all`, `none`, numbers apart by commas, or a range like 2:6."""
    if value in ("all", "none"):
        return slice(None) if value == "all" else []
    if NUMBERS.fullmatch(value):
        return [int(number) for number in value.split(",")]
    if found := RANGE.fullmatch(value):
        start, stop = (None if number is None else int(number) for number in found.groups())
        return slice(start, stop)
    raise click.BadParameter(f"{value!r} names no positions; give all, none, numbers like 0,4,-1, or a range like 2:6")


@click.command("trace", short_help="Show what a model expects at each token, layer by layer.")
@click.argument("text", nargs=-1)
@model_option
@click.option("-n", "--max-new-tokens", type=click.IntRange(min=0), default=0, metavar="N",
              help="Tokens that the model writes, greedily, after the text (default: 0).")  # fmt: skip
@click.option("--positions", default="-1", show_default=True, callback=_positions, metavar="WHICH",
              help="Tokens of the text after which each layer's prediction is shown: "
                   "all, none, 0,4,-1 or 2:6.")  # fmt: skip
@click.option("--top", type=click.IntRange(0, 100), default=5, show_default=True, metavar="K",
              help="How many expected tokens are shown.")  # fmt: skip
@edit_option
@dtype_option
@threads_option
@json_option
@common_options
def command(
    text: tuple[str, ...], model: str | None, max_new_tokens: int, positions: Positions, top: int,
    edits: tuple[str, ...], dtype: str, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the surprise of each token of TEXT, what was expected, and each layer's prediction (`-`: standard input).

    The surprise is -log2 of a token's probability given those before it, in bits; the rank is how many tokens were more
    probable. A layer's prediction (the logit lens) is what the model would say if the residual stream there were its
    last.

    \b
    glassformer trace "Once upon a time"
    glassformer trace -n 5 --positions none "Once upon a time"
    glassformer trace --edit ablation.json --json - < story.txt

    The object of --json has text, tokens (position, id, token, generated, bits, rank, expected) and lens (position,
    token, layers, each with site and expected); those expected have id, token and probability.
    """
    from glassformer.cli.traced import traced

    source = text_or_stdin(" ".join(text) if text else "-", "TEXT")
    loaded = edited(load_model(model, dtype, threads), edits)
    found = traced(loaded, source, max_new_tokens, positions, top)
    if as_json:
        terminal.write_json(found.as_json())
    elif terminal.is_terminal(sys.stdout):
        _print_tables(found)
    else:
        terminal.write("".join(_lines(found)))


def _lines(found: Traced) -> Iterator[str]:
    """A line per token, and one per position and layer; fields with tabs between, and an empty line between the two."""
    for row in found.rows:
        bits = "" if row.bits is None else f"{row.bits:.3f}"
        fields = (str(row.position), str(row.id), bits, "" if row.rank is None else str(row.rank), row.token)
        yield "\t".join([*fields, *map(_field, row.expected)]) + "\n"
    if found.lens:
        yield "\n"
    for depths in found.lens:
        for site, expected in depths.layers:
            yield "\t".join([str(depths.position), site, *map(_field, expected)]) + "\n"


def _field(candidate: Candidate) -> str:
    return f"{candidate.token} {candidate.probability:.4f}"


def _print_tables(found: Traced) -> None:
    """The text in colours, and tables, for a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    text = Text()
    for row in found.rows:
        text.append(terminal.printable(row.text), _style(row))
    console.print(text)
    console.print(_table(found.rows))
    for depths in found.lens:
        console.print(_lens_table(depths))


def _style(row: Row) -> str:
    """The colour of `score`; what the model wrote is underlined."""
    return style_of(None if row.bits is None else -row.bits * math.log(2)) + (" underline" if row.generated else "")


def _table(rows: list[Row]) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table("position", "token", "bits", "rank", "expected")
    for column in (0, 2, 3):
        table.columns[column].justify = "right"
    for row in rows:
        bits = "" if row.bits is None else f"{row.bits:.2f}"
        rank = "" if row.rank is None else str(row.rank)
        cells = (str(row.position), row.token, bits, rank)
        table.add_row(*(Text(cell, _style(row)) for cell in cells), Text(_shares(row.expected)))
    return table


def _lens_table(depths: Depths) -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "layer", "expected next", title=Text(f"after {depths.token}, position {depths.position}"), title_justify="left"
    )
    for site, expected in depths.layers:
        table.add_row(_layer(site), Text(_shares(expected)))
    return table


def _layer(site: str) -> str:
    """Where a lens was read, in short: after a layer, or before the first."""
    layer, name = site.split(".")[1:]
    return layer if name == "hook_resid_post" else f"before {layer}"


def _shares(expected: list[Candidate]) -> str:
    return "  ".join(f"{each.token} {100 * each.probability:.1f} %" for each in expected)
