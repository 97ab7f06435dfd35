"""Reading a JSON file that nobody vouches for."""

import json
from collections import Counter
from pathlib import Path

from glassformer.tokenizer.errors import TokenizerError


def read_text(path: Path) -> str:
    """The file's text, line ends as they are. `TokenizerError` if it is missing, unreadable or not UTF-8."""
    try:
        return path.read_bytes().decode("utf8")
    except FileNotFoundError:
        raise TokenizerError(f"{path}: no such file; the tokenizer needs it") from None
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: expected UTF-8 text, found a wrong byte at offset {error.start}") from None


def read_json_object(path: Path) -> dict[str, object]:
    """The JSON object in a file. `TokenizerError` for anything else, and for a key given twice in one object."""
    try:
        value = json.loads(read_text(path), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except RecursionError:
        raise TokenizerError(f"{path}: JSON nested too deeply") from None
    except ValueError as error:  # malformed JSON, a repeated key, a number of thousands of digits
        raise TokenizerError(f"{path}: expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise TokenizerError(f"{path}: expected a JSON object at top level, found {type(value).__name__}")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Python's parser keeps the last of two equal keys; here the file is refused."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice!r:.80} stands twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
