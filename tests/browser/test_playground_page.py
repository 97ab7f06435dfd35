"""The playground in a browser: it writes what the model writes, can be stopped, and needs no pointer."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("server", "hostile")]

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
    assert [line for line in visit.said if not re.search("status of (400|401|429)", line)] == []


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


def test_a_server_that_dies_in_the_middle_is_a_message(browser):
    from server_process import serving

    with serving("--kv-memory", "64") as server:
        visit = Visit(browser, f"http://127.0.0.1:{server.port}/", "light")
        page = visit.page
        page.goto(visit.address)
        page.fill("#max_tokens", "500")
        # So much that it takes seconds: a story alone may be whole before the server is gone.
        longer = {"n": 64, "ignore_eos": True}
        page.route(
            "**/v1/completions",
            lambda route: route.continue_(post_data=json.dumps(route.request.post_data_json | longer)),
        )
        page.evaluate("document.getElementById('go').click()")
        page.locator("#text", has_text=re.compile(PROMPT + ".{10}")).wait_for()
        server.process.kill()
        status(page, "stopped before the text was whole|does not answer")
        assert page.get_attribute("#status", "class") == "wrong"
        assert page.is_enabled("#go")
        page.press("#prompt", "Control+Enter")
        status(page, "does not answer")
        assert page.is_enabled("#go")
        visit.context.close()


def test_a_stream_that_ends_too_early_is_a_message(page):
    """As from a proxy that gives up: the answer is whole to the browser, and has no end."""
    body = 'data: {"choices": [{"text": " there"}]}\n\ndata: {"choi'
    page.route("**/v1/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.click("#go")
    status(page, "stopped before the text was whole")
    assert page.text_content("#text") == PROMPT + " there"
    assert page.get_attribute("#status", "class") == "wrong"


def test_what_the_model_writes_is_text_and_no_markup(page):
    body = 'data: {"choices": [{"text": "<img src=x onerror=alert(1)><b>"}]}\n\ndata: [DONE]\n\n'
    page.route("**/v1/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.fill("#prompt", "<i>&amp;")
    page.click("#go")
    page.locator("#text", has_text="onerror").wait_for()
    assert page.text_content("#text") == "<i>&amp;<img src=x onerror=alert(1)><b>"
    assert page.locator("#text img, #text b, #text i").count() == 0


@pytest.mark.parametrize(("code", "word"), [(429, "requests wait already"), (401, "an API key")])
def test_refusals_are_shown_in_the_words_of_the_server(page, code, word):
    error = {"error": {"message": word, "type": "x", "param": None, "code": None}}
    page.route("**/v1/completions", lambda route: route.fulfill(status=code, json=error))
    page.click("#go")
    status(page, word)
    assert page.is_visible("#key-label") == (code == 401)
