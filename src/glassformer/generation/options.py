"""What a generation may be asked: frozen options, checked once, before anything runs."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real

from glassformer.generation.errors import OptionsError
from glassformer.generation.rng import MAX_SEED

MAX_LOGPROBS = 1000


def is_bool(value: object) -> bool:
    """Whether a value is True or False."""
    return isinstance(value, bool)


def is_int(value: object) -> bool:
    """Whether a value is a whole number (Python's or NumPy's) and no bool, which Python counts among them."""
    # Python's own first, without asking an abstract class: a request may hold 100,000 of them, while others wait.
    return type(value) is int or (isinstance(value, Integral) and not is_bool(value))


def is_number(value: object) -> bool:
    """Whether a value is a finite real number (Python's or NumPy's) and no bool."""
    if type(value) is float:
        return math.isfinite(value)
    if is_bool(value) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def at_least_zero(value: float) -> bool:
    """0 <= value."""
    return value >= 0


def above_zero(value: float) -> bool:
    """0 < value."""
    return value > 0


def fraction(value: float) -> bool:
    """0 <= value <= 1."""
    return 0 <= value <= 1


def within_two(value: float) -> bool:
    """-2 <= value <= 2."""
    return -2 <= value <= 2


Check = tuple[str, Callable[[object], bool], Callable[[float], bool], str]
SAMPLING_CHECKS: tuple[Check, ...] = (
    ("temperature", is_number, at_least_zero, "a number of at least 0 (0 chooses the most probable token)"),
    ("top_k", is_int, at_least_zero, "a whole number of at least 0 (0 keeps every token)"),
    ("top_p", is_number, fraction, "a number from 0 to 1 (1 keeps every token)"),
    ("min_p", is_number, fraction, "a number from 0 to 1 (0 keeps every token)"),
    ("typical_p", is_number, fraction, "a number from 0 to 1 (1 keeps every token)"),
    ("repetition_penalty", is_number, above_zero, "a number above 0 (1 changes nothing)"),
    ("presence_penalty", is_number, within_two, "a number from -2 to 2 (0 changes nothing)"),
    ("frequency_penalty", is_number, within_two, "a number from -2 to 2 (0 changes nothing)"),
)
LENGTH_CHECKS: tuple[Check, ...] = (
    ("max_new_tokens", is_int, lambda value: value >= 1, "a whole number of at least 1"),
    ("max_length", is_int, lambda value: value >= 1, "a whole number of at least 1; it counts the prompt"),
)


def problems_of(options: object, checks: tuple[Check, ...]) -> Iterator[str]:
    """One sentence for every field of `options` that is not None and fails its check."""
    for name, right_type, right_range, allowed in checks:
        value = getattr(options, name)
        if value is not None and not (right_type(value) and right_range(value)):
            yield f"{name} is {value!r}; it must be {allowed}"


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen from the logits. The defaults change nothing and choose the most probable token.

    Attributes:
        do_sample: draw at random from the distribution; false takes the most probable token.
        temperature: divides the logits; 0 takes the most probable token.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens that sum to this probability; 1 keeps all.
        min_p: keep tokens at least this fraction as probable as the most probable; 0 keeps all.
        typical_p: keep this probability mass of tokens near the entropy; 1 keeps all.
        repetition_penalty: divides positive and multiplies negative logits of tokens in prompt and continuation.
        presence_penalty: subtracted from the logits of tokens in the continuation.
        frequency_penalty: the same, times how often the token is there.
        logit_bias: numbers added to the logits of single ids.
        bad_words: sequences of ids that must not appear.
        seed: names the stream of random numbers, 0 to 2**64 - 1.

    Raises:
        OptionsError: naming every field that is out of range.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    bad_words: tuple[tuple[int, ...], ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [*problems_of(self, SAMPLING_CHECKS), *self._other_problems()]
        if problems:
            raise OptionsError(problems)

    def _other_problems(self) -> Iterator[str]:
        if not is_bool(self.do_sample):
            yield f"do_sample is {self.do_sample!r}; it must be True or False"
        if not (is_int(self.seed) and 0 <= self.seed <= MAX_SEED):
            yield f"seed is {self.seed!r}; it must be a whole number from 0 to 2**64 - 1"
        for token, value in self.logit_bias.items():
            if not is_number(value):
                yield f"logit_bias[{token!r}] is {value!r}; it must be a finite number"
        if not all(self.bad_words):
            yield "bad_words holds an empty sequence; each must hold at least one token"

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken, with no draw."""
        return not self.do_sample or self.temperature == 0


@dataclass(frozen=True)
class GenerationOptions:
    """Everything that a generation is asked, checked against the model's vocabulary.

    Attributes:
        sampling: how the next token is chosen.
        max_new_tokens: the longest continuation, in tokens; None: no limit but the others.
        max_length: the longest prompt and continuation together, in tokens; None: no limit but the others.
        stop: strings that end the continuation and do not appear in it.
        stop_ids: ids that end the continuation, the model's end-of-text ids among them; their text does not appear.
        logprobs: how many of the most probable tokens to report at each step, beside the chosen one.
        speculate: guess tokens ahead where that saves time; the tokens are the same.

    Raises:
        OptionsError: naming every field that is out of range.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    max_new_tokens: int | None = None
    max_length: int | None = None
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] = frozenset()
    logprobs: int = 0
    speculate: bool = True

    def __post_init__(self) -> None:
        problems = [*problems_of(self, LENGTH_CHECKS)]
        if not is_bool(self.speculate):
            problems.append(f"speculate is {self.speculate!r}; it must be True or False")
        if not (is_int(self.logprobs) and 0 <= self.logprobs <= MAX_LOGPROBS):
            problems.append(f"logprobs is {self.logprobs!r}; it must be a whole number from 0 to {MAX_LOGPROBS}")
        if not all(isinstance(text, str) and text for text in self.stop):
            problems.append(f"stop is {list(self.stop)!r}; it must be one or more strings that are not empty")
        if problems:
            raise OptionsError(problems)
