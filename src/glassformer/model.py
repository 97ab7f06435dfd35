"""A model as users meet it: text in, text out, and everything between open to be seen and changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, overload

from glassformer.generation.asked import Asked, BadWord
from glassformer.generation.model import TextModel
from glassformer.generation.network import Float32
from glassformer.generation.prompt import Prompt, Prompts

if TYPE_CHECKING:
    from glassformer.introspect.cache import ActivationCache
    from glassformer.introspect.capture import Names
    from glassformer.introspect.embedding import Pooling
    from glassformer.introspect.head_scores import HeadScores
    from glassformer.introspect.hooks import Hook
    from glassformer.introspect.interventions import Intervention
    from glassformer.introspect.lens import LogitLens
    from glassformer.introspect.metrics import Metric
    from glassformer.introspect.neurons import Neuron
    from glassformer.introspect.patching import PatchSweep
    from glassformer.introspect.positions import Positions
    from glassformer.introspect.sites import Site
    from glassformer.introspect.surprise import Surprise
    from glassformer.introspect.tokens import Token
    from glassformer.introspect.trace import TraceStep

VOCABULARY_FILES = ("vocab.json", "merges.txt", "tokenizer.json")


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    dtype: str = "auto",
    threads: int | None = None,
    cache_dtype: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Load a model.

    Args:
        path: a folder in Hugging Face form, the name of a model on the hub, or None for the story model of the package.
        dtype: how weights are held: "auto" as they are stored, else "f32", "f16", "bf16", "bf16-dot"
            (products of bf16 in pairs, activations rounded too), "q8", "q4" (in 8 or 4 bits).
        threads: worker threads; None: as many as the process may use.
        cache_dtype: how keys and values are held: "f32", "f16", "q8"; "auto": q8 beside weights of q8 or q4, else f32.
        progress: told the bytes of weights read so far, and in all.

    Raises:
        GlassformerError: naming what is missing, malformed or unsupported.
    """
    # Imported here: a model made from a network of one's own needs neither the weight formats nor the compiler.
    from glassformer.models.config import read_generation_config
    from glassformer.models.load import load_network
    from glassformer.models.locate import locate
    from glassformer.tokenizer.tokenizer import Tokenizer

    folder = locate(path)
    named = any((folder / name).is_file() for name in VOCABULARY_FILES)
    tokenizer = Tokenizer.load(folder) if named else None
    network = load_network(folder, dtype=dtype, threads=threads, cache_dtype=cache_dtype, progress=progress)
    return Model(network, tokenizer, read_generation_config(folder))


class Model(TextModel):
    """A model that writes (see `TextModel`) and that can be looked into. `load` makes one.

    What looks inside is imported when first asked for, so that writing does not wait for it.
    """

    def sites(self) -> tuple[Site, ...]:
        """Every place in the forward pass that can be captured or changed, in the order in which it is computed."""
        from glassformer.introspect.sites import sites_of

        return sites_of(self)

    @overload
    def run_with_cache(
        self, prompt: Prompt, names: Names = None, *, positions: Positions = None, limit: int | None = None
    ) -> tuple[Float32, ActivationCache]: ...

    @overload
    def run_with_cache(
        self, prompt: Prompts, names: Names = None, *, positions: Positions = None, limit: int | None = None
    ) -> list[tuple[Float32, ActivationCache]]: ...

    def run_with_cache(
        self, prompt: Prompt | Prompts, names: Names = None, *, positions: Positions = None, limit: int | None = None
    ) -> Any:
        """Logits [tokens, vocab_size] of a text, and what was computed on the way.

        `glassformer.introspect.capture.run_with_cache` documents parameters and errors.
        """
        from glassformer.introspect.capture import run_with_cache

        return run_with_cache(self, prompt, names, positions=positions, limit=limit)

    def run_with_hooks(self, prompt: Prompt, hooks: Sequence[Hook]) -> Float32:
        """Logits [tokens, vocab_size] of a text, with functions of one's own called at sites.

        `glassformer.introspect.hooks.run_with_hooks` documents parameters and errors.
        """
        from glassformer.introspect.hooks import run_with_hooks

        return run_with_hooks(self, prompt, hooks)

    @overload
    def embed(self, prompt: Prompt, *, pooling: Pooling = "mean") -> Float32: ...

    @overload
    def embed(self, prompt: Prompts, *, pooling: Pooling = "mean") -> list[Float32]: ...

    def embed(self, prompt: Prompt | Prompts, *, pooling: Pooling = "mean") -> Any:
        """A text as a vector [n_embd]; `glassformer.introspect.embedding.embed` documents parameters and errors."""
        from glassformer.introspect.embedding import embed

        return embed(self, prompt, pooling)

    def trace(
        self,
        prompt: Prompt,
        *,
        names: Names = None, hooks: Sequence[Hook] = (), limit: int | None = None, max_new_tokens: int = 20,
        do_sample: bool | None = None, temperature: float | None = None, top_k: int | None = None,
        top_p: float | None = None, min_p: float | None = None, typical_p: float | None = None,
        repetition_penalty: float | None = None, presence_penalty: float | None = None,
        frequency_penalty: float | None = None, logit_bias: Mapping[int, float] | None = None,
        bad_words: Sequence[BadWord] | None = None, seed: int | None = None,
        stop: str | Sequence[str] | None = None, stop_ids: Sequence[int] | None = None, ignore_eos: bool = False,
    ) -> Iterator[TraceStep]:  # fmt: skip
        """Continue a prompt and keep what is computed for each token: the tokens of `generate` with the same arguments.

        `glassformer.introspect.trace.trace` documents names, hooks, limit and errors.
        """
        from glassformer.introspect.trace import trace

        asked = Asked(
            max_new_tokens=max_new_tokens, do_sample=do_sample, temperature=temperature, top_k=top_k, top_p=top_p,
            min_p=min_p, typical_p=typical_p, repetition_penalty=repetition_penalty,
            presence_penalty=presence_penalty, frequency_penalty=frequency_penalty, logit_bias=logit_bias,
            bad_words=bad_words, seed=seed, stop=stop, stop_ids=stop_ids, ignore_eos=ignore_eos, speculate=False,
        )  # fmt: skip
        return trace(self, self.continuation(prompt, asked)[0], names, hooks=hooks, limit=limit)

    def edit(self, *interventions: Intervention) -> AbstractContextManager[Self]:
        """Change the model for the length of a block: `with model.edit(Zero("z", layer=9, head=6)): ...`.

        Everything that is asked of it there is computed with the interventions: text, logits, scores, captures;
        `glassformer.introspect.interventions` says what they are. Blocks may be nested: the outer one's come first.
        Behind the block the model is what it was, whatever happened; the weights are never touched. The change is in
        this object, for all threads that use it: where others do, take `edited`.

        Raises:
            IntrospectionError: if an intervention does not fit the model.
        """
        from glassformer.introspect.edit import edit

        return edit(self, interventions)

    def edited(self, *interventions: Intervention) -> Self:
        """Another model over the same weights, with interventions; this one stays as it is.

        Raises:
            IntrospectionError: if an intervention does not fit the model.
        """
        from glassformer.introspect.edit import edited

        return edited(self, interventions)

    def surprise(self, prompt: Prompt, *, top: int = 5) -> Surprise:
        """How much each token of a text surprises the model; see `glassformer.introspect.surprise.surprise`."""
        from glassformer.introspect.surprise import surprise

        return surprise(self, prompt, top=top)

    def logit_lens(
        self, source: Prompt | ActivationCache, *, layers: Sequence[int] | None = None, positions: Positions = None,
        top: int = 5, follow: Sequence[Token] = (),
    ) -> LogitLens:  # fmt: skip
        """What each layer would predict, of a text or a cache; see `glassformer.introspect.lens.logit_lens`."""
        from glassformer.introspect.lens import logit_lens

        return logit_lens(self, source, layers=layers, positions=positions, top=top, follow=follow)

    def head_scores(
        self, kind: str, prompt: Prompt | None = None, *, tokens: int = 50, sequences: int = 4, seed: int = 0
    ) -> HeadScores:
        """What attention heads attend to; see `glassformer.introspect.head_scores.head_scores`."""
        from glassformer.introspect.head_scores import head_scores

        return head_scores(self, kind, prompt, tokens=tokens, sequences=sequences, seed=seed)

    def patch_sweep(
        self, clean: Prompt, corrupted: Prompt, metric: Metric, site: str = "z",
        over: Sequence[str] = ("layer", "head"), *, layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None, positions: Positions = None, metric_at: int | None = -1,
    ) -> PatchSweep:  # fmt: skip
        """What a metric becomes as activations of one run come into another.

        `glassformer.introspect.patching.patch_sweep` documents parameters and errors.
        """
        from glassformer.introspect.patching import patch_sweep

        return patch_sweep(
            self, clean, corrupted, metric, site, over, layers=layers, heads=heads, positions=positions,
            metric_at=metric_at,
        )  # fmt: skip

    def neuron(self, layer: int, index: int, source: Prompt | ActivationCache, *, top: int = 10) -> Neuron:
        """One neuron over a text or a cache, and what it speaks for; see `glassformer.introspect.neurons.neuron`."""
        from glassformer.introspect.neurons import neuron

        return neuron(self, layer, index, source, top=top)
