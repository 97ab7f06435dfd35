"""The network behind a model, where it is one whose inside is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from glassformer.introspect.errors import IntrospectionError

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel
    from glassformer.models.gpt2 import GPT2


def network_of(model: TextModel) -> GPT2:
    """The model's network: weights, operations and the pieces of its forward pass.

    Raises:
        IntrospectionError: for a network of one's own, of which only logits are known.
    """
    network = model.network
    missing = [name for name in ("weights", "ops") if not hasattr(network, name)]
    if missing:
        raise IntrospectionError(
            f"a {type(network).__name__} cannot be looked into: it has no {' and no '.join(missing)}; load a model"
        )
    return cast("GPT2", network)
