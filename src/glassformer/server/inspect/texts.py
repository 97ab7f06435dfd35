"""Running a text."""

from __future__ import annotations

from typing import Any

from glassformer.generation.special_ids import start_id
from glassformer.introspect.documents import from_dict, to_dict
from glassformer.introspect.edit import edited
from glassformer.introspect.results import plain
from glassformer.introspect.surprise import surprise_from_logits
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.changes import interventions_of
from glassformer.server.inspect.runs import Run
from glassformer.server.inspect.session import Session

MOST_CHARACTERS = 1 << 18
MOST_IDS = 1 << 16
KEYS = ("text", "ids", "begin", "interventions", "run", "changes", "other")
SURPRISE_KEYS = ("run",)
MOST_INTERVENTIONS = 256


def asked_ids(session: Session, asked: Asked) -> list[int]:
    """The tokens that a request names, by `text` or by `ids`; with `begin`, behind the begin-of-text token."""
    if ("text" in asked.values) == ("ids" in asked.values):
        raise RequestError("give either text or ids", status=422, param="text")
    prompt: Any = asked.items("ids", MOST_IDS) if "ids" in asked.values else asked.string("text", MOST_CHARACTERS)
    begin = asked.values.get("begin", False)
    if not isinstance(begin, bool):
        raise asked.refused("begin", "true or false")
    model = session.model
    ids = model.ids(prompt)
    return [start_id(model.config, model.recommended), *ids] if begin or not ids else ids


def run_text(session: Session, asked: Asked) -> dict[str, Any]:
    """Run a text, with interventions or without, and say what its tokens are.

    Or run the text of a run again, with changes as they are made on the page.
    """
    if "run" in asked.values:
        return run_changed(session, asked)
    given = asked.items("interventions", MOST_INTERVENTIONS)
    changes = [from_dict(each, f"intervention {place}") for place, each in enumerate(given)]
    model = edited(session.model, changes) if changes else session.model
    return described(session, session.runs.run(model, asked_ids(session, asked), given))


def run_changed(session: Session, asked: Asked) -> dict[str, Any]:
    """The text of a run with changes."""
    beside = next((key for key in ("text", "ids", "begin", "interventions") if key in asked.values), None)
    if beside is not None:
        raise RequestError(f"{beside} stands beside run, which names the text already", status=422, param=beside)
    base = session.runs.find(asked.string("run", 40))
    made = interventions_of(session, asked, base)
    model = edited(session.model, made) if made else session.model
    return described(session, session.runs.run(model, base.ids, [to_dict(each) for each in made]))


def described(session: Session, run: Run) -> dict[str, Any]:
    """A run as the page needs it first."""
    return {
        "run": run.id,
        "ids": run.ids,
        "text": None if session.model.tokenizer is None else session.model.tokenizer.decode(run.ids),
        "tokens": [session.token(token) for token in run.ids],
        "seconds": run.seconds,
        "nbytes": run.nbytes,
        "edited": bool(run.interventions),
    }


def surprise(session: Session, asked: Asked) -> dict[str, Any]:
    """How much each token of a run was expected; the first one, which nothing comes before, has null."""
    run = session.runs.find(asked.string("run", 40))
    found = surprise_from_logits(session.model, run.ids, run.logits, top=0)
    parts = {"logprobs": found.logprobs, "bits": found.bits, "entropy": found.entropy}
    return {**plain(parts), "ranks": [None, *plain(found.ranks)[1:]]}
