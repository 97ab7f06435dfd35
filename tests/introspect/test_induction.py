"""In a small trained model induction heads are found, removed and patched, as Olsson et al. (2022) describe them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import glassformer
from glassformer.introspect.head_scores import head_scores, repeated_tokens
from glassformer.introspect.interventions import Mean, Patch, Zero
from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.patching import patch_sweep

FOLDER = Path(__file__).parents[1] / "golden" / "induction"
BELOW = (0, 1)  # the head that looks at the token before
TOKENS = 40
# What follows the first k is T in one of them and V in the other; the last token is a k again.
CLEAN, CORRUPTED = "aZ3kT9pWfG2hR8aZ3k", "aZ3kV9pWfG2hR8aZ3k"


@pytest.fixture(scope="module")
def model() -> glassformer.Model:
    return glassformer.load(FOLDER, threads=1)


def scores(model: glassformer.Model, kind: str) -> npt.NDArray[np.float32]:
    """[n_layer, n_head], on random tokens that training has not seen."""
    return head_scores(model, kind, tokens=TOKENS, sequences=3, seed=11).scores


def repeated_loss(model: glassformer.Model, seed: int = 12) -> float:
    """Nats per repeated token, the first of them left out."""
    (ids,) = repeated_tokens(model, TOKENS, seed=seed)
    return -float(np.mean(model.score(ids).logprobs[-(TOKENS - 1) :]))


def test_the_model_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000


def test_it_continues_what_it_has_seen_once(model: glassformer.Model) -> None:
    assert model.generate("k7Qz9Pk7Q", do_sample=False, max_new_tokens=9).text == "z9Pk7Qz9P"
    assert repeated_loss(model) < 0.01 < np.log(62)


class TestFound:
    def test_every_head_of_layer_1_is_an_induction_head(self, model: glassformer.Model) -> None:
        found = scores(model, "induction")
        assert found[1].min() > 0.8
        assert found[0].max() < 0.1

    def test_one_head_below_looks_at_the_token_before(self, model: glassformer.Model) -> None:
        found = scores(model, "previous_token")
        assert found[BELOW] > 0.9
        found[BELOW] = 0
        assert found.max() < 0.15

    def test_none_looks_at_the_same_token(self, model: glassformer.Model) -> None:
        assert scores(model, "duplicate_token").max() < 0.1

    def test_scores_are_the_attention_at_the_right_keys(self, model: glassformer.Model) -> None:
        (ids,) = repeated_tokens(model, TOKENS, seed=5)
        pattern = model.run_with_cache(ids, "blocks.1.attn.hook_pattern")[1]["pattern", 1]
        queries = np.arange(1 + TOKENS, 1 + 2 * TOKENS)
        expected = pattern[:, queries, queries - TOKENS + 1].mean(-1)
        np.testing.assert_allclose(head_scores(model, "induction", ids).scores[1], expected, rtol=1e-5)


class TestAblated:
    def test_without_the_head_below_there_are_no_induction_heads(self, model: glassformer.Model) -> None:
        before = scores(model, "induction")[1]
        with model.edit(Zero("z", layer=BELOW[0], head=BELOW[1])):
            after, loss = scores(model, "induction")[1], repeated_loss(model)
        assert (after < 0.2 * before).all()
        assert loss > 3.0
        np.testing.assert_array_equal(scores(model, "induction")[1], before)

    def test_its_mean_is_no_better_than_nothing(self, model: glassformer.Model) -> None:
        mean = Mean.over(model, repeated_tokens(model, TOKENS, 3, seed=21), "z", layer=BELOW[0], head=BELOW[1])
        with model.edit(mean):
            assert scores(model, "induction")[1].max() < 0.2
            assert repeated_loss(model) > 3.0

    @pytest.mark.parametrize("head", [0, 2, 3])
    def test_its_neighbours_do_not_matter(self, model: glassformer.Model, head: int) -> None:
        with model.edit(Zero("z", layer=0, head=head)):
            assert scores(model, "induction")[1].min() > 0.8
            assert repeated_loss(model) < 0.05

    def test_heads_of_layer_1_stand_in_for_each_other(self, model: glassformer.Model) -> None:
        with model.edit(Zero("z", layer=1, head=[0, 1, 2])):
            three = repeated_loss(model)
        with model.edit(Zero("z", layer=1)):
            every = repeated_loss(model)
        assert three < 1.5
        assert every > 3.0


class TestPatched:
    def test_each_induction_head_brings_back_a_part(self, model: glassformer.Model) -> None:
        sweep = patch_sweep(model, CLEAN, CORRUPTED, logit_difference(model, "T", "V"))
        assert sweep.clean > 5
        assert sweep.corrupted < -5
        assert sweep.normalised[1].min() > 0.1
        assert np.abs(sweep.normalised[0]).max() < 0.05

    def test_all_together_bring_back_everything(self, model: glassformer.Model) -> None:
        sweep = patch_sweep(model, CLEAN, CORRUPTED, logit_difference(model, "T", "V"), over=("layer",))
        assert sweep.normalised[1] == pytest.approx(1.0, abs=0.02)
        assert sweep.normalised[0] == pytest.approx(0.0, abs=0.1)

    def test_the_answer_is_where_the_token_stands(self, model: glassformer.Model) -> None:
        metric = logit_difference(model, "T", "V")
        sweep = patch_sweep(model, CLEAN, CORRUPTED, metric, site="resid_pre", over=("layer", "position"))
        place = CLEAN.index("T")
        np.testing.assert_allclose(sweep.normalised[:, place], 1.0, atol=0.02)
        others = np.delete(sweep.normalised, place, axis=1)
        assert np.abs(others).max() < 0.05

    def test_the_whole_residual_stream_brings_back_exactly_everything(self, model: glassformer.Model) -> None:
        metric = logit_difference(model, "T", "V")
        sweep = patch_sweep(model, CLEAN, CORRUPTED, metric, site="resid_pre", over=("layer",))
        np.testing.assert_array_equal(sweep.normalised, 1.0)

    def test_a_run_patched_with_itself_is_the_same_bits(self, model: glassformer.Model) -> None:
        logits, cache = model.run_with_cache(CLEAN, "blocks.*.attn.hook_z")
        own = [Patch("z", cache["z", layer], layer=layer) for layer in range(2)]
        with model.edit(*own):
            np.testing.assert_array_equal(model.logits(CLEAN), logits)
