"""Ablation: take one head away, and see what no longer works.

    python examples/ablate_a_head.py [MODEL]

Seen in the induction model: without the head that looks at the token before, no head finds what came after a token's
earlier occurrence, and repeated tokens are no longer known. That the two kinds of heads work as a pair is from Elhage
et al. (2021), "A Mathematical Framework for Transformer Circuits".
"""

import sys
from pathlib import Path

import glassformer
from glassformer.introspect.head_scores import repeated_tokens
from glassformer.introspect.interventions import Zero

INDUCTION_MODEL = Path(__file__).parents[1] / "tests" / "golden" / "induction"


def report(model: glassformer.Model, what: str) -> None:
    """Print the induction scores, and how well repeated tokens are predicted."""
    heads = "  ".join(f"{layer}.{head} {score:.2f}" for layer, head, score in model.head_scores("induction").best(4))
    (ids,) = repeated_tokens(model, 50)
    known = model.score(ids).logprobs[-49:]
    print(f"{what:20} induction {heads}  log-probability {sum(known) / len(known):.3f}")


def main(name: str | Path = INDUCTION_MODEL) -> None:
    """Zero the head that attends most to the token before."""
    model = glassformer.load(name)
    layer, head, _ = model.head_scores("previous_token").best(1)[0]
    report(model, "whole model")
    with model.edit(Zero("z", layer=layer, head=head)):
        report(model, f"without head {layer}.{head}")


if __name__ == "__main__":
    main(*sys.argv[1:])
