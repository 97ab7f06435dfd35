"""Models, embeddings, token counts, health, metrics and captures, driven by the official client and by httpx."""

import asyncio
import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("httpx", reason="sends what the official client would not")
pytest.importorskip("starlette", reason="needs the extra serve")

import httpx
import openai
from starlette.requests import Request

import glassformer
from glassformer.generation.serving import Engine
from glassformer.server.openai.health import health
from glassformer.server.openai.service import Service

TEXT = "Once upon a time there was a little girl named Ivy."


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def plain(server):
    with httpx.Client(base_url=server.url) as found:
        yield found


def array(found):
    return np.frombuffer(base64.b64decode(found["float32"]), "<f4").reshape(found["shape"])


def test_models(client):
    (model,) = client.models.list().data
    assert (model.id, model.object) == ("story", "model")
    assert client.models.retrieve("story") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_are_the_final_state(client, story, pooling):
    state = story.run_with_cache(TEXT)[1]["ln_final.hook_normalized"]
    expected = state.mean(0) if pooling == "mean" else state[-1]
    answer = client.embeddings.create(model="story", input=TEXT, extra_body={"pooling": pooling})  # asks for base64
    assert answer.data[0].embedding == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == len(story.ids(TEXT))
    several = client.embeddings.create(model="story", input=["The cat", TEXT], encoding_format="float",
                                       extra_body={"pooling": pooling})  # fmt: skip
    assert [each.index for each in several.data] == [0, 1]
    assert several.data[1].embedding == pytest.approx(expected.tolist(), abs=1e-5)
    ids = client.embeddings.create(model="story", input=[story.ids(TEXT)], extra_body={"pooling": pooling})
    assert ids.data[0].embedding == answer.data[0].embedding


def test_embeddings_of_another_length_are_refused(client):
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model="story", input=TEXT, dimensions=16)


def test_tokens_there_and_back(plain, story):
    found = plain.post("/tokenize", json={"prompt": TEXT, "return_token_strs": True}).json()
    assert found["tokens"] == story.ids(TEXT)
    assert found["count"] == len(story.ids(TEXT))
    assert "".join(found["token_strs"]) == TEXT
    assert found["max_model_len"] == story.config.n_positions
    assert plain.post("/detokenize", json={"tokens": found["tokens"]}).json() == {"prompt": TEXT}
    assert plain.post("/detokenize", json={"tokens": [10**6]}).status_code == 400


def test_health_of_a_server_whose_engine_has_ended():
    model = glassformer.load()
    with Engine(model) as engine:
        service = Service(model, "story", engine)
    answer = asyncio.run(health(service, Request({"type": "http"})))
    assert answer.status_code == 503
    assert json.loads(answer.body)["status"] == "ended"


def test_health_and_metrics(plain, client):
    assert plain.get("/health").json() == {"status": "ok", "model": "story", "running": 0, "waiting": 0}
    before = numbers(plain)
    client.completions.create(model="story", prompt=TEXT, max_tokens=5, temperature=0)
    assert plain.post("/v1/completions", json={"prompt": 5}).status_code == 422
    plain.get("/nothing/at/all")
    after = numbers(plain)

    def grown(name):
        return after[name] - before.get(name, 0)

    assert grown("glassformer_engine_generated_tokens_total") == 5
    assert grown("glassformer_http_completion_tokens_total") == 5
    assert grown('glassformer_http_answers_total{endpoint="/v1/completions",status="200"}') == 1
    assert grown('glassformer_http_answers_total{endpoint="/v1/completions",status="422"}') == 1
    assert grown('glassformer_http_answers_total{endpoint="other",status="404"}') == 1
    assert after["glassformer_http_open"] == 1


def numbers(plain):
    """The metrics, each line of which is read as Prometheus would."""
    answer = plain.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("# TYPE ")]
    matches = [
        re.fullmatch(r"([a-z_]+(?:\{[a-z]+=\"[^\"]*\"(?:,[a-z]+=\"[^\"]*\")*\})?) ([0-9.e+-]+)", line) for line in lines
    ]
    return {match[1]: float(match[2]) for match in matches}


def test_captures_come_with_the_ordinary_answer(plain, story):
    look = {"capture": ["blocks.2.hook_resid_post", "blocks.*.attn.hook_pattern"]}
    body = {"prompt": TEXT, "temperature": 0, "max_tokens": 6, "inspect": look, "logprobs": 1}
    answer = plain.post("/v1/completions", json=body).json()
    alone = story.generate(TEXT, max_new_tokens=6, do_sample=False, logprobs=1)
    assert answer["choices"][0]["text"] == alone.text
    assert answer["choices"][0]["logprobs"]["token_logprobs"] == pytest.approx(
        [each.logprob for each in alone.logprobs]
    )
    ids = [*alone.prompt_ids, *alone.ids[:-1]]
    assert answer["inspect"]["ids"] == ids
    cache = story.run_with_cache(ids, ["blocks.2.hook_resid_post", "blocks.1.attn.hook_pattern"])[1]
    arrays = answer["inspect"]["arrays"]
    assert len(arrays) == 1 + story.config.n_layer
    for name, expected in cache.items():
        assert np.array_equal(array(arrays[name]), expected), name


def test_those_who_look_take_turns(server, plain, story):
    body = {"prompt": TEXT, "temperature": 0, "max_tokens": 4, "inspect": {"capture": ["hook_embed"]}}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: plain.post("/v1/completions", json=body).json(), range(8)))
    assert len({each["choices"][0]["text"] for each in answers}) == 1
    assert len({each["inspect"]["arrays"]["hook_embed"]["float32"] for each in answers}) == 1


def test_interventions_change_the_answer_and_nothing_else(plain, story):
    from glassformer.introspect.interventions import Zero

    changes = [{"kind": "zero", "site": "blocks.0.hook_mlp_out"}]
    body = {"prompt": TEXT, "temperature": 0, "max_tokens": 6, "inspect": {"interventions": changes}}
    answer = plain.post("/v1/completions", json=body).json()
    changed = story.edited(Zero("blocks.0.hook_mlp_out")).generate(TEXT, max_new_tokens=6, do_sample=False).text
    untouched = story.generate(TEXT, max_new_tokens=6, do_sample=False).text
    assert answer["choices"][0]["text"] == changed != untouched
    assert answer["inspect"]["arrays"] == {}
    del body["inspect"]
    assert plain.post("/v1/completions", json=body).json()["choices"][0]["text"] == untouched


def test_the_client_looks_into_a_chat(client):
    answer = client.chat.completions.create(model="story", messages=[{"role": "user", "content": "hi"}], max_tokens=3,
                                            extra_body={"inspect": {"capture": ["hook_embed"]}})  # fmt: skip
    assert array(answer.inspect["arrays"]["hook_embed"]).shape == (len(answer.inspect["ids"]), 192)


@pytest.mark.parametrize("look", [
    {"capture": ["../../etc/passwd"]}, {"capture": "hook_embed"}, {"capture": [5]}, {"x": 1}, 5, {"capture": [""]},
    {"interventions": [{"kind": "exec", "site": "hook_embed"}]}, {"interventions": [{"kind": "zero", "site": "no"}]},
])  # fmt: skip
def test_looks_of_a_wrong_kind(plain, look):
    answer = plain.post("/v1/completions", json={"prompt": TEXT, "inspect": look})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_looks_that_are_too_large_or_have_no_place(plain):
    base = {"prompt": TEXT, "inspect": {"capture": ["*"]}}
    for more in ({"n": 2}, {"stream": True}, {"best_of": 2}, {"prompt": ["a", "b"]}, {"echo": True, "max_tokens": 0}):
        assert plain.post("/v1/completions", json=base | more).status_code == 400, more
    large = plain.post("/v1/completions", json=base | {"prompt": [5] * 400, "max_tokens": 50})
    assert large.status_code == 400
    assert "limit" in large.json()["error"]["message"]


def test_pages(plain):
    page = plain.get("/")
    names = re.findall(r'(?:href|src)="([\w.]+)"', page.text)
    assert {"playground.js", "playground.css", "icon.svg"} <= set(names)
    for name in names:
        assert plain.get(f"/{name}").status_code == 200
    assert not re.findall(r"https?://(?!www\.w3\.org)", page.text + plain.get("/playground.js").text)
    assert plain.get("/inspect").headers["location"] == "/inspect/"
    assert "<title>Glassformer: inspect" in plain.get("/inspect/").text
    run = plain.post("/api/inspect/runs", json={"text": TEXT})
    assert run.status_code == 200
