"""Patching one activation after the other from one text into another."""

from __future__ import annotations

from typing import Any

from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.patching import patch_sweep
from glassformer.introspect.results import plain
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.changes import other_run
from glassformer.server.inspect.session import Session

KEYS = ("run", "other", "site", "over", "token", "against")
SITES = ("resid_pre", "attn_out", "mlp_out", "z", "q", "k", "v")
HEADED = ("z", "q", "k", "v")
MOST_ROWS = 1 << 18  # tokens that all variants have together


def sweep(session: Session, asked: Asked) -> dict[str, Any]:
    """What becomes of the difference of two logits after the last token when activations of the run are put into the
    run of the other text: one at a time, by layer and head or by layer and position.
    """
    run, config = session.runs.find(asked.string("run", 40)), session.model.config
    site, over = asked.choice("site", SITES), asked.choice("over", ("head", "position"))
    if over == "head" and site not in HEADED:
        raise asked.refused("over", f"position, since {site} has no heads")
    token, against = (asked.integer(key, 0, config.vocab_size - 1) for key in ("token", "against"))
    each = config.n_head if over == "head" else len(run.ids)
    rows = config.n_layer * each * len(run.ids)
    if rows > MOST_ROWS:
        raise RequestError(
            f"this sweep would read {rows:,} tokens, more than {MOST_ROWS:,}; use a shorter text", param="run"
        )
    corrupted = other_run(session, asked, run)
    metric = logit_difference(session.model, token, against)
    found = patch_sweep(session.model, list(run.ids), list(corrupted.ids), metric, site, ("layer", over))
    return {"site": site, "over": over, "values": plain(found.values), "normalised": plain(found.normalised),
            "clean": found.clean, "corrupted": found.corrupted, "other_tokens": found.corrupted_tokens}  # fmt: skip
