"""What attention heads attend to: the token before, the same token earlier, what came after it, the first token.

Olsson et al. (2022), "In-context Learning and Induction Heads": on random tokens that are repeated nothing can be
predicted but by looking back, so a head that then attends to the token after the earlier occurrence of the present one
completes [A][B] ... [A] to [B] by prefix matching. Heads that rest do so on the first token (Xiao et al., 2023,
"Efficient Streaming Language Models with Attention Sinks").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.errors import PromptError
from glassformer.generation.special_ids import start_id
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.capture import run_batch
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.html import heatmap
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import text_ids, token_texts

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PATTERNS = "blocks.*.attn.hook_pattern"


@dataclass(frozen=True, eq=False)
class HeadScores(Result):
    """How much of its attention each head gives to the keys of one kind, from 0 to 1.

    Attributes:
        kind: "induction", "previous_token", "duplicate_token" or "first_token".
        scores: mean over the queries that have such keys, [n_layer, n_head].
        queries: how many they were.
        tokens: the text, begin-of-text token included; of several, the first.
    """

    kind: str
    scores: Float32
    queries: int
    tokens: list[str]

    def best(self, count: int = 5) -> list[tuple[int, int, float]]:
        """(layer, head, score) of the heads that score highest, best first."""
        order = np.argsort(-self.scores, axis=None, kind="stable")[:count]
        places = [divmod(int(place), self.scores.shape[1]) for place in order]
        return [(layer, head, float(self.scores[layer, head])) for layer, head in places]

    def _repr_html_(self) -> str:
        """Layers and heads, the cell the darker the higher the score."""
        label = f"{self.kind} score of heads, mean over {self.queries} queries"
        return heatmap(self.scores, label=label, row_name="layer", column_name="head", low=0.0, high=1.0)


def _previous_token(ids: Int64) -> Mask:
    return np.eye(len(ids), k=-1, dtype=bool)


def _first_token(ids: Int64) -> Mask:
    mask = np.zeros((len(ids), len(ids)), bool)
    mask[1:, 0] = True
    return mask


def _duplicate_token(ids: Int64) -> Mask:
    found: Mask = np.tril(ids[:, None] == ids, -1)
    return found


def _induction(ids: Int64) -> Mask:
    mask = np.zeros((len(ids), len(ids)), bool)
    mask[:, 1:] = _duplicate_token(ids)[:, :-1]
    return np.tril(mask, -1)  # a token that follows itself is its own successor: no evidence of looking back


# Each kind by the keys, [queries, keys], that it means.
KINDS: dict[str, Callable[[Int64], Mask]] = {
    "induction": _induction, "previous_token": _previous_token, "duplicate_token": _duplicate_token,
    "first_token": _first_token,
}  # fmt: skip


def head_scores(
    model: TextModel, kind: str, prompt: Any = None, *, tokens: int = 50, sequences: int = 4, seed: int = 0
) -> HeadScores:
    """How much attention each head gives to keys of a kind.

    Args:
        kind: "induction" (the token after an earlier occurrence of the present one), "previous_token",
            "duplicate_token" (an earlier occurrence) or "first_token" (where heads rest).
        prompt: text or ids; None: random tokens that are repeated, after the begin-of-text token.
        tokens: how many random ones are repeated; fewer where the context window has no room for twice as many.
        sequences: how many sequences of them are drawn.
        seed: of the draw.

    Raises:
        IntrospectionError: for another kind, sizes below one, or a text without keys of the kind.
        PromptError, ContextError: as `TextModel.logits`.
    """
    if kind not in KINDS:
        raise IntrospectionError(f"there is no score {kind!r}; choose from {', '.join(KINDS)}")
    texts = repeated_tokens(model, tokens, sequences, seed) if prompt is None else [text_ids(model, prompt)]
    total, queries, text = np.zeros((model.config.n_layer, model.config.n_head), np.float64), 0, list[str]()
    for ids in texts:
        _, cache = run_batch(model, [ids], PATTERNS, last_only=True)[0]
        found, count = _attention_to(cache, KINDS[kind])
        total, queries, text = total + found, queries + count, text or token_texts(model, cache.ids)
    if not queries:
        raise IntrospectionError(f"this text has nothing to score {kind} by: {_lacking(kind)}")
    return HeadScores(kind, (total / queries).astype(np.float32), queries, text)


def _lacking(kind: str) -> str:
    if kind in ("previous_token", "first_token"):
        return "it has one token; give at least two"
    return "no token comes again; give a text in which some do, or none for random tokens that are repeated"


def text_head_scores(cache: ActivationCache, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, HeadScores]:
    """The scores of a run whose patterns were captured; kinds that its text has no keys of are left out.

    Raises:
        IntrospectionError: for another kind, or if patterns of a layer were not captured.
    """
    scores = {}
    for kind in kinds:
        if kind not in KINDS:
            raise IntrospectionError(f"there is no score {kind!r}; choose from {', '.join(KINDS)}")
        total, queries = _attention_to(cache, KINDS[kind])
        if queries:
            tokens = token_texts(cache.model, cache.ids)
            scores[kind] = HeadScores(kind, (total / queries).astype(np.float32), queries, tokens)
    return scores


def _attention_to(cache: ActivationCache, keys: Callable[[Int64], Mask]) -> tuple[npt.NDArray[np.float64], int]:
    """The attention of each head to some keys, summed over the queries that have any, and the number of these."""
    mask = keys(np.array(cache.ids, np.int64))[cache.positions]  # [queries, keys]
    at = np.nonzero(mask)
    layers = range(cache.model.config.n_layer)
    found = [cache["pattern", layer][:, at[0], at[1]].sum(-1, dtype=np.float64) for layer in layers]
    return np.array(found), int(mask.any(-1).sum())


def repeated_tokens(model: TextModel, tokens: int = 50, sequences: int = 1, seed: int = 0) -> list[list[int]]:
    """Sequences of random ids, each repeated once, after the begin-of-text token where the model has one.

    No id comes twice before the repetition, unless the vocabulary is smaller than that.
    """
    if tokens < 1 or sequences < 1:
        raise IntrospectionError(f"tokens is {tokens} and sequences {sequences}; both must be at least 1")
    try:
        start = [start_id(model.config, model.recommended)]
    except PromptError:
        start = []
    ids = np.setdiff1d(np.arange(model.config.vocab_size), start)
    tokens = min(tokens, (model.config.n_positions - len(start)) // 2)
    if tokens < 1 or not ids.size:
        raise IntrospectionError("the model has no room for a token and its repetition; give a prompt")
    random = np.random.default_rng(seed)
    drawn = [random.choice(ids, tokens, replace=tokens > ids.size).tolist() for _ in range(sequences)]
    return [[*start, *each, *each] for each in drawn]
