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


def leaders(logits: Float32, top: int, sampler: Sampler) -> tuple[tuple[int, float], ...]:
    """The `top` most probable tokens under logits [vocab_size], with their log-probabilities."""
    best = sampler.leading(logits, top) if top else []
    return tuple(zip(best, sampler.log_probabilities(logits, best), strict=True)) if best else ()


def token_logprob(logits: Float32, token: int, top: int, sampler: Sampler) -> TokenLogprob:
    """What logits [vocab_size] say of `token`, with the `top` most probable tokens beside it."""
    (own,) = sampler.log_probabilities(logits, [token])
    return TokenLogprob(token, own, leaders(logits, top, sampler))
