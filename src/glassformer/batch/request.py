"""What one line asks: an object of JSON, read strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from glassformer.batch.errors import LineError
from glassformer.batch.lines import MOST_BYTES, Line
from glassformer.batch.terms import Task, Terms
from glassformer.formats.strict_json import JsonError, brief, parse_object
from glassformer.generation.asked import Asked
from glassformer.generation.constraints.constraint import Choice, Constraint, JsonObject, JsonSchema, Regex
from glassformer.generation.constraints.errors import ConstraintError

Object = dict[str, Any]
NAMES = ("id", "custom_id")  # which a result repeats
TEXTS = {"generate": ("prompt", "prompt_ids"), "score": ("text", "ids"), "embed": ("text", "ids")}
DRAWING = ("temperature", "top_k", "top_p", "min_p", "typical_p")  # asking for one of them asks for draws
ASKED = (
    "max_new_tokens", "max_length", "do_sample", *DRAWING, "repetition_penalty", "presence_penalty",
    "frequency_penalty", "logit_bias", "bad_words", "seed", "stop", "stop_ids", "ignore_eos", "logprobs", "constraint",
)  # fmt: skip
MOST_NAME = 1000  # characters


def schema_of(value: object) -> Constraint:
    """What a JSON Schema describes."""
    if not isinstance(value, dict | bool):
        raise ConstraintError("json_schema is not an object")
    return JsonSchema(value)


def pattern_of(value: object) -> Constraint:
    """What matches a regular expression."""
    if not isinstance(value, str):
        raise ConstraintError("regex is not a string")
    return Regex(value)


def object_of(value: object) -> Constraint:
    """Any object of JSON."""
    if value is not True:
        raise ConstraintError("json_object is not true")
    return JsonObject()


CONSTRAINTS: dict[str, Callable[[Any], Constraint]] = {
    "json_schema": schema_of, "json_object": object_of, "regex": pattern_of, "choices": Choice,
}  # fmt: skip


@dataclass(frozen=True)
class LineRequest:
    """What is to be done for a line.

    Attributes:
        text: a text, or ids.
        named: the fields by which the line's result is known again: its id, if it has one.
        asked: how it is continued.
    """

    text: str | list[int]
    named: Object = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)


def object_in(line: Line, task: Task) -> Object:
    """The fields of a line that are not null: programs write out what they do not ask for.

    Raises:
        LineError: for a line that is no object of JSON, or is too long.
    """
    if line.too_long:
        raise LineError(f"the line has more than {MOST_BYTES:,} bytes; give shorter texts")
    try:
        values = parse_object(line.data)
    except JsonError as error:
        raise LineError(f'{error}; each line is an object like {{"{TEXTS[task][0]}": "Once upon a time"}}') from None
    return {key: value for key, value in values.items() if value is not None}


def name_in(values: Mapping[str, object]) -> Object:
    """The id that a line has given itself.

    Raises:
        LineError: for one that is neither a text nor a whole number, or too long.
    """
    named = {key: values[key] for key in NAMES if key in values}
    for key, value in named.items():
        if type(value) not in (str, int) or len(str(value)) > MOST_NAME:
            expected = f"expected a text or a whole number of at most {MOST_NAME} characters"
            raise LineError(f"{key} is {brief(value)}; {expected}")
    return named


def read_request(values: Mapping[str, Any], named: Object, number: int, terms: Terms) -> LineRequest:
    """What a line's fields ask.

    Args:
        number: the line's, which decides its seed.
        terms: what holds where the line is silent.

    Raises:
        LineError: for fields that are unknown, missing or no text.
        ConstraintError: for a constraint that is malformed or not supported.
    """
    own = ASKED if terms.task == "generate" else ()
    known = (*TEXTS[terms.task], *own, *NAMES)
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        raise LineError(f"the field {brief(unknown)} is unknown to {terms.task}; there are: {', '.join(known)}")
    asked = asked_by({key: values[key] for key in own if key in values}, number, terms)
    return LineRequest(text_in(values, terms.task), named, asked)


def text_in(values: Mapping[str, object], task: Task) -> str | list[int]:
    """The text of a line, or its ids, which the model checks."""
    text, ids = TEXTS[task]
    if (text in values) == (ids in values):
        found = "both are there" if text in values else "neither is there"
        raise LineError(f"expected either {text}, a text, or {ids}, a list of token ids; {found}")
    value = values.get(text, values.get(ids))
    if text in values and not isinstance(value, str):
        raise LineError(f"{text} is {brief(value)}; expected a text, or {ids} with a list of token ids")
    if ids in values and not isinstance(value, list):
        raise LineError(f"{ids} is {brief(value)}; expected a list of token ids")
    return cast("str | list[int]", value)


def asked_by(values: Object, number: int, terms: Terms) -> Asked:
    """How a line is continued: as it says itself, else as the run's terms say."""
    asked = terms.asked
    if "ignore_eos" in values and not isinstance(values["ignore_eos"], bool):
        raise LineError(f"ignore_eos is {brief(values['ignore_eos'])}; expected true or false")
    if "logit_bias" in values:
        values = values | {"logit_bias": biases_of(values["logit_bias"])}
    if "constraint" in values:
        values = values | {"constraint": constraint_of(values["constraint"])}
    if any(name in values for name in DRAWING) and asked.do_sample is False:
        asked = replace(asked, do_sample=None)
    drawn: Object = {"seed": terms.seed_of(number)}
    return replace(asked, **(drawn | values))


def biases_of(value: object) -> dict[int, object]:
    """An object of ids, as strings, and numbers; the numbers are checked with the rest."""
    if not isinstance(value, dict) or not all(key.isascii() and key.isdecimal() and len(key) < 12 for key in value):
        raise LineError(f"logit_bias is {brief(value)}; expected an object of token ids with numbers")
    return {int(key): bias for key, bias in value.items()}


def constraint_of(value: object) -> Constraint:
    """The constraint of an object with one field."""
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in CONSTRAINTS:
        raise LineError(f"constraint is {brief(value)}; expected an object with one of {', '.join(CONSTRAINTS)}")
    ((kind, content),) = value.items()
    return CONSTRAINTS[kind](content)
