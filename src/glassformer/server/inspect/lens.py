"""The logit lens over a window of positions."""

from __future__ import annotations

import numpy as np

from glassformer.introspect.lens import logit_lens
from glassformer.server.binary import Binary
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session

KEYS = ("run", "begin", "end", "follow")
TOP = 10
MOST_POSITIONS = 64  # at once; a page shows fewer


def lens(session: Session, asked: Asked) -> Binary:
    """What each depth would predict at positions from `begin` to before `end`: [depths, positions, 2 * TOP + 2].

    The last axis holds the ids of the most probable tokens, best first, their probabilities, and the rank and the
    log-probability of the token `follow` (0 where none is asked for). Depth 0 is before layer 0. Ids are exact: a
    float32 holds whole numbers up to 2**24.
    """
    run = session.runs.find(asked.string("run", 40))
    begin = asked.integer("begin", 0, len(run.ids) - 1)
    end = asked.integer("end", begin + 1, len(run.ids))
    if end - begin > MOST_POSITIONS:
        raise RequestError(f"{end - begin} positions are more than {MOST_POSITIONS}; ask for a part", status=422)
    follow = asked.integer("follow", -1, session.model.config.vocab_size - 1, -1)
    wanted = [] if follow < 0 else [follow]
    found = logit_lens(run.model, run.cache, positions=slice(begin, end), top=TOP, follow=wanted)
    depths, positions, top = found.top_ids.shape
    out = np.zeros((depths, positions, 2 * TOP + 2), np.float32)
    out[..., :top], out[..., TOP : TOP + top] = found.top_ids, found.top_probabilities
    if wanted:
        out[..., 2 * TOP], out[..., 2 * TOP + 1] = found.ranks[..., 0], found.logprobs[..., 0]
    return Binary(out, "blocks.*.hook_resid_post", {"top": str(top)})
