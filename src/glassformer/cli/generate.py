"""`glassformer generate`: a prompt, continued."""

from __future__ import annotations

import sys
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import click

from glassformer.cli import terminal
from glassformer.cli.file_flags import FileFlags, file_options
from glassformer.cli.generation_flags import GenerationFlags, generation_options
from glassformer.cli.generation_report import as_json_object, decoded, logprobs_object, statistics
from glassformer.cli.model_files import load_model, load_model_files
from glassformer.cli.options import (
    cache_dtype_option,
    common_options,
    dtype_option,
    json_option,
    model_option,
    threads_option,
)
from glassformer.cli.session import Session
from glassformer.cli.text_input import argument_text, read_stdin, token_ids

if TYPE_CHECKING:
    from glassformer.generation.continuation import Generation
    from glassformer.generation.stream import TextStream

EMBEDDED = "story"  # what --json calls the model inside the package
FILES_MAX_LENGTH = 50  # where a model is given by its files and no length is


@click.command("generate", short_help="Continue a prompt, printing the text as it comes.")
@click.argument("prompt", required=False)
@model_option
@generation_options
@click.option("--prompt", "prompt_flag", metavar="TEXT", help="The prompt, as a flag.")
@click.option("--prompt-ids", metavar="IDS", help="The prompt as token ids, for models without a vocabulary too.")
@click.option("--eos-token-id", type=click.IntRange(min=0), metavar="ID", help="End at this token id.")
@file_options
@dtype_option
@cache_dtype_option
@threads_option
@json_option
@common_options
@click.pass_obj
def command(
    session: Session,
    /,
    prompt: str | None,
    prompt_flag: str | None,
    prompt_ids: str | None,
    model: str | None,
    eos_token_id: int | None,
    dtype: str,
    cache_dtype: str,
    threads: int | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Continue PROMPT (`-`: standard input, without its last line break) and print the text as it comes.

    A model without a vocabulary takes --prompt-ids and prints ids. Without PROMPT the model begins a text of its own.

    \b
    glassformer generate "Once upon a time"
    glassformer generate --model ./gpt2 --temperature 0.8 --seed 1 "In the beginning"

    Without flags a model generates as its generation_config.json says. The flags from --model-path on name a GPT-2 by
    its files; such a model is greedy unless flags say otherwise, and ends at 50 tokens, the prompt's among them.

    The object of --json has model, prompt, text (the continuation), ids, prompt_ids, finish_reason (stop or length),
    seed (null if nothing was drawn), timings (load, prefill and decode in seconds, tokens_per_second), and logprobs if
    asked.
    """
    flags = GenerationFlags(**{field.name: values[field.name] for field in fields(GenerationFlags)})
    files = FileFlags(**{field.name: values[field.name] for field in fields(FileFlags)})
    flags.check()
    if flags.logprobs is not None and not as_json:
        raise click.UsageError("--logprobs goes with --json")
    begin = _prompt(prompt, prompt_flag, prompt_ids)
    start = time.perf_counter()
    if files.given:
        if model is not None:
            raise click.UsageError("--model and --model-path both name a model; give one of them")
        flags = flags.with_limit(FILES_MAX_LENGTH)
        loaded = load_model_files(files, eos_token_id, dtype, threads, cache_dtype)
    else:
        loaded = load_model(model, dtype, threads, cache_dtype)
        flags = flags if eos_token_id is None else replace(flags, stop_ids=(*flags.stop_ids, eos_token_id))
    load_seconds = time.perf_counter() - start
    text = begin if isinstance(begin, str) else decoded(loaded, begin)
    if as_json:
        result = loaded.generate(begin, **flags.asked())
        report = as_json_object(model or files.model_path or EMBEDDED, text, result, load_seconds)
        if flags.logprobs is not None:
            report["logprobs"] = logprobs_object(loaded, result.logprobs)
        terminal.write_json(report)
        return
    if loaded.tokenizer is None:  # there is no text to show
        result = loaded.generate(begin, **flags.asked())
        terminal.write(" ".join(map(str, result.ids)) + "\n")
    else:
        result = _show(text or "", loaded.stream(begin, **flags.asked()))
    if terminal.is_terminal(sys.stderr) and not session.quiet:
        terminal.note(statistics(result, load_seconds))


def _prompt(argument: str | None, flag: str | None, ids: str | None) -> str | list[int]:
    """The prompt, from wherever it was given; empty where it was not."""
    given = [value for value in (argument, flag, ids) if value is not None]
    if len(given) > 1:
        raise click.UsageError("there is more than one of PROMPT, --prompt and --prompt-ids; give one of them")
    if ids is not None:
        return token_ids(ids, "--prompt-ids")
    if given == ["-"]:
        text = read_stdin()
        return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
    return argument_text(given[0] if given else "", "PROMPT")


def _show(prompt: str, stream: TextStream) -> Generation:
    """Print the pieces as they come, and end the line whatever happens.

    A terminal shows the prompt before them, so that the text reads as a whole; a pipe gets the continuation alone.
    """
    if terminal.is_terminal(sys.stdout):
        terminal.write(prompt)
    piece = ""
    try:
        for piece in stream:
            terminal.write(piece)
    except KeyboardInterrupt:
        terminal.write("\n")
        raise click.Abort from None
    if not piece.endswith("\n"):
        terminal.write("\n")
    return stream.result
