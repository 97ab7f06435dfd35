"""How a model writes a conversation: the chat template of its files, run in a sandbox.

A template is a program that came with the weights. It may read what it is given and build one text, in a limited number
of steps and characters; it reaches neither files nor Python's objects. What people write is never read as a special
token: where their text spells one, it stays ordinary text.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from glassformer.errors import GlassformerError
from glassformer.formats.strict_json import JsonError, read_object
from glassformer.server.errors import RequestError
from glassformer.server.openai.messages import Message
from glassformer.tokenizer.tokenizer import Tokenizer

MOST_STEPS = 200_000
MOST_CHARACTERS = 1 << 20
MOST_FILE_BYTES = 4 << 20
# Each could make a text of any length from a short one, in one step.
WIDENING = frozenset(("center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "join", "translate"))
FILTERS = ("center", "format", "indent", "wordwrap", "pprint", "xmlattr", "urlize", "batch", "slice", "random")


MARK = re.compile("(\ue000[0-9]{18}\ue001)")


class TemplateFileError(GlassformerError):
    """A model's files from which no template can be read."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without what reaches out, or makes much of little."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        for name in FILTERS:
            self.filters.pop(name)
        self.globals["raise_exception"] = refuse

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on small numbers, and texts put together."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator in ("*", "**", "%") and not (numbers and abs(left) < 1e9 and abs(right) < 64):
            raise SecurityError(f"{operator} is for small numbers here")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """No formatting in a sandbox of its own, which bounds no widths: `is_safe_attribute` refuses it."""
        return None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No method that widens a text."""
        if isinstance(obj, str) and attr in WIDENING:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A call; `replace` only where its result has a bounded length."""
        text = getattr(obj, "__self__", None)
        if isinstance(text, str) and getattr(obj, "__name__", "") == "replace" and len(args) >= 2:
            check_length((len(text) + 1) * max(1, len(str(args[1]))))
        return super().call(context, obj, *args, **kwargs)


def refuse(message: str) -> None:
    """What templates call where a conversation is not one that they can write."""
    raise TemplateError(str(message)[:300])


def check_length(characters: int) -> None:
    """Refuse a text that is too long."""
    if characters > MOST_CHARACTERS:
        raise SecurityError(f"it makes a text of more than {MOST_CHARACTERS:,} characters")


@dataclass(frozen=True)
class ChatTemplate:
    """A template and the special tokens that it may name.

    Attributes:
        source: of the template.
        names: bos_token, eos_token and others, as the tokenizer's files name them.
    """

    source: str
    names: dict[str, str]

    def ids(self, messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
        """The tokens of a conversation, up to where the model is to answer.

        Raises:
            RequestError: if the template refuses the conversation, or does too much.
        """
        marks = {f"\ue000{secrets.randbelow(10**18):018}\ue001": special for special in tokenizer.special_tokens}
        marked = [{key: with_marks(value, marks) for key, value in message.items()} for message in messages]
        text, ids = self.render(marked), list[int]()
        for part in MARK.split(text):
            ids += tokenizer.encode(marks[part]) if part in marks else tokenizer.encode(part, allowed_special="all")
        return ids

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as one text."""
        context = {"messages": messages, "add_generation_prompt": True, **self.names}
        try:
            return limited(lambda: Sandbox().from_string(self.source).render(context))
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            message = f"the model's chat template does not take this conversation: {str(error)[:300]}"
            raise RequestError(message, status=400, param="messages", code="chat_template") from None


def with_marks(text: str, marks: Mapping[str, str]) -> str:
    """A text with marks in the places of special tokens, which the template cannot tell from its own."""
    for mark, special in marks.items():
        text = text.replace(special, mark)
    return text


def limited(job: Callable[[], str]) -> str:
    """What a job gives, unless it takes too many lines of Python, or one of them makes too long a text."""
    steps = 0

    def trace(frame: FrameType, event: str, value: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            raise SecurityError(f"it takes more than {MOST_STEPS:,} steps")
        if event == "return" and isinstance(value, str):
            check_length(len(value))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return job()
    finally:
        sys.settrace(before)


def read_template(folder: Path) -> ChatTemplate | None:
    """The template in a model's folder: `chat_template.jinja`, or that of `tokenizer_config.json`; None: there is none.

    Raises:
        TemplateFileError: for files that are malformed.
    """
    config = folder / "tokenizer_config.json"
    try:
        fields = read_object(config, MOST_FILE_BYTES) if config.is_file() else {}
    except JsonError as error:
        raise TemplateFileError(f"{config}: {error}") from None
    source = source_in(folder, fields.get("chat_template"))
    names = {key: content(value) for key, value in fields.items() if key.endswith("_token")}
    return None if source is None else ChatTemplate(source, {k: v for k, v in names.items() if v is not None})


def source_in(folder: Path, value: object) -> str | None:
    """The source: a file of its own, or a text, or of several named ones that which is called default."""
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        return alone.read_text(encoding="utf8", errors="replace")[:MOST_FILE_BYTES]
    named = value if isinstance(value, list) else []
    found = next((each.get("template") for each in named if isinstance(each, dict) and each.get("name") == "default"),
                 value)  # fmt: skip
    return found if isinstance(found, str) else None


def content(value: object) -> str | None:
    """The text of a token, which files give as it is or as an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None
