"""The comparison with peers: its arithmetic, its names, and that it runs where no peer is installed."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import peers
from glassformer.models.config import GPT2Config, read_config
from peer_models import SHAPES, gguf_name, random_tensors, write_model
from peer_rows import GROUPS, Group, Rival, Turns, Work, decode, lookup_row, rival_rows, share_row
from peer_worker import PeerError, Worker, token_ids

BENCHMARKS = Path(peers.__file__).parent
SMALL = GPT2Config(vocab_size=300, n_positions=1024, n_embd=64, n_layer=2, n_head=2)
LLAMA, TORCH = Rival("llama.cpp", "q8_0", 1.3, 2.0), Rival("torch", "f32")
GROUP = Group("decode", decode(100, 50, "decode 50"), "q8", (LLAMA, TORCH), 0.92)


def turns(gigabytes: float) -> Turns:
    """Three rounds: ours 1, 2 and 1 s, llama.cpp's 2, 2 and 3 s."""
    return Turns([1.0, 2.0, 1.0], {LLAMA: [2.0, 2.0, 3.0]}, [(gigabytes, gigabytes)] * 3)


def test_ratio_is_the_median_over_rounds_and_speeds_are_the_best() -> None:
    (row,) = rival_rows(GROUP, LLAMA, turns(30.0))
    assert (row["ratio"], row["tok/s"], row["theirs"], row["of best"]) == (2.0, 50.0, 25.0, 2.0)
    assert (row["goal"], row["met"]) == (1.3, "yes")


def test_rounds_of_fast_memory_have_a_goal_of_their_own() -> None:
    speeds = [(60.0, 60.0), (30.0, 60.0), (57.0, 58.0), (40.0, 40.0), (70.0, 60.0)]
    some = Turns([1.0, 1.0, 1.0, 1.0, 1.0], {LLAMA: [1.9, 1.2, 1.8, 1.2, 1.5]}, speeds)
    every, fast = rival_rows(GROUP, LLAMA, some)
    assert (every["work"], every["ratio"], every["goal"], every["met"]) == ("decode 50", 1.5, 1.3, "yes")
    assert (fast["work"], fast["ratio"]) == ("decode 50, fast memory", 1.8)
    assert (fast["goal"], fast["met"]) == (2.0, "no")


def test_too_few_rounds_of_fast_memory_are_no_row() -> None:
    some = Turns([1.0, 1.0, 1.0], {LLAMA: [1.9, 1.2, 1.8]}, [(60.0, 60.0), (30.0, 60.0), (57.0, 58.0)])
    assert len(rival_rows(GROUP, LLAMA, some)) == 1


def test_rounds_that_others_disturbed_do_not_count_where_quiet_ones_remain() -> None:
    some = Turns([1.0, 4.0], {LLAMA: [2.0, 80.0]}, [(50.0, 50.0), (20.0, 20.0)], [0.01, 0.4])
    assert rival_rows(GROUP, LLAMA, some)[0]["ratio"] == 2.0
    assert some.shares([25e9, 19e9]) == [0.5]
    every = Turns([1.0, 4.0], {LLAMA: [2.0, 80.0]}, [(50.0, 50.0), (20.0, 20.0)], [0.2, 0.4])
    assert rival_rows(GROUP, LLAMA, every)[0]["ratio"] == 11.0


def test_rival_that_does_other_work_is_compared_by_speed() -> None:
    rival = Rival("glassformer", "q8", 0.75, work=decode(0, 100, "decode 100"))
    assert rival_rows(GROUP, rival, Turns([1.0], {rival: [1.0]}, [(0.0, 0.0)]))[0]["ratio"] == 0.5


def test_share_counts_weights_and_the_cache_at_its_mean_length() -> None:
    facts = {"weight_bytes": 10**9 - 125, "token_bytes": 1}  # 100 tokens before, 25 on average of the 50 new
    row = share_row(GROUP, Turns([1.0], {}, [(100.0, 100.0)]), facts)
    assert row["ratio"] == pytest.approx(0.5)
    assert row["theirs"] == pytest.approx(100.0)


def test_rounds_in_which_memory_changed_its_speed_do_not_count() -> None:
    both = Turns(gigabytes=[(30.0, 60.0), (50.0, 50.0)])
    assert both.shares([45e9, 25e9]) == [0.5]
    assert Turns(gigabytes=[(30.0, 60.0)]).shares([45e9]) == [1.0]


def test_prompt_lookup_has_a_goal_for_text_that_repeats_and_one_for_all_other() -> None:
    found = {"plain tok/s": 100.0, "prompt lookup tok/s": 150.0, "ratio": 1.5}
    repeating, other = lookup_row({**found, "text": "code edit"}), lookup_row({**found, "text": "prose: a.md"})
    assert (repeating["goal"], repeating["met"]) == (1.8, "no")
    assert (other["goal"], other["met"], other["tok/s"], other["theirs"]) == (0.97, "yes", 150.0, 100.0)


def test_every_goal_of_the_default_shape_has_a_row() -> None:
    goals = {(g.section, g.kind, r.name): r.goal for g in GROUPS for r in g.rivals if r.goal is not None}
    assert goals["decode", "q4", "llama.cpp q4_0"] == 1.4
    assert goals["prefill", "q8", "ctranslate2 int8"] == 1.45
    assert goals["context", "q8", "own q8, decode 56"] == 0.75
    assert len({group.work.name for group in GROUPS if group.section == "batch"}) == 3
    assert len([r for g in GROUPS for r in g.rivals if r.goal is not None]) == 21


@pytest.mark.parametrize("text", ["", "decode,", "all", "decode prefill"])
def test_unknown_rows_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="there are decode"):
        peers.sections(text)


def test_names_of_gguf() -> None:
    names = {name: gguf_name(name) for name, _ in random_tensors(SMALL, np.float16)}
    assert names["wte.weight"] == "token_embd.weight"
    assert names["h.1.attn.c_proj.bias"] == "blk.1.attn_output.bias"
    assert len(set(names.values())) == len(names) == 4 + 12 * SMALL.n_layer


def test_xl_is_gpt2_xl() -> None:
    config = SHAPES["xl"]
    assert (config.n_layer, config.n_embd, config.n_head, config.head_dim) == (48, 1600, 25, 64)


def test_tokens_never_end_the_text() -> None:
    ids = token_ids(300, 4, 500)
    assert ids.shape == (4, 500)
    assert ids.min() == 1
    assert (ids == token_ids(300, 4, 500)).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, SMALL)
    return tmp_path


def test_written_model_is_read_back(folder: Path) -> None:
    assert read_config(folder).n_embd == SMALL.n_embd


def test_worker_answers_and_refuses(folder: Path) -> None:
    worker = Worker("glassformer", "q8", folder, 1)
    assert worker.facts["weight_bytes"] > 0
    assert len(worker.ask("logits", 8)) == SMALL.vocab_size
    assert worker.ask("prefill", 16) > 0
    assert worker.ask("decode", 4, 3) > 0
    with pytest.raises(PeerError, match="unknown question"):
        worker.ask("sing")


def test_missing_engine_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama_cpp.py").write_text("raise ModuleNotFoundError('none', name='llama_cpp')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(PeerError, match=r"not installed \(llama_cpp\)"):
        Worker("llama.cpp", "f32", folder, 1)


@pytest.mark.slow
def test_runs_without_any_peer(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("llama_cpp", "ctranslate2", "torch", "transformers", "gguf"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('none', name={package!r})")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    command = [sys.executable, str(BENCHMARKS / "peers.py"), "--config", str(folder), "--rows", "decode", "--json"]
    done = subprocess.run([*command, "--rounds", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["against"] for row in rows if row["ratio"] == ""} >= {"llama.cpp q8_0: not installed (llama_cpp)"}
    measured = [row for row in rows if row["against"].startswith("read bandwidth")]
    assert len(measured) == sum(group.section == "decode" for group in GROUPS)


def test_work_knows_its_context() -> None:
    assert decode(100, 50, "").context == 125
    assert Work("", ("prefill", 512), 512).context == 0


@pytest.mark.parity
@pytest.mark.parametrize(
    ("engine", "kind"),
    [("llama.cpp", "f32"), ("llama.cpp", "q8_0"), ("ctranslate2", "float32"), ("onnxruntime", "f32"), ("torch", "f32")],
)
def test_engine_computes_the_same(folder: Path, engine: str, kind: str) -> None:
    own = Worker("glassformer", "f32", folder, 1)
    exact = np.array(own.ask("logits", 24))
    own.close()
    try:
        worker = Worker(engine, kind, folder, 1)
    except PeerError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise
    found = np.array(worker.ask("logits", 24))
    assert np.sum((found - exact) ** 2) <= peers.LARGEST_NMSE[kind] * np.sum(exact**2)
    seconds = [worker.ask(*question) for question in (("prefill", 16), ("decode", 3, 4), ("batch", 2, 3))]
    worker.close()
    assert np.isfinite(seconds).all()  # CTranslate2's are differences of two runs, which may be nothing here
    assert seconds[0] > 0
