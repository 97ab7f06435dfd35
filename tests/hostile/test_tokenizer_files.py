"""Tokenizer files that must be refused: one error of ours, which names the file and what is wrong."""

import json
from pathlib import Path

import pytest

from glassformer import GlassformerError, Tokenizer
from glassformer.tokenizer.byte_alphabet import ALPHABET

GOOD_MERGES = "#version: 0.2\na b\n"
TOKENS = {token: number for number, token in enumerate([*ALPHABET, "ab"])}
GOOD_VOCAB = json.dumps(TOKENS).encode()


def load(folder: Path, vocab: bytes | None = GOOD_VOCAB, merges: bytes | None = GOOD_MERGES.encode()) -> Tokenizer:
    for name, content in (("vocab.json", vocab), ("merges.txt", merges)):
        if content is not None:
            (folder / name).write_bytes(content)
    return Tokenizer.load(folder)


VOCABULARIES = {
    "empty": (b"", "expected a JSON object"),
    "cut": (b'{"a": 1', "expected a JSON object"),
    "list": (b"[1]", "found list"),
    "number": (b"5", "found int"),
    "no tokens": (b"{}", "holds no tokens"),
    "trailing": (b'{"a": 1} x', "Extra data"),
    "not UTF-8": (b'{"\xff": 1}', "wrong byte at offset 2"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "wrong byte at offset 0"),
    "duplicate key": (b'{"a": 1, "a": 1}', "'a' stands twice"),
    "text id": (b'{"a": "1"}', "'a' has the id '1'"),
    "float id": (b'{"a": 1.0}', "has the id 1.0"),
    "boolean id": (b'{"a": true}', "has the id True"),
    "null id": (b'{"a": null}', "has the id None"),
    "nested id": (b'{"a": {"a": 1}}', "has the id"),
    "negative id": (b'{"a": -1}', "has the id -1"),
    "huge id": (b'{"a": 2147483647}', "has the id 2147483647; expected 0 to 2147483646"),
    "endless id": (b'{"a": ' + b"9" * 5000 + b"}", "expected a JSON object"),
    "not a number": (b'{"a": NaN}', "NaN is not JSON"),
    "infinity": (b'{"a": 1e400}', "has the id inf"),
    "shared id": (b'{"a": 1, "b": 1}', "'a' and 'b' share the id 1"),
    "half a surrogate pair": (rb'{"\ud800": 1}', "half of a surrogate pair"),
    "deep": (b'{"a":' * 100_000, "nested too deeply|expected a JSON object"),
}


@pytest.mark.parametrize(("content", "message"), VOCABULARIES.values(), ids=VOCABULARIES.keys())
def test_bad_vocabularies(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(GlassformerError, match=rf"vocab\.json: .*({message})"):
        load(tmp_path, vocab=content)


MERGES = {
    "none for joined tokens": (b"#version: 0.2\n", "no merges, but the vocabulary has joined tokens such as 'ab'"),
    "nothing": (b"", "no merges, but"),
    "one token": (b"a\n", r"line 1: expected two tokens and a space between, found 'a'"),
    "three tokens": (b"#version: 0.2\na b c\n", "line 2: expected two tokens"),
    "leading space": (b" b\n", "line 1: expected two tokens"),
    "trailing space": (b"a \n", "line 1: expected two tokens"),
    "tab": (b"a\tb\n", "line 1: expected two tokens"),
    "header in the middle": (b"a b\n#version: 0.2\n", "no token '#version:'"),
    "unknown part": (b"a b\na xyz\n", "merge 1, 'a' [+] 'xyz': the vocabulary has no token 'xyz'"),
    "unknown result": (b"a c\n", "the vocabulary has no token 'ac'"),
    "not UTF-8": (b"a \xff\n", "wrong byte at offset 2"),
    "not merges": (b"\x7fELF\x00\x00", "expected"),
}


@pytest.mark.parametrize(("content", "message"), MERGES.values(), ids=MERGES.keys())
def test_bad_merges(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(GlassformerError, match=rf"merges\.txt: .*{message}"):
        load(tmp_path, merges=content)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(GlassformerError, match=r"vocab\.json: no such file"):
        Tokenizer.load(tmp_path)
    with pytest.raises(GlassformerError, match=r"nowhere.*vocab\.json: no such file"):
        Tokenizer.load(tmp_path / "nowhere")
    with pytest.raises(GlassformerError, match=r"merges\.txt: no such file"):
        load(tmp_path, merges=None)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "merges.txt").mkdir()
    with pytest.raises(GlassformerError, match=r"merges\.txt: cannot be read"):
        load(tmp_path, merges=None)


ADDED = {
    "another id in the vocabulary": ("added_tokens.json", {"ab": 3}, "'ab' has the id 3, in the vocabulary it has 256"),
    "an id that is taken": ("added_tokens.json", {"<x>": 3}, "'<x>' has the id 3, which is that of"),
    "two for one id": ("added_tokens.json", {"<x>": 300, "<y>": 300}, "'<y>' has the id 300, which is that of '<x>'"),
    "no text": ("added_tokens.json", {"": 300}, "id 300 has no text"),
    "text id": ("added_tokens.json", {"<x>": "300"}, "'<x>' and '300'"),
    "negative": ("added_tokens.json", {"<x>": -300}, "-300"),
    "surrogate": ("added_tokens.json", {"\ud800": 300}, "surrogate"),
    "a list": ("added_tokens.json", [], "found list"),
    "decoder list": ("tokenizer_config.json", {"added_tokens_decoder": [1]}, "found list"),
    "decoder key": ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "y"}}}, "'y' and 'x'"),
    "decoder entry": ("tokenizer_config.json", {"added_tokens_decoder": {"300": 5}}, "found int"),
    "object for list": ("tokenizer.json", {"added_tokens": {"a": 1}}, "to be a list, found dict"),
}


@pytest.mark.parametrize(("name", "content", "message"), ADDED.values(), ids=ADDED.keys())
def test_bad_added_tokens(tmp_path: Path, name: str, content: object, message: str) -> None:
    (tmp_path / name).write_text(json.dumps(content), encoding="utf8")
    with pytest.raises(GlassformerError, match=rf"{name}: .*{message}".replace(".json", r"\.json")):
        load(tmp_path)


MODEL = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
GPT2_FORM = {"pre_tokenizer": {"type": "ByteLevel"}, "model": MODEL}
PIPELINES = {
    "no model": ({"model": None}, "a model of type BPE"),
    "word pieces": ({"model": {"type": "WordPiece"}}, "a model of type BPE"),
    "normalizer": ({"normalizer": {"type": "NFC"}}, "a normalizer is not supported"),
    "no pre-tokenizer": ({"pre_tokenizer": None}, "pre_tokenizer ByteLevel"),
    "metaspace": ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer ByteLevel"),
    "no pattern": ({"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}}, "pre_tokenizer ByteLevel"),
    "dropout": ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}, "dropout is 0.1"),
    "no merges": ({"model": {"vocab": {"a": 0}}}, "model.merges, a list"),
    "merge of three": ({"model": {"vocab": {"a": 0}, "merges": [["a", "b", "c"]]}}, "a merge of two tokens"),
    "merge of numbers": ({"model": {"vocab": {"a": 0}, "merges": [[1, 2]]}}, "a merge of two tokens"),
    "unknown part": ({"model": {"vocab": {"a": 0}, "merges": ["a b"]}}, "no token 'b'"),
}


@pytest.mark.parametrize(("changes", "message"), PIPELINES.values(), ids=PIPELINES.keys())
def test_tokenizer_json_of_another_kind(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    content = GPT2_FORM | changes
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf8")
    with pytest.raises(GlassformerError, match=rf"tokenizer\.json: .*{message}"):
        Tokenizer.load(tmp_path)


def test_the_form_that_those_change_is_good(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(GPT2_FORM), encoding="utf8")
    assert Tokenizer.load(tmp_path).encode("aab") == [0, 2]
