"""`glassformer pull` against a server on the loopback interface that plays the hub."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import glassformer

pytest.importorskip("huggingface_hub")

STORY = Path(glassformer.__file__).parent / "models" / "story"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FOREIGN = {"pytorch_model.bin": b"not wanted", "README.md": b"# not wanted"}


@dataclass
class Hub:
    """The fake hub: the files of `tests/story`, and what was asked of it."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fetched(self) -> list[str]:
        """Names of the files whose contents were asked for."""
        return [line.rsplit("/", 1)[1] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    """The hub's two services: what a model consists of, and each file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def answer(self, with_body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[:4] == ["api", "models", "tests", "story"]:
                siblings = [{"rfilename": name} for name in hub.files]
                info = {"id": "tests/story", "modelId": "tests/story", "sha": COMMIT, "siblings": siblings}
                self.reply(json.dumps(info | {"tags": [], "private": False}).encode(), "info", with_body)
            elif parts[:3] == ["tests", "story", "resolve"] and parts[-1] in hub.files:
                data = hub.files[parts[-1]]
                self.reply(data, hashlib.sha256(data).hexdigest(), with_body)
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def reply(self, data: bytes, tag: str, with_body: bool) -> None:
            self.send_response(200)
            for name, value in {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    fake = Hub(files={path.name: path.read_bytes() for path in STORY.iterdir() if path.is_file()} | FOREIGN)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(fake)) as server:
        fake.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture
def pull(process, hub, tmp_path):
    """Run a command line with the fake hub and a cache of its own; the proxy of the machine, if any, stays out."""

    def run(*arguments: str, **env: str):
        here = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1"}
        child = process(*arguments, env={**here, "HF_HUB_OFFLINE": "0", **env})
        out, err = child.communicate(timeout=60)
        return child.returncode, out.decode(), err.decode()

    return run


def test_fetches_the_model_and_nothing_else_and_prints_its_folder(pull, hub, tmp_path):
    code, out, err = pull("pull", "tests/story")
    assert code == 0, err
    folder = Path(out.strip())
    assert folder.is_relative_to(tmp_path / "home")
    assert {path.name for path in folder.iterdir()} == hub.files.keys() - FOREIGN.keys()
    assert (folder / "model.safetensors").read_bytes() == (STORY / "model.safetensors").read_bytes()
    assert not set(hub.fetched()) & FOREIGN.keys()

    hub.requests.clear()
    code, out, err = pull("pull", "tests/story", "--json", "--quiet")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"name": "tests/story", "revision": None, "folder": str(folder)}
    assert hub.fetched() == [], "what is there already is not fetched again"

    hub.requests.clear()
    code, out, err = pull("info", "tests/story", "--no-tensors", "--json", HF_HUB_OFFLINE="1")
    assert code == 0, err
    assert json.loads(out)["parameters"] > 1_000_000
    assert hub.requests == []


def failure(outcome: tuple[int, str, str]) -> str:
    """The one line that a failure says."""
    code, out, err = outcome
    assert (code, out) == (1, "")
    assert err.startswith("glassformer: ")
    assert err.count("\n") == 1
    return err


def test_unknown_model(pull):
    assert "tests/nothing" in failure(pull("pull", "tests/nothing"))


def test_model_without_safetensors(pull, hub):
    del hub.files["model.safetensors"]
    assert "safetensors" in failure(pull("pull", "tests/story"))


def test_offline(pull, hub):
    assert "HF_HUB_OFFLINE" in failure(pull("pull", "tests/story", HF_HUB_OFFLINE="1"))
    assert hub.requests == []


def test_nobody_listens(pull, hub):
    assert "tests/story" in failure(pull("pull", "tests/story", HF_ENDPOINT="http://127.0.0.1:9"))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b/c", "a b", "--", "https://example.org/x"])
def test_what_is_no_name(cli, name):
    outcome = cli("pull", "--", name)
    assert (outcome.code, outcome.out) == (1, "")
    assert "not a name on the hub" in outcome.err


def test_without_the_client(cli, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr("glassformer.models.hub.has_hub_client", lambda: False)
    assert "pip install 'glassformer[hub]'" in cli("pull", "tests/story").err
