"""One text that is being continued: what it was asked, what was chosen so far, what the network has not read yet."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from glassformer.generation.errors import GenerationError
from glassformer.generation.logprobs import TokenLogprob, leaders
from glassformer.generation.network import Float32, Network, TokenIds
from glassformer.generation.options import GenerationOptions
from glassformer.generation.sampling import ask, choose, plain, wish
from glassformer.generation.speculative import Drafter
from glassformer.generation.stopping import FinishReason, room
from glassformer.generation.text import Detokenizer, TextPieces
from glassformer.runtime.desk import Wish
from glassformer.runtime.sampling import Sampler

if TYPE_CHECKING:
    from glassformer.generation.constraints.guide import Guide


@dataclass(frozen=True)
class Step:
    """One token of a continuation.

    Attributes:
        token: the chosen id with its log-probability and those of the most probable ids.
        text: text that became certain with it, often a word, possibly empty.
        finish_reason: None while there is more to come.
        seconds: time the step took, the consumer's time not counted; a pass that brings several tokens counts for the
            first of them.
        drafted: guesses that the network read together with what brought this token.
        guessed: whether the token was guessed, so that it cost no pass of its own.
    """

    token: TokenLogprob
    text: str
    finish_reason: FinishReason | None
    seconds: float = field(compare=False)
    drafted: int = field(compare=False, default=0)
    guessed: bool = field(compare=False, default=False)


@dataclass(frozen=True)
class Timings:
    """Where the time went.

    Attributes:
        prefill: seconds for reading the prompt and choosing the first token.
        decode: seconds for all tokens after the first.
        tokens_per_second: speed of those tokens; 0 if there was one token only.
    """

    prefill: float
    decode: float
    tokens_per_second: float


@dataclass(frozen=True)
class Generation:
    """A continuation.

    Attributes:
        text: the continuation as text, without end-of-text, stop ids and stop strings; empty if the model has no
            vocabulary.
        ids: every token chosen, the one that ended the continuation included.
        finish_reason: "stop" for an end-of-text id, a stop id or a stop string, and for a text that fulfils the
            constraint that it was given; "length" for the asked number of tokens
            or the end of the context window.
        logprobs: for each of `ids`, its log-probability under the model and those of the most probable tokens.
        prompt_ids: what the model read before.
        seed: the seed that repeats this continuation; None if nothing was drawn at random.
        timings: where the time went; of prompts continued as a batch, each counts the passes that it was part of.
        drafted: tokens that were guessed ahead and read by the network.
        accepted: tokens that came out of guesses, each of which saved a pass.

    Two generations are equal whatever time and guesses they took.
    """

    text: str
    ids: list[int]
    finish_reason: FinishReason
    logprobs: list[TokenLogprob]
    prompt_ids: list[int]
    seed: int | None
    timings: Timings = field(compare=False)
    drafted: int = field(compare=False, default=0)
    accepted: int = field(compare=False, default=0)


class Continuation:
    """A prompt and what follows it.

    Attributes:
        prompt, generated: ids.
        reason: why it ended; None while it goes on.
        capacity: tokens that a cache for it holds; the last token chosen is never read.

    Raises:
        ContextError: if the prompt does not fit.
    """

    def __init__(
        self,
        network: Network[Any],
        prompt: Sequence[int],
        options: GenerationOptions,
        detokenizer: Detokenizer,
        what: str = "the prompt",
        guide: "Guide | None" = None,
    ) -> None:
        """`detokenizer`, `guide`: fresh, for this continuation alone; `what`: how messages name the prompt."""
        self.prompt, self.generated = list(prompt), list[int]()
        self.reason: FinishReason | None = None
        self._limit = room(len(self.prompt), network.config.n_positions, options, what)
        self.capacity = len(self.prompt) + self._limit - 1
        self._options, self._pieces = options, TextPieces(detokenizer, options.stop)
        self._guide = guide
        self._drafter: Drafter | None = None
        self._speculate = options.speculate

    def draft(self) -> list[int]:
        """Guesses of the tokens to come, as many as are worth reading ahead; none before the prompt is read."""
        if not (self._speculate and self.generated):
            return []
        if self._drafter is None:  # only now, so that the first token does not wait for the index
            self._drafter = Drafter([*self.prompt, *self.generated])
        return self._drafter.propose(self.left - 1)

    def unread(self, draft: Sequence[int] = ()) -> TokenIds:
        """What the network has not read yet, and a draft behind it."""
        return np.array([*(self.generated[-1:] or self.prompt), *draft], np.int32)

    def passed(self, rows: int, seconds: float) -> None:
        """A pass over so many tokens of this continuation took so long."""
        if self._drafter is not None:
            self._drafter.passed(rows, seconds)
            if self._drafter.idle:
                self._drafter, self._speculate = None, False

    def take(self, logits: Float32, sampler: Sampler, start: float, drafted: int = 0, guessed: bool = False) -> Step:
        """Choose the next token from logits [vocab_size].

        Args:
            start: when the work for this step began, by `time.perf_counter`.
            drafted, guessed: see `Step`.

        Raises:
            LogitsError: if the logits allow no choice.
        """
        options = self._options
        token, own = choose(logits, self.prompt, self.generated, options.sampling, sampler, self.mask)
        logprob = TokenLogprob(token, own, leaders(logits, options.logprobs, sampler))
        text = self._accept(token)
        return Step(logprob, text, self.reason, time.perf_counter() - start, drafted, guessed)

    @property
    def simple(self) -> bool:
        """Whether choosing a token needs nothing but the model's logits, a mask and a random number."""
        return self._options.logprobs == 0 and plain(self._options.sampling)

    @property
    def repeating(self) -> bool:
        """Whether the last token was guessed right, so that a draft may soon be worth a pass."""
        return self._drafter is not None and self._drafter.run > 0

    @property
    def left(self) -> int:
        """How many tokens may still come."""
        return self._limit - len(self.generated)

    def ask(self, sampler: Sampler, count: int) -> None:
        """Ask for the tokens to come, which have to be chosen simply: one, where there is a constraint."""
        ask(sampler, self._options.sampling, len(self.generated), count, self.mask)

    @property
    def wish(self) -> Wish:
        """How the next token is to be chosen, if that is simple."""
        return wish(self._options.sampling, len(self.generated), self.mask)

    @property
    def mask(self) -> Float32 | None:
        """float32 [vocab_size], added to the logits of the next token; None without a constraint."""
        return None if self._guide is None else self._guide.mask(self.left)

    @property
    def constrained(self) -> bool:
        """Whether a constraint has to be asked before each token."""
        return self._guide is not None

    def take_chosen(self, token: int, logprob: float, seconds: float) -> Step:
        """Go on with a token that was chosen as asked."""
        text = self._accept(token)
        return Step(TokenLogprob(token, logprob), text, self.reason, seconds)

    def _accept(self, token: int) -> str:
        """The text that a chosen token adds."""
        self.generated.append(token)
        if self._drafter is not None:
            self._drafter.chosen(token)
        return self._advance(token, last=len(self.generated) == self._limit)

    def _advance(self, token: int, *, last: bool) -> str:
        """The text that `token` adds; ends the continuation where there is a reason to."""
        text, stopped = ("", True) if token in self._options.stop_ids else self._pieces.push(token)
        if self._guide is not None:
            self._guide.push(token, self.left)
            stopped = stopped or self._guide.finished or (last and self._guide.complete)
        if not (stopped or last):
            return text
        rest, met = self._pieces.flush()
        self.reason = "stop" if stopped or met else "length"
        return text + rest


def gather(done: Sequence[Step], prompt: Sequence[int], seed: int | None) -> Generation:
    """The steps of a finished continuation as one result."""
    reason = done[-1].finish_reason if done else None
    if reason is None:
        raise GenerationError("the continuation has not ended yet; iterate to its end before asking for the result")
    decode = sum((step.seconds for step in done[1:]), 0.0)
    return Generation(
        text="".join(step.text for step in done),
        ids=[step.token.id for step in done],
        finish_reason=reason,
        logprobs=[step.token for step in done],
        prompt_ids=list(prompt),
        seed=seed,
        timings=Timings(done[0].seconds, decode, (len(done) - 1) / decode if decode > 0 else 0.0),
        drafted=sum(step.drafted for step in done),
        accepted=sum(step.guessed for step in done),
    )
