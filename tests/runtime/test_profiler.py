"""Profiles: what they count is what ran, threads' times add up, the trace is one that Perfetto opens."""

import json
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassformer.kernels.launch import BEGAN, ENDED, TIMED, TIMES, WORD, WORKED
from glassformer.models.config import GPT2Config
from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.runtime.chrome_trace import chrome_trace, write_trace
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Cost, Eager
from glassformer.runtime.machine import Machine
from glassformer.runtime.plan import Recorder
from glassformer.runtime.profile import Anchor, Line, Listing, Profile, Replay, launch_spans
from glassformer.runtime.profiler import ProfileError, profile
from glassformer.runtime.sampling import MOST, Sampler

STORY = Path(__file__).parents[2] / "src" / "glassformer" / "models" / "story"
MACHINE = Machine(10.0, 100.0, 400.0)


@pytest.fixture(scope="module")
def network() -> GPT2:
    return load_network(STORY, threads=2)


def ids(count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.arange(1, count + 1, dtype=np.int32)


def generated(network: GPT2, steps: int = 3) -> Profile:
    """A prompt of ten tokens and some steps."""
    cache = network.new_cache(64)
    network.forward(ids(10), network.new_cache(10))
    network.forward(ids(1), network.new_cache(1))
    with profile(network.ops.executor) as found:
        network.forward(ids(10), cache)
        for _ in range(steps):
            network.forward(ids(1), cache)
    return found


def test_same_bits_and_the_executor_is_left_as_it_was(network: GPT2) -> None:
    executor: Any = network.ops.executor
    plain = [network.forward(ids(n), network.new_cache(16)) for n in (7, 1)]
    pool = executor.pool()
    with profile(executor):
        watched = [network.forward(ids(n), network.new_cache(16)) for n in (7, 1)]
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    assert executor.watch is None
    assert executor.pool() is pool


def test_a_profile_that_another_thread_ends_leaves_out_no_launch(network: GPT2) -> None:
    """Many tokens are decoded in one go, and the profile may end meanwhile."""
    executor: Any = network.ops.executor

    def decoded() -> list[Any]:
        sampler = network.sampler()
        sampler.ask(None, ())
        network.decode(1, network.new_cache(8), sampler, 8)
        return sampler.found()

    plain = decoded()
    with profile(executor):
        watch = executor.watch
        timed = watch.pool.timed

        def ending(records: Any) -> Any:
            executor.watch = None
            watch.pool.close()
            return timed(records)

        watch.pool.timed = ending
        assert decoded() == plain
        assert executor.watch is None
    assert decoded() == plain


def test_workers_of_a_profile_end_with_it(network: GPT2) -> None:
    network.forward(ids(5), network.new_cache(5))
    before = threading.active_count()
    for _ in range(5):
        with profile(network.ops.executor):
            pass
    until = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_profile_is_shown_in_a_line(network: GPT2) -> None:
    found = generated(network)
    most = found.operations()[0]
    assert f"{found!r}".startswith("<Profile: 13 tokens in 4 passes, ")
    assert f"{most.name} {most.seconds / sum(line.seconds for line in found.operations()):.0%}" in f"{found!r}"
    with profile(network.ops.executor) as still:
        assert "still watching" in f"{still!r}"
    assert f"{still!r}".startswith("<Profile: 0 tokens in 0 passes")


def test_calls_are_split_into_prompt_and_decoding(network: GPT2) -> None:
    found = generated(network)
    assert [replay.rows for replay in found.replays] == [10, 1, 1, 1]
    assert (found.prefill.tokens, found.decode.tokens) == (10, 3)
    assert [replay.row_keys for replay in found.replays] == [55, 11, 12, 13]


def test_every_launch_was_timed_within_its_call(network: GPT2) -> None:
    found = generated(network)
    for replay in found.replays:
        worked = replay.times[:, :, WORKED] > 0
        assert worked.any(axis=0).all(), "each launch ran on some thread"
        began, ended = (found.nanoseconds(replay.times[:, :, place])[worked] for place in (BEGAN, ENDED))
        assert (began <= ended).all()
        slack = 50_000 + 0.01 * (replay.ended - replay.began)
        assert began.min() >= replay.began - slack
        assert ended.max() <= replay.ended + slack
        assert (replay.times[0, replay.listing.alone, WORKED] > 0).all(), "the leader does what one does alone"


def test_launches_come_one_after_the_other(network: GPT2) -> None:
    found = generated(network)
    slack = 5e-6 / found.tick  # a processor reads the counter before what it waits for has come, if it guesses right
    for _, _, began, ended in found.plans():
        assert (began[:, 1:] >= ended[:, :-1] - slack).all()


def test_operations_and_layers_sum_to_the_same(network: GPT2) -> None:
    decode = generated(network).decode
    by_operation, by_layer, spans = decode.operations(), decode.layers(), decode.spans()
    for what in ("seconds", "bytes", "flops", "calls"):
        sums = [sum(getattr(line, what) for line in lines) for lines in (by_operation, by_layer)]
        assert sums[0] == pytest.approx(sums[1])
    assert sum(line.seconds for line in by_layer) == pytest.approx(spans.launches)
    layers = [line.name for line in by_layer]
    assert layers == ["embed", *(f"blocks.{i}.{part}" for i in range(6) for part in ("attn", "mlp")), "unembed"]


def test_bytes_are_those_of_the_weights_and_flops_those_of_the_products(network: GPT2) -> None:
    decode = generated(network, 4).decode
    weights = network.weights
    read = 4 * (weights.nbytes - weights.wpe.nbytes)
    products = 4 * 2 * (6 * 12 * 192 * 192 + 192 * 2048)
    attention = 6 * 4 * 192 * (11 + 12 + 13 + 14)
    assert read < sum(line.bytes for line in decode.layers()) < 1.1 * read
    assert products + attention <= sum(line.flops for line in decode.layers()) < 1.05 * (products + attention)


def test_times_of_a_thread_sum_to_the_calls(network: GPT2) -> None:
    found = generated(network)
    calls = sum(replay.ended - replay.began for replay in found.replays) / 1e9
    threads = found.threads()
    assert [thread.thread for thread in threads] == [0, 1]
    for thread in threads:
        parts = (thread.working, thread.waiting, thread.idle, thread.between)
        assert sum(parts) == pytest.approx(calls)
        assert min(parts[:3]) >= 0
    assert threads[0].idle == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads(threads: int) -> None:
    found = generated(load_network(STORY, threads=threads), 2)
    assert [thread.thread for thread in found.threads()] == list(range(threads))
    assert all((replay.times[:, :, WORKED] > 0).any(axis=0).all() for replay in found.replays)
    assert found.tokens == 12


def test_trace_has_a_track_for_each_thread(network: GPT2, tmp_path: Path) -> None:
    found = generated(network)
    path = tmp_path / "trace.json"
    write_trace(found, path)
    trace = json.loads(path.read_text(encoding="utf8"))
    assert trace == json.loads(json.dumps(chrome_trace(found)))
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert sum(event["tid"] == 0 for event in slices) == len(found.replays)
    assert {event["tid"] for event in slices} >= {0, 1}
    assert all(event["dur"] >= 0 and event["ts"] > -100 for event in slices)
    names = {event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert names == {"passes", "thread 0 (leads)", "thread 1"}
    for track in (0, 1, 2):  # slices of a track do not overlap, or Perfetto would drop some
        spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in slices if e["tid"] == track)
        assert all(a[1] <= b[0] + 0.01 for a, b in pairwise(spans))


def test_json_has_everything(network: GPT2) -> None:
    found = generated(network)
    found.__dict__["machine"] = MACHINE
    told = json.loads(json.dumps(found.decode.as_json(), allow_nan=False))
    assert (told["passes"], told["tokens"], told["threads"]) == (3, 3, 2)
    assert set(told["seconds"]) == {"launches", "between_launches", "python"}
    assert {"name", "calls", "seconds", "bytes", "flops", "share_of_read", "share_of_peak"} <= set(
        told["operations"][0]
    )
    assert told["memory"]
    assert all(moment > 0 and size > 0 for moment, size in told["memory"]) or not Path("/proc").exists()


def test_operations_run_at_once_are_seen_too() -> None:
    ops = Ops(Eager(2))
    with profile(ops.executor) as found:  # type: ignore[arg-type]
        x = ops.matmul(np.ones((200, 300), np.float32), np.ones((300, 400), np.float32))
    assert (x == 300).all()
    assert [line.name for line in found.operations()] == ["matmul"]
    assert found.operations()[0].flops == 2 * 200 * 300 * 400


def test_list_longer_than_the_room_for_times() -> None:
    executor = Eager(2)
    recorder = Recorder(executor)
    ops, x = Ops(recorder), np.ones(8, np.float32)
    for _ in range(TIMED + 5):
        y = ops.add(x, x)
    plan = recorder.plan([y])
    with profile(executor) as found:
        plan.replay_unseen()
        plan.replay()
    assert len(found.replays) == 1
    assert found.replays[0].times.shape == (2, TIMED + 5, TIMES)
    assert (found.replays[0].times[0, :, WORKED] > 0).all()
    assert sum(line.calls for line in found.operations()) == TIMED + 5


def test_what_is_not_measured_has_the_same_workers() -> None:
    """Choosing tokens is not the model's work. Workers beside those of the profile would take their processors."""
    executor, logits = Eager(2), np.linspace(0, 1, 200_000, dtype=np.float32)
    sampler = Sampler(len(logits), executor)
    own = executor.pool()
    before = own.control[WORD]
    assert sampler.choose(logits) is not None
    assert own.control[WORD] != before
    before = own.control[WORD]
    with profile(executor) as found:
        chosen = sampler.choose(logits)
    assert chosen is not None
    assert chosen[0] == len(logits) - 1
    assert own.control[WORD] == before
    assert not found.replays


def test_passes_of_one_native_call_are_told_apart(network: GPT2) -> None:
    """Choosing a token lies between them."""
    cache, sampler = network.new_cache(64), network.sampler()

    def decode(count: int) -> list[Any]:
        cache.truncate(0)
        network.forward(ids(10), cache)
        sampler.ask(None, [])
        network.decode(7, cache, sampler, count)
        return sampler.found()

    plain = decode(MOST)
    with profile(network.ops.executor) as found:
        assert decode(MOST) == plain
    assert [replay.rows for replay in found.replays] == [10] + [1] * MOST
    assert [replay.row_keys for replay in found.replays] == [55, *range(11, 11 + MOST)]
    moments = [moment for replay in found.replays for moment in (replay.began, replay.ended, replay.left)]
    assert moments == sorted(moments)
    passes, names = found.decode, found.replays[1].listing.operations
    assert all(line.calls == MOST * names.count(line.name) for line in passes.operations())
    assert not any(line.name.startswith("sampling") for line in passes.operations())
    spans = passes.spans()
    assert spans.launches > 0
    assert spans.between_launches > 0
    assert spans.python > 0
    noting = sum(replay.left - replay.ended for replay in passes.replays[:-1])
    whole = passes.replays[-1].ended - passes.replays[0].began - noting
    assert spans.total == pytest.approx(whole / 1e9)


def test_profile_within_a_profile_is_refused(network: GPT2) -> None:
    with profile(network.ops.executor), pytest.raises(ProfileError, match="already"), profile(network.ops.executor):
        pass
    assert network.ops.executor.watch is None


def test_error_within_ends_the_profile(network: GPT2) -> None:
    with pytest.raises(ZeroDivisionError), profile(network.ops.executor) as found:
        _ = 1 / 0
    assert network.ops.executor.watch is None
    assert found.end is not None


def test_reference_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSFORMER_KERNELS", "reference")
    with pytest.raises(ProfileError, match="GLASSFORMER_KERNELS"), profile(Eager(1)):
        pass


def test_nothing_watched_is_an_empty_profile(network: GPT2) -> None:
    with profile(network.ops.executor) as found:
        pass
    assert (found.operations(), found.layers(), found.memory, found.tokens) == ([], [], [], 0)
    assert found.spans().total == 0


def test_arithmetic_of_two_threads_and_two_launches() -> None:
    """Ticks of 1 ns: thread 0 works 100-200 and 250-300, thread 1 110-260 on the first launch only."""
    times = np.zeros((2, 2, TIMES), np.int64)
    times[0, 0], times[1, 0], times[0, 1] = (100, 200, 100), (110, 260, 150), (270, 320, 50)
    listing = Listing(("a", "b"), ("x.y", "x.y"), (Cost(8, 40), Cost(0, 2, 3, 5)), np.array([False, True]))
    replay = Replay(listing, 90, 330, 340, times, np.array([[0, 2, 2, 0], [2, 1, 6, 4]]))  # 3 + 4 + 7 keys; 4 + 7
    found = Profile(Eager(2), Anchor(0, 0), Anchor(1000, 1000), [replay])
    assert [a.tolist() for a in launch_spans(times[None])] == [[[100, 270]], [[260, 320]]]
    ns = 1e-9
    first, second = found.operations()
    assert (first.name, first.seconds, first.bytes, first.flops) == ("y a", pytest.approx(160 * ns), 40, 8)
    assert (second.name, second.seconds, second.bytes, second.flops) == ("y b", pytest.approx(50 * ns), 57, 42)
    found_times = [(t.working, t.waiting, t.idle, t.between) for t in found.threads()]
    assert found_times[0] == pytest.approx((150 * ns, 60 * ns, 0, 30 * ns))
    assert found_times[1] == pytest.approx((150 * ns, 10 * ns, 50 * ns, 30 * ns))
    assert found.spans().between_launches == pytest.approx(30 * ns)


def test_repeated_kernels_of_a_part_are_numbered() -> None:
    scopes = ("blocks.0.mlp", "blocks.0.mlp", "blocks.0.mlp", "blocks.1.mlp", "")
    listing = Listing(("mm", "q", "mm", "mm", "mm"), scopes, (Cost(),) * 5, np.zeros(5, np.bool_))
    assert listing.operations == ("mlp mm", "mlp q", "mlp mm 2", "mlp mm", "mm")


def test_shares_hold_integers_against_their_own_peak() -> None:
    assert Line("a", 1, 1.0, 5 * 10**9, 50 * 10**9, integer=False).share_of_peak(MACHINE) == 0.5
    assert Line("a", 1, 1.0, 5 * 10**9, 50 * 10**9, integer=True).share_of_peak(MACHINE) == 0.125
    assert Line("a", 1, 1.0, 5 * 10**9, 0, integer=True).share_of_read(MACHINE) == 0.5
    assert Line("a", 0, 0.0, 0, 0, integer=False).gigabytes == 0


def test_positions_that_attention_looks_at() -> None:
    tiles = np.array([[0, 3, 10, 0], [3, 1, 0, 4]], np.int64)  # rows 10, 11, 12 of one sequence, row 0 of another
    replay = Replay(Listing((), (), (), np.zeros(0, np.bool_)), 0, 0, 0, np.zeros((1, 0, TIMES), np.int64), tiles)
    assert (replay.rows, replay.row_keys, replay.tile_keys) == (4, 11 + 12 + 13 + 1, 13 + 1)


@pytest.mark.slow
def test_watching_costs_little(tmp_path: Path) -> None:
    """Under 3 % of a decode step of the 124M shape, one by one and choosing on the way: the better ones, in turns."""
    from glassformer.formats.safetensors import save_safetensors
    from glassformer.models.config import expected_tensors

    config = GPT2Config()
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape, np.float32) for name, shape in expected_tensors(config).items()}
    save_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "tie_word_embeddings": True}))
    network = load_network(tmp_path, dtype="q8")
    cache, sampler = network.new_cache(64), network.sampler()

    def steps() -> list[float]:
        cache.truncate(0)
        moments = [time.perf_counter()]
        for _ in range(20):
            network.forward(ids(1), cache)
            moments.append(time.perf_counter())
        return [b - a for a, b in pairwise(moments)][4:]  # the first ones wake the workers

    def strides() -> list[float]:
        found = []
        for _ in range(3):
            cache.truncate(0)
            sampler.ask(None, [])
            start = time.perf_counter()
            network.decode(1, cache, sampler, MOST)
            found.append((time.perf_counter() - start) / MOST)
        return found[1:]

    for run in (steps, strides):
        run()
        plain: list[float] = []
        watched: list[float] = []
        with profile(network.ops.executor):
            profiler = network.ops.executor.watch
            for _ in range(60):
                network.ops.executor.watch = None
                plain += run()
                network.ops.executor.watch = profiler
                watched += run()
        assert np.percentile(watched, 10) < 1.03 * np.percentile(plain, 10), run.__name__
