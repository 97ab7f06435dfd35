"""Watch a model write: each token with what was computed for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.continuation import Continuation, Step
from glassformer.generation.decode import Stride
from glassformer.generation.network import decoder_of, sampler_of
from glassformer.generation.stopping import FinishReason
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.capture import LIMIT, Names, check_bytes, layout_of, room_for
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.hooks import Hook, calling
from glassformer.introspect.sites import Site, chosen
from glassformer.introspect.tokens import token_text
from glassformer.models.observer import Call, Observation
from glassformer.runtime.frames import Captured, Frame, FrameLayout, FrameStore
from glassformer.runtime.ops import default_ops
from glassformer.runtime.sampling import Sampler

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
SHOWN = 10  # of the most probable tokens, in a notebook
Calling = tuple[frozenset[str], Call | None]
Found = Sequence[tuple[int, float] | None]
LOGITS = "hook_logits"
KEYS = 16  # the room for positions comes in multiples of so many


class LongStride(Stride):
    """Who looks at tokens waits longer for them than who reads them."""

    LONGER = 4

    def passed(self, count: int, seconds: float) -> None:
        """So many tokens took so long."""
        super().passed(count, seconds / self.LONGER)


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

    The tokens are those of `generate`. Memory for all steps is set aside at the beginning, and that of steps whose
    arrays nobody holds is used again: a few steps, which are taken without coming back to Python, share theirs.

    Args:
        text: fresh, with speculation off.
        names: as in `run_with_cache`; a sequence of none captures nothing.
        hooks: functions that are called at each step, as `run_with_hooks` does.
        limit: bytes that may be captured in all steps, logits included; None: 4 GiB.

    Raises:
        IntrospectionError: for names of no site, or more bytes than the limit; nothing has run then.
    """
    wanted = chosen(model.config, names)
    prompt, steps = len(text.prompt), text.capacity + 1 - len(text.prompt)
    whole = layout_of(model, wanted, prompt, prompt)
    logits = () if any(site.name == LOGITS for site in wanted) else chosen(model.config, LOGITS)
    single = layout_of(model, [*wanted, *logits], 1, -(-text.capacity // KEYS) * KEYS)
    check_bytes(whole.nbytes + (steps - 1) * single.nbytes, LIMIT if limit is None else limit)
    return run(model, text, wanted, calling(model, hooks), Frame(whole, room_for(whole)), store_of(single, steps - 1))


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
    model: TextModel, text: Continuation, wanted: Sequence[Site], hooks: Calling, first: Frame, store: FrameStore
) -> Iterator[TraceStep]:
    """The steps; `first`: the frame of the prompt, `store`: those of all others, which hold the logits too."""
    network: Any = model.network
    names = tuple(site.name for site in wanted)
    sampler, cache = sampler_of(network), network.new_cache(text.capacity)
    cache.prompt_length = len(text.prompt)
    start, (called, call) = time.perf_counter(), hooks
    observation = Observation(names, called=called, call=call)
    logits = network.forward(text.unread(), cache, observation=observation, frame=first)  # [1, vocab_size]
    seen = ActivationCache(model, text.prompt, np.arange(cache.length), Captured(first, slice(None), cache.length))
    yield step_of(text.take(logits[0], sampler, start), logits[0], seen)
    del first, seen  # their memory is nobody's now, unless somebody holds it
    observation = Observation(tuple(store.layout.places), called=called, call=call)
    decoder = decoder_of(network) if call is None and text.simple and not text.constrained else None
    stride = LongStride()
    while text.reason is None:
        start, known = time.perf_counter(), cache.length
        frame = store.take(known, 1 if decoder is None else min(stride.count, text.left))
        if decoder is None:
            network.forward(text.unread(), cache, observation=observation, frame=frame)
        else:
            text.ask(sampler, frame.steps)
            network.decode(text.generated[-1], cache, sampler, frame.steps, observation=observation, frame=frame)
            stride.passed(frame.steps, time.perf_counter() - start)
        yield from taken(model, text, sampler, None if decoder is None else sampler.found(), frame, known, names)
        del frame


def taken(
    model: TextModel, text: Continuation, sampler: Sampler, found: Found | None, frame: Frame, known: int,
    names: Sequence[str],
) -> Iterator[TraceStep]:  # fmt: skip
    """The steps of a frame, the first of which read the token at position `known`.

    found: the tokens that were chosen; None: the only step's is chosen now.
    """
    for place in range(frame.steps):
        start, position = time.perf_counter(), known + place
        logits = frame.array(LOGITS, step=place)[0]  # [vocab_size]
        ids = [*text.prompt, *text.generated]
        chosen_one = None if found is None else found[place]
        # Where nothing could be chosen, this says why.
        step = text.take(logits, sampler, start) if chosen_one is None else text.take_chosen(*chosen_one, 0.0)
        arrays = Captured(frame, slice(None), position + 1, place, names)
        yield step_of(step, logits, ActivationCache(model, ids, np.array([position]), arrays))
        if text.reason is not None:
            return


def step_of(step: Step, logits: Float32, seen: ActivationCache) -> TraceStep:
    """A step of the continuation with what was captured for it."""
    token = step.token
    return TraceStep(token.id, step.text, len(seen.ids), token.logprob, logits, seen, step.finish_reason)
