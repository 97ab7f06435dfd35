"""The logit lens: what a model would say if it stopped after one of its layers (nostalgebraist, 2020).

    python examples/logit_lens.py [MODEL] [TEXT]

Seen in the story model: its first layers guess from the words nearby, with little confidence; the name that the friend
was given, far back in the text, comes in at one layer, and stays.
"""

import sys

import glassformer

TEXT = "Once upon a time, there was a fox named Tom. Tom's best friend was an owl named Mia. One day, Tom and"


def main(name: str | None = None, text: str = TEXT) -> None:
    """Print what each layer would predict after the last token."""
    model = glassformer.load(name)
    answer = int(model.logits(text)[-1].argmax())
    lens = model.logit_lens(text, positions=-1, top=3, follow=[answer])
    print(f"{lens.follow_tokens[0]!r} comes next; what each layer would say, and the rank of that answer:")
    for depth, site in enumerate(lens.sites):
        guesses = zip(lens.top_tokens[depth][0], lens.top_probabilities[depth, 0], strict=True)
        shown = "  ".join(f"{token!r} {share:.0%}" for token, share in guesses)
        print(f"{site:24} {lens.ranks[depth, 0, 0] + 1:6}  {shown}")


if __name__ == "__main__":
    main(*sys.argv[1:])
