"""Where a command gets its model from: one place for what `--model` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glassformer.cli.progress import shown_progress
from glassformer.errors import GlassformerError

if TYPE_CHECKING:
    from glassformer.cli.file_flags import FileFlags
    from glassformer.model import Model
    from glassformer.tokenizer.tokenizer import Tokenizer


class FilesError(GlassformerError):
    """Files of a model that do not go together."""


def load_model(model: str | None, dtype: str, threads: int | None, cache_dtype: str = "auto") -> Model:
    """The model with its tokenizer, ready to compute."""
    from glassformer.model import load

    with shown_progress("loading", "bytes") as progress:
        return load(model, dtype=dtype, threads=threads, cache_dtype=cache_dtype, progress=progress)


def load_model_files(
    files: FileFlags, eos_token_id: int | None, dtype: str, threads: int | None, cache_dtype: str = "auto"
) -> Model:
    """A GPT-2 from a weights file, a vocabulary, merges, and sizes from flags.

    Raises:
        click.UsageError: flags missing, or sizes that make no model.
        FilesError: sizes that are not those of the weights.
    """
    (weights, vocabulary, merges), config = files.paths(), files.config(eos_token_id)
    from glassformer.model import Model
    from glassformer.models.config import ConfigError, GenerationConfig
    from glassformer.models.load import read_network
    from glassformer.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_files(vocabulary, merges)
    try:
        with shown_progress("loading", "bytes") as progress:
            network = read_network(
                weights, config, dtype=dtype, threads=threads, cache_dtype=cache_dtype, progress=progress
            )
    except ConfigError as error:
        raise FilesError(f"{error}; give the sizes of these weights with --config-n-layer and its kin") from error
    return Model(network, tokenizer, GenerationConfig())


def load_tokenizer(model: str | None) -> Tokenizer:
    """The tokenizer alone; the weights stay unread."""
    from glassformer.models.locate import locate
    from glassformer.tokenizer.tokenizer import Tokenizer

    return Tokenizer.load(locate(model))
