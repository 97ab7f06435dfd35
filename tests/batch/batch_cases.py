"""What tests of files of prompts share."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from glassformer.batch.lines import read_lines
from glassformer.batch.local import Load, local_results
from glassformer.batch.terms import Terms
from glassformer.model import Model

PROMPTS = ["Once upon a time", "The cat sat on", "Tom and Lily went to the park. Tom and Lily", "", "A dog"]


def lines_of(*values: Any) -> bytes:
    """Objects as lines; bytes are lines as they are."""
    return b"".join(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n" for each in values)


def results_of(model: Model, data: bytes, terms: Terms, load: Load | None = None) -> list[Any]:
    """The results of an input in the order of its lines."""
    found = local_results(model, read_lines(io.BytesIO(data)), terms, load or Load(running=4))
    return in_order(each.data for each in found)


def in_order(lines: Iterable[bytes]) -> list[Any]:
    """Results in the order of the input's lines."""
    return sorted(map(json.loads, lines), key=lambda each: each["line"])


def written_by_one(model: Model, data: bytes, terms: Terms) -> list[bytes]:
    """The bytes of the results of an input, sorted."""
    return sorted(each.data for each in local_results(model, read_lines(io.BytesIO(data)), terms, Load(running=4)))


def several_lines(count: int) -> list[dict[str, Any]]:
    """Lines to generate, most of them with wishes of their own."""
    wishes: Sequence[dict[str, Any]] = [
        {}, {"max_new_tokens": 9}, {"seed": 7}, {"temperature": 0}, {"stop": ["."]}, {"logprobs": 2, "top_k": 5},
        {"logit_bias": {"13": -5.0}, "custom_id": "c"}, {"constraint": {"regex": "[a-z ]{5,30}"}},
    ]  # fmt: skip
    return [{"prompt": PROMPTS[n % 5], "id": n} | wishes[n % len(wishes)] for n in range(count)]
