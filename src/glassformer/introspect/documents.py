"""Interventions as JSON, for files, for HTTP and for the page: `docs/interventions.schema.json` describes it.

An intervention is an object with its `kind`, its `site`, its selectors and its numbers; several are an object with the
one key `interventions`. Nothing in it is code, and whatever departs from it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from glassformer.formats.strict_json import JsonError, brief, parse_object, read_object
from glassformer.introspect import numbers, selectors
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.interventions import KINDS, SELECTORS, Intervention, Interventions

MOST = 10_000  # interventions in a document
MAX_BYTES = 1 << 30  # of a file


class DocumentError(IntrospectionError):
    """JSON that is no intervention; the message says which value is wrong, and what was expected."""


def to_dict(intervention: Intervention) -> dict[str, object]:
    """An intervention as an object of JSON."""
    carried = intervention.carried
    found: dict[str, object] = {"kind": intervention.kind, "site": intervention.site}
    found |= {name: selectors.as_json(value) for name, value in intervention.given.items()}
    if intervention.carries is not None and carried is not None:
        found[intervention.carries] = numbers.as_json(carried)
    return found


def from_dict(value: object, what: str = "the intervention") -> Intervention:
    """The intervention that an object of JSON means.

    Args:
        what: how messages name it.

    Raises:
        DocumentError: for anything that `to_dict` does not give.
    """
    if not isinstance(value, Mapping):
        raise DocumentError(f"{what} is {brief(value)}; it must be an object with kind and site")
    kind = value.get("kind")
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise DocumentError(f"{what} has kind {brief(kind)}; it must be one of {', '.join(KINDS)}")
    needed = ["site"] if made.carries is None else ["site", made.carries]
    missing = [name for name in needed if name not in value]
    if missing:
        raise DocumentError(f"{what} lacks {missing[0]}, which a {kind} has")
    unknown = sorted(set(value) - {"kind", *needed, *SELECTORS})
    if unknown:
        allowed = ", ".join([*needed, *SELECTORS])
        raise DocumentError(f"{what} has the unknown key {brief(unknown[0])}; a {kind} may have {allowed}")
    try:
        return _made(made, value)
    except IntrospectionError as error:
        raise DocumentError(f"{what}: {error}") from None


def _made(made: type[Intervention], value: Mapping[str, object]) -> Intervention:
    """An intervention of a class from an object whose keys are known."""
    parts: dict[str, object] = {n: selectors.from_json(value[n], n) for n in SELECTORS if n in value}
    if made.carries is not None:
        parts[made.carries] = numbers.from_json(value[made.carries], made.carries)
    return made(value["site"], **parts)  # type: ignore[arg-type]


def to_json(interventions: Interventions) -> str:
    """An intervention, or a sequence of them, as a line of JSON."""
    if isinstance(interventions, Intervention):
        return json.dumps(to_dict(interventions), ensure_ascii=False, allow_nan=False)
    several = {"interventions": [to_dict(each) for each in interventions]}
    return json.dumps(several, ensure_ascii=False, allow_nan=False)


def from_json(text: str | bytes) -> tuple[Intervention, ...]:
    """The interventions that `to_json` wrote, one or several.

    Raises:
        DocumentError: for anything else; nothing is guessed.
    """
    try:
        return from_object(parse_object(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")))
    except JsonError as error:
        raise DocumentError(f"the interventions are not JSON that can be read: {error}") from None


def from_object(value: Mapping[str, object]) -> tuple[Intervention, ...]:
    """The interventions of an object of JSON that has been parsed: one of them, or a list under `interventions`.

    Raises:
        DocumentError: naming the first one that is wrong, counted from 0.
    """
    if "interventions" not in value:
        return (from_dict(value),)
    several = value["interventions"]
    if len(value) > 1:
        other = next(key for key in value if key != "interventions")
        raise DocumentError(f"the document has the unknown key {brief(other)} beside interventions")
    if not isinstance(several, list) or len(several) > MOST:
        raise DocumentError(f"interventions is {brief(several)}; it must be a list of at most {MOST:,} objects")
    return tuple(from_dict(each, f"intervention {place}") for place, each in enumerate(several))


def read_interventions(path: Path) -> tuple[Intervention, ...]:
    """The interventions in a file of JSON.

    Raises:
        DocumentError: naming the file, if it cannot be read or is anything else.
    """
    try:
        return from_object(read_object(path, MAX_BYTES))
    except (JsonError, DocumentError) as error:
        raise DocumentError(f"{path}: {error}") from None
