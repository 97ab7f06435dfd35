"""`glassformer score`: how probable a model finds a text."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.encoded import literal
from glassformer.cli.model_files import load_model
from glassformer.cli.options import common_options, dtype_option, json_option, model_option, threads_option
from glassformer.cli.text_input import text_or_stdin

if TYPE_CHECKING:
    from glassformer.generation.score import Score

Row = tuple[int, bytes, float | None]  # id, bytes, log-probability; None for the first token, which nothing precedes


@click.command("score", short_help="Show how probable a model finds each token of a text.")
@click.argument("text", nargs=-1)
@model_option
@click.option("--perplexity", is_flag=True, help="Print the perplexity alone.")
@dtype_option
@threads_option
@json_option
@common_options
def command(
    text: tuple[str, ...], model: str | None, perplexity: bool, dtype: str, threads: int | None, as_json: bool
) -> None:
    """Print the log-probability of each token of TEXT, and the perplexity (`-` or nothing: standard input, whole).

    Log-probabilities are natural logarithms; the perplexity is exp(-their mean), over all tokens but the first.

    \b
    glassformer score "Once upon a time there was a cat."
    glassformer score --json - < story.txt

    The object of --json has text, ids, tokens, logprobs (null for the first token), total and perplexity.
    """
    source = text_or_stdin(" ".join(text) if text else "-", "TEXT")
    loaded = load_model(model, dtype, threads)
    score = loaded.score(source)
    pieces = [loaded.tokenizer.token_bytes(token) if loaded.tokenizer else b"" for token in score.ids]
    rows: list[Row] = list(zip(score.ids, pieces, [None, *score.logprobs], strict=True))
    if as_json:
        terminal.write_json(_json(source, score, rows))
    elif perplexity:
        terminal.write(f"{score.perplexity:.6g}\n")
    elif terminal.is_terminal(sys.stdout):
        _print_table(rows)
        terminal.write(_summary(score))
    else:
        terminal.write("".join(_lines(rows)) + _summary(score))


def _json(text: str, score: Score, rows: list[Row]) -> dict[str, object]:
    """The object that `score --json` prints; what is infinite becomes null."""
    from glassformer.formats.strict_json import finite

    return {
        "text": text,
        "ids": list(score.ids),
        "tokens": [piece.decode("utf-8", "replace") for _, piece, _ in rows],
        "logprobs": [None if value is None else finite(value) for _, _, value in rows],
        "total": finite(score.total),
        "perplexity": finite(score.perplexity),
    }


def _summary(score: Score) -> str:
    return f"tokens {len(score.ids)}, log-probability {score.total:.4f}, perplexity {score.perplexity:.4f}\n"


def _lines(rows: list[Row]) -> Iterator[str]:
    """One line per token: id, log-probability, token, with tabs between."""
    for token, piece, logprob in rows:
        yield f"{token}\t{'' if logprob is None else f'{logprob:.6f}'}\t{literal(piece)}\n"


def _print_table(rows: list[Row]) -> None:
    """A table for the terminal, from green for what the model expected to red for what surprised it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "token", "logprob", "probability")
    for column in (0, 2, 3):
        table.columns[column].justify = "right"
    for token, piece, logprob in rows:
        style = style_of(logprob)
        shown = ("", "") if logprob is None else (f"{logprob:.4f}", f"{100 * math.exp(logprob):.2f} %")
        table.add_row(*(Text(cell, style) for cell in (str(token), literal(piece), *shown)))
    Console().print(table)


def style_of(logprob: float | None) -> str:
    """Colour of a token: a probability over 1/2 is green, over 1/20 yellow, under that red."""
    if logprob is None:
        return "dim"
    return "green" if logprob > math.log(0.5) else "yellow" if logprob > math.log(0.05) else "red"
