"""Finding models: inside the package, in folders, in the hub's cache, and from a server that plays the hub."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import COMMIT, HubServer, serve_hub

from glassformer.formats.safetensors import SafetensorsError, save_safetensors
from glassformer.models import hub, locate
from glassformer.models.hub import ModelNotFoundError, cache_folder, cached_snapshot, is_hub_name, pull

NAME = "owner/tiny-model"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, offline, so that no test leaves this machine unless it asks its own server."""
    for key in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hf" / "hub"


def model_files(tmp_path: Path, shards: int = 0) -> dict[str, bytes]:
    """The files of a model folder on the hub, those that nobody needs included."""
    names = [f"model-{i}.safetensors" for i in range(shards)] or ["model.safetensors"]
    files = {name: json.dumps({name: 0}).encode() for name in ("config.json", "vocab.json", "tokenizer_config.json")}
    files |= {"merges.txt": b"#version: 0.2\n", "README.md": b"# hi", "pytorch_model.bin": b"x" * 1000}
    for name in names:
        save_safetensors(tmp_path / name, {name: np.zeros(3, np.float32)})
        files[name] = (tmp_path / name).read_bytes()
    if shards:
        files["model.safetensors.index.json"] = json.dumps({"weight_map": {name: name for name in names}}).encode()
    return files


def fill_cache(cache: Path, files: dict[str, bytes], commit: str = COMMIT) -> Path:
    folder = cache / "models--owner--tiny-model"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)
    return snapshot


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching is allowed; tests say from where."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # read once, when it was imported


@pytest.fixture
def server(tmp_path: Path, online: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serve_hub(NAME, model_files(tmp_path)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_nothing_means_the_embedded_model() -> None:
    if not (locate.EMBEDDED / "config.json").is_file():
        with pytest.raises(ModelNotFoundError, match="reinstall"):
            locate.locate()
    else:
        assert locate.locate() == locate.locate(None) == locate.EMBEDDED


def test_folder_file_and_index_give_the_folder(tmp_path: Path) -> None:
    for shards in (0, 2):
        folder = tmp_path / f"with{shards}"
        folder.mkdir()
        for name, content in model_files(tmp_path, shards).items():
            (folder / name).write_bytes(content)
        weights = "model.safetensors.index.json" if shards else "model.safetensors"
        assert locate.locate(folder) == locate.locate(str(folder)) == locate.locate(folder / weights) == folder


def test_file_that_its_folder_would_not_load_is_refused(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "other.safetensors", {})
    assert locate.locate(tmp_path / "other.safetensors") == tmp_path
    save_safetensors(tmp_path / "model.safetensors", {})
    with pytest.raises(ModelNotFoundError, match=r"folder's weights are model\.safetensors"):
        locate.locate(tmp_path / "other.safetensors")
    (tmp_path / "model.safetensors").rename(tmp_path / "another.safetensors")
    with pytest.raises(SafetensorsError, match=r"found .*another"):
        locate.locate(tmp_path / "other.safetensors")


def test_what_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    wrong = {
        "": "empty",
        "./nowhere": "no such folder",
        "a/b/c": "no such folder",
        "missing.safetensors": "no such folder",
        "../owner/model": "no such folder",
        "~nobody-of-that-name/model": "no such folder",
        "nul\0": "no such folder",
        str(tmp_path / "notes.txt"): "expected a model's folder or a .safetensors file",
        "owner/model": "HF_HUB_OFFLINE is set.*glassformer pull owner/model",
    }
    for model, message in wrong.items():
        with pytest.raises(ModelNotFoundError, match=message):
            locate.locate(model)


@pytest.mark.parametrize("model", [5, b"folder", "a" * 5000], ids=["number", "bytes", "too long"])
def test_what_cannot_be_a_name_is_the_same_error(model: object) -> None:
    with pytest.raises(ModelNotFoundError):
        locate.locate(model)  # type: ignore[arg-type]


def test_without_the_client_the_cure_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(locate, "has_hub_client", lambda: False)
    with pytest.raises(ModelNotFoundError, match=r"pip install 'glassformer\[hub\]'` and `glassformer pull gpt2"):
        locate.locate("gpt2")
    monkeypatch.setattr(hub, "has_hub_client", lambda: False)
    with pytest.raises(ModelNotFoundError, match=r"pip install 'glassformer\[hub\]'"):
        pull("gpt2")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "hf" / "hub"
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", str(tmp_path / "old"))
    assert cache_folder() == tmp_path / "old"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "new"))
    assert cache_folder() == tmp_path / "new"
    for key in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(key)
    assert cache_folder() == Path.home() / ".cache" / "huggingface" / "hub"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "huggingface" / "hub"


@pytest.mark.parametrize("shards", [0, 3])
def test_cached_model_is_found_without_the_client(
    shards: int, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "has_hub_client", lambda: False)
    snapshot = fill_cache(own_cache, model_files(tmp_path, shards))
    assert locate.locate(NAME) == snapshot
    assert cached_snapshot(NAME, COMMIT) == snapshot
    assert cached_snapshot(NAME, "other") is None
    assert cached_snapshot(NAME, "../../x") is None
    last = sorted(snapshot.glob("*.safetensors"))[-1]
    last.unlink()
    assert cached_snapshot(NAME) is None


def test_pull_of_what_is_here_needs_no_connection(own_cache: Path, tmp_path: Path) -> None:
    snapshot = fill_cache(own_cache, model_files(tmp_path))
    assert pull(NAME) == pull(NAME, revision=COMMIT) == snapshot
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
        pull(NAME, revision="other")


def test_cache_reference_cannot_lead_outside(own_cache: Path, tmp_path: Path) -> None:
    snapshot = fill_cache(own_cache, model_files(tmp_path))
    (own_cache / "models--owner--tiny-model" / "refs" / "main").write_text(f"../snapshots/{snapshot.name}")
    assert cached_snapshot(NAME) is None


def test_names_on_the_hub() -> None:
    good = ["gpt2", "a", "openai-community/gpt2", "o_w/m.x-1"]
    bad = ["", "/", "a/", "/a", "a/b/c", "a..b", "a--b", "-a", "a.git", "a b", "é", "a\n", "x" * 97, "..", "~/a"]
    assert [name for name in good if not is_hub_name(name)] == []
    assert [name for name in bad if is_hub_name(name)] == []
    with pytest.raises(ModelNotFoundError, match="not a name on the hub"):
        pull("../etc")


def test_pull_fetches_what_is_needed_and_once(server: HubServer, own_cache: Path) -> None:
    folder = pull(NAME, progress=False)
    assert folder == own_cache / "models--owner--tiny-model" / "snapshots" / COMMIT
    needed = {"config.json", "vocab.json", "merges.txt", "tokenizer_config.json", "model.safetensors"}
    assert {path.name for path in folder.iterdir()} == server.fetched() == needed
    assert all((folder / name).read_bytes() == server.files[name] for name in needed)
    assert cached_snapshot(NAME) == folder
    server.requests.clear()
    assert pull(NAME, progress=False) == folder
    assert server.fetched() == set()
    server.requests.clear()
    assert locate.locate(NAME) == folder
    assert server.requests == []


def test_pull_fetches_every_shard(server: HubServer, tmp_path: Path) -> None:
    server.files = model_files(tmp_path, shards=3)
    assert locate.locate(NAME) == cached_snapshot(NAME)
    assert {f"model-{i}.safetensors" for i in range(3)} <= server.fetched()
    assert "pytorch_model.bin" not in server.fetched()


def test_cached_weights_without_vocabulary_are_completed(server: HubServer, own_cache: Path, tmp_path: Path) -> None:
    files = model_files(tmp_path)
    snapshot = fill_cache(own_cache, {name: files[name] for name in ("config.json", "model.safetensors")})
    assert locate.locate(NAME) == snapshot
    assert (snapshot / "vocab.json").is_file()


def test_pull_failures_say_what_to_do(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no such model.*check the name"):
        pull("owner/other", progress=False)
    del server.files["model.safetensors"]
    with pytest.raises(ModelNotFoundError, match=r"no model\.safetensors.*pytorch_model\.bin"):
        pull(NAME, progress=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
        pull(NAME, progress=False)


@pytest.mark.usefixtures("online")
def test_no_connection_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelNotFoundError, match=r"cannot fetch gpt2: .*is http://127\S* within reach") as error:
        locate.locate("gpt2")
    assert "\n" not in str(error.value)
