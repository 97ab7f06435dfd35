"""Runs that are killed at any moment: the next goes on, and nothing is lost, repeated or different."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from batch_cases import lines_of, results_of, several_lines

from glassformer.batch.terms import Terms
from glassformer.generation.asked import Asked

FLAGS = ("-n", "40", "--temperature", "0.9", "--max-batch", "3", "--threads", "1", "--quiet")


def start(source: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "glassformer", "batch", str(source), "--output", str(output), *FLAGS, *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0, said
    return said


def kill_beyond(process: subprocess.Popen[bytes], output: Path, size: int) -> bool:
    """Kill a run once its output has as many bytes; whether it was still running."""
    while process.poll() is None and (not output.exists() or output.stat().st_size < size):
        time.sleep(0.0005)
    process.kill()
    assert process.stderr is not None
    process.stderr.close()
    return process.wait(60) == -9


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(story, tmp_path):
    source, output = tmp_path / "prompts.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(lines_of(*several_lines(32)))
    draw, killed = random.Random(1), 0
    for place in range(3):
        size = (output.stat().st_size if output.exists() else 0) + draw.randrange(1, 2500)
        killed += kill_beyond(start(source, output, *(["--seed", "11"] if place == 0 else [])), output, size)
        with output.open("r+b") as file:  # as if the last write had been cut
            file.truncate(max(0, output.stat().st_size - draw.randrange(200)))
    finish(start(source, output))
    assert killed >= 2  # a busy machine may let one of them come to its end
    found = sorted((json.loads(line) for line in output.read_bytes().splitlines()), key=lambda each: each["line"])
    terms = Terms(asked=Asked(max_new_tokens=40, temperature=0.9), seed=11)
    assert found == results_of(story, source.read_bytes(), terms)
