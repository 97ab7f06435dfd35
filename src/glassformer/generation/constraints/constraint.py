"""What a continuation may be held to: a regular expression, one of several texts, a JSON object, a JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from glassformer.generation.constraints.automaton import compiled, exactly
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.grammar import Grammar, Rule, Text
from glassformer.generation.constraints.json_text import ANY_VALUE, any_value, object_of
from glassformer.generation.constraints.machine import Machine
from glassformer.generation.constraints.regex_reader import read_whole
from glassformer.generation.constraints.schema_reader import grammar_of

EVERY_BYTE = (True,) * 256


class Constraint:
    """A set of texts; constraints of equal keys allow the same.

    Attributes:
        grammar: the texts.
        key: what the constraint was made from.
    """

    def __init__(self, grammar: Grammar, key: str) -> None:
        self.grammar, self.key = grammar, key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constraint) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key.partition(':')[2]:.200})"


class Regex(Constraint):
    """Texts that match a regular expression as a whole; `docs/structured-output.md` describes the syntax.

    Raises:
        ConstraintError: if the expression is malformed, not supported, too large, or matches nothing.
    """

    def __init__(self, expression: str) -> None:
        automaton = compiled(read_whole(expression), what="the pattern")
        super().__init__(Grammar(Text(automaton), {}), f"regex:{expression!r}")


class Choice(Constraint):
    """One of several texts.

    Raises:
        ConstraintError: if there is none, one is not text, or they are too long together.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        if isinstance(texts, str) or not isinstance(texts, Sequence) or not all(isinstance(t, str) for t in texts):
            raise ConstraintError(f"choices are a list of strings, found {texts!r:.80}")
        try:
            spelled = [text.encode() for text in texts]
        except UnicodeEncodeError:
            raise ConstraintError("a choice holds half of a surrogate pair, which is no text") from None
        if b"" in spelled:
            raise ConstraintError("a choice is empty; give at least one character")
        super().__init__(Grammar(Text(exactly(spelled)), {}), f"choice:{list(texts)!r}")


class JsonObject(Constraint):
    """Any JSON object."""

    def __init__(self) -> None:
        super().__init__(Grammar(object_of(Rule(ANY_VALUE)), {ANY_VALUE: any_value()}), "json:object")


class JsonSchema(Constraint):
    """JSON values that a schema describes; `docs/structured-output.md` lists the keywords.

    Raises:
        ConstraintError: naming the place of what is malformed, contradictory or not supported, such as
            `#/properties/age/multipleOf`.
    """

    def __init__(self, schema: Mapping[str, object] | bool) -> None:
        grammar = grammar_of(schema)
        Machine(grammar, EVERY_BYTE)  # which finds schemas that nothing fulfils
        super().__init__(grammar, f"schema:{json.dumps(schema, default=repr)}")
