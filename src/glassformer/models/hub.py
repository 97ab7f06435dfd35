"""Models by their names on the Hugging Face hub: found in the local cache, or fetched into it.

The cache (https://huggingface.co/docs/huggingface_hub/guides/manage-cache) is read without huggingface_hub; fetching
goes through it, and it alone opens connections.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from glassformer.errors import GlassformerError
from glassformer.formats.sharded import INDEX_NAME, SINGLE_NAME, read_weight_map
from glassformer.formats.strict_json import brief

SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}")
_COMMIT = re.compile(r"[0-9A-Za-z_-]{1,64}")
_TRUE = {"1", "ON", "YES", "TRUE"}


class ModelNotFoundError(GlassformerError):
    """A model that is neither here nor to be had; the message says what to do."""


def is_hub_name(name: str) -> bool:
    """Whether a string can be a model's name on the hub: `model` or `owner/model`."""
    return _NAME.fullmatch(name) is not None and "--" not in name and ".." not in name and not name.endswith(".git")


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids fetching."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in _TRUE


def has_hub_client() -> bool:
    """Whether huggingface_hub is installed."""
    return find_spec("huggingface_hub") is not None


def cache_folder() -> Path:
    """Where the hub's models are kept: HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub."""
    environ = os.environ
    general = environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))  # noqa: PTH118  # may be relative to ~
    home = environ.get("HF_HOME", os.path.join(general, "huggingface"))  # noqa: PTH118
    cache = environ.get("HUGGINGFACE_HUB_CACHE", os.path.join(home, "hub"))  # noqa: PTH118
    return Path(os.path.expandvars(environ.get("HF_HUB_CACHE", cache))).expanduser()


def cached_snapshot(name: str, revision: str = "main") -> Path | None:
    """The folder of a model in the local cache, or None if it is not there with its config and all its weights."""
    folder = cache_folder() / f"models--{name.replace('/', '--')}"
    if not _REVISION.fullmatch(revision) or ".." in revision:
        return None
    commit = revision
    reference = folder / "refs" / revision
    if reference.is_file():
        commit = reference.read_text(encoding="utf8", errors="replace").strip()
    snapshot = folder / "snapshots" / commit
    return snapshot if _COMMIT.fullmatch(commit) and _is_whole(snapshot) else None


def pull(name: str, revision: str | None = None, progress: bool = True) -> Path:
    """Fetch a model's configuration, vocabulary and weights, and nothing else, into the local cache.

    Honours HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE. What is there already is not fetched
    again, and where nothing can be fetched, a whole model in the cache will do.

    Args:
        name: `model` or `owner/model`.
        revision: branch, tag or commit; None is the main branch.
        progress: whether huggingface_hub may draw progress bars on stderr.

    Returns:
        The folder with the files.

    Raises:
        ModelNotFoundError: no such model, no weights in safetensors, no connection, or huggingface_hub is missing.
    """
    if not is_hub_name(name):
        raise ModelNotFoundError(f"{brief(name)} is not a name on the hub; expected `model` or `owner/model`")
    offline, installed = is_offline(), has_hub_client()
    snapshot = None if installed and not offline else cached_snapshot(name, revision or "main")
    if snapshot is not None:
        return snapshot
    if offline:
        raise ModelNotFoundError(f"cannot fetch {name}: HF_HUB_OFFLINE is set; unset it, or give a folder")
    if not installed:
        raise ModelNotFoundError(f"cannot fetch {name}: run `pip install 'glassformer[hub]'`, then try again")
    hub: Any = import_module("huggingface_hub")
    with _failures_of(name), _progress_bars(progress):
        return _fetch(hub, name, revision)


def _fetch(hub: Any, name: str, revision: str | None) -> Path:
    endpoint = os.environ.get("HF_ENDPOINT") or None
    cache = cache_folder()

    def fetch(file: str) -> Path:
        path = hub.hf_hub_download(name, file, revision=revision, cache_dir=cache, endpoint=endpoint)
        return Path(path)

    info = hub.HfApi(endpoint=endpoint).model_info(name, revision=revision)
    there = {each.rfilename for each in info.siblings}
    weights = next((file for file in (SINGLE_NAME, INDEX_NAME) if file in there), None)
    if weights is None or "config.json" not in there:
        raise ModelNotFoundError(
            f"{name} has no {SINGLE_NAME} with config.json; found {brief(sorted(there))}: choose a model in safetensors"
        )
    for file in SMALL_FILES:
        if file in there:
            fetch(file)
    path = fetch(weights)
    if weights == INDEX_NAME:
        for shard in sorted(set(read_weight_map(path).values())):
            fetch(shard)
    return path.parent


def has_vocabulary(folder: Path) -> bool:
    """Whether a model's folder holds a vocabulary in one of the forms that are fetched."""
    return (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in SMALL_FILES[2:4])


def _is_whole(snapshot: Path) -> bool:
    if not (snapshot / "config.json").is_file():
        return False
    if (snapshot / SINGLE_NAME).is_file():
        return True
    index = snapshot / INDEX_NAME
    return index.is_file() and all((snapshot / shard).is_file() for shard in read_weight_map(index).values())


@contextmanager
def _failures_of(name: str) -> Iterator[None]:
    """Turn whatever the client raises into one line that says what to do."""
    try:
        yield
    except GlassformerError:
        raise
    except Exception as error:  # the client lets exceptions of whichever HTTP library it uses through
        raise ModelNotFoundError(f"cannot fetch {name}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if "GatedRepoError" in kinds:
        return f"its owner asks for consent: accept the terms at {endpoint} and set HF_TOKEN"
    if "RevisionNotFoundError" in kinds:
        return "the hub has no such revision of it; check the branch, tag or commit"
    if "RepositoryNotFoundError" in kinds:
        return f"{endpoint} has no such model, or it is private (then set HF_TOKEN); check the name"
    if "OfflineModeIsEnabled" in kinds:
        return "HF_HUB_OFFLINE is set; unset it, or give a folder"
    first = str(error).strip().splitlines()
    return f"{first[0] if first else type(error).__name__}; is {endpoint} within reach?"


@contextmanager
def _progress_bars(wanted: bool) -> Iterator[None]:
    """Keep the client's progress bars off stderr where they are not wanted."""
    utils: Any = import_module("huggingface_hub.utils")
    if wanted or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
