"""The playground in a browser: it writes what the model writes, can be stopped, and needs no pointer."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from browser_visit import Visit

pytestmark = pytest.mark.browser
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def server(story):
    pytest.importorskip("starlette", reason="needs the extra serve")
    from openai_server import running

    with running(story) as found:
        yield found


@pytest.fixture(params=["light", "dark"])
def page(request, browser, server):
    visit = Visit(browser, f"{server.url}/", request.param)
    visit.page.goto(visit.address)
    visit.page.locator("#model", has_text="story").wait_for()
    yield visit.page
    visit.context.close()
    assert [line for line in visit.said if "status of 400" not in line] == []


def status(page, pattern):
    page.locator("#status", has_text=re.compile(pattern)).wait_for(timeout=20_000)


def test_it_writes_what_the_model_writes(page, story):
    page.fill("#temperature", "0")
    page.fill("#max_tokens", "20")
    page.focus("#prompt")
    page.keyboard.press("Control+Enter")
    status(page, "^20 tokens")
    expected = story.generate(PROMPT, max_new_tokens=20, do_sample=False).text
    assert page.text_content("#text") == PROMPT + expected
    assert page.is_visible("#inspect")
    assert page.is_hidden("#key-label")


def test_it_stops_when_it_is_told(page, server):
    page.fill("#max_tokens", "500")
    page.focus("#prompt")
    for _ in range(5):  # tokens, temperature, top p, seed, the button
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") in ("go", "stop")
    page.click("#go")
    page.locator("#text", has_text=re.compile(PROMPT + ".{10}")).wait_for()
    page.keyboard.press("Escape")
    status(page, "stopped|tokens")
    assert server.idle()
    assert page.is_enabled("#go")
    assert page.is_disabled("#stop")


def test_errors_are_shown(page):
    page.fill("#prompt", "word " * 600)
    page.click("#go")
    status(page, "context window")
    assert page.evaluate("document.getElementById('status').className") == "wrong"


def test_colours_follow_the_system(page):
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 200) == dark
