"""Induction heads: heads that look for what came after the present token before (Olsson et al., 2022).

    python examples/induction_heads.py [MODEL]

Seen in a model of two layers that was trained on repeated random tokens: a head of the first layer looks at the token
before, and those of the second at the token after the earlier occurrence of the present one, which comes next.
"""

import sys
from pathlib import Path

import glassformer

INDUCTION_MODEL = Path(__file__).parents[1] / "tests" / "golden" / "induction"


def main(name: str | Path = INDUCTION_MODEL) -> None:
    """Print the heads that score highest on random tokens that are repeated."""
    model = glassformer.load(name)
    for kind in ("previous_token", "duplicate_token", "induction"):
        scores = model.head_scores(kind)
        shown = "  ".join(f"{layer}.{head} {score:.2f}" for layer, head, score in scores.best(5))
        print(f"{kind:16} {shown}")


if __name__ == "__main__":
    main(*sys.argv[1:])
