"""Arrays of sites, whole or in part, as they were captured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.server.binary import Binary, farthest, samples
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.attention import view_of
from glassformer.server.inspect.runs import Run
from glassformer.server.inspect.session import Session

Float32 = npt.NDArray[np.float32]

MOST_VALUES = 1 << 24
MOST_SIDE = 2048
ARRAY_KEYS = ("run", "site", "position", "head", "rows", "columns")
LOGITS_KEYS = ("run", "position")


def array(session: Session, asked: Asked) -> Binary:
    """A site's array; of one token or query with `position`, of one head with `head`.

    With `rows` and `columns` it becomes a matrix, the axes after the first joined, and each patch of it the value that
    is farthest from 0, so that no more than these are left. Of very many values some tokens are taken first.
    """
    run = session.runs.find(asked.string("run", 40))
    sites = {site.name: site for site in session.model.sites()}
    name = asked.choice("site", tuple(sites))
    axes = [axis for axis, _ in sites[name].axes]
    found = whole(run, name, asked)
    if "queries" in axes and "head" in asked.values:
        axes.pop(0)
    for key, axis in (("head", "n_head"), ("position", "queries" if "queries" in axes else "tokens")):
        if key in asked.values and not (key == "head" and "queries" in axes):
            if axis not in axes:
                raise RequestError(f"{name} has the axes {', '.join(axes)}, and none for {key}", status=422, param=key)
            place = axes.index(axis)
            number = asked.integer(key, 0, found.shape[place] - 1)
            found = found[(slice(None),) * place + (number,)]
            axes.pop(place)
    notes = {"axes": ",".join(axes), "whole": ", ".join(map(str, found.shape))}
    if found.size > MOST_VALUES and "rows" in asked.values:
        found = found[samples(len(found), asked.integer("rows", 1, MOST_SIDE))]
        notes["sampled"] = "yes"
    notes |= statistics(found)
    if "rows" in asked.values or "columns" in asked.values:
        matrix = found.reshape(len(found), -1) if found.ndim else found.reshape(1, 1)
        sides = asked.integer("rows", 1, MOST_SIDE), asked.integer("columns", 1, MOST_SIDE)
        found = farthest(matrix, *sides)
        notes["reduced"] = "yes" if found.size < matrix.size else "no"
    if found.size > MOST_VALUES:
        message = f"{name} has {found.size:,} values, more than are sent at once; ask for one head or one position"
        raise RequestError(message, status=413)
    return Binary(found, name, notes)


def whole(run: Run, name: str, asked: Asked) -> Float32:
    """The array of a site; of patterns and scores that of one head, where one is named."""
    if name == "hook_logits":
        return run.logits
    if name.endswith(("hook_pattern", "hook_attn_scores")) and "head" in asked.values:
        view = "pattern" if name.endswith("hook_pattern") else "scores"
        return view_of(run, view, int(name.split(".")[1]), asked.integer("head", 0, run.model.config.n_head - 1))
    return run.site(name)


def statistics(x: Float32) -> dict[str, str]:
    """Extremes and means of the finite values."""
    if not np.isfinite(x).all():
        x = x[np.isfinite(x)]
    mean, square = x.mean(dtype=np.float64), np.square(x, dtype=np.float64).mean()
    return {"low": f"{x.min():.7g}", "high": f"{x.max():.7g}", "mean": f"{mean:.7g}", "rms": f"{np.sqrt(square):.7g}"}


def logits(session: Session, asked: Asked) -> Binary:
    """The logits after one token: [vocab_size]."""
    run = session.runs.find(asked.string("run", 40))
    position = asked.integer("position", 0, len(run.ids) - 1)
    return Binary(run.logits[position], "hook_logits", {"position": str(position)})
