"""A profile as a trace of Chrome's format, which ui.perfetto.dev opens: threads as tracks, launches as slices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glassformer.kernels.launch import BEGAN, ENDED, WORKED
from glassformer.runtime.profile import Profile, Replay

Event = dict[str, Any]
PROCESS, PASSES = 1, 0  # numbers of the one process, and of the track of passes; thread t has track t + 1


def chrome_trace(profile: Profile) -> dict[str, object]:
    """The object that goes into the file; times in microseconds since the profile began."""
    return {"traceEvents": [*names(profile), *events(profile)]}


def write_trace(profile: Profile, path: Path) -> None:
    """Write the trace to a file; raises OSError where that cannot be."""
    path.write_text(json.dumps(chrome_trace(profile)), encoding="utf8")


def names(profile: Profile) -> Iterator[Event]:
    """What the tracks are called."""
    tracks = {PASSES: "passes", 1: "thread 0 (leads)"}
    tracks |= {thread + 1: f"thread {thread}" for thread in range(1, profile.executor.threads)}
    yield {"ph": "M", "name": "process_name", "pid": PROCESS, "args": {"name": "glassformer"}}
    for track, name in tracks.items():
        yield {"ph": "M", "name": "thread_name", "pid": PROCESS, "tid": track, "args": {"name": name}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": PROCESS, "tid": track, "args": {"sort_index": track}}


def events(profile: Profile) -> Iterator[Event]:
    """Passes, the launches in them on each thread that took part, and the process's memory."""
    start = profile.begin.nanoseconds
    for number, replay in enumerate(profile.replays):
        began, ended = (replay.began - start) / 1e3, (replay.ended - start) / 1e3
        yield {
            "ph": "X", "pid": PROCESS, "tid": PASSES, "name": f"pass {number}: {replay.rows} tokens", "cat": "pass",
            "ts": began, "dur": ended - began,
        }  # fmt: skip
        yield from launches(profile, replay)
    for moment, size in profile.memory:
        at = (moment - start) / 1e3
        yield {"ph": "C", "pid": PROCESS, "name": "resident MB", "ts": at, "args": {"MB": size / 1e6}}


def launches(profile: Profile, replay: Replay) -> Iterator[Event]:
    """The slices of one pass."""
    microseconds = (profile.nanoseconds(replay.times) - profile.begin.nanoseconds) / 1e3
    worked, row_keys, tile_keys = replay.times[:, :, WORKED], replay.row_keys, replay.tile_keys
    for thread, i in zip(*worked.nonzero(), strict=True):
        began, ended = (float(microseconds[thread, i, place]) for place in (BEGAN, ENDED))
        cost, listing = replay.listing.costs[i], replay.listing
        yield {
            "ph": "X", "pid": PROCESS, "tid": int(thread) + 1, "name": listing.names[i], "cat": listing.scopes[i],
            "ts": began, "dur": ended - began,
            "args": {
                "scope": listing.scopes[i],
                "working us": float(worked[thread, i]) * profile.tick * 1e6,
                "bytes": cost.bytes + cost.bytes_per_key * tile_keys,
                "flops": cost.flops + cost.flops_per_key * row_keys,
            },
        }  # fmt: skip
