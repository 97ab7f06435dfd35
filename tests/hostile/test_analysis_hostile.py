"""Whatever is asked of an analysis: a result, or one error of ours that says what was found and what to do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glassformer.errors import GlassformerError
from glassformer.generation.errors import ContextError, LogitsError, NoTokenizerError, PromptError
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.circuits import ov_circuit, qk_circuit
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.head_scores import text_head_scores
from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.neurons import firing, neuron
from glassformer.introspect.path_patching import Receiver, path_patch_sweep
from glassformer.introspect.surprise import surprise_from_logits
from glassformer.introspect.tokens import token_id
from glassformer.model import Model, load
from glassformer.models.config import GPT2Config

TEXT = "Once upon a time there was a girl."


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


def zero(logits: Any) -> float:
    return 0.0


def sweep(model: Model, clean: Any = TEXT, corrupted: Any = TEXT, metric: Any = zero, **asked: Any) -> Any:
    return model.patch_sweep(clean, corrupted, metric, **asked)


def paths(model: Model, **asked: Any) -> Any:
    return path_patch_sweep(model, TEXT, TEXT, zero, **asked)


def cache(model: Model, **asked: Any) -> Any:
    return model.run_with_cache(TEXT, **asked)[1]


# What is asked, and what the answer says.
REFUSED: list[tuple[str, Callable[[Model], Any], type[GlassformerError], str]] = [
    ("empty text", lambda m: m.surprise(""), PromptError, "the text is empty"),
    ("empty ids", lambda m: m.logit_lens([]), PromptError, "empty"),
    ("long text", lambda m: m.surprise([5] * 600), ContextError, "512"),
    ("foreign id", lambda m: m.surprise([5, 2048]), PromptError, "2047"),
    ("neither text nor ids", lambda m: m.surprise(3.5), PromptError, "float"),
    ("two tokens", lambda m: token_id(m, " Mary Jane"), IntrospectionError, "is not one token but"),
    ("no token", lambda m: token_id(m, ""), IntrospectionError, "no token at all"),
    ("id beyond", lambda m: token_id(m, 2048), IntrospectionError, "from 0 to 2047"),
    ("id below", lambda m: token_id(m, -1), IntrospectionError, "from 0 to 2047"),
    ("a truth", lambda m: token_id(m, True), IntrospectionError, "True"),
    ("lens of a layer", lambda m: m.logit_lens(TEXT, layers=[6]), IntrospectionError, "layer 6 is not among the 6"),
    ("lens of a position", lambda m: m.logit_lens(TEXT, positions=99), IntrospectionError, "position 99"),
    ("lens of no position", lambda m: m.logit_lens(TEXT, positions=[]), IntrospectionError, "nothing"),
    ("lens of nothing", lambda m: m.logit_lens(cache(m), positions=[]), IntrospectionError, "select nothing"),
    ("no heads", lambda m: sweep(m, heads=[]), IntrospectionError, "over no head"),
    ("lens of a half", lambda m: m.logit_lens(cache(m), positions=[0.5]), IntrospectionError, "whole number"),
    ("lens of a word", lambda m: m.logit_lens(TEXT, follow=[" incomprehensible"]), IntrospectionError, "one token"),
    ("lens without sites", lambda m: m.logit_lens(cache(m, names="hook_embed")), IntrospectionError, "not captured"),
    ("score of a kind", lambda m: m.head_scores("copying"), IntrospectionError, "choose from induction"),
    ("score of a text", lambda m: m.head_scores("induction", [1, 2, 3]), IntrospectionError, "no token comes again"),
    ("score of one", lambda m: m.head_scores("previous_token", [1]), IntrospectionError, "at least two"),
    ("score of none", lambda m: m.head_scores("induction", tokens=0), IntrospectionError, "at least 1"),
    ("score without", lambda m: text_head_scores(cache(m, names="hook_embed")), IntrospectionError, "not captured"),
    ("score of a kind here", lambda m: text_head_scores(cache(m), ["x"]), IntrospectionError, "choose from"),
    ("unit", lambda m: cache(m).logit_attribution(5, unit="atom"), IntrospectionError, "choose from component"),
    ("attribution of a word", lambda m: cache(m).logit_attribution(" Maryland"), IntrospectionError, "one token"),
    ("attribution there", lambda m: cache(m).logit_attribution(5, positions=50), IntrospectionError, "position 50"),
    ("attribution not kept", lambda m: cache(m, positions=[1, 2]).logit_attribution(5), IntrospectionError, "captured"),
    ("lengths", lambda m: sweep(m, corrupted=TEXT + " So"), IntrospectionError, "of one length"),
    ("empty corrupted", lambda m: sweep(m, corrupted=""), PromptError, "the corrupted text is empty"),
    ("site", lambda m: sweep(m, site="hook_scale"), IntrospectionError, "choose from q, k, v, z"),
    ("head of a site", lambda m: sweep(m, site="resid_pre"), IntrospectionError, "layer, position"),
    ("axis", lambda m: sweep(m, over=("layer", "neuron")), IntrospectionError, "layer, head, position"),
    ("axis twice", lambda m: sweep(m, over=("layer", "layer")), IntrospectionError, "over is"),
    ("no layer", lambda m: sweep(m, over=("head",)), IntrospectionError, "over is"),
    ("a word for axes", lambda m: sweep(m, over="layer"), IntrospectionError, "over is"),
    ("layer", lambda m: sweep(m, layers=[0, -7]), IntrospectionError, "layer -7 is not among the 6"),
    ("head", lambda m: sweep(m, heads=[6]), IntrospectionError, "head 6 is not among the 6"),
    ("positions", lambda m: sweep(m, positions=[1]), IntrospectionError, "add 'position' to `over`"),
    ("position", lambda m: sweep(m, over=("layer", "position"), positions=[77]), IntrospectionError, "position 77"),
    ("metric there", lambda m: sweep(m, metric_at=77), IntrospectionError, "position 77"),
    ("no metric", lambda m: sweep(m, metric=3), IntrospectionError, "give a function of logits"),
    ("metric of NaN", lambda m: sweep(m, metric=lambda x: float("nan")), IntrospectionError, "a finite number"),
    ("metric of text", lambda m: sweep(m, metric=lambda x: "much"), IntrospectionError, "a finite number"),
    ("metric of all", lambda m: sweep(m, metric=lambda x: x), IntrospectionError, "a finite number"),
    ("difference", lambda m: logit_difference(m, " cat", 5000), IntrospectionError, "2047"),
    ("no receivers", lambda m: paths(m, receivers=[]), IntrospectionError, "None for the logits"),
    ("receiver's input", lambda m: paths(m, receivers=[Receiver(1, 1, "z")]), IntrospectionError, "by q, k or v"),
    ("receiver", lambda m: paths(m, receivers=[Receiver(1, 9, "q")]), IntrospectionError, "head 9"),
    ("sender", lambda m: paths(m, layers=[6]), IntrospectionError, "layer 6"),
    ("neuron", lambda m: neuron(m, 0, 768, TEXT), IntrospectionError, "neuron 768 is not among the 768"),
    ("neuron's layer", lambda m: neuron(m, 9, 0, TEXT), IntrospectionError, "layer 9"),
    ("firing there", lambda m: firing(cache(m), 40), IntrospectionError, "position 40"),
    ("firing layer", lambda m: firing(cache(m), layers=[8]), IntrospectionError, "layer 8"),
    ("ov", lambda m: ov_circuit(m, 6, 0), IntrospectionError, "layer 6"),
    ("qk", lambda m: qk_circuit(m, 0, -7), IntrospectionError, "head -7"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "kind", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_is_refused_with_what_to_do(
    asked: Callable[[Model], Any], kind: type[GlassformerError], said: str, model: Model
) -> None:
    with pytest.raises(kind) as caught:
        asked(model)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_in_a_run_is_told_as_such(model: Model) -> None:
    """As an edit may bring it about."""
    _, found = model.run_with_cache(TEXT)
    broken = {
        name: np.where(np.arange(len(x))[:, None] == 2, np.nan, x) for name, x in found.items() if "resid" in name
    }
    arrays = {**dict(found.items()), **{name: x.astype(np.float32) for name, x in broken.items()}}
    cache = ActivationCache(model, found.ids, found.positions, arrays)
    assert model.logit_lens(cache, positions=[1, 3]).tokens == [" upon", " time"]
    for asked in (model.logit_lens, lambda c: c.logit_attribution(5, positions=2)):
        with pytest.raises(LogitsError, match=r"position 3 hold .* NaN"):
            asked(cache)


def test_nan_is_told_as_such(model: Model) -> None:
    logits = model.logits(TEXT)
    logits[3, 5] = np.nan
    with pytest.raises(LogitsError):
        surprise_from_logits(model, TEXT, logits)


def test_logits_of_minus_infinity_have_no_surprise_that_is_nan(model: Model) -> None:
    logits = model.logits(TEXT)
    logits[:, 100:] = -np.inf
    found = surprise_from_logits(model, TEXT, logits, top=200)
    assert np.isfinite(found.entropy[1:]).all()
    assert not np.isnan(found.bits[1:]).any()
    assert [len(row) for row in found.top_tokens[1:]] == [100] * (len(found.ids) - 1)


def test_a_network_of_ones_own_cannot_be_looked_into(model: Model) -> None:
    class Bare:
        config = GPT2Config(vocab_size=9, n_positions=8, n_embd=4, n_head=1, n_layer=1)

        def new_cache(self, capacity: int) -> None:
            return None

        def forward(self, ids: Any, cache: Any, *, last_only: bool = True) -> Any:
            return np.zeros((len(ids), 9), np.float32)

    bare = Model(Bare(), None, model.recommended)  # type: ignore[arg-type]
    with pytest.raises(IntrospectionError, match="cannot be looked into"):
        bare.surprise([1, 2])
    with pytest.raises(IntrospectionError, match="cannot be looked into"):
        bare.run_with_cache([1, 2])
    with pytest.raises(NoTokenizerError):
        token_id(bare, " cat")


def test_counts_beyond_what_there_is_give_all_of_it(model: Model) -> None:
    assert model.logit_lens(TEXT, positions=-1, top=10**6).top_ids.shape[2] == 2048
    assert model.surprise(TEXT, top=-3).top_ids.shape[1] == 0
    assert len(model.neuron(0, 0, TEXT, top=10**6).promoted.ids) == 2048
    assert len(model.head_scores("first_token", TEXT).best(1000)) == 36
