"""What `generate` says about a generation: the object of `--json`, the line of statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassformer.generation.continuation import Generation
    from glassformer.model import Model

_ENDS = {"stop": "end of text", "length": "length limit"}


def as_json_object(model: str, prompt: str | None, result: Generation, load: float) -> dict[str, object]:
    """The object that `generate --json` prints; all times in seconds.

    Args:
        model: what the command line called the model.
        prompt: the text that was continued; None for ids of a model without a vocabulary.
        result: the continuation.
        load: seconds spent on loading the model.
    """
    timings = result.timings
    return {
        "model": model,
        "prompt": prompt,
        "text": result.text,
        "ids": list(result.ids),
        "prompt_ids": list(result.prompt_ids),
        "finish_reason": result.finish_reason,
        "seed": result.seed,
        "timings": {
            "load": round(load, 6),
            "prefill": round(timings.prefill, 6),
            "decode": round(timings.decode, 6),
            "tokens_per_second": round(timings.tokens_per_second, 2),
            "drafted": result.drafted,
            "accepted": result.accepted,
        },
    }


def decoded(model: Model, ids: list[int]) -> str | None:
    """The text of ids; None without a vocabulary."""
    return model.tokenizer.decode(ids) if model.tokenizer else None


def statistics(result: Generation, load: float) -> str:
    """One line for the person at the terminal."""
    timings = result.timings
    parts = [
        f"{len(result.ids)} tokens",
        f"{timings.tokens_per_second:.0f} tokens/s",
        f"loaded in {load:.2f} s",
        f"first token after {timings.prefill:.2f} s",
        _ENDS[result.finish_reason],
    ]
    if result.seed is not None:
        parts.append(f"seed {result.seed}")
    return "[" + " · ".join(parts) + "]"
