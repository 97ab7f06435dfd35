"""Ids to text as they come, in whole characters."""

import codecs
from collections.abc import Callable


class Detokenizer:
    """Turns a stream of ids into a stream of text; the pieces joined are what `Tokenizer.decode` gives for all ids.

    A token may end inside a character: those bytes wait for the next token. Bytes that cannot become a character turn
    into U+FFFD as soon as that is certain.
    """

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The text that this id completes; empty while a character is unfinished. `TokenizerError` for unknown ids."""
        return self._decoder.decode(self._token_bytes(token_id))

    def flush(self) -> str:
        """The end of the stream: U+FFFD if a character stayed unfinished, else nothing. The next `push` starts anew."""
        return self._decoder.decode(b"", final=True)
