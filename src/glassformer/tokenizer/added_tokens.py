"""Added tokens: text that stands for one id as a whole and takes no part in byte-pair encoding.

Hugging Face folders name them in up to four files, from the newest form to the oldest: `tokenizer.json`
(`added_tokens`), `tokenizer_config.json` (`added_tokens_decoder`), `added_tokens.json`, and, by text alone,
`special_tokens_map.json` and the `*_token` keys of `tokenizer_config.json`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.model_files import ModelFiles, Table

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class AddedToken:
    """`special` ones are found in text only when the caller allows them; the others always are."""

    text: str
    id: int
    special: bool = True


def find_added_tokens(files: ModelFiles, ids: Mapping[str, int]) -> list[AddedToken]:
    """Added tokens of a model folder whose vocabulary is `ids`; `<|endoftext|>` is one wherever it has an id.

    `TokenizerError` if a file is malformed, or gives a token an id that another file or the vocabulary gives
    otherwise.
    """
    found = checked_tokens(_named_with_ids(files), ids)
    for text in [END_OF_TEXT, *_named_by_text(files)]:
        number = ids.get(text)
        if number is not None:
            found.setdefault(text, AddedToken(text, number))
        elif text in found:
            found[text] = AddedToken(text, found[text].id)
    return list(found.values())


def checked_tokens(named: Iterable[tuple[object, AddedToken]], ids: Mapping[str, int]) -> dict[str, AddedToken]:
    """Added tokens by text, given each with its source; `TokenizerError` if two sources or `ids` contradict."""
    found: dict[str, AddedToken] = {}
    owners = {number: token for token, number in ids.items()}
    for source, token in named:
        _check(token, source, ids, owners)
        found.setdefault(token.text, token)
        owners[token.id] = token.text
    return found


def _check(token: AddedToken, source: object, ids: Mapping[str, int], owners: Mapping[int, str]) -> None:
    if not token.text:
        raise TokenizerError(f"{source}: the added token with id {token.id} has no text")
    if ids.get(token.text, token.id) != token.id:
        raise TokenizerError(
            f"{source}: added token {token.text!r} has the id {token.id}, in the vocabulary it has {ids[token.text]}"
        )
    if owners.get(token.id, token.text) != token.text:
        raise TokenizerError(
            f"{source}: added token {token.text!r} has the id {token.id}, which is that of {owners[token.id]!r}"
        )


def _named_with_ids(files: ModelFiles) -> Iterator[tuple[Path, AddedToken]]:
    """Every token that a file gives an id, with that file."""
    for name, read in (
        ("tokenizer.json", _from_tokenizer_json),
        ("tokenizer_config.json", _from_decoder_table),
        ("added_tokens.json", _from_id_table),
    ):
        for token in read(files.table(name), files.folder / name):
            yield files.folder / name, token


def _from_tokenizer_json(table: Table, path: Path) -> Iterator[AddedToken]:
    entries = table.get("added_tokens") or []
    if not isinstance(entries, list):
        raise TokenizerError(f"{path}: expected added_tokens to be a list, found {type(entries).__name__}")
    for entry in entries:
        fields = _fields(entry, path)
        yield _token(fields.get("content"), fields.get("id"), fields.get("special", False), path)


def _from_decoder_table(table: Table, path: Path) -> Iterator[AddedToken]:
    for key, entry in _fields(table.get("added_tokens_decoder") or {}, path).items():
        fields = _fields(entry, path)
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 12 else key
        yield _token(fields.get("content"), number, fields.get("special", False), path)


def _from_id_table(table: Table, path: Path) -> Iterator[AddedToken]:
    for text, number in table.items():
        yield _token(text, number, False, path)


def _named_by_text(files: ModelFiles) -> Iterator[str]:
    """Texts that a file calls special without giving an id."""
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, value in files.table(name).items():
            if key.endswith("_token") or key == "additional_special_tokens":
                for entry in value if isinstance(value, list) else [value]:
                    text = entry.get("content") if isinstance(entry, dict) else entry
                    if isinstance(text, str):
                        yield text


def _fields(entry: object, path: Path) -> Table:
    if not isinstance(entry, dict):
        raise TokenizerError(f"{path}: expected an object for added tokens, found {type(entry).__name__}")
    return entry


def _token(text: object, number: object, special: object, path: Path) -> AddedToken:
    if not isinstance(text, str) or type(number) is not int or not 0 <= number < 2**31 - 1:
        raise TokenizerError(f"{path}: expected an added token's text and id, found {text!r:.60} and {number!r:.60}")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise TokenizerError(f"{path}: added token {text!r} holds half of a surrogate pair, which is no text")
    return AddedToken(text, number, special is True)
