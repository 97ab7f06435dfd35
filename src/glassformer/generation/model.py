"""A model as users meet it: text in, text out, with the numbers between at hand."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from glassformer.generation.asked import Asked, BadWord, Vocabulary, resolve
from glassformer.generation.continuation import Continuation, Generation, Step, gather
from glassformer.generation.decode import batch_steps, steps
from glassformer.generation.errors import NoTokenizerError, OptionsError, PromptError
from glassformer.generation.evaluate import Evaluation, EvaluationError, evaluate
from glassformer.generation.network import Float32, Network
from glassformer.generation.options import is_int
from glassformer.generation.prompt import Prompt, Prompts, are_several, checked_ids
from glassformer.generation.score import Score, score
from glassformer.generation.special_ids import end_ids, start_id
from glassformer.generation.stopping import check_fits
from glassformer.generation.stream import TextStream
from glassformer.generation.text import Detokenizer, PaddedDetokenizer, SilentDetokenizer
from glassformer.models.config import GenerationConfig, GPT2Config
from glassformer.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from glassformer.generation.constraints.compiler import Compiler
    from glassformer.generation.constraints.constraint import Constraint
    from glassformer.runtime.profile import Profile

BATCH_SIZE = 32


class TextModel:
    """A network with its vocabulary and its recommended way of sampling.

    Prompts are text, or token ids (a sequence or an integer array of one axis). A call changes nothing in the model.

    Attributes:
        network: the architecture with its weights.
        config: its config.json.
        tokenizer: None if the model's folder holds no vocabulary; prompts are then token ids.
        recommended: its generation_config.json.
    """

    def __init__(self, network: Network[Any], tokenizer: Tokenizer | None, recommended: GenerationConfig) -> None:
        self.network = network
        self.config: GPT2Config = network.config
        self.tokenizer = tokenizer
        self.recommended = recommended

    def ids(self, text_or_ids: Prompt) -> list[int]:
        """Token ids of a text, or the given ids once they are known to be tokens of the vocabulary.

        Text that spells a special token is ordinary text here; to mean the token, give its id.

        Raises:
            NoTokenizerError: for text, if the model has no vocabulary.
            PromptError: for anything that is neither text nor ids of this model.
        """
        return self._ids(text_or_ids, "the prompt")

    def _ids(self, text_or_ids: Prompt, what: str) -> list[int]:
        ids = self.known_tokenizer.encode(text_or_ids) if isinstance(text_or_ids, str) else text_or_ids
        return checked_ids(ids, self.config.vocab_size, what)

    @property
    def known_tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            NoTokenizerError: if there is none.
        """
        if self.tokenizer is None:
            files = "vocab.json with merges.txt, or tokenizer.json"
            raise NoTokenizerError(f"this model has no vocabulary, so it knows no text; add {files}, or use token ids")
        return self.tokenizer

    def logits(self, text_or_ids: Prompt) -> Float32:
        """What the model expects after each token: float32 [tokens, vocab_size], unnormalised log-probabilities.

        Raises:
            PromptError: for an empty text, or ids that are not of this model.
            ContextError: if the text exceeds the context window.
        """
        ids = self.ids(text_or_ids)
        if not ids:
            raise PromptError("the text is empty, and there are no logits without a token; give at least one")
        check_fits(len(ids), self.config.n_positions, "the text")
        return self.network.forward(np.asarray(ids, dtype=np.int32), self.network.new_cache(len(ids)), last_only=False)

    def profile(self) -> AbstractContextManager["Profile"]:
        """Watch where the time goes: `with model.profile() as p: model.generate(...)`, then `p.operations()` and more.

        Raises:
            ProfileError: on entry, where nothing can be timed: in reference mode, or within another profile.
        """
        from glassformer.runtime.profiler import ProfileError, profile

        ops = getattr(self.network, "ops", None)
        if ops is None:
            raise ProfileError("this network runs on no executor of Glassformer's, so there is nothing to watch")
        return profile(ops.executor)

    def score(self, text_or_ids: Prompt) -> Score:
        """How probable the model finds a text: the log-probability of each token after the first, and the perplexity.

        Raises:
            PromptError: for fewer than two tokens, or ids that are not of this model.
            ContextError: if the text exceeds the context window.
        """
        return score(self.network, self.ids(text_or_ids))

    def evaluate(
        self,
        text_or_ids: Prompt | Prompts,
        *,
        against: "TextModel | None" = None,
        context: int | None = None,
        stride: int | None = None,
        worst: int = 10,
        progress: Callable[[int, int], None] | None = None,
    ) -> Evaluation:
        """How well the model predicts a text of any length, and how far its predictions are from another model's.

        Several texts are read each on its own. `glassformer.generation.evaluate` documents parameters and result.

        Raises:
            EvaluationError: for fewer than two tokens, windows out of range, or models that cannot be compared.
            PromptError: for ids that are not of this model.
        """
        documents = self._documents(text_or_ids)
        if against is not None and against._documents(text_or_ids) != documents:
            raise EvaluationError("the models make different tokens of this text; compare models of one vocabulary")
        other = None if against is None else against.network
        return evaluate(
            self.network, documents, against=other, context=context, stride=stride, worst=worst, progress=progress
        )

    def _documents(self, texts: Prompt | Prompts) -> list[list[int]]:
        if not are_several(texts):
            return [self.ids(cast(Prompt, texts))]
        several: Sequence[Prompt] = list(texts)
        return [self._ids(text, f"text {place}") for place, text in enumerate(several)]

    @overload
    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int | None = None, max_length: int | None = None, do_sample: bool | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, typical_p: float | None = None, repetition_penalty: float | None = None,
        presence_penalty: float | None = None, frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None, bad_words: Sequence[BadWord] | None = None,
        seed: int | None = None, stop: str | Sequence[str] | None = None, stop_ids: Sequence[int] | None = None,
        ignore_eos: bool = False, logprobs: int = 0, speculate: bool | None = None,
        constraint: "Constraint | None" = None,
    ) -> Generation: ...  # fmt: skip

    @overload
    def generate(
        self,
        prompt: Prompts,
        *,
        max_new_tokens: int | None = None, max_length: int | None = None, do_sample: bool | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, typical_p: float | None = None, repetition_penalty: float | None = None,
        presence_penalty: float | None = None, frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None, bad_words: Sequence[BadWord] | None = None,
        seed: int | None = None, stop: str | Sequence[str] | None = None, stop_ids: Sequence[int] | None = None,
        ignore_eos: bool = False, logprobs: int = 0, speculate: bool | None = None,
        constraint: "Constraint | None" = None,
        batch_size: int = BATCH_SIZE, progress: Callable[[int, int], None] | None = None,
    ) -> list[Generation]: ...  # fmt: skip

    def generate(
        self,
        prompt: Prompt | Prompts,
        *,
        max_new_tokens: int | None = None, max_length: int | None = None, do_sample: bool | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, typical_p: float | None = None, repetition_penalty: float | None = None,
        presence_penalty: float | None = None, frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None, bad_words: Sequence[BadWord] | None = None,
        seed: int | None = None, stop: str | Sequence[str] | None = None, stop_ids: Sequence[int] | None = None,
        ignore_eos: bool = False, logprobs: int = 0, speculate: bool | None = None,
        constraint: "Constraint | None" = None,
        batch_size: int = BATCH_SIZE, progress: Callable[[int, int], None] | None = None,
    ) -> Generation | list[Generation]:  # fmt: skip
        """Continue a prompt, or each of several. `glassformer.generation.asked.Asked` documents the parameters.

        An empty prompt starts from the model's begin-of-text or end-of-text token. Without a vocabulary the prompt is
        a list of ids and the text of the result is empty.

        A list (or tuple) of texts, or of lists of ids, is continued as a batch, at most `batch_size` of them in a pass:
        a Generation for each, in their order, with the tokens that it has alone. `progress` is told how many have
        ended, and how many there are.

        Raises:
            OptionsError: naming every parameter that is out of range.
            PromptError: for ids that are not of this model.
            ContextError: if a prompt exceeds the context window, with both numbers.
            LogitsError: if the network computes NaN, or every token is forbidden.
            ConstraintError: if the vocabulary cannot spell a text of the constraint.
        """
        asked = Asked(
            max_new_tokens=max_new_tokens, max_length=max_length, do_sample=do_sample, temperature=temperature,
            top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, repetition_penalty=repetition_penalty,
            presence_penalty=presence_penalty, frequency_penalty=frequency_penalty, logit_bias=logit_bias,
            bad_words=bad_words, seed=seed, stop=stop, stop_ids=stop_ids, ignore_eos=ignore_eos, logprobs=logprobs,
            speculate=speculate, constraint=constraint,
        )  # fmt: skip
        if are_several(prompt):
            return self._generate_all(list(prompt), asked, batch_size, progress)
        return self._start(cast(Prompt, prompt), asked).finish()

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int | None = None, max_length: int | None = None, do_sample: bool | None = None,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, typical_p: float | None = None, repetition_penalty: float | None = None,
        presence_penalty: float | None = None, frequency_penalty: float | None = None,
        logit_bias: Mapping[int, float] | None = None, bad_words: Sequence[BadWord] | None = None,
        seed: int | None = None, stop: str | Sequence[str] | None = None, stop_ids: Sequence[int] | None = None,
        ignore_eos: bool = False, logprobs: int = 0, speculate: bool | None = None,
        constraint: "Constraint | None" = None,
    ) -> TextStream:  # fmt: skip
        """The same as `generate`, while it is written: an iterator over pieces of text of whole characters.

        Raises:
            NoTokenizerError: if the model has no vocabulary, beside the errors of `generate`.
        """
        _ = self.known_tokenizer
        asked = Asked(
            max_new_tokens=max_new_tokens, max_length=max_length, do_sample=do_sample, temperature=temperature,
            top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, repetition_penalty=repetition_penalty,
            presence_penalty=presence_penalty, frequency_penalty=frequency_penalty, logit_bias=logit_bias,
            bad_words=bad_words, seed=seed, stop=stop, stop_ids=stop_ids, ignore_eos=ignore_eos, logprobs=logprobs,
            speculate=speculate, constraint=constraint,
        )  # fmt: skip
        return self._start(prompt, asked)

    def _start(self, prompt: Prompt, asked: Asked) -> TextStream:
        text, seed = self.continuation(prompt, asked)
        return TextStream(steps(self.network, text), text.prompt, seed)

    def continuation(self, prompt: Prompt, asked: Asked, what: str = "the prompt") -> tuple[Continuation, int | None]:
        """What is to be written, and the seed that it is drawn with, if it is."""
        ids = self._ids(prompt, what) or [start_id(self.config, self.recommended)]
        ends = end_ids(self.config, self.recommended)
        options = resolve(asked, self.recommended, Vocabulary(self.config.vocab_size, ends, self._encode))
        if options.stop:
            _ = self.known_tokenizer
        seed = None if options.sampling.greedy else options.sampling.seed
        guide = None if asked.constraint is None else self._compiler.guide(asked.constraint, options.stop_ids)
        return Continuation(self.network, ids, options, self._detokenizer(), what, guide), seed

    @cached_property
    def _compiler(self) -> "Compiler":
        # Imported here: a text without a constraint does not wait for what compiles them.
        from glassformer.generation.constraints.compiler import Compiler

        known = self.known_tokenizer
        return Compiler(known.vocabulary.tokens, known.special_tokens.values(), self.config.vocab_size)

    def _generate_all(
        self, prompts: Sequence[Prompt], asked: Asked, batch_size: int, progress: Callable[[int, int], None] | None
    ) -> list[Generation]:
        if not (is_int(batch_size) and batch_size >= 1):
            raise OptionsError([f"batch_size is {batch_size!r}; it must be a whole number of at least 1"])
        started = [self.continuation(each, asked, f"prompt {place}") for place, each in enumerate(prompts)]
        done: list[list[Step]] = [[] for _ in started]
        ended = 0
        for taken in batch_steps(self.network, [text for text, _ in started], batch_size):
            for place, step in taken:
                done[place].append(step)
                ended += step.finish_reason is not None
            if progress is not None:
                progress(ended, len(prompts))
        return [gather(each, text.prompt, seed) for each, (text, seed) in zip(done, started, strict=True)]

    def _encode(self, text: str) -> list[int]:
        return self.known_tokenizer.encode(text)

    def _detokenizer(self) -> Detokenizer:
        return SilentDetokenizer() if self.tokenizer is None else PaddedDetokenizer(self.tokenizer.stream())
