"""Texts are run as the model runs them, and their arrays come back as they were captured."""

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from inspect_client import TEXT, Client

from glassformer.server.binary import bounds, farthest, reduced, samples
from glassformer.server.inspect.runs import Runs

API = "/api/inspect"


def test_a_run_says_what_python_says(client, run, story):
    found = story.surprise(TEXT)
    assert run["ids"] == story.ids(TEXT)
    assert "".join(run["tokens"]) == run["text"] == TEXT
    assert not run["edited"]
    shown = client.get(f"{API}/surprise", run=run["run"]).json
    assert shown["bits"][0] is shown["ranks"][0] is None
    np.testing.assert_allclose(shown["bits"][1:], found.bits[1:], rtol=1e-6)
    np.testing.assert_allclose(shown["entropy"][1:], found.entropy[1:], rtol=1e-6)
    assert shown["ranks"][1:] == found.ranks[1:].tolist()


def test_the_same_text_is_not_run_twice(client, run):
    assert client.post(f"{API}/runs", {"ids": run["ids"]}).json["run"] == run["run"]
    assert client.post(f"{API}/runs", {"text": TEXT, "begin": True}).json["ids"] == [2047, *run["ids"]]
    assert client.post(f"{API}/runs", {"text": ""}).json["ids"] == [2047], "nothing is computed without a token"


SITES = ["hook_embed", "blocks.3.attn.hook_z", "blocks.2.ln2.hook_scale", "ln_final.hook_normalized",
         "blocks.1.attn.hook_result"]  # fmt: skip


@pytest.mark.parametrize("name", SITES)
def test_arrays_are_the_captured_ones(client, run, story, name):
    found = client.get(f"{API}/array", run=run["run"], site=name)
    expected = story.run_with_cache(run["ids"], name)[1][name]
    np.testing.assert_array_equal(found.array, expected)
    assert found.headers["x-site"] == name
    one = client.get(f"{API}/array", run=run["run"], site=name, position=4).array
    np.testing.assert_array_equal(one, expected[4])


def test_arrays_of_one_head(client, run, story):
    cache = story.run_with_cache(run["ids"])[1]
    for name, place in (("q", 1), ("pattern", 0), ("attn_scores", 0)):
        site = f"blocks.2.attn.hook_{name}"
        found = client.get(f"{API}/array", run=run["run"], site=site, head=5).array
        np.testing.assert_allclose(found, cache[site].take(5, axis=place), rtol=1e-5, atol=1e-6)
    small = client.get(f"{API}/array", run=run["run"], site="hook_logits", rows=4, columns=16)
    assert small.array.shape == (4, 16)
    assert small.headers["x-reduced"] == "yes"
    logits = story.logits(run["ids"])
    assert float(small.headers["x-high"]) == pytest.approx(float(logits.max()), rel=1e-6)
    assert float(small.headers["x-rms"]) == pytest.approx(float(np.sqrt(np.square(logits).mean())), rel=1e-5)


def test_logits_are_those_of_python(client, run, story):
    np.testing.assert_array_equal(client.get(f"{API}/logits", run=run["run"], position=7).array, story.logits(TEXT)[7])


def test_reducing_takes_the_greatest_of_each_patch():
    x = np.random.default_rng(1).normal(size=(3, 11, 7)).astype(np.float32)
    found = reduced(x, 4, 3)
    rows, columns = [*bounds(11, 4), 11], [*bounds(7, 3), 7]
    for r in range(4):
        for c in range(3):
            patch = x[:, rows[r] : rows[r + 1], columns[c] : columns[c + 1]]
            np.testing.assert_array_equal(found[:, r, c], patch.max((1, 2)))
    assert reduced(x, 20, 20) is x
    patches = farthest(x[0], 4, 3)
    assert abs(patches[0, 0]) == np.abs(x[0, : rows[1], : columns[1]]).max()
    assert samples(10, 3).tolist() == [2, 5, 9]
    assert samples(2, 5).tolist() == [0, 1]


def test_old_runs_make_room(story):
    runs = Runs(0, 1 << 30)
    first = runs.run(story, [1, 2], ())
    second = runs.run(story, [3], ())
    assert list(runs.runs) == [second.id]
    assert runs.run(story, [1, 2], ()).id != first.id


def test_an_unknown_run_is_404(client: Client):
    answer = client.get(f"{API}/logits", run="feedfeedfeedfeed", position=0)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "run_unknown", "run")
