"""What stands around choices: the same id and time in every part of an answer."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from glassformer import __version__
from glassformer.server.openai.usage import Usage

Object = dict[str, Any]


@dataclass(frozen=True)
class Envelope:
    """The head of an answer."""

    id: str
    kind: str
    created: int
    model: str

    @classmethod
    def new(cls, prefix: str, kind: str, model: str) -> Envelope:
        """A head of its own; `prefix` of the id and `kind` of the object are those of the interface."""
        return cls(f"{prefix}-{secrets.token_hex(12)}", kind, int(time()), model)

    def around(self, choices: Sequence[Object | None], usage: Usage | None = None, *, asked: bool = True) -> Object:
        """An answer, or a part of one; asked: whether it says anything about usage."""
        found = {
            "id": self.id, "object": self.kind, "created": self.created, "model": self.model,
            "system_fingerprint": f"glassformer-{__version__}", "choices": list(choices),
        }  # fmt: skip
        return found | {"usage": None if usage is None else usage.to_dict()} if asked else found
