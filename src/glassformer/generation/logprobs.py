"""Log-probabilities that the model itself gives to tokens, before any penalty, temperature or filter."""

from dataclasses import dataclass

from glassformer.generation.filters import leading
from glassformer.generation.network import Float32
from glassformer.runtime import ops


@dataclass(frozen=True)
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


def most_probable(log_probabilities: Float32, count: int) -> tuple[tuple[int, float], ...]:
    """(id, logprob) of the `count` greatest of [vocab_size], in descending order."""
    best = leading(-log_probabilities, count)[:count] if count else ()
    return tuple((int(token), float(log_probabilities[token])) for token in best)


def token_logprob(logits: Float32, token: int, top: int) -> TokenLogprob:
    """What logits [vocab_size] say of `token`, with the `top` most probable tokens beside it."""
    log_probabilities = ops.log_softmax(logits)
    return TokenLogprob(token, float(log_probabilities[token]), most_probable(log_probabilities, top))
