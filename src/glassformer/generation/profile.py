"""A profile of one generation: a prompt of given length, then tokens one by one, as `generate` runs them."""

from __future__ import annotations

import numpy as np

from glassformer.generation.errors import ContextError, OptionsError
from glassformer.generation.model import TextModel
from glassformer.runtime.profile import Profile

WARM_UP = 3  # tokens that compile the kernels and record the plans before anything is noted


def profile_generation(model: TextModel, prompt_tokens: int, new_tokens: int) -> Profile:
    """Read a prompt and decode, everything warm; the profile's `prefill` and `decode` are its two parts.

    Raises:
        OptionsError: numbers of tokens below 1.
        ContextError: for more tokens than the context window has.
        ProfileError: where nothing can be timed.
    """
    if min(prompt_tokens, new_tokens) < 1:
        raise OptionsError([f"numbers of tokens are at least 1, found {min(prompt_tokens, new_tokens)}"])
    window, tokens = model.config.n_positions, prompt_tokens + new_tokens
    if tokens > window:
        message = f"{prompt_tokens} tokens and {new_tokens} more exceed the context window of {window}; ask for fewer"
        raise ContextError(message, tokens=tokens, limit=window)
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, prompt_tokens).tolist()
    model.generate(ids, max_new_tokens=min(WARM_UP, new_tokens), do_sample=False, ignore_eos=True)
    with model.profile() as found:
        # The first token comes of the prompt, so one more than the decoding steps.
        model.generate(
            ids, max_new_tokens=min(new_tokens + 1, window - prompt_tokens), do_sample=False, ignore_eos=True
        )
    return found
