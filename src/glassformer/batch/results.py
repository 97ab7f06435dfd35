"""What a line of results holds: `{"line": 3, "digest": ..., ...}`, the same bytes whenever a line is done again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glassformer.batch.lines import Line
from glassformer.formats.strict_json import finite
from glassformer.generation.continuation import Generation
from glassformer.generation.model import TextModel
from glassformer.generation.network import Float32
from glassformer.generation.score import Score
from glassformer.generation.spelled import spelled_logprobs

Object = dict[str, object]
BEGIN = b'{"line": '
# What is read again when a run goes on; `Result.of` writes it.
KNOWN = re.compile(rb'\{"line": ([1-9][0-9]{0,14}), "digest": "([0-9a-f]{16})"(, "error": )?.*\}\n', re.DOTALL)


@dataclass(frozen=True)
class Result:
    """What became of a line.

    Attributes:
        number: the line's.
        failed: whether it is an error.
        prompt_tokens, tokens: how many the model read as given, and how many it wrote.
        data: the line of JSON, with its end.
    """

    number: int
    failed: bool
    prompt_tokens: int
    tokens: int
    data: bytes

    @classmethod
    def of(cls, line: Line, found: Mapping[str, object], prompt_tokens: int = 0, tokens: int = 0) -> Result:
        """The result that holds what was found."""
        whole = {"line": line.number, "digest": line.digest, **found}
        data = json.dumps(whole, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        return cls(line.number, "error" in found, prompt_tokens, tokens, data)


def failure(line: Line, error: Exception, named: Mapping[str, object] | None = None) -> Result:
    """What is wrong with a line. named: what the line calls itself."""
    return Result.of(line, {"error": {"type": type(error).__name__, "message": str(error)}} | dict(named or {}))


def generation(line: Line, named: Mapping[str, object], model: TextModel, done: Generation, logprobs: bool) -> Result:
    """A continuation."""
    found: Object = {
        **named,
        "text": done.text,
        "finish_reason": done.finish_reason,
        "seed": done.seed,
        "prompt_tokens": len(done.prompt_ids),
        "ids": done.ids,
    }
    if logprobs:
        found["logprobs"] = spelled_logprobs(model, done.logprobs)
    return Result.of(line, found, len(done.prompt_ids), len(done.ids))


def score(line: Line, named: Mapping[str, object], found: Score) -> Result:
    """How probable a text is; what is infinite becomes null."""
    logprobs: list[float | None] = [None, *(finite(each) for each in found.logprobs)]
    whole = {"perplexity": finite(found.perplexity), "total": finite(found.total), "prompt_tokens": len(found.ids)}
    return Result.of(line, {**named, **whole, "ids": found.ids, "logprobs": logprobs}, len(found.ids))


def embedding(line: Line, named: Mapping[str, object], ids: Sequence[int], vector: Float32) -> Result:
    """A text as a vector [n_embd]."""
    return Result.of(line, {**named, "prompt_tokens": len(ids), "embedding": vector.tolist()}, len(ids))
