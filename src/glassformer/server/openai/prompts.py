"""Prompts as requests give them: a text, several, token ids, or several lists of them."""

from __future__ import annotations

import asyncio
from typing import Any

from glassformer.generation.errors import ContextError, PromptError
from glassformer.generation.special_ids import start_id
from glassformer.generation.stopping import check_fits
from glassformer.model import Model
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.openai.failures import TOO_LONG

MOST_PROMPTS = 128
EXPECTED = f"a text, a list of token ids, or a list of at most {MOST_PROMPTS} of these"


async def read_prompts(model: Model, asked: Asked, key: str) -> list[list[int]]:
    """The ids of each prompt, none of them empty. Long texts become ids in another thread.

    Raises:
        RequestError: for anything that is no prompt, or is too long for the model.
    """
    value = asked.values.get(key)
    several: list[Any] = value if is_several(value) and isinstance(value, list) else [value]
    kinds = {type(each) for each in several}
    if not several or len(several) > MOST_PROMPTS or not (kinds == {str} or kinds == {list}):
        raise asked.refused(key, EXPECTED)
    try:
        return await asyncio.to_thread(lambda: [checked(model, each) for each in several])
    except PromptError as error:
        raise RequestError(str(error), status=400, param=key) from None
    except ContextError as error:
        raise RequestError(str(error), status=400, param=key, code=TOO_LONG) from None


def is_several(value: object) -> bool:
    """Whether a value is a list of prompts and not one."""
    return isinstance(value, list) and (not value or isinstance(value[0], str | list))


def checked(model: Model, prompt: Any) -> list[int]:
    """The ids of one prompt; for an empty one, the token that a text begins with.

    What is too long by its letters alone, or by the number of its ids, is refused before anything is read of it.
    """
    n_positions = model.config.n_positions
    if isinstance(prompt, str):
        fewest = len(prompt) // model.known_tokenizer.longest_token
        if fewest > n_positions:
            message = f"the prompt has {fewest} tokens or more and the context window of the model holds {n_positions}"
            raise ContextError(f"{message}; shorten it", tokens=fewest, limit=n_positions)
    else:
        check_fits(len(prompt), n_positions)
    found = model.ids(prompt) or [start_id(model.config, model.recommended)]
    check_fits(len(found), n_positions)
    return found
