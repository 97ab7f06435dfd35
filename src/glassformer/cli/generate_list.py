"""`glassformer generate --prompts`: many prompts from a file, continued as batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassformer.cli import terminal
from glassformer.cli.generation_report import as_json_object, decoded
from glassformer.cli.progress import shown_progress
from glassformer.cli.text_input import InputTextError, read_stdin
from glassformer.cli.text_input import decoded as decoded_text

if TYPE_CHECKING:
    from glassformer.generation.continuation import Generation
    from glassformer.model import Model

BATCHES = 16  # that are continued before their results are printed


def read_prompts(file: str) -> list[str | list[int]]:
    """The prompts of a file, `-` for standard input: a line each, empty lines passed over.

    Where the name ends in .jsonl, or the first line of standard input begins with {", each line is an object of JSON
    with `prompt`, a text, or `prompt_ids`, a list of token ids.

    Raises:
        InputTextError: a file that cannot be read, a line that is none of this, or no prompt at all.
    """
    name = "standard input" if file == "-" else file
    text = _content(file)
    as_json = file.endswith(".jsonl") or (file == "-" and text.startswith('{"'))
    lines = [(number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise InputTextError(f"{name} holds no prompt; write one on each line")
    return [_from_json(line, f"{name}, line {number}") if as_json else line for number, line in lines]


def _content(file: str) -> str:
    """The text of a file or of standard input."""
    if file == "-":
        return read_stdin()
    try:
        return decoded_text(Path(file).read_bytes(), file)
    except OSError as error:
        raise InputTextError(f"{file}: cannot read it: {error.strerror or error}; give a file or -") from error


def _from_json(line: str, place: str) -> str | list[int]:
    """The prompt of a line of JSON."""
    from glassformer.formats.strict_json import JsonError, parse_object

    try:
        value = parse_object(line.encode())
    except JsonError as error:
        raise InputTextError(f"{place}: {error}") from error
    text, ids = value.get("prompt"), value.get("prompt_ids")
    if isinstance(text, str) and ids is None:
        return text
    if isinstance(ids, list) and text is None and all(type(token) is int for token in ids):
        return ids
    raise InputTextError(f"{place}: expected an object with either prompt, a text, or prompt_ids, a list of token ids")


def generate_list(
    model: Model, name: str, prompts: list[str | list[int]], asked: dict[str, Any], batch_size: int, as_json: bool,
    load: float,
) -> None:  # fmt: skip
    """Continue prompts and print a line of JSON for each, or the texts with an empty line between them.

    Args:
        name: what the command line called the model.
        asked: the arguments of `Model.generate`.
        load: seconds spent on loading the model.
    """
    for place, result in enumerate(_results(model, prompts, asked, batch_size)):
        given = prompts[place]
        if as_json:
            report = as_json_object(name, given if isinstance(given, str) else decoded(model, given), result, load)
            if "logprobs" in asked:
                from glassformer.generation.spelled import spelled_logprobs

                report["logprobs"] = spelled_logprobs(model, result.logprobs)
            terminal.write_json(report)
        else:
            text = result.text if model.tokenizer else " ".join(map(str, result.ids))
            terminal.write(("\n" if place else "") + text.removesuffix("\n") + "\n")


def _results(
    model: Model, prompts: list[str | list[int]], asked: dict[str, Any], batch_size: int
) -> Iterator[Generation]:
    """The results in the order of the prompts, some batches at a time."""
    part = BATCHES * batch_size
    for start in range(0, len(prompts), part):
        several: Any = prompts[start : start + part]
        if terminal.is_terminal(sys.stdout):  # where results show by themselves how far it is
            yield from model.generate(several, batch_size=batch_size, **asked)
            continue
        with shown_progress("generating", "prompts") as shown:
            done = model.generate(several, batch_size=batch_size, progress=Moved(shown, start, len(prompts)), **asked)
        yield from done


@dataclass(frozen=True)
class Moved:
    """Tells a part's progress as that of the whole."""

    shown: Callable[[int, int], None]
    start: int
    total: int

    def __call__(self, done: int, _: int) -> None:
        self.shown(self.start + done, self.total)
