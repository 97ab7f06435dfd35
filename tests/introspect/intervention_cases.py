"""Interventions of every kind, with every form of selector."""

import numpy as np

from glassformer.introspect.interventions import Add, Freeze, Intervention, Mean, Patch, Scale, Zero

EXAMPLES: tuple[Intervention, ...] = (
    Zero("blocks.9.attn.hook_z", head=9, position=-1),
    Zero("pattern", layer=[0, 2], head=slice(0, 6, 2), key=0),
    Zero("blocks.*.mlp.hook_post", neuron=(1, 5, 6), step=slice(1, None)),
    Mean("z", np.arange(6.0).reshape(2, 3), layer=-1, head=1),
    Add("resid_post", np.linspace(-1, 1, 40), layer=1, position=slice(-3, None)),
    Add("hook_logits", 1.5, neuron=7, step=[0, 2]),
    Scale("attn.hook_v", 0.25, head=[3, 1]),
    Patch("hook_embed", [[1e-30, -0.0], [3.4e38, 0.1]], position=[4, 2]),
    Patch("q", 2, position=slice(0, 4)),
    Freeze("attn_scores", np.ones((2, 5, 5), np.float32), key=slice(1, 3)),
)
