"""Run a model on a text and keep what it computes on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.errors import PromptError
from glassformer.generation.prompt import are_several
from glassformer.generation.stopping import check_fits
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.sites import Site, chosen

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Names = str | Sequence[str] | None
Positions = int | slice | Sequence[int] | None
Float32 = npt.NDArray[np.float32]

LIMIT = 4 << 30  # bytes that are captured without being asked twice


def run_with_cache(
    model: TextModel, prompt: Any, names: Names = None, *, positions: Positions = None, limit: int | None = None
) -> Any:
    """Logits [tokens, vocab_size] of a text, and the arrays of sites.

    Args:
        prompt: text or ids; a list of several gives a list of results.
        names: a site's name, or globs like "blocks.*.attn.hook_pattern"; None: all but `hook_result`.
        positions: of the tokens whose rows are kept; negative ones count from the end. None: all.
        limit: bytes that may be captured; None: 4 GiB.

    Raises:
        IntrospectionError: for names of no site, or more bytes than the limit; nothing has run then.
        PromptError, ContextError: as `TextModel.logits`.
    """
    if are_several(prompt):
        return [run_with_cache(model, each, names, positions=positions, limit=limit) for each in prompt]
    ids = model.ids(prompt)
    if not ids:
        raise PromptError("the text is empty, and nothing is computed without a token; give at least one")
    check_fits(len(ids), model.config.n_positions, "the text")
    wanted = chosen(model.config, names)
    kept = np.arange(len(ids))[
        positions if positions is None or isinstance(positions, slice) else np.atleast_1d(positions)
    ]
    kept = kept.reshape(-1)
    check_bytes(wanted, len(ids), LIMIT if limit is None else limit)
    seer = Seer({site.name for site in wanted}, kept, len(ids), model.network)
    network: Any = model.network
    logits = network.forward(np.array(ids, np.int32), network.new_cache(len(ids)), last_only=False, see=seer)
    return logits, ActivationCache(model, ids, kept, seer.arrays)


def check_bytes(wanted: Sequence[Site], tokens: int, limit: int) -> None:
    """Refuse to capture more bytes than the limit."""
    size = sum(site.nbytes(tokens) for site in wanted)
    if size > limit:
        raise IntrospectionError(
            f"this would capture {size:,} bytes, over the limit of {limit:,}; name fewer sites or positions, "
            "or give a higher `limit`"
        )


class Seer:
    """Copies what it is asked for."""

    def __init__(self, names: set[str], kept: npt.NDArray[np.int64], tokens: int, network: Any) -> None:
        self.names, self.kept, self.tokens, self.network = names, kept, tokens, network
        self.arrays: dict[str, Float32] = {}
        self.all: dict[str, Float32] = {}

    def keep(self, site: str, x: Float32) -> None:
        if site in self.names:
            self.arrays[site] = (
                x[..., self.kept, :] if (x.ndim == 3 and "pattern" in site) or "scores" in site else x[self.kept]
            )

    def __call__(self, site: str, x: Float32) -> Float32:
        self.keep(site, np.array(x))
        at = site.rpartition("attn.")[0]
        network, config = self.network, self.network.config
        if (
            site.endswith(("hook_resid_pre", "hook_resid_mid"))
            or site == f"blocks.{config.n_layer - 1}.hook_resid_post"
        ):
            norm = (
                "ln_final"
                if "resid_post" in site
                else site.replace("hook_resid_pre", "ln1").replace("hook_resid_mid", "ln2")
            )
            self.keep(norm + ".hook_scale", np.sqrt(x.var(-1, keepdims=True) + config.layer_norm_epsilon))
        if site.endswith("attn.hook_q"):
            self.all["q"] = np.array(x)
        elif site.endswith("attn.hook_k"):
            scores = np.einsum("qhd,khd->hqk", self.all["q"], x) * network.scale(int(at.split(".")[1]))
            scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf).astype(np.float32)
            self.keep(at + "attn.hook_attn_scores", scores)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            self.keep(at + "attn.hook_pattern", weights / weights.sum(-1, keepdims=True))
        elif site.endswith("attn.hook_z") and at + "attn.hook_result" in self.names:
            block = network.weights.h[int(at.split(".")[1])]
            each = np.zeros((len(x), config.n_head, config.n_embd), np.float32)
            for h in range(config.n_head):
                each[:, h, h * config.head_dim : (h + 1) * config.head_dim] = x[:, h]
            result = network.ops.linear(each.reshape(-1, config.n_embd), block.attn_c_proj.weight)
            self.keep(at + "attn.hook_result", result.reshape(each.shape))
        return x
