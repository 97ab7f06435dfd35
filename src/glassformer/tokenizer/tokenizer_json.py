"""Reading `tokenizer.json`, the one-file form in which Hugging Face's `tokenizers` saves a tokenizer."""

from pathlib import Path

from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.model_files import ModelFiles, Table
from glassformer.tokenizer.vocabulary import check_ids


def read_tokenizer_json(files: ModelFiles) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Ids and merges of a byte-level BPE `tokenizer.json`.

    `TokenizerError` if it is malformed, or if it describes a tokenizer that would give other ids than GPT-2's
    pre-tokenisation and plain byte-level BPE.
    """
    path, root = files.folder / "tokenizer.json", files.table("tokenizer.json")
    model = root.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise TokenizerError(f"{path}: expected a model of type BPE; no other kind of tokenizer is supported")
    _check_pipeline(root, path)
    _check_model(model, path)
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise TokenizerError(f"{path}: expected model.vocab, an object, and model.merges, a list")
    return check_ids(vocab, str(path)), [_pair(entry, path) for entry in merges]


def _check_pipeline(root: Table, path: Path) -> None:
    """Only GPT-2's pipeline: no normaliser, and the ByteLevel pre-tokeniser with its own pattern."""
    if root.get("normalizer") is not None:
        raise TokenizerError(f"{path}: a normalizer is not supported; GPT-2's tokenizer has none")
    splitter = root.get("pre_tokenizer")
    if not isinstance(splitter, dict) or splitter.get("type") != "ByteLevel" or not splitter.get("use_regex", True):
        raise TokenizerError(f"{path}: expected GPT-2's pre_tokenizer ByteLevel, found {splitter!r:.120}")


def _check_model(model: dict[str, object], path: Path) -> None:
    for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(name) and not (name == "unk_token" and model.get(name) in _table(model)):
            raise TokenizerError(f"{path}: model.{name} is {model[name]!r:.60}; GPT-2's tokenizer has none")
    if model.get("ignore_merges"):
        raise TokenizerError(f"{path}: model.ignore_merges is not supported")


def _table(model: dict[str, object]) -> dict[str, object]:
    vocab = model.get("vocab")
    return vocab if isinstance(vocab, dict) else {}


def _pair(entry: object, path: Path) -> tuple[str, str]:
    """Older files write `"a b"`, newer ones `["a", "b"]`."""
    parts = entry.split(" ") if isinstance(entry, str) else entry
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
        raise TokenizerError(f"{path}: expected a merge of two tokens, found {entry!r:.80}")
    return parts[0], parts[1]


def wants_prefix_space(files: ModelFiles) -> bool:
    """Whether `tokenizer_config.json`, or else `tokenizer.json`, asks for a space before the text."""
    settings = files.table("tokenizer_config.json")
    if "add_prefix_space" not in settings:
        splitter = files.table("tokenizer.json").get("pre_tokenizer")
        settings = splitter if isinstance(splitter, dict) else {}
    return settings.get("add_prefix_space") is True
