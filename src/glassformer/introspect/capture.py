"""Run a model on texts and keep what it computes on the way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.prompt import are_several
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.networks import network_of
from glassformer.introspect.positions import Positions, absolute_positions
from glassformer.introspect.sites import Site, chosen
from glassformer.introspect.tokens import text_ids
from glassformer.models.observer import Edit, Observation, Resume
from glassformer.models.sites import site_places
from glassformer.runtime.frames import Captured, Frame, FrameLayout
from glassformer.runtime.memory import aligned

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Names = str | Sequence[str] | None
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Result = tuple[Float32, ActivationCache]

LIMIT = 4 << 30  # bytes that are captured without being asked twice


def run_with_cache(
    model: TextModel, prompt: Any, names: Names = None, *, positions: Positions = None, limit: int | None = None
) -> Any:
    """Logits [tokens, vocab_size] of a text, and the arrays of sites.

    Args:
        prompt: text or ids; a list of several is run as one batch and gives a list of results, each to the bits that it
            has alone.
        names: a site's name, or globs like "blocks.*.attn.hook_pattern"; None: all but `hook_result`.
        positions: of the tokens whose rows are kept; negative ones count from the end. None: all.
        limit: bytes that may be captured; None: 4 GiB.

    Raises:
        IntrospectionError: for names of no site, positions outside the text, or more bytes than the limit; nothing has
            run then.
        PromptError, ContextError: as `TextModel.logits`.
    """
    if are_several(prompt):
        several = [text_ids(model, each, f"text {place}") for place, each in enumerate(prompt)]
        return run_batch(model, several, names, positions=positions, limit=limit)
    return run_batch(model, [text_ids(model, prompt)], names, positions=positions, limit=limit)[0]


def run_batch(
    model: TextModel, texts: Sequence[Sequence[int]], names: Names = None, *, positions: Positions = None,
    limit: int | None = None, edits: Sequence[Edit] = (), resume: Resume | None = None, last_only: bool = False,
) -> list[Result]:  # fmt: skip
    """The same for texts of ids, with changes; `Edit.part` says which text, `resume` where the passes start.

    last_only: whether logits are of the last token of each text alone, [1, vocab_size].

    Raises:
        ShapeError: for edits or a start that do not fit the model, beside the errors of `run_with_cache`.
    """
    wanted = chosen(model.config, names)
    kept = [np.unique(absolute_positions(positions, len(ids))) for ids in texts]
    keys = max((len(ids) for ids in texts), default=0)
    layout = layout_of(model, wanted, sum(len(places) for places in kept), keys)
    check_bytes(layout.nbytes, LIMIT if limit is None else limit)
    ends = list(accumulate((len(places) for places in kept), initial=0))
    rows = [row_of_each(len(ids), places, start) for ids, places, start in zip(texts, kept, ends, strict=False)]
    frame = Frame(layout, room_for(layout), rows)
    observation = Observation(tuple(layout.places), tuple(edits), resume=resume)
    network = network_of(model)
    caches = network.new_caches([len(ids) for ids in texts])
    parts = [(np.array(ids, np.int32), cache) for ids, cache in zip(texts, caches, strict=True)]
    logits = network.forward_batch(parts, last_only=last_only, observation=observation, frame=frame)
    tokens = list(accumulate((1 if last_only else len(ids) for ids in texts), initial=0))
    return [
        (
            logits[tokens[i] : tokens[i + 1]],
            ActivationCache(model, list(ids), kept[i], Captured(frame, slice(ends[i], ends[i + 1]), len(ids))),
        )
        for i, ids in enumerate(texts)
    ]


def row_of_each(tokens: int, kept: Int64, start: int) -> Int64:
    """The row in a frame of each position of a text, whose rows begin at `start`; -1 for one that is not kept."""
    rows = np.full(tokens, -1)
    rows[kept] = np.arange(start, start + len(kept))
    return rows


def layout_of(model: TextModel, wanted: Sequence[Site], rows: int, keys: int) -> FrameLayout:
    """How the arrays of sites lie in memory."""
    places = site_places(model.config)
    return FrameLayout({site.name: places[site.name] for site in wanted}, rows, keys)


def room_for(layout: FrameLayout) -> Float32:
    """Memory for one frame.

    Raises:
        IntrospectionError: if there is not as much.
    """
    try:
        memory: Float32 = aligned(max(layout.count, 1), np.float32)
    except (MemoryError, ValueError):
        raise IntrospectionError(
            f"there is no memory for {layout.nbytes:,} bytes; name fewer sites or positions"
        ) from None
    return memory


def check_bytes(size: int, limit: int) -> None:
    """Refuse to capture more bytes than the limit."""
    if size > limit:
        raise IntrospectionError(
            f"this would capture {size:,} bytes, over the limit of {limit:,}; name fewer sites or positions, "
            "or give a higher `limit`"
        )
