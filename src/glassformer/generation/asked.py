"""From what the caller gave and what the model's files recommend to one checked set of options."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from glassformer.generation.errors import OptionsError
from glassformer.generation.options import GenerationOptions, SamplingOptions, is_int
from glassformer.generation.rng import fresh_seed
from glassformer.models.config import GenerationConfig

if TYPE_CHECKING:
    from glassformer.generation.constraints.constraint import Constraint

DEFAULT_NEW_TOKENS = 256
T = TypeVar("T")
BadWord = str | Sequence[int]
Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Asked:
    """The arguments of `Model.generate` and `Model.stream`; None where the caller gave nothing.

    What is not given comes from the model's generation_config.json; where that is silent too, it changes nothing: the
    most probable token is taken at each step.

    Attributes:
        max_new_tokens: the longest continuation, in tokens. If neither this nor `max_length` is given here or by the
            model, it is 256. The context window ends a continuation earlier.
        max_length: the longest prompt and continuation together, in tokens. If both are given, both hold.
        do_sample: draw at random, or take the most probable token. Giving `temperature`, `top_k`, `top_p`, `min_p` or
            `typical_p` asks for it too, unless this says False.
        temperature: at least 0; divides the logits. 0 takes the most probable token, whatever `do_sample` says.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: 0 to 1; keep the most probable tokens that sum to this probability.
        min_p: 0 to 1; keep tokens at least this fraction as probable as the most probable one.
        typical_p: 0 to 1; keep this probability mass of tokens whose surprisal is near the entropy.
        repetition_penalty: above 0; divides positive and multiplies negative logits of tokens so far, prompt included.
        presence_penalty: -2 to 2; subtracted from the logits of tokens in the continuation so far.
        frequency_penalty: -2 to 2; subtracted as often as a token is in the continuation so far.
        logit_bias: token id -> finite number to add to its logit.
        bad_words: texts or sequences of ids that must not be generated. A text is forbidden as the tokens that it has
            by itself and after a space.
        seed: 0 to 2**64 - 1; equal seeds give equal continuations. Without one, a fresh one is drawn and reported.
        stop: one or more strings; the continuation ends before the first of them.
        stop_ids: ids that end the continuation, beside the model's end-of-text ids.
        ignore_eos: let the model go on after an end-of-text id, which then counts as text.
        logprobs: how many of the most probable tokens to report at each step.
        speculate: guess tokens ahead from what the text repeats, where that saves time (the default), or never. The
            tokens are the same. Several prompts at once are read without guesses.
        constraint: what the text has to be, such as a `JsonSchema`; docs/structured-output.md says what is guaranteed.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] | None = None
    bad_words: Sequence[BadWord] | None = None
    seed: int | None = None
    stop: str | Sequence[str] | None = None
    stop_ids: Sequence[int] | None = None
    ignore_eos: bool = False
    logprobs: int = 0
    speculate: bool | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Vocabulary:
    """What options are checked against.

    Attributes:
        size: ids reach from 0 to one below this.
        eos_ids: end-of-text ids of the model.
        encode: text to ids, for bad words given as text.
    """

    size: int
    eos_ids: frozenset[int]
    encode: Encode = field(compare=False)


def or_else(asked: T | None, recommended: T | None, usual: T) -> T:
    """What the caller gave, else what the model's files say, else what changes nothing."""
    if asked is not None:
        return asked
    return usual if recommended is None else recommended


def wants_sampling(asked: Asked, recommended: GenerationConfig) -> bool:
    """Whether to draw at random: as asked outright; else if a temperature or filter was given; else as recommended."""
    if asked.do_sample is not None:
        return asked.do_sample
    if any(value is not None for value in (asked.temperature, asked.top_k, asked.top_p, asked.min_p, asked.typical_p)):
        return True
    return bool(recommended.do_sample)


def sampling_options(asked: Asked, recommended: GenerationConfig, vocabulary: Vocabulary) -> SamplingOptions:
    """How tokens are chosen. A parameter comes from the caller, else from the model's files, else changes nothing."""
    usual = SamplingOptions()
    return SamplingOptions(
        do_sample=wants_sampling(asked, recommended),
        temperature=or_else(asked.temperature, recommended.temperature, usual.temperature),
        top_k=or_else(asked.top_k, recommended.top_k, usual.top_k),
        top_p=or_else(asked.top_p, recommended.top_p, usual.top_p),
        min_p=or_else(asked.min_p, recommended.min_p, usual.min_p),
        typical_p=or_else(asked.typical_p, recommended.typical_p, usual.typical_p),
        repetition_penalty=or_else(asked.repetition_penalty, recommended.repetition_penalty, usual.repetition_penalty),
        presence_penalty=or_else(asked.presence_penalty, None, usual.presence_penalty),
        frequency_penalty=or_else(asked.frequency_penalty, None, usual.frequency_penalty),
        logit_bias=dict(asked.logit_bias or {}),
        bad_words=tuple(forbidden_sequences(asked.bad_words or (), vocabulary.encode)),
        seed=fresh_seed() if asked.seed is None else asked.seed,
    )


def forbidden_sequences(words: Sequence[BadWord], encode: Encode) -> Iterator[tuple[int, ...]]:
    """Bad words as ids. A text is forbidden with and without a space before it, which are different tokens."""
    for word in words:
        if isinstance(word, str):
            yield from (tuple(encode(text)) for text in dict.fromkeys((word, " " + word.lstrip(" "))))
        else:
            yield tuple(word)


def lengths(asked: Asked, recommended: GenerationConfig) -> tuple[int | None, int | None]:
    """(max_new_tokens, max_length): the caller's; if neither was given, the model's; else `DEFAULT_NEW_TOKENS`."""
    if asked.max_new_tokens is not None or asked.max_length is not None:
        return asked.max_new_tokens, asked.max_length
    if recommended.max_new_tokens:
        return recommended.max_new_tokens, None
    return (None, recommended.max_length) if recommended.max_length else (DEFAULT_NEW_TOKENS, None)


def resolve(asked: Asked, recommended: GenerationConfig, vocabulary: Vocabulary) -> GenerationOptions:
    """The options of one generation.

    Raises:
        OptionsError: naming every parameter that is out of range.
    """
    problems = list(problems_of_type(asked)) or list(problems_with_ids(asked, vocabulary.size))
    if problems:
        raise OptionsError(problems)
    max_new_tokens, max_length = lengths(asked, recommended)
    return GenerationOptions(
        sampling=sampling_options(asked, recommended, vocabulary),
        max_new_tokens=max_new_tokens,
        max_length=max_length,
        stop=(asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ()),
        stop_ids=frozenset(asked.stop_ids or ()) | (frozenset() if asked.ignore_eos else vocabulary.eos_ids),
        logprobs=asked.logprobs,
        speculate=or_else(asked.speculate, None, True),
    )


def given_as(value: object, *kinds: type) -> bool:
    """Whether a value is absent or of one of these kinds."""
    return value is None or isinstance(value, kinds)


def problems_of_type(asked: Asked) -> Iterator[str]:
    """One sentence for every parameter with several values that is not of its kind."""
    if not given_as(asked.stop, Sequence):
        yield f"stop is {asked.stop!r}; it must be a string or a list of strings"
    if not given_as(asked.stop_ids, Collection) or isinstance(asked.stop_ids, str):
        yield f"stop_ids is {asked.stop_ids!r}; it must be a list of token ids"
    if not given_as(asked.logit_bias, Mapping):
        yield f"logit_bias is {asked.logit_bias!r}; it must map token ids to numbers"
    if asked.constraint is not None:
        yield from problems_with_constraint(asked)
    words = asked.bad_words
    if not given_as(words, Sequence) or isinstance(words, str):
        yield f"bad_words is {words!r}; it must be a list of strings or of lists of token ids"
    elif not all(given_as(word, Sequence) and word for word in words or ()):
        yield f"bad_words is {words!r}; each of them must be a string or a list of token ids, not empty"


def problems_with_constraint(asked: Asked) -> Iterator[str]:
    """One sentence if the constraint is none, and one if something else would cut the text."""
    # Imported here: a text without a constraint does not wait for what compiles them.
    from glassformer.generation.constraints.constraint import Constraint

    if not isinstance(asked.constraint, Constraint):
        yield f"constraint is {asked.constraint!r:.80}; it must be a Regex, Choice, JsonObject or JsonSchema"
    if asked.stop:
        yield "stop is given beside a constraint, and would cut its text; give one of them"


def problems_with_ids(asked: Asked, vocab_size: int) -> Iterator[str]:
    """One sentence for every parameter that names something that is no id of the vocabulary."""
    words = [word for word in asked.bad_words or () if not isinstance(word, str)]
    named = {
        "stop_ids": list(asked.stop_ids or ()),
        "logit_bias": list(asked.logit_bias or ()),
        "bad_words": [token for word in words for token in word],
    }
    for name, tokens in named.items():
        for token in tokens:
            if not (is_int(token) and 0 <= token < vocab_size):
                yield f"{name} names id {token!r}; this model's ids reach from 0 to {vocab_size - 1}"
