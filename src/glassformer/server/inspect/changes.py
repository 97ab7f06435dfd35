"""Changes as they are made on the page, turned into interventions, which are what the model takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glassformer.formats.strict_json import brief
from glassformer.introspect.documents import to_dict
from glassformer.introspect.interventions import Intervention, Mean, Patch, Scale, Zero
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.runs import Run
from glassformer.server.inspect.session import Session

KEYS = ("run", "changes", "other")
CHANGE_KEYS = ("mode", "part", "layer", "head", "position", "factor")
MODES = ("zero", "mean", "patch", "scale")
SITES = {"head": "attn.hook_z", "attn": "hook_attn_out", "mlp": "hook_mlp_out", "resid": "hook_resid_post"}
MOST_CHANGES = 256
MOST_FACTOR = 100.0


def interventions(session: Session, asked: Asked) -> dict[str, Any]:
    """The interventions that changes mean, as JSON and as Python.

    Means are over the tokens of the run; patches are what another text, `other`, of as many tokens has there.
    """
    run = session.runs.find(asked.string("run", 40))
    made = interventions_of(session, asked, run)
    return {"interventions": [to_dict(each) for each in made], "python": python(session, run, made),
            "json": json.dumps({"interventions": [to_dict(each) for each in made]}, indent=1)}  # fmt: skip


def interventions_of(session: Session, asked: Asked, run: Run) -> list[Intervention]:
    """What the changes of a request mean for a run."""
    changes = [Asked(checked(each), CHANGE_KEYS, text=False) for each in asked.items("changes", MOST_CHANGES)]
    other = other_run(session, asked, run) if any(each.values.get("mode") == "patch" for each in changes) else run
    return [intervention(each, run, other) for each in changes]


def checked(change: object) -> Mapping[str, object]:
    """A change, if it is an object."""
    if not isinstance(change, dict):
        raise RequestError(f"a change is {brief(change)}, expected an object", status=422, param="changes")
    return change


def other_run(session: Session, asked: Asked, run: Run) -> Run:
    """The run of the text that patches come from.

    Raises:
        RequestError: it has another number of tokens.
    """
    ids = session.model.ids(other_prompt(session, asked))
    if len(ids) + 1 == len(run.ids) and session.begins(run.ids):
        ids = [run.ids[0], *ids]
    if len(ids) != len(run.ids):
        message = f"the other text has {len(ids)} tokens and this one {len(run.ids)}; give one of as many, so that each position has a partner"  # noqa: E501
        raise RequestError(message, status=422, param="other")
    return session.runs.run(session.model, ids, ())


def other_prompt(session: Session, asked: Asked) -> Any:
    """The other text; ids where the model has no vocabulary."""
    text = asked.string("other", 1 << 18, "")
    if session.vocabulary is not None:
        return text
    words = text.replace(",", " ").split()
    if not all(word.isascii() and word.isdecimal() and len(word) < 12 for word in words):
        raise asked.refused("other", "token ids, since the model has no vocabulary")
    return [int(word) for word in words]


def intervention(change: Asked, run: Run, other: Run) -> Intervention:
    """What one change means."""
    config = run.model.config
    mode, part = change.choice("mode", MODES), change.choice("part", tuple(SITES))
    layer = change.integer("layer", 0, config.n_layer - 1)
    site = f"blocks.{layer}.{SITES[part]}"
    head = change.integer("head", 0, config.n_head - 1) if part == "head" else None
    scoped = change.values.get("position") is not None
    position = change.integer("position", 0, len(run.ids) - 1) if scoped else None
    if mode == "zero":
        return Zero(site, head=head, position=position)
    if mode == "scale":
        factor = change.number("factor", -MOST_FACTOR, MOST_FACTOR, 2.0)
        return Scale(site, factor, head=head, position=position)
    if mode == "mean":
        return Mean(site, run.cache[site].mean(0, dtype=np.float64), head=head, position=position)
    found = other.cache[site] if head is None else other.cache[site][:, head]
    if position is None:
        return Patch(site, found, head=head, position=slice(0, len(run.ids)))
    return Patch(site, found[position], head=head, position=position)


def python(session: Session, run: Run, made: Sequence[Intervention]) -> str:
    """A program that does the same."""
    kinds = sorted({type(each).__name__ for each in made})
    body = "".join(f"    {each.to_python()},\n" for each in made)
    prompt = list(run.ids) if session.model.tokenizer is None else session.model.tokenizer.decode(run.ids)
    if session.model.tokenizer is not None and session.model.ids(prompt) != list(run.ids):
        prompt = list(run.ids)
    decoded = "from glassformer.introspect.numbers import decoded\n" if "decoded(" in body else ""
    name = "" if session.name == "story" else repr(session.name)
    return (
        f"import glassformer\nfrom glassformer.introspect.interventions import {', '.join(kinds)}\n{decoded}\n"
        f"model = glassformer.load({name})\nwith model.edit(\n{body}):\n    logits = model.logits({prompt!r})\n"
    )
