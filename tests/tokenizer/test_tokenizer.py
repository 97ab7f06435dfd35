"""The public class: special tokens, decoding, offsets, and what it refuses."""

import json
import operator
from pathlib import Path

import numpy as np
import pytest
from tokenizer_peers import Peers

from glassformer import GlassformerError, Tokenizer
from glassformer.tokenizer.byte_alphabet import ALPHABET

END = "<|endoftext|>"


def write(folder: Path, tokens: list[str], merges: list[str], **files: object) -> Path:
    """A model folder; `files` are further JSON files by name without ending."""
    vocab = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, [*ALPHABET, "ab", "Ġab", END], ["a b", "Ġ ab"])


def test_special_text_is_ordinary_unless_allowed(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    text = f"ab{END} ab"
    ordinary = tokenizer.encode(text)
    assert 258 not in ordinary
    assert tokenizer.decode(ordinary) == text
    assert tokenizer.encode(text, allowed_special={END}) == [256, 258, 257]
    assert tokenizer.encode(text, allowed_special="all") == [256, 258, 257]
    assert tokenizer.encode(END * 2, allowed_special=[END]) == [258, 258]
    assert tokenizer.special_tokens == {END: 258}
    assert tokenizer.vocab_size == 259


def test_allowed_special_agrees_with_tiktoken(trained: Peers) -> None:
    text = f"  {END}\n\n{END}a  {END} <|endof{END}text|>"
    number = trained.ours.id_of(END)
    ids = trained.ours.encode(text, allowed_special="all")
    parts = [trained.tiktoken(part) for part in text.split(END)]
    assert ids == sum(([number, *part] for part in parts[1:]), parts[0])


def test_a_str_as_allowed_special_is_refused(folder: Path) -> None:
    with pytest.raises(GlassformerError, match='a list of texts or "all"'):
        Tokenizer.load(folder).encode("a", allowed_special=END)
    with pytest.raises(GlassformerError, match=r"'<pad>' is no special token .*endoftext"):
        Tokenizer.load(folder).encode("a", allowed_special=["<pad>"])


def test_added_tokens_from_all_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        [*ALPHABET, END, "<s>"],
        [],
        added_tokens={"<tool>": 258, "<tool>x": 259},
        special_tokens_map={"bos_token": {"content": "<s>"}, "pad_token": "<never>"},
        tokenizer_config={"added_tokens_decoder": {"260": {"content": "<é>", "special": True}}},
        tokenizer={"added_tokens": [{"id": 261, "content": "<t>", "special": True}]},
    )
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.special_tokens == {END: 256, "<s>": 257, "<é>": 260, "<t>": 261}
    assert tokenizer.encode("<tool>x<tool>") == [259, 258]  # not special, so always found; the longest first
    assert tokenizer.encode("<s>") == [ALPHABET.index(letter) for letter in "<s>"]
    assert tokenizer.encode("<é>", allowed_special="all") == [260]
    assert tokenizer.decode([260, 261]) == "<é><t>"


def test_from_files(folder: Path) -> None:
    tokenizer = Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt")
    assert tokenizer.encode(" ab") == [257]
    assert tokenizer.special_tokens == {END: 258}
    other = Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", special_tokens={"<x>": 300})
    assert other.encode("<x>ab", allowed_special="all") == [300, 256]
    with pytest.raises(GlassformerError, match=r"special_tokens: .*'<x>' has the id 256, which is that of 'ab'"):
        Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", special_tokens={"<x>": 256})


def test_tokenizer_json_alone(trained: Peers, trained_folder: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    files = (str(trained_folder / name) for name in ("vocab.json", "merges.txt"))
    saved = tokenizers.ByteLevelBPETokenizer(*files)
    saved.add_special_tokens([END])
    saved.save(str(tmp_path / "tokenizer.json"))
    text = "the text\n\t wasn't 12 long"
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode(text) == trained.ours.encode(text)
    assert tokenizer.special_tokens == {END: 0}


def test_decode(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    ids = tokenizer.encode("é ab")
    assert tokenizer.decode(ids) == "é ab"
    assert tokenizer.decode(ids[:1]) == "\ufffd"
    assert tokenizer.decode_bytes(ids[:1]) == b"\xc3"
    assert tokenizer.decode(np.array(ids)) == "é ab"
    assert tokenizer.decode(iter(ids)) == "é ab"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 259], r"token id 259 is not in the vocabulary, whose ids lie from 0 to 258"),
        ([-1], r"token id -1 "),
        ([10**30], r"token id 1000"),
        ([1.0], r"whole number; found 1.0"),
        (["a"], r"whole number; found 'a'"),
        ([None], r"whole number; found None"),
        (np.array([1.5]), r"whole number; found .*1.5"),
    ],
)
def test_ids_that_name_no_token(folder: Path, ids: list[int], message: str) -> None:
    with pytest.raises(GlassformerError, match=message):
        Tokenizer.load(folder).decode(ids)


def test_names_of_tokens(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.id_of(" ab") == 257
    assert tokenizer.id_of(b"\xc3") == ALPHABET.index("Ã")
    assert tokenizer.id_of(END) == 258
    assert tokenizer.token_bytes(257) == b" ab"
    with pytest.raises(GlassformerError, match=r"no token .* ' abc'"):
        tokenizer.id_of(" abc")


def test_batch(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.encode_batch(["ab", "", " ab"]) == [[256], [], [257]]
    assert tokenizer.encode_batch([]) == []
    with pytest.raises(GlassformerError, match="put it in a list"):
        tokenizer.encode_batch("ab")


@pytest.mark.parametrize("text", [b"ab", None, 5, ["ab"]])
def test_text_must_be_str(folder: Path, text: object) -> None:
    with pytest.raises(GlassformerError, match="expected text, a str"):
        operator.methodcaller("encode", text)(Tokenizer.load(folder))


def test_offsets_with_special_tokens(folder: Path) -> None:
    encoding = Tokenizer.load(folder).encode_with_offsets(f"é ab{END}b", allowed_special="all")
    assert encoding.ids[-3:] == [257, 258, ALPHABET.index("b")]
    assert encoding.offsets == [(0, 1), (0, 1), (1, 4), (4, 17), (17, 18)]
    assert encoding.byte_offsets == [(0, 1), (1, 2), (2, 5), (5, 18), (18, 19)]


def test_offsets_skip_bytes_that_the_vocabulary_lacks(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write(tmp_path, ["a", "b", "ab"], ["a b"]))
    encoding = tokenizer.encode_with_offsets("éa.bxxa")
    assert encoding.ids == [0, 1, 0]  # the dot ends a word, so a and b do not meet
    assert encoding.offsets == [(1, 2), (3, 4), (6, 7)]
    assert tokenizer.encode_with_offsets("axb").offsets == [(0, 3)]
    assert tokenizer.encode_with_offsets("").offsets == []


def test_offsets_count_in_the_repaired_text(folder: Path) -> None:
    encoding = Tokenizer.load(folder).encode_with_offsets("\ud83d\ude00\ud800b")
    assert encoding.text == "😀\ufffdb"
    assert encoding.offsets[-1] == (2, 3)


@pytest.mark.parametrize("text", ["ab", " ab", "", "\nab", "é", "a\u3000b", "abab  ab"])
def test_prefix_space_as_tokenizers_puts_it(trained_folder: Path, tmp_path: Path, text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    files = [trained_folder / name for name in ("vocab.json", "merges.txt")]
    theirs = tokenizers.ByteLevelBPETokenizer(*map(str, files), add_prefix_space=True)
    for path in files:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": true}', encoding="utf8")
    ours = Tokenizer.load(tmp_path)
    encoding = ours.encode_with_offsets(text)
    assert encoding.ids == ours.encode(text) == theirs.encode(text).ids
    assert encoding.offsets == theirs.encode(text).offsets
    (tmp_path / "tokenizer_config.json").unlink()
    theirs.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path).encode(text) == encoding.ids
