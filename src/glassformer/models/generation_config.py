"""A model's own defaults for generation: `generation_config.json`, in its own names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from glassformer.formats.strict_json import JsonError, read_object
from glassformer.models.fields import ConfigError, Fields, TokenIds

MAX_CONFIG_BYTES = 16 << 20
_MAX_COUNT = (1 << 31) - 1
_TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True)
class GenerationConfig:
    """The defaults that a model's authors chose; None where they chose nothing.

    Lengths are in tokens; `max_length` counts the prompt, `max_new_tokens` does not.
    """

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    max_length: int | None = None
    bos_token_id: TokenIds = None
    eos_token_id: TokenIds = None
    pad_token_id: TokenIds = None

    @classmethod
    def from_dict(cls, values: Mapping[str, object], where: str = "generation_config.json") -> Self:
        """The defaults in a parsed generation_config.json; unknown keys are ignored, null means absent.

        Raises:
            ConfigError: fields of a wrong type or range, all listed in one message.
        """
        found = Fields(values)
        config = cls(
            do_sample=None if values.get("do_sample") is None else found.boolean("do_sample", False),
            temperature=found.optional_number("temperature", 0.0),
            top_k=found.optional_integer("top_k", 0, _MAX_COUNT),
            top_p=found.optional_number("top_p", 0.0, 1.0),
            min_p=found.optional_number("min_p", 0.0, 1.0),
            typical_p=found.optional_number("typical_p", 0.0, 1.0),
            repetition_penalty=found.optional_number("repetition_penalty", 0.0),
            max_new_tokens=found.optional_integer("max_new_tokens", 0, _MAX_COUNT),
            max_length=found.optional_integer("max_length", 0, _MAX_COUNT),
            bos_token_id=found.token_ids("bos_token_id"),
            eos_token_id=found.token_ids("eos_token_id"),
            pad_token_id=found.token_ids("pad_token_id"),
        )
        found.raise_problems(where)
        return config

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Every id that ends a text; empty where none is given."""
        ids = self.eos_token_id
        return () if ids is None else ids if isinstance(ids, tuple) else (ids,)


def read_generation_config(folder: str | os.PathLike[str]) -> GenerationConfig:
    """Read `generation_config.json` in a model's folder.

    Where there is none, the token ids of `config.json` count and nothing else, as in transformers.

    Raises:
        ConfigError: the file is not JSON, or holds fields of a wrong type or range.
    """
    path = Path(folder) / "generation_config.json"
    own = path.exists()
    if not own:
        path = path.with_name("config.json")
        if not path.exists():
            return GenerationConfig()
    try:
        values = read_object(path, MAX_CONFIG_BYTES)
    except JsonError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not own:
        values = {key: values[key] for key in _TOKEN_KEYS if key in values}
    return GenerationConfig.from_dict(values, str(path))
