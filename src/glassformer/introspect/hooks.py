"""Functions of one's own, called while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.sites import chosen

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HookPoint:
    """Where a function is called: the site's name, and its layer where it has one."""

    name: str
    layer: int | None


Hook = tuple[str, Callable[[Float32, HookPoint], Float32 | None]]


def run_with_hooks(model: TextModel, prompt: Any, hooks: Sequence[Hook]) -> Float32:
    """Logits [tokens, vocab_size]; each function is given the array at its sites and may return another."""
    for glob, _ in hooks:
        chosen(model.config, glob)
    ids = model.ids(prompt)

    def see(site: str, x: Float32) -> Float32:
        for glob, function in hooks:
            if fnmatchcase(site, glob):
                parts = site.split(".")
                changed = function(np.array(x), HookPoint(site, int(parts[1]) if parts[0] == "blocks" else None))
                x = x if changed is None else np.ascontiguousarray(changed, np.float32)
        return x

    network = model.network
    found: Float32 = network.forward(np.array(ids, np.int32), network.new_cache(len(ids)), last_only=False, see=see)  # type: ignore[call-arg]
    return found
