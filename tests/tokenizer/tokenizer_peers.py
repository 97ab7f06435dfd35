"""What tests compare: our tokenizer and the two reference implementations on the same files, and texts for them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import strategies as st

from glassformer import Tokenizer
from glassformer.tokenizer.bpe import BytePairEncoder
from glassformer.tokenizer.byte_alphabet import unspell

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

SENTENCES = [
    "Once upon a time there was a little fox who didn't know what the river's name was, and she'd ask the old owl.",
    "I'll say we've 12345 reasons; they're 3.14159 good. DON'T SHOUT: it's I'm you'd 'tis.",
    "Żółw wyszedł z łąki, a śnieg padał. Größe, naïve façade, Ελληνικά, русский текст, עברית, العربية, हिन्दी.",
    "日本語の文章と中文文本, 한국어 텍스트。 ½ ² ٣ Ⅷ 𝟘 😀👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 \u00a0\u3000 tab\tnew\n\n  line \r\n",
]


def shared(*parts: str) -> Path:
    """A file beside the checkout; the test is skipped where it is not."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} beside the checkout")
    return path


@dataclass(frozen=True)
class Peers:
    """One vocabulary in three implementations."""

    ours: Tokenizer
    twin: Callable[[str], list[int]]
    tiktoken: Callable[[str], list[int]]
    tokenizers: Callable[[str], list[int]]
    tokenizers_offsets: Callable[[str], list[tuple[int, int]]]

    def assert_equal(self, text: str) -> None:
        """Same ids for one text from all, the readable twin included, and the ids give the text back."""
        ids = self.ours.encode(text)
        assert ids == self.tiktoken(text), ascii(text[:200])
        assert ids == self.tokenizers(text), ascii(text[:200])
        assert ids == self.twin(text), ascii(text[:200])
        assert self.ours.decode(ids) == text


def load_peers(folder: Path) -> Peers:
    """The three implementations on a folder's `vocab.json` and `merges.txt`."""
    tiktoken, tokenizers = pytest.importorskip("tiktoken"), pytest.importorskip("tokenizers")
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf8"))
    special = {token: number for token, number in vocab.items() if token == "<|endoftext|>"}
    ranks = {unspell(token): number for token, number in vocab.items() if token not in special}
    first = tiktoken.Encoding("test", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
    second = tokenizers.ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    ours = Tokenizer.load(folder)
    return Peers(
        ours=ours,
        twin=BytePairEncoder(ours.vocabulary).encode,
        tiktoken=lambda text: first.encode(text, disallowed_special=()),
        tokenizers=lambda text: second.encode(text).ids,
        tokenizers_offsets=lambda text: second.encode(text).offsets,
    )


# Text that is rich in what pre-tokenisation and merging decide on.
PIECES = [*SENTENCES, " ", "  ", "\n", "\t", "\r\n", "'", "'s", "'ll", "'LL", "'re", " '", "a", "aa", "Ab", "1", "²"]
PIECES += ["\x1c", "\x1f", "\x85", "\xa0", "\u180e", "\u200b", "\u2028", "\u3000", "\ufeff", "\ufffd", "\ufffe", "\x00"]
PIECES += ["\u0301", "é", "ſ", "ß", "İ", "ǅ", "ⅷ", "٣", "𝟘", "😀", "\u200d", "\U0010ffff", "<|endoftext|>", "_", "!?"]
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=20).map("".join)
