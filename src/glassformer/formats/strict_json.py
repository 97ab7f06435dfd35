"""JSON (RFC 8259) from files that nobody vouches for: every departure is one clear error, never another exception.

Python's `json` takes more than the standard (NaN, lone surrogates, the last of two equal keys) and lets
`RecursionError` and `ValueError` out; here all of that is a `JsonError`.
"""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path

from glassformer.errors import GlassformerError

MAX_DEPTH = 127
"""Deepest nesting of lists and objects, as in the reference parser of the weight format."""

# Strings are matched whole, closed or not, so that the brackets inside them are not counted; linear in the text.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(GlassformerError):
    """Text that is not the JSON object it should be; the message says what is wrong, without naming the file."""


def brief(value: object) -> str:
    """A value as shown in an error message: escaped, and cut to a readable length."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = 80
    shown.maxlist = shown.maxdict = shown.maxtuple = 8
    shown.maxlevel = 3
    text = shown.repr(value)
    return text if len(text) <= 240 else f"{text[:237]}..."


def finite(value: float) -> float | None:
    """A number that JSON has; None for one that it has not."""
    return value if math.isfinite(value) else None


def parse_object(data: bytes) -> dict[str, object]:
    """The JSON object that the UTF-8 bytes spell.

    Raises:
        JsonError: not UTF-8, not JSON, not an object, a key given twice, NaN or infinity, a number beyond the
            range of float64, nesting deeper than `MAX_DEPTH`, or an unpaired surrogate.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"byte {error.start} is not valid UTF-8 ({error.reason})") from None
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise JsonError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise JsonError(f"found {_kind(value)} at the top level, expected an object {{...}}")
    if _SURROGATE_ESCAPE.search(text):
        _check_surrogates(value)
    return value


def read_object(path: Path, max_bytes: int) -> dict[str, object]:
    """The JSON object in a file of at most `max_bytes`; raises `JsonError` as `parse_object` does."""
    if path.is_fifo():  # opening it would wait for a writer
        raise JsonError("cannot read it: not a regular file")
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise JsonError(f"cannot read it: {error.strerror or error}") from None
    if len(data) > max_bytes:
        raise JsonError(f"it is larger than {max_bytes:,} bytes, far more than such a file needs")
    return parse_object(data)


def _check_depth(text: str) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonError(f"lists and objects are nested more than {MAX_DEPTH} deep")
        elif first in "]}":
            depth -= 1


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"the key {brief(key)} is given twice")
            seen.add(key)
    return found


def _integer(text: str) -> int | float:
    if text == "-0":
        return -0.0  # as the reference parser reads it: an integer has no negative zero
    _finite(text)
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"the number {brief(text)} is out of range")
    return value


def _no_constant(text: str) -> float:
    raise JsonError(f"{text} is not JSON")


def _check_surrogates(value: Mapping[str, object]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise JsonError("a string holds an unpaired surrogate, which no UTF-8 text has") from None


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
