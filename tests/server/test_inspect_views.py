"""What the views show is what the functions of `introspect` give."""

import ast

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from inspect_client import OTHER, TEXT

from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.neurons import firing, neuron
from glassformer.introspect.patching import patch_sweep
from glassformer.runtime.machine import Machine

API = "/api/inspect"


@pytest.fixture(scope="module")
def cache(story):
    return story.run_with_cache(TEXT)[1]


def test_attention_of_a_head(client, run, cache):
    for layer, head in ((0, 0), (3, 2), (5, 5)):
        place = {"run": run["run"], "layer": layer, "head": head}
        pattern = client.get(f"{API}/attention/head", view="pattern", size=512, **place)
        np.testing.assert_allclose(pattern.array, cache["pattern", layer][head], atol=1e-6)
        scores = client.get(f"{API}/attention/head", view="scores", size=512, **place).array
        np.testing.assert_allclose(scores, cache["attn_scores", layer][head], rtol=1e-4, atol=1e-5)
        weighted = client.get(f"{API}/attention/row", view="value_weighted", position=6, **place).array
        lengths = np.linalg.norm(cache["v", layer][:7, head], axis=-1)
        np.testing.assert_allclose(weighted, cache["pattern", layer][head, 6, :7] * lengths, rtol=1e-4, atol=1e-6)
        assert pattern.headers["x-site"] == f"blocks.{layer}.attn.hook_pattern"
        assert client.get(f"{API}/attention/head", view="pattern", size=5, **place).array.shape == (5, 5)


def test_thumbnails_are_small(client, run, story):
    small = client.get(f"{API}/attention/thumbnails", run=run["run"]).array
    whole = client.get(f"{API}/attention/head", run=run["run"], layer=4, head=1, size=512).array
    np.testing.assert_array_equal(small[4, 1], whole)
    long = client.post(f"{API}/runs", {"ids": list(range(100))}).json["run"]
    found = client.get(f"{API}/attention/thumbnails", run=long, view="scores").array
    assert found.shape == (6, 6, 40, 40)


def test_patterns_after_an_edit_of_patterns_are_those_of_the_edited_model(client, run, story, cache):
    zero = {"kind": "zero", "site": "blocks.1.attn.hook_pattern", "head": 3, "key": 0}
    changed = client.post(f"{API}/runs", {"ids": run["ids"], "interventions": [zero]}).json["run"]
    found = client.get(f"{API}/attention/head", run=changed, layer=1, head=3, size=512).array
    assert not found[:, 0].any()
    np.testing.assert_allclose(found[:, 1:], cache["pattern", 1][3][:, 1:], atol=1e-6)


def test_logit_lens(client, run, story):
    found = client.get(f"{API}/lens", run=run["run"], begin=3, end=8, follow=261).array
    lens = story.logit_lens(TEXT, positions=slice(3, 8), top=10, follow=[261])
    np.testing.assert_array_equal(found[..., :10], lens.top_ids)
    np.testing.assert_allclose(found[..., 10:20], lens.top_probabilities, rtol=1e-5)
    np.testing.assert_array_equal(found[..., 20], lens.ranks[..., 0])
    assert client.get(f"{API}/lens", run=run["run"], begin=0, end=99).status == 422


@pytest.mark.parametrize("unit", ["head", "component", "layer", "neuron"])
def test_attribution_is_complete(client, run, cache, unit):
    found = client.get(f"{API}/attribution", run=run["run"], position=9, token=261, against=300, unit=unit).json
    expected = cache.logit_attribution(261, 300, unit=unit, positions=9)
    assert found["difference"] == pytest.approx(float(expected.logits[0]), abs=1e-4)
    assert found["sum"] == pytest.approx(found["difference"], abs=2e-3)
    if unit != "neuron":
        np.testing.assert_allclose(found["values"], expected.values[..., 0], atol=1e-5)
    assert found["best"][0]["name"] == expected.best(1, 0)[0][0]


def test_neurons(client, run, story, cache):
    listed = client.get(f"{API}/firing", run=run["run"], position=5).json["firing"]
    best = firing(cache, 5, count=1)[0]
    assert (listed[0]["layer"], listed[0]["index"]) == (best.layer, best.index)
    one = neuron(story, best.layer, best.index, cache, top=12)
    place = {"layer": best.layer, "neuron": best.index}
    np.testing.assert_array_equal(client.get(f"{API}/neuron", run=run["run"], **place).array, one.activations)
    tokens = client.get(f"{API}/neuron/tokens", **place).json
    assert tokens["promoted"]["ids"] == one.promoted.ids
    assert tokens["suppressed"]["values"] == pytest.approx(one.suppressed.values)


def test_head_scores(client, story):
    found = client.get(f"{API}/head_scores", kind="previous_token")
    np.testing.assert_array_equal(found.array, story.head_scores("previous_token").scores)


def test_a_sweep(client, run, story):
    body = {"run": run["run"], "other": OTHER, "site": "z", "over": "head", "token": 10, "against": 20}
    found = client.post(f"{API}/sweep", body).json
    metric = logit_difference(story, 10, 20)
    expected = patch_sweep(story, TEXT, OTHER, metric, "z", ("layer", "head"))
    np.testing.assert_allclose(found["normalised"], expected.normalised, rtol=1e-6)
    assert found["clean"] == pytest.approx(metric(story.logits(TEXT)))
    short = client.post(f"{API}/sweep", body | {"other": "Once"})
    assert "1 tokens and this one" in short.error["message"]


def test_every_site_leads_to_its_line(client, story):
    found = client.get(f"{API}/source").json
    sites = {each["site"]: found["lines"][each["line"] - 1] for each in found["sites"]}
    assert found["file"] == "models/gpt2.py"
    assert sites.keys() == {
        site.name.split(".", 2)[2] if "blocks" in site.name else site.name for site in story.sites()
    }
    assert '"hook_q"' in sites["attn.hook_q"]
    assert "ln2.hook_normalized" in sites["ln2.hook_scale"]


def test_the_ledger_is_the_profile(client, run, monkeypatch):
    monkeypatch.setattr("glassformer.runtime.profile.measure_machine", lambda *arguments: Machine(50.0, 400.0, 1600.0))
    found = client.post(f"{API}/ledger", {"run": run["run"], "new_tokens": 4}).json
    lines = found["decode"]["operations"]
    assert found["decode"]["tokens"] == 3
    assert found["prefill"]["tokens"] == len(run["ids"])
    assert {"gb_s", "gflop_s", "share_of_read", "share_of_peak", "seconds", "bytes", "place", "sites"} <= lines[
        0
    ].keys()
    written = [site for line in lines for site in line["sites"]]
    assert {"attn.hook_q", "attn.hook_z", "hook_logits", "mlp.hook_post"} <= set(written)
    assert len(written) == len(set(written))
    assert sum(step[2] for step in found["steps"]) == len(run["ids"]) + 3
    code = client.get(f"{API}/assembly", operation=lines[0]["name"]).json
    assert code["kernel"] == lines[0]["kernel"]
    assert "ret" in code["assembly"]
    assert client.get(f"{API}/assembly", operation="make coffee").status == 404


@pytest.mark.parametrize("mode", ["zero", "mean", "patch", "scale"])
def test_changes_become_interventions(client, run, story, edited, cache, mode):
    head = {"mode": mode, "part": "head", "layer": 3, "head": 2, "position": None}
    mlp = {"mode": mode, "part": "mlp", "layer": 5, "position": 9}
    made, found = edited(head, mlp, other=OTHER)
    assert found["edited"]
    shown = client.get(f"{API}/logits", run=found["run"], position=len(run["ids"]) - 1).array
    z, out = "blocks.3.attn.hook_z", "blocks.5.hook_mlp_out"
    other = story.run_with_cache(OTHER, [z, out])[1]

    def change(x, hook):
        where = (slice(None), 2) if hook.name == z else (9,)
        value = {"zero": 0, "mean": cache[hook.name].mean(0)[where[1:]], "patch": other[hook.name][where],
                 "scale": 2 * x[where]}[mode]  # fmt: skip
        x[where] = value
        return x

    expected = story.run_with_hooks(TEXT, [(z, change), (out, change)])[-1]
    np.testing.assert_allclose(shown, expected, atol=2e-3)
    names = {}
    exec(compile(ast.parse(made["python"]), "copied", "exec"), names)
    np.testing.assert_allclose(names["logits"][-1], shown, atol=1e-5)
