"""The flags of `generate` that name a model's files one by one, and its sizes instead of a config.json.

They are those of the engine that this one continues, so that its command lines work as they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from glassformer.models.config import GPT2Config

Function = TypeVar("Function", bound=Callable[..., Any])

SIZE = click.IntRange(min=1)
# Flag, key of config.json, and its value where the flag is not given: GPT-2 as it was first published (124M).
_SIZES = (
    ("--config-n-layer", "n_layer", 12),
    ("--config-n-head", "n_head", 12),
    ("--config-n-embd", "n_embd", 768),
    ("--config-vocab-size", "vocab_size", 50257),
    ("--config-block-size", "n_positions", 1024),
)
_FILES = (
    ("--model-path", "Weights of a GPT-2 (.safetensors), with the two files and the sizes below."),
    ("--vocab-path", "Its vocabulary (vocab.json)."),
    ("--merges-path", "Its merges (merges.txt)."),
)


def file_options(function: Function) -> Function:
    """All flags of this file."""
    for flag, key, default in reversed(_SIZES):
        function = click.option(flag, type=SIZE, metavar="N", help=f"With --model-path: {key} ({default}).")(function)
    for flag, text in reversed(_FILES):
        function = click.option(flag, metavar="FILE", help=text)(function)
    return function


@dataclass(frozen=True)
class FileFlags:
    """A model given file by file; all None where `--model` or nothing says which."""

    model_path: str | None
    vocab_path: str | None
    merges_path: str | None
    config_n_layer: int | None
    config_n_head: int | None
    config_n_embd: int | None
    config_vocab_size: int | None
    config_block_size: int | None

    @property
    def given(self) -> bool:
        """Whether any of these flags is there."""
        return any(value is not None for value in vars(self).values())

    def paths(self) -> tuple[str, str, str]:
        """Weights, vocabulary and merges.

        Raises:
            click.UsageError: one of the three is missing.
        """
        values = {"--model-path": self.model_path, "--vocab-path": self.vocab_path, "--merges-path": self.merges_path}
        missing = [flag for flag, value in values.items() if not value]
        if missing:
            raise click.UsageError(
                f"a model given by its files needs {', '.join(values)}; {' and '.join(missing)} missing here"
            )
        return self.model_path or "", self.vocab_path or "", self.merges_path or ""

    def config(self, eos_token_id: int | None) -> GPT2Config:
        """The configuration that the flags spell out.

        Raises:
            click.UsageError: sizes that make no model.
        """
        from glassformer.models.config import ConfigError, GPT2Config

        n_layer, n_head, n_embd, vocab_size, n_positions = (
            getattr(self, flag[2:].replace("-", "_")) or default for flag, _, default in _SIZES
        )
        try:
            return GPT2Config(
                n_layer=n_layer,
                n_head=n_head,
                n_embd=n_embd,
                vocab_size=vocab_size,
                n_positions=n_positions,
                bos_token_id=GPT2Config.bos_token_id if eos_token_id is None else eos_token_id,
                eos_token_id=GPT2Config.eos_token_id if eos_token_id is None else eos_token_id,
            )
        except ConfigError as error:
            raise click.UsageError(f"the sizes given as flags: {str(error).removeprefix('GPT2Config: ')}") from error
