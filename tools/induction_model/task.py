"""The task: random tokens that are told again and again, so that all but the first round can be known.

Olsson et al. (2022), "In-context Learning and Induction Heads", find induction heads on such rows.
"""

from __future__ import annotations

import string

import torch

SYMBOLS = string.ascii_uppercase + string.ascii_lowercase + string.digits + " "
BEGIN = len(SYMBOLS)  # the id that begins every row
SHORTEST = 4  # tokens in a round


def batch(generator: torch.Generator, rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [rows, length], and whether each can be known from those before it, bool [rows, length].

    Every row has a period of its own, so that no distance between positions is worth learning. In every other row all
    tokens of a round differ, so that one token tells the next; in the rest they may come twice, which rewards a model
    for looking back at exactly one place.
    """
    longest = min(length // 2, len(SYMBOLS))
    periods = torch.randint(SHORTEST, longest + 1, (rows, 1), generator=generator)
    rounds = torch.rand(rows, len(SYMBOLS), generator=generator).argsort(dim=1)  # [rows, symbols], each once
    rounds[::2] = torch.randint(0, len(SYMBOLS), rounds[::2].shape, generator=generator)
    steps = torch.arange(length - 1)[None, :]  # [1, length - 1]
    ids = torch.cat([torch.full((rows, 1), BEGIN), rounds.gather(1, steps % periods)], dim=1)  # [rows, length]
    # The first token of the second round cannot be known: nothing but the period says that it comes there.
    known = torch.cat([torch.zeros(rows, 1, dtype=torch.bool), steps > periods], dim=1)  # [rows, length]
    return ids, known
