"""What tells models apart, wherever they lie: what they compute, to the bit, and what they read and write."""

from __future__ import annotations

from hashlib import blake2b

from glassformer.generation.model import TextModel

TOKENS = 8  # that are read: all weights but those of embeddings have a say in their logits


def identity_of(model: TextModel) -> str:
    """32 hexadecimal digits: equal for equal models, whatever number of threads and which processor they run on."""
    count = min(TOKENS, model.config.vocab_size, model.config.n_positions)
    digest = blake2b(model.logits(range(count)).tobytes(), digest_size=16)
    digest.update(repr((model.config, model.recommended)).encode())
    if model.tokenizer is not None:
        known, space = model.tokenizer.vocabulary, model.tokenizer.add_prefix_space
        tables = (sorted(known.ids.items()), known.merge_ids, sorted(known.added.items()), space)
        digest.update(repr(tables).encode("utf-8", "replace"))
    return digest.hexdigest()
