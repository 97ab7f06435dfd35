"""The public tokenizer: text to ids and back, with special tokens and offsets."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from operator import index
from pathlib import Path
from typing import Literal, Protocol

from glassformer.tokenizer.added_tokens import END_OF_TEXT, AddedToken, checked_tokens, find_added_tokens
from glassformer.tokenizer.encoding import Encoding, byte_places, token_spans
from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.fast import FastEncoder
from glassformer.tokenizer.model_files import ModelFiles
from glassformer.tokenizer.stream import Detokenizer
from glassformer.tokenizer.tokenizer_json import read_tokenizer_json, wants_prefix_space
from glassformer.tokenizer.vocabulary import Vocabulary, build_vocabulary, read_merges, read_vocab

AllowedSpecial = Collection[str] | Literal["all"]


class Encoder(Protocol):
    """Ordinary text to ids: the readable twin `BytePairEncoder`, or the compiled `FastEncoder`."""

    def encode(self, text: str) -> list[int]: ...


class Tokenizer:
    """GPT-2's byte-level BPE: the same ids as `tiktoken` and Hugging Face's `tokenizers`, on any text.

    No special tokens are added to a text. Where the folder's files ask for `add_prefix_space`, ordinary text gets a
    space before it unless it begins with one. Safe to use from several threads at once.
    """

    def __init__(
        self, vocabulary: Vocabulary, encoder: Encoder | None = None, *, add_prefix_space: bool = False
    ) -> None:
        self.vocabulary = vocabulary
        self.add_prefix_space = add_prefix_space
        self._encoder = encoder or FastEncoder(vocabulary)
        self._tokens = vocabulary.tokens

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Tokenizer":
        """Read a model folder: `vocab.json` with `merges.txt`, or else `tokenizer.json`; and its added tokens.

        `TokenizerError` if a file is missing or malformed, with the file and what was expected.
        """
        files = ModelFiles(Path(folder))
        if files.has("tokenizer.json") and not files.has("vocab.json"):
            source = files.folder / "tokenizer.json"
            ids, pairs = read_tokenizer_json(files)
        else:
            source = files.folder / "merges.txt"
            ids, pairs = read_vocab(files.folder / "vocab.json"), read_merges(source)
        vocabulary = build_vocabulary(ids, pairs, find_added_tokens(files, ids), str(source))
        return cls(vocabulary, add_prefix_space=wants_prefix_space(files))

    @classmethod
    def from_files(
        cls,
        vocab: str | os.PathLike[str],
        merges: str | os.PathLike[str],
        special_tokens: Mapping[str, int] | None = None,
    ) -> "Tokenizer":
        """Read two files by name. `special_tokens`: text -> id; by default `<|endoftext|>` if the vocabulary has it."""
        ids = read_vocab(Path(vocab))
        if special_tokens is None:
            special_tokens = {END_OF_TEXT: ids[END_OF_TEXT]} if END_OF_TEXT in ids else {}
        named = [("special_tokens", AddedToken(text, number)) for text, number in special_tokens.items()]
        added = checked_tokens(named, ids).values()
        return cls(build_vocabulary(ids, read_merges(Path(merges)), added, str(merges)))

    @property
    def vocab_size(self) -> int:
        """The highest id plus one, added tokens included."""
        return self.vocabulary.size

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """Text -> id of the special tokens."""
        return {token.text: token.id for token in self.vocabulary.added.values() if token.special}

    @cached_property
    def longest_token(self) -> int:
        """Bytes of the longest token: a text has at least as many tokens as this goes into its bytes."""
        return max(map(len, self._tokens.values()), default=1)

    def encode(self, text: str, allowed_special: AllowedSpecial = ()) -> list[int]:
        """Ids of a text.

        The text of a special token is ordinary text unless `allowed_special` names it (or is `"all"`). Halves of
        surrogate pairs, which UTF-8 cannot hold, are joined where two make a pair and else read as U+FFFD.
        """
        ids: list[int] = []
        for part in self._parts(whole_characters(text), allowed_special):
            if isinstance(part, str):
                ids += self._encoder.encode(self._prefix(part) + part)
            else:
                ids.append(part.id)
        return ids

    def _prefix(self, part: str) -> str:
        return " " if self.add_prefix_space and part and part[0] != " " else ""

    def encode_batch(self, texts: Iterable[str], allowed_special: AllowedSpecial = ()) -> list[list[int]]:
        """Ids of each text, as `encode` gives them."""
        if isinstance(texts, str):
            raise TokenizerError("encode_batch expects several texts, found one str; put it in a list")
        return [self.encode(text, allowed_special) for text in texts]

    def encode_with_offsets(self, text: str, allowed_special: AllowedSpecial = ()) -> Encoding:
        """Ids, and for each the range of characters and of UTF-8 bytes that it stands for."""
        text = whole_characters(text)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        position = 0
        for part in self._parts(text, allowed_special):
            data = (part if isinstance(part, str) else part.text).encode("utf8")
            if isinstance(part, str):
                prefix = self._prefix(part)
                ids += (new := self._encoder.encode(prefix + part))
                places = byte_places(data, self.vocabulary.byte_ids, position, prefix)
                spans += token_spans(places, [len(self._tokens[number]) for number in new])
            else:
                ids.append(part.id)
                spans.append((position, position + len(data)))
            position += len(data)
        return Encoding.from_byte_offsets(ids, text, spans)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that form no character become U+FFFD. `TokenizerError` for ids that name no token."""
        return self.decode_bytes(ids).decode("utf8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids, joined. `TokenizerError` for ids that name no token."""
        tokens = self._tokens
        ids = ids if isinstance(ids, (list, tuple)) else list(ids)
        try:
            return b"".join([tokens[number] for number in map(index, ids)])
        except (KeyError, TypeError):
            return b"".join([self.token_bytes(number) for number in ids])

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one id stands for. `TokenizerError` if it names no token."""
        try:
            return self._tokens[index(token_id)]
        except TypeError:
            raise TokenizerError(f"expected a token id, a whole number; found {token_id!r:.80}") from None
        except KeyError:
            message = f"token id {token_id} is not in the vocabulary, whose ids lie from 0 to {self.vocab_size - 1}"
            raise TokenizerError(message) from None

    def id_of(self, token: str | bytes) -> int:
        """The id of the token that stands for exactly this text or these bytes. `TokenizerError` if there is none."""
        if isinstance(token, str) and token in self.vocabulary.added:
            return self.vocabulary.added[token].id
        data = token.encode("utf8", errors="surrogatepass") if isinstance(token, str) else token
        if data not in self._ids_by_bytes:
            raise TokenizerError(f"no token of the vocabulary stands for {token!r:.80}; encode() gives several ids")
        return self._ids_by_bytes[data]

    def stream(self) -> Detokenizer:
        """A detokeniser that takes ids one by one and gives text in whole characters."""
        return Detokenizer(self.token_bytes)

    @cached_property
    def _ids_by_bytes(self) -> dict[bytes, int]:
        # Reversed, so that of two tokens that stand for the same bytes the first one counts.
        return {data: number for number, data in reversed(self._tokens.items())}

    def _parts(self, text: str, allowed_special: AllowedSpecial) -> Iterator[str | AddedToken]:
        """Ordinary text and the added tokens between, in order."""
        found = self._matched(allowed_special)
        if not found:
            yield text
            return
        for place, part in enumerate(_any_of(tuple(found)).split(text)):
            if place % 2:
                yield found[part]
            elif part:
                yield part

    def _matched(self, allowed_special: AllowedSpecial) -> Mapping[str, AddedToken]:
        """The added tokens that are to be found in text."""
        added = self.vocabulary.added
        if allowed_special == "all":
            return added
        if isinstance(allowed_special, str):
            raise TokenizerError(f'allowed_special expects a list of texts or "all", found {allowed_special!r:.60}')
        if not added and not allowed_special:
            return added
        unknown = sorted(set(allowed_special) - self.special_tokens.keys())
        if unknown:
            known = sorted(self.special_tokens)
            raise TokenizerError(f"{unknown[0]!r} is no special token of this vocabulary, which has {known!r:.200}")
        return {text: token for text, token in added.items() if not token.special or text in allowed_special}


@lru_cache(maxsize=16)
def _any_of(texts: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern that captures the leftmost of some texts, the longest where several begin."""
    return re.compile("(" + "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) + ")")


def whole_characters(text: str) -> str:
    """The text with lone surrogates as tiktoken reads them: a pair is joined, a half alone becomes U+FFFD."""
    if not isinstance(text, str):
        raise TokenizerError(f"expected text, a str; found {type(text).__name__}")
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
