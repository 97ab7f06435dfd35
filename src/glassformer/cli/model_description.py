"""What the files of a model say about it: the configuration and the list of tensors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassformer.formats.sharded import Weights
    from glassformer.models.config import GPT2Config

# Buffers that some checkpoints carry along; the architecture computes them, so they are no parameters.
_BUFFERS = (".attn.bias", ".attn.masked_bias")


@dataclass(frozen=True)
class Tensor:
    """One tensor as its file declares it; `dtype` is the file format's own name."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Description:
    """A model, undisturbed in its files.

    Attributes:
        name: what the user called it.
        weights: the file or index that lists the tensors.
        architecture: `model_type` of config.json; None without one.
        config: the fields of config.json that the architecture reads, defaults included.
        tensors: in the order of the files.
        packed: how `glassformer quantize` packed the weights; None for weights in Hugging Face form.
        packed_parameters: number of weights that packed tensors stand for.
    """

    name: str
    weights: str
    architecture: str | None
    config: Mapping[str, object]
    tensors: tuple[Tensor, ...]
    packed: str | None = None
    packed_parameters: int | None = None

    @cached_property
    def parameters(self) -> int:
        """Number of weights, those of a tied head counted once."""
        if self.packed_parameters is not None:
            return self.packed_parameters
        unused = (*_BUFFERS, "lm_head.weight") if self.config.get("tie_word_embeddings") else _BUFFERS
        return sum(math.prod(tensor.shape) for tensor in self.tensors if not tensor.name.endswith(unused))

    @cached_property
    def bytes(self) -> int:
        """Size of all tensors in their files."""
        return sum(tensor.bytes for tensor in self.tensors)

    @cached_property
    def dtypes(self) -> dict[str, int]:
        """How many tensors have each element type."""
        return dict(Counter(tensor.dtype for tensor in self.tensors))

    def as_json(self, *, with_tensors: bool) -> dict[str, object]:
        """The object that `info --json` prints."""
        report: dict[str, object] = {
            "model": self.name,
            "weights": self.weights,
            "architecture": self.architecture,
            "packed": self.packed,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "dtypes": self.dtypes,
            "config": dict(self.config),
        }
        return report | ({"tensors": [asdict(tensor) for tensor in self.tensors]} if with_tensors else {})


def describe_model(name: str | None) -> Description:
    """Read the headers of a model: a folder, a weights file, a hub name, or None for the one inside the package."""
    from glassformer.formats.sharded import open_weights
    from glassformer.models.locate import locate

    given = Path(name) if name is not None else None
    place = given if given is not None and given.is_file() else locate(name)
    with open_weights(place) as weights:
        tensors = tuple(
            Tensor(each, weights.dtype(each), weights.shape(each), weights.nbytes(each)) for each in weights
        )
        config = _config(place if place.is_dir() else place.parent, required=place.is_dir())
        packed, parameters = _packed(weights, config)
        architecture, fields = (None, {}) if config is None else (config.model_type, asdict(config))
        return Description(name or "story", str(weights.path), architecture, fields, tensors, packed, parameters)


def _config(folder: Path, *, required: bool) -> GPT2Config | None:
    """What config.json says; a weights file alone may do without."""
    from glassformer.models.config import read_config

    return read_config(folder) if required or (folder / "config.json").exists() else None


def _packed(weights: Weights, config: GPT2Config | None) -> tuple[str | None, int | None]:
    """How weights are packed, and for how many parameters they stand, where that is known."""
    if not weights.is_packed:
        return None, None
    from glassformer.models.config import expected_tensors
    from glassformer.models.packed_weights import tied_as_packed

    shapes = {} if config is None else expected_tensors(tied_as_packed(weights, config))
    return weights.metadata.get("dtype", "unknown"), sum(map(math.prod, shapes.values())) or None
