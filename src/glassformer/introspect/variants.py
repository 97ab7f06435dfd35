"""Variants of one run: the same text with other changes each, in one batch, from the layer where the first one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.capture import run_batch
from glassformer.models.observer import Edit, Resume

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]

ROWS = 512  # of a pass
ROWS_OF_LOGITS = 64  # of a pass whose logits are all looked at


def run_variants(
    model: TextModel, ids: Sequence[int], layer: int, residual: Float32, edits: Sequence[Sequence[Edit]],
    names: Sequence[str] = (), *, last_only: bool = True,
) -> list[tuple[Float32, ActivationCache]]:  # fmt: skip
    """Run a text once for each list of edits, from the residual stream before a layer.

    residual: [tokens, n_embd], `hook_resid_pre` of that layer -> of each variant logits, [1 or tokens, vocab_size], and
    the arrays of `names`. Each has the bits that it has alone and from the start.
    """
    start = Resume(layer, np.tile(residual, (len(edits), 1)))  # [variants * tokens, n_embd]
    texts = [ids] * len(edits)
    return run_batch(model, texts, names, edits=together(edits), resume=start, last_only=last_only)


def together(edits: Sequence[Sequence[Edit]]) -> tuple[Edit, ...]:
    """The edits of all variants, first ones first, so that those of one site are made in one go."""
    return tuple(
        replace(edit, part=part)
        for places in zip_longest(*edits)
        for part, edit in enumerate(places)
        if edit is not None
    )
