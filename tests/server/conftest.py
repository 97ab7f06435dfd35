"""The application over the embedded model, and one run of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from inspect_client import TEXT, Client

import glassformer
from glassformer.model import Model


@pytest.fixture(scope="session")
def story() -> Model:
    """The embedded model."""
    return glassformer.load()


@pytest.fixture(scope="module")
def server(story: Model) -> Iterator[Any]:
    """The whole interface over it, on a port."""
    from openai_server import running

    with running(story) as found:
        yield found


@pytest.fixture(scope="session")
def client(story: Model) -> Client:
    """Requests to a server over it."""
    from glassformer.server.app import inspect_app
    from glassformer.server.inspect.session import Session

    return Client(inspect_app(Session(story, "story")))


@pytest.fixture(scope="session")
def run(client: Client) -> Any:
    """A text that was run."""
    answer = client.post("/api/inspect/runs", {"text": TEXT})
    assert answer.status == 200, answer.body
    return answer.json


@pytest.fixture(scope="session")
def edited(client: Client, run: Any) -> Callable[..., Any]:
    """Runs the text with changes, and gives what the server says of the interventions and of the run."""

    def with_changes(*changes: dict[str, Any], other: str | None = None) -> Any:
        body = {"run": run["run"], "changes": list(changes)} | ({} if other is None else {"other": other})
        made = client.post("/api/inspect/interventions", body)
        assert made.status == 200, made.body
        answer = client.post("/api/inspect/runs", {"ids": run["ids"], "interventions": made.json["interventions"]})
        assert answer.status == 200, answer.body
        assert client.post("/api/inspect/runs", body).json["run"] == answer.json["run"]
        return made.json, answer.json

    return with_changes
