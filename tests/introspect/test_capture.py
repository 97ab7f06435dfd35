"""`run_with_cache`: what is captured for which tokens, and what is refused before anything runs."""

import numpy as np
import pytest

from glassformer.errors import GlassformerError
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.sites import kernel_of
from glassformer.model import Model
from glassformer.models.gpt2 import CHUNK, GPT2
from glassformer.models.observer import Observation
from glassformer.models.observing import Inputs, Look, Observing
from glassformer.runtime.batch import Batch, form_of
from glassformer.runtime.engine import Ops
from glassformer.runtime.frames import Frame, FrameLayout
from glassformer.runtime.memory import aligned
from glassformer.runtime.plan import Recorder

TEXT = "Once upon a time there was a little dog."


def test_everything_has_the_shape_that_its_site_names(each_story: Model) -> None:
    ids = each_story.ids(TEXT)
    logits, cache = each_story.run_with_cache(TEXT)
    sites = [site for site in each_story.sites() if not site.name.endswith("hook_result")]
    assert list(cache) == [site.name for site in sites]
    assert {name: array.shape for name, array in cache.items()} == {site.name: site.shape(len(ids)) for site in sites}
    assert cache.nbytes == sum(site.nbytes(len(ids)) for site in sites)
    assert cache.ids == ids
    assert "".join(cache.tokens) == TEXT
    assert cache.positions.tolist() == list(range(len(ids)))
    assert np.array_equal(logits, each_story.logits(TEXT))
    assert np.array_equal(cache["hook_logits"], logits)
    assert np.array_equal(cache["resid_post", -1], cache["blocks.5.hook_resid_post"])
    assert ("pattern", 0) in cache
    assert "nothing" not in cache


def test_arrays_outlive_the_cache_and_are_views(story: Model) -> None:
    pattern = story.run_with_cache(TEXT, "*.attn.hook_pattern")[1]["pattern", 2]
    assert pattern.base is not None
    np.testing.assert_allclose(pattern.sum(-1), 1, rtol=1e-5)


def test_some_positions(story: Model) -> None:
    ids = story.ids(TEXT)
    whole = story.run_with_cache(ids)[1]
    for positions, kept in [(-1, [len(ids) - 1]), (slice(2, 5), [2, 3, 4]), ([4, -1, 0, 4], [0, 4, len(ids) - 1])]:
        logits, some = story.run_with_cache(ids, positions=positions)
        assert len(logits) == len(ids)
        assert some.positions.tolist() == kept
        for name, array in some.items():
            square = name.endswith(("hook_attn_scores", "hook_pattern"))
            assert np.array_equal(array, whole[name][:, kept] if square else whole[name][kept]), name


def test_results_of_heads_are_derived(each_story: Model) -> None:
    layer = 3
    _, derived = each_story.run_with_cache(TEXT, "blocks.3.attn.hook_z", positions=[0, -1])
    _, captured = each_story.run_with_cache(TEXT, "blocks.3.*", positions=[0, -1])
    assert len(derived) == 1
    assert "blocks.3.attn.hook_result" in captured
    assert np.array_equal(derived["result", layer], captured["result", layer])
    block = each_story.network.weights.h[layer]  # type: ignore[attr-defined]
    total = derived["result", layer].sum(1) + block.attn_c_proj.bias
    np.testing.assert_allclose(total, captured["attn_out", layer], atol=1e-4)
    with pytest.raises(IntrospectionError, match="was not captured"):
        derived["result", 2]


def test_a_list_is_a_batch(each_story: Model) -> None:
    texts = [TEXT, "The cat", "A girl named Lily went to the park with her mother and her father."]
    names = ["hook_embed", "blocks.*.attn.hook_*", "*.hook_resid_post", "hook_logits"]
    for text, (logits, cache) in zip(texts, each_story.run_with_cache(texts, names, positions=-1), strict=True):
        alone = each_story.run_with_cache(text, names, positions=-1)
        assert np.array_equal(logits, alone[0])
        assert cache.ids == alone[1].ids
        assert all(np.array_equal(array, alone[1][name]) for name, array in cache.items())


def test_a_text_longer_than_a_pass(lively: Model) -> None:
    """The window of the small models is within a pass, so that a pass is made shorter than them."""
    ids = list(range(30))
    assert len(ids) < CHUNK
    whole = lively.run_with_cache(ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassformer.models.gpt2.CHUNK", 7)
        logits, parts = lively.run_with_cache(ids)
        batch = lively.run_with_cache([ids[:9], ids])
    for found in (parts, batch[1][1]):
        assert all(np.array_equal(array, whole[1][name]) for name, array in found.items())
    assert np.array_equal(logits, whole[0])


def test_bytes_are_known_and_refused(story: Model) -> None:
    steps = story.network.steps  # type: ignore[attr-defined]
    known = len(steps.steps)
    with pytest.raises(IntrospectionError) as caught:
        story.run_with_cache(TEXT, "blocks.*.hook_resid_post", limit=1000)
    needed = 6 * 4 * 192 * len(story.ids(TEXT))
    assert f"{needed:,} bytes" in str(caught.value)
    assert "1,000" in str(caught.value)
    assert len(steps.steps) == known
    story.run_with_cache(TEXT, "blocks.*.hook_resid_post", limit=needed)


def test_what_is_asked_wrongly(story: Model) -> None:
    for wrong in (
        {"names": "blocks.6.*"},
        {"names": ["hook_embed", "hook_q"]},
        {"positions": 99},
        {"positions": [0.5]},
    ):
        with pytest.raises(IntrospectionError):
            story.run_with_cache(TEXT, **wrong)
    for prompt in ("", [], [TEXT, ""], [[]], [2048], "a " * 600):
        with pytest.raises(GlassformerError):
            story.run_with_cache(prompt)
    assert story.run_with_cache(TEXT, [])[1].nbytes == 0


# ------------------------------------------------------------ what is said of sites


def test_sources_name_their_sites(story: Model) -> None:
    from pathlib import Path

    import glassformer

    root = Path(glassformer.__file__).parent
    beside = {"hook_scale": "hook_normalized", "hook_result": "hook_attn_out"}
    for site in story.sites():
        file, _, line = site.source.partition(":")
        text = (root / file).read_text(encoding="utf8").splitlines()[int(line) - 1]
        last = site.name.rpartition(".")[2]
        assert f'{beside.get(last, last)}"' in text, site
        assert ("ln1" in site.name) == ("ln1" in text), site


def test_kernels_are_those_that_write_the_sites(each_story: Model) -> None:
    """Of a recorded pass, the launch before the one that keeps a site; attention keeps its own."""
    network: GPT2 = each_story.network  # type: ignore[assignment]
    ids = np.arange(2, dtype=np.int32)
    form = form_of([(ids, network.new_cache(2))], 256, last_only=False, blocks=8)
    for site in each_story.sites():
        layout = FrameLayout({site.name: network.places[site.name]}, 2, 2)
        look = Look(Observation((site.name,)), Frame(layout, aligned(layout.count + 1, np.float32)), network.places)
        recorder = Recorder(network.ops.executor)  # type: ignore[arg-type]
        batch = Batch.empty(form, np.zeros(1, np.uint8))
        network.step(Ops(recorder), batch, Observing(look.observation, Inputs(form, look, real=False)))
        names = [launch.kernel.owner.name for launch in recorder.launches]
        if layout.squares:
            (kept,) = [
                c for c in (each.kernel.constants for each in recorder.launches) if c.get("SCORES") or c.get("PATTERN")
            ]
            assert kept["PATTERN"] == site.name.endswith("pattern")
            assert site.kernel == "attention"
        else:
            assert names[names.index("keep_rows") - 1] == site.kernel, site
    assert kernel_of("hook_logits", quantized=False) == "matmul"
