"""Reading vocabularies that are unusual but right."""

import json
from pathlib import Path

import pytest
from tokenizer_peers import load_peers

from glassformer import Tokenizer
from glassformer.tokenizer.byte_alphabet import ALPHABET
from glassformer.tokenizer.vocabulary import read_merges


def folder_of(path: Path, tokens: dict[str, int], merges: str) -> Path:
    (path / "vocab.json").write_text(json.dumps(tokens), encoding="utf8")
    (path / "merges.txt").write_bytes(merges.encode("utf8"))
    return path


@pytest.mark.parametrize(
    "merges",
    [
        "#version: 0.2\na b\nab c\n",
        "a b\nab c",
        "#version: 0.2\r\na b\r\nab c\r\n",
        "\n\na b\n\nab c\n\n\n",
    ],
)
def test_headers_line_ends_and_blank_lines(tmp_path: Path, merges: str) -> None:
    path = tmp_path / "merges.txt"
    path.write_bytes(merges.encode())
    assert read_merges(path) == [("a", "b"), ("ab", "c")]


def test_only_the_first_line_is_a_header(tmp_path: Path) -> None:
    path = tmp_path / "merges.txt"
    path.write_text("#version: 0.2\n#version :\n", encoding="utf8")
    assert read_merges(path) == [("#version", ":")]


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    path = tmp_path / "merges.txt"
    path.write_bytes("a\u2028 b\x0b\n".encode())
    assert read_merges(path) == [("a\u2028", "b\x0b")]


def test_ids_may_have_gaps_and_any_order(tmp_path: Path) -> None:
    tokens = {symbol: 1000 - 3 * number for number, symbol in enumerate(ALPHABET)} | {"ab": 7777}
    tokenizer = Tokenizer.load(folder_of(tmp_path, tokens, "a b\n"))
    assert tokenizer.vocab_size == 7778
    assert tokenizer.decode(tokenizer.encode("cab, ab!")) == "cab, ab!"
    assert tokenizer.encode("ab") == [7777]


def test_a_token_outside_the_byte_alphabet_stands_for_its_text(tmp_path: Path) -> None:
    tokens = {symbol: number for number, symbol in enumerate(ALPHABET)} | {"<begin of 文>": 256}
    tokenizer = Tokenizer.load(folder_of(tmp_path, tokens, ""))
    assert tokenizer.decode([256]) == "<begin of 文>"


ODD_MERGES = {
    "a pair listed twice has the later rank": "a b\nb c\na b\n",
    "a joined symbol occurs in a pair of lower rank": "ab c\nb c\na b\n",
    "two pairs give the same token": "b c\na b\nab c\na bc\n",
    "a token that no merge makes": "a b\n",
    "equal parts": "a a\naa a\naa aa\n",
}


@pytest.mark.parametrize("merges", ODD_MERGES.values(), ids=ODD_MERGES.keys())
def test_odd_merge_lists_as_tokenizers_reads_them(tmp_path: Path, merges: str) -> None:
    extra = ["ab", "bc", "abc", "aa", "aaa", "aaaa"]
    tokens = {symbol: number for number, symbol in enumerate([*ALPHABET, *extra])}
    peers = load_peers(folder_of(tmp_path, tokens, merges))
    for text in ("abc", "abcabc", "aaaa", "aaaaaaa", "aabcc", "bcabab", "abbcaabbcc"):
        assert peers.ours.encode(text) == peers.tokenizers(text), text


def test_missing_bytes_as_tokenizers_reads_them(tmp_path: Path) -> None:
    tokens = {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ã": 4}
    peers = load_peers(folder_of(tmp_path, tokens, "a b\n"))
    for text in ("ab", "a b", "axb", "é", "éa", "xyz", "a1b", "aé b"):
        assert peers.ours.encode(text) == peers.tokenizers(text), text
