"""Masks beside their definition: a token is allowed if its bytes lead somewhere."""

import pytest

from glassformer.generation.constraints.constraint import Choice, Constraint, JsonObject, JsonSchema, Regex
from glassformer.generation.constraints.machine import FAR, State
from glassformer.generation.constraints.masks import Masks
from glassformer.generation.constraints.trie import Trie

CONSTRAINTS = {
    "regex": lambda: Regex(r"(ab|a b)*[é😀]?-?\d{1,3}"),
    "choice": lambda: Choice(["yes", "no", "yes and no", "é", "éa"]),
    "object": JsonObject,
    "counted": lambda: JsonSchema(
        {"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 4}, "maxItems": 3}
    ),
    "long": lambda: JsonSchema({"type": "string", "minLength": 30, "maxLength": 90}),
    "tree": lambda: JsonSchema({
        "type": "object", "properties": {"name": {"type": "string"}, "b": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["b"], "additionalProperties": {"type": ["integer", "null"]},
    }),
    "tuple": lambda: JsonSchema({
        "prefixItems": [{"type": "boolean"}, {"enum": [1, "x", None]}], "minItems": 1,
        "items": {"type": "number", "minimum": -1.5},
    }),
}  # fmt: skip


def states_on_the_way(masks: Masks, tokens: dict[int, bytes], seed: int) -> list[State]:
    """States that a text of arbitrary allowed tokens passes through."""
    state, found, number = masks.machine.start, [], seed
    while state.threads and len(found) < 12:
        found.append(state)
        allowed = masks.of(state).allowed.nonzero()[0]
        number = (number * 1103515245 + 12345) % 2**31
        after = masks.machine.after(state, tokens[int(allowed[number % len(allowed)])])
        assert after is not None
        state = after
    return found


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_masks_allow_just_the_tokens_that_lead_somewhere(name: str, trie: Trie, pieces: object) -> None:
    constraint: Constraint = CONSTRAINTS[name]()
    tokens: dict[int, bytes] = pieces.vocabulary.tokens  # type: ignore[attr-defined]
    end = pieces.end  # type: ignore[attr-defined]
    masks = Masks(constraint.grammar, trie)
    states = {state for seed in (1, 2, 3) for state in states_on_the_way(masks, tokens, seed)}
    for state in states:
        led = [token for token, data in tokens.items() if token != end and masks.machine.after(state, data)]
        assert masks.of(state).allowed.nonzero()[0].tolist() == led


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_costs_are_the_bytes_that_complete_a_text(name: str, trie: Trie, pieces: object) -> None:
    tokens: dict[int, bytes] = pieces.vocabulary.tokens  # type: ignore[attr-defined]
    masks = Masks(CONSTRAINTS[name]().grammar, trie)
    for state in states_on_the_way(masks, tokens, 5)[::4]:
        costs = masks.costs(state).copy()
        for token in (costs < FAR).nonzero()[0][::9].tolist():
            at: State | None = masks.machine.after(state, tokens[token])
            for left in range(costs[token], 0, -1):  # always by a single byte that brings the end nearer
                assert at is not None
                assert not at.accepting
                single = masks.costs(at)[:256]
                assert single.min() == left - 1
                at = masks.machine.after(at, [int(single.argmin())])
            assert at is not None
            assert at.accepting


def test_states_with_much_left_share_a_mask(trie: Trie) -> None:
    masks = Masks(JsonSchema({"type": "string", "maxLength": 5000}).grammar, trie)
    state = masks.machine.after(masks.machine.start, b'"')
    assert state is not None
    first = masks.of(state)
    for _ in range(50):
        state = masks.machine.after(state, b"ab")
        assert state is not None
        assert masks.of(state) is first
