"""TinyStories as training text, cleaned so that it is plain ASCII like the stories of the grammar."""

from __future__ import annotations

import random
from pathlib import Path

_ASCII = {"“": '"', "”": '"', "’": "'", "‘": "'", "—": " - ", "–": "-", "…": "...", "\u00a0": " "}


def clean(text: str) -> str:
    """Typographic marks become plain ones, and spaces and empty lines become single."""
    for mark, plain in _ASCII.items():
        text = text.replace(mark, plain)
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def tiny_stories(path: Path, shortest: int = 200, longest: int = 1700) -> list[str]:
    """The stories of a file in which `<|endoftext|>` stands between them, shuffled, without doubles."""
    text = path.read_text(encoding="utf8", errors="replace")
    found = {clean(part) for part in text.split("<|endoftext|>") if shortest < len(part) < longest}
    stories = sorted(story for story in found if story.isascii())
    random.Random(1).shuffle(stories)
    return stories
