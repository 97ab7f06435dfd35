"""Fields that clients write out of habit and that change no answer here.

Each is taken with the values that ask for nothing more than what happens anyway, and refused with any other, so that
nobody believes that a field had an effect which it had not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from glassformer.server.fields import Asked

Taken = tuple[Callable[[object], bool], str]  # whether a value changes nothing, and how a refusal names those that do
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")


def one_of(*values: object) -> Callable[[object], bool]:
    """Whether something is one of these, by its type too: 0 is not false."""
    return lambda found: any(type(found) is type(value) and found == value for value in values)


def is_kind(kind: type) -> Callable[[object], bool]:
    """Whether something is a string, an object, or true or false."""
    return lambda found: isinstance(found, kind)


ANYWHERE: dict[str, Taken] = {
    "user": (is_kind(str), "a string"),
    "safety_identifier": (is_kind(str), "a string"),
    "prompt_cache_key": (is_kind(str), "a string"),
    "metadata": (is_kind(dict), "an object"),
    "store": (one_of(False), "false, because this server stores no answers"),
    "service_tier": (one_of("auto", "default"), "auto or default, because this server has one tier"),
}
OF_COMPLETIONS: dict[str, Taken] = ANYWHERE | {
    "suffix": (one_of(""), "an empty string, because this server writes behind texts and not into them"),
}
OF_CHAT: dict[str, Taken] = ANYWHERE | {
    "tools": (one_of([]), "an empty list, because this server calls no tools; response_format holds answers to a form"),
    "tool_choice": (one_of("none", "auto"), "none or auto, because this server calls no tools"),
    "parallel_tool_calls": (is_kind(bool), "true or false"),
    "functions": (one_of([]), "an empty list, because this server calls no functions"),
    "function_call": (one_of("none", "auto"), "none or auto, because this server calls no functions"),
    "modalities": (one_of(["text"]), "text alone"),
    "prediction": (is_kind(dict), "an object"),
    "reasoning_effort": (one_of(*EFFORTS), f"one of {', '.join(EFFORTS)}"),
    "verbosity": (one_of("medium"), "medium, because this server knows of no other"),
}


def check_harmless(asked: Asked, known: Mapping[str, Taken]) -> None:
    """Refuse a field that asks for what is not done.

    Raises:
        RequestError: naming it.
    """
    for key, (changes_nothing, expected) in known.items():
        if key in asked.values and not changes_nothing(asked.values[key]):
            raise asked.refused(key, expected)
