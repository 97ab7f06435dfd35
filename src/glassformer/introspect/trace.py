"""Watch a model write: each token with what was computed for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.continuation import Continuation
from glassformer.generation.stopping import FinishReason
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.capture import LIMIT, Names, check_bytes, layout_of, room_for
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.hooks import Hook, calling
from glassformer.introspect.sites import chosen
from glassformer.introspect.tokens import token_text
from glassformer.models.observer import Observation
from glassformer.runtime.frames import Captured, Frame, FrameLayout, FrameStore
from glassformer.runtime.ops import default_ops
from glassformer.runtime.sampling import Sampler

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
SHOWN = 10  # of the most probable tokens, in a notebook
KEYS = 16  # the room for positions comes in multiples of so many


@dataclass(frozen=True, eq=False)
class TraceStep:
    """One token of a continuation.

    Attributes:
        token: its id.
        text: what became certain with it, as in `Step`.
        position: the place that the token takes in the text.
        logprob: its log-probability under the model.
        logits: [vocab_size], which it was chosen by.
        cache: what was computed for the rows that this step read: the prompt's at first, then the row of the token
            before this one, whose position is `position - 1`.
        finish_reason: None while there is more to come.
    """

    token: int
    text: str
    position: int
    logprob: float
    logits: Float32 = field(repr=False)
    cache: ActivationCache = field(repr=False)
    finish_reason: FinishReason | None

    @cached_property
    def probabilities(self) -> Float32:
        """What the model expected, before any penalty, temperature or filter: [vocab_size]."""
        return default_ops().softmax(self.logits)

    def _repr_html_(self) -> str:
        """The token, and the most probable ones in its place."""
        from glassformer.introspect import html

        best = (-self.logits).argsort(kind="stable")[:SHOWN].tolist()
        label = f"{token_text(self.cache.model, self.token)!r} at position {self.position}; the model expected"
        names = [repr(token_text(self.cache.model, each)) for each in best]
        return html.bar_list(names, (100 * self.probabilities[best]).tolist(), label=label, unit="%")


def trace(
    model: TextModel, text: Continuation, names: Names = None, *, hooks: Sequence[Hook] = (), limit: int | None = None
) -> Iterator[TraceStep]:
    """Continue a text token by token, and keep the arrays of sites at each step.

    The tokens are those of `generate`. Memory for all steps is set aside at the beginning, and that of a step whose
    arrays nobody holds is used again.

    Args:
        text: fresh, with speculation off.
        names: as in `run_with_cache`; a sequence of none captures nothing.
        hooks: functions that are called at each step, as `run_with_hooks` does.
        limit: bytes that may be captured in all steps; None: 4 GiB.

    Raises:
        IntrospectionError: for names of no site, or more bytes than the limit; nothing has run then.
    """
    wanted = chosen(model.config, names)
    prompt, steps = len(text.prompt), text.capacity + 1 - len(text.prompt)
    whole = layout_of(model, wanted, prompt, prompt)
    single = layout_of(model, wanted, 1, -(-text.capacity // KEYS) * KEYS)
    check_bytes(whole.nbytes + (steps - 1) * single.nbytes, LIMIT if limit is None else limit)
    called, call = calling(model, hooks)
    observation = Observation(tuple(site.name for site in wanted), called=called, call=call)
    return run(model, text, observation, Frame(whole, room_for(whole)), store_of(single, steps - 1))


def store_of(layout: FrameLayout, steps: int) -> FrameStore:
    """Memory for the steps behind the first.

    Raises:
        IntrospectionError: if there is not as much.
    """
    try:
        return FrameStore(layout, steps)
    except (MemoryError, ValueError):
        size = layout.nbytes * steps
        raise IntrospectionError(f"no memory for {size:,} bytes; name fewer sites, or ask for fewer tokens") from None


def run(
    model: TextModel, text: Continuation, observation: Observation, first: Frame, store: FrameStore
) -> Iterator[TraceStep]:
    """The steps; `first`: the frame of the prompt, `store`: those of all others."""
    network: Any = model.network
    sampler, cache = Sampler(model.config.vocab_size), network.new_cache(text.capacity)
    cache.prompt_length = len(text.prompt)
    frame: Frame | None = first
    while text.reason is None and frame is not None:
        start, past = time.perf_counter(), cache.length
        logits = network.forward(text.unread(), cache, observation=observation, frame=frame)  # [1, vocab_size]
        ids, length = [*text.prompt, *text.generated], cache.length
        step = text.take(logits[0], sampler, start)
        seen = ActivationCache(model, ids, np.arange(past, length), Captured(frame, slice(None), length))
        yield TraceStep(step.token.id, step.text, length, step.token.logprob, logits[0], seen, step.finish_reason)
        del seen
        frame = None  # its memory can be used again, unless somebody holds an array of it
        frame = store.take(length) if text.reason is None else None
