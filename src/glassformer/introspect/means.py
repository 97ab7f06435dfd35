"""Mean activations over texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.generation.prompt import are_several
from glassformer.introspect.capture import run_with_cache
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.places import named_sites

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel
    from glassformer.generation.prompt import Prompt, Prompts


def mean_row(model: TextModel, texts: Prompt | Prompts, site: str, layer: int | None) -> npt.NDArray[np.float32]:
    """The mean of a site's rows over all tokens of a text, or of several: the shape of the site without its first axis.

    Raises:
        IntrospectionError: for no text, several sites, or a site whose rows have no fixed size.
    """
    found = named_sites(model.config, site, layer)
    if len(found) > 1:
        raise IntrospectionError(
            f"{site!r} names {len(found)} sites, and each has a mean of its own; pick one by `layer`"
        )
    if found[0].axes[0][0] != "tokens":
        raise IntrospectionError(f"{found[0].name} has rows as long as the text, which have no mean; take another site")
    if not len(texts):
        raise IntrospectionError("there is no text to take a mean over; give at least one")
    total, count = np.zeros(found[0].shape(1)[1:], np.float64), 0
    for text in texts if are_several(texts) else [texts]:
        array = run_with_cache(model, text, found[0].name)[1][found[0].name]
        total += array.sum(0, dtype=np.float64)
        count += len(array)
    return (total / count).astype(np.float32)
