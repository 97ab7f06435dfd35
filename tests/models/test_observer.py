"""What a pass captures and changes by launches: the bits of the logits stay, and values are those of one whole pass."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import checkpoint, random_ids, save

from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.models.observer import Edit, Observation, Resume
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.frames import Captured, Frame, FrameLayout, FrameStore
from glassformer.runtime.memory import aligned
from glassformer.runtime.sampling import Sampler

Float32 = npt.NDArray[np.float32]
SHAPE: dict[str, object] = {
    "n_layer": 2, "n_head": 4, "n_embd": 64, "n_inner": 96, "vocab_size": 67, "n_positions": 160,
}  # fmt: skip
TOKENS = 70  # more than a block of the cache
IDS = np.array(random_ids(4, TOKENS, 67), np.int32)
KINDS = [("f32", "f32"), ("f32", "q8"), ("q8", "f16"), ("q4", "f16"), ("q8", "q8")]  # of weights and caches


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    drawn = checkpoint(SHAPE, seed=5)
    return save(tmp_path_factory.mktemp("observed"), drawn.values, drawn.tensors)


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def network(request: pytest.FixtureRequest, folder: Path) -> GPT2:
    dtype, cache_dtype = request.param
    return load_network(folder, dtype=dtype, cache_dtype=cache_dtype, threads=2)


@pytest.fixture(scope="module")
def plain(folder: Path) -> GPT2:
    return load_network(folder, threads=1)


def frame_for(network: GPT2, names: Sequence[str], kept: Sequence[Sequence[int]], keys: int) -> Frame:
    """Room for some positions of each sequence."""
    rows = []
    for number, positions in enumerate(kept):
        first = sum(len(each) for each in kept[:number])
        rows.append(np.full(keys, -1))
        rows[-1][list(positions)] = np.arange(first, first + len(positions))
    layout = FrameLayout({name: network.places[name] for name in names}, sum(map(len, kept)), keys)
    return Frame(layout, aligned(layout.count + 1, np.float32), rows)


def run(network: GPT2, observation: Observation, ids: npt.NDArray[np.int32] = IDS, steps: Sequence[int] = ()) -> Any:
    """Logits of all tokens and what was captured, in passes that begin at 0 and at each of `steps`."""
    frame = frame_for(network, observation.names, [range(len(ids))], len(ids))
    cache = network.new_cache(len(ids))
    logits = [
        network.forward(part, cache, last_only=False, observation=observation, frame=frame)
        for part in np.split(ids, list(steps))
    ]
    return np.concatenate(logits), Captured(frame, slice(None), len(ids))


def same(a: Float32, b: Float32) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def near(a: Float32, b: Float32) -> float:
    """The largest difference beside the largest value."""
    return float(np.abs(a - b).max() / np.abs(b).max())


# ------------------------------------------------------------ capture


def test_captured_logits_are_the_same_bits(network: GPT2) -> None:
    """Every site alone, and all of them, whole, in chunks and token by token."""
    unobserved = network.forward(IDS, network.new_cache(TOKENS), last_only=False)
    for name in network.places:
        if not name.startswith("blocks.0"):
            assert same(run(network, Observation((name,)))[0], unobserved), name
    logits, whole = run(network, Observation(tuple(network.places)))
    assert same(logits, unobserved)
    pieces, parts = run(network, Observation(tuple(network.places)), IDS, [40, *range(62, TOKENS)])
    assert same(pieces, unobserved)
    for name in whole:
        if name.endswith(("hook_attn_scores", "hook_pattern")):  # each row as far as the pass knew of positions
            assert np.array_equal(parts[name], whole[name]), name
        else:
            assert same(parts[name], whole[name]), name
    assert same(whole["hook_logits"], unobserved)


def test_scores_and_pattern_are_those_of_the_captured_queries_and_keys(network: GPT2) -> None:
    _, found = run(network, Observation(tuple(network.places)))
    held = {"f32": 1e-5, "f16": 2e-3, "q8": 3e-2}[network.layout.kind]  # how caches round keys
    for layer in range(2):
        at = f"blocks.{layer}.attn."
        scores = np.einsum("qhd,khd->hqk", found[at + "hook_q"], found[at + "hook_k"]) * network.scale(layer)
        seen = np.tri(TOKENS, dtype=bool)
        assert (found[at + "hook_attn_scores"][:, ~seen] == -np.inf).all()
        assert near(found[at + "hook_attn_scores"][:, seen], scores[:, seen]) < held
        own = np.where(seen, found[at + "hook_attn_scores"].astype(np.float64), -np.inf)
        weights = np.exp(own - own.max(-1, keepdims=True))
        assert near(found[at + "hook_pattern"], weights / weights.sum(-1, keepdims=True)) < 1e-6
        z = np.einsum("hqk,khd->qhd", found[at + "hook_pattern"], found[at + "hook_v"])
        assert near(found[at + "hook_z"], z) < held


def test_results_of_heads_add_up_to_what_attention_writes(network: GPT2) -> None:
    _, found = run(network, Observation(tuple(network.places)))
    for layer, block in enumerate(network.weights.h):
        total = found[f"blocks.{layer}.attn.hook_result"].sum(1) + block.attn_c_proj.bias
        exact = 1e-6 if network.config.head_dim % 32 == 0 or network.layout.kind == "f32" else 2e-2
        assert near(total, found[f"blocks.{layer}.hook_attn_out"]) < exact


def test_some_positions_of_a_batch(network: GPT2) -> None:
    """Sequences of a batch are captured with the bits that each has alone, and only the rows that were asked for."""
    names = tuple(network.places)
    texts, kept = [IDS[:33], IDS[20:70], IDS[5:6]], [[0, 32], [49], [0]]
    caches = network.new_caches([len(ids) for ids in texts])
    frame = frame_for(network, names, kept, 50)
    parts = list(zip(texts, caches, strict=True))
    network.forward_batch(parts, last_only=False, observation=Observation(names), frame=frame)
    first = 0
    for ids, places in zip(texts, kept, strict=True):
        found = Captured(frame, slice(first, first + len(places)), len(ids))
        alone = run(network, Observation(names), ids)[1]
        for name in names:
            wanted = alone[name][:, places] if network.places[name].square else alone[name][places]
            assert same(np.ascontiguousarray(found[name]), np.ascontiguousarray(wanted)), name
        first += len(places)


# ------------------------------------------------------------ edits


def test_an_edit_that_changes_nothing(network: GPT2) -> None:
    """Scaling by 1 leaves every bit, but where other kernels come in: there it is within 1e-6 relative."""
    unobserved = network.forward(IDS, network.new_cache(TOKENS), last_only=False)
    rerouted = ("hook_attn_scores", "hook_pattern", "hook_result", "hook_scale")
    for name in network.places:
        edited = run(network, Observation(edits=(Edit(name, "scale"),)), IDS, [30, TOKENS - 1])[0]
        if not name.endswith(rerouted):
            assert same(edited, unobserved), name
        elif network.layout.kind == "f32" and name.startswith("blocks"):
            assert near(edited, unobserved) < 1e-5, name  # of logits, after all layers


@pytest.mark.parametrize("kind", ["set", "add", "scale"])
def test_edits_change_what_they_say(plain: GPT2, kind: Any) -> None:
    """A slice of a row at some positions, of every site, as captured there; and what follows changes."""
    before = run(plain, Observation(tuple(plain.places)))[1]
    unobserved = plain.forward(IDS, plain.new_cache(TOKENS), last_only=False)
    for name, place in plain.places.items():
        if place.square:
            continue
        width = int(np.prod(place.shape))
        begin, count = width // 3, max(1, width // 4)
        values = np.linspace(1, 2, 2 * count, dtype=np.float32).reshape(2, count)
        given = {"values": None if kind == "scale" else values, "factor": 1.0 if kind == "set" else 2.0}
        edit = Edit(name, kind, begin=begin, width=count, positions=(50, 7), **given)
        logits, found = run(plain, Observation((name,), (edit,)), IDS, [20])
        expected = np.array(before[name]).reshape(TOKENS, width)
        part = expected[[50, 7], begin : begin + count]
        expected[[50, 7], begin : begin + count] = {"set": values, "add": part + 2 * values, "scale": part * 2}[kind]
        assert same(found[name].reshape(TOKENS, width), expected), name
        rerouted = name.endswith(("hook_scale", "hook_result"))
        assert near(logits[:7], unobserved[:7]) < 1e-5 if rerouted else same(logits[:7], unobserved[:7]), name
        assert not np.array_equal(logits[7:], unobserved[7:]), name


def test_edits_of_scores_and_pattern(plain: GPT2) -> None:
    """One head's view of some positions; the rest of the layer follows from it."""
    site = "blocks.0.attn.hook_"
    names = (site + "attn_scores", site + "pattern", site + "z")
    before = run(plain, Observation(tuple(plain.places)))[1]
    away = Edit(names[0], "set", np.full((1, 1), -1e30, np.float32), head=2, begin=3, width=2, positions=range(5, 60))
    after = run(plain, Observation(names, (away,)), IDS, [41])[1]
    assert np.allclose(after[names[1]][2, 5:60, 3:5], 0)
    assert near(after[names[1]][2, 5:60].sum(-1), np.ones(55, np.float32)) < 1e-6
    others = [0, 1, 3]
    assert near(after[names[1]][others], before[names[1]][others]) < 1e-6
    even = Edit(names[1], "set", np.full((1, 1), 0.5, np.float32), head=1, positions=(9,))
    found = run(plain, Observation(names, (even,)))[1]
    assert (found[names[1]][1, 9, :10] == 0.5).all()
    assert (found[names[1]][1, 9, 10:] == 0).all()
    v = before["blocks.0.attn.hook_v"]
    assert near(found[names[2]][9, 1], 0.5 * v[:10, 1].sum(0)) < 1e-6
    swapped = before[names[1]][[1, 0, 3, 2], 9:10, :10].swapaxes(0, 1)  # [1 row, n_head, keys]
    patch = Edit(names[1], "set", np.ascontiguousarray(swapped), width=10, positions=(9,))
    assert same(run(plain, Observation(names, (patch,)))[1][names[1]][:, 9, :10], swapped[0])


def test_edits_of_sequences_of_a_batch_are_their_own(plain: GPT2) -> None:
    """Variants that one pass computes together have the bits that each has alone; one plan serves all of a kind."""
    ids = IDS[:12]
    edits = [
        Edit("blocks.1.attn.hook_z", "scale", factor=0.0, begin=16 * head, width=16, positions=(11,), part=head)
        for head in range(4)
    ]
    parts = [(ids, cache) for cache in plain.new_caches([12] * 4)]
    observed = Observation(edits=tuple(edits))
    assert len(observed.slots) == 1
    together = plain.forward_batch(parts, observation=observed)
    assert plain.steps is not None
    count = len(plain.steps.steps)
    for head, edit in enumerate(edits):
        alone = Observation(edits=(Edit(edit.site, "scale", factor=0.0, begin=edit.begin, width=16, positions=(11,)),))
        assert same(plain.forward(ids, plain.new_cache(12), observation=alone)[0], together[head])
    assert len(plain.steps.steps) <= count + 1
    assert len({row.tobytes() for row in together}) == 4


def test_edits_reach_decoding_and_the_cache(plain: GPT2) -> None:
    """What is changed in keys and values of the prompt is what later tokens look at."""
    edit = Edit("blocks.0.attn.hook_v", "set", np.zeros((1, 1), np.float32), positions=range(4, 6))
    whole = run(plain, Observation(edits=(edit,)))[0]
    assert same(run(plain, Observation(edits=(edit,)), IDS, range(3, TOKENS))[0], whole)
    cache = plain.new_cache(TOKENS)
    plain.forward(IDS[:20], cache, observation=Observation(edits=(edit,)))
    assert same(plain.forward(IDS[20:], cache, last_only=False), whole[20:])


# ------------------------------------------------------------ starting in the middle


def test_a_pass_resumes_from_a_residual(network: GPT2) -> None:
    """The residual stream before any layer, and before the head, leads to the same bits."""
    logits, found = run(network, Observation(tuple(network.places)))
    for layer in range(3):
        site = "blocks.1.hook_resid_post" if layer == 2 else f"blocks.{layer}.hook_resid_pre"
        resume = Observation(resume=Resume(layer, np.ascontiguousarray(found[site])))
        assert same(network.forward(IDS, network.new_cache(TOKENS), last_only=False, observation=resume), logits)
    doubled = np.concatenate([found["blocks.1.hook_resid_pre"][:30]] * 2)
    parts = [(IDS[:30], cache) for cache in network.new_caches([30, 30])]
    edit = Edit("blocks.1.hook_resid_pre", "scale", factor=0.5, part=1)
    again = network.forward_batch(parts, observation=Observation(edits=(edit,), resume=Resume(1, doubled)))
    assert same(again[0], logits[29])
    assert not np.array_equal(again[1], logits[29])
    assert same(doubled[30:], doubled[:30])  # the caller's array is left alone


# ------------------------------------------------------------ what is refused


def test_what_does_not_fit_is_refused(plain: GPT2) -> None:
    one = np.ones((1, 3), np.float32)
    wrong: list[tuple[str, Any]] = [
        ("nowhere", lambda: Observation(edits=(Edit("nowhere", "scale"),))),
        ("reach beyond", lambda: Observation(edits=(Edit("hook_embed", "set", one, begin=62, width=3),))),
        ("reach beyond", lambda: Observation(edits=(Edit("hook_embed", "scale", begin=60, width=5),))),
        ("for 64 numbers", lambda: Observation(edits=(Edit("hook_embed", "set", one),))),
        ("head 4", lambda: Observation(edits=(Edit("blocks.0.attn.hook_pattern", "scale", head=4),))),
        ("`head`", lambda: Observation(edits=(Edit("hook_embed", "scale", head=0),))),
        ("kind 'zap'", lambda: Edit("hook_embed", "zap")),  # type: ignore[arg-type]
        ("need values", lambda: Edit("hook_embed", "set")),
        ("float64", lambda: Edit("hook_embed", "set", np.ones((1, 1)))),  # type: ignore[arg-type]
        ("2 rows of values", lambda: Edit("hook_embed", "set", np.ones((2, 1), np.float32))),
        ("count from 0", lambda: Edit("hook_embed", "scale", begin=-1)),
        ("residual", lambda: Observation(resume=Resume(1, one))),
        ("layer 3", lambda: Observation(resume=Resume(3, np.zeros((TOKENS, 64), np.float32)))),
        ("is not computed", lambda: Observation(
            edits=(Edit("hook_embed", "scale"),), resume=Resume(1, np.zeros((TOKENS, 64), np.float32)))),
        ("frame", lambda: Observation(("hook_embed",))),
    ]  # fmt: skip
    for message, make in wrong:
        cache = plain.new_cache(TOKENS)
        with pytest.raises(ShapeError, match=message):
            plain.forward(IDS, cache, observation=make())
        assert cache.length == 0


def test_a_frame_that_is_too_small_is_refused(plain: GPT2) -> None:
    names = ("blocks.0.attn.hook_pattern",)
    for frame in (frame_for(plain, names, [range(5)], 20), frame_for(plain, names, [range(20)], 20)):
        layout = FrameLayout(frame.layout.places, frame.layout.rows, 10)
        smaller = Frame(layout, frame.memory, frame.kept)
        with pytest.raises(ShapeError, match="no room"):
            plain.forward(IDS[:20], plain.new_cache(20), observation=Observation(names), frame=smaller)
    crooked = Frame(frame.layout, frame.memory[1:])
    with pytest.raises(ShapeError, match="cache line"):
        plain.forward(IDS[:20], plain.new_cache(20), observation=Observation(names), frame=crooked)


def test_steps_in_one_go(network: GPT2) -> None:
    """Frames that follow one another hold what each step alone captures; what would change steps is refused."""
    assert network.steps is not None
    cache, names = network.new_cache(TOKENS), tuple(network.places)
    network.forward(IDS[:60], cache)
    store = FrameStore(FrameLayout({name: network.places[name] for name in names}, 1, TOKENS), 4)
    sampler = Sampler(network.config.vocab_size)
    sampler.ask(None, [0.0] * 4)
    frame = store.take(60, 9)
    assert frame.steps == 4
    network.decode(int(IDS[60]), cache, sampler, 4, observation=Observation(names), frame=frame)
    tokens = [found[0] for found in sampler.found() if found is not None]
    whole = run(network, Observation(names), np.array([*IDS[:61], *tokens[:3]], np.int32))[1]
    for step in range(4):
        for name, array in Captured(frame, slice(None), 61 + step, step).items():
            seen = whole[name]
            wanted = (
                seen[:, 60 + step : 61 + step, : 61 + step] if network.places[name].square else seen[60 + step :][:1]
            )
            assert np.array_equal(array, wanted), (name, step)
    for wrong in (
        Observation(names, (Edit("hook_embed", "scale"),)),
        Observation(names, called=frozenset(["hook_embed"])),
    ):
        call = replace(wrong, call=None if wrong.edits else print)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match="one another at once"):
            network.decode(3, cache, sampler, 2, observation=call, frame=frame)
    with pytest.raises(ShapeError, match="5 steps need"):
        network.decode(3, cache, sampler, 5, observation=Observation(names), frame=frame)
    assert cache.length == 64


def test_frames_are_used_again(plain: GPT2) -> None:
    store = FrameStore(FrameLayout({"hook_embed": plain.places["hook_embed"]}, 1, TOKENS), 33)
    size = store.layout.count
    frames = [store.take(position, 8) for position in range(4)]
    assert [(each.start // size, each.steps) for each in frames] == [(0, 8), (8, 8), (16, 8), (24, 8)]
    array = frames[2].array("hook_embed", step=2)
    array[:] = 7
    frames.clear()
    again = [store.take(position, 9) for position in range(3)]
    assert [(each.start // size, each.steps) for each in again] == [(0, 9), (9, 7), (32, 1)]  # an array between is held
    for each in again:
        each.memory[:] = 0
    assert (array == 7).all()
    del array, again, each
    frames = [store.take(0, 16) for _ in range(2)]
    assert [each.start // size for each in frames] == [0, 16]
