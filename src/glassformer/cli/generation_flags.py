"""The flags of `generate` that decide what is generated: each has the name of a parameter of `Model.generate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from glassformer.cli.options import Number
from glassformer.cli.text_input import argument_text

if TYPE_CHECKING:
    from glassformer.generation.constraints.constraint import Constraint

Function = TypeVar("Function", bound=Callable[..., Any])

MAX_SEED = 2**64 - 1
POSITIVE, COUNT = click.IntRange(min=1), click.IntRange(min=0)
FRACTION = Number(0, 1)


def _texts(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Strings to stop at or to forbid: valid text, none empty."""
    for value in values:
        argument_text(value, f"{parameter.opts[0]}")
        if not value:
            raise click.BadParameter("it is empty; give at least one character")
    return values


def _biases(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[int, float]:
    """`ID=NUMBER` flags as a mapping."""
    biases = {}
    for value in values:
        token, equals, number = value.partition("=")
        if not equals or not token.isascii() or not token.isdecimal() or len(token) > 18:
            raise click.BadParameter(f"{value!r} is not ID=NUMBER, such as 42=-5.0")
        biases[int(token)] = float(Number().convert(number, parameter, ctx))
    return biases


# In the order in which `--help` shows them.
_OPTIONS = (
    click.option("-n", "--max-new-tokens", type=POSITIVE, metavar="N", help="Longest continuation, in tokens."),
    click.option("--max-length", type=POSITIVE, metavar="N", help="Longest prompt and continuation together."),
    click.option("--temperature", type=Number(min=0), metavar="T", help="Divides the logits; 0 is greedy."),
    click.option("--top-k", type=COUNT, metavar="K", help="Sample from the K most probable tokens; 0: from all."),
    click.option("--top-p", type=FRACTION, metavar="P", help="Sample from the most probable tokens that sum to P."),
    click.option("--min-p", type=FRACTION, metavar="P", help="Drop tokens under P times the greatest probability."),
    click.option("--typical-p", type=FRACTION, metavar="P",
                 help="Keep this probability mass of tokens of typical information."),
    click.option("--repetition-penalty", type=Number(min=0, min_open=True), metavar="X",
                 help="Above 1: tokens that are there already become less probable."),
    click.option("--presence-penalty", type=Number(-2, 2), metavar="X",
                 help="Subtracted from the logits of generated tokens."),
    click.option("--frequency-penalty", type=Number(-2, 2), metavar="X",
                 help="The same, times how often each was generated."),
    click.option("--logit-bias", multiple=True, callback=_biases, metavar="ID=NUMBER",
                 help="Add a number to the logit of one token id. May be repeated."),
    click.option("--bad-words", multiple=True, callback=_texts, metavar="TEXT",
                 help="A text that must not be generated. May be repeated."),
    click.option("--seed", type=click.IntRange(0, MAX_SEED), metavar="N",
                 help="Seed of the random draws: the same seed gives the same text on every machine."),
    click.option("--greedy", is_flag=True, help="Always take the most probable token."),
    click.option("--stop", multiple=True, callback=_texts, metavar="TEXT",
                 help="End before this text. May be repeated."),
    click.option("--stop-id", "stop_ids", multiple=True, type=COUNT, metavar="ID",
                 help="End at this token id. May be repeated."),
    click.option("--ignore-eos", is_flag=True, help="Do not end at the model's end-of-text token."),
    click.option("--logprobs", type=COUNT, metavar="N",
                 help="In results of JSON: log-probabilities of the chosen token and of the N most probable ones."),
    click.option("--speculate/--no-speculate", default=None,
                 help="Guess ahead what a text repeats (default: where it saves time); the tokens are the same."),
)  # fmt: skip


def generation_options(function: Function) -> Function:
    """All flags of this file."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True)
class GenerationFlags:
    """What the user asked; None and empty where nothing was asked. The meanings are those of `Model.generate`."""

    max_new_tokens: int | None
    max_length: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float]
    bad_words: tuple[str, ...]
    seed: int | None
    greedy: bool
    stop: tuple[str, ...]
    stop_ids: tuple[int, ...]
    ignore_eos: bool
    logprobs: int | None
    speculate: bool | None
    constraint: Constraint | None

    def check(self) -> None:
        """Refuse flags that contradict each other.

        Raises:
            click.UsageError: naming them.
        """
        drawing = ("temperature", "top_k", "top_p", "min_p", "typical_p")
        given = [f"--{name.replace('_', '-')}" for name in drawing if getattr(self, name) is not None]
        if self.greedy and given:
            raise click.UsageError(f"--greedy draws nothing, so it goes without {' and '.join(given)}")

    def with_limit(self, max_length: int) -> GenerationFlags:
        """The same, with a longest length where the user gave no limit at all."""
        if self.max_length is not None or self.max_new_tokens is not None:
            return self
        return replace(self, max_length=max_length)

    def asked(self) -> dict[str, Any]:
        """The arguments for `Model.generate`: only what the user gave, so that the model's own defaults hold."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "greedy"}
        off = {name for name, value in values.items() if value is False and name != "speculate"}  # flags not set
        given = {n: value for n, value in values.items() if n not in off and (value or value == 0)}
        return given | ({"do_sample": False} if self.greedy else {})
