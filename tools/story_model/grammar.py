"""A story grammar: short, gentle children's stories in plain ASCII English, all of them original.

`python -m tools.story_model.grammar N SEED` prints N stories, separated by `<|endoftext|>` lines.
"""

from __future__ import annotations

import argparse
import random

from .telling import Teller
from .world import make_world

SHORTEST, LONGEST = 500, 1100  # characters: about 300 tokens at most


def story(rng: random.Random) -> str:
    """One story within bounds: when the first telling is too long, the plot is told again, more briefly."""
    while True:
        first = world = make_world(rng)
        brevity = rng.choice((0.2, 0.6, 1.0))
        for attempt in range(16):
            text = Teller(rng, world, brevity).tell()
            if SHORTEST <= len(text) <= LONGEST:
                return text
            brevity = min(1.0, 0.4 + 0.1 * attempt)
            world = make_world(rng, first)


def main() -> None:
    """Print some stories."""
    parser = argparse.ArgumentParser(description="Write stories with the grammar.")
    parser.add_argument("count", type=int, nargs="?", default=5)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    for _ in range(arguments.count):
        print(story(rng), "<|endoftext|>", sep="\n")


if __name__ == "__main__":
    main()
