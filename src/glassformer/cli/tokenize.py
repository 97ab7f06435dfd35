"""`glassformer tokenize`: text to token ids and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.encoded import Encoded
from glassformer.cli.model_files import load_tokenizer
from glassformer.cli.options import common_options, json_option, model_option
from glassformer.cli.text_input import text_or_stdin, token_ids

if TYPE_CHECKING:
    from glassformer.tokenizer.tokenizer import Tokenizer


@click.command("tokenize", short_help="Split a text into tokens, or join ids into text.")
@click.argument("text", nargs=-1)
@model_option
@click.option("--decode", is_flag=True, help="The other way: TEXT is token ids, the output their text.")
@click.option("--tokens", is_flag=True, help="One line per token: its id and its text.")
@click.option("--offsets", is_flag=True, help="One line per token: also where it starts and ends, in characters.")
@click.option("--count", is_flag=True, help="Print the number of tokens alone.")
@click.option("--allow-special", is_flag=True, help="Read the names of special tokens in the text as these tokens.")
@json_option
@common_options
def command(
    text: tuple[str, ...],
    model: str | None,
    decode: bool,
    tokens: bool,
    offsets: bool,
    count: bool,
    allow_special: bool,
    as_json: bool,
) -> None:
    """Show how a model's tokenizer splits TEXT (words are joined by spaces; `-` or nothing: standard input, whole).

    \b
    glassformer tokenize "Once upon a time"
    glassformer tokenize --offsets < story.txt
    glassformer tokenize < story.txt | glassformer tokenize --decode

    The object of --json has text, count, ids, tokens and offsets (start and end of each token, in characters).
    """
    source = text_or_stdin(" ".join(text) if text else "-", "TEXT")
    if decode:
        if tokens or offsets or count or allow_special:
            raise click.UsageError("--decode goes without --tokens, --offsets, --count and --allow-special")
        _print_decoded(load_tokenizer(model), token_ids(source, "--decode"), as_json)
        return
    tokenizer = load_tokenizer(model)
    if as_json:
        terminal.write_json(_encode(tokenizer, source, allow_special).as_json())
        return
    if (tokens or offsets) and not count:
        terminal.write("".join(_encode(tokenizer, source, allow_special).lines(with_offsets=offsets)))
        return
    ids = tokenizer.encode(source, allowed_special="all" if allow_special else ())
    terminal.write(f"{len(ids)}\n" if count else " ".join(map(str, ids)) + "\n")


def _encode(tokenizer: Tokenizer, text: str, allow_special: bool) -> Encoded:
    """Ids, bytes and offsets of a text."""
    found = tokenizer.encode_with_offsets(text, allowed_special="all" if allow_special else ())
    return Encoded(text, found.ids, [tokenizer.token_bytes(token) for token in found.ids], found.offsets)


def _print_decoded(tokenizer: Tokenizer, ids: list[int], as_json: bool) -> None:
    """The text of ids; outside a terminal its very bytes, so that encoding and decoding a file gives the file back."""
    data = tokenizer.decode_bytes(ids)
    if as_json:
        terminal.write_json({"ids": ids, "text": data.decode("utf-8", "replace")})
        return
    terminal.write_bytes(data)
    if terminal.is_terminal(sys.stdout) and not data.endswith(b"\n"):
        terminal.write("\n")
