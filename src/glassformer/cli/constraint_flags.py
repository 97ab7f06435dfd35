"""`--json-schema`, `--json-object`, `--regex` and `--choice`: what a continuation is held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from glassformer.cli.text_input import InputTextError, argument_text, read_stdin

if TYPE_CHECKING:
    from glassformer.generation.constraints.constraint import Constraint

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--json-schema", metavar="FILE", help="Write JSON that a JSON Schema describes (`-`: stdin)."),
    click.option("--json-object", is_flag=True, help="Write a JSON object."),
    click.option("--regex", metavar="PATTERN", help="Write a text that matches a regular expression as a whole."),
    click.option("--choice", "choices", multiple=True, metavar="TEXT",
                 help="Write one of the texts that this flag gives. May be repeated."),
)  # fmt: skip


def constraint_options(function: Function) -> Function:
    """The flags of this file."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True)
class ConstraintFlags:
    """What the user asked; None, False and empty where nothing was asked."""

    json_schema: str | None
    json_object: bool
    regex: str | None
    choices: Sequence[str]

    def constraint(self) -> Constraint | None:
        """The constraint, if one was asked.

        Raises:
            click.UsageError: for several.
            ConstraintError: for one that is malformed, not supported, or that no text fulfils.
            InputTextError: for a file that cannot be read, or holds no schema.
        """
        given = {
            "--json-schema": self.json_schema is not None,
            "--json-object": self.json_object,
            "--regex": self.regex is not None,
            "--choice": bool(self.choices),
        }
        asked = [name for name, is_given in given.items() if is_given]
        if not asked:
            return None
        if len(asked) > 1:
            raise click.UsageError(f"{' and '.join(asked)} each say what the text is; give one of them")
        from glassformer.generation.constraints.constraint import Choice, JsonObject, JsonSchema, Regex

        if self.json_schema is not None:
            return JsonSchema(_schema(self.json_schema))
        if self.regex is not None:
            return Regex(argument_text(self.regex, "--regex"))
        return JsonObject() if self.json_object else Choice([argument_text(each, "--choice") for each in self.choices])


def _schema(file: str) -> dict[str, Any]:
    """The object of JSON in a file."""
    from glassformer.formats.strict_json import JsonError, parse_object

    name = "standard input" if file == "-" else file
    try:
        data = read_stdin().encode() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputTextError(f"{file}: cannot read it: {error.strerror or error}; give a file or -") from error
    try:
        return parse_object(data)
    except JsonError as error:
        raise InputTextError(f"{name} holds no JSON Schema: {error}") from error
