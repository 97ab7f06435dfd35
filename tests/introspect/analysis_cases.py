"""What is analysed: two texts, and the small model of random weights."""

# As many tokens each; one word decides how they go on.
TEXT = "Once upon a time there was a girl named Lily. She had a cat."
OTHER = "Once upon a time there was a boy named Lily. She had a dog."

# Every bias and norm of this one says something, and its sizes are multiples of nothing.
LIVELY: dict[str, object] = {
    "n_layer": 3, "n_head": 4, "n_embd": 28, "n_inner": 50, "vocab_size": 131, "n_positions": 64,
    "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
