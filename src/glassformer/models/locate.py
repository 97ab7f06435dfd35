"""What the user calls a model, turned into the folder that holds it."""

import os
from pathlib import Path

from glassformer.formats.sharded import weights_file
from glassformer.formats.strict_json import brief
from glassformer.models.hub import (
    ModelNotFoundError,
    cache_folder,
    cached_snapshot,
    has_hub_client,
    has_vocabulary,
    is_hub_name,
    is_offline,
    pull,
)

__all__ = ["EMBEDDED", "ModelNotFoundError", "locate", "pull"]

EMBEDDED = Path(__file__).parent / "story"
"""The folder of the model that comes inside the package."""


def locate(model: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a model in Hugging Face form.

    Args:
        model: None for the model inside the package; a folder; a .safetensors file or its index, whose folder is
            meant; or a name on the hub (`gpt2`, `owner/model`), which is looked for in the local cache and otherwise
            fetched, if huggingface_hub is installed and not told to stay offline. A path that exists goes first.

    Raises:
        ModelNotFoundError: there is no such model; the message names the cure.
        SafetensorsError: a file is given whose folder holds several weights, so that it is not clear which count.
    """
    if model is None:
        return _embedded()
    path = _path(model)
    if path.is_dir():
        return path
    if path.exists():
        return _folder_of(path)
    name = os.fspath(model)
    if isinstance(model, str) and _may_be_hub_name(name):
        return _from_hub(name)
    raise ModelNotFoundError(f"{name}: no such folder or file; expected a model's folder, or a name on the hub")


def _path(model: str | os.PathLike[str]) -> Path:
    if not isinstance(model, str | os.PathLike) or not isinstance(os.fspath(model), str):
        raise ModelNotFoundError(f"a model is named by a str or a path, found {type(model).__name__}")
    if not os.fspath(model):
        raise ModelNotFoundError("the model's name is empty; expected a folder, a file, or a name on the hub")
    try:
        path = Path(model).expanduser()
    except RuntimeError:  # ~user of a user who does not exist
        path = Path(model)
    try:
        path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise ModelNotFoundError(f"{brief(str(model))}: cannot look there: {error.strerror}") from None
    return path


def _embedded() -> Path:
    if not (EMBEDDED / "config.json").is_file():
        raise ModelNotFoundError(f"{EMBEDDED}: the model of the package is missing; reinstall glassformer")
    return EMBEDDED


def _folder_of(path: Path) -> Path:
    folder = path.parent
    if not path.name.endswith((".safetensors", ".safetensors.index.json")):
        raise ModelNotFoundError(f"{path}: expected a model's folder or a .safetensors file")
    chosen = weights_file(folder)
    if chosen.name != path.name:
        raise ModelNotFoundError(
            f"{path}: its folder's weights are {chosen.name}; give that file, or a folder that holds {path.name} alone"
        )
    return folder


def _may_be_hub_name(name: str) -> bool:
    return is_hub_name(name) and not name.endswith((".safetensors", ".json"))


def _from_hub(name: str) -> Path:
    snapshot = cached_snapshot(name)
    if snapshot is not None and has_vocabulary(snapshot):
        return snapshot
    if has_hub_client() and not is_offline():
        try:
            return pull(name)
        except ModelNotFoundError:
            if snapshot is None:
                raise
    if snapshot is not None:  # its weights are here, and its vocabulary is not to be had: token ids will do
        return snapshot
    if is_offline():
        cure = f"HF_HUB_OFFLINE is set; unset it and run `glassformer pull {name}`"
    else:
        cure = f"run `pip install 'glassformer[hub]'` and `glassformer pull {name}`"
    raise ModelNotFoundError(
        f"{brief(name)} is no folder here, and no whole model of that name is in {cache_folder()}; {cure}"
    )
