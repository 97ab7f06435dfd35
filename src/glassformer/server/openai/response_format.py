"""`response_format`: what the written text has to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.requests import Request

from glassformer.generation.asked import Asked as Wanted
from glassformer.generation.constraints.constraint import Choice, Constraint, JsonObject, JsonSchema, Regex
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.model import Model
from glassformer.server.body import gone
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.openai.service import Service

Object = dict[str, Any]
KEY = "response_format"


def of_schema(value: Object) -> Constraint:
    """The constraint of `{"type": "json_schema", "json_schema": {"name", "schema"}}`."""
    named = value["json_schema"]
    if not isinstance(named, dict) or not {"schema"} <= set(named) <= {"name", "description", "schema", "strict"}:
        raise ConstraintError("json_schema is not an object with a name and a schema")
    if not isinstance(named["schema"], dict):
        raise ConstraintError("schema is not an object")
    return JsonSchema(named["schema"])


def of_pattern(value: Object) -> Constraint:
    """The constraint of `{"type": "regex", "pattern": ...}`."""
    if not isinstance(value["pattern"], str):
        raise ConstraintError("pattern is not a string")
    return Regex(value["pattern"])


def of_choices(value: Object) -> Constraint:
    """The constraint of `{"type": "choice", "choices": [...]}`."""
    return Choice(value["choices"])


# Type -> the field beside it, and what that means.
KINDS: dict[str, tuple[str | None, Callable[[Object], Constraint | None]]] = {
    "text": (None, lambda value: None),
    "json_object": (None, lambda value: JsonObject()),
    "json_schema": ("json_schema", of_schema),
    "regex": ("pattern", of_pattern),
    "choice": ("choices", of_choices),
}


async def constrained(service: Service, request: Request, asked: Asked, wanted: Wanted, ids: list[int]) -> Wanted:
    """What is wanted, with the constraint that a request names.

    A constraint is compiled in another thread, while the server goes on, if the client is still there when its turn
    comes; the engine finds it compiled.

    Raises:
        RequestError: for a constraint that is malformed, not supported, or that nothing fulfils.
        OptionsError: if something else would cut the text.
    """
    if KEY not in asked.values:
        return wanted
    job = partial(compiled, service.model, read_format(asked), wanted, ids)
    return await service.forms.run(job, gone=partial(gone, request))


def read_format(asked: Asked) -> Object:
    """The field, with a type that is known and what belongs to that."""
    value = asked.values[KEY]
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in KINDS:
        raise asked.refused(KEY, f"an object whose type is one of {', '.join(KINDS)}")
    beside = KINDS[kind][0]
    if set(value) != {"type", *([beside] if beside else [])}:
        raise asked.refused(KEY, f"type {kind} with {beside or 'nothing'} beside it")
    return value


def compiled(model: Model, value: Object, wanted: Wanted, ids: list[int]) -> Wanted:
    """The same in this thread."""
    try:
        constraint = KINDS[value["type"]][1](value)
        found = replace(wanted, constraint=constraint)
        if constraint is not None:
            model.continuation(ids, found)
    except ConstraintError as error:
        raise RequestError(f"{KEY}: {error}", status=400, param=KEY, code="constraint") from None
    return found
