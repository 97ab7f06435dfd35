"""What an observer sees: every site by name and shape. Looking changes no bit, and a change shows in what follows."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import checkpoint, random_ids, save
from gpt2_twin import error, linear, norm, softmax

from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.models.observer import Observation

LAYERS, HEADS, WIDTH, INNER, VOCABULARY, TOKENS = 3, 4, 28, 50, 67, 9
CHANGES: dict[str, object] = {
    "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_inner": INNER, "vocab_size": VOCABULARY,
}  # fmt: skip
IDS = np.array(random_ids(8, TOKENS, VOCABULARY), np.int32)
Arrays = dict[str, npt.NDArray[Any]]

BLOCK_SITES = {
    "hook_resid_pre": (WIDTH,), "ln1.hook_normalized": (WIDTH,), "attn.hook_q": (HEADS, WIDTH // HEADS),
    "attn.hook_k": (HEADS, WIDTH // HEADS), "attn.hook_v": (HEADS, WIDTH // HEADS),
    "attn.hook_z": (HEADS, WIDTH // HEADS),
    "hook_attn_out": (WIDTH,), "hook_resid_mid": (WIDTH,), "ln2.hook_normalized": (WIDTH,), "mlp.hook_pre": (INNER,),
    "mlp.hook_post": (INNER,), "hook_mlp_out": (WIDTH,), "hook_resid_post": (WIDTH,),
}  # fmt: skip
SITES = {
    "hook_embed": (WIDTH,), "hook_pos_embed": (WIDTH,),
    **{f"blocks.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in BLOCK_SITES.items()},
    "ln_final.hook_normalized": (WIDTH,), "hook_logits": (VOCABULARY,),
}  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> GPT2:
    drawn = checkpoint(CHANGES, seed=8)
    return load_network(save(tmp_path_factory.mktemp("sites"), drawn.values, drawn.tensors))


def stretched(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Another value: each element by a factor of its own, which no normalisation and no softmax takes back."""
    return x * np.linspace(0.5, 1.5, x.size, dtype=np.float32).reshape(x.shape)


def capture(network: GPT2, change: str = "") -> Arrays:
    """Every intermediate value by site, in the order in which they come; one may be changed on the way."""
    seen: Arrays = {}

    def call(site: str, x: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        assert site not in seen, f"{site} came twice"
        seen[site] = stretched(x) if site == change else x
        return seen[site] if site == change else None

    observed = Observation(called=frozenset(SITES), call=call)
    network.forward(IDS, network.new_cache(TOKENS), last_only=False, observation=observed)
    return seen


def test_every_site_comes_once_and_in_order(network: GPT2) -> None:
    seen = capture(network)
    assert list(seen) == list(SITES)
    assert {name: x.shape for name, x in seen.items()} == {name: (TOKENS, *shape) for name, shape in SITES.items()}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float32)}


def test_looking_changes_no_bit(network: GPT2) -> None:
    plain = network.forward(IDS, network.new_cache(TOKENS), last_only=False)
    assert np.array_equal(capture(network)["hook_logits"], plain)


def test_the_values_are_what_their_names_say(network: GPT2) -> None:
    """Each site from those before it, in float64 with the checkpoint's weights."""
    seen, w = capture(network), checkpoint(CHANGES, seed=8).tensors
    near = 1e-5
    assert np.array_equal(seen["hook_embed"], w["wte.weight"][IDS].astype(np.float32))
    assert np.array_equal(seen["hook_pos_embed"], w["wpe.weight"][:TOKENS].astype(np.float32))
    assert error(seen["blocks.0.hook_resid_pre"], seen["hook_embed"] + seen["hook_pos_embed"]) < near
    for layer in range(LAYERS):
        s = {name: seen[f"blocks.{layer}.{name}"].astype(np.float64) for name in BLOCK_SITES}
        assert error(s["ln1.hook_normalized"], norm(w, f"h.{layer}.ln_1", s["hook_resid_pre"], 1e-5)) < near
        qkv = linear(w, f"h.{layer}.attn.c_attn", s["ln1.hook_normalized"])
        for name, part in zip("qkv", np.split(qkv, 3, axis=1), strict=True):
            assert error(s[f"attn.hook_{name}"].reshape(TOKENS, WIDTH), part) < near
        scores = np.einsum("qhd,khd->hqk", s["attn.hook_q"], s["attn.hook_k"]) / (WIDTH // HEADS) ** 0.5
        pattern = softmax(np.where(np.tri(TOKENS, dtype=bool), scores, -np.inf))
        assert error(s["attn.hook_z"], np.einsum("hqk,khd->qhd", pattern, s["attn.hook_v"])) < near
        z = s["attn.hook_z"].reshape(TOKENS, WIDTH)
        assert error(s["hook_attn_out"], linear(w, f"h.{layer}.attn.c_proj", z)) < near
        assert error(s["hook_resid_mid"], s["hook_resid_pre"] + s["hook_attn_out"]) < near
        assert error(s["mlp.hook_pre"], linear(w, f"h.{layer}.mlp.c_fc", s["ln2.hook_normalized"])) < near
        assert error(s["hook_mlp_out"], linear(w, f"h.{layer}.mlp.c_proj", s["mlp.hook_post"])) < near
        assert error(s["hook_resid_post"], s["hook_resid_mid"] + s["hook_mlp_out"]) < near
    assert error(seen["hook_logits"], seen["ln_final.hook_normalized"] @ w["wte.weight"].T) < near


@pytest.mark.parametrize("site", SITES)
def test_a_change_shows_in_what_follows_and_nowhere_before(site: str, network: GPT2) -> None:
    plain, changed = capture(network), capture(network, site)
    order = list(SITES)
    place = order.index(site)
    for name in order[:place]:
        assert np.array_equal(plain[name], changed[name]), name
    assert np.abs(plain["hook_logits"] - changed["hook_logits"]).max() > 1e-3


def test_a_replaced_value_is_used_as_given(network: GPT2) -> None:
    """Patching a run with values of another makes it that run from there on, whatever their memory order."""
    donor = capture(network, "hook_embed")
    for order in (np.ascontiguousarray, np.asfortranarray):
        patched = partial(replaced, order(donor["blocks.1.hook_resid_pre"]))
        observed = Observation(called=frozenset(["blocks.1.hook_resid_pre"]), call=patched)
        logits = network.forward(IDS, network.new_cache(TOKENS), last_only=False, observation=observed)
        assert np.array_equal(logits, donor["hook_logits"])


def replaced(value: npt.NDArray[Any], _: str, __: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A function that gives a value for any other."""
    return value


def test_an_observer_sees_decoding_too(network: GPT2) -> None:
    cache = network.new_cache(TOKENS)
    network.forward(IDS[:-1], cache)
    seen: Arrays = {}
    observed = Observation(called=frozenset(SITES), call=seen.__setitem__)
    network.forward(IDS[-1:], cache, observation=observed)
    whole = capture(network)
    assert all(np.array_equal(seen[name], whole[name][-1:]) for name in SITES)
