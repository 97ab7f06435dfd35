"""Steering: add a direction to the residual stream, and the text turns there (Turner et al., 2023).

    python examples/steering.py [MODEL]

The direction is what the middle of the model makes of sentences about the night, less what it makes of the day. Seen in
the story model: heroes love the night sky, and the stories get a little confused, as the direction is in every token.
"""

import sys

import numpy as np

import glassformer
from glassformer.introspect.interventions import Add

NIGHT = ["It was a dark night. The moon", "The moon was in the dark sky, and the stars", "In the dark, an owl"]
DAY = ["It was a sunny day. The sun", "The sun was in the blue sky, and the clouds", "In the sun, a bee"]


def mean_residual(model: glassformer.Model, texts: list[str], site: str) -> np.ndarray:
    """The mean of a site over the tokens of texts, [n_embd]."""
    return np.mean([model.run_with_cache(text, site)[1][site].mean(0) for text in texts], axis=0)


def main(name: str | None = None, factor: float = 2.0) -> None:
    """Continue a prompt without the direction, and with it."""
    model = glassformer.load(name)
    site = f"blocks.{model.config.n_layer // 2 - 1}.hook_resid_post"
    night = mean_residual(model, NIGHT, site) - mean_residual(model, DAY, site)
    for strength in (0.0, float(factor)):
        with model.edit(Add(site, strength * night)):
            for seed in range(3):
                story = model.generate("Once upon a time, there was a", seed=seed, max_new_tokens=60).text
                print(f"{strength:+.1f}  {' '.join(story.split())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
