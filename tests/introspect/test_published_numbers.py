"""Numbers that others have published for GPT-2 small, where an environment variable names the folder of its weights.

    GLASSFORMER_GPT2=~/models/gpt2 python -m pytest tests/introspect/test_published_numbers.py

What measures them is tried on the story model too, so that it is known to work where GPT-2 is not at hand.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import glassformer
from glassformer.formats.sharded import open_weights
from glassformer.generation.special_ids import start_id
from glassformer.introspect.attribution import attribution_sites, logit_attribution
from glassformer.introspect.head_scores import head_scores
from glassformer.introspect.interventions import Zero
from glassformer.models.locate import EMBEDDED
from glassformer.tokenizer.tokenizer import Tokenizer

VARIABLE = "GLASSFORMER_GPT2"
SHARED_GPT2 = Path(__file__).parents[2] / "../shared/data/gpt2"
needs_gpt2 = pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no folder")

# Indirect object identification (Wang et al., 2022, "Interpretability in the Wild") on the eight prompts of
# TransformerLens's exploratory analysis: each template with either of its names as the one who gives.
TEMPLATES = [
    ("When John and Mary went to the shops,{} gave the bag to", " Mary", " John"),
    ("When Tom and James went to the park,{} gave the ball to", " Tom", " James"),
    ("When Dan and Sid went to the shops,{} gave an apple to", " Dan", " Sid"),
    ("After Martin and Amy went to the park,{} gave a drink to", " Martin", " Amy"),
]
Prompt = tuple[str, str, str]  # the text, the name that is right, and the one who gives
STORIES = [
    ("Once upon a time, a fox named Tom met an owl named Mia. One day,{} and", " Tom", " Mia"),
    ("Once upon a time, a fox named Ben met an owl named Lily. One day,{} and", " Ben", " Lily"),
]


@dataclass(frozen=True, eq=False)
class Found:
    """Means over prompts.

    difference: logit of the right name less that of the other. heads: what each head adds to it directly, in folded and
    centred coordinates without the value bias, [n_layer, n_head]. rest: what everything else adds.
    """

    difference: float
    heads: npt.NDArray[np.float64]
    rest: float


def prompts_of(templates: list[tuple[str, str, str]]) -> list[Prompt]:
    """Each template twice: the name that is not the giver's is right."""
    pairs = [(text, *names) for text, a, b in templates for names in ((a, b), (b, a))]
    return [(text.format(giver), right, giver) for text, right, giver in pairs]


def identify(model: glassformer.Model, prompts: list[Prompt]) -> Found:
    """Run prompts, each after the begin-of-text token, and read the last position."""
    begin = start_id(model.config, model.recommended)
    differences, heads, rest = [], [], []
    for text, right, giver in prompts:
        cache = model.run_with_cache([begin, *model.ids(text)], attribution_sites(model.config.n_layer, "head"))[1]
        parts = logit_attribution(cache, right, giver, unit="head", positions=-1, folded=True)
        differences.append(parts.logits[0])
        heads.append(parts.values[..., 0])
        rest.append(parts.rest[:, 0].sum())
    return Found(float(np.mean(differences)), np.mean(heads, axis=0, dtype=np.float64), float(np.mean(rest)))


class TestMeasuring:
    """The prompts are those that are meant, and what is measured is what it is said to be."""

    def test_there_are_eight_prompts(self) -> None:
        prompts = prompts_of(TEMPLATES)
        assert len({text for text, _, _ in prompts}) == 8
        assert prompts[0] == ("When John and Mary went to the shops, John gave the bag to", " Mary", " John")
        assert prompts[1] == ("When John and Mary went to the shops, Mary gave the bag to", " John", " Mary")
        for text, right, giver in prompts:
            assert (text.count(right.strip()), text.count(giver.strip())) == (1, 2)

    def test_names_are_single_tokens_of_gpt2(self) -> None:
        if not (SHARED_GPT2 / "vocab.json").is_file():
            pytest.skip(f"no vocabulary in {SHARED_GPT2}")
        tokenizer = Tokenizer.load(SHARED_GPT2)
        prompts = prompts_of(TEMPLATES)
        assert all(len(tokenizer.encode(name)) == 1 for _, *names in prompts for name in names)
        lengths = [len(tokenizer.encode(text)) for text, _, _ in prompts]
        assert lengths[::2] == lengths[1::2]

    def test_means_are_those_of_plain_runs(self) -> None:
        model, prompts = glassformer.load(), prompts_of(STORIES)
        begin = start_id(model.config, model.recommended)
        expected = []
        for text, right, giver in prompts:
            row = model.logits([begin, *model.ids(text)])[-1]
            expected.append(row[model.ids(right)[0]] - row[model.ids(giver)[0]])
        assert np.ptp(expected) > 1
        found = identify(model, prompts)
        assert found.difference == pytest.approx(np.mean(expected), abs=1e-3)
        assert found.heads.shape == (model.config.n_layer, model.config.n_head)
        assert found.heads.sum() + found.rest == pytest.approx(found.difference, abs=1e-3)

    def test_heads_are_measured_in_folded_coordinates_without_the_value_bias(self) -> None:
        """Written out from the checkpoint's tensors, for the head that adds most."""
        model, prompts = glassformer.load(), prompts_of(STORIES)[:1]
        text, right, giver = prompts[0]
        heads = identify(model, prompts).heads
        layer, head = divmod(int(np.abs(heads).argmax()), model.config.n_head)
        ids = [start_id(model.config, model.recommended), *model.ids(text)]
        cache = model.run_with_cache(ids, ["*.hook_z", "ln_final.hook_scale"], positions=-1)[1]
        with open_weights(EMBEDDED) as files:
            w = {name.removeprefix("transformer."): files[name].astype(np.float64) for name in files}
        at, size, width = f"h.{layer}.", model.config.head_dim, model.config.n_embd
        rows = slice(head * size, (head + 1) * size)
        bias = w[at + "attn.c_attn.bias"] + w[at + "ln_1.bias"] @ w[at + "attn.c_attn.weight"]  # [3 * n_embd]
        z = cache["z", layer][0, head] - bias[2 * width :][rows]  # [head_dim]
        written = z @ w[at + "attn.c_proj.weight"][rows]  # [n_embd]
        toward = w["ln_f.weight"] * (w["wte.weight"][model.ids(right)[0]] - w["wte.weight"][model.ids(giver)[0]])
        share = (written - written.mean()) @ toward / cache["ln_final.hook_scale"][0, 0]
        assert abs(share) > 0.3
        assert heads[layer, head] == pytest.approx(share, rel=1e-3)


@pytest.fixture(scope="module")
def gpt2() -> glassformer.Model:
    return glassformer.load(os.environ[VARIABLE], dtype="f32")


@pytest.fixture(scope="module")
def found(gpt2: glassformer.Model) -> Found:
    return identify(gpt2, prompts_of(TEMPLATES))


@needs_gpt2
class TestIndirectObject:
    def test_the_model_prefers_the_right_name(self, found: Found) -> None:
        assert found.difference == pytest.approx(3.55, abs=0.02)

    @pytest.mark.parametrize(("layer", "head", "share"), [(9, 9, 1.96), (9, 6, 1.63), (10, 7, -1.43)])
    def test_name_movers(self, found: Found, layer: int, head: int, share: float) -> None:
        assert found.heads[layer, head] == pytest.approx(share, abs=0.03)

    def test_no_head_does_more(self, found: Found) -> None:
        order = np.argsort(found.heads, axis=None)
        assert divmod(int(order[-1]), 12) == (9, 9)
        assert divmod(int(order[0]), 12) == (10, 7)

    def test_the_parts_are_the_whole(self, found: Found) -> None:
        assert found.heads.sum() + found.rest == pytest.approx(found.difference, rel=1e-3)


@needs_gpt2
class TestHeads:
    """On other random tokens than those of the published run, so within a few hundredths."""

    @pytest.mark.parametrize(("layer", "head", "score"), [(5, 5, 0.93), (6, 9, 0.92), (7, 10, 0.91), (5, 1, 0.91)])
    def test_induction_heads(self, gpt2: glassformer.Model, layer: int, head: int, score: float) -> None:
        scores = head_scores(gpt2, "induction").scores
        assert scores[layer, head] == pytest.approx(score, abs=0.04)
        assert (layer, head) in [place[:2] for place in head_scores(gpt2, "induction").best(6)]

    def test_previous_token_head(self, gpt2: glassformer.Model) -> None:
        found = head_scores(gpt2, "previous_token")
        assert found.best(1)[0][:2] == (4, 11)
        assert found.scores[4, 11] == pytest.approx(0.985, abs=0.02)

    def test_without_it_the_induction_head_is_weaker(self, gpt2: glassformer.Model) -> None:
        with gpt2.edit(Zero("z", layer=4, head=11)):
            weaker = head_scores(gpt2, "induction").scores[5, 5]
        assert weaker == pytest.approx(0.69, abs=0.1)
