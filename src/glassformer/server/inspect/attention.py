"""Attention: all heads as thumbnails, or one head as large as it is shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.introspect.attention import attention_pattern, attention_scores, value_lengths
from glassformer.server.binary import Binary, reduced
from glassformer.server.fields import Asked
from glassformer.server.inspect.runs import Run
from glassformer.server.inspect.session import Session

Float32 = npt.NDArray[np.float32]
VIEWS = ("pattern", "scores", "value_weighted")
THUMBNAIL = 40
MOST_PIXELS = 2048
THUMBNAIL_KEYS = ("run", "view")
HEAD_KEYS = ("run", "view", "layer", "head", "size")
ROW_KEYS = ("run", "view", "layer", "head", "position")


def view_of(run: Run, view: str, layer: int, head: int) -> Float32:
    """One head's scores, pattern, or pattern weighted by values: [queries, keys].

    They come of q and k, or, where something was changed between these and the pattern, of a run that captures them.
    """
    if run.interventions:
        heads: Float32 = run.site(site_of(view, layer))  # [n_head, queries, keys]
        found: Float32 = heads[head]
    else:
        found = (attention_scores if view == "scores" else attention_pattern)(run.cache, layer, head)
    if view == "value_weighted":
        found = np.multiply(found, value_lengths(run.cache, layer, head), dtype=np.float32)
    return found


def thumbnails(session: Session, asked: Asked) -> Binary:
    """All heads, small: [n_layer, n_head, rows, columns], each the greatest of a patch."""
    run, view = session.runs.find(asked.string("run", 40)), asked.choice("view", VIEWS, "pattern")
    key = f"thumbnails of {view}"
    if key not in run.derived:
        config = session.model.config
        heads = [
            reduced(view_of(run, view, layer, head), THUMBNAIL, THUMBNAIL)
            for layer in range(config.n_layer)
            for head in range(config.n_head)
        ]
        run.derived[key] = np.stack(heads).reshape(config.n_layer, config.n_head, *heads[0].shape)
    return Binary(run.derived[key], "blocks.*.attn.hook_pattern", {"tokens": str(len(run.ids))})


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
    found = view_of(run, view, layer, number)[position, : position + 1]
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
    return f"blocks.{layer}.attn.hook_{'attn_scores' if view == 'scores' else 'pattern'}"
