"""Where a command gets its model from: one place for what `--model` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassformer.cli.file_flags import FileFlags
    from glassformer.generation.model import Model
    from glassformer.tokenizer.tokenizer import Tokenizer


def load_model(model: str | None, threads: int | None) -> Model:
    """The model with its tokenizer, ready to compute."""
    from glassformer.generation.model import load

    return load(model, threads=threads)


def load_model_files(files: FileFlags, eos_token_id: int | None, threads: int | None) -> Model:
    """A GPT-2 from a weights file, a vocabulary, merges, and sizes from flags."""
    (weights, vocabulary, merges), config = files.paths(), files.config(eos_token_id)
    from glassformer.generation.model import load_files

    return load_files(weights, vocabulary, merges, config, threads=threads)


def load_tokenizer(model: str | None) -> Tokenizer:
    """The tokenizer alone; the weights stay unread."""
    from glassformer.models.locate import locate
    from glassformer.tokenizer.tokenizer import Tokenizer

    return Tokenizer.load(locate(model))
