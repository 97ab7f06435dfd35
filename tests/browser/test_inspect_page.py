"""The page in a browser: what it shows is what Python computes, with a pointer, from a keyboard, in the dark."""

import json
import re
from urllib.parse import quote

import numpy as np
import pytest
from browser_visit import Visit

from glassformer.generation.filters import distribution
from glassformer.introspect.documents import from_json
from glassformer.introspect.neurons import firing
from glassformer.runtime.desk import Cut

pytestmark = pytest.mark.browser

TEXT = "Once upon a time there was a little girl named Ivy. One day,"
OTHER = "Once upon a time there was a little girl named Leila. One day,"
PLAIN = f"text={quote(TEXT)}"


def number(text: str) -> float:
    """A number as the page writes it."""
    return 0.0 if text.startswith("<") else float(text.replace("−", "-").replace("%", "").replace("+", "").strip())


def settle(page) -> None:
    """Wait until every view has come to rest, and the address holds the state."""
    page.evaluate("async () => { const { app } = await import('/main.js'); await app.settled(); }")
    page.wait_for_timeout(200)


def softmax(logits):
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def test_tokens_and_surprise(visit, story):
    page = visit.open(PLAIN)
    cells = page.locator("#tokens .cell")
    ids = story.ids(TEXT)
    assert [int(text) for text in cells.locator("small").all_inner_texts()] == ids
    assert "".join(cells.locator(".word").all_inner_texts()) == TEXT
    found = story.surprise(TEXT)
    cells.nth(9).hover()
    shown = page.locator("#tip").inner_text()
    assert number(re.search(r"surprise ([\d.]+) bits", shown)[1]) == pytest.approx(found.bits[9], abs=0.006)
    assert f"rank {found.ranks[9] + 1}" in shown
    assert page.locator("#status").inner_text().startswith(f"{len(ids)} tokens")


def test_typing_runs_the_text(visit, story):
    page = visit.open(PLAIN)
    page.locator("#text").fill("A cat")
    page.get_by_text(re.compile("^2 tokens ·")).wait_for()
    settle(page)
    assert [int(text) for text in page.locator("#tokens small").all_inner_texts()] == story.ids("A cat")
    assert "text=A+cat" in page.evaluate("location.hash")


def test_next_token(visit, story):
    page = visit.open(PLAIN)
    probabilities = softmax(story.logits(TEXT)[-1])
    rows = page.locator("#next li")
    for place, token in enumerate(np.argsort(-probabilities)[:8]):
        assert int(rows.nth(place).locator("button").get_attribute("data-id")) == token
        assert number(rows.nth(place).locator(".number").inner_text()) == pytest.approx(
            100 * probabilities[token], abs=0.06
        )


def test_filters_cut_what_generation_cuts(visit, story):
    page = visit.open(f"{PLAIN}&temperature=0.8&top_k=12&top_p=0.9&min_p=0.05")
    weights = distribution(story.logits(TEXT)[-1], Cut(temperature=0.8, top_k=12, top_p=0.9, min_p=0.05))
    kept = page.locator("#next li:not(.cut)")
    assert kept.count() == np.count_nonzero(weights)
    shares = [number(text) for text in kept.locator(".number").all_inner_texts()]
    np.testing.assert_allclose(shares, np.sort(100 * weights[weights > 0] / weights.sum())[::-1], atol=0.06)
    assert set(page.locator("#next li.cut .number").all_inner_texts()) <= {"top-k", "top-p", "min-p"}
    page.locator("#slider-top_k").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    left = distribution(story.logits(TEXT)[-1], Cut(temperature=0.8, top_k=2, top_p=0.9, min_p=0.05))
    assert kept.count() == np.count_nonzero(left)


FILTER = """async ([logits, cut]) => {
  const { filtered } = await import("/sampling.js");
  const { rows, left } = filtered(Float32Array.from(logits), cut, logits.length);
  return { kept: rows.filter((row) => !row.cut).map((row) => [row.id, row.after]), left };
}"""


def test_filters_are_those_of_generation_whatever_is_asked(visit):
    page = visit.open(PLAIN)
    random = np.random.default_rng(7)
    for _ in range(40):
        logits = np.round(random.normal(size=60) * 3, 1).astype(np.float32)  # with ties
        cut = {
            "temperature": float(random.choice([0.3, 1.0, 1.7])),
            "top_k": int(random.choice([0, 1, 5, 70])),
            "top_p": float(random.choice([0.0, 0.5, 0.93, 1.0])),
            "min_p": float(random.choice([0.0, 0.07, 1.0])),
        }
        weights = distribution(logits, Cut(**cut))
        found = page.evaluate(FILTER, [logits.tolist(), cut])
        kept = dict(found["kept"])
        assert kept.keys() == set(np.flatnonzero(weights).tolist()), cut
        assert found["left"] == len(kept)
        np.testing.assert_allclose(list(kept.values()), [weights[k] / weights.sum() for k in kept], rtol=1e-4)


def test_a_click_forces_a_token_and_branches(visit, story):
    page = visit.open(f"{PLAIN}&position=3")
    token = page.locator("#next li button").nth(2)
    chosen = int(token.get_attribute("data-id"))
    token.click()
    page.get_by_text(re.compile("^5 tokens ·")).wait_for()
    ids = [int(text) for text in page.locator("#tokens small").all_inner_texts()]
    assert ids == [*story.ids(TEXT)[:4], chosen]
    assert page.locator("#text").input_value() == story.tokenizer.decode(ids)
    page.get_by_text("undo the forced tokens").click()
    page.get_by_text(f"{len(story.ids(TEXT))} tokens ·").wait_for()


def test_attention_from_a_keyboard(visit, story):
    page = visit.open(PLAIN)
    heads = page.locator("#view .heads canvas")
    heads.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    settle(page)
    assert page.locator("#view h3").first.inner_text() == "layer 2, head 1, locked"
    assert "layer 2, head 1" in heads.get_attribute("aria-label")
    matrix = page.locator("#view .single canvas").first
    settle(page)
    matrix.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    pattern = story.run_with_cache(TEXT, "blocks.2.attn.hook_pattern")[1]["pattern", 2][1]
    shown = number(matrix.get_attribute("aria-label").rpartition(" ")[2])
    assert shown == pytest.approx(pattern[3, 1], abs=6e-5)
    assert "blocks.2.attn.hook_pattern[1]" in page.locator("#view .single .origin").inner_text()


def test_heads_in_the_order_of_a_score(visit, story):
    page = visit.open(f"{PLAIN}&sort=previous_token")
    page.get_by_text("score of each head").wait_for()
    heads = page.locator("#view .heads canvas")
    heads.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    layer, head, score = story.head_scores("previous_token").best(1)[0]
    assert f"layer {layer}, head {head}: {score:.3f}" in heads.get_attribute("aria-label")


def test_logit_lens(visit, story):
    page = visit.open(f"{PLAIN}&tab=lens&position=8")
    found = story.logit_lens(TEXT, positions=8, top=10)
    shown = page.locator("#view .list li")
    assert [number(text) for text in shown.locator(".mono").all_inner_texts()] == pytest.approx(
        (100 * found.top_probabilities[-1, 0]).tolist(), abs=0.06
    )
    shown.nth(1).locator("button").click()
    settle(page)
    pinned = int(found.top_ids[-1, 0, 1])
    ranks = story.logit_lens(TEXT, positions=8, follow=[pinned]).ranks[:, 0, 0] + 1
    label = page.get_by_label("Rank of").get_attribute("aria-label")
    assert ", ".join(map(str, ranks)) in label


def test_attribution(visit, story):
    page = visit.open(f"{PLAIN}&tab=attribution&a=%C2%B7Ivy&b=%C2%B7a")
    cache = story.run_with_cache(TEXT)[1]
    expected = cache.logit_attribution(" Ivy", " a", unit="head")
    rows = page.locator("#view tbody tr")
    name, value = expected.best(1)[0]
    assert rows.first.locator("td").first.inner_text() == name
    assert number(rows.first.locator("td").last.inner_text()) == pytest.approx(value, abs=6e-4)
    page.get_by_role("button", name=re.compile(r"^L\dH\d$")).first.click()
    assert page.get_by_role("tab", selected=True).inner_text().startswith("Attention")


def test_neurons(visit, story):
    page = visit.open(f"{PLAIN}&tab=neurons&position=6")
    best = firing(story.run_with_cache(TEXT)[1], 6, count=1)[0]
    row = page.locator("#view tbody tr").first
    assert row.locator("td").first.inner_text() == f"{best.layer}.{best.index}"
    assert number(row.locator("td").last.inner_text()) == pytest.approx(best.activation, abs=6e-4)
    assert f"blocks.{best.layer}.mlp.hook_post[:, {best.index}]" in page.locator("#view .origin").inner_text()


def test_an_edit_from_the_keyboard_and_its_copies(visit, story):
    page = visit.open(f"{PLAIN}&tab=edits")
    page.locator("#view canvas").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.locator(".chip").wait_for()
    page.get_by_text("KL divergence").wait_for()
    assert page.locator(".chip").inner_text().startswith("zero 3.2")
    page.get_by_text("Copy as JSON").click()
    page.get_by_text("JSON copied").wait_for()
    interventions = from_json(page.evaluate("navigator.clipboard.readText()"))
    before, after = softmax(story.logits(TEXT)[-1]), softmax(story.edited(*interventions).logits(TEXT)[-1])
    for row in page.locator("#view tbody tr").all()[:8]:
        text, base, edited, _ = row.locator("td").all_inner_texts()
        token = story.ids(text.replace("·", " "))[0]
        assert number(base) == pytest.approx(100 * before[token], abs=0.06)
        assert number(edited) == pytest.approx(100 * after[token], abs=0.06)
    page.get_by_text("Copy as Python").click()
    page.get_by_text("Python copied").wait_for()
    assert "Zero('blocks.3.attn.hook_z', head=2)" in page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("radio", name="with 1 edit").click()
    settle(page)
    best = page.locator("#next li button").first
    assert int(best.get_attribute("data-id")) == int(after.argmax())


def test_a_sweep(visit, story):
    page = visit.open(f"{PLAIN}&tab=edits&sweep=z&other={quote(OTHER)}&a=%C2%B7Ivy&b=%C2%B7a")
    page.get_by_role("button", name="Sweep").click()
    page.get_by_text("36 runs").wait_for()
    heat = page.get_by_label("Sweep, layers down")
    heat.focus()
    page.keyboard.press("ArrowDown")
    assert re.search(r"layer 1, head 0\nlogit difference .*, restores", heat.get_attribute("aria-label"))


def test_the_ledger(visit):
    page = visit.open(f"{PLAIN}&tab=ledger&new_tokens=5")
    page.locator("[data-operation]").first.wait_for()
    assert "4 tokens in 4 passes" in page.locator("#view").inner_text()
    assert page.locator("[data-operation='unembed matmul']").count() == 1
    page.locator("[data-operation] button").first.click()
    page.locator("#view pre").wait_for()
    assert "ret" in page.locator("#view pre").inner_text()


def test_the_source(visit, story):
    page = visit.open(f"{PLAIN}&tab=source&at=2")
    page.locator("[data-site='attn.hook_q']").click()
    page.get_by_role("heading", name="blocks.2.attn.hook_q").wait_for()
    q = story.run_with_cache(TEXT, "blocks.2.attn.hook_q")[1]["q", 2]
    cells = dict(row.locator("td").all_inner_texts() for row in page.locator("#view table tr").all())
    assert number(cells["greatest"]) == pytest.approx(float(q.max()), abs=6e-5)
    assert f"[{', '.join(map(str, q.shape))}]" in page.locator("#view .source .origin").inner_text()


def test_a_link_restores_the_state(visit):
    changes = [{"mode": "scale", "part": "mlp", "layer": 4, "position": 2, "factor": 2}]
    state = f"{PLAIN}&tab=lens&position=5&layer=4&head=3&locked=true&pin=300&top_k=7&edits={quote(json.dumps(changes))}"
    page = visit.open(state)
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    again = visit.context.new_page()
    again.goto(link)
    again.wait_for_selector("html[data-ready]", state="attached")
    assert again.get_by_role("tab", selected=True).inner_text().startswith("Logit lens")
    assert again.locator("#tokens [aria-selected=true]").get_attribute("data-place") == "5"
    assert again.locator("#slider-top_k").input_value() == "7"
    again.get_by_role("tab", name=re.compile("Ablate")).click()
    assert again.locator(".chip").inner_text().startswith("scale mlp 4 at 2")
    again.keyboard.press("1")
    again.get_by_role("heading", name="layer 4, head 3, locked").wait_for()


def test_malformed_links_do_no_harm(visit):
    page = visit.open("text=A+cat&edits=[null]&layer=99&head=1.5&tab=nowhere&ids=[%22a%22]&__proto__=1&position=99")
    assert page.get_by_role("tab", selected=True).inner_text().startswith("Attention")
    assert page.locator("#tokens .cell").count() > 0


def test_dark_and_light(browser, address):
    colors = {}
    for scheme in ("light", "dark"):
        visit = Visit(browser, address, scheme)
        page = visit.open(PLAIN)
        colors[scheme] = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.get_by_text("Theme: system").click()
        page.get_by_text("Theme: light").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert visit.said == []
        visit.context.close()
    assert colors["light"] != colors["dark"]


@pytest.mark.parametrize("tab", ["attention", "lens", "attribution", "neurons", "edits", "ledger", "source"])
def test_every_view_as_a_picture_and_at_its_narrowest(visit, tab):
    visit.page.set_viewport_size({"width": 900, "height": 800})
    page = visit.open(f"{PLAIN}&tab={tab}")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 900
    page.get_by_role("button", name="Copy PNG").click()
    page.get_by_text("copied as PNG").wait_for()
    kinds = page.evaluate("navigator.clipboard.read().then((items) => items.flatMap((item) => item.types))")
    assert kinds == ["image/png"]


def test_every_view_of_an_edited_model(visit):
    changes = quote(json.dumps([{"mode": "zero", "part": "head", "layer": 3, "head": 2, "position": None},
                                {"mode": "patch", "part": "mlp", "layer": 4, "position": 9}]))  # fmt: skip
    page = visit.open(f"{PLAIN}&edits={changes}&subject=edited&other={quote(OTHER)}")
    for place in range(1, 8):
        page.keyboard.press(str(place))
        settle(page)
        assert page.locator("#view .wrong").all_inner_texts() in ([], [""])
        assert page.get_by_role("radio", name="with 2 edits").get_attribute("aria-checked") == "true"


def test_every_control_has_a_name(visit):
    page = visit.open(PLAIN)
    for place in range(1, 8):
        page.keyboard.press(str(place))
        settle(page)
        nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select, textarea, canvas")]
            .filter((element) => element.checkVisibility() && !element.textContent.trim() && !element.labels?.length
                && !element.getAttribute("aria-label")).map((element) => element.outerHTML)""")
        assert nameless == []
