"""Which sites an operation of a plan writes, so that a line of the source leads to its row in the ledger."""

from __future__ import annotations

import re
from collections.abc import Collection

OPERATION = re.compile(
    r"(?P<scope>embed|attn|mlp|unembed) (?P<kernel>[a-z]+(?:_[a-z]+)*?)(?:_q\w+)?(?: (?P<number>\d+))?"
)

# Part of the model, kernel whatever the weights are held in, and which of these it is there -> sites without layer.
WRITTEN = {
    ("embed", "embedding", 1): ("hook_embed",),
    ("embed", "embedding", 2): ("hook_pos_embed",),
    ("attn", "layer_norm", 1): ("ln1.hook_normalized", "ln1.hook_scale"),
    ("attn", "matmul", 1): ("attn.hook_q", "attn.hook_k", "attn.hook_v"),
    ("attn", "attention", 1): ("attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_z"),
    ("attn", "matmul", 2): ("attn.hook_result", "hook_attn_out", "hook_resid_mid"),
    ("mlp", "layer_norm", 1): ("ln2.hook_normalized", "ln2.hook_scale"),
    ("mlp", "matmul", 1): ("mlp.hook_pre", "mlp.hook_post"),
    ("mlp", "matmul", 2): ("hook_mlp_out", "hook_resid_post", "hook_resid_pre"),
    ("unembed", "layer_norm", 1): ("ln_final.hook_normalized", "ln_final.hook_scale"),
    ("unembed", "matmul", 1): ("hook_logits",),
}


def sites_of(operation: str, all_operations: Collection[str]) -> tuple[str, ...]:
    """The sites that an operation writes, without their layer; none for one that only prepares.

    all_operations: of the same plan: positions are looked up by the kernel that looks words up, or by another one.
    """
    found = OPERATION.fullmatch(operation)
    if found is None:
        return ()
    number = int(found["number"] or 1)
    if operation == "embed embedding" and any(each.startswith("embed embedding_q") for each in all_operations):
        number = 2
    return WRITTEN.get((found["scope"], found["kernel"], number), ())
