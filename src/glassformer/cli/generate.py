"""`glassformer generate`: a prompt, continued."""

from __future__ import annotations

import sys
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import click

from glassformer.cli import terminal
from glassformer.cli.constraint_flags import ConstraintFlags, constraint_options
from glassformer.cli.edit_flags import edit_option, edited
from glassformer.cli.file_flags import FileFlags, file_options
from glassformer.cli.generate_list import generate_list, read_prompts
from glassformer.cli.generation_flags import GenerationFlags, generation_options
from glassformer.cli.generation_report import as_json_object, decoded, statistics
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
    from glassformer.model import Model

EMBEDDED = "story"  # what --json calls the model inside the package
FILES_MAX_LENGTH = 50  # where a model is given by its files and no length is


@click.command("generate", short_help="Continue a prompt, printing the text as it comes.")
@click.argument("prompt", required=False)
@model_option
@generation_options
@click.option("--prompt", "prompt_flag", metavar="TEXT", help="The prompt, as a flag.")
@click.option("--prompt-ids", metavar="IDS", help="The prompt as token ids, for models without a vocabulary too.")
@click.option(
    "--prompts",
    "prompts_file",
    metavar="FILE",
    help="Continue each line of a file, as batches (`-`: of standard input).",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, metavar="N",
              help="With --prompts: how many are continued at once.")  # fmt: skip
@click.option("--eos-token-id", type=click.IntRange(min=0), metavar="ID", help="End at this token id.")
@constraint_options
@edit_option
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
    prompts_file: str | None,
    batch_size: int,
    model: str | None,
    eos_token_id: int | None,
    dtype: str,
    cache_dtype: str,
    threads: int | None,
    edits: tuple[str, ...],
    as_json: bool,
    **values: Any,
) -> None:
    """Continue PROMPT (`-`: standard input, without its last line break) and print the text as it comes.

    A model without a vocabulary takes --prompt-ids and prints ids. Without PROMPT the model begins a text of its own.

    \b
    glassformer generate "Once upon a time"
    glassformer generate --model ./gpt2 --temperature 0.8 --seed 1 "In the beginning"

    What is held to JSON, a pattern or choices is complete where finish_reason is stop; see docs/structured-output.md.

    Without flags a model generates as its generation_config.json says. The flags from --model-path on name a GPT-2 by
    its files; such a model is greedy unless flags say otherwise, and ends at 50 tokens, the prompt's among them.

    The object of --json has model, prompt, text (the continuation), ids, prompt_ids, finish_reason (stop or length),
    seed (null if nothing was drawn), timings (load, prefill and decode in seconds, tokens_per_second, and how many
    tokens were drafted ahead and accepted), and logprobs if asked. With --prompts each prompt gets such a line, and a
    file named .jsonl holds an object with prompt or prompt_ids on each line.
    """
    flags = _generation_flags(values)
    files = FileFlags(**{field.name: values[field.name] for field in fields(FileFlags)})
    if flags.logprobs is not None and not as_json:
        raise click.UsageError("--logprobs goes with --json")
    begin = _prompt(prompt, prompt_flag, prompt_ids)
    prompts = _prompts(prompts_file, begin)
    start = time.perf_counter()
    if files.given:
        if model is not None:
            raise click.UsageError("--model and --model-path both name a model; give one of them")
        flags = flags.with_limit(FILES_MAX_LENGTH)
        loaded = load_model_files(files, eos_token_id, dtype, threads, cache_dtype)
    else:
        loaded = load_model(model, dtype, threads, cache_dtype)
        flags = flags if eos_token_id is None else replace(flags, stop_ids=(*flags.stop_ids, eos_token_id))
    loaded = edited(loaded, edits)
    load_seconds, name = time.perf_counter() - start, model or files.model_path or EMBEDDED
    if prompts is not None:
        generate_list(loaded, name, prompts, flags.asked(), batch_size, as_json, load_seconds)
    elif as_json:
        terminal.write_json(_report(loaded, name, begin, flags, load_seconds))
    else:
        result = _show(loaded, begin, flags)
        if terminal.is_terminal(sys.stderr) and not session.quiet:
            terminal.note(statistics(result, load_seconds))


def _generation_flags(values: dict[str, Any]) -> GenerationFlags:
    """What is to be generated, and what it is held to."""
    constraint = ConstraintFlags(**{field.name: values[field.name] for field in fields(ConstraintFlags)}).constraint()
    given = {field.name: values[field.name] for field in fields(GenerationFlags) if field.name in values}
    flags = GenerationFlags(**given, constraint=constraint)
    flags.check()
    return flags


def _report(model: Model, name: str, begin: str | list[int], flags: GenerationFlags, load: float) -> dict[str, object]:
    """The continuation as the object of --json."""
    result = model.generate(begin, **flags.asked())
    report = as_json_object(name, begin if isinstance(begin, str) else decoded(model, begin), result, load)
    if flags.logprobs is not None:
        from glassformer.generation.spelled import spelled_logprobs

        report["logprobs"] = spelled_logprobs(model, result.logprobs)
    return report


def _prompts(file: str | None, begin: str | list[int]) -> list[str | list[int]] | None:
    """The prompts of --prompts, if it is given."""
    if file is None:
        return None
    if begin:
        raise click.UsageError("--prompts goes without PROMPT, --prompt and --prompt-ids; put that into the file")
    return read_prompts(file)


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


def _show(model: Model, begin: str | list[int], flags: GenerationFlags) -> Generation:
    """Print the continuation; without a vocabulary there is no text to show, and ids are printed."""
    if model.tokenizer is None:
        result = model.generate(begin, **flags.asked())
        terminal.write(" ".join(map(str, result.ids)) + "\n")
        return result
    prompt = begin if isinstance(begin, str) else decoded(model, begin)
    return _show_stream(prompt or "", model.stream(begin, **flags.asked()))


def _show_stream(prompt: str, stream: TextStream) -> Generation:
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
