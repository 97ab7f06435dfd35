"""What was captured on the way through a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.networks import network_of
from glassformer.introspect.tokens import token_texts
from glassformer.models.fusion import results_of

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel
    from glassformer.introspect.attribution import Attribution
    from glassformer.introspect.positions import Positions
    from glassformer.introspect.tokens import Token

Float32 = npt.NDArray[np.float32]
Key = str | tuple[str, int]

HOMES = {
    **dict.fromkeys(("q", "k", "v", "attn_scores", "pattern", "z", "result"), "attn."),
    **dict.fromkeys(("pre", "post"), "mlp."),
}


def full_name(key: Key, n_layer: int) -> str:
    """The site that a key means: a full name, or (short name, layer), where -1 is the last layer.

    ("pattern", 5) is "blocks.5.attn.hook_pattern", ("resid_post", -1) the last layer's "hook_resid_post", and
    ("ln1.hook_scale", 0) is "blocks.0.ln1.hook_scale".
    """
    if isinstance(key, str):
        return key
    name, layer = key
    if not -n_layer <= layer < n_layer:
        raise IntrospectionError(f"layer {layer} is not among the {n_layer} of this model")
    at = f"blocks.{layer % n_layer}."
    return at + (name if "hook_" in name else f"{HOMES.get(name, '')}hook_{name}")


class ActivationCache(Mapping[str, Float32]):
    """Captured arrays by site; `cache["pattern", 5]` is short for `cache["blocks.5.attn.hook_pattern"]`.

    Arrays are views of one memory, made when they are asked for. Where heads' results were not captured but z was,
    `cache["result", 5]` is computed from it.

    Attributes:
        model: whose run this is.
        ids: the text, token by token.
        positions: absolute positions of the rows that were kept (of the queries, where an array has keys).
    """

    def __init__(
        self, model: TextModel, ids: list[int], positions: npt.NDArray[np.int64], arrays: Mapping[str, Float32]
    ) -> None:
        self.model, self.ids, self.positions = model, ids, positions
        self._arrays = arrays

    @property
    def tokens(self) -> list[str]:
        """The text of each token; its id in brackets where the vocabulary has no text for it."""
        return token_texts(self.model, self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(array.nbytes for array in self._arrays.values())

    def __getitem__(self, key: Key) -> Float32:
        name = full_name(key, self.model.config.n_layer)
        if name in self._arrays:
            return self._arrays[name]
        z = name.replace("hook_result", "hook_z")
        if name.endswith("attn.hook_result") and z in self._arrays:
            return self._results(int(name.split(".")[1]), self._arrays[z])
        raise IntrospectionError(f"{name} was not captured; name it in `names`")

    def _results(self, layer: int, z: Float32) -> Float32:
        """What each head of a layer alone adds to the residual stream: [rows, n_head, n_embd]."""
        network = network_of(self.model)
        found: Float32 = results_of(network.ops, z, network.weights.h[layer].attn_c_proj.weight)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str | tuple) and full_name(key, self.model.config.n_layer) in self._arrays

    def _repr_html_(self) -> str:
        """The text, and a table of the arrays."""
        from glassformer.introspect import html

        kept = {int(position) for position in self.positions}
        values = [1.0 if position in kept else None for position in range(len(self.ids))]
        text = html.coloured_tokens(
            self.tokens, values, label="positions kept", titles=[str(i) for i in self.ids], high=3
        )
        rows = [(name, " x ".join(map(str, array.shape)), array.nbytes) for name, array in self.items()]
        label = f"{len(rows)} sites, {self.nbytes:,} bytes"
        return html.joined(text, html.table(("site", "shape", "bytes"), rows, label=label))

    def logit_attribution(
        self, token: Token, against: Token | None = None, *, unit: str = "component", positions: Positions = -1,
        folded: bool = True,
    ) -> Attribution:  # fmt: skip
        """What each part of the model adds to a logit, or to the difference of two.

        `glassformer.introspect.attribution.logit_attribution` documents parameters and errors.
        """
        from glassformer.introspect.attribution import logit_attribution

        return logit_attribution(self, token, against, unit=unit, positions=positions, folded=folded)
