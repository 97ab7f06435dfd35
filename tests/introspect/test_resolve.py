"""From interventions to edits: held to NumPy's indexing, site by site."""

import numpy as np
import pytest
from edit_cases import CASES, CONFIG, TOKENS, VOCABULARY, Case, apply, drawn

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.interventions import Add, Freeze, Intervention, Mean, Patch, Scale, Zero
from glassformer.introspect.places import named_sites, runs, short
from glassformer.introspect.resolve import resolve
from glassformer.introspect.sites import sites

SHAPES = {site.name: site.shape(TOKENS) for site in sites(CONFIG)}


@pytest.mark.parametrize("name", CASES)
def test_edits_do_what_the_selectors_say(name: str) -> None:
    case: Case = CASES[name]
    edits = resolve(CONFIG, [case.intervention], TOKENS)
    assert {edit.site for edit in edits} <= set(case.sites)
    for site in case.sites:
        found = drawn(*SHAPES[site])
        expected = found.copy()
        case.change(expected)
        for edit in edits:
            if edit.site == site:
                apply(edit, found, np.arange(TOKENS))
        np.testing.assert_array_equal(found, expected)


def test_several_come_in_the_order_given() -> None:
    several = [Add("z", 1, layer=0, head=0), Scale("z", 3, layer=0), Zero("z", layer=0, head=1)]
    found = np.full(SHAPES["blocks.0.attn.hook_z"], 2, np.float32)
    for edit in resolve(CONFIG, several, TOKENS):
        apply(edit, found, np.arange(TOKENS))
    assert [set(found[:, head].ravel()) for head in range(3)] == [{9.0}, {0.0}, {6.0}]


def touched(intervention: Intervention, prompt_length: int, total: int) -> list[int]:
    """The positions of a text that an intervention changes."""
    found = np.ones((total, 3, 8), np.float32)
    for edit in resolve(CONFIG, [intervention], prompt_length):
        apply(edit, found, np.arange(total))
    return np.flatnonzero((found != 1).any((1, 2))).tolist()


@pytest.mark.parametrize(
    ("position", "step", "expected"),
    [
        (None, None, [0, 1, 2, 3, 4, 5, 6]),
        (None, 0, [0, 1, 2, 3]),
        (None, 1, [4]),
        (None, [3, 1], [4, 6]),
        (None, slice(1, None), [4, 5, 6]),
        (None, slice(0, 2), [0, 1, 2, 3, 4]),
        (None, slice(1, None, 2), [4, 6]),
        (None, 90, []),
        (-1, None, [3]),
        (-4, None, [0]),
        (5, None, [5]),
        (slice(-2, None), None, [2, 3, 4, 5, 6]),
        (slice(-2, None), 0, [2, 3]),
        (slice(None, -1), None, [0, 1, 2]),
        (slice(1, 6, 2), slice(1, None), [5]),
        ([0, 5, -1], slice(0, 1), [0, 3]),
        (slice(-9, 1), None, [0]),
        (slice(40, 90), None, []),
    ],
)
def test_positions_and_steps(position, step, expected) -> None:
    assert touched(Zero("z", layer=0, position=position, step=step), 4, 7) == expected


def test_rows_that_are_more_than_the_positions_are_not_used() -> None:
    rows = Patch("z", drawn(9, 3, 8), layer=0, step=1)
    assert touched(rows, 4, 7) == [4]
    assert touched(Patch("z", drawn(2, 3, 8), layer=0), 4, 7) == [0, 1]
    assert touched(Patch("z", drawn(2, 3, 8), layer=0, step=90), 4, 7) == []
    assert touched(Freeze("z", drawn(2, 3, 8), layer=0, step=1), 4, 7) == []


def test_one_edit_for_each_run_of_numbers() -> None:
    edits = resolve(CONFIG, [Zero("z", layer=1, head=[0, 1]), Zero("post", layer=0, neuron=[5, 6, 2])], TOKENS)
    assert [(edit.begin, edit.width) for edit in edits] == [(0, 16), (5, 2), (2, 1)]
    (whole,) = resolve(CONFIG, [Zero("pattern", layer=0)], TOKENS)
    assert (whole.begin, whole.width, whole.head, whole.positions) == (0, None, None, None)
    assert list(runs([3, 4, 5, 9, 1, 2])) == [(0, 3, 3), (3, 9, 1), (4, 1, 2)]


def test_names_full_short_and_globs() -> None:
    def names(name, layer=None):
        return [site.name for site in named_sites(CONFIG, name, layer)]

    assert names("z") == names("hook_z") == names("attn.hook_z") == names("blocks.*.hook_z")
    assert names("z", -1) == names("blocks.*.attn.hook_z", 1) == ["blocks.1.attn.hook_z"]
    assert names("embed") == ["hook_embed"]
    assert names("ln2.scale", 0) == ["blocks.0.ln2.hook_scale"]
    assert len(names("*")) == len(sites(CONFIG))
    assert [
        name for name in SHAPES if named_sites(CONFIG, short(name))[0].name.split(".")[-1] != name.split(".")[-1]
    ] == []


REFUSED: dict[str, tuple[Intervention, str]] = {
    "unknown site": (Zero("hook_zz"), "'hook_zz' names no site of this model; .*or short: embed, pos_embed, resid_pre"),
    "layer too high": (Zero("z", layer=2), r"2 is not among the 2 layers \(0 to 1, or -2 to -1\)"),
    "layer of a site without": (Zero("logits", layer=0), "hook_logits is not in layer 0; leave `layer` out"),
    "head too high": (Zero("z", head=3), "3 is not among the 3 heads of blocks.0.attn.hook_z"),
    "head twice": (Zero("z", head=[2, -1]), r"\[2, -1\] names 2 twice"),
    "no head": (Zero("z", head=slice(3, 9)), r"slice\(3, 9\) picks none of the 3 heads"),
    "head where none is": (Zero("resid_post", head=0), "blocks.0.hook_resid_post has no heads; leave `head` out"),
    "neuron too high": (Zero("post", neuron=96), "96 is not among the 96 neurons of blocks.0.mlp.hook_post"),
    "token too high": (Zero("logits", neuron=VOCABULARY), "65 is not among the 65 tokens of the vocabulary"),
    "key where none is": (Zero("z", key=0), "blocks.0.attn.hook_z has no keys; leave `key` out"),
    "neuron of a pattern": (Zero("pattern", neuron=0), "has no neurons; leave `neuron` out"),
    "position too high": (Zero("z", position=48), "there is no position 48: the model has 48 positions"),
    "position too low": (Zero("z", position=-7), "there is no position -7: .*the prompt 6 tokens"),
    "key too low": (Zero("pattern", key=-7), "there is no position -7"),
    "position twice": (Zero("z", position=[5, -1]), "names 5 twice"),
    "value of a wrong width": (
        Add("resid_post", drawn(23), layer=0),
        r"value of add at blocks.0.hook_resid_post has shape \(23,\); .*\[any, 24\]",
    ),
    "value of too many axes": (Add("z", drawn(1, 3, 8), layer=0, position=0), r"broadcasts to \[3, 8\]"),
    "value by wrong heads": (Patch("z", drawn(2, 8), layer=0), r"broadcasts to \[any, 3, 8\]"),
    "value by wrong positions": (
        Patch("z", drawn(2, 3, 8), layer=0, position=[1, 2, 3]),
        "a row for each of the 3 positions",
    ),
    "value by wrong keys": (Patch("pattern", drawn(2), layer=0, key=[1, 2, 3]), "a number for each of the 3 keys"),
    "value of more keys": (Patch("pattern", drawn(50), layer=0), "a number for each of the 48 keys"),
    "mean of a part": (
        Mean("z", drawn(8), layer=0, head=0),
        r"has shape \(8,\); expected a whole row of the site, \(3, 8\)",
    ),
    "mean of a pattern": (Mean("pattern", drawn(3, 6), layer=0), "have no mean; use Patch"),
    "frozen to a part": (
        Freeze("z", drawn(6, 8), layer=0, head=0),
        r"the site's whole array, \[tokens, n_head 3, head_dim 8\]",
    ),
    "frozen to an oblong": (Freeze("pattern", drawn(3, 5, 6), layer=0), "n_head 3, queries, keys"),
    "frozen to a number": (Freeze("z", 1.0, layer=0), r"has shape \(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_the_model_is_refused(name: str) -> None:
    intervention, message = REFUSED[name]
    with pytest.raises(IntrospectionError, match=message):
        resolve(CONFIG, [intervention], TOKENS)
