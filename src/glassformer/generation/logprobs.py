"""Log-probabilities that the model itself gives to tokens, before any penalty, temperature or filter."""

from dataclasses import dataclass

from glassformer.generation.network import Float32
from glassformer.runtime.sampling import Sampler


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token and what the model thought of it.

    Attributes:
        id: the token.
        logprob: natural logarithm of its probability.
        top: (id, logprob) of the most probable tokens at this place, best first, equal ones by id.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def token_logprob(logits: Float32, token: int, top: int, sampler: Sampler) -> TokenLogprob:
    """What logits [vocab_size] say of `token`, with the `top` most probable tokens beside it."""
    best = sampler.leading(logits, top)
    own, *others = sampler.log_probabilities(logits, [token, *best])
    return TokenLogprob(token, own, tuple(zip(best, others, strict=True)))
