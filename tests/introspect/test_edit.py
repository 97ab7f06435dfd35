"""A model under interventions computes what NumPy does to its arrays on the way, and is untouched afterwards."""

import copy
import hashlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from edit_cases import CASES, CHANGES, LAYERS, TOKENS, WIDTH, Case, drawn

from glassformer.introspect.capture import run_batch
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.interventions import Add, Freeze, Intervention, Mean, Patch, Scale, Zero
from glassformer.model import Model, load
from glassformer.models.config import GenerationConfig
from glassformer.models.observer import Resume

Array = npt.NDArray[Any]
IDS = [3, 14, 15, 9, 26, 53]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    from gpt2_cases import checkpoint, save

    made = checkpoint(CHANGES, seed=4)
    return load(save(tmp_path_factory.mktemp("edited"), made.values, made.tensors), dtype="f32")


def by_hand(model: Model, ids: list[int], *cases: Case) -> Array:
    """Logits where NumPy changes the arrays."""

    def change(x: Array, hook: Any) -> Array:
        for case in cases:
            if hook.name in case.sites:
                case.change(x)
        return x

    return model.run_with_hooks(ids, [(site, change) for site in {site for case in cases for site in case.sites}])


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_arrays_changed_by_hand(model: Model, name: str) -> None:
    case = CASES[name]
    plain = model.logits(IDS)
    with model.edit(case.intervention) as edited:
        found = edited.logits(IDS)
    np.testing.assert_allclose(found, by_hand(model, IDS, case), rtol=1e-6, atol=1e-6)
    assert (np.abs(found - plain).max() > 1e-3) == (name != "only while writing")
    np.testing.assert_array_equal(model.logits(IDS), plain)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if len(case.sites) == 1])
def test_what_is_captured_is_what_was_changed(model: Model, name: str) -> None:
    case = CASES[name]
    (site,) = case.sites
    before = np.array(model.run_with_cache(IDS, site)[1][site])
    with model.edit(case.intervention):
        logits, cache = model.run_with_cache(IDS, site)
        np.testing.assert_allclose(logits, model.logits(IDS), rtol=1e-6, atol=1e-6)
    case.change(before)
    np.testing.assert_allclose(cache[site], before, rtol=1e-6, atol=1e-7)


SEVERAL = [
    CASES[name] for name in ("add a vector", "scale one position", "no head looks at the first", "a head's result")
]


def test_several_nested_and_combined_are_the_same(model: Model) -> None:
    expected = by_hand(model, IDS, *SEVERAL)
    given = [case.intervention for case in SEVERAL]
    with model.edit(*given):
        at_once = model.logits(IDS)
    with model.edit(given[0]), model.edit(*given[1:3]):
        inner = model.edited(given[3])
        with model.edit(given[3]):
            nested = model.logits(IDS)
        np.testing.assert_array_equal(inner.logits(IDS), nested)
    np.testing.assert_array_equal(at_once, nested)
    np.testing.assert_array_equal(model.edited(*given[:2]).edited(*given[2:]).logits(IDS), nested)
    np.testing.assert_allclose(nested, expected, rtol=1e-6, atol=1e-6)


def test_the_outer_block_comes_first(model: Model) -> None:
    add, scale = Add("resid_post", 1, layer=0), Scale("resid_post", 3, layer=0)
    site = "blocks.0.hook_resid_post"
    plain = model.run_with_cache(IDS, site)[1][site]
    with model.edit(add), model.edit(scale):
        np.testing.assert_array_equal(model.run_with_cache(IDS, site)[1][site], (plain + 1) * 3)
    with model.edit(scale), model.edit(add):
        np.testing.assert_array_equal(model.run_with_cache(IDS, site)[1][site], plain * 3 + 1)


def test_the_model_comes_back_after_an_error(model: Model) -> None:
    network, plain = model.network, model.logits(IDS)

    def fail() -> None:
        with model.edit(Zero("z")), model.edit(Zero("q")):
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    assert model.network is network
    np.testing.assert_array_equal(model.logits(IDS), plain)


def digest(model: Model) -> str:
    """Of all weights."""
    weights: Any = model.network
    arrays = [model.logits(IDS), weights.weights.ln_f.weight, weights.weights.ln_f.bias]
    arrays += [each.bias for block in weights.weights.h for each in (block.c_attn, block.attn_c_proj, block.c_fc)]
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()


def test_weights_stay_as_they_are(model: Model) -> None:
    before = digest(model)
    with model.edit(*(case.intervention for case in CASES.values())):
        changed = digest(model)
        model.generate(IDS, max_new_tokens=4, ignore_eos=True)
    assert changed != before
    assert digest(model) == before


def test_another_model_over_the_same_weights(model: Model) -> None:
    plain = model.logits(IDS)
    other = model.edited(Zero("mlp_out", layer=0))
    assert type(other) is Model
    assert other.network.weights is model.network.weights  # type: ignore[attr-defined]
    assert (other.logits(IDS) != plain).any()
    np.testing.assert_array_equal(model.logits(IDS), plain)


@pytest.mark.parametrize("pieces", [[1, 5], [3, 3], [2, 1, 1, 2]])
@pytest.mark.parametrize(
    "name", ["scale a slice", "freeze heads", "no head looks at the first", "a link is cut", "a head's result"]
)
def test_a_prompt_in_pieces_gives_the_same_bits(model: Model, name: str, pieces: list[int]) -> None:
    network = model.edited(CASES[name].intervention).network
    whole = network.forward(np.array(IDS, np.int32), network.new_cache(TOKENS), last_only=False)
    cache = network.new_cache(TOKENS)
    cache.prompt_length = TOKENS
    found = [
        network.forward(np.array(part, np.int32), cache, last_only=False)
        for part in np.split(np.array(IDS), np.cumsum(pieces)[:-1])
    ]
    np.testing.assert_array_equal(np.concatenate(found), whole)


GENERATED: dict[str, tuple[Intervention, ...]] = {
    "the prompt's end": (Zero("z", layer=0, position=-1), Add("resid_post", drawn(WIDTH), layer=0, position=[-2, 0])),
    "what is written": (Add("resid_mid", 3 * drawn(WIDTH), layer=1, step=slice(1, None)),),
    "single steps": (Patch("resid_post", 3 * drawn(WIDTH), layer=0, step=[2, 5]), Scale("v", -1, head=1, step=3)),
    "patterns": (Zero("pattern", layer=0, key=-1), Scale("attn_scores", 0.2, layer=1, position=slice(8, None))),
    "logits": (Add("logits", 2 * drawn(65), step=slice(0, 6, 2)),),
}


@pytest.mark.parametrize("name", GENERATED)
def test_tokens_are_those_of_recomputing_everything(model: Model, name: str) -> None:
    prompt, count = [1, 2, 3, 1, 2], 12
    with model.edit(*GENERATED[name]):
        found = model.generate(prompt, max_new_tokens=count, ignore_eos=True, speculate=False).ids
        ids = list(prompt)
        for _ in range(count):
            network = model.network
            cache = network.new_cache(len(ids))
            cache.prompt_length = len(prompt)
            ids.append(int(network.forward(np.array(ids, np.int32), cache)[0].argmax()))
    assert found == ids[len(prompt) :]
    assert found != model.generate(prompt, max_new_tokens=count, ignore_eos=True).ids


@pytest.mark.parametrize("name", GENERATED)
def test_tokens_are_the_same_in_batches_and_with_guesses(model: Model, name: str) -> None:
    prompts = [[1, 2, 3, 1, 2], [7, 8, 7, 8, 7, 8, 7, 8], [9], [4, 4, 4, 4], [11, 12], [60, 2, 1]]
    asked: dict[str, Any] = {"max_new_tokens": 14, "ignore_eos": True, "seed": 3, "temperature": 0.7}
    with model.edit(*(each for each in GENERATED[name] if name != "the prompt's end" or each.position == -1)):
        alone = [model.generate(prompt, speculate=False, **asked).ids for prompt in prompts]
        assert [model.generate(prompt, speculate=True, **asked).ids for prompt in prompts] == alone
        for size in (2, 6):
            assert [each.ids for each in model.generate(prompts, batch_size=size, **asked)] == alone


def test_a_guess_that_is_wrong_leaves_no_trace(model: Model) -> None:
    network = model.edited(Add("resid_post", drawn(WIDTH), layer=0, step=[1, 3])).network
    first, after = np.array([1, 2], np.int32), np.array([5, 6, 7], np.int32)
    straight, guessed = network.new_cache(8), network.new_cache(8)
    for cache in (straight, guessed):
        network.forward(first, cache)
    network.forward(np.array([5, 40, 41], np.int32), guessed, last_only=False)
    guessed.truncate(3)
    expected = network.forward(after, straight, last_only=False)
    np.testing.assert_array_equal(network.forward(after[1:], guessed, last_only=False), expected[1:])


def test_scores_and_surprise_know_the_whole_text(model: Model) -> None:
    ids = [(7 * i) % 65 for i in range(40)]
    with model.edit(Scale("resid_post", 0.1, layer=0, position=slice(-9, -3))):
        logits = model.logits(ids).astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        expected = expected[np.arange(39), ids[1:]]
        np.testing.assert_allclose(model.score(ids).logprobs, expected, rtol=1e-5)
        np.testing.assert_allclose(model.surprise(ids).logprobs[1:], expected, rtol=1e-5)


def test_runs_that_start_within_the_model(model: Model) -> None:
    case = CASES["scale a slice"]  # of layer 1
    with model.edit(case.intervention, Zero("z", layer=0, head=1)):
        logits, cache = model.run_with_cache(IDS, "blocks.1.hook_resid_pre")
        ((again, _),) = run_batch(model, [IDS], [], resume=Resume(1, cache["resid_pre", 1]))
    np.testing.assert_array_equal(again, logits)


def test_a_mean_is_over_all_tokens_of_all_texts(model: Model) -> None:
    texts = [IDS, [1, 2], [8]]
    rows = np.concatenate([model.run_with_cache(ids, "blocks.1.attn.hook_z")[1]["z", 1] for ids in texts])
    found = Mean.over(model, texts, "z", layer=1, head=2, position=-1)
    np.testing.assert_allclose(found.value, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(Mean.over(model, IDS, "z", layer=1).value, rows[:TOKENS].mean(0), rtol=1e-5)
    assert (found.head, found.position, found.layer) == (2, -1, 1)
    with model.edit(found):
        changed = model.run_with_cache(IDS, "blocks.1.attn.hook_z")[1]["z", 1]
    np.testing.assert_array_equal(changed[-1, 2], np.asarray(found.value)[2])
    for arguments, message in (
        ((texts, "z"), f"names {LAYERS} sites"),
        ((texts, "pattern", 0), "have no mean"),
        (([], "z", 0), "no text to take a mean over"),
    ):
        with pytest.raises(IntrospectionError, match=message):
            Mean.over(model, *arguments[:2], layer=arguments[2] if len(arguments) > 2 else None)


def test_patching_a_run_with_itself_changes_nothing(model: Model) -> None:
    logits, cache = model.run_with_cache(IDS, ["blocks.*.attn.hook_z", "blocks.*.hook_resid_post"])
    for made in (
        Patch("z", cache["z", 0], layer=0),
        Freeze("resid_post", cache["resid_post", 1], layer=1, neuron=[3, 9]),
    ):
        np.testing.assert_array_equal(model.edited(made).logits(IDS), logits)


@pytest.mark.parametrize("dtype", ["f32", "q8"])
def test_rows_before_a_change_keep_their_bits(dtype: str) -> None:
    story = load(dtype=dtype)
    plain = story.logits("Once upon a time")
    for site in ("embed", "resid_pre", "ln1.normalized", "q", "k", "v", "z", "attn_out", "pre", "post", "mlp_out"):
        changed = story.edited(Scale(site, -0.5, position=-1)).logits("Once upon a time")
        np.testing.assert_array_equal(changed[:-1], plain[:-1])
        assert (changed[-1] != plain[-1]).any()


def test_functions_see_what_interventions_left(model: Model) -> None:
    seen: list[Array] = []
    with model.edit(Zero("z", layer=0, head=1)):
        logits = model.run_with_hooks(IDS, [("blocks.0.attn.hook_z", lambda x, hook: seen.append(x.copy()))])
        np.testing.assert_array_equal(logits, model.logits(IDS))
    assert not seen[0][:, 1].any()
    assert seen[0][:, 0].all()


def test_a_trace_is_of_the_edited_model(model: Model) -> None:
    with model.edit(Add("resid_post", 3 * drawn(WIDTH), layer=0, step=[1, 3])):
        expected = model.generate(IDS, max_new_tokens=5, ignore_eos=True).ids
        steps = list(model.trace(IDS, names="blocks.0.hook_resid_post", max_new_tokens=5, ignore_eos=True))
    assert [step.token for step in steps] == expected
    plain = list(model.trace(IDS, names="blocks.0.hook_resid_post", max_new_tokens=5, ignore_eos=True))
    difference = steps[1].cache["resid_post", 0] - plain[1].cache["resid_post", 0]
    np.testing.assert_allclose(difference[0], 3 * drawn(WIDTH), rtol=1e-4, atol=1e-5)


def test_models_with_different_edits_run_in_threads(model: Model) -> None:
    several = [
        model,
        *(model.edited(Scale("z", factor), Zero("pattern", head=0, key=0)) for factor in (0.5, 2.0, -1.0)),
    ]
    asked: dict[str, Any] = {"max_new_tokens": 12, "ignore_eos": True, "temperature": 0}
    alone = [each.generate(IDS, **asked).ids for each in several]
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(each.generate, IDS, **asked) for each in several * 3]
        assert [each.result().ids for each in found] == alone * 3
    assert len({tuple(ids) for ids in alone}) > 1


def test_what_computes_does_not_go_round_the_edits(model: Model) -> None:
    network: Any = model.edited(Zero("z")).network
    assert network.weights is model.network.weights  # type: ignore[attr-defined]
    for name in ("decode", "step", "run", "block"):
        assert not hasattr(network, name)
    assert copy.copy(network).interventions == network.interventions


def test_eight_bit_weights_are_edited_too() -> None:
    story = load(dtype="q8")
    text = "Once upon a time there was a"
    with story.edit(Zero("attn_out", layer=2), Zero("pattern", layer=1, head=3, key=0)):
        changed = story.logits(text)
        assert story.generate(text, max_new_tokens=3, temperature=0).ids[0] == changed[-1].argmax()
    expected = story.run_with_hooks(
        text,
        [
            ("blocks.2.hook_attn_out", lambda x, hook: x * 0),
            (
                "blocks.1.attn.hook_pattern",
                lambda x, hook: x * (1 - np.eye(x.shape[-1])[0] * (np.arange(6) == 3)[:, None, None]),
            ),
        ],
    )
    np.testing.assert_allclose(changed, expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_edited_is_refused(model: Model) -> None:
    for wrong in (lambda: model.edited(Zero("z", head=9)), lambda: model.edit(Zero("z", head=9)).__enter__()):
        with pytest.raises(IntrospectionError, match="9 is not among the 3 heads"):
            wrong()
    with pytest.raises(IntrospectionError, match=r"\[Zero.* is no intervention; give Zero, Mean"):
        model.edited([Zero("z")])  # type: ignore[arg-type]
    network: Any = SimpleNamespace(config=model.config)
    with pytest.raises(IntrospectionError, match="a SimpleNamespace cannot be looked into"):
        Model(network, None, GenerationConfig()).edited(Zero("z"))


def test_blocks_that_overlap_are_refused(model: Model) -> None:
    plain = model.logits(IDS)
    first, second = model.edit(Zero("z")), model.edit(Zero("q"))
    first.__enter__()
    second.__enter__()
    with pytest.raises(IntrospectionError, match="overlap; nest them"):
        first.__exit__(None, None, None)
    with pytest.raises(IntrospectionError, match="overlap"):
        second.__exit__(None, None, None)
    model.network = model.network.network  # type: ignore[attr-defined]
    np.testing.assert_array_equal(model.logits(IDS), plain)
