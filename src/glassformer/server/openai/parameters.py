"""How tokens are to be chosen, as requests name it."""

from __future__ import annotations

from typing import Any

from glassformer.generation import asked as generation
from glassformer.generation.rng import MAX_SEED
from glassformer.model import Model
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked

MOST_STOPS = 64  # editors send dozens
MOST_STOP_CHARACTERS = 1000
MOST_BIASES = 1024
MOST_LOGPROBS = 20
MOST_TOKENS = 10**9
LEAST_SEED, MOST_SEED = -(2**63), 2**63 - 1  # as the interface has it; negative ones count from 2**64 downwards
SEEDS = MAX_SEED + 1

SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "logit_bias", "seed", "stop", "stop_token_ids", "ignore_eos",
)  # fmt: skip
NUMBERS = {
    "temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "min_p": (0.0, 1.0), "typical_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0), "presence_penalty": (-2.0, 2.0), "frequency_penalty": (-2.0, 2.0),
}  # fmt: skip


def wanted(model: Model, asked: Asked, max_new_tokens: int, logprobs: int) -> generation.Asked:
    """What a request asks of the engine.

    What it does not name comes from the model's generation_config.json; where that is silent too, tokens are drawn at
    temperature 1, as clients of this interface expect.

    Raises:
        RequestError: naming the parameter that is out of range.
        NoTokenizerError: for stop strings, if the model has no vocabulary.
    """
    numbers = {name: asked.number(name, *limits) for name, limits in NUMBERS.items() if name in asked.values}
    if numbers.get("top_p") == 0.0:
        raise asked.refused("top_p", "a number above 0, and at most 1")
    found = generation.Asked(
        max_new_tokens=max_new_tokens,
        do_sample=True,
        temperature=numbers.get("temperature"),
        # -1 is how some clients write that all tokens are kept
        top_k=max(0, asked.integer("top_k", -1, model.config.vocab_size)) if "top_k" in asked.values else None,
        top_p=numbers.get("top_p"),
        min_p=numbers.get("min_p"),
        typical_p=numbers.get("typical_p"),
        repetition_penalty=numbers.get("repetition_penalty"),
        presence_penalty=numbers.get("presence_penalty"),
        frequency_penalty=numbers.get("frequency_penalty"),
        logit_bias=biases(asked),
        seed=asked.integer("seed", LEAST_SEED, MOST_SEED) % SEEDS if "seed" in asked.values else None,
        stop=stops(asked),
        stop_ids=stop_ids(asked, model.config.vocab_size),
        ignore_eos=flag(asked, "ignore_eos"),
        logprobs=logprobs,
    )
    if found.stop:
        _ = model.known_tokenizer
    return found


def flag(asked: Asked, key: str) -> bool:
    """A field that is true or false; false where it is not there."""
    value = asked.values.get(key, False)
    if not isinstance(value, bool):
        raise asked.refused(key, "true or false")
    return value


def stops(asked: Asked) -> list[str]:
    """The strings that end a text."""
    value = asked.values.get("stop", [])
    strings: list[Any] = [value] if isinstance(value, str) else value if isinstance(value, list) else [None]
    right = all(isinstance(each, str) and 0 < len(each) <= MOST_STOP_CHARACTERS for each in strings)
    if not right or len(strings) > MOST_STOPS:
        raise asked.refused("stop", f"a string or a list of at most {MOST_STOPS}, each of 1 to {MOST_STOP_CHARACTERS} "
                                    "characters")  # fmt: skip
    return strings


def stop_ids(asked: Asked, vocab_size: int) -> list[int]:
    """The ids that end a text."""
    found = asked.items("stop_token_ids", MOST_STOPS)
    if not all(type(each) is int and 0 <= each < vocab_size for each in found):
        raise asked.refused("stop_token_ids", f"a list of at most {MOST_STOPS} token ids from 0 to {vocab_size - 1}")
    return found


def biases(asked: Asked) -> dict[int, float] | None:
    """What is added to the logits of single ids: an object of ids, as strings, and numbers from -100 to 100."""
    value = asked.values.get("logit_bias")
    if value is None:
        return None
    refused = asked.refused("logit_bias", f"an object of at most {MOST_BIASES} token ids with numbers from -100 to 100")
    if not isinstance(value, dict) or len(value) > MOST_BIASES:
        raise refused
    found: dict[int, float] = {}
    for key, bias in value.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 12) or isinstance(bias, bool):
            raise refused
        if not isinstance(bias, int | float) or not -100 <= bias <= 100:
            raise refused
        found[int(key)] = float(bias)
    return found


def given(values: dict[str, object]) -> dict[str, object]:
    """The fields that are not null: clients write out what they do not ask for."""
    return {key: value for key, value in values.items() if value is not None}


def check_model(asked: Asked, name: str) -> None:
    """Refuse a request for another model. Names are compared and nothing else: no path reaches the file system."""
    if asked.values.get("model", name) != name:
        found = asked.string("model", 1 << 16)[:80]
        message = f"there is no model {found!r} here; this server serves {name!r}"
        raise RequestError(message, status=404, param="model", code="model_not_found")
