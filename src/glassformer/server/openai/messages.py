"""Conversations as requests give them."""

from __future__ import annotations

from typing import Any

from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked

ROLES = ("system", "developer", "user", "assistant", "tool")
MOST_MESSAGES = 1024
Message = dict[str, str]


def read_messages(asked: Asked) -> list[Message]:
    """Each message with its role and its content, which is text.

    Raises:
        RequestError: naming the first message that is anything else.
    """
    given: list[Any] = asked.items("messages", MOST_MESSAGES)
    if not given:
        raise asked.refused("messages", f"a list of 1 to {MOST_MESSAGES} messages")
    return [read_message(each, f"messages[{place}]") for place, each in enumerate(given)]


def read_message(value: Any, what: str) -> Message:
    """One message."""
    if isinstance(value, dict):  # answers are sent back as they came, with fields that say nothing
        value = {key: each for key, each in value.items() if key == "content" or not says_nothing(each)}
    if not isinstance(value, dict) or not {"role", "content"} <= set(value) <= {"role", "content", "name"}:
        raise wrong(what, "an object with role and content, and a name at most")
    if value["role"] not in ROLES:
        raise wrong(f"{what}.role", f"one of {', '.join(ROLES)}")
    name = value.get("name")
    if name is not None and not (isinstance(name, str) and len(name) <= 64):
        raise wrong(f"{what}.name", "a string of at most 64 characters")
    return {"role": value["role"], "content": text(value["content"], f"{what}.content")} | (
        {} if name is None else {"name": name}
    )


def says_nothing(value: Any) -> bool:
    """Whether a field is null, an empty list, or an object of such fields."""
    if isinstance(value, dict):
        return all(map(says_nothing, value.values()))
    return value is None or value == []


def text(content: Any, what: str) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, str):
        return content
    parts: list[Any] = content if isinstance(content, list) else [None]
    if not all(isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in parts):
        raise wrong(what, "text, or a list of parts of the type text")
    return "".join(part["text"] for part in parts)


def wrong(what: str, expected: str) -> RequestError:
    """The error for a part that is not as expected."""
    return RequestError(f"{what} is not what was expected: {expected}", status=422, param=what)
