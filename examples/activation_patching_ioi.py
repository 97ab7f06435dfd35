"""Activation patching: which head carries a name to the end of the sentence (Wang et al., 2022).

    python examples/activation_patching_ioi.py [MODEL]

The task is theirs: "When Mary and John went to the store, John gave a drink to" -> Mary. A run on a prompt with another
answer gets the output of one head after the other from the run on the first; a head that turns the answer carries it.

The story model is too small for that task: it does not find "the other one". It can say how a hero's friend was called,
so its two prompts differ in that name. Head 3.2 alone brings back nine tenths of the answer.
"""

import sys

import glassformer
from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.patching import patch_sweep

IOI = "When Mary and John went to the store, {} gave a drink to", "John", "Mary", " Mary", " John"
STORY = "Once upon a time, there was a fox named Tom. Tom's best friend was an owl named {}. One day, Tom and"
FRIEND = STORY, "Mia", "Lucy", " Mia", " Lucy"


def main(name: str | None = None) -> None:
    """Patch each head's output and print how much of the answer it brings back: 0 none, 1 all."""
    model = glassformer.load(name)
    template, clean, corrupted, answer, other = IOI if len(model.ids(" Mary")) == 1 else FRIEND
    metric = logit_difference(model, answer, other)
    sweep = patch_sweep(model, template.format(clean), template.format(corrupted), metric, site="z")
    print(f"logit({answer!r}) - logit({other!r}): clean {sweep.clean:+.2f}, corrupted {sweep.corrupted:+.2f}")
    for layer, row in enumerate(sweep.normalised):
        print(f"layer {layer:2} " + " ".join(f"{share:6.2f}" for share in row))


if __name__ == "__main__":
    main(*sys.argv[1:])
