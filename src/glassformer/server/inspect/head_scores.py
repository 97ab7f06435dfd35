"""What heads attend to, by kind."""

from __future__ import annotations

from glassformer.introspect.head_scores import KINDS, head_scores
from glassformer.server.binary import Binary
from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session

KEYS = ("kind",)


def scores(session: Session, asked: Asked) -> Binary:
    """The score of every head on random tokens that are repeated: [n_layer, n_head]. Computed once for each kind."""
    kind = asked.choice("kind", tuple(KINDS))
    if kind not in session.head_scores:
        session.head_scores[kind] = head_scores(session.model, kind)
    found = session.head_scores[kind]
    text = f"{len(found.tokens)} tokens: random ones, repeated"
    return Binary(found.scores, "blocks.*.attn.hook_pattern", {"text": text, "queries": str(found.queries)})
