"""Attention: all heads as thumbnails, or one head as large as it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.attention import attention_pattern, attention_scores, value_lengths
from glassformer.introspect.edit import EditedNetwork
from glassformer.introspect.resolve import resolve
from glassformer.server.binary import Binary, reduced, samples
from glassformer.server.fields import Asked
from glassformer.server.inspect.runs import Run
from glassformer.server.inspect.session import Session

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
VIEWS = ("pattern", "scores", "value_weighted")
SITES = {"scores": "attn_scores", "pattern": "pattern", "value_weighted": "pattern"}
THUMBNAIL = 40
MOST_PIXELS = 2048
THUMBNAIL_KEYS = ("run", "view")
HEAD_KEYS = ("run", "view", "layer", "head", "size")
ROW_KEYS = ("run", "view", "layer", "head", "position")


def view_of(run: Run, view: str, layer: int, head: int, queries: Int64 | None = None) -> Float32:
    """One head's scores, pattern, or pattern weighted by the lengths of values: [queries, keys]."""
    made = attention_scores if view == "scores" else attention_pattern
    found = made(run.cache, layer, head, queries) if follows(run) else captured(run, view, layer, queries)[head]
    return np.multiply(found, value_lengths(run.cache, layer, head)) if view == "value_weighted" else found


def follows(run: Run) -> bool:
    """Whether patterns follow from the queries and keys that were captured.

    They do not where something is changed between these, or where keys are held in eight bits.
    """
    network: Any = run.model.network
    if network.layout.kind == "q8":
        return False
    if not isinstance(network, EditedNetwork):
        return True
    edits = resolve(network.config, network.interventions, len(run.ids))
    return not any(each.site.endswith(("hook_attn_scores", "hook_pattern")) for each in edits)


def captured(run: Run, view: str, layer: int, queries: Int64 | None) -> Float32:
    """The same of all heads from another run that captures it: [n_head, queries, keys]."""
    site = site_of(view, layer)
    positions = None if queries is None else queries.tolist()
    found: Float32 = run.model.run_with_cache(list(run.ids), site, positions=positions)[1][site]
    return found


def thumbnails(session: Session, asked: Asked) -> Binary:
    """All heads, small: [n_layer, n_head, rows, columns].

    Of a longer text, some queries from the first to the last, and of each patch of keys the greatest.
    """
    run, view = session.runs.find(asked.string("run", 40)), asked.choice("view", VIEWS, "pattern")
    key = f"thumbnails of {view}"
    queries = samples(len(run.ids), THUMBNAIL)
    if key not in run.derived:
        config = session.model.config
        heads = [
            reduced(view_of(run, view, layer, head, queries), THUMBNAIL, THUMBNAIL)
            for layer in range(config.n_layer)
            for head in range(config.n_head)
        ]
        run.derived[key] = np.stack(heads).reshape(config.n_layer, config.n_head, *heads[0].shape)
    return Binary(run.derived[key], f"blocks.*.attn.hook_{SITES[view]}", {"tokens": str(len(run.ids))})


def head(session: Session, asked: Asked) -> Binary:
    """One head: [queries, keys], reduced to at most `size` a side by taking the greatest of each patch."""
    run, view, layer, number = which(session, asked)
    size = asked.integer("size", 1, MOST_PIXELS)
    found = reduced(view_of(run, view, layer, number), size, size)
    return Binary(found, site_of(view, layer), {"tokens": str(len(run.ids)), "head": str(number)})


def row(session: Session, asked: Asked) -> Binary:
    """What one query looks at: [keys]."""
    run, view, layer, number = which(session, asked)
    position = asked.integer("position", 0, len(run.ids) - 1)
    found = view_of(run, view, layer, number, np.array([position]))[0, : position + 1]
    return Binary(found, site_of(view, layer), {"head": str(number), "position": str(position)})


def which(session: Session, asked: Asked) -> tuple[Run, str, int, int]:
    """Run, view, layer and head that a request names."""
    config = session.model.config
    return (
        session.runs.find(asked.string("run", 40)),
        asked.choice("view", VIEWS, "pattern"),
        asked.integer("layer", 0, config.n_layer - 1),
        asked.integer("head", 0, config.n_head - 1),
    )


def site_of(view: str, layer: int) -> str:
    """The site that a view shows."""
    return f"blocks.{layer}.attn.hook_{SITES[view]}"
