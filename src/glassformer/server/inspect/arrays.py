"""Arrays of sites, whole or in part, as they were captured."""

from __future__ import annotations

from glassformer.server.binary import Binary
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session

MOST_VALUES = 1 << 24
ARRAY_KEYS = ("run", "site", "position", "head")
LOGITS_KEYS = ("run", "position")


def array(session: Session, asked: Asked) -> Binary:
    """A site's array; of one token or query with `position`, of one head with `head`."""
    run = session.runs.find(asked.string("run", 40))
    sites = {site.name: site for site in session.model.sites()}
    name = asked.choice("site", tuple(sites))
    axes = [axis for axis, _ in sites[name].axes]
    found = run.logits if name == "hook_logits" else run.site(name)
    for key, axis in (("head", "n_head"), ("position", "queries" if "queries" in axes else "tokens")):
        if key in asked.values:
            if axis not in axes:
                raise RequestError(f"{name} has the axes {', '.join(axes)}, and none for {key}", status=422, param=key)
            place = axes.index(axis)
            number = asked.integer(key, 0, found.shape[place] - 1)
            found = found[(slice(None),) * place + (number,)]
            axes.pop(place)
    if found.size > MOST_VALUES:
        message = f"{name} has {found.size:,} values, more than are sent at once; ask for one head or one position"
        raise RequestError(message, status=413)
    return Binary(found, name, {"axes": ",".join(axes)})


def logits(session: Session, asked: Asked) -> Binary:
    """The logits after one token: [vocab_size]."""
    run = session.runs.find(asked.string("run", 40))
    position = asked.integer("position", 0, len(run.ids) - 1)
    return Binary(run.logits[position], "hook_logits", {"position": str(position)})
