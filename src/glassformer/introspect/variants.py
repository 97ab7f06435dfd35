"""Variants of one run: the same text with other changes each, in one batch, from the layer where the first one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.networks import network_of
from glassformer.models.observer import Edit, Observation, Resume
from glassformer.models.sites import site_places
from glassformer.runtime.frames import Frame, FrameLayout

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]

ROWS = 512  # of a pass
ROWS_OF_LOGITS = 64  # of a pass whose logits are all looked at


def run_variants(
    model: TextModel, ids: Sequence[int], layer: int, residual: Float32, edits: Sequence[Sequence[Edit]],
    names: Sequence[str] = (), *, last_only: bool = True,
) -> tuple[Float32, Mapping[str, Float32]]:  # fmt: skip
    """Run a text once for each list of edits, from the residual stream before a layer.

    residual: [tokens, n_embd], `hook_resid_pre` of that layer -> logits [variants, 1 or tokens, vocab_size], and the
    arrays of `names`, [variants, tokens, ...]. Each variant has the bits that it has alone and from the start.
    """
    network, count, tokens = network_of(model), len(edits), len(ids)
    caches = network.new_caches([tokens] * count)
    observation = Observation(
        tuple(names), together(edits), resume=Resume(layer, np.tile(residual, (count, 1)))
    )  # [variants * tokens, n_embd]
    places = site_places(network.config)
    layout = FrameLayout({name: places[name] for name in names}, count * tokens, tokens)
    frame = Frame(layout, np.empty(layout.count, np.float32)) if names else None
    parts = [(np.array(ids, np.int32), cache) for cache in caches]
    logits = network.forward_batch(parts, last_only=last_only, observation=observation, frame=frame)
    seen = {} if frame is None else {name: frame.array(name) for name in names}  # [variants * tokens, ...]
    arrays = {name: x.reshape(count, tokens, *x.shape[1:]) for name, x in seen.items()}
    return logits.reshape(count, -1, network.config.vocab_size), arrays


def together(edits: Sequence[Sequence[Edit]]) -> tuple[Edit, ...]:
    """The edits of all variants, first ones first, so that those of one site are made in one go."""
    return tuple(
        replace(edit, part=part)
        for places in zip_longest(*edits)
        for part, edit in enumerate(places)
        if edit is not None
    )
