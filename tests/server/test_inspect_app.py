"""The application around the endpoints: pages, headers, order of requests."""

import asyncio
import re
import threading

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from glassformer.server.driver import WAITING, Driver
from glassformer.server.errors import RequestError
from glassformer.server.hosts import host_name
from glassformer.server.pages import page_files


def test_the_page_and_its_files_are_served(client):
    page = client.get("/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    names = re.findall(r'(?:href|src)="([\w.]+)"', page.body.decode())
    assert {"main.js", "base.css", "panels.css", "icon.svg"} <= set(names)
    for name in names:
        assert client.get(f"/{name}").status == 200, name
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_modules_import_each_other_and_nothing_else():
    files = page_files("inspect")
    for name, (content, _) in files.items():
        text = content.decode()
        wanted = re.findall(r'from "\./([\w.]+)"', text) if name.endswith(".js") else []
        assert set(wanted) <= set(files), name
        outside = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3.org"}
        assert not outside, f"{name} asks {outside}"
        assert len(text.splitlines()) <= 400, name


def test_host_names_lose_their_port():
    assert host_name("LocalHost:80") == "localhost"
    assert host_name("[::1]:8000") == "[::1]"
    assert host_name("127.0.0.1") == "127.0.0.1"


def test_facts_of_the_model(client, story):
    facts = client.get("/api/inspect/model").json
    assert facts["config"]["n_layer"] == 6
    assert [site["name"] for site in facts["sites"]] == [site.name for site in story.sites()]
    tokens = client.get("/api/inspect/vocabulary").json["tokens"]
    assert len(tokens) == 2048
    assert tokens[story.ids(" girl")[0]] == " girl"


class Held:
    """A driver whose thread is kept busy until told otherwise."""

    def __init__(self) -> None:
        self.driver, self.gate = Driver(), threading.Event()
        self.first = self.driver.thread.submit(self.gate.wait, 5)


@pytest.fixture
def held():
    found = Held()
    yield found
    found.gate.set()
    found.driver.close()


def test_a_later_request_takes_the_place_of_one_that_waits(held):
    async def both():
        early = asyncio.create_task(held.driver.run(lambda: "early", "typing"))
        await asyncio.sleep(0.01)
        late = asyncio.create_task(held.driver.run(lambda: "late", "typing"))
        other = asyncio.create_task(held.driver.run(lambda: "other", "elsewhere"))
        await asyncio.sleep(0.01)
        held.gate.set()
        return await asyncio.gather(early, late, other, return_exceptions=True)

    early, late, other = asyncio.run(both())
    assert isinstance(early, RequestError)
    assert (early.status, early.code) == (409, "superseded")
    assert (late, other) == ("late", "other")


def test_what_nobody_waits_for_is_dropped(held):
    ran = []

    async def left():
        return None

    async def leave():
        with pytest.raises(RequestError):
            await held.driver.run(lambda: ran.append(1), gone=left)

    asyncio.run(leave())
    held.gate.set()
    held.driver.thread.submit(lambda: None).result(5)
    assert not ran


def test_too_many_requests_are_sent_away(held):
    async def flood():
        waiting = [asyncio.create_task(held.driver.run(lambda: 1)) for _ in range(WAITING)]
        await asyncio.sleep(0.01)
        with pytest.raises(RequestError) as caught:
            await held.driver.run(lambda: 1)
        held.gate.set()
        assert sum(await asyncio.gather(*waiting)) == WAITING
        return caught.value

    assert asyncio.run(flood()).status == 503
    assert held.driver.waiting == 0
