"""Results as notebooks draw them: whole pieces of HTML with their numbers and tokens, and plain values for JSON."""

import json
from html.parser import HTMLParser

import pytest
from analysis_cases import OTHER, TEXT

from glassformer.introspect.circuits import circuit_svd, ov_circuit, qk_circuit
from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.neurons import spoken_for
from glassformer.introspect.results import Result
from glassformer.model import Model

AXES = ("layer", "head", "position")
VOID = {"br", "img", "hr"}


class Balance(HTMLParser):
    """Tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def results(model: Model) -> dict[str, tuple[Result, list[str]]]:
    """One of each kind, and what is to be read in it."""
    _, cache = model.run_with_cache(TEXT)
    metric = logit_difference(model, " She", " He")
    sweep = model.patch_sweep
    return {
        "surprise": (model.surprise(TEXT), ["surprise in bits", "Lily", "expected"]),
        "lens": (model.logit_lens(cache), ["logit lens", "blocks.5.hook_resid_post"]),
        "no top": (model.logit_lens(cache, top=0), ["blocks.5.hook_resid_post"]),
        "scores": (model.head_scores("induction", tokens=5, sequences=1), ["induction score of heads"]),
        "heads": (cache.logit_attribution(" cat", " dog", unit="head"), ["L5H", "folded coordinates"]),
        "neurons": (cache.logit_attribution(" cat", unit="neuron", folded=False), ["L5N", "raw coordinates"]),
        "sweep": (sweep(TEXT, OTHER, metric), ["layer 3", "head 2", "1: as clean"]),
        "layers": (sweep(TEXT, OTHER, metric, "resid_pre", ("layer",)), ["layer 3", "whole"]),
        "same": (sweep(TEXT, TEXT, metric, layers=[1]), ["the metric", "layer 1"]),
        "three": (sweep(TEXT, OTHER, metric, "z", AXES, layers=[4], heads=[4]), ["position 3"]),
        "neuron": (model.neuron(5, 178, cache), ["activation of neuron 178", "promoted", "suppressed"]),
        "tokens": (spoken_for(model, 5, 178)[0], ["tokens"]),
        "ov": (circuit_svd(model, ov_circuit(model, 4, 4)), ["OV circuit of head 4", "written"]),
        "qk": (circuit_svd(model, qk_circuit(model, 4, 4)), ["QK circuit of head 4", "key"]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(story: Model) -> dict[str, tuple[Result, list[str]]]:
    return results(story)


@pytest.mark.parametrize(
    "name",
    ["surprise", "lens", "no top", "scores", "heads", "neurons", "sweep", "layers", "same", "three", "neuron", "tokens",
     "ov", "qk"],
)  # fmt: skip
def test_a_result_draws_itself_and_becomes_json(name: str, made: dict[str, tuple[Result, list[str]]]) -> None:
    result, words = made[name]
    html = result._repr_html_()  # type: ignore[attr-defined]
    balance = Balance()
    balance.feed(html)
    assert balance.open == []
    assert all(word in html for word in words)
    assert "script" not in html
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))
