"""Every site that can be captured against transformers, and against TransformerLens where that is installed."""

import os
from pathlib import Path

import numpy as np
import pytest
from gpt2_cases import BASE, CASES, checkpoint, prompt_of, random_ids, save

import glassformer
from glassformer.models.locate import EMBEDDED

os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from reference_gpt2 import new_model, read_model
from reference_sites import Arrays, difference, transformer_lens_sites, transformers_sites

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

PARITY = 1e-4  # of the greatest number of a site: the promise
INDUCTION = Path(__file__).parents[1] / "golden" / "induction"


def compare(model: glassformer.Model, ids: list[int], expected: Arrays) -> None:
    """All sites of a run, `hook_result` too, are there and are those of the reference."""
    names = [site.name for site in model.sites()]
    logits, cache = model.run_with_cache(ids, names)
    assert list(cache) == names
    assert set(expected) == set(names)
    errors = {site: difference(cache[site], expected[site]) for site in names}
    assert {site: error for site, error in errors.items() if not error < PARITY} == {}
    np.testing.assert_array_equal(logits, cache["hook_logits"])


@pytest.mark.parametrize("case", CASES)
def test_every_option(case: str, tmp_path: Path) -> None:
    drawn = checkpoint(CASES[case], 5)
    folder = save(tmp_path, drawn.values, drawn.tensors)
    ids = prompt_of(drawn.config, 5)
    compare(glassformer.load(folder), ids, transformers_sites(read_model(folder), ids))


@pytest.mark.parametrize("seed", range(6))
def test_random_configurations(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 9))
    reference = new_model(
        n_head=heads, n_embd=heads * int(rng.integers(1, 40)), n_layer=int(rng.integers(1, 5)),
        vocab_size=int(rng.integers(2, 300)), n_positions=90, scale_attn_by_inverse_layer_idx=bool(seed & 1),
    )  # fmt: skip
    reference.save_pretrained(tmp_path)
    ids = random_ids(seed, int(rng.integers(1, 91)), reference.config.vocab_size)
    compare(glassformer.load(tmp_path), ids, transformers_sites(reference, ids))


def test_a_prompt_of_several_passes(tmp_path: Path) -> None:
    reference = new_model(n_head=2, n_embd=16, n_layer=2, vocab_size=50, n_positions=1100)
    reference.save_pretrained(tmp_path)
    ids = random_ids(3, 1050, 50)
    compare(glassformer.load(tmp_path), ids, transformers_sites(reference, ids))


@pytest.mark.parametrize("folder", [INDUCTION, EMBEDDED], ids=["induction", "story"])
def test_trained_models(folder: Path) -> None:
    model, reference = glassformer.load(folder), read_model(folder)
    ids = random_ids(4, 70, model.config.vocab_size)
    compare(model, ids, transformers_sites(reference, ids))


def test_rows_that_are_kept(tmp_path: Path) -> None:
    model, reference = glassformer.load(INDUCTION), read_model(INDUCTION)
    ids, kept = random_ids(6, 40, 64), [3, 17, 39]
    expected = transformers_sites(reference, ids)
    cache = model.run_with_cache(ids, ["*.hook_z", "*.hook_pattern", "*.hook_scale"], positions=kept)[1]
    for site, x in cache.items():
        rows = expected[site][:, kept] if site.endswith("pattern") else expected[site][kept]
        assert difference(x, rows) < PARITY, site


def test_sites_while_the_model_writes() -> None:
    model, reference = glassformer.load(INDUCTION), read_model(INDUCTION)
    prompt = model.ids("k7Qz9Pk7Q")
    names = ["*.hook_resid_post", "*.hook_q", "*.hook_pattern", "*.hook_attn_scores", "ln_final.hook_normalized"]
    steps = list(model.trace(prompt, names=names, max_new_tokens=8, do_sample=False))
    ids = prompt + [step.token for step in steps]
    expected = transformers_sites(reference, ids)
    assert len(steps) == 8
    for step in steps:
        for site, x in step.cache.items():
            whole = expected[site]
            square = site.endswith(("scores", "pattern"))
            rows = whole[:, step.cache.positions, : step.position] if square else whole[step.cache.positions]
            assert difference(x, rows) < PARITY, (step.position, site)


@pytest.mark.parametrize("folder", ["induction", "random"])
def test_transformer_lens(folder: str, tmp_path: Path) -> None:
    pytest.importorskip("transformer_lens", reason="TransformerLens is not installed")
    place = INDUCTION
    if folder == "random":
        drawn = checkpoint({**BASE, "n_layer": 3}, 8)
        place = save(tmp_path, drawn.values, drawn.tensors)
    model = glassformer.load(place)
    ids = random_ids(9, 30, model.config.vocab_size)
    expected = transformer_lens_sites(place, ids)
    names = [site.name for site in model.sites() if not site.name.endswith("hook_result")]
    assert set(names) <= set(expected)
    cache = model.run_with_cache(ids, names)[1]
    errors = {site: difference(cache[site], expected[site]) for site in names}
    assert {site: error for site, error in errors.items() if not error < PARITY} == {}
