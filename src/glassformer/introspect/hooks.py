"""Functions of one's own, called while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.networks import network_of
from glassformer.introspect.sites import chosen
from glassformer.introspect.tokens import text_ids
from glassformer.models.observer import Call, Observation

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
    """Logits [tokens, vocab_size]; each function is given a copy of the array at its sites and may return another.

    Arrays have the shapes that `Model.sites()` names. What a function does to its array in place changes nothing: it
    must return it. Where scores, pattern, heads' results or scales may be changed, other kernels compute what follows,
    within 1e-6 relative.

    Raises:
        IntrospectionError: for globs of no site.
        ShapeError: if a function returns another shape.
        PromptError, ContextError: as `TextModel.logits`.
    """
    called, call = calling(model, hooks)
    ids = text_ids(model, prompt)
    network = network_of(model)
    found: Float32 = network.forward(
        np.array(ids, np.int32),
        network.new_cache(len(ids)),
        last_only=False,
        observation=Observation(called=called, call=call),
    )
    return found


def calling(model: TextModel, hooks: Sequence[Hook]) -> tuple[frozenset[str], Call | None]:
    """The sites at which functions are called, and one function that calls them.

    Raises:
        IntrospectionError: for globs of no site.
    """
    called = frozenset(site.name for glob, _ in hooks for site in chosen(model.config, glob))

    def call(site: str, x: Float32) -> Float32 | None:
        parts = site.split(".")
        point = HookPoint(site, int(parts[1]) if parts[0] == "blocks" else None)
        changed: Float32 | None = None
        for glob, function in hooks:
            if fnmatchcase(site, glob):
                found = function(x if changed is None else changed, point)
                changed = changed if found is None else found
        return changed

    return called, call if called else None
